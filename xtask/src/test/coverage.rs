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

/// Runs the native tests of the service, instrumented.
///
/// # Errors
///
/// One sentence, if the part is `named` and a tool cannot be had.
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
    let measured = |result, passes| Part::measured("coverage", started.elapsed(), result, passes);
    if let Err(error) = ran {
        return Ok(measured(format!(": {error:#}"), false));
    }
    let json: Value = serde_json::from_slice(&fs::read(&report).context("there is no report")?)?;
    let (covered, count) = lines(&json, &root().join("src"))?;
    let percent = 100.0 * covered / count;
    let result = format!(": {percent:.1} % of {count} lines of src/, at least {THRESHOLD} %");
    Ok(measured(result, percent >= THRESHOLD))
}

/// The programs, where the toolchain has none of its own: rustup adds them, else Debian has them in
/// the version of LLVM that this rustc has.
fn llvm() -> Result<Llvm> {
    let libraries = read(
        "ask rustc for its libraries",
        Command::new("rustc").args(["--print", "target-libdir"]),
    )?;
    if Path::new(libraries.trim())
        .with_file_name("bin/llvm-cov")
        .exists()
    {
        return Ok(Llvm::new());
    }
    let version = rustc_version::version_meta()?.llvm_version;
    let is_debians = version.is_some_and(|version| version.major == 22);
    if !(is_debians && find("llvm-cov-22").is_some()) {
        announce("adding llvm-tools with rustup");
        let added = run(
            "add llvm-tools with rustup",
            Command::new("rustup").args(["component", "add", "llvm-tools"]),
        );
        match added {
            Ok(()) => return Ok(Llvm::new()),
            Err(error) => eprintln!("{error:#}"),
        }
        ensure!(is_debians, "Debian's llvm-22 is not of this rustc's LLVM");
    }
    [
        ("LLVM_COV", "llvm-cov-22"),
        ("LLVM_PROFDATA", "llvm-profdata-22"),
    ]
    .into_iter()
    .map(|(variable, name)| Ok((variable, find_or_fetch(name)?)))
    .collect()
}

/// How many lines below `directory` were executed, and how many there are.
fn lines(report: &Value, directory: &Path) -> Result<(f64, f64)> {
    let files = report["data"][0]["files"].as_array();
    let mut sums = (0.0, 0.0);
    for file in files.context("it names no file")? {
        let name = file["filename"].as_str().context("a file has no name")?;
        if Path::new(name).starts_with(directory) {
            let lines = &file["summary"]["lines"];
            sums.0 += lines["covered"].as_f64().context("a file has no count")?;
            sums.1 += lines["count"].as_f64().context("a file has no count")?;
        }
    }
    ensure!(sums.1 > 0.0, "it has no line of {}", directory.display());
    Ok(sums)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn counts_the_lines_of_one_directory() {
        let file = |name, covered| json!({"filename": name, "summary": {"lines": {"covered": covered, "count": 10}}});
        let report =
            json!({"data": [{"files": [file("/p/src/a.rs", 9), file("/p/tests/a.rs", 1)]}]});
        assert_eq!(lines(&report, Path::new("/p/src")).ok(), Some((9.0, 10.0)));
        assert!(lines(&report, Path::new("/p/other")).is_err());
    }
}
