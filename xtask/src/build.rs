//! Builds the components.

use std::{env, fs, io, path::Path, process::Command};

use anyhow::{Context, Result};

use crate::{
    HostKind,
    component::component,
    run::{announce, run},
    wasm_target::{Compiler, TARGET},
};

/// What `hello_build_info` tells as the revision, see `src/metrics.rs`.
const REVISION_VARIABLE: &str = "HELLO_REVISION";

/// Builds the artifact of `host`, or of all hosts, and says how large each is.
///
/// # Errors
///
/// One sentence, if there is no compiler or the build fails.
pub fn build(host: Option<HostKind>) -> Result<()> {
    build_as(host, &revision())
}

/// [`build`] of what will say that it is of `revision`.
///
/// # Errors
///
/// As [`build`].
pub fn build_as(host: Option<HostKind>, revision: &str) -> Result<()> {
    let compiler = Compiler::find_or_fetch()?;
    let hosts = host.map_or_else(|| HostKind::ALL.to_vec(), |host| vec![host]);
    for host in hosts {
        announce(&format!("building the component for {host}"));
        // One package a call: together, they would unify their features and differ from
        // what `spin build` makes.
        run(
            "build the component",
            compiler
                .cargo("build")
                .args(["--release", "--locked", "--package"])
                .arg(format!("hello-{host}"))
                .env(REVISION_VARIABLE, revision)
                .current_dir(crate::root()),
        )?;
        let module = crate::target().join(format!("{TARGET}/release/hello_{host}.wasm"));
        let module =
            fs::read(&module).with_context(|| format!("the build made no {}", module.display()))?;
        let component =
            component(&module).with_context(|| format!("cannot make the component for {host}"))?;
        let artifact = host.artifact();
        write_changed(&artifact, &component)
            .with_context(|| format!("cannot write {}", artifact.display()))?;
        eprintln!("{}: {} bytes", artifact.display(), component.len());
    }
    Ok(())
}

/// Leaves the file alone if it holds just that, for those who watch it.
fn write_changed(file: &Path, content: &[u8]) -> io::Result<()> {
    if fs::read(file).is_ok_and(|found| found == content) {
        return Ok(());
    }
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(file, content)
}

/// The revision that is built: the variable, where a pipeline sets it, else git's commit, with
/// `-dirty` where the tree differs from it.
#[must_use]
pub fn revision() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .args(arguments)
            .current_dir(crate::root())
            .output()
            .ok()
            .filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = || {
        let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
        let is_clean = git(&["status", "--porcelain"])?.is_empty();
        Some(if is_clean { commit } else { commit + "-dirty" })
    };
    env::var(REVISION_VARIABLE)
        .ok()
        .or_else(commit)
        .unwrap_or_else(|| "unknown".to_owned())
}
