//! What comes in as a dependency: `deny.toml`, and nothing that is not used.
//!
//! `cargo xtask test --part supply-chain` runs this: it compiles the tools. Every check is made of
//! the tree as it is, and of one in which something is broken, where it has to fail.

use std::{fs, path::PathBuf, process::Command};

use anyhow::Result;
use deploy_tests::{
    checker::{succeeded, trial},
    mutation::{Mutations, fails, replaced},
};
use libtest_mimic::Arguments;
use tempfile::TempDir;
use tools::root;

fn main() -> Result<()> {
    let arguments = Arguments::from_args();
    let mutations = Mutations::of("supply_chain")?;
    let mut trials = vec![
        trial("every crate is used", || unused(root())),
        trial("a crate that nothing uses is found", finds_unused),
        trial("no advisory is open", || checks("advisories", "", ""))
            .with_ignored_flag(!has_advisories()),
    ];
    for check in ["licenses", "bans", "sources"] {
        trials.push(trial(format!("{check}: what is there may be"), move || {
            checks(check, "", "")
        }));
        for [from, to, code] in mutations.rows(check) {
            trials.push(trial(
                format!("{check}: {to:?} for {from:?} fails"),
                move || fails(checks(check, &from, &to), &code),
            ));
        }
    }
    mutations.assert_all_used();
    libtest_mimic::run(&arguments, trials).exit();
}

/// cargo-deny's `check`, by a `deny.toml` with `to` for `from`.
fn checks(check: &str, from: &str, to: &str) -> Result<()> {
    let text = fs::read_to_string(root().join("deny.toml"))?;
    let directory = TempDir::new()?;
    let config = directory.path().join("deny.toml");
    fs::write(&config, replaced(&text, from, to)?)?;
    let mut deny = Command::new(tools::find_or_fetch("cargo-deny")?);
    deny.args(["--locked", "--color", "never", "--config"])
        .arg(config)
        .args(["check", "--hide-inclusion-graph", check]);
    succeeded(deny.current_dir(root()))?;
    Ok(())
}

/// cargo-machete: dependencies that nothing uses.
fn unused(directory: PathBuf) -> Result<()> {
    succeeded(Command::new(tools::find_or_fetch("cargo-machete")?).arg(directory))?;
    Ok(())
}

fn finds_unused() -> Result<()> {
    let directory = TempDir::new()?;
    fs::create_dir(directory.path().join("src"))?;
    fs::write(directory.path().join("src/lib.rs"), "")?;
    fs::write(
        directory.path().join("Cargo.toml"),
        "[package]\nname = \"a\"\nversion = \"0.1.0\"\n\n[dependencies]\nserde = \"1\"\n",
    )?;
    fails(unused(directory.path().to_owned()), "serde")
}

/// Whether the database of advisories can be fetched, or is there.
fn has_advisories() -> bool {
    tools::find_or_fetch("cargo-deny").is_ok_and(|deny| {
        let mut fetch = Command::new(deny);
        succeeded(fetch.args(["fetch", "db"]).current_dir(root())).is_ok()
    })
}
