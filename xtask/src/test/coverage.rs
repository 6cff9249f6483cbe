//! How much of src/ the native tests execute, by LLVM's source-based coverage.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tools::{
    find, find_or_fetch, root,
    run::{announce, read, run},
    target,
};

use super::part::Part;

/// The least part of the lines of src/ that has to be executed, in percent.
const THRESHOLD: f64 = 98.0;

/// LLVM's own programs, by the variables in which cargo-llvm-cov looks for them.
type Llvm = Vec<(&'static str, PathBuf)>;

/// Runs the native tests of the service, instrumented. Only if it is `named`, the part fails where a
/// tool cannot be had.
pub fn measure(named: bool) -> Result<Part> {
    let tools = find_or_fetch("cargo-llvm-cov").and_then(|program| Ok((program, llvm()?)));
    let (program, llvm) = match tools {
        Ok(tools) => tools,
        Err(error) if named => return Err(error),
        Err(error) => return Ok(Part::skipped("coverage", &format!("{error:#}"), true)),
    };
    announce("testing: coverage");
    let started = Instant::now();
    let report = target().join("coverage.json");
    let ran = run(
        "test with coverage",
        Command::new(program)
            .args(["llvm-cov", "--locked", "--package", "hello"])
            .args(["--json", "--summary-only", "--output-path"])
            .arg(&report)
            .envs(llvm)
            .current_dir(root()),
    );
    let measured =
        |result: &str, passes| Part::measured("coverage", started.elapsed(), result, passes);
    if let Err(error) = ran {
        return Ok(measured(&format!(": {error:#}"), false));
    }
    let json: Value = serde_json::from_slice(&fs::read(&report).context("there is no report")?)?;
    // Of the package alone: cargo-llvm-cov leaves out tests/ and other packages.
    let lines = &json["data"][0]["totals"]["lines"];
    let number = |name| lines[name].as_f64().context("the report has no totals");
    let (percent, count) = (number("percent")?, number("count")?);
    let result = format!(": {percent:.1} % of {count} lines of src/, at least {THRESHOLD} %");
    Ok(measured(&result, percent >= THRESHOLD))
}

/// The programs, where the toolchain has none of its own: rustup adds them, else Debian has them in
/// the version of LLVM that this rustc has.
fn llvm() -> Result<Llvm> {
    let libraries = read(
        "ask rustc for its libraries",
        Command::new("rustc").args(["--print", "target-libdir"]),
    )?;
    let own = Path::new(libraries.trim()).with_file_name("bin/llvm-cov");
    if own.exists() {
        return Ok(Llvm::new());
    }
    let version = rustc_version::version_meta()?.llvm_version;
    let is_debians = version.is_some_and(|version| version.major == 22);
    if !is_debians || find("llvm-cov-22").is_none() {
        let added = run(
            "add llvm-tools with rustup",
            Command::new("rustup").args(["component", "add", "llvm-tools"]),
        );
        let Err(error) = added else {
            return Ok(Llvm::new());
        };
        ensure!(is_debians, "{error:#}; Debian's LLVM is not this rustc's");
    }
    Ok(vec![
        ("LLVM_COV", find_or_fetch("llvm-cov-22")?),
        ("LLVM_PROFDATA", find_or_fetch("llvm-profdata-22")?),
    ])
}
