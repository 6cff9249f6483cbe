//! The modules: formatted, pinned, valid to Terraform itself, and their own tests.
//!
//! Terraform runs offline here. Its provider has the schemas of the real one and nothing behind
//! them, see terraform/provider.mjs. So this proves names, types, what is required, references,
//! functions and conditions, and what the modules' tests say of the values that Terraform plans
//! with mocks. It proves nothing that the provider or AWS would say of a value.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use deploy_tests::{
    checker::{input, succeeded},
    mutation::Mutations,
    objects::{fields, list, text},
};
use harness::{client::Connection, host::free_port, process::Process};
use libtest_mimic::Trial;
use regex::Regex;
use serde_json::{Value, json};
use tempfile::TempDir;
use tools::{node, root};

use crate::{
    facts::{FACTS, RULES},
    tree::{self, DIRECTORY},
};

/// The provider of ephemeral resources.
const UNMOCKED: &str = "unmocked";

/// Who vouches for a mocked cluster's service accounts.
const ISSUER: &str = "identity = [{ oidc = [{ issuer = \
    \"https://oidc.eks.eu-central-1.amazonaws.com/id/MOCK\" }] }]";

/// What a provider has a schema for.
const KINDS: [&str; 3] = ["resource", "data", "ephemeral"];

/// Terraform, and a provider for as long as this is there.
#[derive(Clone)]
pub struct Terraform {
    pub program: PathBuf,
    schemas: Arc<Value>,
    /// Where the provider is, as Terraform takes it.
    provider: String,
    _running: Arc<(Process, TempDir)>,
}

pub fn trials(terraform: Option<&Terraform>, mutations: &Mutations) -> Vec<Trial> {
    type Check = fn(&Terraform, &Path, &str) -> Result<()>;
    const CHECKS: [(&str, Check); 2] = [
        ("valid", Terraform::valid),
        ("its tests pass", Terraform::tested),
    ];
    let mut trials = mutations.trials("terraform, exact versions", pinned);
    let Some(terraform) = terraform else {
        return trials;
    };
    let also = terraform.clone();
    trials.extend(mutations.trials("terraform, formatted", move |tree| also.formatted(tree)));
    for module in tree::modules().expect("the modules are in the project") {
        for (what, check) in CHECKS {
            let (terraform, name) = (terraform.clone(), module.clone());
            trials.extend(mutations.trials_below(
                &format!("{DIRECTORY}/modules/{module}/"),
                &format!("terraform, modules/{module}, {what}"),
                &format!("terraform, {what}"),
                move |tree| check(&terraform, tree, &name),
            ));
        }
    }
    trials
}

impl Terraform {
    /// Starts the provider, for the types that the project's modules use, if there is a Terraform.
    pub fn start() -> Result<Option<Self>> {
        let Some(program) = tools::find("terraform") else {
            return Ok(None);
        };
        let directory = TempDir::new()?;
        let packages = node::packages("terraform")?;
        let file = directory.path().join("schemas.json");
        let schemas = schemas(&packages)?;
        fs::write(&file, schemas.to_string())?;
        let port = free_port()?;
        let log = directory.path().join("provider.log");
        let mut node = node::command()?;
        node.arg(tree::script("provider.mjs"))
            .args([&packages, &file]);
        let provider = Process::start_server(
            node.arg(port.to_string()),
            Some(&log),
            Duration::from_secs(60),
            || Connection::open(port).is_ok(),
        )?;
        // How Terraform is told of a provider that somebody else started.
        let provider_said = json!({"registry.terraform.io/hashicorp/aws": {
            "Protocol": "grpc",
            "ProtocolVersion": 5,
            "Pid": provider.id(),
            "Test": true,
            "Addr": {"Network": "tcp", "String": format!("127.0.0.1:{port}")},
        }});
        Ok(Some(Self {
            program,
            schemas: Arc::new(schemas),
            provider: provider_said.to_string(),
            _running: Arc::new((provider, directory)),
        }))
    }

    /// What Terraform prints in a directory, if it succeeds.
    fn run(&self, directory: &Path, arguments: &[&str]) -> Result<String> {
        succeeded(&mut self.command(directory, arguments))
    }

    fn command(&self, directory: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).current_dir(directory);
        self.set(&mut command);
        command
    }

    /// Gives Terraform its provider, and nothing that somebody set for their own use of it.
    pub fn set(&self, command: &mut Command) {
        let names = env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        for name in names.filter(|name| name.starts_with("TF_") || name.starts_with("TG_")) {
            command.env_remove(name);
        }
        command
            .env("TF_CLI_CONFIG_FILE", "/dev/null")
            .env("TF_IN_AUTOMATION", "1")
            .env("TF_REATTACH_PROVIDERS", &self.provider)
            .env("CHECKPOINT_DISABLE", "1");
    }

    fn formatted(&self, tree: &Path) -> Result<()> {
        let fmt = ["fmt", "-check", "-diff", "-recursive", "-no-color"];
        self.run(&tree.join(DIRECTORY), &fmt).map(drop)
    }

    /// A copy of all modules, with this one ready: a module may use another.
    pub fn ready(&self, tree: &Path, module: &str) -> Result<(TempDir, PathBuf)> {
        let copy = TempDir::new()?;
        tree::copy(tree, "modules", copy.path())?;
        let directory = copy.path().join(module);
        unmock(&directory)?;
        let init = ["init", "-backend=false", "-input=false", "-no-color"];
        self.run(&directory, &init)?;
        Ok((copy, directory))
    }

    fn valid(&self, tree: &Path, module: &str) -> Result<()> {
        let (_copy, directory) = self.ready(tree, module)?;
        let said = self.run(&directory, &["validate", "-no-color"])?;
        // A warning is one of a deprecation, or of what does nothing.
        ensure!(!said.contains("Warning:"), "{said}");
        Ok(())
    }

    fn tested(&self, tree: &Path, module: &str) -> Result<()> {
        let (_copy, directory) = self.ready(tree, module)?;
        self.test(&directory, &[]).map(drop)
    }

    /// What Terraform plans for a module with the variables in its directory, and all else mocked.
    pub fn mocked(&self, directory: &Path, region: &str, aliases: &[String]) -> Result<Value> {
        let mut providers = self.mock(region, "");
        for alias in aliases {
            providers += &self.mock(region, &format!("  alias = {alias:?}\n"));
        }
        let tests = directory.join("tests");
        if tests.exists() {
            fs::remove_dir_all(&tests)?;
        }
        fs::create_dir(&tests)?;
        let run = format!("{providers}run \"planned\" {{\n  command = plan\n}}\n");
        fs::write(tests.join("planned.tftest.hcl"), run)?;
        let said = self.test(directory, &["-verbose"])?;
        let mut plans = (said.iter()).filter_map(|line| line.get("test_plan"));
        plans.next().cloned().context("it shows no plan")
    }

    /// A provider that knows every value in the plan already.
    fn mock(&self, region: &str, alias: &str) -> String {
        let mut mock = format!("mock_provider \"aws\" {{\n{alias}  override_during = plan\n");
        for (kind, block) in [("resource", "mock_resource"), ("data", "mock_data")] {
            for (name, schema) in fields(&self.schemas[kind], "") {
                let has_arn = schema["attributes"]["arn"]["computed"] == true;
                let defaults = match name.as_str() {
                    "aws_eks_cluster" => ISSUER.to_owned(),
                    _ if has_arn => format!("arn = {:?}", arn(name, region)),
                    _ => String::new(),
                };
                mock += &format!("  {block} {name:?} {{\n    defaults = {{ {defaults} }}\n  }}\n");
            }
        }
        mock + "}\n"
    }

    /// Runs a module's tests, all of which pass, and returns what Terraform said.
    fn test(&self, directory: &Path, arguments: &[&str]) -> Result<Vec<Value>> {
        let mut test = self.command(directory, &["test", "-json"]);
        let output = test.args(arguments).output()?;
        let lines = serde_json::Deserializer::from_slice(&output.stdout).into_iter();
        let said = lines.collect::<Result<Vec<Value>, _>>()?;
        let problems = said.iter().filter(|line| line["type"] == "diagnostic");
        let problems = problems.map(|line| {
            let part = |of: &str| text(&line["diagnostic"], of).trim();
            let [code, summary, detail] = ["/snippet/code", "/summary", "/detail"].map(part);
            format!("{}: {code}, {summary}: {detail}", text(line, "/@testrun"))
        });
        let problems: Vec<String> = problems.collect();
        let problems = problems.join("\n");
        let summary = said.iter().find_map(|line| line.get("test_summary"));
        let summary = summary.with_context(|| format!("no test ran: {problems}"))?;
        let passed = summary["status"] == "pass" && summary["skipped"] == 0;
        ensure!(passed && problems.is_empty(), "{summary}\n{problems}");
        ensure!(summary["passed"].as_u64() > Some(0), "it has no test");
        Ok(said)
    }
}

/// Terraform 1.11 mocks no ephemeral resource, and refuses to test a module that has one. Here,
/// those are of a provider that is not mocked.
fn unmock(directory: &Path) -> Result<()> {
    let ephemeral = Regex::new(r"(?m)^ephemeral .*\{$")?;
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "tf") {
            let text = fs::read_to_string(&path)?;
            let with = format!("$0\n  provider = aws.{UNMOCKED}");
            fs::write(path, ephemeral.replace_all(&text, with).as_bytes())?;
        }
    }
    let provider = json!({"provider": {"aws": {"alias": UNMOCKED}}}).to_string();
    Ok(fs::write(directory.join("unmocked.tf.json"), provider)?)
}

/// An ARN as AWS would give one to a resource of this type.
fn arn(name: &str, region: &str) -> String {
    let known = FACTS
        .arns
        .get(name)
        .map(|arn| arn.replace("REGION", region));
    let rest = known.unwrap_or_else(|| format!("mock:{region}:000000000000:{name}/mock"));
    format!("arn:aws:{rest}")
}

/// The provider's schemas of the types that the project's modules use, and its version.
fn schemas(packages: &Path) -> Result<Value> {
    let said = tree::hcl(&root())?;
    let used = KINDS.map(|kind| {
        let types = said.values().flat_map(|file| fields(&file[kind], ""));
        (kind, types.map(|(name, _)| name).collect())
    });
    let wanted = json!(BTreeMap::<&str, BTreeSet<&String>>::from(used));
    let mut node = node::command()?;
    node.arg(tree::script("schemas.mjs")).arg(packages);
    let schemas = succeeded(node.stdin(input(&wanted.to_string())?))?;
    let schemas: Value = serde_json::from_str(&schemas)?;
    for kind in KINDS {
        let (wanted, found) = (
            list(&wanted[kind], "").len(),
            fields(&schemas[kind], "").count(),
        );
        ensure!(
            found == wanted,
            "{} of {wanted} types of {kind} have no schema: terraform/schemas.mjs says why",
            wanted - found
        );
    }
    Ok(schemas)
}

/// Whether every module names one version of its provider, the one whose schemas are checked.
fn pinned(tree: &Path) -> Result<()> {
    let expected = schemas(&node::packages("terraform")?)?["version"].clone();
    let said = tree::hcl(tree)?;
    for module in tree::modules()? {
        let prefix = format!("modules/{module}/");
        let files = said.iter().filter(|(path, _)| path.starts_with(&prefix));
        let files: Vec<&Value> = files.map(|(_, file)| file).collect();
        RULES["terraform, exact versions"].check(&[
            ("module", &json!(module)),
            ("files", &json!(files)),
            ("kinds", &json!(KINDS)),
            ("version", &expected),
        ])?;
    }
    Ok(())
}
