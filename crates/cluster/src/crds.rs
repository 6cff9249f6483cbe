//! Custom resource definitions, out of the modules of who wrote them.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use harness::wait::wait_until;
use serde::Deserialize;

use crate::kubectl::Kubectl;

/// A row of `crds.yaml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    module: String,
    version: String,
    /// As in a go.sum.
    sum: String,
    /// Files and directories in the module.
    paths: Vec<PathBuf>,
}

pub(crate) const SOURCES: &str = include_str!("../crds.yaml");

/// The groups whose definitions are in no module, and whose they are.
pub const UNDEFINED: [(&str, &str); 2] =
    [("kuma.io", "Kuma"), ("runtime.wasmcloud.dev", "wasmCloud")];

fn sources() -> Result<Vec<Source>> {
    Ok(yaml_serde::from_str(SOURCES)?)
}

impl Source {
    fn directory(&self) -> Result<PathBuf> {
        tools::fetch::go::module(&self.module, &self.version, &self.sum)
    }

    /// Adds the definitions in it.
    fn definitions(&self, files: &mut Vec<PathBuf>) -> Result<()> {
        let directory = self.directory()?;
        for path in &self.paths {
            collect(&directory.join(path), files)
                .with_context(|| format!("{} has no definitions there", self.module))?;
        }
        Ok(())
    }
}

fn named<'a>(sources: &'a [Source], name: &str) -> Result<&'a Source> {
    let source = sources.iter().find(|source| source.module == name);
    source.with_context(|| format!("crds.yaml has no {name}"))
}

/// The directory of a module that `crds.yaml` names.
pub(crate) fn module(name: &str) -> Result<PathBuf> {
    named(&sources()?, name)?.directory()
}

/// Downloads the modules that `crds.yaml` names, and returns the definitions in them.
///
/// # Errors
///
/// If one cannot be had.
pub fn fetch() -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for source in sources()? {
        source.definitions(&mut files)?;
    }
    Ok(files)
}

/// Gives the API server every definition.
///
/// # Errors
///
/// If one cannot be had, or is refused.
pub fn install(kubectl: &Kubectl) -> Result<()> {
    apply(kubectl, &fetch()?)
}

/// Gives the API server the definitions of these modules alone.
///
/// # Errors
///
/// As [`install`]; or if `crds.yaml` does not name one.
pub fn install_of(kubectl: &Kubectl, modules: &[&str]) -> Result<()> {
    let sources = sources()?;
    let mut files = Vec::new();
    for name in modules {
        named(&sources, name)?.definitions(&mut files)?;
    }
    apply(kubectl, &files)
}

/// Applies the definitions in these files and directories, and waits until they are served.
///
/// # Errors
///
/// If one is refused.
pub fn apply(kubectl: &Kubectl, files: &[PathBuf]) -> Result<()> {
    let names: Vec<String> = files
        .iter()
        .map(|file| format!("--filename={}", file.display()))
        .collect();
    let mut arguments = vec!["apply", "--server-side"];
    arguments.extend(names.iter().map(String::as_str));
    kubectl.run(&arguments)?;
    let established = [
        "wait",
        "--for=condition=Established",
        "--timeout=60s",
        "crds",
        "--all",
    ];
    // One that is a moment old has no conditions, which kubectl calls an error.
    wait_until(
        "the definitions to be established",
        Duration::from_secs(60),
        Duration::from_millis(200),
        || anyhow::Ok(kubectl.run(&established).ok()),
    )?;
    Ok(())
}

/// Adds the manifests at `path`.
pub(crate) fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if path.is_file() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        let is_manifest = file
            .extension()
            .is_some_and(|extension| extension == "yaml");
        // Beside them there may be what Kustomize reads.
        if is_manifest && !file.ends_with("kustomization.yaml") {
            files.push(file);
        }
    }
    Ok(())
}
