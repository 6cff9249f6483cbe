//! The charts of others, rendered with our values.
//!
//! They are in the directory that HELLO_CHARTS names, as NAME-VERSION.tgz or unpacked as NAME-VERSION,
//! or come from their repositories into target/tools/charts.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, OnceLock, PoisonError},
    thread,
};

use anyhow::{Context, Result, anyhow, ensure};
use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};
use tempfile::TempDir;
use tools::{
    charts::{self, VARIABLE, find_or_pull, pull},
    python, root,
};

use crate::{
    addons,
    hygiene::image_pinned,
    world::{self, Placed, Thing, World, shown, thing},
};
use deploy_tests::{
    checker::{Checker, Object, name_of, strings_at},
    facts::FACTS,
    mutation::Mutations,
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
    if charts::source().is_none() {
        trials = trials
            .into_iter()
            .map(|trial| trial.with_ignored_flag(true))
            .collect();
    }
    for [what, values, from, to, says] in mutations.rows("charts") {
        let checker = checker.clone();
        trials.push(Trial::test(format!("charts: {what} is found"), move || {
            finds(&checker, &values, [&from, &to], &says)
        }));
    }
    trials.push(Trial::test("charts: one is pulled", || Ok(pulls()?)));
    trials.push(Trial::test("charts: a registry is asked", || {
        Ok(asks_registries()?)
    }));
    for [what, name, version, says] in mutations.rows("charts, not pulled") {
        trials.push(Trial::test(
            format!("charts: {what} is not pulled"),
            move || Ok(pulls_not(&name, &version, &says)?),
        ));
    }
    let also = checker.clone();
    trials.push(Trial::test(
        "charts: kinds that no chart has are of what brings them",
        move || Ok(takes_what_is_brought(&also)?),
    ));
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
    fn directory(&self) -> Result<PathBuf> {
        let source = charts::source().context("no repository of charts answers")?;
        find_or_pull(&source, &self.repository, &self.name, &self.version)
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
                .directory()
                .and_then(|directory| self.template(checker, &directory));
            made.map_err(|error| format!("{}: {error:#}", self.addon))
        });
        made.as_deref().map_err(|error| anyhow!(error.clone()))
    }

    fn template(&self, checker: &Checker, directory: &Path) -> Result<Vec<Object>> {
        let values = tempfile::Builder::new().suffix(".json").tempfile()?;
        fs::write(values.path(), self.values.to_string())?;
        let mut command = Command::new(tools::find_or_fetch("helm")?);
        command
            .args(["template", &self.addon])
            .arg(directory)
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
    problems.extend(unknown_keys(chart, &chart.directory()?)?);
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
    for [_, kind, namespace, name] in
        (FACTS.made_by_charts.iter()).filter(|row| row[0] == chart.addon)
    {
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
fn unknown_keys(chart: &Chart, directory: &Path) -> Result<BTreeSet<String>> {
    let output = Command::new(python::environment("manifests")?.join("python"))
        .arg(root().join("deploy/tests/platform/values.py"))
        .arg(directory)
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {said}", chart.addon);
    let theirs: Value = serde_json::from_slice(&output.stdout)?;
    let mut unknown = BTreeSet::new();
    compare(&chart.values, &theirs, "", &mut |key| {
        let may = |[addon, value, _]: &[String; 3]| {
            let below = value.ends_with('.') && key.starts_with(value);
            chart.addon == *addon && (below || key == value)
        };
        if !FACTS.unnamed_values.iter().any(may) {
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

/// The kinds that these objects define, or have defined.
fn defined(objects: &[Object]) -> BTreeSet<String> {
    let mut kinds = BTreeSet::new();
    for object in objects.iter().map(|object| &object.object) {
        for (kind, name, brings) in &FACTS.crds_of_providers {
            if object["kind"] == *kind && object["metadata"]["name"] == *name {
                kinds.extend(brings.iter().cloned());
            }
        }
        if object["kind"] != "CustomResourceDefinition" {
            continue;
        }
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
    for application in rendered.applications.iter().map(|object| &object.object) {
        let sources = application["spec"]["sources"].as_array();
        for source in sources.into_iter().flatten() {
            kinds.extend(in_git(source));
        }
    }
    Ok(undefined(&world.objects, &kinds))
}

/// The kinds that a source of an Application has in Git.
fn in_git(source: &Value) -> BTreeSet<String> {
    let directories = (FACTS.crds_in_git.iter()).filter(|(repository, path, _)| {
        source["repoURL"] == *repository && source["path"] == *path
    });
    directories.flat_map(|row| row.2.clone()).collect()
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

/// What is wrong with the small chart, so changed.
fn small(checker: &Checker, values: &str, [from, to]: [&str; 2]) -> Result<BTreeSet<String>> {
    let directory = TempDir::new()?;
    fs::create_dir(directory.path().join("templates"))?;
    let write = |file: &str, text: &str| fs::write(directory.path().join(file), text);
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
    let objects = chart.template(checker, directory.path())?;
    let mut problems = problems_of(&chart, &objects);
    problems.extend(unknown_keys(&chart, directory.path())?);
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

/// A repository of charts, as a web server has them: the small chart, and what is none.
struct Repository {
    directory: TempDir,
    address: String,
}

impl Repository {
    fn new() -> Result<Self> {
        let directory = TempDir::new()?;
        let small = directory.path().join("small");
        fs::create_dir_all(small.join("templates"))?;
        fs::write(small.join("values.yaml"), SMALL.0)?;
        fs::write(small.join("templates/small.yaml"), SMALL.1)?;
        for version in ["1.2.3", "v1.2.4"] {
            fs::write(
                small.join("Chart.yaml"),
                format!("apiVersion: v2\nname: small\nversion: {version}\n"),
            )?;
            Self::helm(&directory, &["package", "small", "--destination", "."])?;
        }
        // As charts are named where each release has a directory of its own.
        fs::rename(
            directory.path().join("small-1.2.3.tgz"),
            directory.path().join("small.tgz"),
        )?;
        Self::helm(&directory, &["repo", "index", "."])?;
        let index = directory.path().join("index.yaml");
        let entry = |name: &str, version: &str, file: &str| {
            format!(
                "  {name}:\n  - {{apiVersion: v2, name: {name}, version: {version}, urls: [{file}]}}\n"
            )
        };
        let text = fs::read_to_string(&index)?.replace(
            "entries:\n",
            &[
                "entries:\n",
                &entry("page", "1.0.0", "page-1.0.0.tgz"),
                &entry("gone", "1.0.0", "gone-1.0.0.tgz"),
                &entry("other", "1.0.0", "small.tgz"),
            ]
            .concat(),
        );
        fs::write(&index, text)?;
        fs::write(
            directory.path().join("page-1.0.0.tgz"),
            "<html>Log in</html>",
        )?;
        let address = serve(directory.path().to_owned())?;
        Ok(Self { directory, address })
    }

    fn helm(directory: &TempDir, arguments: &[&str]) -> Result<()> {
        let output = Command::new(tools::find_or_fetch("helm")?)
            .args(arguments)
            .current_dir(directory.path())
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "helm {arguments:?}: {said}");
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

/// A server of what is in `directory`, until the process ends.
fn serve(directory: PathBuf) -> Result<String> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = format!("http://127.0.0.1:{}/charts", listener.local_addr()?.port());
    thread::spawn(move || {
        for stream in listener.incoming() {
            // A client that leaves early is no concern of the next one.
            let _ = stream.and_then(|stream| answer(stream, &directory));
        }
    });
    Ok(address)
}

fn answer(mut stream: TcpStream, directory: &Path) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    // A handshake of TLS, which has no lines: without an answer, Helm would ask again for a while.
    if reader.fill_buf()?.first() == Some(&0x16) {
        return stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    }
    let mut lines = reader.lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let path = request.split(' ').nth(1).unwrap_or_default();
    let file = path.strip_prefix("/charts/").unwrap_or_default();
    let (status, body) = match fs::read(directory.join(file)) {
        Ok(body) => ("200 OK", body),
        Err(_) => ("404 Not Found", Vec::new()),
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    stream.write_all(&body)
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
        let said = format!("{:#}", pulled.err().context("it is pulled")?);
        let server = host.trim_end_matches("/charts");
        let asks = format!("https://{server}/v2/charts/small/manifests/v1.2.4");
        ensure!(said.contains(&asks), "it says {said}");
    }
    Ok(())
}

fn pulls_not(name: &str, version: &str, says: &str) -> Result<()> {
    let repository = Repository::new()?;
    let (pulled, files) = repository.pull(&repository.address, name, version)?;
    ensure!(files.is_empty(), "it left {files:?}");
    let error = pulled.err().context("it is pulled")?;
    let said = format!("{error:#}");
    ensure!(said.contains(says), "it says {said}");
    ensure!(said.contains(VARIABLE), "it says not what to do: {said}");
    // A directory that somebody names is not written to.
    let into = repository.directory.path().join("pulled");
    let found = find_or_pull(&into, &repository.address, "small", "1.2.3");
    ensure!(
        found.is_err(),
        "it is pulled into a directory of somebody's"
    );
    Ok(())
}

/// Each row of the two tables is of something that a cluster has, and of nothing else.
fn takes_what_is_brought(checker: &Checker) -> Result<()> {
    let mut sources = Vec::new();
    for file in addons::clusters() {
        for application in &addons::rendered(checker, &file, &[])?.applications {
            let of_one = application.object["spec"]["sources"].as_array();
            sources.extend(of_one.into_iter().flatten());
        }
    }
    for (repository, path, kinds) in &FACTS.crds_in_git {
        let mut directory = json!({"repoURL": repository, "path": path});
        let there = sources
            .iter()
            .any(|source| source["repoURL"] == *repository && source["path"] == *path);
        ensure!(there, "no add-on has {path} of {repository}");
        ensure!(
            in_git(&directory).iter().eq(kinds),
            "{repository} brings less"
        );
        directory["path"] = json!("another");
        ensure!(
            in_git(&directory).is_empty(),
            "another directory brings {kinds:?}"
        );
    }
    for (kind, name, kinds) in &FACTS.crds_of_providers {
        let brings = |name: &str| {
            defined(&[Object {
                object: json!({"kind": kind, "metadata": {"name": name}}),
                custom: true,
                problem: None,
            }])
        };
        ensure!(brings(name).iter().eq(kinds), "{kind} {name} brings less");
        ensure!(
            brings("another").is_empty(),
            "another {kind} brings {kinds:?}"
        );
    }
    Ok(())
}

fn none(problems: &BTreeSet<String>) -> Result<(), Failed> {
    if problems.is_empty() {
        return Ok(());
    }
    let problems: Vec<&str> = problems.iter().map(String::as_str).collect();
    Err(problems.join("\n").into())
}
