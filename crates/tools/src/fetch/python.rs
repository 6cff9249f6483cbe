//! Virtual environments of packages from PyPI, each pinned with its digest.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use super::{debian, tool};
use crate::{
    directory, lock, root,
    run::{announce, run},
};

/// The directory of the programs that `python/NAME.txt` installs. The environment is made
/// anew when that file has changed.
pub fn environment(name: &str) -> Result<PathBuf> {
    super::fetch(tool(&format!("python/{name}")))
}

/// [`environment`], if it is there.
pub(super) fn find(name: &str) -> Option<PathBuf> {
    let wanted = fs::read(requirements(name)).ok()?;
    let environment = environment_directory(name);
    let installed = fs::read(environment.join("requirements.txt")).ok()?;
    (installed == wanted).then(|| environment.join("bin"))
}

/// A file of the packages in the environment that has the directory `programs`.
pub(super) fn file(programs: &Path, file: &str) -> Option<PathBuf> {
    fs::read_dir(programs.with_file_name("lib"))
        .ok()?
        .flatten()
        .map(|python| python.path().join("site-packages").join(file))
        .find(|path| path.exists())
}

fn requirements(name: &str) -> PathBuf {
    root().join(format!("crates/tools/python/{name}.txt"))
}

fn environment_directory(name: &str) -> PathBuf {
    directory().join("python").join(name)
}

pub(super) fn install(name: &str) -> Result<PathBuf> {
    let environment = environment_directory(name);
    // Without pip: Debian's Python has what makes an environment, and not what puts pip there.
    run(
        "make a virtual environment",
        Command::new("python3")
            .args(["-m", "venv", "--without-pip", "--clear"])
            .arg(&environment),
    )?;
    run(
        "install from PyPI (is there a network, and is this Python 3.11 or later?)",
        pip()?
            .arg("--python")
            .arg(environment.join("bin/python"))
            // What runs is compiled when it runs, and most of it never does.
            .args([
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--no-compile",
            ])
            .args(["--require-hashes", "--no-deps", "--only-binary", ":all:"])
            .arg("--requirement")
            .arg(requirements(name)),
    )?;
    // Last: it says that the rest is there.
    fs::copy(requirements(name), environment.join("requirements.txt"))?;
    Ok(environment.join("bin"))
}

/// A command that runs pip: Python's own, else the one that Debian packages as a wheel.
fn pip() -> Result<Command> {
    let python = || Command::new("python3");
    let has_pip = python().args(["-m", "pip", "--version"]).output();
    let mut pip = python();
    if has_pip.is_ok_and(|output| output.status.success()) {
        pip.args(["-m", "pip"]);
        return Ok(pip);
    }
    announce("this Python has no pip: fetching Debian's");
    let directory = directory().join("pip");
    let _unpacking = lock(debian::LOCK)?;
    debian::unpack(&["python3-pip-whl"], None, &directory)?;
    let wheel = fs::read_dir(directory.join("usr/share/python-wheels"))?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.to_string_lossy().contains("/pip-"))
        .context("Debian's python3-pip-whl holds no pip")?;
    pip.arg(wheel.join("pip"));
    Ok(pip)
}
