//! What comes in as a dependency: `deny.toml`, and nothing that is not used.
//!
//! `cargo xtask test --part supply-chain` runs this: it compiles the tools. Every check is made of
//! the tree as it is, and of one in which something is broken, where it has to fail.

use std::{env, fs, path::PathBuf, process::Command};

use libtest_mimic::{Arguments, Failed, Trial};
use tempfile::TempDir;
use xtask::{
    root,
    supply_chain::{ADVISORIES_VARIABLE, VARIABLE, deny, machete},
};

fn main() {
    let arguments = Arguments::from_args();
    if env::var_os(VARIABLE).is_none() {
        let name = "supply chain: not run here; `cargo xtask test` runs it";
        let trial = Trial::test(name, || Ok(())).with_ignored_flag(true);
        libtest_mimic::run(&arguments, vec![trial]).exit();
    }
    let mut trials = vec![
        Trial::test("every crate is used", || unused(root())),
        Trial::test("a crate that nothing uses is found", finds_unused),
        Trial::test("no advisory is open", || checks("advisories", "", ""))
            .with_ignored_flag(env::var_os(ADVISORIES_VARIABLE).is_none()),
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
    let folder = TempDir::new()?;
    let config = folder.path().join("deny.toml");
    fs::write(&config, text.replacen(from, to, 1))?;
    said(
        Command::new(deny()?)
            .args(["--locked", "--color", "never", "--config"])
            .arg(config)
            .args(["check", "--hide-inclusion-graph", check])
            .current_dir(root()),
    )
}

fn unused(folder: PathBuf) -> Result<(), Failed> {
    said(Command::new(machete()?).arg(folder))
}

fn finds_unused() -> Result<(), Failed> {
    let folder = TempDir::new()?;
    fs::create_dir(folder.path().join("src"))?;
    fs::write(folder.path().join("src/lib.rs"), "")?;
    fs::write(
        folder.path().join("Cargo.toml"),
        "[package]\nname = \"a\"\nversion = \"0.1.0\"\n\n[dependencies]\nserde = \"1\"\n",
    )?;
    let error = unused(folder.path().to_owned()).err().ok_or("it passes")?;
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
