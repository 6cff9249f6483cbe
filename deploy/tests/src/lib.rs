//! Checks of deploy/, each seen to pass on the tree and to fail on a mutated one.
//!
//! | test | of what |
//! | --- | --- |
//! | manifests | the chart and the manifests of Argo CD and wasmCloud |
//! | platform | Terraform, clusters, add-ons and diagrams of deploy/platform |
//! | operations | alerts, dashboard, backup, and the swap |
//! | workflows | .github |
//! | supply_chain | licences, sources and use of all dependencies |

#![allow(missing_docs, reason = "nothing outside these tests uses it")]

pub mod checker;
pub mod mutation;
pub mod objects;
pub mod once;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;
use tools::root;

/// What a test takes for given: `deploy/tests/TEST/facts.yaml`.
///
/// # Panics
///
/// If it cannot be read.
pub fn facts<T: DeserializeOwned>(test: &str) -> T {
    let file = root().join(format!("deploy/tests/{test}/facts.yaml"));
    let yaml = fs::read_to_string(&file).expect("a file of the project");
    yaml_serde::from_str(&yaml).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The values of the service in each cluster that it is delivered to, in the order in which Argo CD
/// reads them (deploy/argocd/applicationset.yaml), by the cluster's name.
pub fn service_values() -> BTreeMap<String, Vec<PathBuf>> {
    let files = yaml_files("deploy/argocd/clusters");
    let files: BTreeMap<String, PathBuf> =
        files.into_iter().map(|file| (stem(&file), file)).collect();
    // `production.yaml` is what `production-eu-central-1.yaml` and its like have in common.
    let stage_of = |name: &str| name.split('-').next().unwrap_or_default().to_owned();
    let clusters = files.keys().filter(|name| name.contains('-'));
    let stages: BTreeSet<String> = clusters.map(|name| stage_of(name)).collect();
    let clusters = files.iter().filter(|(name, _)| !stages.contains(*name));
    let values = clusters.map(|(name, file)| {
        let stage = stages
            .get(&stage_of(name))
            .map(|stage| files[stage].clone());
        let release = root().join("deploy/argocd/release.yaml");
        let values = [release].into_iter().chain(stage).chain([file.clone()]);
        (name.clone(), values.collect())
    });
    values.collect()
}

/// The YAML files of a directory of the project, by name.
///
/// # Panics
///
/// If there is no such directory.
pub fn yaml_files(directory: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(directory)).expect("a directory of the project");
    let files = entries.map(|entry| entry.expect("it can be listed").path());
    let yaml = |file: &PathBuf| {
        file.extension()
            .is_some_and(|extension| extension == "yaml")
    };
    let mut files: Vec<PathBuf> = files.filter(yaml).collect();
    files.sort();
    files
}

/// `production-eu-west-1` of `…/production-eu-west-1.yaml`.
pub fn stem(file: &Path) -> String {
    let name = file.file_stem().unwrap_or_default();
    name.to_string_lossy().into_owned()
}
