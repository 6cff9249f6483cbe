//! LLVM's tools for source-based coverage, in the version of LLVM that rustc has.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, ensure};

use crate::{
    find, find_or_fetch,
    run::{read, run},
};

/// llvm-cov and llvm-profdata: the toolchain's own, else rustup adds them, else Debian has them.
///
/// # Errors
///
/// If rustup cannot add them, and Debian's are of another version.
pub fn tools() -> Result<[PathBuf; 2]> {
    let libraries = read(
        "ask rustc for its libraries",
        Command::new("rustc").args(["--print", "target-libdir"]),
    )?;
    let own = ["llvm-cov", "llvm-profdata"]
        .map(|name| Path::new(libraries.trim()).with_file_name("bin").join(name));
    if own[0].exists() {
        return Ok(own);
    }
    let version = rustc_version::version_meta()?.llvm_version;
    let is_debians = version.is_some_and(|version| version.major == 22);
    if !is_debians || find("llvm-cov-22").is_none() {
        let added = run(
            "add llvm-tools with rustup",
            Command::new("rustup").args(["component", "add", "llvm-tools"]),
        );
        let Err(error) = added else {
            return Ok(own);
        };
        ensure!(is_debians, "{error:#}; Debian's LLVM is not this rustc's");
    }
    let [cov, profdata] = ["llvm-cov-22", "llvm-profdata-22"].map(find_or_fetch);
    Ok([cov?, profdata?])
}
