//! The charts of others, rendered with our values.
//!
//! They are in the directory that HELLO_CHARTS names, as NAME-VERSION.tgz or unpacked as NAME-VERSION,
//! or come from their repositories into target/tools/charts.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use deploy_tests::{
    checker::{Checker, Object, none, succeeded, values_file},
    mutation::{Mutations, fails, replaced},
    objects::{list, name, of_kind, strings_at, text, title},
    once::Once,
    platform::write_chart,
};
use harness::{host::free_port, process::Process};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use tempfile::TempDir;
use tools::{
    charts::{self, VARIABLE, find_or_pull, pull},
    python, root,
};

use crate::{
    addons,
    facts::FACTS,
    hygiene::image_pinned,
    server::nginx,
    world::{self, Placed, World, shown, thing},
};

/// The Kubernetes of the clusters.
const KUBERNETES: &str = "1.35";

/// What charts look for in a cluster before they make objects of it: other add-ons bring it.
const THERE: [&str; 3] = [
    "cert-manager.io/v1",
    "gateway.networking.k8s.io/v1",
    "monitoring.coreos.com/v1",
];

/// An add-on's chart, and what its Application says of it.
#[derive(Clone)]
struct Chart {
    addon: String,
    namespace: String,
    repository: String,
    name: String,
    version: String,
    values: Value,
}

pub fn trials(checker: &Checker, mutations: &Mutations) -> Vec<Trial> {
    let checker = checker.on(KUBERNETES);
    let mut trials = Vec::new();
    let no_charts = charts::source().is_none();
    for addon in addons::with_charts() {
        let title = format!("charts, {addon}: takes our values, and makes valid objects");
        let trial = checker.trial(title, move |checker| {
            let mut found = BTreeSet::new();
            for chart in of_addon(checker, &addon)? {
                let objects = chart.made(checker)?;
                found.extend(problems(&chart, objects, &chart.directory()?)?);
            }
            none(found)
        });
        trials.push(trial.with_ignored_flag(no_charts));
    }
    for world in world::names()
        .into_iter()
        .filter(|name| name != world::ARGO)
    {
        let title = format!("charts, {world}: they bring every kind that is used there");
        let trial = checker.trial(title, move |checker| {
            none(unknown_kinds(checker, world::named(checker, &world)?)?)
        });
        trials.push(trial.with_ignored_flag(no_charts));
    }
    for [what, values, from, to, says] in mutations.rows("charts") {
        trials.push(
            checker.trial(format!("charts: {what} fails"), move |checker| {
                // Otherwise it might find something else.
                let right = r#"{"role": "b", "labels": {"any": "thing"}}"#;
                none(small(checker, right, "", "")?)?;
                let problems = small(checker, &values, &from, &to)?;
                assert_eq!(problems.len(), 1, "it says {problems:?}");
                fails(none(problems), &says)
            }),
        );
    }
    trials.push(checker.trial("charts: one is pulled", |_| pulls()));
    trials.push(checker.trial("charts: a registry is asked", |_| asks_registries()));
    for [what, name, version, says] in mutations.rows("charts, not pulled") {
        let title = format!("charts: {what} is not pulled");
        trials.push(checker.trial(title, move |_| pulls_not(&name, &version, &says)));
    }
    trials.push(checker.trial(
        "charts: kinds that no chart has are of what brings them",
        takes_what_is_brought,
    ));
    trials
}

/// The chart of an add-on with each of the values that differ in more than the cluster's name.
fn of_addon(checker: &Checker, addon: &str) -> Result<Vec<Chart>> {
    let mut charts = BTreeMap::new();
    for file in addons::clusters() {
        for settings in addons::choices() {
            let rendered = addons::rendered(checker, &file, &settings)?;
            let of_addon = in_cluster(rendered)?
                .into_iter()
                .filter(|chart| chart.addon == addon);
            for chart in of_addon {
                let told = chart.values.to_string().replace(&rendered.cluster, "");
                charts.entry(told).or_insert(chart);
            }
        }
    }
    ensure!(!charts.is_empty(), "no cluster has {addon}");
    Ok(charts.into_values().collect())
}

fn in_cluster(rendered: &addons::Rendered) -> Result<Vec<Chart>> {
    let sources = rendered
        .sources()
        .filter(|(_, source)| source["chart"].is_string());
    let charts = sources.map(|(application, source)| {
        Ok(Chart {
            addon: addons::addon_of(application)?.to_owned(),
            namespace: text(application, "/spec/destination/namespace").to_owned(),
            repository: text(source, "/repoURL").to_owned(),
            name: text(source, "/chart").to_owned(),
            version: text(source, "/targetRevision").to_owned(),
            values: source["helm"]["valuesObject"].clone(),
        })
    });
    charts.collect()
}

impl Chart {
    fn directory(&self) -> Result<PathBuf> {
        let source = charts::source().context("no repository of charts answers")?;
        find_or_pull(&source, &self.repository, &self.name, &self.version)
    }

    /// What `helm template` makes of it, once for all tests.
    fn made(&self, checker: &Checker) -> Result<&'static [Object]> {
        static ALL: Once<Vec<Object>> = Once::new();
        let key = format!(
            "{} {} {} {}",
            self.addon, self.name, self.version, self.values
        );
        let made = ALL.get(&key, || self.template(checker, &self.directory()?));
        Ok(made.with_context(|| self.addon.clone())?)
    }

    fn template(&self, checker: &Checker, directory: &Path) -> Result<Vec<Object>> {
        let file = values_file(&self.values)?;
        let values = [file.to_path_buf()];
        let there = THERE.iter().flat_map(|there| ["--api-versions", there]);
        let arguments: Vec<&str> = there.chain(["--include-crds", "--skip-tests"]).collect();
        let made = checker.template(&self.addon, &self.namespace, directory, &values, &arguments);
        let objects = checker.checked(&made.with_context(|| self.addon.clone())?)?;
        ensure!(!objects.is_empty(), "{} makes nothing", self.addon);
        Ok(objects)
    }
}

/// What is wrong with a chart, and with what it made.
fn problems(chart: &Chart, objects: &[Object], directory: &Path) -> Result<BTreeSet<String>> {
    let mut problems = unknown_keys(chart, directory)?;
    let mut there = BTreeSet::new();
    for object in objects {
        let title = title(object);
        // The charts' own custom resources may be of kinds that we have no schema of.
        if let Some(found) = object.problem.as_ref().filter(|_| !object.custom) {
            problems.push(format!("{title}: {found}"));
        }
        for image in strings_at(object, &["image"]) {
            if object["kind"] != "CustomResourceDefinition" && !image_pinned(image) {
                problems.push(format!("{title}: not pinned: {image}"));
            }
        }
        let namespace = object["metadata"]["namespace"]
            .as_str()
            .unwrap_or(&chart.namespace);
        there.insert(thing(text(object, "/kind"), namespace, name(object)));
    }
    let of_chart = FACTS
        .of_charts
        .iter()
        .filter(|(addon, ..)| *addon == chart.addon);
    let wanted = of_chart.map(|(_, kind, namespace, name)| thing(kind, namespace, name));
    let lacking = wanted.filter(|wanted| !there.contains(wanted));
    problems.extend(lacking.map(|wanted| format!("makes no {}", shown(&wanted))));
    let annotation = ["eks.amazonaws.com/role-arn"];
    let accounts = of_kind(objects, "ServiceAccount");
    let roles: Vec<&str> = accounts
        .flat_map(|one| strings_at(one, &annotation))
        .collect();
    for role in strings_at(&chart.values, &annotation) {
        if !roles.contains(&role) {
            problems.push(format!("no ServiceAccount has the role {role}"));
        }
    }
    let problems = problems.into_iter();
    Ok(problems
        .map(|problem| format!("{}: {problem}", chart.addon))
        .collect())
}

/// Our values that the chart's values.yaml does not have.
fn unknown_keys(chart: &Chart, directory: &Path) -> Result<Vec<String>> {
    let theirs = succeeded(
        Command::new(python::environment("manifests")?.join("python"))
            .arg(root().join("deploy/tests/platform/values.py"))
            .arg(directory),
    );
    let theirs: Value = serde_json::from_str(&theirs.with_context(|| chart.addon.clone())?)?;
    let may = |key: &String| {
        FACTS.unnamed_values.iter().any(|(addon, value)| {
            let below = value.ends_with('.') && key.starts_with(value);
            chart.addon == *addon && (below || key == value)
        })
    };
    let unknown = unknown(&chart.values, &theirs, "").into_iter();
    let unknown = unknown.filter(|key| !may(key));
    Ok(unknown
        .map(|key| format!("the chart has no value {key}"))
        .collect())
}

/// The keys that are ours alone. What is empty there, or no object, may be anything.
fn unknown(ours: &Value, theirs: &Value, at: &str) -> Vec<String> {
    let (Value::Object(ours), Value::Object(theirs)) = (ours, theirs) else {
        return Vec::new();
    };
    let of_key = |(key, value): (&String, &Value)| {
        let at = format!("{at}{key}");
        match theirs.get(key) {
            Some(theirs) => unknown(value, theirs, &format!("{at}.")),
            None if theirs.is_empty() => Vec::new(),
            None => vec![at],
        }
    };
    ours.iter().flat_map(of_key).collect()
}

/// The kinds that these objects define, or have defined.
fn defined<'a>(objects: impl IntoIterator<Item = &'a Object>) -> BTreeSet<String> {
    let mut kinds = BTreeSet::new();
    for object in objects {
        for (kind, provider, brings) in &FACTS.crds_of_providers {
            if object["kind"] == *kind && name(object) == provider {
                kinds.extend(brings.iter().cloned());
            }
        }
        if object["kind"] == "CustomResourceDefinition" {
            let group = text(object, "/spec/group");
            let kind = text(object, "/spec/names/kind");
            let versions = list(object, "/spec/versions").iter();
            let served = versions.filter(|version| version["served"] == true);
            let names = served.map(|version| text(version, "/name"));
            kinds.extend(names.map(|version| format!("{group}/{version} {kind}")));
        }
    }
    kinds
}

/// Custom resources of ours whose kind nothing in the cluster defines.
fn unknown_kinds(checker: &Checker, world: &World) -> Result<Vec<String>> {
    let rendered = world.rendered.context("a cluster has add-ons")?;
    let mut kinds = defined(rendered.made());
    for chart in in_cluster(rendered)? {
        kinds.extend(defined(chart.made(checker)?));
    }
    for (_, source) in rendered.sources() {
        kinds.extend(in_git(text(source, "/repoURL"), text(source, "/path")));
    }
    Ok(undefined(&world.objects, &kinds))
}

/// The kinds that a directory of a repository has in Git.
fn in_git(repository: &str, path: &str) -> BTreeSet<String> {
    let rows = FACTS.crds_in_git.iter();
    let rows = rows.filter(|(of, directory, _)| of == repository && directory == path);
    rows.flat_map(|(.., kinds)| kinds.clone()).collect()
}

fn undefined(objects: &[Placed], kinds: &BTreeSet<String>) -> Vec<String> {
    let custom = objects.iter().filter(|placed| placed.custom);
    let kind =
        |object: &Value| format!("{} {}", text(object, "/apiVersion"), text(object, "/kind"));
    let unknown = custom.filter(|placed| !kinds.contains(&kind(&placed.object)));
    let says = |placed: &Placed| {
        format!(
            "{}: no chart brings {}",
            placed.shown(),
            kind(&placed.object)
        )
    };
    unknown.map(says).collect()
}

/// What is wrong with a small chart, in whose template `from` is `to`.
fn small(checker: &Checker, values: &str, from: &str, to: &str) -> Result<BTreeSet<String>> {
    let directory = TempDir::new()?;
    let template = replaced(&FACTS.small_chart.template, from, to)?;
    write_chart(directory.path(), &FACTS.small_chart.values, &template)?;
    let chart = Chart {
        addon: "small".to_owned(),
        namespace: "small".to_owned(),
        repository: String::new(),
        name: "small".to_owned(),
        version: "0.1.0".to_owned(),
        values: serde_json::from_str(values)?,
    };
    let objects = chart.template(checker, directory.path())?;
    let mut problems = problems(&chart, &objects, directory.path())?;
    let ours = Placed {
        namespace: "small".to_owned(),
        custom: true,
        object: json!({"apiVersion": "test.example.com/v1", "kind": "Small", "metadata": {"name": "small"}}),
    };
    problems.extend(undefined(&[ours], &defined(&objects)));
    Ok(problems)
}

/// A repository of charts, as a web server has them: the small chart, and what is none.
struct Repository {
    directory: TempDir,
    address: String,
    _process: Process,
}

impl Repository {
    fn new() -> Result<Self> {
        let directory = TempDir::new()?;
        let small = directory.path().join("small");
        write_chart(
            &small,
            &FACTS.small_chart.values,
            &FACTS.small_chart.template,
        )?;
        for version in ["1.2.3", "v1.2.4"] {
            let arguments = [
                "package",
                "small",
                "--destination",
                ".",
                "--version",
                version,
            ];
            Self::helm(&directory, &arguments)?;
        }
        // As charts are named where each release has a directory of its own.
        let path = |file: &str| directory.path().join(file);
        fs::rename(path("small-1.2.3.tgz"), path("small.tgz"))?;
        Self::helm(&directory, &["repo", "index", "."])?;
        let entry = |name: &str, file: &str| {
            format!(
                "  {name}:\n  - {{apiVersion: v2, name: {name}, version: 1.0.0, urls: [{file}]}}\n"
            )
        };
        let more = ["page", "gone"].map(|name| entry(name, &format!("{name}-1.0.0.tgz")));
        let more = format!("entries:\n{}{}", more.concat(), entry("other", "small.tgz"));
        let index = fs::read_to_string(path("index.yaml"))?;
        fs::write(path("index.yaml"), replaced(&index, "entries:\n", &more)?)?;
        fs::write(path("page-1.0.0.tgz"), "<html>Log in</html>")?;
        let (port, files) = (free_port()?, directory.path().display());
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary = temporary.map(|of| format!("{of}_temp_path {files}/{of};\n"));
        let config = format!(
            "pid {files}/nginx.pid;\nevents {{}}\nhttp {{\naccess_log off;\n{}server {{ \
             listen 127.0.0.1:{port}; location /charts/ {{ alias {files}/; }} }}\n}}\n",
            temporary.concat()
        );
        let process = nginx(directory.path(), &config, port)?;
        let address = format!("http://127.0.0.1:{port}/charts");
        Ok(Self {
            directory,
            address,
            _process: process,
        })
    }

    fn helm(directory: &TempDir, arguments: &[&str]) -> Result<()> {
        let mut helm = Command::new(tools::find_or_fetch("helm")?);
        succeeded(helm.args(arguments).current_dir(directory.path()))?;
        Ok(())
    }

    /// What comes of pulling from it, and the files that are there then.
    fn pull(
        &self,
        address: &str,
        name: &str,
        version: &str,
    ) -> Result<(Result<PathBuf>, Vec<String>)> {
        let into = self.directory.path().join("pulled");
        let pulled = pull(&into, address, name, version);
        let mut files = Vec::new();
        for entry in fs::read_dir(&into)? {
            files.push(entry?.file_name().to_string_lossy().into_owned());
        }
        files.sort();
        Ok((pulled, files))
    }
}

fn pulls() -> Result<()> {
    let repository = Repository::new()?;
    let slash = format!("{}/", repository.address);
    let mut wanted = Vec::new();
    for (address, version) in [
        (&repository.address, "1.2.3"),
        (&slash, "v1.2.3"),
        (&repository.address, "1.2.4"),
        (&slash, "v1.2.4"),
    ] {
        let (pulled, files) = repository.pull(address, "small", version)?;
        let pulled = pulled.with_context(|| format!("{version} from {address}"))?;
        wanted.push(format!("small-{version}.tgz"));
        wanted.sort();
        ensure!(files == wanted, "{version} left {files:?}");
        let directory = pulled.parent().context("it is in a directory")?;
        let found = find_or_pull(directory, "https://nowhere.test", "small", version)?;
        ensure!(found == pulled, "{} is there", found.display());
    }
    Ok(())
}

/// Helm asks a registry by TLS alone: this is about what it asks for, and that nothing stays.
fn asks_registries() -> Result<()> {
    let repository = Repository::new()?;
    let host = repository.address.trim_start_matches("http://");
    for registry in [host.to_owned(), format!("oci://{host}/")] {
        let (pulled, files) = repository.pull(&registry, "small", "v1.2.4")?;
        ensure!(files.is_empty(), "it left {files:?}");
        let server = host.trim_end_matches("/charts");
        let asks = format!("https://{server}/v2/charts/small/manifests/v1.2.4");
        fails(pulled, &asks)?;
    }
    Ok(())
}

fn pulls_not(name: &str, version: &str, says: &str) -> Result<()> {
    let repository = Repository::new()?;
    let (pulled, files) = repository.pull(&repository.address, name, version)?;
    ensure!(files.is_empty(), "it left {files:?}");
    let said = format!("{:#}", pulled.err().context("it is pulled")?);
    ensure!(said.contains(says), "it says {said}");
    ensure!(said.contains(VARIABLE), "it says not what to do: {said}");
    // A directory that somebody names is not written to.
    let into = repository.directory.path().join("pulled");
    let found = find_or_pull(&into, &repository.address, "small", "1.2.3");
    let refused = found.is_err();
    ensure!(refused, "it is pulled into a directory of somebody's");
    Ok(())
}

/// Each row of facts.yaml on CRDs is of something that a cluster has, and of nothing else.
fn takes_what_is_brought(checker: &Checker) -> Result<()> {
    let mut sources = Vec::new();
    for file in addons::clusters() {
        sources.extend(addons::rendered(checker, &file, &[])?.sources());
    }
    for (repository, path, kinds) in &FACTS.crds_in_git {
        let of_row = |source: &Value| source["repoURL"] == *repository && source["path"] == *path;
        let there = sources.iter().any(|(_, source)| of_row(source));
        ensure!(there, "no add-on has {path} of {repository}");
        let all = in_git(repository, path).iter().eq(kinds);
        ensure!(all, "{repository} brings less");
        let another = in_git(repository, "another").is_empty();
        ensure!(another, "another directory brings {kinds:?}");
    }
    for (kind, name, kinds) in &FACTS.crds_of_providers {
        let brings = |name: &str| {
            let object = json!({"kind": kind, "metadata": {"name": name}});
            defined(&[Object {
                object,
                custom: true,
                unchecked: false,
                problem: None,
            }])
        };
        ensure!(brings(name).iter().eq(kinds), "{kind} {name} brings less");
        let nothing = brings("another").is_empty();
        ensure!(nothing, "another {kind} brings {kinds:?}");
    }
    Ok(())
}
