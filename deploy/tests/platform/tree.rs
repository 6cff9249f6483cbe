//! The Terraform tree, and what is in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use deploy_tests::mutation::tracked;
use harness::client::Connection;
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

/// What each .tf and .hcl file says, by its path in [`DIRECTORY`]. Expressions are strings.
pub fn hcl(tree: &Path) -> Result<BTreeMap<String, Value>> {
    let mut node = Command::new("node");
    node.arg(script("hcl.mjs"))
        .arg(node::packages("terraform")?)
        .arg(tree.join(DIRECTORY));
    Ok(serde_json::from_str(&succeeded(&fed(&mut node, b"")?)?)?)
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
    let found = said[kind].as_object().into_iter().flatten();
    found.map(|(label, blocks)| (label, &blocks[0]))
}

/// Waits until somebody listens on `port`, for a minute at most. What keeps it is in `log`.
pub fn listening(port: u16, log: &Path) -> Result<()> {
    let started = Instant::now();
    while Connection::open(port).is_err() {
        let in_time = started.elapsed() < Duration::from_secs(60);
        ensure!(in_time, "{}", fs::read_to_string(log).unwrap_or_default());
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

pub fn script(name: &str) -> PathBuf {
    root().join("deploy/tests/platform/terraform").join(name)
}

/// Runs `command` to its end with this input.
pub fn fed(command: &mut Command, input: &[u8]) -> Result<Output> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("{} does not start", command.get_program().display()))?;
    let mut stdin = child.stdin.take().context("stdin is piped")?;
    thread::scope(|scope| {
        // Beside the reading: both pipes may be full at once.
        scope.spawn(move || stdin.write_all(input));
        Ok(child.wait_with_output()?)
    })
}

/// What it printed, if it succeeded.
pub fn succeeded(output: &Output) -> Result<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if !output.status.success() {
        bail!("{}\n{}", text(&output.stdout), text(&output.stderr));
    }
    Ok(text(&output.stdout))
}
