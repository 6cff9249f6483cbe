//! Programs out of crates, each of one version with the dependencies that it was released with.

use std::{path::PathBuf, process::Command};

use anyhow::Result;

use super::{fetching, folder};
use crate::run::{announce, require_disk, run};

/// The program of the crate `name`, which is compiled where it was not before: that takes minutes.
///
/// # Errors
///
/// One sentence, if it cannot be had.
pub fn program(name: &str, version: &str) -> Result<PathBuf> {
    let _fetching = fetching();
    if let Some(found) = find(name, version) {
        return Ok(found);
    }
    let root = root_of(name, version);
    announce(&format!("compiling {name} {version}, for minutes"));
    std::fs::create_dir_all(&root)?;
    require_disk(&root, 1500)?;
    run(
        "compile it",
        Command::new("cargo")
            .args(["install", "--locked", "--quiet", "--root"])
            .arg(&root)
            .arg("--target-dir")
            .arg(folder().join("cargo/build"))
            .arg(format!("{name}@{version}")),
    )?;
    Ok(root.join("bin").join(name))
}

/// [`program`], if it is there without compiling.
#[must_use]
pub fn find(name: &str, version: &str) -> Option<PathBuf> {
    let program = root_of(name, version).join("bin").join(name);
    program.exists().then_some(program)
}

fn root_of(name: &str, version: &str) -> PathBuf {
    folder().join(format!("cargo/{name}@{version}"))
}
