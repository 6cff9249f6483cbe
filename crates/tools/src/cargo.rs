//! Programs out of crates, each of one version with the dependencies that it was released with.

use std::{path::PathBuf, process::Command};

use anyhow::Result;

use super::{directory, fetching};
use crate::run::{announce, require_disk, run};

/// A crate's name and its version.
pub type Crate = (&'static str, &'static str);

/// Licences, bans, sources, advisories.
pub const DENY: Crate = ("cargo-deny", "0.20.2");

/// Dependencies that nothing uses.
pub const MACHETE: Crate = ("cargo-machete", "0.9.2");

/// Coverage of the tests.
pub const LLVM_COV: Crate = ("cargo-llvm-cov", "0.9.1");

/// Lists of what a component is built from.
pub const CYCLONEDX: Crate = ("cargo-cyclonedx", "0.5.9");

/// The program of the crate, which is compiled where it was not before: that takes minutes.
///
/// # Errors
///
/// One sentence, if it cannot be had.
pub fn program((name, version): Crate) -> Result<PathBuf> {
    let _fetching = fetching();
    if let Some(found) = find((name, version)) {
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
            .arg(directory().join("cargo/build"))
            .arg(format!("{name}@{version}")),
    )?;
    Ok(root.join("bin").join(name))
}

/// [`program`], if it is there without compiling.
#[must_use]
pub fn find((name, version): Crate) -> Option<PathBuf> {
    let program = root_of(name, version).join("bin").join(name);
    program.exists().then_some(program)
}

fn root_of(name: &str, version: &str) -> PathBuf {
    directory().join(format!("cargo/{name}@{version}"))
}
