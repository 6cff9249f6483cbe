//! /openapi.json, and the service beside it, before tools that nobody here wrote.

use std::{fs, process::Command};

use anyhow::{Result, ensure};
use harness::{client::Connection, host::Store};
use tempfile::TempDir;
use tools::{node, python};

use super::HostUnderTest;
use crate::{expect, run_to_end};

/// For each operation and phase, the most that Schemathesis makes up.
const EXAMPLES: u32 = 100;

/// What the schema cannot say.
const HOOKS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/hosts/operations/schemathesis_hooks.py"
);

/// A directory with the document in `openapi.json`.
fn saved(port: u16) -> Result<TempDir> {
    let answer = expect(
        &mut Connection::open(port)?,
        "GET",
        "/openapi.json",
        b"",
        200,
    )?;
    let directory = TempDir::new()?;
    fs::write(directory.path().join("openapi.json"), answer.body)?;
    Ok(directory)
}

pub fn validator(port: u16) -> Result<()> {
    let directory = saved(port)?;
    let validator = python::environment("openapi")?.join("openapi-spec-validator");
    let (valid, printed) = run_to_end(
        Command::new(validator)
            .args(["--schema", "3.1", "--validation-errors", "all"])
            .arg(directory.path().join("openapi.json")),
    )?;
    ensure!(valid, "{printed}");
    Ok(())
}

pub fn linter(port: u16) -> Result<()> {
    let directory = saved(port)?;
    let redocly = node::packages("redocly")?.join("node_modules/.bin/redocly");
    let (passes, printed) = run_to_end(
        node::command()?
            .arg(redocly)
            .args(["lint", "openapi.json", "--extends", "recommended"])
            .args(["--format", "stylish"])
            .env("REDOCLY_TELEMETRY", "off")
            .env("REDOCLY_SUPPRESS_UPDATE_NOTICE", "true")
            .current_dir(directory.path()),
    )?;
    ensure!(passes && printed.contains("is valid"), "{printed}");
    Ok(())
}

pub fn schemathesis(under_test: HostUnderTest) -> Result<()> {
    // A host of its own: it saves users as it goes.
    let (host, _directory) = under_test.start(Store::Shipped)?;
    let directory = TempDir::new()?;
    let schemathesis = python::environment("openapi")?.join("schemathesis");
    let (passes, printed) = run_to_end(
        Command::new(schemathesis)
            .arg("run")
            .arg(format!("http://127.0.0.1:{}/openapi.json", host.port))
            .args(["--checks", "all", "--mode", "all"])
            .args(["--phases", "examples,coverage,fuzzing,stateful"])
            .args(["--max-examples", &EXAMPLES.to_string(), "--seed", "1"])
            .args(["--request-timeout", "30", "--generation-database", "none"])
            .arg("--no-color")
            .env("SCHEMATHESIS_HOOKS", HOOKS)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .current_dir(directory.path()),
    )?;
    ensure!(passes, "{printed}");
    // "Selected: 8/8", "Tested: 8": nothing was left out.
    let figure = |name: &str| {
        let line = printed.lines().find(|line| line.contains(name))?;
        line.rsplit([' ', '/']).next()?.parse::<u32>().ok()
    };
    let (selected, tested) = (figure("Selected:"), figure("Tested:"));
    let are_all = selected.is_some_and(|n| n > 0) && selected == tested;
    ensure!(are_all, "{printed}");
    let summary = printed.split("SUMMARY").nth(1).unwrap_or(&printed);
    eprintln!("Schemathesis on {}:{summary}", under_test.kind);
    Ok(())
}
