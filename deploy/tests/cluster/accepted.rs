//! Every object is accepted by the real API server: structural schemas, CEL rules, defaults and its
//! own validation; and Argo CD would see nothing to do afterwards.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use anyhow::{Context, Result, ensure};
use cluster::{control_plane::ControlPlane, crds::UNDEFINED};
use deploy_tests::{
    checker::{CHART, Checker, none},
    objects::{listed, of_kind, parsed, text, title},
    once::Once,
    service_values, stem, yaml_files,
};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::on_cluster;

pub fn trials(checker: &Checker) -> Vec<Trial> {
    let examples = yaml_files("deploy/chart/examples");
    let examples = examples.into_iter().map(|file| (stem(&file), vec![file]));
    let clusters = service_values().into_iter();
    let charts = examples
        .map(|(name, values)| (format!("example {name}"), values))
        .chain(clusters.map(|(name, values)| (format!("cluster {name}"), values)));
    let charts = charts.map(|(name, values)| {
        let checker = checker.clone();
        let title = format!("chart, {name}: accepted, and a second apply changes nothing");
        on_cluster(title, move |plane| chart(&checker, plane, &name, &values))
    });
    let refusals = [
        on_cluster("a rule in CEL is seen to refuse", refuses_a_route),
        on_cluster("a default in a list is seen to differ", sees_drift),
    ];
    charts.chain(refusals).collect()
}

/// A route whose backend may take longer than the whole request.
fn refuses_a_route(plane: &ControlPlane) -> Result<()> {
    let route = "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: slow}, \
                 spec: {rules: [{timeouts: {request: 1s, backendRequest: 2s}}]}}";
    let refused = accepted(plane, "default", route)
        .err()
        .context("it was accepted")?;
    let refused = format!("{refused:#}");
    ensure!(
        refused.contains("backendRequest timeout cannot be longer"),
        "{refused}"
    );
    Ok(())
}

/// A secret that leaves to the definition what Argo CD would then find and not know.
fn sees_drift(plane: &ControlPlane) -> Result<()> {
    let secret = "{apiVersion: external-secrets.io/v1, kind: ExternalSecret, metadata: {name: terse}, \
                  spec: {data: [{secretKey: one, remoteRef: {key: one}}]}}";
    let drift = accepted(plane, "default", secret)
        .err()
        .context("nothing differs")?;
    let drift = format!("{drift:#}");
    ensure!(drift.contains("conversionStrategy"), "{drift}");
    Ok(())
}

/// Applies what the chart renders in a namespace of its own.
fn chart(checker: &Checker, plane: &ControlPlane, name: &str, values: &[PathBuf]) -> Result<()> {
    let namespace = name.replace(' ', "-");
    let yaml = checker.template("hello", &namespace, CHART, values, &[])?;
    accepted(plane, &namespace, &yaml)
}

/// Applies the objects in `namespace`, twice.
///
/// # Errors
///
/// As [`placed`] and [`all_accepted`].
pub fn accepted(plane: &ControlPlane, namespace: &str, yaml: &str) -> Result<()> {
    let objects = parsed(yaml)?.into_iter();
    let set: Set = objects
        .map(|object| (namespace.to_owned(), object))
        .collect();
    all_accepted(plane, &placed(plane, &set)?)
}

/// Objects, each with the namespace that it goes to, if it is in one and names none.
pub type Set = Vec<(String, Value)>;

/// The objects of a set as they are applied, each with its namespace; without the [`UNDEFINED`].
///
/// # Errors
///
/// If the API server has no such kind.
pub fn placed(plane: &ControlPlane, set: &Set) -> Result<Vec<Value>> {
    let kinds = kinds(plane)?;
    let mut objects = Vec::new();
    for (namespace, object) in set {
        let (group, kind) = kind(object);
        if UNDEFINED.iter().any(|(of, _)| *of == group) {
            continue;
        }
        let is_namespaced = kinds.get(&(group, kind));
        let is_namespaced =
            is_namespaced.with_context(|| format!("{}: no such kind", title(object)))?;
        let mut object = object.clone();
        if *is_namespaced && text(&object, "/metadata/namespace").is_empty() {
            object["metadata"]["namespace"] = json!(namespace);
        }
        objects.push(object);
    }
    ensure!(!objects.is_empty(), "there is nothing to apply");
    Ok(objects)
}

/// Applies [`placed`] objects, twice.
///
/// # Errors
///
/// What the API server refuses; or where an object as it is then differs from what was applied,
/// in a way that Argo CD would call out of sync for ever.
pub fn all_accepted(plane: &ControlPlane, wanted: &[Value]) -> Result<()> {
    let kubectl = &plane.kubectl;
    let wanted = with_namespaces(wanted);
    let listed = listed(&wanted);
    let applied = kubectl.apply(&listed, &["--output=json"])?;
    let diff = ["diff", "--server-side", "--concurrency=4", "--filename=-"];
    let changes = kubectl.run_with(&diff, &listed);
    changes.context("a second apply changes something")?;
    let live = items(&serde_json::from_str(&applied)?);
    ensure!(
        live.len() == wanted.len(),
        "{} of {} objects",
        live.len(),
        wanted.len()
    );
    none(wanted.iter().flat_map(|wanted| {
        let same = |live: &&Value| {
            [
                "/kind",
                "/apiVersion",
                "/metadata/namespace",
                "/metadata/name",
            ]
            .iter()
            .all(|at| text(live, at) == text(wanted, at))
        };
        let Some(live) = live.iter().find(same) else {
            return vec![format!("{} is not there", title(wanted))];
        };
        // Of its own kinds, the API server's schema tells Argo CD the defaults.
        let (group, _) = kind(wanted);
        let is_custom = group.contains('.') && !group.ends_with(".k8s.io");
        let is_custom = is_custom || group.starts_with("gateway.");
        if is_custom {
            drift(wanted, live, &title(wanted))
        } else {
            Vec::new()
        }
    }))
}

/// The objects and the namespaces that they are in, these first.
fn with_namespaces(objects: &[Value]) -> Vec<Value> {
    let name_of = |object| text(object, "/metadata/name");
    let brought: BTreeSet<&str> = of_kind(objects, "Namespace").map(name_of).collect();
    let names = objects
        .iter()
        .map(|object| text(object, "/metadata/namespace"));
    let names: BTreeSet<&str> = names.filter(|name| !name.is_empty()).collect();
    let others = names
        .difference(&brought)
        .map(|name| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
    let mut all: Vec<Value> = others.chain(objects.iter().cloned()).collect();
    all.sort_by_key(|object| object["kind"] != "Namespace");
    all
}

/// The group of an object, empty for Kubernetes's core, and its kind.
fn kind(object: &Value) -> (String, String) {
    let group = text(object, "/apiVersion").rsplit_once('/');
    let group = group.map_or("", |(group, _)| group);
    (group.to_owned(), text(object, "/kind").to_owned())
}

/// The kinds that the API server has, and whether they are in a namespace.
pub fn kinds(plane: &ControlPlane) -> Result<&'static BTreeMap<(String, String), bool>> {
    static KINDS: Once<BTreeMap<(String, String), bool>> = Once::new();
    KINDS.get("", || {
        let table = plane.kubectl.run(&["api-resources", "--no-headers"])?;
        let row = |line: &str| {
            // Before them there may be a short name.
            let mut words = line.split_whitespace().rev();
            let (kind, namespaced, version) = (words.next()?, words.next()?, words.next()?);
            let group = version.rsplit_once('/').map_or("", |(group, _)| group);
            Some(((group.to_owned(), kind.to_owned()), namespaced == "true"))
        };
        Ok(table.lines().filter_map(row).collect())
    })
}

fn items(answer: &Value) -> Vec<Value> {
    match answer["items"].as_array() {
        Some(items) => items.clone(),
        None => vec![answer.clone()],
    }
}

/// Where `live` is not what was `wanted`, as a JSON merge patch (RFC 7396) sees it: a list is one
/// value, so that a default within one is a difference.
fn drift(wanted: &Value, live: &Value, at: &str) -> Vec<String> {
    match (wanted, live) {
        (Value::Object(wanted), Value::Object(live)) => wanted
            .iter()
            .flat_map(|(key, value)| {
                let at = format!("{at}, {key}");
                drift(value, live.get(key).unwrap_or(&Value::Null), &at)
            })
            .collect(),
        (wanted, live) if wanted == live => Vec::new(),
        (wanted, live) => vec![format!("{at}: {wanted} became {live}")],
    }
}
