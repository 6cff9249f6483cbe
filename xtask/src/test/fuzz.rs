//! The fuzz targets, each for a bounded number of inputs, from the corpus in the tree.
//!
//! `cargo fuzz` runs them for as long as one likes. Here cargo alone builds them, with the flags that
//! cargo-fuzz passes for `--sanitizer none`: on any Rust, and with nothing to install.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use toml_edit::DocumentMut;
use tools::{
    root,
    run::{announce, run as start},
    target,
};

use super::part::Part;

/// How many inputs a target gets.
const INPUTS: &str = "100000";

/// What tells libFuzzer which branches an input took, and which values were compared.
const INSTRUMENTED: [&str; 6] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "--cfg=fuzzing",
];

/// The tests of the oracle, and a part for each target.
pub fn run() -> Result<Vec<Part>> {
    let manifest = root().join("fuzz/Cargo.toml");
    let directory = target().join("fuzz");
    let mut oracle = Command::new("cargo");
    oracle
        .args(["test", "--lib"])
        .args(["--no-default-features", "--manifest-path"])
        .arg(&manifest)
        .arg("--target-dir")
        .arg(target()); // most of its dependencies are the service's
    let mut parts = vec![Part::run("fuzz: the oracle", &mut oracle, &[])?];
    announce("building the fuzz targets");
    // With a target, these flags are not for build scripts, which have no libFuzzer.
    let platform = rustc_version::version_meta()?.host;
    start(
        "build the fuzz targets",
        Command::new("cargo")
            .args([
                "build",
                "--release",
                "--locked",
                "--bins",
                "--manifest-path",
            ])
            .arg(&manifest)
            .args(["--target", &platform, "--target-dir"])
            .arg(&directory)
            .env("CARGO_ENCODED_RUSTFLAGS", INSTRUMENTED.join("\x1f")),
    )?;
    let programs = directory.join(platform).join("release");
    for name in targets(&manifest)? {
        parts.push(fuzz(&name, &programs.join(&name), &directory)?);
    }
    Ok(parts)
}

/// The names of the targets, as `cargo fuzz list` has them.
fn targets(manifest: &Path) -> Result<Vec<String>> {
    let manifest: DocumentMut = fs::read_to_string(manifest)?.parse()?;
    let programs = manifest["bin"].as_array_of_tables();
    let names = programs.into_iter().flatten();
    let names: Vec<_> = names
        .filter_map(|program| Some(program.get("name")?.as_str()?.to_owned()))
        .collect();
    ensure!(!names.is_empty(), "fuzz/Cargo.toml has no target");
    Ok(names)
}

/// Runs `program` on the corpus and on what it makes of that. What it finds stays below `directory`.
fn fuzz(name: &str, program: &Path, directory: &Path) -> Result<Part> {
    announce(&format!("fuzzing: {name}"));
    let [corpus, found] = ["corpus", "artifacts"].map(|kind| directory.join(kind).join(name));
    let shipped = root().join("fuzz/corpus").join(name);
    for directory in [&corpus, &found] {
        fs::create_dir_all(directory)?;
    }
    let started = Instant::now();
    let output = Command::new(program)
        .args(["-print_final_stats=1", &format!("-runs={INPUTS}")])
        .arg(format!("-artifact_prefix={}/", found.display()))
        .args([&corpus, &shipped])
        .env_remove("RUST_BACKTRACE")
        .output()
        .with_context(|| format!("{} does not start", program.display()))?;
    let took = started.elapsed();
    let log = String::from_utf8_lossy(&output.stderr);
    let runs = executed(&log);
    let passes = output.status.success() && runs.is_some();
    if !passes {
        eprintln!("{log}");
    }
    let result = match runs.filter(|_| passes) {
        Some(runs) => format!(": {runs} inputs, {} a second", rate(runs, took)),
        None => advice(name, &found),
    };
    Ok(Part::measured(
        &format!("fuzz: {name}"),
        took,
        &result,
        passes,
    ))
}

/// What to do about an input that fails.
fn advice(name: &str, found: &Path) -> String {
    let found = found.display();
    format!(": the input is in {found}: mend it, and keep the input in fuzz/corpus/{name}")
}

/// The number of inputs, of libFuzzer's statistics.
fn executed(log: &str) -> Option<u64> {
    let line = |line: &str| {
        let number = line.strip_prefix("stat::number_of_executed_units:")?;
        number.trim().parse().ok()
    };
    log.lines().find_map(line)
}

fn rate(runs: u64, took: Duration) -> u128 {
    u128::from(runs) * 1000 / took.as_millis().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_libfuzzer_says() {
        let log = "Done 200000 runs in 4 second(s)\nstat::number_of_executed_units: 200000\n";
        assert_eq!(executed(log), Some(200_000));
        assert_eq!(executed("==1== ERROR: libFuzzer: deadly signal"), None);
        assert_eq!(rate(200_000, Duration::from_secs(4)), 50_000);
    }

    #[test]
    fn every_target_has_a_corpus() {
        for name in targets(&root().join("fuzz/Cargo.toml")).expect("it has targets") {
            let corpus = root().join("fuzz/corpus").join(&name);
            let mut inputs = fs::read_dir(corpus).expect("it has a corpus");
            assert!(inputs.next().is_some(), "{name} has an empty corpus");
        }
    }
}
