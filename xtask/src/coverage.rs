//! How much of src/ the native tests execute, by LLVM's source-based coverage.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tools::{
    find_or_fetch, root,
    run::{read, run},
    target,
};

use crate::report::Part;

/// The least part of the lines of src/, in percent.
const THRESHOLD: f64 = 98.0;

/// Runs the native tests of the service with coverage on, where its tools are there or can be fetched.
///
/// # Errors
///
/// One sentence, if the part is `named` and a tool cannot be had.
pub fn measure(named: bool) -> Result<Part> {
    if let Err(error) = tools() {
        ensure!(!named, error);
        return Ok(Part::skipped("coverage", &format!("{error:#}"), true));
    }
    let report = target().join("coverage.json");
    let mut command = Command::new(find_or_fetch("cargo-llvm-cov")?);
    command
        .args(["llvm-cov", "--package", "hello", "--json", "--output-path"])
        .arg(&report)
        .args(["--ignore-filename-regex", "/(tests|crates|xtask)/"]);
    let part = Part::run("coverage", &mut command, &[])?;
    let json: Value = serde_json::from_slice(&fs::read(&report).context("there is no report")?)?;
    let (covered, count) = lines(&json, &root().join("src"))?;
    let percent = 100.0 * covered / count;
    let result = format!(": {percent:.1} % of {count} lines of src/, at least {THRESHOLD} %");
    Ok(part.with(result, percent >= THRESHOLD))
}

/// cargo-llvm-cov, and the llvm-cov of the toolchain.
fn tools() -> Result<()> {
    find_or_fetch("cargo-llvm-cov")?;
    let sysroot = read(
        "ask rustc",
        Command::new("rustc").args(["--print", "sysroot"]),
    )?;
    let host = read(
        "ask rustc",
        Command::new("rustc").args(["--print", "host-tuple"]),
    )?;
    let programs = Path::new(sysroot.trim()).join(format!("lib/rustlib/{}/bin", host.trim()));
    if programs.join("llvm-cov").exists() {
        return Ok(());
    }
    run(
        "add llvm-tools with rustup",
        Command::new("rustup").args(["component", "add", "llvm-tools"]),
    )
}

/// How many lines below `directory` were executed, and how many there are.
fn lines(report: &Value, directory: &Path) -> Result<(f64, f64)> {
    let files = report["data"][0]["files"]
        .as_array()
        .context("it names no file")?;
    let mut sums = (0.0, 0.0);
    for file in files {
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
