//! The Terraform tree, and what is in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use deploy_tests::{checker::succeeded, mutation::tracked, objects::fields};
use serde_json::Value;
use tools::{node, root};

/// What these checks are of, in the project or in a copy.
pub const DIRECTORY: &str = "deploy/platform/terraform";

/// Copies what Git has below `from` in [`DIRECTORY`]: not what Terraform left there.
pub fn copy(tree: &Path, from: &str, to: &Path) -> Result<()> {
    let prefix = format!("{DIRECTORY}/{from}/");
    for name in tracked()? {
        if let Some(below) = name.strip_prefix(&prefix) {
            let to = to.join(below);
            fs::create_dir_all(to.parent().context("it is in a directory")?)?;
            fs::copy(tree.join(name), to)?;
        }
    }
    Ok(())
}

/// Whether these directories, in [`DIRECTORY`], are as in the project.
pub fn is_the_projects(tree: &Path, directories: &[&str]) -> Result<bool> {
    for name in tracked()? {
        let below = name
            .strip_prefix(DIRECTORY)
            .and_then(|name| name.strip_prefix('/'));
        let is_in =
            |directory: &&str| below.is_some_and(|name| Path::new(name).starts_with(directory));
        if directories.iter().any(is_in)
            && fs::read(tree.join(name))? != fs::read(root().join(name))?
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What each .tf and .hcl file says, by its path in [`DIRECTORY`]. Expressions are strings.
pub fn hcl(tree: &Path) -> Result<BTreeMap<String, Value>> {
    let mut node = node::command()?;
    // Node.js 24 was seen to hang at its end, where V8 had not compiled the parser a second time.
    node.arg("--liftoff-only")
        .arg(script("hcl.mjs"))
        .arg(node::packages("terraform")?)
        .arg(tree.join(DIRECTORY));
    Ok(serde_json::from_str(&succeeded(&mut node)?)?)
}

/// The names of the modules.
pub fn modules() -> Result<BTreeSet<String>> {
    let prefix = format!("{DIRECTORY}/modules/");
    let below = tracked()?
        .iter()
        .filter_map(|name| name.strip_prefix(&prefix));
    let modules = below.filter_map(|name| Some(name.split_once('/')?.0.to_owned()));
    let modules: BTreeSet<String> = modules.collect();
    ensure!(!modules.is_empty(), "there are no modules");
    Ok(modules)
}

/// The labelled blocks of this kind, of which Terraform has one for each label: `variable`.
pub fn blocks<'a>(said: &'a Value, kind: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    fields(&said[kind], "").map(|(label, blocks)| (label, &blocks[0]))
}

pub fn script(name: &str) -> PathBuf {
    root().join("deploy/tests/platform/terraform").join(name)
}
