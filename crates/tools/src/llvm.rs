//! Source-based coverage by LLVM's tools, in the version of LLVM that rustc has.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{
    find, find_or_fetch, fresh,
    run::{read, run},
};

/// Instruments the packages of the workspace alone, so that their dependencies are the tests' own.
const INSTRUMENTING: &str = "#!/bin/sh\nexec \"$@\" -Cinstrument-coverage\n";

/// Lines of source.
#[derive(Debug, Default)]
pub struct Lines {
    /// Those that were executed.
    pub executed: f64,
    /// All that could be.
    pub all: f64,
}

/// llvm-cov and llvm-profdata: the toolchain's own, else rustup adds them, else Debian has them.
///
/// # Errors
///
/// If rustup cannot add them, and Debian's are of another version.
pub fn tools() -> Result<[PathBuf; 2]> {
    let libraries = read(
        "ask rustc for its libraries",
        Command::new("rustc").args(["--print", "target-libdir"]),
    )?;
    let own = ["llvm-cov", "llvm-profdata"]
        .map(|name| Path::new(libraries.trim()).with_file_name("bin").join(name));
    if own[0].exists() {
        return Ok(own);
    }
    let version = rustc_version::version_meta()?.llvm_version;
    let is_debians = version.is_some_and(|version| version.major == 22);
    if !is_debians || find("llvm-cov-22").is_none() {
        let added = run(
            "add llvm-tools with rustup",
            Command::new("rustup").args(["component", "add", "llvm-tools"]),
        );
        let Err(error) = added else {
            return Ok(own);
        };
        ensure!(is_debians, "{error:#}; Debian's LLVM is not this rustc's");
    }
    let [cov, profdata] = ["llvm-cov-22", "llvm-profdata-22"].map(find_or_fetch);
    Ok([cov?, profdata?])
}

/// Runs the tests of `cargo test` as `tests` makes it, instrumented, and returns how many lines below
/// `directory` they execute.
///
/// # Errors
///
/// If a test fails, or the report has no line of the directory.
pub fn coverage<C: Fn() -> Command>(
    [cov, profdata]: &[PathBuf; 2],
    tests: C,
    directory: &Path,
) -> Result<Lines> {
    let profiles = fresh("coverage")?;
    let wrapper = profiles.join("rustc");
    fs::write(&wrapper, INSTRUMENTING)?;
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755))?;
    let tests = |arguments: &[&str]| {
        let mut tests = tests();
        tests
            .args(arguments)
            .env("RUSTC_WORKSPACE_WRAPPER", &wrapper)
            .env("LLVM_PROFILE_FILE", profiles.join("%p-%m.profraw"));
        tests
    };
    let built = read(
        "build the tests with coverage",
        &mut tests(&["--no-run", "--message-format=json"]),
    )?;
    run("test with coverage", &mut tests(&[]))?;
    let profile = profiles.join("merged");
    let raw = fs::read_dir(&profiles)?.flatten().map(|file| file.path());
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
    let mut sum = Lines::default();
    for file in files {
        if Path::new(file["filename"].as_str().unwrap_or_default()).starts_with(directory) {
            let lines = &file["summary"]["lines"];
            let number = |name| lines[name].as_f64().context("a file has no lines");
            sum.executed += number("covered")?;
            sum.all += number("count")?;
        }
    }
    ensure!(
        sum.all > 0.0,
        "no line of {} is in the report",
        directory.display()
    );
    Ok(sum)
}
