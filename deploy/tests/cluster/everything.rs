//! What is beside the chart, on the real API server: add-ons, clusters, Argo CD's and wasmCloud's
//! objects.

use std::path::PathBuf;

use anyhow::Result;
use cluster::{control_plane::ControlPlane, crds::UNDEFINED};
use deploy_tests::{
    checker::{Checker, none},
    manifests,
    objects::{listed, parsed, text},
    platform::{self, addon_of},
    stem,
};
use libtest_mimic::Trial;

use crate::{
    accepted::{Set, all_accepted, kinds, placed},
    on_cluster,
};

pub fn trials(checker: &Checker) -> Vec<Trial> {
    let mut trials = Vec::new();
    for file in platform::clusters() {
        // A cluster of either role has what other choices add.
        let shows_choices = ["management", "dev"].contains(&stem(&file).as_str());
        let count = if shows_choices { usize::MAX } else { 1 };
        for choices in choices().into_iter().take(count) {
            let title = format!("add-ons, {}{}", stem(&file), platform::with(&choices));
            let file = file.clone();
            trials.push(accepts(checker, &title, move |checker| {
                add_ons(platform::rendered(checker, &file, &choices)?)
            }));
        }
    }
    let wasmcloud = |_: &Checker| read("hello", &manifests("deploy/wasmcloud"));
    trials.push(accepts(checker, "clusters", clusters));
    trials.push(accepts(checker, "Argo CD", |_| argo_cd()));
    trials.push(accepts(checker, "deploy/wasmcloud", wasmcloud));
    let groups = UNDEFINED.map(|(group, _)| group).join(" and ");
    let title = format!("not applied, having no definition: kinds of {groups}");
    trials.push(on_cluster(title, undefined));
    trials
}

/// The clusters' own choices, and then the others, in as few renderings as show them all: a suite
/// replaces what the rest are of.
fn choices() -> Vec<Vec<&'static str>> {
    let others = platform::choices().into_iter().flatten();
    let (suites, rest): (Vec<_>, Vec<_>) =
        others.partition(|choice| choice.starts_with("choices.suite="));
    let suites = suites.into_iter().map(|suite| vec![suite]);
    [vec![]].into_iter().chain(suites).chain([rest]).collect()
}

/// A trial of the set that `render` gives.
fn accepts<R>(checker: &Checker, what: &str, render: R) -> Trial
where
    R: FnOnce(&Checker) -> Result<Set> + Send + 'static,
{
    let checker = checker.clone();
    let title = format!("{what}: accepted, and a second apply changes nothing");
    on_cluster(title, move |plane| applied_alone(plane, &render(&checker)?))
}

/// Applies the objects of a set, and takes away what the next set, or a release, would meet.
fn applied_alone(plane: &ControlPlane, set: &Set) -> Result<()> {
    let mut objects = placed(plane, set)?;
    let outcome = all_accepted(plane, &objects);
    // Without a controller, a namespace would never end.
    objects.retain(|object| object["kind"] != "Namespace");
    let delete = [
        "delete",
        "--filename=-",
        "--wait=false",
        "--ignore-not-found",
    ];
    plane.kubectl.run_with(&delete, &listed(&objects))?;
    outcome
}

/// The Applications of a cluster's add-ons, and our own objects of each.
fn add_ons(rendered: &platform::Rendered) -> Result<Set> {
    let mut set = Set::new();
    for application in &rendered.applications {
        let namespace = text(application, "/spec/destination/namespace");
        let made = rendered.objects.get(addon_of(application)?);
        let made = made.into_iter().flatten();
        set.extend(made.map(|made| (namespace.to_owned(), made.object.clone())));
        set.push(("argocd".to_owned(), application.object.clone()));
    }
    Ok(set)
}

/// What Cluster API is given: that of all clusters, in the one that manages them.
fn clusters(checker: &Checker) -> Result<Set> {
    let mut set = Set::new();
    for file in platform::clusters() {
        let yaml = platform::cluster_api(checker, &stem(&file), &[])?;
        let objects = parsed(&yaml)?.into_iter();
        set.extend(objects.map(|object| ("clusters".to_owned(), object)));
    }
    Ok(set)
}

/// What Argo CD is given itself.
fn argo_cd() -> Result<Set> {
    let directories = ["deploy/argocd", "deploy/platform/argocd"];
    let mut files: Vec<PathBuf> = directories.into_iter().flat_map(manifests).collect();
    files.push("clusters/bootstrap/management-secret.yaml".into());
    read("argocd", &files)
}

/// The objects of files, for `namespace`.
fn read(namespace: &str, files: &[PathBuf]) -> Result<Set> {
    let mut set = Set::new();
    for file in files {
        let objects = parsed(&platform::read(file)?)?.into_iter();
        set.extend(objects.map(|object| (namespace.to_owned(), object)));
    }
    Ok(set)
}

fn undefined(plane: &ControlPlane) -> Result<()> {
    let kinds = kinds(plane)?;
    let defined = UNDEFINED.into_iter().filter(|(group, _)| {
        let mut kinds = kinds.keys();
        kinds.any(|(of, _)| of == group)
    });
    none(defined.map(|(group, _)| format!("{group} has definitions: apply its objects")))
}
