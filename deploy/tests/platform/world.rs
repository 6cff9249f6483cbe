//! All that one cluster has, in one place: what is rendered for it, and what is there beside that.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::{Value, json};

use crate::addons::{self, Rendered};
use deploy_tests::{
    checker::{Checker, at},
    facts::FACTS,
};

pub const NODE_LABEL: &str = "node label";

pub const ENTRY: &str = "Secrets Manager entry";

/// Our own repository.
pub const OURS: &str = "https://github.com/example/hello.git";

/// The world of Argo CD's own objects.
pub const ARGO: &str = "Argo CD";

/// Kind, namespace and name. The namespace is empty where there is none.
pub type Thing = (String, String, String);

#[derive(Clone)]
pub struct World {
    /// As a test shows it: `canary with logs=elasticsearch`.
    pub name: String,
    pub cluster: String,
    pub objects: Vec<Placed>,
    /// What they are of, if it is a cluster's.
    pub rendered: Option<&'static Rendered>,
    /// What is there, and no object of these says so.
    pub given: BTreeSet<Thing>,
}

/// An object where it goes.
#[derive(Clone)]
pub struct Placed {
    pub namespace: String,
    /// Whether it is no kind of Kubernetes itself.
    pub custom: bool,
    pub object: Value,
}

impl Placed {
    /// Whether it is of this `Kind` or `Kind.group`; `*` is every kind.
    pub fn is(&self, kind: &str) -> bool {
        let (kind, group) = kind.split_once('.').unwrap_or((kind, ""));
        let version = self.object["apiVersion"].as_str().unwrap_or_default();
        (kind == "*" || self.object["kind"] == kind) && version.starts_with(group)
    }

    pub fn name(&self) -> Option<&str> {
        self.object["metadata"]["name"].as_str()
    }

    /// `Kind namespace/name`.
    pub fn shown(&self) -> String {
        let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
        let kind = text(&self.object["kind"]);
        shown(&thing(
            &kind,
            &self.namespace,
            &text(&self.object["metadata"]["name"]),
        ))
    }
}

pub fn thing(kind: &str, namespace: &str, name: &str) -> Thing {
    let namespace = if FACTS
        .without_namespace
        .iter()
        .any(|without| without == kind)
    {
        ""
    } else {
        namespace
    };
    (kind.to_owned(), namespace.to_owned(), name.to_owned())
}

/// `Kind namespace/name`, or `Kind name`.
pub fn shown((kind, namespace, name): &Thing) -> String {
    if namespace.is_empty() {
        format!("{kind} {name}")
    } else {
        format!("{kind} {namespace}/{name}")
    }
}

impl World {
    /// All that is there.
    pub fn things(&self) -> BTreeSet<Thing> {
        let mut things = self.given.clone();
        for placed in &self.objects {
            let object = &placed.object;
            let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
            let (Some(kind), Some(name)) = (text("/kind"), text("/metadata/name")) else {
                continue;
            };
            things.insert(thing(kind, &placed.namespace, name));
            for [maker, pointer, made, suffix] in &FACTS.makes {
                if let Some(name) = text(pointer).filter(|_| placed.is(maker)) {
                    things.insert(thing(made, &placed.namespace, &format!("{name}{suffix}")));
                }
            }
        }
        things
    }

    pub fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Placed> {
        self.objects.iter().filter(move |placed| placed.is(kind))
    }
}

/// The names of all worlds.
pub fn names() -> Vec<String> {
    let mut names = vec![ARGO.to_owned()];
    for file in addons::clusters() {
        for settings in addons::choices() {
            names.push(format!(
                "{}{}",
                addons::shown(&file),
                addons::with(&settings)
            ));
        }
    }
    names
}

pub fn named(checker: &Checker, name: &str) -> Result<&'static World> {
    let world = all(checker)?.iter().find(|world| world.name == name);
    world.with_context(|| format!("there is no world {name}"))
}

/// Argo CD's own objects and every Application, and then each cluster with each choice.
pub fn all(checker: &Checker) -> Result<&'static [World]> {
    static ALL: OnceLock<std::result::Result<Vec<World>, String>> = OnceLock::new();
    let all = ALL.get_or_init(|| load(checker).map_err(|error| format!("{error:#}")));
    all.as_deref().map_err(|error| anyhow!(error.clone()))
}

fn load(checker: &Checker) -> Result<Vec<World>> {
    let mut argo = World {
        name: ARGO.to_owned(),
        cluster: "management".to_owned(),
        objects: argo_objects(checker)?,
        rendered: None,
        given: [thing("Namespace", "", "argocd")].into(),
    };
    let mut worlds = Vec::new();
    for file in addons::clusters() {
        for settings in addons::choices() {
            let rendered = addons::rendered(checker, &file, &settings)?;
            let name = format!("{}{}", rendered.cluster, addons::with(&settings));
            worlds.push(cluster(name, rendered, &mut argo)?);
        }
        deliver(
            checker,
            addons::rendered(checker, &file, &[])?,
            &mut argo,
            &mut worlds,
        )?;
    }
    let mut common = in_git()?;
    let clusters = addons::clusters();
    common.extend(
        clusters
            .iter()
            .map(|file| thing("cluster", "", &addons::shown(file))),
    );
    // The global control plane is there, and hands its meshes to every zone.
    let meshes = worlds.iter().flat_map(|world| world.of_kind("Mesh"));
    common.extend(meshes.filter_map(|mesh| Some(thing("Mesh", "", mesh.name()?))));
    let pools = worlds
        .iter()
        .flat_map(|world| world.of_kind("AWSManagedMachinePool"));
    for (key, value) in pools
        .filter_map(|pool| pool.object["spec"]["labels"].as_object())
        .flatten()
    {
        let label = format!("{key}={}", value.as_str().unwrap_or_default());
        common.insert(thing(NODE_LABEL, "", &label));
    }
    for world in worlds
        .iter_mut()
        .filter(|world| world.cluster == argo.cluster)
    {
        let ours = argo
            .objects
            .iter()
            .filter(|placed| !placed.is("*.argoproj.io"));
        world.objects.extend(ours.cloned());
    }
    argo.objects.retain(|placed| placed.is("*.argoproj.io"));
    worlds.insert(0, argo);
    for world in &mut worlds {
        world.given.extend(common.iter().cloned());
    }
    Ok(worlds)
}

/// What `rendered` puts into its cluster, and the Applications of it into Argo CD.
fn cluster(name: String, rendered: &'static Rendered, argo: &mut World) -> Result<World> {
    let facts = facts(rendered)?;
    let mut world = World {
        name,
        cluster: rendered.cluster.clone(),
        objects: Vec::new(),
        rendered: Some(rendered),
        given: FACTS
            .everywhere
            .iter()
            .map(|[kind, name]| thing(kind, "", name))
            .collect(),
    };
    world.given.extend(declared(facts)?);
    for application in rendered.applications.iter().map(|object| &object.object) {
        let addon = addons::addon_of(application)?;
        let namespace = text(application, "/spec/destination/namespace")?;
        world.given.insert(thing("Namespace", "", namespace));
        world.given.insert(thing("add-on", "", addon));
        let of_chart = (FACTS.made_by_charts.iter())
            .chain(&FACTS.made_by_operators)
            .filter(|[of, ..]| of == addon);
        let made = of_chart.map(|[_, kind, namespace, name]| thing(kind, namespace, name));
        world.given.extend(made);
        for object in rendered.objects.get(addon).into_iter().flatten() {
            world.place(namespace, object.object.clone(), object.custom);
        }
        for source in application["spec"]["sources"]
            .as_array()
            .into_iter()
            .flatten()
        {
            if source["chart"].is_string() {
                let values = &source["helm"]["valuesObject"];
                let metadata = json!({"name": addon});
                let values = json!({"kind": VALUES, "metadata": metadata, "values": values});
                world.place(namespace, values, false);
            }
        }
        argo.add_application(application);
    }
    if !world
        .given
        .contains(&thing("add-on", "", "kube-prometheus-stack"))
    {
        // What lets Prometheus in, where Datadog is instead of it, lets in nobody.
        world.given.insert(thing("Namespace", "", "monitoring"));
    }
    Ok(world)
}

/// What the ApplicationSets bring for a cluster, into whatever cluster they bring it.
fn deliver(
    checker: &Checker,
    rendered: &Rendered,
    argo: &mut World,
    worlds: &mut [World],
) -> Result<()> {
    let facts = facts(rendered)?;
    for set in argo.objects.clone() {
        let expanded = if set.is("ApplicationSet") {
            expand(&set.object, facts)?
        } else {
            None
        };
        let Some(application) = expanded else {
            continue;
        };
        argo.add_application(&application);
        let source = &application["spec"]["source"];
        let path = text(&application, "/spec/source/path")?;
        // Those are the Applications that are here already.
        if path == "deploy/platform/addons" {
            continue;
        }
        let chart = tools::root().join(path);
        let mut files = Vec::new();
        for file in source["helm"]["valueFiles"]
            .as_array()
            .into_iter()
            .flatten()
        {
            files.push(chart.join(file.as_str().context("a file's name is a string")?));
        }
        let values = tempfile::Builder::new().suffix(".json").tempfile()?;
        let object = &source["helm"]["valuesObject"];
        fs::write(
            values.path(),
            if object.is_null() {
                "{}".to_owned()
            } else {
                object.to_string()
            },
        )?;
        files.push(values.path().to_owned());
        let mut settings = Vec::new();
        for parameter in source["helm"]["parameters"]
            .as_array()
            .into_iter()
            .flatten()
        {
            settings.push(format!(
                "{}={}",
                text(parameter, "/name")?,
                text(parameter, "/value")?
            ));
        }
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        let made = checker.checked(&checker.render_chart(&chart, &files, &settings)?)?;
        let cluster = text(&application, "/spec/destination/name")?;
        let namespace = text(&application, "/spec/destination/namespace")?;
        for world in worlds.iter_mut().filter(|world| world.cluster == cluster) {
            world.given.insert(thing("Namespace", "", namespace));
            for object in &made {
                world.place(namespace, object.object.clone(), object.custom);
            }
        }
    }
    Ok(())
}

/// The kind that the values of a chart have here: no object, but they refer to things as well.
pub const VALUES: &str = "Values";

impl World {
    fn place(&mut self, namespace: &str, object: Value, custom: bool) {
        let kind = object["kind"].as_str().unwrap_or_default();
        let namespace = match object["metadata"]["namespace"].as_str() {
            Some(stated) => stated.to_owned(),
            None => thing(kind, namespace, "").1,
        };
        self.objects.push(Placed {
            namespace,
            custom,
            object,
        });
    }

    /// Without the values: those are looked at where their cluster is. Files as Git names them, and
    /// only our own.
    fn add_application(&mut self, application: &Value) {
        let mut application = application.clone();
        let spec = &mut application["spec"];
        let mut sources: Vec<&mut Value> = match spec["source"].is_null() {
            true => spec["sources"]
                .as_array_mut()
                .into_iter()
                .flatten()
                .collect(),
            false => vec![&mut spec["source"]],
        };
        for source in &mut sources {
            let path = source["path"].as_str().unwrap_or_default().to_owned();
            if source["repoURL"] != OURS {
                source.as_object_mut().map(|source| source.remove("path"));
            }
            if let Some(helm) = source["helm"].as_object_mut() {
                helm.remove("valuesObject");
                for file in helm
                    .get_mut("valueFiles")
                    .and_then(Value::as_array_mut)
                    .into_iter()
                    .flatten()
                {
                    *file = json!(joined(&path, file.as_str().unwrap_or_default()));
                }
            }
        }
        if !self
            .objects
            .iter()
            .any(|placed| placed.object == application)
        {
            self.place("argocd", application, true);
        }
    }
}

/// `deploy/argocd/release.yaml` of `deploy/chart` and `../argocd/release.yaml`.
fn joined(directory: &str, file: &str) -> String {
    let mut path = PathBuf::from(directory);
    for part in file.split('/') {
        if part == ".." {
            path.pop();
        } else {
            path.push(part);
        }
    }
    path.display().to_string()
}

fn text<'a>(object: &'a Value, pointer: &str) -> Result<&'a str> {
    let found = object.pointer(pointer).and_then(Value::as_str);
    found.with_context(|| format!("{}: no {pointer}", object["metadata"]["name"]))
}

/// The facts of the cluster, as each Application with objects of ours gets them.
fn facts(rendered: &Rendered) -> Result<&Value> {
    let all = rendered
        .applications
        .iter()
        .flat_map(|object| at(&object.object, "cluster"));
    all.into_iter()
        .next()
        .context("no Application knows its cluster")
}

fn argo_objects(checker: &Checker) -> Result<Vec<Placed>> {
    let mut placed = Vec::new();
    for directory in ["deploy/argocd", "deploy/platform/argocd"] {
        for file in yaml_files(directory)? {
            let yaml = fs::read_to_string(&file)?;
            // Values of a chart are there as well.
            if !yaml.lines().any(|line| line.starts_with("kind: ")) {
                continue;
            }
            for object in checker.checked(&yaml)? {
                let namespace = object.object["metadata"]["namespace"].as_str();
                let namespace = namespace.unwrap_or("argocd").to_owned();
                placed.push(Placed {
                    namespace,
                    custom: object.custom,
                    object: object.object,
                });
            }
        }
    }
    ensure!(!placed.is_empty(), "Argo CD has no objects");
    Ok(placed)
}

fn yaml_files(directory: &str) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let directory = tools::root().join(directory);
    if directory.is_dir() {
        for entry in fs::read_dir(directory)? {
            files.push(entry?.path());
        }
    }
    files.retain(|file| {
        file.extension()
            .is_some_and(|extension| extension == "yaml")
    });
    files.sort();
    Ok(files)
}

/// What Terraform is told to make for a cluster: the roles of its service accounts, and the entries
/// of its account in Secrets Manager.
fn declared(facts: &Value) -> Result<BTreeSet<Thing>> {
    let (cluster, stage) = (text(facts, "/name")?, text(facts, "/stage")?);
    let stage = tools::root()
        .join("deploy/platform/terraform/live")
        .join(stage);
    let identity = stage
        .join(text(facts, "/region")?)
        .join("identity/terragrunt.hcl");
    let components = strings_of(&identity, "components")?;
    let mut things: BTreeSet<Thing> = components
        .iter()
        .map(|component| thing("IAM role", "", &format!("{cluster}-{component}")))
        .collect();
    for region in fs::read_dir(&stage)? {
        // Other regions of the stage have copies.
        let secrets = region?.path().join("secrets/terragrunt.hcl");
        if secrets.is_file() {
            let names = strings_of(&secrets, "names")?;
            things.extend(names.iter().map(|name| thing(ENTRY, "", name)));
        }
    }
    Ok(things)
}

/// The strings of the list that a file of Terragrunt's gives for an input.
fn strings_of(file: &Path, input: &str) -> Result<Vec<String>> {
    let text =
        fs::read_to_string(file).with_context(|| format!("there is no {}", file.display()))?;
    let list = text
        .split_once(&format!("  {input} = ["))
        .and_then(|(_, after)| after.split_once(']'));
    let (list, _) = list.with_context(|| format!("{} has no {input}", file.display()))?;
    let strings: Vec<String> = list
        .split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect();
    ensure!(!strings.is_empty(), "{}: no {input}", file.display());
    Ok(strings)
}

const CLUSTERS: &str = "deploy/platform/addons/clusters/*.yaml";

/// The Application that an ApplicationSet makes for a cluster, if its generator selects that.
fn expand(set: &Value, cluster: &Value) -> Result<Option<Value>> {
    let name = &set["metadata"]["name"];
    let labels = json!({
        "hello.example.com/role": cluster["role"],
        "hello.example.com/stage": cluster["stage"],
    });
    let generators = set["spec"]["generators"]
        .as_array()
        .context("it has generators")?;
    let [generator] = &generators[..] else {
        bail!("ApplicationSet {name} has more than the one generator that is evaluated here");
    };
    let selector = &generator["clusters"]["selector"];
    // Else one Application for each cluster's file, all into one cluster.
    if generator["matrix"]["generators"][1]["git"]["files"][0]["path"] != CLUSTERS {
        ensure!(
            selector.is_object(),
            "ApplicationSet {name} generates in a way unknown here"
        );
        if !selects(selector, &labels)? {
            return Ok(None);
        }
    }
    let mut application = set["spec"]["template"].clone();
    evaluate(&mut application, cluster).with_context(|| format!("ApplicationSet {name}"))?;
    application["apiVersion"] = set["apiVersion"].clone();
    application["kind"] = json!("Application");
    Ok(Some(application))
}

/// Whether a label selector takes these labels.
pub fn selects(selector: &Value, labels: &Value) -> Result<bool> {
    let labels_wanted = selector["matchLabels"].as_object().into_iter().flatten();
    let mut selected = labels_wanted
        .into_iter()
        .all(|(key, value)| labels[key] == *value);
    for expression in selector["matchExpressions"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let label = &labels[expression["key"].as_str().unwrap_or_default()];
        let listed = expression["values"].as_array();
        let listed = listed.is_some_and(|values| values.contains(label));
        selected &= match expression["operator"].as_str() {
            Some("In") => listed,
            Some("NotIn") => !listed,
            Some("Exists") => !label.is_null(),
            Some("DoesNotExist") => label.is_null(),
            _ => bail!("a selector has no such operator: {expression}"),
        };
    }
    Ok(selected)
}

/// Fills in what an ApplicationSet's templates say of a cluster.
fn evaluate(value: &mut Value, cluster: &Value) -> Result<()> {
    match value {
        Value::Object(fields) => {
            for field in fields.values_mut() {
                evaluate(field, cluster)?;
            }
        }
        Value::Array(items) => {
            for item in items {
                evaluate(item, cluster)?;
            }
        }
        Value::String(text) => {
            for (template, fact) in [
                ("{{ .name }}", "name"),
                ("{{ .cluster.name }}", "name"),
                ("{{ .values.stage }}", "stage"),
                ("{{ .values.account }}", "account"),
                (
                    r#"{{ index .metadata.labels "hello.example.com/stage" }}"#,
                    "stage",
                ),
                (
                    r#"{{ index .metadata.annotations "hello.example.com/account" }}"#,
                    "account",
                ),
                (
                    r#"{{ index .metadata.annotations (print "hello.example.com/account-" .cluster.stage) }}"#,
                    "account",
                ),
            ] {
                *text = text.replace(template, cluster[fact].as_str().unwrap_or_default());
            }
            ensure!(!text.contains("{{"), "nobody evaluates {text}");
        }
        _ => {}
    }
    Ok(())
}

/// Every file that Git knows, and every directory with one.
fn in_git() -> Result<BTreeSet<Thing>> {
    let mut things = BTreeSet::new();
    for file in deploy_tests::mutation::tracked()? {
        let ancestors = Path::new(&file).ancestors().filter_map(Path::to_str);
        things.extend(ancestors.map(|path| thing("file", "", path)));
    }
    Ok(things)
}
