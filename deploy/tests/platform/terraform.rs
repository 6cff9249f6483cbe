//! The modules: formatted, pinned, valid to Terraform itself, and their own tests.
//!
//! Terraform runs offline here. Its provider has the schemas of the real one and nothing behind
//! them, see terraform/provider.mjs. So this proves names, types, what is required, references,
//! functions and conditions, and what the modules' tests say of the values that Terraform plans
//! with mocks. It proves nothing that the provider or AWS would say of a value.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use deploy_tests::mutation::Mutations;
use harness::{client::Connection, host::free_port, process::Process};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use tempfile::TempDir;
use tools::root;

use crate::tree::{self, DIRECTORY, succeeded};

/// The provider of ephemeral resources.
const UNMOCKED: &str = "unmocked";

/// Who vouches for a mocked cluster's service accounts.
const ISSUER: &str = "https://oidc.eks.eu-central-1.amazonaws.com/id/MOCK";

/// A plan, once it is made.
pub type Planned = Arc<Mutex<Option<Value>>>;

/// Terraform, and a provider for as long as this is there.
#[derive(Clone)]
pub struct Terraform {
    program: PathBuf,
    schemas: Arc<Value>,
    /// What was planned before, by tree and unit: a unit's plan begins with those before it.
    pub plans: Arc<Mutex<BTreeMap<(PathBuf, String), Planned>>>,
    /// Where the provider is, as Terraform takes it.
    provider: String,
    _running: Arc<(Process, TempDir)>,
}

pub fn trials(terraform: Option<&Terraform>, mutations: &Mutations) -> Vec<Trial> {
    type Check = fn(&Terraform, &Path, &str) -> Result<()>;
    const CHECKS: [(&str, &str, Check); 2] = [
        ("valid", "terraform, valid", Terraform::valid),
        (
            "its tests pass",
            "terraform, its tests pass",
            Terraform::tested,
        ),
    ];
    let mut trials = mutations.trials("terraform, exact versions", pinned);
    let Some(terraform) = terraform else {
        for check in ["terraform, formatted", CHECKS[0].1, CHECKS[1].1] {
            let _ = mutations.rows::<4>(check);
        }
        let name = "terraform: not run here; there is no `terraform` on PATH";
        trials.push(Trial::test(name, || Ok(())).with_ignored_flag(true));
        return trials;
    };
    let also = terraform.clone();
    trials.extend(mutations.trials("terraform, formatted", move |tree| also.formatted(tree)));
    for module in tree::modules(&root()).expect("the modules are in the project") {
        for (what, mutated, check) in CHECKS {
            let (terraform, name) = (terraform.clone(), module.clone());
            trials.extend(mutations.trials_below(
                &format!("{DIRECTORY}/modules/{module}/"),
                &format!("terraform, modules/{module}, {what}"),
                mutated,
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
        let packages = tools::node::packages("terraform")?;
        let file = directory.path().join("schemas.json");
        let schemas = schemas(&packages)?;
        fs::write(&file, schemas.to_string())?;
        let port = free_port()?;
        let log = directory.path().join("provider.log");
        let provider = Process::start_server(
            Command::new("node")
                .arg(tree::script("provider.mjs"))
                .args([&packages, &file])
                .arg(port.to_string()),
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
            plans: Arc::default(),
            provider: provider_said.to_string(),
            _running: Arc::new((provider, directory)),
        }))
    }

    /// Terraform in a directory, without what somebody set for their own use of it.
    pub fn command(&self, directory: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TF_") {
                command.env_remove(name);
            }
        }
        command
            .args(arguments)
            .current_dir(directory)
            .stdin(Stdio::null())
            .env("TF_CLI_CONFIG_FILE", "/dev/null")
            .env("TF_IN_AUTOMATION", "1")
            .env("TF_REATTACH_PROVIDERS", &self.provider)
            .env("CHECKPOINT_DISABLE", "1");
        command
    }

    fn formatted(&self, tree: &Path) -> Result<()> {
        let directory = tree.join(DIRECTORY);
        let fmt = ["fmt", "-check", "-diff", "-recursive", "-no-color"];
        succeeded(&self.command(&directory, &fmt).output()?)?;
        // Terragrunt's files are HCL too, and Terraform formats them if nobody says whose they are.
        let mut count = 0;
        for file in tree::hcl(tree)?
            .keys()
            .filter(|file| file.ends_with(".hcl"))
        {
            let text = fs::read(directory.join(file))?;
            let mut fmt = self
                .command(&directory, &["fmt", "-no-color", "-"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()?;
            let mut input = fmt.stdin.take().context("stdin is piped")?;
            input.write_all(&text)?;
            drop(input);
            let output = fmt.wait_with_output()?;
            succeeded(&output)?;
            ensure!(output.stdout == text, "{file} is not formatted");
            count += 1;
        }
        ensure!(count > 0, "there is no .hcl file");
        Ok(())
    }

    /// A copy of all modules, with this one ready: a module may use another.
    pub fn ready(&self, tree: &Path, module: &str) -> Result<(TempDir, PathBuf)> {
        let copy = TempDir::new()?;
        tree::copy(&tree.join(DIRECTORY).join("modules"), copy.path())?;
        let directory = copy.path().join(module);
        unmock(&directory)?;
        let init = ["init", "-backend=false", "-input=false", "-no-color"];
        succeeded(&self.command(&directory, &init).output()?)?;
        Ok((copy, directory))
    }

    fn valid(&self, tree: &Path, module: &str) -> Result<()> {
        let (_copy, directory) = self.ready(tree, module)?;
        let said = succeeded(
            &self
                .command(&directory, &["validate", "-no-color"])
                .output()?,
        )?;
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
        let run = "run \"planned\" {\n  command = plan\n}\n";
        fs::write(
            tests.join("planned.tftest.hcl"),
            format!("{providers}{run}"),
        )?;
        let said = self.test(directory, &["-verbose"])?;
        let plan = said
            .into_iter()
            .find_map(|mut line| Some(line.get_mut("test_plan")?.take()));
        plan.context("it shows no plan")
    }

    /// A provider that knows every value in the plan already.
    fn mock(&self, region: &str, alias: &str) -> String {
        let mut mock = format!("mock_provider \"aws\" {{\n{alias}  override_during = plan\n");
        for (kind, block) in [("resource", "mock_resource"), ("data", "mock_data")] {
            for (name, schema) in self.schemas[kind].as_object().into_iter().flatten() {
                let has_arn = schema["attributes"]["arn"]["computed"] == true;
                let defaults = match name.as_str() {
                    "aws_eks_cluster" => {
                        format!("identity = [{{ oidc = [{{ issuer = {ISSUER:?} }}] }}]")
                    }
                    _ if has_arn => format!("arn = {:?}", arn(name, region)),
                    _ => String::new(),
                };
                mock += &format!("  {block} {name:?} {{\n    defaults = {{ {defaults} }}\n  }}\n");
            }
        }
        mock + "}\n"
    }

    /// Runs a module's tests, all of which pass, and returns what Terraform said.
    pub fn test(&self, directory: &Path, arguments: &[&str]) -> Result<Vec<Value>> {
        let mut all = vec!["test", "-json"];
        all.extend(arguments);
        let output = self.command(directory, &all).output()?;
        let said = String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(serde_json::from_str)
            .collect::<Result<Vec<Value>, _>>()?;
        let problems: Vec<String> = said
            .iter()
            .filter(|line| line["type"] == "diagnostic")
            .map(|line| {
                let diagnostic = &line["diagnostic"];
                let part = |of: &Value| of.as_str().unwrap_or_default().trim().to_owned();
                let of = [&line["@testrun"], &diagnostic["snippet"]["code"]].map(part);
                let says = [&diagnostic["summary"], &diagnostic["detail"]].map(part);
                format!("{}, {}: {}", of.join(": "), says[0], says[1])
            })
            .collect();
        let summary = said
            .iter()
            .find_map(|line| line.get("test_summary"))
            .with_context(|| format!("no test ran: {}", problems.join("\n")))?;
        if summary["status"] != "pass" || summary["skipped"] != 0 || !problems.is_empty() {
            bail!("{summary}\n{}", problems.join("\n"));
        }
        ensure!(summary["passed"].as_u64() > Some(0), "it has no test");
        Ok(said)
    }
}

/// Terraform 1.11 mocks no ephemeral resource, and refuses to test a module that has one. Here,
/// those are of a provider that is not mocked.
fn unmock(directory: &Path) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "tf") {
            let lines = fs::read_to_string(&path)?;
            let lines = lines
                .lines()
                .map(|line| match line.starts_with("ephemeral ") {
                    true => format!("{line}\n  provider = aws.{UNMOCKED}\n"),
                    false => format!("{line}\n"),
                });
            fs::write(path, lines.collect::<String>())?;
        }
    }
    let provider = json!({"provider": {"aws": {"alias": UNMOCKED}}});
    Ok(fs::write(
        directory.join("unmocked.tf.json"),
        provider.to_string(),
    )?)
}

/// An ARN as AWS would give one to a resource of this type.
fn arn(name: &str, region: &str) -> String {
    let rest = match name {
        "aws_cloudwatch_log_group" => format!("logs:{region}:000000000000:log-group:mock"),
        "aws_db_instance" => format!("rds:{region}:000000000000:db:mock"),
        "aws_iam_role" => "iam::000000000000:role/mock".to_owned(),
        "aws_kms_key" => format!("kms:{region}:000000000000:key/mock"),
        "aws_s3_bucket" => "s3:::mock".to_owned(),
        "aws_secretsmanager_secret" => format!("secretsmanager:{region}:000000000000:secret:mock"),
        other => format!("mock:{region}:000000000000:{other}/mock"),
    };
    format!("arn:aws:{rest}")
}

/// The provider's schemas of the types that the project's modules use, and its version.
fn schemas(packages: &Path) -> Result<Value> {
    let mut used = [const { BTreeSet::new() }; 3];
    let said = tree::hcl(&root())?;
    for kinds in said.values() {
        for (types, kind) in used.iter_mut().zip(["resource", "data", "ephemeral"]) {
            types.extend(kinds[kind].as_object().into_iter().flat_map(|of| of.keys()));
        }
    }
    let [resource, data, ephemeral] = used;
    let wanted = json!({"resource": resource, "data": data, "ephemeral": ephemeral});
    let mut child = Command::new("node")
        .arg(tree::script("schemas.mjs"))
        .arg(packages)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("`node` does not start")?;
    let mut input = child.stdin.take().context("stdin is piped")?;
    input.write_all(wanted.to_string().as_bytes())?;
    drop(input);
    let schemas: Value = serde_json::from_str(&succeeded(&child.wait_with_output()?)?)?;
    for (kind, wanted) in wanted.as_object().into_iter().flatten() {
        let wanted = wanted.as_array().map_or(0, Vec::len);
        let found = schemas[kind].as_object().map_or(0, serde_json::Map::len);
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
    let packages = tools::node::packages("terraform")?;
    let expected = schemas(&packages)?["version"].clone();
    let expected = format!("= {}", expected.as_str().context("it has a version")?);
    let said = tree::hcl(tree)?;
    for module in tree::modules(tree)? {
        let mut providers = Vec::new();
        let mut terraform = None;
        let mut needs_one = false;
        for (_, file) in said
            .iter()
            .filter(|(path, _)| path.starts_with(&format!("modules/{module}/")))
        {
            let settings = &file["terraform"][0];
            needs_one |= ["resource", "data", "ephemeral"]
                .iter()
                .any(|kind| file.get(kind).is_some());
            terraform = terraform.or(settings["required_version"].as_str());
            for provider in settings["required_providers"]
                .as_array()
                .into_iter()
                .flatten()
            {
                providers.extend(provider.as_object().into_iter().flatten());
            }
        }
        ensure!(terraform.is_some(), "{module} names no required_version");
        ensure!(
            !needs_one || !providers.is_empty(),
            "{module} names no provider"
        );
        for (name, provider) in providers {
            ensure!(
                provider["version"] == *expected,
                "{module} takes {name} {}, not {expected}",
                provider["version"]
            );
        }
    }
    Ok(())
}
