//! Atlantis: one project for each unit, in Terragrunt's order, and nobody applies what nobody
//! approved.
//!
//! What it knows is as server/core/config of runatlantis/atlantis v0.47.1 has it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};
use deploy_tests::mutation::Mutations;
use libtest_mimic::Trial;
use serde_json::Value;
use tools::python;

use crate::{
    terragrunt::{Live, Unit, resolved},
    tree::{DIRECTORY, succeeded},
};

/// What a repository says of itself, and what the server says of repositories.
const REPOSITORY: &str = "atlantis.yaml";
const SERVER: &str = "atlantis-server.yaml";

/// The keys that a project may state if the server allows it, where it states another rule.
const OVERRIDES: [&str; 10] = [
    "apply_requirements",
    "custom_policy_check",
    "delete_source_branch_on_merge",
    "import_requirements",
    "plan_requirements",
    "policy_check",
    "repo_locking",
    "repo_locks",
    "silence_pr_comments",
    "workflow",
];

const STEPS: [&str; 8] = [
    "apply", "env", "import", "init", "multienv", "plan", "run", "show",
];

/// Both files.
struct Atlantis {
    repository: Value,
    server: Value,
}

pub fn trials(mutations: &Mutations) -> Vec<Trial> {
    type Check = fn(&Path, &Atlantis, &Live) -> Result<()>;
    let checks: [(&str, Check); 4] = [
        ("atlantis, keys are known", keys_are_known),
        ("atlantis, every unit is a project", units_are_projects),
        ("atlantis, a change plans what it changes", changes_plan),
        ("atlantis, an apply is approved", applies_are_approved),
    ];
    let trials = checks.into_iter().flat_map(|(name, check)| {
        mutations.trials(name, move |tree| {
            check(tree, &Atlantis::read(tree)?, &Live::read(tree)?)
        })
    });
    trials.collect()
}

impl Atlantis {
    fn read(tree: &Path) -> Result<Self> {
        Ok(Self {
            repository: yaml(tree, REPOSITORY)?,
            server: yaml(tree, SERVER)?,
        })
    }

    fn projects(&self) -> Result<&Vec<Value>> {
        self.repository["projects"]
            .as_array()
            .context("there are no projects")
    }

    /// What the server says of this repository: the only one that it knows.
    fn rules(&self) -> Result<&Value> {
        match self.server["repos"].as_array().map(Vec::as_slice) {
            Some([rules]) => Ok(rules),
            _ => bail!("the server has not one repository"),
        }
    }
}

fn yaml(tree: &Path, file: &str) -> Result<Value> {
    const READ: &str =
        "import json,sys,yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)";
    let json = succeeded(
        &Command::new(python::environment("manifests")?.join("python"))
            .args(["-c", READ])
            .arg(tree.join(DIRECTORY).join(file))
            .output()?,
    )
    .with_context(|| file.to_owned())?;
    Ok(serde_json::from_str(&json)?)
}

fn keys_are_known(_: &Path, atlantis: &Atlantis, _: &Live) -> Result<()> {
    let repository = [
        "abort_on_execution_order_fail",
        "allowed_regexp_prefixes",
        "autodiscover",
        "automerge",
        "delete_source_branch_on_merge",
        "emoji_reaction",
        "parallel_apply",
        "parallel_plan",
        "policies",
        "projects",
        "repo_locks",
        "silence_pr_comments",
        "version",
        "workflows",
    ];
    known(REPOSITORY, &atlantis.repository, &repository)?;
    ensure!(
        atlantis.repository["version"] == 3,
        "{REPOSITORY} is not of version 3"
    );
    let project = [
        "autoplan",
        "branch",
        "depends_on",
        "dir",
        "execution_order_group",
        "name",
        "terraform_distribution",
        "terraform_version",
        "workspace",
    ];
    for project_said in atlantis.projects()? {
        let name = project_said["name"].as_str().unwrap_or("a project");
        known(name, project_said, &[&project[..], &OVERRIDES].concat())?;
        known(
            name,
            &project_said["autoplan"],
            &["enabled", "when_modified"],
        )?;
    }
    let server = [
        "external_stores",
        "metrics",
        "policies",
        "repos",
        "team_authz",
        "workflows",
    ];
    known(SERVER, &atlantis.server, &server)?;
    let rules = [
        "allow_custom_workflows",
        "allowed_overrides",
        "allowed_workflows",
        "apply_requirements",
        "autodiscover",
        "branch",
        "custom_policy_check",
        "delete_source_branch_on_merge",
        "id",
        "import_requirements",
        "plan_requirements",
        "policy_check",
        "post_workflow_hooks",
        "pre_workflow_hooks",
        "repo_config_file",
        "repo_locking",
        "repo_locks",
        "silence_pr_comments",
        "workflow",
    ];
    known(SERVER, atlantis.rules()?, &rules)?;
    let workflows = atlantis.server["workflows"]
        .as_object()
        .context("it has no workflows")?;
    for (name, workflow) in workflows {
        known(
            name,
            workflow,
            &["apply", "import", "plan", "policy_check", "state_rm"],
        )?;
        for (stage, steps) in workflow.as_object().into_iter().flatten() {
            known(stage, steps, &["steps"])?;
            let steps = steps["steps"]
                .as_array()
                .with_context(|| format!("{stage} has no steps"))?;
            for step in steps {
                let name = step
                    .as_str()
                    .or_else(|| step.as_object()?.keys().next().map(String::as_str));
                let name = name.context("a step has a name")?;
                ensure!(
                    STEPS.contains(&name),
                    "{stage} has a step {name:?}, which is none"
                );
                let settings = match name {
                    "env" => ["command", "name", "value"].as_slice(),
                    "run" | "multienv" => &["command", "output"],
                    _ => &["extra_args"],
                };
                known(
                    name,
                    &step[name],
                    &[settings, &["shell", "shellArgs"]].concat(),
                )?;
            }
        }
    }
    Ok(())
}

/// Whether a map, if it is one, has no other key.
fn known(what: &str, map: &Value, keys: &[&str]) -> Result<()> {
    for key in map.as_object().into_iter().flat_map(|map| map.keys()) {
        ensure!(
            keys.contains(&key.as_str()),
            "{what} has {key:?}, which Atlantis does not know"
        );
    }
    Ok(())
}

fn units_are_projects(_: &Path, atlantis: &Atlantis, live: &Live) -> Result<()> {
    let prefix = format!("{DIRECTORY}/live/");
    let mut units = BTreeMap::new();
    let mut names = BTreeSet::new();
    for project in atlantis.projects()? {
        let name = project["name"].as_str().context("a project has no name")?;
        let is_safe = |letter: char| letter.is_ascii_alphanumeric() || "-_./".contains(letter);
        ensure!(
            name.chars().all(is_safe),
            "{name:?} is no name of a project"
        );
        ensure!(names.insert(name), "two projects are named {name}");
        let dir = project["dir"]
            .as_str()
            .with_context(|| format!("{name} has no dir"))?;
        let unit = dir.strip_prefix(&prefix).unwrap_or(dir);
        ensure!(
            live.units.contains_key(unit),
            "{name} is of {dir}, which is no unit"
        );
        ensure!(
            units.insert(unit, (name, project)).is_none(),
            "two projects are of {unit}"
        );
        let workflow = project["workflow"]
            .as_str()
            .or(atlantis.rules()?["workflow"].as_str());
        let workflow = workflow.with_context(|| format!("{name} has no workflow"))?;
        ensure!(
            atlantis.server["workflows"].get(workflow).is_some(),
            "{name} has the workflow {workflow}, which the server does not have"
        );
    }
    for (name, unit) in &live.units {
        let (project, said) = units
            .get(name.as_str())
            .with_context(|| format!("no project is of the unit {name}"))?;
        let named: Vec<&str> = said["depends_on"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        for of in &named {
            ensure!(
                names.contains(of),
                "{project} depends on {of}, which is no project"
            );
        }
        let expected = unit
            .dependencies
            .values()
            .filter_map(|of| Some(units.get(of.as_str())?.0));
        let expected: BTreeSet<&str> = expected.collect();
        let named: BTreeSet<&str> = named.into_iter().collect();
        ensure!(
            named == expected,
            "{project} depends on {named:?}, and its unit on {expected:?}"
        );
    }
    Ok(())
}

/// A unit is planned when its own file changes, root.hcl, or its module. Each pattern is of a file.
fn changes_plan(tree: &Path, atlantis: &Atlantis, live: &Live) -> Result<()> {
    let mut files = Vec::new();
    list(&tree.join(DIRECTORY), "", &mut files)?;
    files.sort();
    for project in atlantis.projects()? {
        let name = project["name"].as_str().unwrap_or("a project");
        let dir = project["dir"]
            .as_str()
            .with_context(|| format!("{name} has no dir"))?;
        let directory = dir.strip_prefix(&format!("{DIRECTORY}/")).unwrap_or(dir);
        ensure!(
            project["autoplan"]["enabled"] != false,
            "{name} is not planned"
        );
        let patterns = project["autoplan"]["when_modified"]
            .as_array()
            .with_context(|| format!("{name} does not say when it is planned"))?;
        let mut planned_by = BTreeSet::new();
        for pattern in patterns.iter().filter_map(Value::as_str) {
            let path = resolved(directory, pattern).with_context(|| name.to_owned())?;
            let found: Vec<&String> = files.iter().filter(|file| matches(&path, file)).collect();
            ensure!(
                !found.is_empty(),
                "{name} waits for {pattern}, and there is no such file"
            );
            planned_by.extend(found);
        }
        let unit = directory.strip_prefix("live/").unwrap_or(directory);
        let unit = live
            .units
            .get(unit)
            .with_context(|| format!("{dir} is no unit"))?;
        for file in &files {
            ensure!(
                !belongs_to(file, directory, unit, live) || planned_by.contains(file),
                "{name} is not planned when {file} changes"
            );
        }
    }
    Ok(())
}

/// Whether what a unit makes can change with this file.
fn belongs_to(file: &str, directory: &str, unit: &Unit, live: &Live) -> bool {
    let of_module = live.modules_of(unit).into_iter().any(|module| {
        let inner = file.strip_prefix(&format!("modules/{module}/"));
        inner.is_some_and(|inner| !inner.starts_with("tests/") && !inner.ends_with(".md"))
    });
    let above = file.rsplit_once('/').map_or("", |(above, _)| above);
    let of_live = file.ends_with(".hcl")
        && above.starts_with("live")
        && (directory == above || directory.starts_with(&format!("{above}/")));
    of_module || of_live
}

fn list(directory: &Path, below: &str, files: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let path = format!("{below}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            list(&entry.path(), &format!("{path}/"), files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

/// As moby's patternmatcher, which Atlantis asks: what a pattern says of a directory is of all in it.
fn matches(pattern: &str, file: &str) -> bool {
    fn parts(pattern: &[&str], path: &[&str]) -> bool {
        match (pattern, path) {
            ([], _) => true,
            (["**", rest @ ..], _) => (0..=path.len()).any(|skip| {
                // It stands for what is below a directory, and never for nothing at the end.
                (!rest.is_empty() || skip < path.len()) && parts(rest, &path[skip..])
            }),
            ([first, rest @ ..], [name, below @ ..]) => letters(first, name) && parts(rest, below),
            _ => false,
        }
    }
    fn letters(pattern: &str, name: &str) -> bool {
        match pattern.split_once('*') {
            None => pattern == name,
            Some((before, after)) => name.strip_prefix(before).is_some_and(|rest| {
                rest.char_indices()
                    .map(|(at, _)| at)
                    .chain([rest.len()])
                    .any(|at| letters(after, &rest[at..]))
            }),
        }
    }
    let pattern: Vec<&str> = pattern.split('/').collect();
    let file: Vec<&str> = file.split('/').collect();
    parts(&pattern, &file)
}

/// The server demands an approval, and a pull request cannot take that away, nor say what runs.
fn applies_are_approved(_: &Path, atlantis: &Atlantis, _: &Live) -> Result<()> {
    let rules = atlantis.rules()?;
    let list = |value: &Value| -> Vec<String> {
        let items = value.as_array().into_iter().flatten();
        items.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let path = format!("{DIRECTORY}/{REPOSITORY}");
    ensure!(
        rules["repo_config_file"] == *path,
        "the server reads {}, not {path}",
        rules["repo_config_file"]
    );
    let required = list(&rules["apply_requirements"]);
    for requirement in ["approved", "mergeable"] {
        ensure!(
            required.iter().any(|one| one == requirement),
            "the server applies what is not {requirement}"
        );
    }
    ensure!(
        rules["allow_custom_workflows"] != true && atlantis.repository["workflows"].is_null(),
        "a pull request says what runs"
    );
    let allowed = list(&rules["allowed_overrides"]);
    for rule in ["apply_requirements", "import_requirements"] {
        ensure!(
            !allowed.iter().any(|one| one == rule),
            "a pull request may change its own {rule}"
        );
    }
    let workflows = list(&rules["allowed_workflows"]);
    for project in atlantis.projects()? {
        let name = project["name"].as_str().unwrap_or("a project");
        for key in OVERRIDES {
            ensure!(
                project.get(key).is_none() || allowed.iter().any(|one| one == key),
                "{name} states {key}, which the server does not allow"
            );
        }
        if let Some(workflow) = project["workflow"].as_str() {
            ensure!(
                workflows.is_empty() || workflows.iter().any(|one| one == workflow),
                "{name} has the workflow {workflow}, which the server does not allow"
            );
        }
    }
    Ok(())
}
