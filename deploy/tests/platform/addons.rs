//! The add-ons: an Application for each that a cluster has, and the objects that we give it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock, PoisonError},
};

use anyhow::{Context, Result, anyhow, ensure};
use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use deploy_tests::{
    checker::{Checker, Object, name_of, no_problems},
    mutation::{Mutations, fails, replaced},
};

/// Where Argo CD has an account's number from; none is in Git.
const ACCOUNT: &str = "cluster.account=000000000000";

/// Each choice that is no cluster's own: it renders as well.
const ALTERNATIVES: [&str; 4] = [
    "choices.suite=datadog",
    "choices.metrics=influxdb",
    "choices.logs=elasticsearch",
    "choices.database=cloudnative-pg",
];

/// What one cluster gets.
pub struct Rendered {
    /// As its file is named: `production-eu-central-1`.
    pub cluster: String,
    /// The Applications, as Argo CD sees them.
    pub applications: Vec<Object>,
    /// By add-on, what its objects/ makes in the cluster.
    pub objects: BTreeMap<String, Vec<Object>>,
}

pub fn trials(checker: &Checker, mutations: &Mutations) -> Vec<Trial> {
    let mut trials = Vec::new();
    for cluster in clusters() {
        for settings in choices() {
            for custom in [false, true] {
                let (checker, cluster) = (checker.clone(), cluster.clone());
                let (settings, schemas) = (settings.clone(), checker.schemas.is_some());
                let name = format!(
                    "add-ons, {}{}: {}",
                    shown(&cluster),
                    with(&settings),
                    if custom {
                        "valid custom resources"
                    } else {
                        "valid objects"
                    }
                );
                let trial = Trial::test(name, move || {
                    valid(rendered(&checker, &cluster, &settings)?, custom)
                });
                trials.push(trial.with_ignored_flag(custom && !schemas));
            }
        }
    }
    for cluster in clusters() {
        let also = checker.clone();
        trials.push(Trial::test(
            format!("add-ons, {}: each is pinned", shown(&cluster)),
            move || {
                let yaml = also.render_chart(&directory(), &[cluster], &[ACCOUNT])?;
                Ok(pinned(&also.checked(&yaml)?)?)
            },
        ));
    }
    for [what, from, to] in mutations.rows("addons") {
        let also = checker.clone();
        trials.push(Trial::test(
            format!("add-ons: the checks notice {what}"),
            move || fails(pinned(&mutated(&also, &from, &to)?), "which can move"),
        ));
    }
    trials
}

/// The clusters' own choices, and then each other one.
pub fn choices() -> Vec<Vec<&'static str>> {
    let others = ALTERNATIVES.map(|choice| vec![choice]);
    [vec![]].into_iter().chain(others).collect()
}

/// The add-ons with a chart of somebody else's.
pub fn with_charts() -> Vec<String> {
    let mut addons = Vec::new();
    for entry in fs::read_dir(directory()).expect("a directory of the project") {
        let path = entry.expect("it can be listed").path();
        if path.join("values.yaml").is_file() {
            addons.push(
                path.file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned(),
            );
        }
    }
    addons.sort();
    addons
}

/// What others publish, by a version or a commit that nobody can move: ours is the branch that Argo
/// CD follows.
fn pinned(applications: &[Object]) -> Result<()> {
    for application in applications {
        let sources = application.object["spec"]["sources"].as_array();
        for source in sources.context("it has sources")? {
            let revision = source["targetRevision"].as_str().unwrap_or("");
            let number = |part: &str| !part.is_empty() && part.bytes().all(|c| c.is_ascii_digit());
            let parts: Vec<_> = revision.trim_start_matches('v').split('.').collect();
            let version = parts.len() == 3 && parts.iter().all(|part| number(part));
            let commit = revision.len() == 40 && revision.bytes().all(|c| c.is_ascii_hexdigit());
            let fixed = match (source["chart"].is_string(), source["helm"].is_object()) {
                (true, _) => version,
                (false, true) => source["repoURL"] == "https://github.com/example/hello.git",
                (false, false) => commit,
            };
            ensure!(
                fixed,
                "{} takes {} at {revision:?}, which can move",
                name_of(&application.object),
                source["repoURL"]
            );
        }
    }
    Ok(())
}

fn mutated(checker: &Checker, from: &str, to: &str) -> Result<Vec<Object>> {
    let cluster = directory().join("clusters/dev.yaml");
    let yaml = checker.render_chart(&directory(), &[cluster], &[ACCOUNT])?;
    checker.checked(&replaced(&yaml, from, to)?)
}

/// The clusters' files.
pub fn clusters() -> Vec<PathBuf> {
    let directory = directory().join("clusters");
    let mut files: Vec<_> = fs::read_dir(directory)
        .expect("a directory of the project")
        .map(|entry| entry.expect("it can be listed").path())
        .collect();
    files.sort();
    assert!(files.len() > 4, "the clusters are gone");
    files
}

fn directory() -> PathBuf {
    tools::root().join("deploy/platform/addons")
}

pub fn shown(cluster: &Path) -> String {
    let name = cluster.file_stem().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// ` with logs=elasticsearch`, where that is not the cluster's own choice.
pub fn with(settings: &[&str]) -> String {
    settings.concat().replacen("choices.", " with ", 1)
}

/// The add-on that an Application is of.
pub fn addon_of(application: &Value) -> Result<&str> {
    application["metadata"]["labels"]["app.kubernetes.io/component"]
        .as_str()
        .context("an Application is labelled with its add-on")
}

/// [`render`], once for all tests.
pub fn rendered(checker: &Checker, cluster: &Path, settings: &[&str]) -> Result<&'static Rendered> {
    type Once = &'static OnceLock<Result<Rendered, String>>;
    static ALL: Mutex<BTreeMap<String, Once>> = Mutex::new(BTreeMap::new());
    let key = format!("{}{}", shown(cluster), with(settings));
    let once: Once = {
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(key).or_insert_with(|| Box::leak(Box::default()))
    };
    let rendered = once
        .get_or_init(|| render(checker, cluster, settings).map_err(|error| format!("{error:#}")));
    rendered.as_ref().map_err(|error| anyhow!(error.clone()))
}

/// What a cluster gets, each object with its problem if it has one.
pub fn render(checker: &Checker, cluster: &Path, settings: &[&str]) -> Result<Rendered> {
    let mut all = vec![ACCOUNT];
    all.extend(settings);
    let yaml = checker.render_chart(&directory(), &[cluster.to_owned()], &all)?;
    let applications = checker.checked(&yaml)?;
    ensure!(!applications.is_empty(), "no Application was rendered");
    let (mut addons, mut texts) = (Vec::new(), Vec::new());
    for application in &applications {
        let sources = application.object["spec"]["sources"].as_array();
        for source in sources.context("it has sources")? {
            let (Some(path), true) = (source["path"].as_str(), source["helm"].is_object()) else {
                continue;
            };
            let values = tempfile::Builder::new().suffix(".json").tempfile()?;
            fs::write(values.path(), source["helm"]["valuesObject"].to_string())?;
            let chart = tools::root().join(path);
            let yaml = checker
                .render_chart(&chart, &[values.path().to_owned()], &[])
                .with_context(|| name_of(&application.object))?;
            addons.push(addon_of(&application.object)?.to_owned());
            texts.push(yaml);
        }
    }
    let objects: BTreeMap<_, _> = addons
        .into_iter()
        .zip(checker.checked_all(&texts)?)
        .collect();
    for (addon, made) in &objects {
        ensure!(!made.is_empty(), "the objects of {addon} are none");
    }
    Ok(Rendered {
        cluster: shown(cluster),
        applications,
        objects,
    })
}

fn valid(rendered: &Rendered, custom: bool) -> Result<(), Failed> {
    let all = rendered
        .applications
        .iter()
        .chain(rendered.objects.values().flatten());
    no_problems(all, custom)
}

/// The objects of a kind, of all add-ons.
pub fn of_kind<'a>(rendered: &'a Rendered, kind: &'a str) -> impl Iterator<Item = &'a Value> {
    rendered
        .objects
        .values()
        .flatten()
        .map(|object| &object.object)
        .filter(move |object| object["kind"] == kind)
}
