//! Programs out of Go modules, each compiled from the version that `go/NAME/go.mod` pins, by go.sum.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result};

use crate::{directory, root, run::run};

/// The module of the program `name` and its version, as go.mod has them.
fn pinned(name: &str) -> Result<(String, String)> {
    let pins = fs::read_to_string(source(name).join("go.mod")).context("no go.mod")?;
    let mut words = pins.split_whitespace();
    let module = words.find(|word| *word == "tool").and(words.next());
    let module = module.with_context(|| format!("{name}'s go.mod names no tool"))?;
    let version = words.skip_while(|word| *word != module).nth(1);
    let version = version.with_context(|| format!("{name}'s go.mod has no version of {module}"))?;
    Ok((module.to_owned(), version.to_owned()))
}

fn source(name: &str) -> PathBuf {
    root().join("crates/tools/go").join(name)
}

/// Where the program is, compiled or not.
pub(super) fn program(name: &str) -> Result<PathBuf> {
    let (_, version) = pinned(name)?;
    Ok(directory().join(format!("go/{name}@{version}")))
}

/// Compiles the program, for minutes.
pub(super) fn compile(name: &str) -> Result<()> {
    let (module, version) = pinned(name)?;
    let program = program(name)?;
    fs::create_dir_all(directory().join("go"))?;
    let stated = format!("-s -w -X {module}/internal/version.Version={version}");
    let unfinished = program.with_extension("unfinished");
    run(
        "compile it (is there a network, and is this Go 1.26 or later?)",
        Command::new("go")
            .args(["build", "-mod=readonly", "-ldflags", &stated, "-o"])
            .args([&unfinished.display().to_string(), &module])
            .env("CGO_ENABLED", "0")
            .current_dir(source(name)),
    )?;
    Ok(fs::rename(unfinished, program)?)
}
