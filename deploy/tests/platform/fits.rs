//! What is named and there has to fit as well: a listener takes the route, a project the
//! Application, Prometheus the monitor, and some node the label.

use anyhow::ensure;
use deploy_tests::{
    checker::{Checker, none},
    mutation::{Mutations, fails},
    objects::{fields, list, strings, text},
};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::{
    addons::OURS,
    world::{self, Placed, World, selects, thing},
};

/// Of how much something is, and what of a world does not fit.
type Fit = fn(&World) -> (usize, Vec<String>);

const FITS: [(&str, Fit); 4] = [
    ("a listener takes each route", routes),
    ("a project takes each Application", projects),
    ("Prometheus takes each monitor", monitors),
    ("some node has what a shim selects", shims),
];

pub fn trials(checker: &Checker, mutations: &Mutations) -> Vec<Trial> {
    let mut trials = Vec::new();
    for (name, fit) in FITS {
        trials.push(checker.trial(format!("fits: {name}"), move |checker| {
            let (mut count, mut problems) = (0, Vec::new());
            for world in world::all(checker)? {
                let (of_world, found) = fit(world);
                count += of_world;
                problems.extend(found.iter().map(|found| format!("{}: {found}", world.name)));
            }
            ensure!(count > 0, "there is nothing of that kind");
            none(problems)
        }));
        for [world, object, pointer, value, says] in mutations.rows(&format!("fits, {name}")) {
            let title = format!("fits: {value} at {pointer} of {object} fails");
            trials.push(checker.trial(title, move |checker| {
                let world = world::named(checker, &world)?.with(&object, &pointer, &value)?;
                fails(none(fit(&world).1), &says)
            }));
        }
    }
    trials
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

fn routes(world: &World) -> (usize, Vec<String>) {
    let (mut count, mut problems) = (0, Vec::new());
    for route in world.of_kind("HTTPRoute") {
        for parent in list(&route.object, "/spec/parentRefs") {
            let namespace = parent["namespace"].as_str().unwrap_or(&route.namespace);
            let mut gateways = world.of_kind("Gateway");
            let named = |gateway: &&Placed| {
                gateway.namespace == namespace && parent["name"] == gateway.name()
            };
            // That it is there, references.rs sees.
            if let Some(gateway) = gateways.find(named) {
                count += 1;
                problems.extend(taken(world, route, gateway, parent["sectionName"].as_str()));
            }
        }
    }
    (count, problems)
}

/// Whether the listeners of a Gateway, or the one of this name, take a route.
fn taken(world: &World, route: &Placed, gateway: &Placed, section: Option<&str>) -> Vec<String> {
    let mut problems = Vec::new();
    let listeners = list(&gateway.object, "/spec/listeners").iter();
    let of_section = |one: &&Value| section.is_none_or(|name| one["name"] == name);
    let listeners: Vec<&Value> = listeners.filter(of_section).collect();
    if listeners.is_empty() {
        let (route, section) = (route.shown(), section.unwrap_or_default());
        problems.push(format!(
            "{route}: {} has no listener {section}",
            gateway.shown()
        ));
    }
    for listener in listeners {
        let name = format!("{}, {}", gateway.shown(), listener["name"]);
        if !admits(listener, &gateway.namespace, &route.namespace) {
            problems.push(format!(
                "{name} takes no route of namespace {}",
                route.namespace
            ));
        }
        let own = listener["hostname"].as_str().unwrap_or("*");
        for host in strings(&route.object, "/spec/hostnames") {
            if !like(own, host) {
                problems.push(format!("{name} takes no route for {host}"));
            }
            if !listener["tls"].is_null() && !certified(world, gateway, listener, host) {
                problems.push(format!("{name} has no certificate for {host}"));
            }
        }
    }
    problems
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

fn certified(world: &World, gateway: &Placed, listener: &Value, host: &str) -> bool {
    let secrets = list(listener, "/tls/certificateRefs");
    world.of_kind("Certificate").any(|certificate| {
        let made = &certificate.object["spec"]["secretName"];
        let mut names = strings(&certificate.object, "/spec/dnsNames").into_iter();
        certificate.namespace == gateway.namespace
            && secrets.iter().any(|secret| secret["name"] == *made)
            && names.any(|name| like(name, host))
    })
}

fn projects(world: &World) -> (usize, Vec<String>) {
    let (mut count, mut problems) = (0, Vec::new());
    for placed in world.of_kind("Application") {
        let (spec, shown) = (&placed.object["spec"], placed.shown());
        let mut projects = world.of_kind("AppProject");
        let Some(project) = projects.find(|one| spec["project"] == one.name()) else {
            continue;
        };
        count += 1;
        let to = |of: &Value| {
            (
                text(of, "/name").to_owned(),
                text(of, "/namespace").to_owned(),
            )
        };
        let (cluster, namespace) = to(&spec["destination"]);
        let mut destinations = list(&project.object, "/spec/destinations").iter().map(to);
        if !destinations.any(|(name, of)| like(&name, &cluster) && like(&of, &namespace)) {
            problems.push(format!(
                "{shown} is not to bring anything to {cluster}/{namespace}"
            ));
        }
        let sources = list(spec, "/sources").iter().chain(spec.get("source"));
        for source in sources {
            let (repository, revision) =
                (text(source, "/repoURL"), text(source, "/targetRevision"));
            let mut allowed = strings(&project.object, "/spec/sourceRepos").into_iter();
            if !allowed.any(|allowed| like(allowed, repository)) {
                problems.push(format!(
                    "{shown} is not to bring anything from {repository}"
                ));
            }
            if repository == OURS && revision != "main" {
                problems.push(format!("{shown} follows {revision}, and not main"));
            }
        }
    }
    (count, problems)
}

fn monitors(world: &World) -> (usize, Vec<String>) {
    let stack = "kube-prometheus-stack";
    // Without it, nobody looks for them.
    if !world.given.contains(&thing("add-on", "", stack)) {
        return (0, Vec::new());
    }
    let kinds = ["PodMonitor", "Probe", "PrometheusRule", "ServiceMonitor"];
    let monitors: Vec<&Placed> = kinds.iter().flat_map(|kind| world.of_kind(kind)).collect();
    let lost = |one: &&&Placed| one.object["metadata"]["labels"]["release"] != stack;
    let lost = monitors.iter().filter(lost).map(|monitor| monitor.shown());
    let says = |shown| format!("{shown}: Prometheus looks for the label release: {stack}");
    (monitors.len(), lost.map(says).collect())
}

fn shims(world: &World) -> (usize, Vec<String>) {
    let (mut count, mut problems) = (0, Vec::new());
    for shim in world.of_kind("Shim") {
        for (key, value) in fields(&shim.object, "/spec/nodeSelector") {
            count += 1;
            let label = format!("{key}={}", value.as_str().unwrap_or_default());
            if !world.given.contains(&thing("node label", "", &label)) {
                problems.push(format!("{}: no node has the label {label}", shim.shown()));
            }
        }
    }
    (count, problems)
}
