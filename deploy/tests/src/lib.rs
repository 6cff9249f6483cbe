//! Checks of deploy/, each seen to pass on the tree and to fail on a mutated one.
//!
//! | test | of what |
//! | --- | --- |
//! | manifests | the chart and the manifests of Argo CD and wasmCloud |
//! | cluster | all of it on a real Kubernetes |
//! | cluster_full | what Argo CD delivers there |
//! | controllers | what controllers of the platform make of it there |
//! | platform | Terraform, clusters, add-ons and diagrams of deploy/platform |
//! | operations | alerts, dashboard, backup, and the swap |
//! | workflows | .github |
//! | supply_chain | licences, sources and use of all dependencies |

#![allow(missing_docs, reason = "nothing outside these tests uses it")]

pub mod checker;
pub mod moto;
pub mod mutation;
pub mod objects;
pub mod once;
pub mod platform;
pub mod pods;
pub mod receivers;
pub mod rules;
mod validator;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tools::root;

use crate::objects::{strings, text};

/// What a test takes for given: `deploy/tests/TEST/facts.yaml`.
///
/// # Panics
///
/// If it cannot be read.
pub fn facts<T: DeserializeOwned>(test: &str) -> T {
    let file = root().join(format!("deploy/tests/{test}/facts.yaml"));
    yaml(&file).unwrap_or_else(|error| panic!("{error:#}"))
}

/// What a file of YAML says.
pub fn yaml<T: DeserializeOwned>(file: &Path) -> Result<T> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    yaml_serde::from_str(&text).with_context(|| file.display().to_string())
}

/// The values of the service in each cluster that it is delivered to, as Argo CD reads them, by the
/// cluster's name, with which its stage begins.
///
/// # Panics
///
/// If the ApplicationSet cannot be read.
pub fn service_values() -> BTreeMap<String, Vec<PathBuf>> {
    let set: Value = yaml(&root().join("deploy/argocd/applicationset.yaml")).expect("it is valid");
    let chart = root().join(text(&set, "/spec/template/spec/source/path"));
    let files = strings(&set, "/spec/template/spec/source/helm/valueFiles");
    let clusters = yaml_files("deploy/platform/addons/clusters");
    let clusters = clusters.iter().map(|file| stem(file));
    let values = |cluster: String| {
        let of_cluster = |file: &&str| {
            let file = file.replace("{{ .values.stage }}", stage_of(&cluster));
            let file = chart.join(file.replace("{{ .name }}", &cluster));
            file.canonicalize().expect("a file of the project")
        };
        let values = files.iter().map(of_cluster).collect();
        (cluster, values)
    };
    clusters
        .filter(|name| name != "management")
        .map(values)
        .collect()
}

/// `production` of `production-eu-west-1`.
pub fn stage_of(cluster: &str) -> &str {
    cluster.split('-').next().unwrap_or_default()
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

/// The manifests of a directory. What is named `….values.yaml` or `release.yaml` is for a chart.
///
/// # Panics
///
/// As [`yaml_files`].
pub fn manifests(directory: &str) -> Vec<PathBuf> {
    let mut files = yaml_files(directory);
    files.retain(|file| {
        let name = file.to_string_lossy();
        !name.ends_with(".values.yaml") && !name.ends_with("/release.yaml")
    });
    files
}

/// `production-eu-west-1` of `…/production-eu-west-1.yaml`.
pub fn stem(file: &Path) -> String {
    let name = file.file_stem().unwrap_or_default();
    name.to_string_lossy().into_owned()
}
