//! How much of src/ the native tests execute, by LLVM's source-based coverage.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tools::{
    fresh, llvm, root,
    run::{announce, read, run},
};

use super::{cargo_test, part::Part};

/// The least part of the lines of src/ that has to be executed, in percent.
const THRESHOLD: f64 = 98.0;

/// Instruments the packages of the workspace alone, so that their dependencies are the tests' own.
const INSTRUMENTING: &str = "#!/bin/sh\nexec \"$@\" -Cinstrument-coverage\n";

/// Runs the native tests of the service, instrumented. Only if it is `named`, the part fails where a
/// tool cannot be had.
pub fn measure(named: bool) -> Result<Part> {
    let llvm = match llvm::tools() {
        Ok(llvm) => llvm,
        Err(error) if named => return Err(error),
        Err(error) => return Ok(Part::skipped("coverage", &format!("{error:#}"), true)),
    };
    announce("testing: coverage");
    let started = Instant::now();
    let (result, passes) = match executed(&llvm) {
        Ok((executed, all)) => {
            let percent = executed / all * 100.0;
            let result = format!(": {percent:.1} % of {all} lines of src/, at least {THRESHOLD} %");
            (result, percent >= THRESHOLD)
        }
        Err(error) => (format!(": {error:#}"), false),
    };
    let took = started.elapsed();
    Ok(Part::measured("coverage", took, &result, passes))
}

/// How many lines of src/ the tests execute, and how many there are.
fn executed([cov, profdata]: &[PathBuf; 2]) -> Result<(f64, f64)> {
    let directory = fresh("coverage")?;
    let wrapper = directory.join("rustc");
    fs::write(&wrapper, INSTRUMENTING)?;
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755))?;
    let tests = |arguments: &[&str]| {
        let mut cargo = cargo_test("hello");
        cargo.args(["--locked", "--lib", "--tests"]).args(arguments);
        cargo
            .env("RUSTC_WORKSPACE_WRAPPER", &wrapper)
            .env("LLVM_PROFILE_FILE", directory.join("%p-%m.profraw"))
            .current_dir(root());
        cargo
    };
    let built = read(
        "build the tests with coverage",
        &mut tests(&["--no-run", "--message-format=json"]),
    )?;
    run("test with coverage", &mut tests(&[]))?;
    let profile = directory.join("merged");
    let raw = fs::read_dir(&directory)?.flatten().map(|file| file.path());
    let raw = raw.filter(|file| file.extension().is_some_and(|is| is == "profraw"));
    let mut merge = Command::new(profdata);
    merge.args(["merge", "--sparse", "--output"]).arg(&profile);
    run("merge what was executed", merge.args(raw))?;
    let mut export = Command::new(cov);
    export.args(["export", "--summary-only", "--instr-profile"]);
    export.arg(&profile);
    for line in built.lines() {
        let message: Value = serde_json::from_str(line)?;
        if let Some(program) = message["executable"].as_str() {
            export.args(["--object", program]);
        }
    }
    let report = read("report what was executed", &mut export)?;
    let report: Value = serde_json::from_str(&report)?;
    let files = report["data"][0]["files"].as_array().context("no files")?;
    let (src, mut sum) = (root().join("src"), (0.0, 0.0));
    for file in files {
        if Path::new(file["filename"].as_str().unwrap_or_default()).starts_with(&src) {
            let lines = &file["summary"]["lines"];
            let number = |name| lines[name].as_f64().context("a file has no lines");
            sum = (sum.0 + number("covered")?, sum.1 + number("count")?);
        }
    }
    ensure!(sum.1 > 0.0, "no line of src/ is in the report");
    Ok(sum)
}
