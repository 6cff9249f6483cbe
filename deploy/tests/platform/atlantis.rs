//! Atlantis: one project for each unit, in Terragrunt's order, and nobody applies what nobody
//! approved.
//!
//! What it knows is as server/core/config of runatlantis/atlantis v0.47.1 has it.

use std::{collections::BTreeSet, env, fs, path::Path};

use anyhow::{Context, Result, bail, ensure};
use deploy_tests::mutation::{Mutations, tracked};
use libtest_mimic::Trial;
use serde_json::Value;

use crate::{
    terragrunt::{Live, Terragrunt},
    tree::{DIRECTORY, skipped},
};

/// What a repository says of itself, and what the server says of repositories.
const REPOSITORY: &str = "atlantis.yaml";
const SERVER: &str = "atlantis-server.yaml";

/// Set to 1, it has this test write what it would otherwise compare.
const UPDATE: &str = "UPDATE";

const HEADER: &str = "\
# One project a unit of live/, in the order of their `dependency` blocks. Generated from the units by
# `UPDATE=1 cargo test -p deploy-tests --test platform -- atlantis`. Workflow and requirements are the
# server's: atlantis-server.yaml.
version: 3
automerge: false
abort_on_execution_order_fail: true
projects:
";

/// The keys of the server's file, of a repository there, and of a workflow.
const KEYS: [(&str, &str); 3] = [
    (
        "the server",
        "external_stores metrics policies repos team_authz workflows",
    ),
    (
        "the repository",
        "allow_custom_workflows allowed_overrides allowed_workflows apply_requirements autodiscover branch \
         custom_policy_check delete_source_branch_on_merge id import_requirements plan_requirements \
         policy_check post_workflow_hooks pre_workflow_hooks repo_config_file repo_locking repo_locks \
         silence_pr_comments workflow",
    ),
    ("a workflow", "apply import plan policy_check state_rm"),
];

/// A step, and its settings beside `shell` and `shellArgs`.
const STEPS: [(&str, &str); 8] = [
    ("apply", "extra_args"),
    ("env", "command name value"),
    ("import", "extra_args"),
    ("init", "extra_args"),
    ("multienv", "command output"),
    ("plan", "extra_args"),
    ("run", "command output"),
    ("show", "extra_args"),
];

pub fn trials(terragrunt: Option<&Terragrunt>, mutations: &Mutations) -> Vec<Trial> {
    let mut trials = mutations.trials("atlantis, keys are known", |tree| {
        keys_are_known(&server(tree)?)
    });
    trials.extend(mutations.trials("atlantis, an apply is approved", |tree| {
        applies_are_approved(&server(tree)?)
    }));
    let Some(terragrunt) = terragrunt.cloned() else {
        trials.push(skipped("atlantis", "terragrunt` or no `terraform"));
        return trials;
    };
    trials.extend(
        mutations.trials("atlantis, every unit is a project", move |tree| {
            is_current(tree, &*terragrunt.live(tree)?)
        }),
    );
    trials
}

fn server(tree: &Path) -> Result<Value> {
    let text = fs::read_to_string(tree.join(DIRECTORY).join(SERVER))?;
    yaml_serde::from_str(&text).context(SERVER)
}

/// What the server says of this repository: the only one that it knows.
fn rules(server: &Value) -> Result<&Value> {
    match server["repos"].as_array().map(Vec::as_slice) {
        Some([rules]) => Ok(rules),
        _ => bail!("the server has not one repository"),
    }
}

/// Whether the repository's file is what the units say.
fn is_current(tree: &Path, live: &Live) -> Result<()> {
    let generated = generated(live)?;
    let file = tree.join(DIRECTORY).join(REPOSITORY);
    if tree == tools::root() && env::var_os(UPDATE).is_some_and(|value| value == "1") {
        fs::write(&file, &generated)?;
    }
    let written = fs::read_to_string(file)?;
    let differ = |(_, (is, wanted)): &(usize, (&str, &str))| is != wanted;
    let lines = || {
        written
            .lines()
            .chain([""])
            .zip(generated.lines().chain([""]))
    };
    if let Some((at, (is, wanted))) = lines().enumerate().find(differ) {
        bail!(
            "{REPOSITORY}:{}: {is:?}, and the units say {wanted:?}: see its head",
            at + 1
        );
    }
    ensure!(
        written == generated,
        "{REPOSITORY} has more or fewer lines than the units say"
    );
    Ok(())
}

/// The repository's file. A unit is planned when a file changes of which it is made: those of live/ from
/// its own directory upwards, and those of its modules. Each pattern is of a directory.
fn generated(live: &Live) -> Result<String> {
    let mut projects = BTreeSet::new();
    for (name, unit) in &live.units {
        let project = |unit: &String| unit.replace('/', "-");
        let needed: BTreeSet<String> = unit.dependencies.values().map(project).collect();
        let depends_on: String = needed
            .iter()
            .map(|name| format!("      - {name}\n"))
            .collect();
        let depends_on = match needed.is_empty() {
            true => String::new(),
            false => format!("    depends_on:\n{depends_on}"),
        };
        let mut patterns = BTreeSet::new();
        for file in tracked()?
            .iter()
            .filter_map(|file| file.strip_prefix(DIRECTORY))
        {
            let (directory, file) = file.rsplit_once('/').context("it is below the directory")?;
            let (_, extension) = file.rsplit_once('.').unwrap_or_default();
            if let Some(above) = directory.strip_prefix("/live") {
                if extension == "hcl" && format!("/{name}/").starts_with(&format!("{above}/")) {
                    let up = name.matches('/').count() + 1 - above.matches('/').count();
                    patterns.insert(format!("{}{file}", "../".repeat(up)));
                }
            } else if let Some(below) = directory.strip_prefix("/modules/") {
                let module = below.split('/').next().unwrap_or_default();
                if unit.modules.iter().any(|used| used == module)
                    && !below.ends_with("/tests")
                    && extension != "md"
                {
                    let up = "../".repeat(name.matches('/').count() + 2);
                    patterns.insert(format!("{up}modules/{below}/*.{extension}"));
                }
            }
        }
        let when_modified: String = (patterns.iter())
            .map(|pattern| format!("        - \"{pattern}\"\n"))
            .collect();
        let depth = depth(live, name);
        let project = format!(
            "  - name: {}\n    dir: {DIRECTORY}/live/{name}\n    workspace: default\n    \
             execution_order_group: {depth}\n{depends_on}    autoplan:\n      enabled: true\n      \
             when_modified:\n{when_modified}",
            project(name)
        );
        projects.insert((depth, project));
    }
    let projects: String = projects.into_iter().map(|(_, project)| project).collect();
    Ok(format!("{HEADER}{projects}"))
}

/// How many units have to be there before this one, of those that depend on each other.
fn depth(live: &Live, unit: &str) -> usize {
    let dependencies = live.units[unit].dependencies.values();
    let depths = dependencies.map(|of| depth(live, of) + 1);
    depths.max().unwrap_or_default()
}

fn keys_are_known(server: &Value) -> Result<()> {
    let [of_server, of_rules, of_workflow] = KEYS;
    known(of_server, server)?;
    known(of_rules, rules(server)?)?;
    let workflows = server["workflows"].as_object();
    for workflow in workflows.context("it has no workflows")?.values() {
        known(of_workflow, workflow)?;
        for (stage, steps) in workflow.as_object().into_iter().flatten() {
            known((stage, "steps"), steps)?;
            let steps = steps["steps"].as_array();
            for step in steps.with_context(|| format!("{stage} has no steps"))? {
                let name = step.as_object().and_then(|step| step.keys().next());
                let name = name.map(String::as_str).or(step.as_str());
                let known_step = STEPS.into_iter().find(|(known, _)| Some(*known) == name);
                let (name, settings) = known_step
                    .with_context(|| format!("{stage} has a step {name:?}, which is none"))?;
                known((name, &format!("{settings} shell shellArgs")), &step[name])?;
            }
        }
    }
    Ok(())
}

/// Whether a map, if it is one, has no other key.
fn known((what, keys): (&str, &str), map: &Value) -> Result<()> {
    for key in map.as_object().into_iter().flat_map(|map| map.keys()) {
        ensure!(
            keys.split_whitespace().any(|known| known == key),
            "{what} has {key:?}, which Atlantis does not know"
        );
    }
    Ok(())
}

/// The server demands an approval, and a pull request cannot take that away, nor say what runs.
fn applies_are_approved(server: &Value) -> Result<()> {
    let rules = rules(server)?;
    let lists = |key: &str, wanted: &str| {
        let mut items = rules[key].as_array().into_iter().flatten();
        items.any(|item| item == wanted)
    };
    let path = format!("{DIRECTORY}/{REPOSITORY}");
    let read = &rules["repo_config_file"];
    ensure!(*read == *path, "the server reads {read}, not {path}");
    for requirement in ["approved", "mergeable"] {
        ensure!(
            lists("apply_requirements", requirement),
            "the server applies what is not {requirement}"
        );
    }
    ensure!(
        rules["allow_custom_workflows"] != true,
        "a pull request says what runs"
    );
    for rule in ["apply_requirements", "import_requirements"] {
        ensure!(
            !lists("allowed_overrides", rule),
            "a pull request may change its own {rule}"
        );
    }
    let workflow = rules["workflow"].as_str().context("it has no workflow")?;
    ensure!(
        server["workflows"].get(workflow).is_some(),
        "the workflow {workflow} is one that the server does not have"
    );
    Ok(())
}
