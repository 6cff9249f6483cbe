//! The tools that look at dependencies. They are compiled, which takes minutes.

use std::{path::PathBuf, process::Command};

use anyhow::Result;

use crate::tools::rust;

/// What `tests/supply_chain.rs` reads: that it is to run, and not only be listed.
pub const VARIABLE: &str = "HELLO_SUPPLY_CHAIN";

/// What `tests/supply_chain.rs` reads: that the database of advisories is there.
pub const ADVISORIES_VARIABLE: &str = "HELLO_ADVISORIES";

const DENY: (&str, &str) = ("cargo-deny", "0.20.2");
const MACHETE: (&str, &str) = ("cargo-machete", "0.9.2");

/// cargo-deny: licences, bans, sources, advisories.
///
/// # Errors
///
/// One sentence, if it cannot be had.
pub fn deny() -> Result<PathBuf> {
    rust::program(DENY.0, DENY.1)
}

/// cargo-machete: dependencies that nothing uses.
///
/// # Errors
///
/// One sentence, if it cannot be had.
pub fn machete() -> Result<PathBuf> {
    rust::program(MACHETE.0, MACHETE.1)
}

/// Whether both are there without compiling.
pub(crate) fn is_compiled() -> bool {
    [DENY, MACHETE]
        .iter()
        .all(|(name, version)| rust::find(name, version).is_some())
}

/// What runs the checks, and whether it knows the advisories of today.
pub(crate) fn command() -> Result<(Command, bool)> {
    let advisories = Command::new(deny()?)
        .args(["fetch", "db"])
        .current_dir(crate::root())
        .output()?
        .status
        .success();
    machete()?;
    let mut cargo = Command::new("cargo");
    cargo
        .args(["test", "--package", "hello", "--test", "supply_chain"])
        .env(VARIABLE, "1")
        .env_remove(ADVISORIES_VARIABLE);
    if advisories {
        cargo.env(ADVISORIES_VARIABLE, "1");
    }
    Ok((cargo, advisories))
}
