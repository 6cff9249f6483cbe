//! checkov finds nothing in the modules, other than what a comment there gives a reason for.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use deploy_tests::{
    checker::none,
    mutation::{Mutations, tracked},
    objects::{list, text},
};
use libtest_mimic::Trial;
use regex::Regex;
use serde_json::Value;
use tempfile::TempDir;
use tools::python;

use crate::tree::DIRECTORY;

/// A reason has more words than this.
const FEW: usize = 3;

pub fn trials(mutations: &Mutations) -> Vec<Trial> {
    mutations.trials("checkov", finds_nothing)
}

fn finds_nothing(tree: &Path) -> Result<()> {
    let said = run(&tree.join(DIRECTORY).join("modules"))?;
    let count = |what: &str| said["summary"][what].as_u64().unwrap_or(0);
    let unread = &said["results"]["parsing_errors"];
    ensure!(count("parsing_errors") == 0, "it cannot read: {unread}");
    let failed = list(&said, "/results/failed_checks").iter();
    none(failed.map(|record| format!("{}, {}", shown(record), record["check_name"])))?;
    ensure!(count("passed") > 0, "it checked nothing");

    let mut used = BTreeSet::new();
    for record in list(&said, "/results/skipped_checks") {
        let reason = text(record, "/check_result/suppress_comment");
        let (place, words) = (shown(record), reason.split_whitespace().count());
        ensure!(
            words > FEW,
            "{place} is skipped without a reason: {reason:?}"
        );
        used.insert((text(record, "/file_path"), text(record, "/check_id")));
    }
    let modules = format!("{DIRECTORY}/modules");
    let skip = Regex::new(r"checkov:skip=\s*(\w+)")?;
    for file in tracked()? {
        let Some(path) = file.strip_prefix(&modules) else {
            continue;
        };
        let for_all = path.contains("/.checkov");
        ensure!(
            !for_all,
            "{path} skips for all: say why beside what is skipped"
        );
        for found in skip.captures_iter(&fs::read_to_string(tree.join(file))?) {
            let check = &found[1];
            let finds = used.contains(&(path, check));
            ensure!(finds, "{path} skips {check}, which finds nothing there");
        }
    }
    Ok(())
}

/// Without the settings of whoever runs it, and without a network.
fn run(modules: &Path) -> Result<Value> {
    let home = TempDir::new()?;
    let output = Command::new(python::environment("checkov")?.join("checkov"))
        .arg("--directory")
        .arg(modules)
        .args(["--framework", "terraform", "--output", "json"])
        .args(["--skip-download", "--download-external-modules", "false"])
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

fn shown(record: &Value) -> String {
    let [path, resource, check] =
        ["/file_path", "/resource", "/check_id"].map(|part| text(record, part));
    format!("{path} {resource}: {check}")
}
