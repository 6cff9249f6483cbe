//! What comes in as a dependency: `deny.toml`, and nothing that is not used.
//!
//! `cargo xtask test --part supply-chain` runs this: it compiles the tools. Every check is made of
//! the tree as it is, and of one in which something is broken, where it has to fail.

use std::{fs, path::PathBuf, process::Command};

use libtest_mimic::{Arguments, Failed, Trial};
use tempfile::TempDir;
use tools::root;

fn main() {
    let arguments = Arguments::from_args();
    let mut trials = vec![
        Trial::test("every crate is used", || unused(root())),
        Trial::test("a crate that nothing uses is found", finds_unused),
        Trial::test("no advisory is open", || checks("advisories", "", ""))
            .with_ignored_flag(!has_advisories()),
    ];
    for (check, from, to, code) in [
        ("licenses", "\"MIT\", ", "", "error[rejected]"),
        (
            "bans",
            "wildcards = \"deny\"",
            "deny = [{ crate = \"http\" }]",
            "error[banned]",
        ),
        (
            "sources",
            "unknown-git = \"deny\"",
            "allow-registry = []",
            "error[source-not-allowed]",
        ),
    ] {
        trials.push(Trial::test(
            format!("{check}: what is there may be"),
            move || checks(check, "", ""),
        ));
        trials.push(Trial::test(
            format!("{check}: fails with {to:?} for {from:?}"),
            move || {
                let error = checks(check, from, to).err().ok_or("it passes")?;
                let said = error.message().unwrap_or_default();
                if said.contains(code) {
                    Ok(())
                } else {
                    Err(format!("it says something else: {said}").into())
                }
            },
        ));
    }
    libtest_mimic::run(&arguments, trials).exit();
}

/// cargo-deny's `check`, by a `deny.toml` with `to` for `from`.
fn checks(check: &str, from: &str, to: &str) -> Result<(), Failed> {
    let text = fs::read_to_string(root().join("deny.toml"))?;
    if !text.contains(from) {
        return Err(format!("deny.toml has no {from}: what is to be broken?").into());
    }
    let directory = TempDir::new()?;
    let config = directory.path().join("deny.toml");
    fs::write(&config, text.replacen(from, to, 1))?;
    said(
        Command::new(deny()?)
            .args(["--locked", "--color", "never", "--config"])
            .arg(config)
            .args(["check", "--hide-inclusion-graph", check])
            .current_dir(root()),
    )
}

fn unused(directory: PathBuf) -> Result<(), Failed> {
    said(Command::new(machete()?).arg(directory))
}

fn finds_unused() -> Result<(), Failed> {
    let directory = TempDir::new()?;
    fs::create_dir(directory.path().join("src"))?;
    fs::write(directory.path().join("src/lib.rs"), "")?;
    fs::write(
        directory.path().join("Cargo.toml"),
        "[package]\nname = \"a\"\nversion = \"0.1.0\"\n\n[dependencies]\nserde = \"1\"\n",
    )?;
    let error = unused(directory.path().to_owned())
        .err()
        .ok_or("it passes")?;
    let said = error.message().unwrap_or_default();
    if said.contains("serde") {
        Ok(())
    } else {
        Err(format!("it says something else: {said}").into())
    }
}

fn said(command: &mut Command) -> Result<(), Failed> {
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        Ok(())
    } else {
        Err(text.into_owned().into())
    }
}

/// cargo-deny: licences, bans, sources, advisories.
fn deny() -> anyhow::Result<PathBuf> {
    tools::find_or_fetch("cargo-deny")
}

/// cargo-machete: dependencies that nothing uses.
fn machete() -> anyhow::Result<PathBuf> {
    tools::find_or_fetch("cargo-machete")
}

/// Whether the database of advisories can be fetched, or is there.
fn has_advisories() -> bool {
    deny().is_ok_and(|deny| {
        let mut fetch = Command::new(deny);
        let fetched = fetch.args(["fetch", "db"]).current_dir(root()).output();
        fetched.is_ok_and(|output| output.status.success())
    })
}
