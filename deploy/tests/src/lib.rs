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
pub mod facts;
pub mod mutation;
pub mod observability;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use anyhow::Result;
use tools::root;

/// The values of the service in each cluster that it is delivered to, in the order in which Argo CD
/// reads them (deploy/argocd/applicationset.yaml), by the cluster's name.
///
/// # Errors
///
/// Those of the file system.
pub fn service_values() -> Result<BTreeMap<String, Vec<PathBuf>>> {
    let argocd = root().join("deploy/argocd");
    let mut files = BTreeMap::new();
    for file in fs::read_dir(argocd.join("clusters"))? {
        let file = file?.path();
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        files.insert(name.into_owned(), file);
    }
    // `production.yaml` is what `production-eu-central-1.yaml` and its like have in common.
    let stage_of = |name: &str| name.split('-').next().unwrap_or_default().to_owned();
    let stages: BTreeSet<String> = (files.keys())
        .filter(|name| name.contains('-'))
        .map(|name| stage_of(name))
        .collect();
    let clusters = files.iter().filter(|(name, _)| !stages.contains(*name));
    Ok(clusters
        .map(|(name, file)| {
            let mut values = vec![argocd.join("release.yaml")];
            values.extend(
                stages
                    .get(&stage_of(name))
                    .map(|stage| files[stage].clone()),
            );
            values.push(file.clone());
            (name.clone(), values)
        })
        .collect())
}
