//! The add-ons: an Application for each that a cluster has, and the objects that we give it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use deploy_tests::{
    checker::{Checker, Object, values_file},
    mutation::Mutations,
    objects::{by_kind, list, name, title},
    once::Once,
    stem, yaml_files,
};
use libtest_mimic::Trial;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::facts::{FACTS, RULES};

/// Our own repository.
pub const OURS: &str = "https://github.com/example/hello.git";

/// Where Argo CD has an account's number from; none is in Git.
pub const ACCOUNT: &str = "cluster.account=000000000000";

const DIRECTORY: &str = "deploy/platform/addons";

/// What one cluster gets.
#[derive(Clone, Deserialize, Serialize)]
pub struct Rendered {
    /// As its file is named: `production-eu-central-1`.
    pub cluster: String,
    /// The Applications, as Argo CD sees them.
    pub applications: Vec<Object>,
    /// By add-on, what its objects/ makes in the cluster.
    pub objects: BTreeMap<String, Vec<Object>>,
}

impl Rendered {
    /// What the objects/ of all add-ons make.
    pub fn made(&self) -> impl Iterator<Item = &Object> {
        self.objects.values().flatten()
    }

    pub fn application(&self, addon: &str) -> Result<&Value> {
        let mut all = self.applications.iter();
        let found = all.find(|application| addon_of(application).is_ok_and(|of| of == addon));
        let found = found.with_context(|| format!("{} has no {addon}", self.cluster))?;
        Ok(&found.object)
    }

    /// What Argo CD gives the chart of an add-on.
    pub fn values(&self, addon: &str) -> Result<&Value> {
        let values = self
            .application(addon)?
            .pointer("/spec/sources/0/helm/valuesObject");
        values.with_context(|| format!("{addon} has no values"))
    }

    /// What rules call `added`: see rules.yaml.
    pub fn for_rules(&self) -> Result<Value> {
        let (mut applications, mut values) = (json!({}), json!({}));
        let mut objects = Vec::new();
        for application in &self.applications {
            let addon = addon_of(application)?;
            applications[addon] = application.object.clone();
            values[addon] = self.values(addon).cloned().unwrap_or_default();
            for made in self.objects.get(addon).into_iter().flatten() {
                let mut object = made.object.clone();
                let namespace = &mut object["metadata"]["namespace"];
                if namespace.is_null() {
                    *namespace = application["spec"]["destination"]["namespace"].clone();
                }
                objects.push(object);
            }
        }
        Ok(json!({
            "cluster": self.cluster,
            "applications": applications,
            "values": values,
            "objects": by_kind(&objects),
        }))
    }

    /// The sources of all Applications.
    pub fn sources(&self) -> impl Iterator<Item = (&Value, &Value)> {
        self.applications.iter().flat_map(|application| {
            let sources = list(application, "/spec/sources").iter();
            sources.map(|source| (&application.object, source))
        })
    }
}

pub fn trials(checker: &Checker, mutations: &Mutations) -> Vec<Trial> {
    let mut trials = Vec::new();
    for file in clusters() {
        for settings in choices() {
            let title = format!("add-ons, {}{}", stem(&file), with(&settings));
            let file = file.clone();
            trials.extend(
                checker.trials_of_valid(&title, &[false, true], move |checker| {
                    let rendered = rendered(checker, &file, &settings)?;
                    Ok(rendered
                        .applications
                        .iter()
                        .chain(rendered.made())
                        .cloned()
                        .collect())
                }),
            );
        }
        let title = format!("add-ons, {}: each is pinned", stem(&file));
        trials.push(checker.trial(title, move |checker| pinned(rendered(checker, &file, &[])?)));
    }
    let dev = |checker: &Checker| cluster(checker, "dev").cloned();
    trials.extend(mutations.trials_of(checker, "add-ons: each is pinned", dev, pinned));
    trials
}

/// The clusters' own choices, and then each other one.
pub fn choices() -> Vec<Vec<&'static str>> {
    let others = FACTS.alternatives.iter();
    let others = others.map(|choice| vec![choice.as_str()]);
    [vec![]].into_iter().chain(others).collect()
}

/// The add-ons with a chart of somebody else's.
pub fn with_charts() -> Vec<String> {
    let entries = tools::root()
        .join(DIRECTORY)
        .read_dir()
        .expect("a directory of the project");
    let paths = entries.map(|entry| entry.expect("it can be listed").path());
    let addons = paths.filter(|path| path.join("values.yaml").is_file());
    let mut addons: Vec<String> = addons.map(|path| stem(&path)).collect();
    addons.sort();
    addons
}

fn pinned(rendered: &Rendered) -> Result<()> {
    RULES["add-ons: each is pinned"].check(&[("added", &rendered.for_rules()?)])
}

/// The clusters' files.
pub fn clusters() -> Vec<PathBuf> {
    let files = yaml_files("deploy/platform/addons/clusters");
    assert!(files.len() > 4, "the clusters are gone");
    files
}

/// ` with logs=elasticsearch`, where that is not the cluster's own choice.
pub fn with(settings: &[&str]) -> String {
    settings.concat().replacen("choices.", " with ", 1)
}

/// The add-on that an Application is of.
pub fn addon_of(application: &Value) -> Result<&str> {
    let addon = &application["metadata"]["labels"]["app.kubernetes.io/component"];
    addon
        .as_str()
        .context("an Application is labelled with its add-on")
}

/// What a cluster gets by its own choices.
pub fn cluster(checker: &Checker, name: &str) -> Result<&'static Rendered> {
    let file = tools::root().join(format!("{DIRECTORY}/clusters/{name}.yaml"));
    rendered(checker, &file, &[])
}

/// What a cluster gets, each object with its problem if it has one. It is rendered once.
pub fn rendered(checker: &Checker, cluster: &Path, settings: &[&str]) -> Result<&'static Rendered> {
    static ALL: Once<Rendered> = Once::new();
    let key = format!("{}{}", stem(cluster), with(settings));
    ALL.get(&key, || render(checker, cluster, settings))
}

fn render(checker: &Checker, cluster: &Path, settings: &[&str]) -> Result<Rendered> {
    let settings = [&[ACCOUNT], settings].concat();
    let applications = checker.render_chart(DIRECTORY, &[cluster.to_owned()], &settings)?;
    let mut rendered = Rendered {
        cluster: stem(cluster),
        applications: checker.checked(&applications)?,
        objects: BTreeMap::new(),
    };
    let applications = &rendered.applications;
    ensure!(!applications.is_empty(), "no Application was rendered");
    for application in applications {
        let sources = list(application, "/spec/sources");
        ensure!(!sources.is_empty(), "{} has no sources", title(application));
    }
    let (mut addons, mut texts) = (Vec::new(), Vec::new());
    for (application, source) in rendered.sources() {
        if let (Some(path), true) = (source["path"].as_str(), source["helm"].is_object()) {
            let values = values_file(&source["helm"]["valuesObject"])?;
            let yaml = checker.render_chart(path, &[values.to_owned()], &[]);
            texts.push(yaml.with_context(|| name(application).to_owned())?);
            addons.push(addon_of(application)?.to_owned());
        }
    }
    rendered.objects = addons
        .into_iter()
        .zip(checker.checked_all(&texts)?)
        .collect();
    for (addon, made) in &rendered.objects {
        ensure!(!made.is_empty(), "the objects of {addon} are none");
    }
    Ok(rendered)
}
