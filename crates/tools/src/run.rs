//! Runs a program, and says in one sentence what went wrong.

use std::{
    io::ErrorKind,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

/// Says on stderr what is about to happen: long steps are announced.
pub fn announce(what: &str) {
    eprintln!("==> {what}");
}

/// Runs `command` to its end, its output in view.
///
/// # Errors
///
/// `purpose` ("build the component"), and what is wrong: the program is missing, failed, or
/// ran out of disk.
pub fn run(purpose: &str, command: &mut Command) -> Result<()> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .map_err(|error| not_started(command, &error))
        .with_context(|| format!("cannot {purpose}"))?;
    if !status.success() {
        check_disk().with_context(|| format!("cannot {purpose}"))?;
        bail!("cannot {purpose}: `{}` failed, see above", name(command));
    }
    Ok(())
}

/// Runs `command` to its end and returns what it printed on stdout.
///
/// # Errors
///
/// As [`run`], with the last line that the program printed on stderr.
pub fn read(purpose: &str, command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| not_started(command, &error))
        .with_context(|| format!("cannot {purpose}"))?;
    if !output.status.success() {
        check_disk().with_context(|| format!("cannot {purpose}"))?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        let last = stderr.lines().rfind(|line| !line.trim().is_empty());
        bail!(
            "cannot {purpose}: `{}` failed: {}",
            name(command),
            last.unwrap_or("it printed nothing")
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Refuses to begin what would fill the disk.
pub fn require_disk(directory: &Path, megabytes: u64) -> Result<()> {
    let free = free_megabytes(directory)?;
    if free < megabytes {
        bail!(
            "{} has {free} MB left, and this needs {megabytes} MB: make room and run it again",
            directory.display()
        );
    }
    Ok(())
}

fn check_disk() -> Result<()> {
    let directory = crate::target();
    if directory.exists() && free_megabytes(&directory)? < 20 {
        bail!("the disk is full: make room for {}", directory.display());
    }
    Ok(())
}

fn free_megabytes(directory: &Path) -> Result<u64> {
    let disk = rustix::fs::statvfs(directory)
        .with_context(|| format!("cannot ask how much room {} has", directory.display()))?;
    Ok(disk.f_bavail * disk.f_frsize / 1_000_000)
}

fn not_started(command: &Command, error: &std::io::Error) -> anyhow::Error {
    match error.kind() {
        ErrorKind::NotFound => {
            anyhow::anyhow!("`{}` is not installed, or not on PATH", name(command))
        }
        _ => anyhow::anyhow!("`{}` does not start: {error}", name(command)),
    }
}

fn name(command: &Command) -> String {
    let program = Path::new(command.get_program());
    program
        .file_name()
        .unwrap_or(command.get_program())
        .to_string_lossy()
        .into_owned()
}
