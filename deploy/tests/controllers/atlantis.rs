//! Atlantis itself, as our add-on has it: what a pull request plans, what is applied, and whose events
//! it takes.
//!
//! [`github`] plays GitHub, at GitHub's own names and with git's own server; events come through our
//! nginx. The chart is in no registry that is at hand: what it makes of our values is in [`server`]. In
//! the place of Terraform, and but for one trial of Terragrunt, is what notes how it is called.

mod github;
mod repository;
mod server;

use std::path::Path;

use anyhow::{Context, Result, ensure};
use deploy_tests::{
    checker::{Checker, none},
    mutation::{Mutations, rewritten},
};
use github::{OTHER, PLATFORM, Pull, REPOSITORY};
use libtest_mimic::Trial;
use server::{Call, Server, projects};

/// What Atlantis calls its checks.
const PLANNED: &str = "atlantis/plan";
const APPLIED: &str = "atlantis/apply";

const TERRAFORM: &str = "deploy/platform/terraform";

/// A file below [`TERRAFORM`], and the projects that are planned when it changes: those of a group in
/// any order, and each group after the one before.
const CHANGES: [(&str, &[&[&str]]); 4] = [
    (
        "live/dev/eu-central-1/keys/terragrunt.hcl",
        &[&["dev-eu-central-1-keys"]],
    ),
    // A module that two modules call.
    (
        "modules/postgres/main.tf",
        &[
            &[
                "canary-eu-central-1-database",
                "production-eu-central-1-database",
            ],
            &["production-eu-west-1-database-replica"],
        ],
    ),
    (
        "live/_envcommon/secrets.hcl",
        &[&[
            "canary-eu-central-1-secrets",
            "dev-eu-central-1-secrets",
            "management-eu-central-1-secrets",
            "production-eu-central-1-secrets",
        ]],
    ),
    (
        "live/production/eu-west-1/region.hcl",
        &[
            &[
                "production-eu-west-1-cluster-roles",
                "production-eu-west-1-keys",
            ],
            &[
                "production-eu-west-1-backups-replica",
                "production-eu-west-1-network",
            ],
            &[
                "production-eu-west-1-peering-eu-central-1",
                "production-eu-west-1-peering-management",
            ],
            &[
                "production-eu-west-1-database-replica",
                "production-eu-west-1-identity",
            ],
        ],
    ),
];

type Check = fn(&Checker, &Path) -> Result<()>;

pub fn trials(checker: &Checker, mutations: &Mutations) -> Vec<Trial> {
    let checks: [(&str, Check); 4] = [
        (
            "atlantis: plans what a pull request changes, in its order",
            plans,
        ),
        (
            "atlantis: applies what is approved, mergeable and planned on main",
            applies,
        ),
        (
            "atlantis: takes GitHub's events of this repository alone",
            takes,
        ),
        ("atlantis: Terragrunt takes its steps", runs_terragrunt),
    ];
    let trials = checks.map(|(name, check)| {
        let checker = checker.clone();
        mutations.trials(name, move |tree| check(&checker, tree))
    });
    trials.into_iter().flatten().collect()
}

fn plans(checker: &Checker, tree: &Path) -> Result<()> {
    let server = Server::start(checker, tree, None)?;
    let mut before = 0;
    for ((file, groups), number) in CHANGES.iter().zip(1..) {
        let pull = propose(&server, number, &[&format!("{TERRAFORM}/{file}")])?;
        opened(&server, &pull)?;
        let calls = server.calls()?.split_off(before);
        before += calls.len();
        for call in &calls {
            let planned =
                call.arguments.starts_with("plan ") && call.terraform == "terraform1.11.4";
            ensure!(planned, "{file}: it calls {call:?}");
        }
        let mut planned = projects(&calls);
        let mut wanted = Vec::new();
        for group in *groups {
            let end = planned.len().min(wanted.len() + group.len());
            planned[wanted.len().min(end)..end].sort();
            wanted.extend(group.iter().map(|project| (*project).to_owned()));
        }
        ensure!(
            planned == wanted,
            "{file}: it plans {planned:?}, and not {wanted:?}"
        );
        // Which lets go of its locks: the next one may plan the same.
        let status = server.tell(&pull, "closed")?;
        ensure!(status == 200, "the end of it is answered with {status}");
    }
    // Nothing of it is a unit's.
    let pull = propose(
        &server,
        9,
        &["src/lib.rs", &format!("{TERRAFORM}/README.md")],
    )?;
    server.tell(&pull, "opened")?;
    server.until("it to find no project", || {
        Ok(server.log()?.contains("no project to run plan"))
    })?;
    ensure!(server.calls()?.len() == before, "it plans what has no unit");
    // A check that `main` asks for is green, and nobody has to read anything.
    settled(&server, &pull, PLANNED)?;
    let said = server.github.comments(&pull);
    ensure!(said.is_empty(), "it says {said:?}");
    asked_all(&server)
}

fn applies(checker: &Checker, tree: &Path) -> Result<()> {
    let server = Server::start(checker, tree, None)?;
    let units = ["keys", "backups"].map(unit_of_dev);
    let mut pull = propose(&server, 1, &[&units[0], &units[1]])?;
    opened(&server, &pull)?;
    let planned = server.calls()?.len();
    let refused = |pull: &Pull, who: &str, comment: &str, says: &str| {
        let before = server.github.comments(pull).len();
        server.comment(pull, who, comment)?;
        server.until("it to answer", || {
            Ok(server.github.comments(pull).len() > before)
        })?;
        let said = server.github.comments(pull).split_off(before).concat();
        let applied = server.calls()?.len() > planned;
        ensure!(!applied, "{comment}: it does, instead of {says:?}");
        ensure!(
            said.contains(says),
            "{comment}: it says {said:?}, and not {says:?}"
        );
        Ok(())
    };
    let apply = "atlantis apply";
    refused(&pull, PLATFORM, apply, "must be approved")?;
    pull.approved = true;
    refused(&pull, PLATFORM, apply, "must be mergeable")?;
    pull.mergeable = "clean";
    refused(&pull, OTHER, apply, "does not have permissions")?;
    refused(
        &pull,
        PLATFORM,
        "atlantis state -p dev-eu-central-1-keys rm a.b",
        "unknown command",
    )?;
    let backups = "atlantis apply -p dev-eu-central-1-backups";
    refused(
        &pull,
        PLATFORM,
        backups,
        "unless you apply its dependencies",
    )?;
    // Somebody else's change of what a plan is made of.
    server
        .repository
        .advance(&[&format!("{TERRAFORM}/modules/keys/main.tf")], changed)?;
    refused(&pull, PLATFORM, apply, "must be rebased")?;
    server.comment(&pull, OTHER, "atlantis plan")?;
    server.until("another plan", || Ok(server.calls()?.len() == 2 * planned))?;
    settled(&server, &pull, PLANNED)?;
    server.comment(&pull, PLATFORM, apply)?;
    settled(&server, &pull, APPLIED)?;
    let calls = server.calls()?.split_off(2 * planned);
    let applied = projects(&calls);
    let in_order = applied == ["dev-eu-central-1-keys", "dev-eu-central-1-backups"];
    let of_plan =
        |call: &Call| call.arguments.starts_with("apply ") && call.arguments.ends_with(".tfplan");
    ensure!(
        in_order && calls.iter().all(of_plan),
        "it applies by {calls:?}"
    );
    // Each word of a comment comes to a step with a backslash before each of its letters.
    let import = "atlantis import -p dev-eu-central-1-keys 'aws_kms_key.this[\"backups\"]' 1234";
    let before = server.calls()?.len();
    server.comment(&pull, PLATFORM, import)?;
    server.until("an import", || Ok(server.calls()?.len() > before))?;
    let imported = &server.calls()?[before].arguments;
    let whole = imported.ends_with(" aws_kms_key.this[\"backups\"] 1234");
    ensure!(whole, "it imports by {imported:?}");
    asked_all(&server)
}

fn takes(checker: &Checker, tree: &Path) -> Result<()> {
    let server = Server::start(checker, tree, None)?;
    let file = unit_of_dev("keys");
    let pull = propose(&server, 1, &[&file])?;
    server.github.put(&pull);
    let status = server.send("pull_request", &pull.event("opened"), "another key")?;
    ensure!(
        status == 400,
        "what another key has signed is answered with {status}"
    );
    let other = rewritten(&pull.event("opened"), REPOSITORY, "example/other")?;
    let status = server.send_signed("pull_request", &other)?;
    ensure!(
        status == 403,
        "another repository is answered with {status}"
    );
    // Of somebody else's repository: what a plan runs would be theirs.
    let fork = Pull {
        number: 2,
        from: "somebody/hello",
        ..pull.clone()
    };
    server.tell(&fork, "opened")?;
    server.until("it to refuse a fork", || {
        Ok(server
            .github
            .comments(&fork)
            .concat()
            .contains("fork pull requests"))
    })?;
    let release = Pull {
        number: 3,
        base: "release",
        ..pull
    };
    server.tell(&release, "opened")?;
    server.until("it to pass over another branch", || {
        Ok(server.log()?.contains("match base branches"))
    })?;
    // One that would apply itself.
    let config = format!("{TERRAFORM}/atlantis.yaml");
    for (number, key, value) in [
        (4, "apply_requirements", "apply_requirements: []"),
        (5, "workflow", "workflow: own"),
    ] {
        let own = format!("    {value}\n    workspace: default");
        let head = server
            .repository
            .propose(number, &[&config, &file], |text| {
                changed(text).replace("    workspace: default", &own)
            })?;
        let own = self::pull(number, head, &[&config, &file]);
        server.tell(&own, "opened")?;
        server.until("it to refuse what it may not say", || {
            let said = server.github.comments(&own).concat();
            Ok(said.contains(&format!("not allowed to set '{key}' key")))
        })?;
    }
    let calls = server.calls()?;
    ensure!(calls.is_empty(), "it calls {calls:?}");
    // Nothing else is in the internet, and nobody without the password in the VPC.
    let people = ["--user", server.people.as_str()];
    let post = ["--request", "POST"];
    for (what, is, wanted) in [
        (
            "the events, by GET",
            server.public("/events", &["--request", "GET"])?,
            403,
        ),
        (
            "the pages, from the internet",
            server.public("/", &[])?,
            404,
        ),
        (
            "the API, from the internet",
            server.public("/api/plan", &post)?,
            404,
        ),
        ("the pages, without a password", server.page("/", &[])?, 401),
        (
            "the API, from the VPC",
            server.page("/api/locks", &people)?,
            404,
        ),
        (
            "an event, from the VPC",
            server.page("/events", &post)?,
            404,
        ),
        (
            "metrics, without a password",
            server.inside("/metrics", &[])?,
            401,
        ),
        ("metrics", server.inside("/metrics", &people)?, 200),
    ] {
        ensure!(is == wanted, "{what}: {is}, and not {wanted}");
    }
    asked_all(&server)
}

/// Terragrunt itself, which calls what notes Terraform's arguments.
fn runs_terragrunt(checker: &Checker, tree: &Path) -> Result<()> {
    let terragrunt = tools::find_or_fetch("terragrunt")?;
    let server = Server::start(checker, tree, Some(&terragrunt))?;
    let mut pull = propose(&server, 1, &[&unit_of_dev("keys")])?;
    (pull.approved, pull.mergeable) = (true, "clean");
    opened(&server, &pull)?;
    server.comment(&pull, PLATFORM, "atlantis apply")?;
    settled(&server, &pull, APPLIED)?;
    let import = "atlantis import -p dev-eu-central-1-keys a.b 1234";
    server.comment(&pull, PLATFORM, import)?;
    let mut calls = Vec::new();
    server.until("an import", || {
        calls = server.calls()?;
        let last = calls.last().context("it has called nothing")?;
        Ok(last.arguments.starts_with("import "))
    })?;
    for wanted in ["init ", "plan ", "apply ", "import "] {
        let mut calls = calls
            .iter()
            .filter(|call| call.arguments.starts_with(wanted));
        let call = calls
            .next()
            .with_context(|| format!("no {wanted}: {calls:?}"))?;
        let of_unit = call
            .directory
            .contains("/live/dev/eu-central-1/keys/.terragrunt-cache/");
        let of_plan = ["plan ", "apply "].contains(&wanted);
        let whole = !of_plan || call.arguments.contains(".tfplan");
        ensure!(of_unit && whole, "Terragrunt calls {call:?}");
    }
    asked_all(&server)
}

/// A pull request of somebody, which changes these files.
fn propose(server: &Server, number: u64, files: &[&str]) -> Result<Pull> {
    let head = server.repository.propose(number, files, changed)?;
    Ok(pull(number, head, files))
}

fn pull(number: u64, head: String, files: &[&str]) -> Pull {
    Pull {
        number,
        head,
        from: REPOSITORY,
        base: "main",
        files: files.iter().map(|file| (*file).to_owned()).collect(),
        approved: false,
        mergeable: "blocked",
    }
}

fn changed(text: String) -> String {
    text + "\n# changed\n"
}

fn unit_of_dev(unit: &str) -> String {
    format!("{TERRAFORM}/live/dev/eu-central-1/{unit}/terragrunt.hcl")
}

/// Opens a pull request, and waits until it is planned.
fn opened(server: &Server, pull: &Pull) -> Result<()> {
    let status = server.tell(pull, "opened")?;
    ensure!(status == 200, "it is answered with {status}");
    settled(server, pull, PLANNED)
}

/// Waits until a check of a pull request is green.
fn settled(server: &Server, pull: &Pull, check: &str) -> Result<()> {
    let mut status = String::new();
    server.until(&format!("{check} to be settled"), || {
        status = server.github.status(pull, check);
        Ok(["success", "failure", "error"].contains(&status.as_str()))
    })?;
    let said = server.github.comments(pull);
    ensure!(
        status == "success",
        "{check} is {status}: {}",
        said.concat()
    );
    Ok(())
}

/// Whatever Atlantis asked GitHub for was answered.
fn asked_all(server: &Server) -> Result<()> {
    none(server.github.unknown())
}
