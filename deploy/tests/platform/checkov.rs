//! checkov finds nothing in the modules, other than what a comment there gives a reason for.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use anyhow::{Context, Result, bail, ensure};
use deploy_tests::mutation::Mutations;
use libtest_mimic::Trial;
use serde_json::Value;
use tempfile::TempDir;
use tools::python;

use crate::tree::DIRECTORY;

/// A reason has more words than this.
const FEW: usize = 3;

/// What marks a skip, before the check's name.
const SKIP: &str = "checkov:skip=";

pub fn trials(mutations: &Mutations) -> Vec<Trial> {
    mutations.trials("checkov", finds_nothing)
}

fn finds_nothing(tree: &Path) -> Result<()> {
    let said = run(&tree.join(DIRECTORY).join("modules"))?;
    let count = |what: &str| said["summary"][what].as_u64().unwrap_or(0);
    ensure!(
        count("parsing_errors") == 0,
        "it cannot read: {}",
        said["results"]["parsing_errors"]
    );
    let failed: Vec<String> = records(&said, "failed_checks")
        .map(|record| format!("{}, {}", shown(record), record["check_name"]))
        .collect();
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    ensure!(count("passed") > 0, "it checked nothing");

    let mut used = BTreeSet::new();
    for record in records(&said, "skipped_checks") {
        let reason = record["check_result"]["suppress_comment"]
            .as_str()
            .unwrap_or_default();
        ensure!(
            reason.split_whitespace().count() > FEW,
            "{} is skipped without a reason: {reason:?}",
            shown(record)
        );
        used.insert((text(&record["file_path"]), text(&record["check_id"])));
    }
    for (path, check) in skips(&tree.join(DIRECTORY).join("modules"), "/")? {
        ensure!(
            used.contains(&(path.clone(), check.clone())),
            "{path} skips {check}, which finds nothing there"
        );
    }
    Ok(())
}

/// Without the settings of whoever runs it, and without a network.
fn run(modules: &Path) -> Result<Value> {
    let home = TempDir::new()?;
    let output = Command::new(python::environment("checkov")?.join("checkov"))
        .arg("--directory")
        .arg(modules)
        .args([
            "--framework",
            "terraform",
            "--skip-download",
            "--output",
            "json",
        ])
        .args(["--download-external-modules", "false"])
        .current_dir(home.path())
        .env("HOME", home.path())
        .env("LOG_LEVEL", "ERROR")
        .output()?;
    // It fails where it finds something. What does not run prints no JSON.
    serde_json::from_slice(&output.stdout).with_context(|| {
        let stderr = String::from_utf8_lossy(&output.stderr);
        format!("checkov ends with {}: {stderr}", output.status)
    })
}

fn records<'a>(said: &'a Value, kind: &str) -> impl Iterator<Item = &'a Value> {
    said["results"][kind].as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn shown(record: &Value) -> String {
    let part = |name: &str| text(&record[name]);
    format!(
        "{} {}: {}",
        part("file_path"),
        part("resource"),
        part("check_id")
    )
}

/// Each skip in the files: where it is, and of what.
fn skips(directory: &Path, below: &str) -> Result<BTreeSet<(String, String)>> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let path = format!("{below}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            found.extend(skips(&entry.path(), &format!("{path}/"))?);
        } else if path.contains("/.checkov") {
            bail!("{path} skips for all: say why beside what is skipped");
        } else if path.ends_with(".tf") {
            for line in fs::read_to_string(entry.path())?.lines() {
                if let Some((_, skip)) = line.split_once(SKIP) {
                    let check = skip.split(':').next().unwrap_or_default().trim();
                    found.insert((path.clone(), check.to_owned()));
                }
            }
        }
    }
    Ok(found)
}
