//! What the roles may do: as AWS names it, and enough for a backup and no more.
//!
//! moto decides for S3, by action and resource, and leaves conditions out: that `s3:prefix` bounds
//! what is listed is not proved, nor who may assume a role, nor anything of Route 53, KMS and EC2.
//! For those there is AWS's reference alone, see terraform/policies.py.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use deploy_tests::{
    checker::{input, succeeded, trial},
    moto::{ACCOUNT, Moto},
    mutation::{Mutations, fails},
    objects::{list, text},
};
use harness::client::Connection;
use libtest_mimic::Trial;
use serde_json::{Value, json};
use tempfile::TempDir;
use tools::{python, root};

use crate::{
    facts::FACTS,
    terragrunt::{Live, Terragrunt},
    tree::script,
};

/// Whose service account runs the backups.
const UNIT: &str = "production/eu-central-1/identity";
const ROLE: &str = "production-eu-central-1-hello-backup";

/// A unit of few others, whose policies are broken.
const BROKEN: &str = "production/eu-central-1/cluster-roles";

pub fn trials(terragrunt: &Terragrunt, mutations: &Mutations) -> Vec<Trial> {
    let mut trials = Vec::new();
    let live = terragrunt.live(&root());
    let units = live.map(|live| units_with_policies(&live));
    let there = units.iter().flatten().any(|unit| unit == BROKEN);
    assert!(there || units.is_err(), "there is no {BROKEN}");
    for unit in units.unwrap_or_default() {
        let (terragrunt, planned) = (terragrunt.clone(), unit.clone());
        // The module is broken, and one unit of it planned.
        let below = if unit == BROKEN { "" } else { &unit };
        trials.extend(mutations.trials_below(
            below,
            &format!("iam, {unit}, its policies are of what AWS has"),
            "iam, known",
            move |tree| policies_are_known(&terragrunt, tree, &planned),
        ));
    }
    let needed = mutations.rows("iam, a backup needs each of its rights");
    let also = terragrunt.clone();
    trials.push(trial(
        "iam, a backup may do what it does, and no more",
        move || backup_and_no_more(&also),
    ));
    let also = terragrunt.clone();
    trials.push(trial("iam, a backup needs each of its rights", move || {
        backup_needs_its_rights(&also, &needed)
    }));
    trials
}

/// Every unit with roles, and one unit of each other module: those differ in names alone.
fn units_with_policies(live: &Live) -> Vec<String> {
    let mut modules = BTreeSet::new();
    let units = live.units.iter().filter(|(_, unit)| {
        let module = unit.modules[0].as_str();
        modules.insert(module) || ["identity", "cluster-roles"].contains(&module)
    });
    units.map(|(name, _)| name.clone()).collect()
}

fn policies_are_known(terragrunt: &Terragrunt, tree: &Path, unit: &str) -> Result<()> {
    let plan = terragrunt.plan(&*terragrunt.live(tree)?, unit)?;
    let policies = Value::Array(policies_in(&plan, unit)?).to_string();
    let mut python = Command::new(python::environment("checkov")?.join("python"));
    python.arg(script("policies.py")).stdin(input(&policies)?);
    succeeded(&mut python).map(drop)
}

/// Each policy that Terraform plans.
fn policies_in(plan: &Value, unit: &str) -> Result<Vec<Value>> {
    let mut found = Vec::new();
    for change in list(plan, "/resource_changes") {
        let place = format!("{unit}, {}", text(change, "/address"));
        let kind = text(change, "/type");
        let identity = ["aws_iam_role_policy", "aws_iam_policy"].contains(&kind);
        for name in ["policy", "assume_role_policy"] {
            let policy = text(change, &format!("/change/after/{name}"));
            // What a resource reads back, such as a bucket its policy, is a mock.
            if policy.starts_with('{') {
                let policy: Value = serde_json::from_str(policy).context(place.clone())?;
                found.push(json!({"where": place, "policy": policy, "identity": identity}));
            }
        }
    }
    Ok(found)
}

fn backup_and_no_more(terragrunt: &Terragrunt) -> Result<()> {
    let aws = Aws::start(terragrunt)?;
    aws.enforce(&aws.policy)?;
    succeeded(&mut aws.script("backup.sh", "upload"))?;
    let dump = fs::read(aws.work().join(DUMP))?;
    fs::remove_file(aws.work().join(DUMP))?;
    succeeded(&mut aws.script("restore.sh", "download"))?;
    let back = fs::read(aws.work().join(DUMP))?;
    ensure!(back == dump, "another dump came back");

    let file = aws.work().join(DUMP).display().to_string();
    for refused in &FACTS.refused {
        let refused = refused
            .replace("FILE", &file)
            .replace("BUCKET", &aws.bucket);
        let output = aws.as_backup("aws").args(words(&refused)).output()?;
        let says = String::from_utf8_lossy(&output.stderr);
        ensure!(
            // Of an object that nobody may read, only the number of the error comes back.
            !output.status.success() && (says.contains("AccessDenied") || says.contains("(403)")),
            "`aws {refused}` ends with {}: {says}",
            output.status
        );
    }
    Ok(())
}

fn backup_needs_its_rights(terragrunt: &Terragrunt, needed: &[[String; 4]]) -> Result<()> {
    let aws = Aws::start(terragrunt)?;
    for [action, script, step, says] in needed {
        // A backup is there, so that nothing else is missing.
        aws.enforce(&aws.policy)?;
        succeeded(&mut aws.script("backup.sh", "upload"))?;
        let quoted = format!("{action:?}");
        let less = aws.policy.replace(&quoted, "\"s3:GetBucketAcl\"");
        ensure!(less != aws.policy, "the policy has no {action}");
        aws.enforce(&less)?;
        let outcome = succeeded(&mut aws.script(script, step));
        fails(outcome, says).with_context(|| format!("{script} {step} without {action}"))?;
    }
    Ok(())
}

fn words(arguments: &str) -> Vec<&str> {
    arguments.split_whitespace().collect()
}

const DUMP: &str = "hello-20260101T000000Z.dump";

/// moto, with the role as Terraform plans it.
struct Aws {
    moto: Moto,
    directory: TempDir,
    bucket: String,
    policy: String,
    /// What the role signs with.
    credentials: Value,
}

impl Aws {
    fn start(terragrunt: &Terragrunt) -> Result<Self> {
        let plan = terragrunt.plan(&*terragrunt.live(&root())?, UNIT)?;
        let output = |name: &str| {
            let value = plan["output_changes"][name]["after"][ROLE].as_str();
            value.with_context(|| format!("{UNIT} puts out no {name} of {ROLE}"))
        };
        let bucket = plan["inputs"]["buckets"]["backups"]["name"].as_str();
        let bucket = bucket.context("it has a bucket")?;
        let directory = TempDir::new()?;
        let mut aws = Self {
            moto: Moto::start(directory.path())?,
            directory,
            bucket: bucket.to_owned(),
            policy: output("policies")?.to_owned(),
            credentials: Value::Null,
        };
        fs::create_dir(aws.work())?;
        fs::write(aws.work().join(DUMP), "a dump of some bytes")?;
        let mut sha256sum = Command::new("sha256sum");
        let digest = sha256sum.arg(DUMP).current_dir(aws.work()).output()?;
        fs::write(aws.work().join(format!("{DUMP}.sha256")), digest.stdout)?;

        let file = aws.work().join(DUMP).display().to_string();
        aws.admin(&["s3", "mb", &format!("s3://{bucket}")])?;
        aws.admin(&["s3", "mb", "s3://other"])?;
        aws.admin(&["s3", "cp", &file, &format!("s3://{bucket}/velero/backup")])?;
        aws.admin(&["s3", "cp", &file, "s3://other/pg_dump/backup"])?;
        let create = format!("iam create-role --role-name {ROLE} --assume-role-policy-document");
        aws.admin(&[words(&create), vec![output("trusts")?]].concat())?;
        let assumed = aws.admin(&words(&format!(
            "sts assume-role-with-web-identity --role-arn arn:aws:iam::{ACCOUNT}:role/{ROLE} \
             --role-session-name backup --web-identity-token token --output json"
        )))?;
        let assumed: Value = serde_json::from_str(&assumed)?;
        aws.credentials = assumed["Credentials"].clone();
        Ok(aws)
    }

    fn work(&self) -> PathBuf {
        self.directory.path().join("work")
    }

    /// Gives the role this policy, and from then on refuses what nobody allows.
    fn enforce(&self, policy: &str) -> Result<()> {
        self.free_requests("inf")?;
        let put =
            format!("iam put-role-policy --role-name {ROLE} --policy-name own --policy-document");
        self.admin(&[words(&put), vec![policy]].concat())?;
        self.free_requests("0")
    }

    /// How many requests moto lets through before it asks who may do what.
    fn free_requests(&self, count: &str) -> Result<()> {
        let plain = [("content-type", "text/plain")];
        let mut moto = Connection::open(self.moto.port)?;
        let answer = moto.exchange("POST", "/moto-api/reset-auth", &plain, count.as_bytes())?;
        ensure!(answer.status == 200, "moto answers {}", answer.status);
        Ok(())
    }

    /// As whoever may do everything, while requests are free.
    fn admin(&self, arguments: &[&str]) -> Result<String> {
        succeeded(self.moto.command("aws").args(arguments))
            .with_context(|| format!("aws {}", arguments.join(" ")))
    }

    /// A program, as the role.
    fn as_backup(&self, program: &str) -> Command {
        let mut command = self.moto.command(program);
        for (variable, name) in [
            ("AWS_ACCESS_KEY_ID", "/AccessKeyId"),
            ("AWS_SECRET_ACCESS_KEY", "/SecretAccessKey"),
            ("AWS_SESSION_TOKEN", "/SessionToken"),
        ] {
            command.env(variable, text(&self.credentials, name));
        }
        command
    }

    /// The chart's own script, as the role.
    fn script(&self, name: &str, step: &str) -> Command {
        let mut command = self.as_backup("sh");
        command
            .arg(root().join("deploy/chart/files").join(name))
            .arg(step)
            .env("BACKUP_BUCKET", &self.bucket)
            .env("BACKUP_PREFIX", "pg_dump/")
            .env("BACKUP_FOLDER", self.work());
        command
    }
}
