//! Linux namespaces for the network, mounts and processes.

use std::{
    env,
    ffi::OsStr,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail};

/// Whether this machine makes namespaces, for root.
#[must_use]
pub fn can_be_made() -> bool {
    let tried = unshare().arg("true").output();
    tried.is_ok_and(|tried| tried.status.success())
}

/// Runs this program again, with its arguments, in namespaces of its own, and returns how it ended. It finds
/// `value` in the variable `name`. Whatever it starts ends with it, however it ends.
///
/// # Errors
///
/// If `unshare` does not start, or a signal ended the namespaces.
pub fn run_again(name: &str, value: impl AsRef<OsStr>) -> Result<ExitCode> {
    let program = env::current_exe().context("this program has no path")?;
    let status = unshare()
        .arg(program)
        .args(env::args_os().skip(1))
        .env(name, value)
        .status()
        .context("`unshare` does not start")?;
    let Some(code) = status.code() else {
        bail!("the namespaces ended with {status}");
    };
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

fn unshare() -> Command {
    let mut unshare = Command::new("unshare");
    unshare.args(["--net", "--mount", "--pid", "--fork"]);
    unshare.args(["--kill-child", "--mount-proc"]);
    unshare
}
