//! The Terraform tree: what is in it, and copies of it in which one thing is broken.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, Result, bail, ensure};
use libtest_mimic::{Failed, Trial};
use serde_json::Value;
use tempfile::TempDir;
use tools::{node, root};

/// What these checks are of, in the project or in a copy.
pub const DIRECTORY: &str = "deploy/platform/terraform";

/// A file of [`DIRECTORY`], what is in it, what it becomes, and what the check then says.
pub type Breakage = [&'static str; 4];

/// A trial of the tree as it is, and one for each way to break it, where the check has to fail.
pub fn trials<C>(name: &str, check: C, breakages: &[Breakage]) -> Vec<Trial>
where
    C: Fn(&Path) -> Result<()> + Clone + Send + 'static,
{
    let right = check.clone();
    let mut trials = vec![Trial::test(
        format!("{name}: the tree is right"),
        move || Ok(right(&root()).map_err(|error| format!("{error:#}"))?),
    )];
    for &[file, from, to, says] in breakages {
        let check = check.clone();
        let title = format!(
            "{name}: fails with {:?} for {:?} in {file}",
            first_line(to),
            first_line(from)
        );
        trials.push(Trial::test(title, move || {
            fails(&check, &broken(file, from, to)?, says)
        }));
    }
    trials
}

/// Those of the breakages that are of files below `prefix`. Each is of a file that is there: else
/// nobody would see that it is not tried any more.
pub fn below(prefix: &str, breakages: &[Breakage]) -> Vec<Breakage> {
    for [file, ..] in breakages {
        assert!(
            root().join(DIRECTORY).join(file).exists(),
            "there is no {file}"
        );
    }
    let of = breakages
        .iter()
        .filter(|[file, ..]| file.starts_with(prefix));
    of.copied().collect()
}

fn first_line(text: &str) -> &str {
    text.trim().lines().next().unwrap_or_default()
}

/// Whether the check fails of this tree, and says this.
pub fn fails(
    check: impl Fn(&Path) -> Result<()>,
    tree: &TempDir,
    says: &str,
) -> Result<(), Failed> {
    let Err(error) = check(tree.path()) else {
        return Err("it passes".into());
    };
    let said = format!("{error:#}");
    if said.contains(says) {
        Ok(())
    } else {
        Err(format!("it says something else: {said}").into())
    }
}

/// A copy of [`DIRECTORY`] with `to` for each `from` in `file`.
pub fn broken(file: &str, from: &str, to: &str) -> Result<TempDir> {
    let tree = TempDir::new()?;
    let directory = tree.path().join(DIRECTORY);
    copy(&root().join(DIRECTORY), &directory)?;
    let path = directory.join(file);
    let text = fs::read_to_string(&path).with_context(|| format!("there is no {file}"))?;
    ensure!(
        text.contains(from),
        "{file} has no {from}: what is to be broken?"
    );
    fs::write(path, text.replace(from, to))?;
    Ok(tree)
}

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
