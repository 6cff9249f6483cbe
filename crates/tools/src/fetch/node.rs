//! Packages from npm, each pinned with its digest.

use std::{fs, path::PathBuf, process::Command};

use anyhow::Result;

use super::tool;
use crate::{directory, root, run::run};

/// What npm installs by.
const LOCK: &str = "package-lock.json";

/// The directory whose `node_modules` has what `node/NAME/package-lock.json` names. It is
/// made anew when that file has changed. No package runs a script of its own to install itself.
pub fn packages(name: &str) -> Result<PathBuf> {
    super::fetch(tool(&format!("node/{name}")))
}

/// [`packages`], if they are there.
pub(super) fn find(name: &str) -> Option<PathBuf> {
    let packages = packages_directory(name);
    let installed = fs::read(packages.join("complete")).ok()?;
    let wanted = fs::read(source(name).join(LOCK)).ok()?;
    (installed == wanted).then_some(packages)
}

fn source(name: &str) -> PathBuf {
    root().join("crates/tools/node").join(name)
}

fn packages_directory(name: &str) -> PathBuf {
    directory().join("node").join(name)
}

pub(super) fn install(name: &str) -> Result<PathBuf> {
    let packages = packages_directory(name);
    if packages.exists() {
        fs::remove_dir_all(&packages)?;
    }
    fs::create_dir_all(&packages)?;
    for file in fs::read_dir(source(name))? {
        let file = file?;
        fs::copy(file.path(), packages.join(file.file_name()))?;
    }
    run(
        "install from npm (is there a network, and is this Node.js 20.19 or later?)",
        Command::new("npm")
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
            .args(["--engine-strict", "--loglevel", "error"])
            .current_dir(&packages),
    )?;
    // Last: it says that the rest is there.
    fs::copy(source(name).join(LOCK), packages.join("complete"))?;
    Ok(packages)
}
