//! Virtual environments of packages from PyPI, each pinned with its digest.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use super::{directory, fetching};
use crate::{
    root,
    run::{announce, require_disk, run},
};

/// The directory of the programs that `python/NAME.txt` installs. The environment is made
/// anew when that file has changed.
///
/// # Errors
///
/// One sentence, if it cannot be made.
pub fn environment(name: &str) -> Result<PathBuf> {
    let _fetching = fetching();
    if let Some(found) = find(name)? {
        return Ok(found);
    }
    let environment = environment_of(name);
    announce(&format!("installing {name}'s packages from PyPI"));
    fs::create_dir_all(&environment)?;
    require_disk(&environment, 300)?;
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
            .args(["install", "--quiet", "--disable-pip-version-check"])
            .args(["--require-hashes", "--no-deps", "--only-binary", ":all:"])
            .arg("--requirement")
            .arg(requirements_of(name)),
    )?;
    // Last: it says that the rest is there.
    fs::copy(requirements_of(name), installed_in(&environment))?;
    Ok(environment.join("bin"))
}

/// [`environment`], if it is there without fetching.
///
/// # Errors
///
/// If there is no `python/NAME.txt`.
pub fn find(name: &str) -> Result<Option<PathBuf>> {
    let requirements = requirements_of(name);
    let wanted = fs::read(&requirements)
        .with_context(|| format!("there is no {}", requirements.display()))?;
    let environment = environment_of(name);
    let installed = fs::read(installed_in(&environment)).unwrap_or_default();
    Ok((installed == wanted).then(|| environment.join("bin")))
}

fn requirements_of(name: &str) -> PathBuf {
    root()
        .join("crates/tools/python")
        .join(format!("{name}.txt"))
}

fn environment_of(name: &str) -> PathBuf {
    directory().join("python").join(name)
}

fn installed_in(environment: &Path) -> PathBuf {
    environment.join("requirements.txt")
}

/// A command that runs pip: Python's own, else the one that Debian packages as a wheel.
fn pip() -> Result<Command> {
    let mut python = Command::new("python3");
    python.args(["-m", "pip"]);
    let has_pip = Command::new("python3")
        .args(["-m", "pip", "--version"])
        .output()
        .context("`python3` is not installed, or not on PATH")?
        .status
        .success();
    if has_pip {
        return Ok(python);
    }
    announce("this Python has no pip: fetching Debian's");
    let directory = directory().join("pip");
    fs::create_dir_all(&directory)?;
    run(
        "fetch pip from Debian (as root, try `apt-get update` first)",
        Command::new("apt-get")
            .args(["--option", "APT::Sandbox::User=root"])
            .args(["download", "python3-pip-whl"])
            .current_dir(&directory),
    )?;
    for deb in fs::read_dir(&directory)? {
        run(
            "unpack pip",
            Command::new("dpkg-deb")
                .arg("--extract")
                .args([&deb?.path(), &directory]),
        )?;
    }
    let wheel = fs::read_dir(directory.join("usr/share/python-wheels"))?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.to_string_lossy().contains("/pip-"))
        .context("Debian's python3-pip-whl holds no pip")?;
    let mut python = Command::new("python3");
    python.arg(wheel.join("pip"));
    Ok(python)
}
