//! The charts of others, rendered with our values.
//!
//! They are in the folder that HELLO_CHARTS names, as NAME-VERSION.tgz or unpacked as NAME-VERSION,
//! or come from their repositories into target/tools/charts.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, OnceLock, PoisonError},
};

use anyhow::{Context, Result, anyhow, ensure};
use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};
use tempfile::TempDir;
use xtask::{
    root,
    tools::{
        charts::{VARIABLE, find_or_pull},
        helm, python,
    },
};

use crate::{
    addons,
    checker::{Checker, Object, name_of, strings_at},
    hygiene::image_pinned,
    world::{self, OF_CHARTS, Placed, Thing, World, shown, thing},
};

/// The Kubernetes of the clusters.
const KUBERNETES: &str = "1.35";

/// What charts look for in a cluster before they make objects of it: other add-ons bring it.
const THERE: [&str; 3] = [
    "cert-manager.io/v1",
    "gateway.networking.k8s.io/v1",
    "monitoring.coreos.com/v1",
];

/// Values that a chart takes although its values.yaml does not name each: the add-on, where they
/// begin, and why.
const UNNAMED: &[(&str, &str, &str)] = &[
    ("argocd", "configs.cm.", "entries of a ConfigMap"),
    ("argocd", "configs.params.", "entries of a ConfigMap"),
    (
        "grafana",
        "grafana.ini.",
        "sections of Grafana's own configuration",
    ),
    (
        "grafana",
        "containerSecurityContext.",
        "fields of Kubernetes, as the chart finds them",
    ),
    (
        "grafana",
        "livenessProbe.",
        "fields of Kubernetes, as the chart finds them",
    ),
    (
        "grafana",
        "readinessProbe.",
        "fields of Kubernetes, as the chart finds them",
    ),
    ("loki", "loki.limits_config.", "Loki's own configuration"),
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

pub fn trials(checker: &Checker) -> Vec<Trial> {
    let checker = checker.on(KUBERNETES);
    let mut trials = Vec::new();
    for addon in addons::with_charts() {
        let checker = checker.clone();
        trials.push(Trial::test(
            format!("charts, {addon}: takes our values, and makes valid objects"),
            move || {
                let mut found = BTreeSet::new();
                for chart in of_addon(&checker, &addon)? {
                    found.extend(problems(&checker, &chart)?);
                }
                none(&found)
            },
        ));
    }
    for world in world::names()
        .into_iter()
        .filter(|name| name != world::ARGO)
    {
        let checker = checker.clone();
        trials.push(Trial::test(
            format!("charts, {world}: they bring every kind that is used there"),
            move || none(&unknown_kinds(&checker, world::named(&checker, &world)?)?),
        ));
    }
    if env::var_os(VARIABLE).is_none() {
        trials = trials
            .into_iter()
            .map(|trial| trial.with_ignored_flag(true))
            .collect();
    }
    for (what, values, change, says) in BROKEN {
        let checker = checker.clone();
        trials.push(Trial::test(format!("charts: {what} is found"), move || {
            finds(&checker, values, change, says)
        }));
    }
    trials
}

/// The chart of an add-on with each of the values that differ in more than the cluster's name.
fn of_addon(checker: &Checker, addon: &str) -> Result<Vec<Chart>> {
    let mut charts = BTreeMap::new();
    for file in addons::clusters() {
        for settings in addons::choices() {
            let rendered = addons::rendered(checker, &file, &settings)?;
            for chart in in_cluster(rendered)? {
                if chart.addon == addon {
                    let told = chart.values.to_string().replace(&rendered.cluster, "");
                    charts.entry(told).or_insert(chart);
                }
            }
        }
    }
    ensure!(!charts.is_empty(), "no cluster has {addon}");
    Ok(charts.into_values().collect())
}

fn in_cluster(rendered: &addons::Rendered) -> Result<Vec<Chart>> {
    let mut charts = Vec::new();
    for application in rendered.applications.iter().map(|object| &object.object) {
        for source in application["spec"]["sources"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            if source["chart"].is_string() {
                charts.push(Chart {
                    addon: addons::addon_of(application)?.to_owned(),
                    namespace: text(&application["spec"]["destination"]["namespace"]),
                    repository: text(&source["repoURL"]),
                    name: text(&source["chart"]),
                    version: text(&source["targetRevision"]),
                    values: source["helm"]["valuesObject"].clone(),
                });
            }
        }
    }
    Ok(charts)
}

impl Chart {
    fn folder(&self) -> Result<PathBuf> {
        let source = env::var_os(VARIABLE).context("nobody says where charts are")?;
        find_or_pull(source.into(), &self.repository, &self.name, &self.version)
    }

    /// What `helm template` makes of it, once for all tests.
    fn made(&self, checker: &Checker) -> Result<&'static [Object]> {
        type Once = &'static OnceLock<std::result::Result<Vec<Object>, String>>;
        static ALL: Mutex<BTreeMap<String, Once>> = Mutex::new(BTreeMap::new());
        let key = format!(
            "{} {} {} {}",
            self.addon, self.name, self.version, self.values
        );
        let once: Once = {
            let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
            all.entry(key).or_insert_with(|| Box::leak(Box::default()))
        };
        let made = once.get_or_init(|| {
            let made = self
                .folder()
                .and_then(|folder| self.template(checker, &folder));
            made.map_err(|error| format!("{}: {error:#}", self.addon))
        });
        made.as_deref().map_err(|error| anyhow!(error.clone()))
    }

    fn template(&self, checker: &Checker, folder: &Path) -> Result<Vec<Object>> {
        let values = tempfile::Builder::new().suffix(".json").tempfile()?;
        fs::write(values.path(), self.values.to_string())?;
        let mut command = Command::new(helm::program()?);
        command
            .args(["template", &self.addon])
            .arg(folder)
            .args(["--namespace", &self.namespace, "--kube-version", KUBERNETES])
            .args(["--include-crds", "--skip-tests", "--values"])
            .arg(values.path());
        for there in THERE {
            command.args(["--api-versions", there]);
        }
        let output = command.output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}: {said}", self.addon);
        let objects = checker.checked(&String::from_utf8(output.stdout)?)?;
        ensure!(!objects.is_empty(), "{} makes nothing", self.addon);
        Ok(objects)
    }
}

fn problems(checker: &Checker, chart: &Chart) -> Result<BTreeSet<String>> {
    let mut problems = problems_of(chart, chart.made(checker)?);
    problems.extend(unknown_keys(chart, &chart.folder()?)?);
    Ok(problems)
}

/// What is wrong with what a chart made.
fn problems_of(chart: &Chart, objects: &[Object]) -> BTreeSet<String> {
    let mut problems = BTreeSet::new();
    let mut problem = |text: String| problems.insert(format!("{}: {text}", chart.addon));
    let mut there = BTreeSet::new();
    let mut roles = BTreeSet::new();
    for Object {
        object,
        custom,
        problem: found,
    } in objects
    {
        let name = name_of(object);
        // The charts' own custom resources may be of kinds that we have no schema of.
        if let Some(found) = found.as_ref().filter(|_| !custom) {
            problem(format!("{name}: {found}"));
        }
        for image in strings_at(object, &["image"]) {
            if object["kind"] != "CustomResourceDefinition" && !image_pinned(image) {
                problem(format!("{name}: not pinned: {image}"));
            }
        }
        let namespace = object["metadata"]["namespace"]
            .as_str()
            .unwrap_or(&chart.namespace);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        there.insert(thing(
            &text(&object["kind"]),
            namespace,
            &text(&object["metadata"]["name"]),
        ));
        if object["kind"] == "ServiceAccount" {
            roles.extend(strings_at(object, &["eks.amazonaws.com/role-arn"]));
        }
    }
    for (_, kind, namespace, name) in OF_CHARTS.iter().filter(|row| row.0 == chart.addon) {
        let wanted: Thing = thing(kind, namespace, name);
        if !there.contains(&wanted) {
            problem(format!("makes no {}", shown(&wanted)));
        }
    }
    for role in strings_at(&chart.values, &["eks.amazonaws.com/role-arn"]) {
        if !roles.contains(role) {
            problem(format!("no ServiceAccount has the role {role}"));
        }
    }
    problems
}

/// Our values that the chart's values.yaml does not have.
fn unknown_keys(chart: &Chart, folder: &Path) -> Result<BTreeSet<String>> {
    let output = Command::new(python::environment("manifests")?.join("python"))
        .arg(root().join("tests/platform/values.py"))
        .arg(folder)
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {said}", chart.addon);
    let theirs: Value = serde_json::from_slice(&output.stdout)?;
    let mut unknown = BTreeSet::new();
    compare(&chart.values, &theirs, "", &mut |key| {
        let may = |(addon, begin, _): &(&str, &str, &str)| {
            chart.addon == *addon && key.starts_with(begin)
        };
        if !UNNAMED.iter().any(may) {
            unknown.insert(format!("{}: the chart has no value {key}", chart.addon));
        }
    });
    Ok(unknown)
}

/// What is empty there, or no object, may be anything.
fn compare(ours: &Value, theirs: &Value, at: &str, unknown: &mut impl FnMut(&str)) {
    let (Some(ours), Some(theirs)) = (ours.as_object(), theirs.as_object()) else {
        return;
    };
    if theirs.is_empty() {
        return;
    }
    for (key, value) in ours {
        let at = if at.is_empty() {
            key.clone()
        } else {
            format!("{at}.{key}")
        };
        match theirs.get(key) {
            Some(theirs) => compare(value, theirs, &at, unknown),
            None => unknown(&at),
        }
    }
}

/// The kinds that these objects define.
fn defined(objects: &[Object]) -> BTreeSet<String> {
    let mut kinds = BTreeSet::new();
    let objects = objects.iter().map(|object| &object.object);
    for object in objects.filter(|object| object["kind"] == "CustomResourceDefinition") {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let group = text(&object["spec"]["group"]);
        let kind = text(&object["spec"]["names"]["kind"]);
        for version in object["spec"]["versions"].as_array().into_iter().flatten() {
            if version["served"] == true {
                kinds.insert(format!("{group}/{} {kind}", text(&version["name"])));
            }
        }
    }
    kinds
}

/// Custom resources of ours whose kind nothing in the cluster defines.
fn unknown_kinds(checker: &Checker, world: &World) -> Result<BTreeSet<String>> {
    let rendered = world.rendered.context("a cluster has add-ons")?;
    let mut kinds = BTreeSet::new();
    for objects in rendered.objects.values() {
        kinds.extend(defined(objects));
    }
    for chart in in_cluster(rendered)? {
        kinds.extend(defined(chart.made(checker)?));
    }
    Ok(undefined(&world.objects, &kinds))
}

fn undefined(objects: &[Placed], kinds: &BTreeSet<String>) -> BTreeSet<String> {
    let custom = objects.iter().filter(|placed| placed.custom);
    custom
        .filter_map(|placed| {
            let version = placed.object["apiVersion"].as_str()?;
            let kind = format!("{version} {}", placed.object["kind"].as_str()?);
            let shown = placed.shown();
            (!kinds.contains(&kind)).then(|| format!("{shown}: no chart brings {kind}"))
        })
        .collect()
}

/// A chart as small as can be: what is in values.yaml, and its one template.
const SMALL: (&str, &str) = (
    "image: registry.test/small:1.2.3\nlabels: {}\nservice: {port: 80}\n# role: \"\"\n",
    "apiVersion: v1
kind: ServiceAccount
metadata:
  name: small
  annotations: {eks.amazonaws.com/role-arn: '{{ .Values.role }}'}
---
apiVersion: v1
kind: Pod
metadata:
  name: small
  labels: {{ .Values.labels | toJson }}
spec:
  containers:
    - name: small
      image: {{ .Values.image }}
      ports: [{containerPort: {{ .Values.service.port }}}]
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: smalls.test.example.com}
spec:
  group: test.example.com
  names: {kind: Small, plural: smalls}
  scope: Namespaced
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object}}
",
);

/// What, values that are ours, the text in the template and what it becomes, and the problem.
const BROKEN: [(&str, &str, [&str; 2], &str); 6] = [
    (
        "a value that the chart does not have",
        r#"{"imge": "a"}"#,
        ["", ""],
        "small: the chart has no value imge",
    ),
    (
        "a value below one",
        r#"{"service": {"prot": 80}}"#,
        ["", ""],
        "small: the chart has no value service.prot",
    ),
    (
        "an object that is not valid",
        "{}",
        ["containerPort", "containerPrt"],
        "small: Pod small: spec.containers.0.ports.0: ",
    ),
    (
        "an image that is not pinned",
        r#"{"image": "registry.test/small:latest"}"#,
        ["", ""],
        "small: Pod small: not pinned: registry.test/small:latest",
    ),
    (
        "a role that no ServiceAccount gets",
        r#"{"labels": {"eks.amazonaws.com/role-arn": "a"}}"#,
        ["", ""],
        "small: no ServiceAccount has the role a",
    ),
    (
        "a kind that nothing brings",
        "{}",
        ["served: true", "served: false"],
        "Small small/small: no chart brings test.example.com/v1 Small",
    ),
];

/// What is wrong with the small chart, so changed.
fn small(checker: &Checker, values: &str, [from, to]: [&str; 2]) -> Result<BTreeSet<String>> {
    let folder = TempDir::new()?;
    fs::create_dir(folder.path().join("templates"))?;
    let write = |file: &str, text: &str| fs::write(folder.path().join(file), text);
    write(
        "Chart.yaml",
        "apiVersion: v2\nname: small\nversion: 0.1.0\n",
    )?;
    write("values.yaml", SMALL.0)?;
    ensure!(SMALL.1.contains(from), "it has no {from}");
    write("templates/small.yaml", &SMALL.1.replace(from, to))?;
    let chart = Chart {
        addon: "small".to_owned(),
        namespace: "small".to_owned(),
        repository: String::new(),
        name: "small".to_owned(),
        version: "0.1.0".to_owned(),
        values: serde_json::from_str(values)?,
    };
    let objects = chart.template(checker, folder.path())?;
    let mut problems = problems_of(&chart, &objects);
    problems.extend(unknown_keys(&chart, folder.path())?);
    let ours = Placed {
        namespace: "small".to_owned(),
        custom: true,
        object: json!({"apiVersion": "test.example.com/v1", "kind": "Small", "metadata": {"name": "small"}}),
    };
    problems.extend(undefined(&[ours], &defined(&objects)));
    Ok(problems)
}

fn finds(checker: &Checker, values: &str, change: [&str; 2], says: &str) -> Result<(), Failed> {
    // Otherwise it might find something else.
    none(&small(
        checker,
        r#"{"role": "b", "labels": {"any": "thing"}}"#,
        ["a", "a"],
    )?)?;
    let problems = small(checker, values, change)?;
    let problems: Vec<_> = problems.iter().collect();
    match problems[..] {
        [problem] if problem.starts_with(says) => Ok(()),
        _ => Err(format!("it says {problems:?}").into()),
    }
}

fn none(problems: &BTreeSet<String>) -> Result<(), Failed> {
    if problems.is_empty() {
        return Ok(());
    }
    let problems: Vec<&str> = problems.iter().map(String::as_str).collect();
    Err(problems.join("\n").into())
}
