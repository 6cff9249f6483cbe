//! What is named and there has to fit as well: a listener takes the route, a project the
//! Application, Prometheus the monitor, and some node the label.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};

use crate::world::{self, NODE_LABEL, World, selects, thing};
use deploy_tests::{checker::Checker, mutation::Mutations};

/// What of a world does not fit, and of how much.
type Fit = fn(&World) -> (usize, BTreeSet<String>);

const FITS: [(&str, Fit); 4] = [
    ("a listener takes each route", routes),
    ("a project takes each Application", projects),
    ("Prometheus takes each monitor", monitors),
    ("some node has what a shim selects", shims),
];

pub fn trials(checker: &Checker, mutations: &Mutations) -> Vec<Trial> {
    let mut trials = Vec::new();
    for (name, fit) in FITS {
        let checker = checker.clone();
        trials.push(Trial::test(format!("fits: {name}"), move || {
            let worlds = world::all(&checker)?;
            let mut problems = BTreeSet::new();
            let mut count = 0;
            for world in worlds {
                let (of_world, found) = fit(world);
                count += of_world;
                problems.extend(found.iter().map(|found| format!("{}: {found}", world.name)));
            }
            if count == 0 {
                return Err("there is nothing of that kind".into());
            }
            if problems.is_empty() {
                return Ok(());
            }
            Err(problems.into_iter().collect::<Vec<_>>().join("\n").into())
        }));
    }
    for [fit, kind, at, value, says] in mutations.rows("fits") {
        let fit = FITS[fit.parse::<usize>().expect("a number")].1;
        let checker = checker.clone();
        trials.push(Trial::test(
            format!("fits: {kind} {at} {value} is found"),
            move || finds(world::all(&checker)?, fit, &kind, &at, &value, &says),
        ));
    }
    trials
}

/// Changes the first object of the kind whose change is a problem of this fit's.
fn finds(
    worlds: &[World],
    fit: Fit,
    kind: &str,
    at: &str,
    value: &str,
    says: &str,
) -> Result<(), Failed> {
    let value: Value = serde_json::from_str(value)?;
    let (parent, key) = at.rsplit_once('/').context("it is a pointer")?;
    let mut said = BTreeSet::new();
    for world in worlds {
        let (_, before) = fit(world);
        for index in 0..world.objects.len() {
            let mut world = world.clone();
            let placed = &mut world.objects[index];
            if !placed.is(kind) {
                continue;
            }
            match placed.object.pointer_mut(parent) {
                Some(Value::Object(fields)) => {
                    fields.insert(key.replace("~1", "/"), value.clone());
                }
                Some(Value::Array(items)) if !items.is_empty() => items[0] = value.clone(),
                _ => continue,
            }
            let (_, after) = fit(&world);
            said = &after - &before;
            if said.iter().any(|problem| problem.contains(says)) {
                return Ok(());
            }
        }
    }
    Err(format!("it says {said:?}").into())
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn list<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// `*` is anything, `*.example.com` and `production-*` what they look like.
fn like(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((begin, end)) => {
            name.len() >= begin.len() + end.len() && name.starts_with(begin) && name.ends_with(end)
        }
    }
}

fn routes(world: &World) -> (usize, BTreeSet<String>) {
    let mut problems = BTreeSet::new();
    let mut count = 0;
    for route in world.of_kind("HTTPRoute") {
        for parent in list(&route.object, "/spec/parentRefs") {
            let namespace = parent["namespace"].as_str().unwrap_or(&route.namespace);
            let named = |gateway: &&world::Placed| {
                gateway.namespace == namespace && gateway.name() == parent["name"].as_str()
            };
            // That it is there, references.rs sees.
            let Some(gateway) = world.of_kind("Gateway").find(named) else {
                continue;
            };
            count += 1;
            let section = parent["sectionName"].as_str();
            let of_section =
                |listener: &&Value| section.is_none_or(|name| listener["name"] == name);
            let listeners = list(&gateway.object, "/spec/listeners").filter(of_section);
            let listeners: Vec<&Value> = listeners.collect();
            let (route_name, gateway_name) = (route.shown(), gateway.shown());
            if listeners.is_empty() {
                let section = section.unwrap_or_default();
                problems.insert(format!(
                    "{route_name}: {gateway_name} has no listener {section}"
                ));
            }
            for listener in listeners {
                let name = format!("{gateway_name}, {}", listener["name"]);
                if !admits(listener, &gateway.namespace, &route.namespace) {
                    problems.insert(format!(
                        "{name} takes no route of namespace {}",
                        route.namespace
                    ));
                }
                let own = listener["hostname"].as_str().unwrap_or("*");
                for host in list(&route.object, "/spec/hostnames").filter_map(Value::as_str) {
                    if !like(own, host) {
                        problems.insert(format!("{name} takes no route for {host}"));
                    }
                    if !listener["tls"].is_null() && !certified(world, gateway, listener, host) {
                        problems.insert(format!("{name} has no certificate for {host}"));
                    }
                }
            }
        }
    }
    (count, problems)
}

fn admits(listener: &Value, gateway: &str, route: &str) -> bool {
    let allowed = &listener["allowedRoutes"]["namespaces"];
    let labels = json!({"kubernetes.io/metadata.name": route});
    match allowed["from"].as_str() {
        Some("All") => true,
        Some("Selector") => selects(&allowed["selector"], &labels).is_ok_and(|selected| selected),
        _ => gateway == route,
    }
}

fn certified(world: &World, gateway: &world::Placed, listener: &Value, host: &str) -> bool {
    list(listener, "/tls/certificateRefs").any(|secret| {
        world.of_kind("Certificate").any(|certificate| {
            certificate.namespace == gateway.namespace
                && certificate.object["spec"]["secretName"] == secret["name"]
                && list(&certificate.object, "/spec/dnsNames")
                    .filter_map(Value::as_str)
                    .any(|name| like(name, host))
        })
    })
}

fn projects(world: &World) -> (usize, BTreeSet<String>) {
    let mut problems = BTreeSet::new();
    let mut count = 0;
    for placed in world.of_kind("Application") {
        let spec = &placed.object["spec"];
        let project = world
            .of_kind("AppProject")
            .find(|of| of.name() == spec["project"].as_str());
        let Some(project) = project.map(|project| &project.object) else {
            continue;
        };
        count += 1;
        let (cluster, namespace) = (
            text(spec, "/destination/name"),
            text(spec, "/destination/namespace"),
        );
        let goes = list(project, "/spec/destinations").any(|allowed| {
            like(text(allowed, "/name"), cluster) && like(text(allowed, "/namespace"), namespace)
        });
        if !goes {
            problems.insert(format!(
                "{} is not to bring anything to {cluster}/{namespace}",
                placed.shown()
            ));
        }
        for source in list(spec, "/sources")
            .chain([&spec["source"]])
            .filter(|source| source.is_object())
        {
            let repository = text(source, "/repoURL");
            if !list(project, "/spec/sourceRepos")
                .filter_map(Value::as_str)
                .any(|allowed| like(allowed, repository))
            {
                problems.insert(format!(
                    "{} is not to bring anything from {repository}",
                    placed.shown()
                ));
            }
            if repository == world::OURS && source["targetRevision"] != "main" {
                let revision = text(source, "/targetRevision");
                problems.insert(format!(
                    "{} follows {revision}, and not main",
                    placed.shown()
                ));
            }
        }
    }
    (count, problems)
}

fn monitors(world: &World) -> (usize, BTreeSet<String>) {
    let stack = "kube-prometheus-stack";
    // Without it, nobody looks for them.
    if !world.given.contains(&thing("add-on", "", stack)) {
        return (0, BTreeSet::new());
    }
    let kinds = ["PodMonitor", "Probe", "PrometheusRule", "ServiceMonitor"];
    let monitors = kinds.iter().flat_map(|kind| world.of_kind(kind));
    let monitors: Vec<_> = monitors.collect();
    let lost = monitors
        .iter()
        .filter(|monitor| monitor.object["metadata"]["labels"]["release"] != stack);
    let says = |monitor: &&world::Placed| {
        format!(
            "{}: Prometheus looks for the label release: {stack}",
            monitor.shown()
        )
    };
    (monitors.len(), lost.map(says).collect())
}

fn shims(world: &World) -> (usize, BTreeSet<String>) {
    let mut problems = BTreeSet::new();
    let mut count = 0;
    for shim in world.of_kind("Shim") {
        for (key, value) in shim.object["spec"]["nodeSelector"]
            .as_object()
            .into_iter()
            .flatten()
        {
            count += 1;
            let label = format!("{key}={}", value.as_str().unwrap_or_default());
            if !world.given.contains(&thing(NODE_LABEL, "", &label)) {
                problems.insert(format!("{}: no node has the label {label}", shim.shown()));
            }
        }
    }
    (count, problems)
}
