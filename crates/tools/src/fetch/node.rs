//! Packages from npm, each pinned with its digest.

use std::{fs, path::PathBuf, process::Command};

use anyhow::Result;

use super::tool;
use crate::{
    directory,
    find::{find, find_or_fetch},
    root,
    run::run,
};

/// What npm installs by.
const LOCK: &str = "package-lock.json";

/// The directory whose `node_modules` has what `node/NAME/package-lock.json` names. It is
/// made anew when that file has changed. No package runs a script of its own to install itself.
pub fn packages(name: &str) -> Result<PathBuf> {
    super::fetch(tool(&format!("node/{name}")))
}

/// A command that runs Node.js.
pub fn command() -> Result<Command> {
    Ok(Command::new(find_or_fetch("node")?))
}

/// A command that runs npm: the one beside Node.js, else the one on PATH.
fn npm() -> Command {
    let node = find("node");
    let beside = node.as_deref().and_then(|node| {
        let script = node
            .ancestors()
            .nth(2)?
            .join("lib/node_modules/npm/bin/npm-cli.js");
        script.exists().then_some((node, script))
    });
    let Some((node, script)) = beside else {
        return Command::new("npm");
    };
    let mut npm = Command::new(node);
    npm.arg(script);
    npm
}

/// [`packages`], if they are there.
pub(super) fn installed(name: &str) -> Option<PathBuf> {
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

/// [`packages`], unless they are there: several programs may be in one archive of theirs.
pub(super) fn install(name: &str) -> Result<PathBuf> {
    if let Some(packages) = installed(name) {
        return Ok(packages);
    }
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
        "install from npm (is there a network?)",
        npm()
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
            .args(["--engine-strict", "--loglevel", "error"])
            .current_dir(&packages),
    )?;
    // Last: it says that the rest is there.
    fs::copy(source(name).join(LOCK), packages.join("complete"))?;
    Ok(packages)
}
