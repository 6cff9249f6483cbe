//! `cargo xtask manifests`: the chart and the manifests of deploy/, rendered and validated.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, ensure};

use crate::{root, test};

/// What `tests/manifests` reads: that it is to run, and not only be listed.
pub const VARIABLE: &str = "HELLO_MANIFESTS";

/// What `tests/manifests` reads: the folder of the schemas for custom resources, or nothing.
pub const SCHEMAS_VARIABLE: &str = "HELLO_SCHEMAS";

/// Where the schemas are if nobody says otherwise.
const SCHEMAS: &str = "../shared/schemas";

/// What the command line chooses.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The folder of the custom resources' JSON Schemas, GROUP/KIND_VERSION.json [default:
    /// ../shared/schemas of the project, if it is there]
    #[arg(long, value_name = "DIR", env = SCHEMAS_VARIABLE)]
    schemas: Option<PathBuf>,
}

/// Runs the checks of the manifests alone.
///
/// # Errors
///
/// If one fails, or the folder of schemas is not there.
pub fn manifests(options: &Options) -> Result<()> {
    let schemas = match &options.schemas {
        Some(folder) => {
            ensure!(
                folder.is_dir(),
                "{} is no folder with schemas",
                folder.display()
            );
            Some(folder.canonicalize()?)
        }
        None => schemas(),
    };
    test::manifests_alone(schemas.as_deref())
}

/// The folder of the schemas, if the project has it beside it or the environment names one.
#[must_use]
pub fn schemas() -> Option<PathBuf> {
    let named = std::env::var_os(SCHEMAS_VARIABLE).map(PathBuf::from);
    named.or_else(|| root().join(SCHEMAS).canonicalize().ok())
}

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

/// What runs the checks.
pub(crate) fn command(schemas: Option<&Path>) -> Command {
    let mut cargo = Command::new("cargo");
    cargo
        .args(["test", "--package", "hello", "--test", "manifests"])
        .env(VARIABLE, "1")
        .env_remove(SCHEMAS_VARIABLE);
    if let Some(schemas) = schemas {
        cargo.env(SCHEMAS_VARIABLE, schemas);
    }
    cargo
}
