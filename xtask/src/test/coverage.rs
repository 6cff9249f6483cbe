//! How much of src/ the native tests execute, by LLVM's source-based coverage.

use std::time::Instant;

use anyhow::Result;
use tools::{llvm, root, run::announce};

use super::{cargo_test, part::Part};

/// The least part of the lines of src/ that has to be executed, in percent.
const THRESHOLD: f64 = 98.0;

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
    let tests = || {
        let mut cargo = cargo_test("hello");
        cargo.args(["--locked", "--lib", "--tests"]);
        cargo.current_dir(root());
        cargo
    };
    let lines = llvm::coverage(&llvm, tests, &root().join("src"))?;
    let percent = lines.executed / lines.all * 100.0;
    let all = lines.all;
    let result = format!(": {percent:.1} % of {all} lines of src/, at least {THRESHOLD} %");
    let passes = percent >= THRESHOLD;
    let took = started.elapsed();
    Ok(Part::measured("coverage", took, &result, passes))
}
