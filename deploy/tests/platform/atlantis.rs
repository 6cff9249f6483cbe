//! Atlantis' projects: one for each unit, in Terragrunt's order. What it makes of them, the test
//! `controllers` sees.

use std::{collections::BTreeSet, env, fs, path::Path};

use anyhow::{Context, Result, bail, ensure};
use deploy_tests::mutation::{Mutations, tracked};
use libtest_mimic::Trial;

use crate::{
    terragrunt::{Live, Terragrunt},
    tree::DIRECTORY,
};

/// What a repository says of itself.
const REPOSITORY: &str = "atlantis.yaml";

/// Set to 1, it has this test write what it would otherwise compare.
const UPDATE: &str = "UPDATE";

const HEADER: &str = "\
# One project a unit of live/, in the order of their `dependency` blocks. Generated from the units by
# `UPDATE=1 cargo test -p deploy-tests --test platform -- atlantis`. Workflow and requirements are the
# server's: ../addons/atlantis/repos.yaml.
version: 3
automerge: false
abort_on_execution_order_fail: true
projects:
";

pub fn trials(terragrunt: Option<&Terragrunt>, mutations: &Mutations) -> Vec<Trial> {
    let Some(terragrunt) = terragrunt.cloned() else {
        return Vec::new();
    };
    let current = move |tree: &Path| is_current(tree, &*terragrunt.live(tree)?);
    mutations.trials("atlantis, every unit is a project", current)
}

/// Whether the repository's file is what the units say.
fn is_current(tree: &Path, live: &Live) -> Result<()> {
    let generated = generated(live)?;
    let file = tree.join(DIRECTORY).join(REPOSITORY);
    if tree == tools::root() && env::var_os(UPDATE).is_some_and(|value| value == "1") {
        fs::write(&file, &generated)?;
    }
    let written = fs::read_to_string(file)?;
    let mut lines = (1..).zip(written.lines().zip(generated.lines()));
    if let Some((at, (is, wanted))) = lines.find(|(_, (is, wanted))| is != wanted) {
        bail!("{REPOSITORY}:{at}: {is:?}, and the units say {wanted:?}: see its head");
    }
    let whole = written == generated;
    ensure!(whole, "{REPOSITORY} ends elsewhere than the units");
    Ok(())
}

/// The repository's file.
fn generated(live: &Live) -> Result<String> {
    let mut projects = BTreeSet::new();
    let name_of = |unit: &String| unit.replace('/', "-");
    for (name, unit) in &live.units {
        let needed: BTreeSet<String> = unit.dependencies.values().map(name_of).collect();
        let mut depends_on: String = (needed.iter())
            .map(|name| format!("      - {name}\n"))
            .collect();
        if !needed.is_empty() {
            depends_on.insert_str(0, "    depends_on:\n");
        }
        let when_modified: String = (planned_by(name, live)?.iter())
            .map(|pattern| format!("        - \"{pattern}\"\n"))
            .collect();
        let depth = depth(live, name);
        let project = format!(
            "  - name: {}\n    dir: {DIRECTORY}/live/{name}\n    workspace: default\n    \
             execution_order_group: {depth}\n{depends_on}    autoplan:\n      enabled: true\n      \
             when_modified:\n{when_modified}",
            name_of(name)
        );
        projects.insert((depth, project));
    }
    let projects: String = projects.into_iter().map(|(_, project)| project).collect();
    Ok(format!("{HEADER}{projects}"))
}

/// The files of which a unit is made, seen from it: those of live/ from its own directory upwards and
/// what it includes, and all of its modules but tests and documents.
fn planned_by(unit: &str, live: &Live) -> Result<BTreeSet<String>> {
    let up = |levels| "../".repeat(levels);
    let depth = unit.split('/').count();
    let modules = &live.units[unit].modules;
    let included = live.included(unit).into_iter();
    let mut patterns: BTreeSet<_> = included.map(|file| up(depth) + &file).collect();
    for file in tracked()?
        .iter()
        .filter_map(|file| file.strip_prefix(DIRECTORY))
    {
        let (directory, file) = file.rsplit_once('/').context("it is below the directory")?;
        let (_, extension) = file.rsplit_once('.').unwrap_or_default();
        if let Some(above) = directory.strip_prefix("/live") {
            if extension == "hcl" && format!("/{unit}/").starts_with(&format!("{above}/")) {
                patterns.insert(format!("{}{file}", up(depth - above.matches('/').count())));
            }
        } else if let Some(below) = directory.strip_prefix("/modules/") {
            let module = below.split('/').next().unwrap_or_default();
            let used = modules.iter().any(|used| used == module);
            if used && !below.ends_with("/tests") && extension != "md" {
                patterns.insert(format!("{}modules/{below}/*.{extension}", up(depth + 1)));
            }
        }
    }
    Ok(patterns)
}

/// How many units have to be there before this one, of those that depend on each other.
fn depth(live: &Live, unit: &str) -> usize {
    let dependencies = live.units[unit].dependencies.values();
    let depths = dependencies.map(|of| depth(live, of) + 1);
    depths.max().unwrap_or_default()
}
