//! Programs of Debian's packages, for a machine whose package manager is apt.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use super::fetching;
use crate::run::{announce, read, run};

/// The program `name`, from PATH or the system's own directories, else out of Debian's `package`.
///
/// # Errors
///
/// One sentence that says what to type.
pub fn program(name: &str, package: &str) -> Result<PathBuf> {
    let mut found = programs(&[(name, package)])?;
    found.pop().context("one program was asked for")
}

/// [`program`] for several `(name, package)`, of which all that is missing is installed at once.
///
/// # Errors
///
/// As [`program`].
pub fn programs(wanted: &[(&str, &str)]) -> Result<Vec<PathBuf>> {
    let mut missing: Vec<&str> = wanted
        .iter()
        .filter(|(name, _)| find(name).is_none())
        .map(|(_, package)| *package)
        .collect();
    missing.dedup();
    if !missing.is_empty() {
        install(&missing)?;
    }
    wanted
        .iter()
        .map(|(name, package)| {
            find(name).with_context(|| format!("Debian's package {package} holds no {name}"))
        })
        .collect()
}

/// Installs `packages` if this process may, without what they only recommend. A service that
/// comes with one is not left running: what is wanted is its program.
///
/// # Errors
///
/// One sentence that says what to type.
pub fn install(packages: &[&str]) -> Result<()> {
    let _fetching = fetching();
    let names = packages.join(" ");
    let by_hand = || format!("install it as root: `apt-get update && apt-get install {names}`");
    if find("apt-get").is_none() {
        bail!("{names} is not installed, and this is no Debian: install what it stands for");
    }
    if !rustix::process::geteuid().is_root() {
        bail!("{names} is not installed: {}", by_hand());
    }
    announce(&format!("installing {names} from Debian"));
    let install = || {
        read(
            "install from Debian",
            apt()
                .args(["install", "--yes", "--no-install-recommends"])
                .args(packages),
        )
    };
    if install().is_err() {
        // A fresh machine has no package lists, or such as name files that are gone.
        announce("reading Debian's package lists");
        read("read Debian's package lists", apt().arg("update"))
            .and_then(|_| install())
            .with_context(by_hand)?;
    }
    packages
        .iter()
        .try_for_each(|package| end_service_of(package))
}

fn apt() -> Command {
    let mut command = Command::new("apt-get");
    command
        // Somebody else may be installing.
        .args(["--option", "DPkg::Lock::Timeout=300"])
        .env("DEBIAN_FRONTEND", "noninteractive")
        // Single-user: without systemd, invoke-rc.d then starts no service.
        .env("RUNLEVEL", "1");
    command
}

/// With systemd, Debian starts a service as it installs it. Its unit has the package's name.
fn end_service_of(package: &str) -> Result<()> {
    let unit = format!("{package}.service");
    let runs = Path::new("/run/systemd/system").exists();
    if !runs || !Path::new("/lib/systemd/system").join(&unit).exists() {
        return Ok(());
    }
    run(
        "end the service that Debian started",
        Command::new("systemctl").args(["disable", "--now", &unit]),
    )
}

/// The program `name`, if it is there.
pub(super) fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        // Where Debian has servers, which PATH names for root alone.
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|directory| directory.join(name))
        .find(|file| {
            fs::metadata(file).is_ok_and(|metadata| {
                metadata.is_file() && metadata.permissions().mode() & 0o111 != 0
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_is_there() {
        let shell = program("sh", "no-such-package").expect("a shell");
        assert!(shell.ends_with("sh"), "{shell:?}");
    }

    #[test]
    fn finds_no_file_that_does_not_run() {
        assert_eq!(find("no-such-program"), None);
        assert_eq!(find("../../etc/passwd"), None);
    }
}
