//! All that one cluster has, in one place: what is rendered for it, and what is there beside that.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use deploy_tests::{
    checker::{Checker, values_file},
    manifests,
    mutation::{set, tracked},
    objects::{self, at, by_kind, fields, list, strings},
    once::Once,
    stem,
};
use serde_json::{Value, json};
use tools::root;

use crate::{
    addons::{self, OURS, Rendered, addon_of},
    facts::FACTS,
    terragrunt::COMMON,
    tree,
};

/// The world of Argo CD's own objects.
pub const ARGO: &str = "Argo CD";

/// The kind that the values of a chart have here: no object, but they refer to things as well.
const VALUES: &str = "Values";

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

    pub fn name(&self) -> &str {
        objects::name(&self.object)
    }

    /// `Kind namespace/name`.
    pub fn shown(&self) -> String {
        let kind = objects::text(&self.object, "/kind");
        shown(&thing(kind, &self.namespace, self.name()))
    }
}

pub fn thing(kind: &str, namespace: &str, name: &str) -> Thing {
    let global = FACTS.without_namespace.iter().any(|global| global == kind);
    let namespace = if global { "" } else { namespace };
    (kind.to_owned(), namespace.to_owned(), name.to_owned())
}

/// `Kind namespace/name`, or `Kind name`.
pub fn shown((kind, namespace, name): &Thing) -> String {
    let slash = if namespace.is_empty() { "" } else { "/" };
    format!("{kind} {namespace}{slash}{name}")
}

impl World {
    /// All that is there.
    pub fn things(&self) -> BTreeSet<Thing> {
        let mut things = self.given.clone();
        for placed in &self.objects {
            let text = |pointer: &str| placed.object.pointer(pointer).and_then(Value::as_str);
            let (Some(kind), Some(name)) = (text("/kind"), text("/metadata/name")) else {
                continue;
            };
            things.insert(thing(kind, &placed.namespace, name));
            let makes = FACTS.makes.iter().filter(|(maker, ..)| placed.is(maker));
            for (_, pointer, made, suffix) in makes {
                if let Some(name) = text(pointer) {
                    things.insert(thing(made, &placed.namespace, &format!("{name}{suffix}")));
                }
            }
        }
        things
    }

    /// What rules call `objects`, `addons` and `labels`: see rules.yaml.
    pub fn for_rules(&self) -> (Value, Value, Value) {
        let placed = |placed: &Placed| {
            let mut object = placed.object.clone();
            object["metadata"]["namespace"] = json!(placed.namespace);
            object
        };
        let objects: Vec<Value> = self.objects.iter().map(placed).collect();
        let given = |wanted: &str| {
            let of_kind = self.given.iter().filter(|(kind, ..)| kind == wanted);
            of_kind.map(|(.., name)| json!(name)).collect()
        };
        (by_kind(&objects), given("add-on"), given("node label"))
    }

    pub fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Placed> {
        self.objects.iter().filter(move |placed| placed.is(kind))
    }

    /// The same with another value in an object: [`set`].
    pub fn with(&self, called: &str, pointer: &str, value: &str) -> Result<Self> {
        let mut world = self.clone();
        let objects = world.objects.iter_mut().map(|placed| &mut placed.object);
        set(objects, called, pointer, value)?;
        Ok(world)
    }
}

/// The names of all worlds.
pub fn names() -> Vec<String> {
    let of_file = |file: PathBuf| {
        let choices = addons::choices().into_iter();
        choices.map(move |settings| format!("{}{}", stem(&file), addons::with(&settings)))
    };
    let clusters = addons::clusters().into_iter().flat_map(of_file);
    [ARGO.to_owned()].into_iter().chain(clusters).collect()
}

pub fn named(checker: &Checker, name: &str) -> Result<&'static World> {
    let world = all(checker)?.iter().find(|world| world.name == name);
    world.with_context(|| format!("there is no world {name}"))
}

/// Argo CD's own objects and every Application, and then each cluster with each choice.
pub fn all(checker: &Checker) -> Result<&'static [World]> {
    static ALL: Once<Vec<World>> = Once::new();
    Ok(ALL.get("", || load(checker))?)
}

fn load(checker: &Checker) -> Result<Vec<World>> {
    let mut argo = World {
        name: ARGO.to_owned(),
        cluster: "management".to_owned(),
        objects: Vec::new(),
        rendered: None,
        given: [thing("Namespace", "", "argocd")].into(),
    };
    add_argo_objects(checker, &mut argo)?;
    let mut worlds = Vec::new();
    for file in addons::clusters() {
        for settings in addons::choices() {
            let rendered = addons::rendered(checker, &file, &settings)?;
            let name = format!("{}{}", rendered.cluster, addons::with(&settings));
            worlds.push(cluster(name, rendered, &mut argo)?);
        }
        let rendered = addons::rendered(checker, &file, &[])?;
        deliver(checker, rendered, &mut argo, &mut worlds)?;
    }
    let mut common = in_git()?;
    let clusters = addons::clusters();
    common.extend(
        clusters
            .iter()
            .map(|file| thing("cluster", "", &stem(file))),
    );
    // The global control plane is there, and hands its meshes to every zone.
    let meshes = worlds.iter().flat_map(|world| world.of_kind("Mesh"));
    common.extend(meshes.map(|mesh| thing("Mesh", "", mesh.name())));
    let pools = worlds
        .iter()
        .flat_map(|world| world.of_kind("AWSManagedMachinePool"));
    for (key, value) in pools.flat_map(|pool| fields(&pool.object, "/spec/labels")) {
        let label = format!("{key}={}", value.as_str().unwrap_or_default());
        common.insert(thing("node label", "", &label));
    }
    let (of_argo, others) = argo
        .objects
        .into_iter()
        .partition(|one| one.is("*.argoproj.io"));
    argo.objects = of_argo;
    for world in worlds
        .iter_mut()
        .filter(|world| world.cluster == argo.cluster)
    {
        let others: &Vec<Placed> = &others;
        world.objects.extend(others.iter().cloned());
    }
    worlds.insert(0, argo);
    for world in &mut worlds {
        world.given.extend(common.iter().cloned());
    }
    Ok(worlds)
}

/// What `rendered` puts into its cluster, and the Applications of it into Argo CD.
fn cluster(name: String, rendered: &'static Rendered, argo: &mut World) -> Result<World> {
    let facts = facts(rendered)?;
    let everywhere = FACTS
        .everywhere
        .iter()
        .map(|(kind, name)| thing(kind, "", name));
    let mut world = World {
        name,
        cluster: rendered.cluster.clone(),
        objects: Vec::new(),
        rendered: Some(rendered),
        given: everywhere.collect(),
    };
    world.given.extend(declared(facts)?);
    for application in rendered.applications.iter().map(|one| &one.object) {
        let addon = addon_of(application)?;
        let namespace = text(application, "/spec/destination/namespace")?;
        world.given.insert(thing("Namespace", "", namespace));
        world.given.insert(thing("add-on", "", addon));
        let made = FACTS.of_charts.iter().chain(&FACTS.of_operators);
        let made = made.filter(|(of, ..)| of == addon);
        world
            .given
            .extend(made.map(|(_, kind, namespace, name)| thing(kind, namespace, name)));
        for made in rendered.objects.get(addon).into_iter().flatten() {
            world.place(namespace, &made.object, made.custom);
        }
        let charts = list(application, "/spec/sources").iter();
        for source in charts.filter(|source| source["chart"].is_string()) {
            let (metadata, values) = (json!({"name": addon}), &source["helm"]["valuesObject"]);
            let object = json!({"kind": VALUES, "metadata": metadata, "values": values});
            world.place(namespace, &object, false);
        }
        argo.add_application(application);
    }
    if rendered.application("kube-prometheus-stack").is_err() {
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
    let sets: Vec<Placed> = argo.of_kind("ApplicationSet").cloned().collect();
    for set in sets {
        let Some(application) = expand(&set.object, facts)? else {
            continue;
        };
        argo.add_application(&application);
        let source = &application["spec"]["source"];
        let path = text(&application, "/spec/source/path")?;
        // Those are the Applications that are here already.
        if path == "deploy/platform/addons" {
            continue;
        }
        let chart = root().join(path);
        let files = strings(source, "/helm/valueFiles").into_iter();
        let mut files: Vec<PathBuf> = files.map(|file| chart.join(file)).collect();
        let values = source["helm"]
            .get("valuesObject")
            .map(values_file)
            .transpose()?;
        files.extend(values.iter().map(|file| file.to_path_buf()));
        let mut settings = Vec::new();
        for parameter in list(source, "/helm/parameters") {
            let (name, value) = (text(parameter, "/name")?, text(parameter, "/value")?);
            settings.push(format!("{name}={value}"));
        }
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        let made = checker.checked(&checker.render_chart(&chart, &files, &settings)?)?;
        let cluster = text(&application, "/spec/destination/name")?;
        let namespace = text(&application, "/spec/destination/namespace")?;
        for world in worlds.iter_mut().filter(|world| world.cluster == cluster) {
            world.given.insert(thing("Namespace", "", namespace));
            for made in &made {
                world.place(namespace, &made.object, made.custom);
            }
        }
    }
    Ok(())
}

impl World {
    fn place(&mut self, namespace: &str, object: &Value, custom: bool) {
        let of_kind = thing(objects::text(object, "/kind"), namespace, "").1;
        let stated = object["metadata"]["namespace"].as_str();
        self.objects.push(Placed {
            namespace: stated.map_or(of_kind, str::to_owned),
            custom,
            object: object.clone(),
        });
    }

    /// Without the values: those are looked at where their cluster is. Files as Git names them, and
    /// only our own.
    fn add_application(&mut self, application: &Value) {
        let mut object = application.clone();
        let spec = &mut object["spec"];
        let sources = if spec["source"].is_null() {
            &mut spec["sources"]
        } else {
            &mut spec["source"]
        };
        let sources = match sources {
            Value::Array(sources) => sources,
            source => std::slice::from_mut(source),
        };
        for source in sources {
            let path = PathBuf::from(objects::text(source, "/path"));
            if source["repoURL"] != OURS {
                source.as_object_mut().map(|source| source.remove("path"));
            }
            if let Some(helm) = source["helm"].as_object_mut() {
                helm.remove("valuesObject");
                let files = helm.get_mut("valueFiles").and_then(Value::as_array_mut);
                for file in files.into_iter().flatten() {
                    *file = json!(joined(&path, file.as_str().unwrap_or_default()));
                }
            }
        }
        if !self.objects.iter().any(|placed| placed.object == object) {
            self.place("argocd", &object, true);
        }
    }
}

/// `deploy/argocd/release.yaml` of `deploy/chart` and `../argocd/release.yaml`.
fn joined(directory: &Path, file: &str) -> PathBuf {
    let mut path = directory.to_owned();
    for part in file.split('/') {
        if part == ".." {
            path.pop();
        } else {
            path.push(part);
        }
    }
    path
}

fn text<'a>(object: &'a Value, pointer: &str) -> Result<&'a str> {
    let found = object.pointer(pointer).and_then(Value::as_str);
    found.with_context(|| format!("{}: no {pointer}", object["metadata"]["name"]))
}

/// The facts of the cluster, as each Application with objects of ours gets them.
fn facts(rendered: &Rendered) -> Result<&Value> {
    let mut all = rendered
        .applications
        .iter()
        .flat_map(|object| at(object, "cluster"));
    all.next().context("no Application knows its cluster")
}

/// Adds what Argo CD is given itself.
fn add_argo_objects(checker: &Checker, argo: &mut World) -> Result<()> {
    let directories = ["deploy/argocd", "deploy/platform/argocd"];
    for file in directories.into_iter().flat_map(manifests) {
        for made in checker.read(file)? {
            argo.place("argocd", &made.object, made.custom);
        }
    }
    ensure!(!argo.objects.is_empty(), "Argo CD has no objects");
    Ok(())
}

/// What Terraform is told.
static HCL: Once<BTreeMap<String, Value>> = Once::new();

/// What Terraform is told to make for a cluster: the roles of its service accounts, and the entries
/// of its account in Secrets Manager.
fn declared(facts: &Value) -> Result<BTreeSet<Thing>> {
    let (cluster, stage) = (text(facts, "/name")?, text(facts, "/stage")?);
    let (stage, region) = (format!("live/{stage}/"), text(facts, "/region")?);
    let mut things = BTreeSet::new();
    let hcl = HCL.get("", || tree::hcl(&root()))?;
    // What units share goes before what they add.
    let said_of = |unit: &str, said: &'static Value, pointer: &str| {
        let common = hcl.get(&format!("live/{COMMON}{unit}.hcl"));
        let common = common.unwrap_or(&Value::Null);
        [strings(common, pointer), strings(said, pointer)].concat()
    };
    for (file, said) in hcl {
        let Some(unit) = file.strip_prefix(&stage) else {
            continue;
        };
        if unit == format!("{region}/identity/terragrunt.hcl") {
            for component in said_of("identity", said, "/inputs/components") {
                things.insert(thing("IAM role", "", &format!("{cluster}-{component}")));
            }
        // Other regions of the stage have copies.
        } else if unit.ends_with("/secrets/terragrunt.hcl") {
            for name in said_of("secrets", said, "/inputs/names") {
                things.insert(thing("Secrets Manager entry", "", name));
            }
        }
    }
    ensure!(
        !things.is_empty(),
        "{stage}{region} has neither roles nor secrets"
    );
    Ok(things)
}

const CLUSTERS: &str = "deploy/platform/addons/clusters/*.yaml";

/// The Application that an ApplicationSet makes for a cluster, if its generator selects that.
fn expand(set: &Value, cluster: &Value) -> Result<Option<Value>> {
    let name = format!("ApplicationSet {}", set["metadata"]["name"]);
    let [generator] = list(set, "/spec/generators") else {
        bail!("{name} has more or less than the one generator that is evaluated here");
    };
    // Else one Application for each cluster's file, all into one cluster.
    if generator["matrix"]["generators"][1]["git"]["files"][0]["path"] != CLUSTERS {
        let selector = &generator["clusters"]["selector"];
        ensure!(
            selector.is_object(),
            "{name} generates in a way unknown here"
        );
        let labels = json!({
            "hello.example.com/role": cluster["role"],
            "hello.example.com/stage": cluster["stage"],
        });
        if !selects(selector, &labels)? {
            return Ok(None);
        }
    }
    let mut application = set["spec"]["template"].clone();
    evaluate(&mut application, cluster).context(name)?;
    application["apiVersion"] = set["apiVersion"].clone();
    application["kind"] = json!("Application");
    Ok(Some(application))
}

/// Whether a label selector takes these labels.
fn selects(selector: &Value, labels: &Value) -> Result<bool> {
    let mut wanted = fields(selector, "/matchLabels");
    let mut selected = wanted.all(|(key, value)| labels[key] == *value);
    for expression in list(selector, "/matchExpressions") {
        let label = &labels[objects::text(expression, "/key")];
        let listed = list(expression, "/values").contains(label);
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
        Value::Object(fields) => fields
            .values_mut()
            .try_for_each(|field| evaluate(field, cluster)),
        Value::Array(items) => items
            .iter_mut()
            .try_for_each(|item| evaluate(item, cluster)),
        Value::String(text) => {
            for (template, fact) in &FACTS.templates {
                *text = text.replace(template, cluster[fact].as_str().unwrap_or_default());
            }
            ensure!(!text.contains("{{"), "nobody evaluates {text}");
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Every file that Git knows, and every directory with one.
fn in_git() -> Result<BTreeSet<Thing>> {
    let ancestors = tracked()?
        .iter()
        .flat_map(|file| Path::new(file).ancestors());
    let paths = ancestors.filter_map(Path::to_str);
    Ok(paths.map(|path| thing("file", "", path)).collect())
}
