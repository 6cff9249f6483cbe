//! The Terraform tree, and what is in it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tools::{node, root};

/// What these checks are of, in the project or in a copy.
pub const DIRECTORY: &str = "deploy/platform/terraform";

/// Copies a directory, without what Terraform left in it when somebody ran it there.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("there is no {}", from.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_string_lossy().starts_with(".terra") {
            continue;
        }
        if entry.path().is_dir() {
            copy(&entry.path(), &to.join(name))?;
        } else {
            fs::copy(entry.path(), to.join(name))?;
        }
    }
    Ok(())
}

/// What each .tf and .hcl file says, by its path in [`DIRECTORY`]. Expressions are strings.
pub fn hcl(tree: &Path) -> Result<BTreeMap<String, Value>> {
    static OF_THE_PROJECT: Mutex<Option<BTreeMap<String, Value>>> = Mutex::new(None);
    if tree != root() {
        return parsed(tree);
    }
    let mut known = OF_THE_PROJECT
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    if known.is_none() {
        *known = Some(parsed(tree)?);
    }
    Ok(known.clone().unwrap_or_default())
}

fn parsed(tree: &Path) -> Result<BTreeMap<String, Value>> {
    let json = succeeded(
        &Command::new("node")
            .arg(script("hcl.mjs"))
            .arg(node::packages("terraform")?)
            .arg(tree.join(DIRECTORY))
            .output()
            .context("`node` does not start")?,
    )?;
    Ok(serde_json::from_str(&json)?)
}

/// The names of the modules.
pub fn modules(tree: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let directory = tree.join(DIRECTORY).join("modules");
    for entry in fs::read_dir(&directory).context("there are no modules")? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    ensure!(!names.is_empty(), "there are no modules");
    names.sort();
    Ok(names)
}

/// The labelled blocks of this kind, of which Terraform has one for each label: `variable`.
pub fn blocks<'a>(said: &'a Value, kind: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    let found = said[kind].as_object().into_iter().flatten();
    found.map(|(label, blocks)| (label, &blocks[0]))
}

pub fn script(name: &str) -> PathBuf {
    root().join("deploy/tests/platform/terraform").join(name)
}

/// What it printed, if it succeeded.
pub fn succeeded(output: &Output) -> Result<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if !output.status.success() {
        bail!("{}\n{}", text(&output.stdout), text(&output.stderr));
    }
    Ok(text(&output.stdout))
}
