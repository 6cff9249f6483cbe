//! live/, as Terragrunt reads it: every unit has its module, that module's inputs, and what it depends on.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result, ensure};
use deploy_tests::{
    checker::printed,
    moto::ACCOUNT,
    mutation::Mutations,
    objects::{fields, list, strings},
};
use libtest_mimic::Trial;
use regex::Regex;
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tools::root;

use crate::{
    facts::RULES,
    terraform::Terraform,
    tree::{self, blocks},
};

/// Where live/ has what units share, by the name that Terragrunt's documentation gives it.
pub const COMMON: &str = "_envcommon/";

/// The directories that Terragrunt reads.
const PARTS: [&str; 2] = ["live", "modules"];

/// What may be run with outputs that nothing has put out yet.
const MOCKED: [&str; 3] = ["init", "validate", "plan"];

/// Terraform, except where Terragrunt asks for the outputs of another unit, whose backend it has put
/// into the working directory: there is no state, and what was planned for that unit is the answer. Where
/// nothing was planned yet, Terragrunt takes its mocks.
const STAND_IN: &str = r#"#!/bin/sh
case "$*" in
  "init -get=false"*) ;;
  "output -json"*)
    unit=$(sed -n 's|.* key .*"\(.*\)/terraform.tfstate"|\1|p' backend.tf)
    cat "$LIVE/$unit/outputs.json" 2>/dev/null || echo '{}' ;;
  *) exec "$TERRAFORM" "$@" ;;
esac
"#;

#[derive(Clone)]
pub struct Terragrunt {
    program: PathBuf,
    pub terraform: Terraform,
    /// The project's own: it is asked for by many.
    live: Arc<Mutex<Option<Arc<Live>>>>,
}

/// A copy of live/, and what Terragrunt makes of it.
pub struct Live {
    tree: PathBuf,
    copy: TempDir,
    hcl: BTreeMap<String, Value>,
    /// By its path in live/: `production/eu-central-1/network`.
    pub units: BTreeMap<String, Unit>,
}

pub struct Unit {
    /// Its configuration as a whole, with mocks for the outputs of others.
    said: Value,
    /// Its module, and those that it calls.
    pub modules: Vec<String>,
    /// By the name it has here, the unit that it depends on.
    pub dependencies: BTreeMap<String, String>,
    planned: Mutex<Option<Value>>,
}

pub fn trials(terragrunt: &Terragrunt, mutations: &Mutations) -> Vec<Trial> {
    type Check = fn(&Terragrunt, &Live) -> Result<()>;
    let checks: [(&str, Check); 6] = [
        ("terragrunt, formatted", formatted),
        ("terragrunt, every module is used", modules_are_used),
        ("terragrunt, inputs are variables", inputs_are_variables),
        ("terragrunt, dependencies are units", dependencies_are_units),
        ("terragrunt, each unit has its state", states_are_apart),
        ("terragrunt, what it generates is valid", generates_valid),
    ];
    let mut trials = Vec::new();
    for (name, check) in checks {
        let terragrunt = terragrunt.clone();
        trials.extend(mutations.trials(name, move |tree| {
            check(&terragrunt, &*terragrunt.live(tree)?)
        }));
    }
    let live = terragrunt.live(&root());
    for unit in live.iter().flat_map(|live| live.units.keys().cloned()) {
        let terragrunt = terragrunt.clone();
        trials.extend(mutations.trials_below(
            &format!("{}/live/{unit}/", tree::DIRECTORY),
            &format!("terragrunt, {unit}, Terraform plans it"),
            "terragrunt, planned",
            move |tree| terragrunt.plan(&*terragrunt.live(tree)?, &unit).map(drop),
        ));
    }
    trials
}

impl Terragrunt {
    /// Terragrunt, if it and Terraform can be had.
    pub fn start(terraform: Option<&Terraform>) -> Result<Option<Self>> {
        let Some(terraform) = terraform.cloned() else {
            return Ok(None);
        };
        if tools::find("terragrunt").or(tools::find("go")).is_none() {
            return Ok(None);
        }
        Ok(Some(Self {
            program: tools::find_or_fetch("terragrunt")?,
            terraform,
            live: Arc::default(),
        }))
    }

    /// What Terragrunt makes of a tree. It takes seconds, so where a tree differs from the project's in
    /// other files alone, it is the project's own.
    pub fn live(&self, tree: &Path) -> Result<Arc<Live>> {
        if tree != root() && !tree::is_the_projects(tree, &PARTS)? {
            return Ok(Arc::new(self.read(tree)?));
        }
        let mut known = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_none() {
            *known = Some(Arc::new(self.read(&root())?));
        }
        known.clone().context("it was read")
    }

    fn read(&self, tree: &Path) -> Result<Live> {
        let copy = TempDir::new()?;
        for part in PARTS {
            tree::copy(tree, part, &copy.path().join(part))?;
        }
        let stand_in = copy.path().join("terraform");
        fs::write(&stand_in, STAND_IN)?;
        fs::set_permissions(&stand_in, fs::Permissions::from_mode(0o755))?;
        self.render(copy.path(), "", &["--all", "--write"])?;
        let live = copy.path().join("live").canonicalize()?;
        let hcl = tree::hcl(tree)?;
        let mut units = BTreeMap::new();
        for path in hcl.keys() {
            let unit = path.strip_prefix("live/");
            if let Some(unit) = unit.and_then(|path| path.strip_suffix("/terragrunt.hcl")) {
                let read = Unit::read(&live, unit, &hcl).with_context(|| path.clone())?;
                units.insert(unit.to_owned(), read);
            }
        }
        ensure!(!units.is_empty(), "there are no units");
        let tree = tree.to_owned();
        Ok(Live {
            tree,
            copy,
            hcl,
            units,
        })
    }

    /// What Terragrunt prints in the directory of a unit, if it succeeds.
    fn run(&self, copy: &Path, unit: &str, arguments: &[&str]) -> Result<Output> {
        let live = copy.join("live");
        let mut command = Command::new(&self.program);
        self.terraform.set(&mut command);
        for stage in ["MANAGEMENT", "DEV", "CANARY", "PRODUCTION"] {
            command.env(format!("HELLO_ACCOUNT_{stage}"), ACCOUNT);
        }
        command
            .args(arguments)
            .current_dir(live.join(unit))
            // Its garbage collector takes a third of its time, and memory is there.
            .env("GOGC", "400")
            .env("LIVE", live)
            .env("TERRAFORM", &self.terraform.program)
            .env("TF_CLI_ARGS_init", "-backend=false")
            .env("TG_TF_PATH", copy.join("terraform"))
            .env("TG_LOG_LEVEL", "error")
            .env("TG_NO_COLOR", "true")
            .env("TG_NON_INTERACTIVE", "true");
        let output = command.output()?;
        printed(&output)?;
        Ok(output)
    }

    /// The same of `render`, which renders what it can of what is wrong, and succeeds.
    fn render(&self, copy: &Path, unit: &str, arguments: &[&str]) -> Result<Vec<u8>> {
        let render = [&["render", "--format=json"], arguments].concat();
        let output = self.run(copy, unit, &render)?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(errors.is_empty(), "{unit}: {errors}");
        Ok(output.stdout)
    }

    /// What Terraform plans with the inputs of a unit, where what it depends on puts out what was
    /// planned for that, and with AWS mocked; and those inputs.
    pub fn plan(&self, live: &Live, name: &str) -> Result<Value> {
        let unit = live.units.get(name);
        let unit = unit.with_context(|| format!("there is no {name}"))?;
        let mut planned = unit.planned.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plan) = &*planned {
            return Ok(plan.clone());
        }
        for of in unit.dependencies.values() {
            self.plan(live, of).with_context(|| of.clone())?;
        }
        // It warns of mocks, and there are none any more.
        let said = self.render(live.copy.path(), name, &["--log-level=warn"])?;
        let inputs = serde_json::from_slice::<Value>(&said)?["inputs"].take();
        let (_copy, directory) = self.terraform.ready(&live.tree, &unit.modules[0])?;
        fs::write(directory.join("unit.auto.tfvars.json"), inputs.to_string())?;
        let region = inputs["region"].as_str().unwrap_or("eu-central-1");
        let files = files_of(&live.hcl, &unit.modules[0]);
        let aliases = files.flat_map(|file| list(file, "/provider/aws"));
        let aliases = aliases.filter_map(|of| Some(of["alias"].as_str()?.to_owned()));
        let aliases: Vec<String> = aliases.collect();
        let mut plan = self.terraform.mocked(&directory, region, &aliases)?;
        let outputs = fields(&plan, "/output_changes").map(|(output, change)| {
            let value = &change["after"];
            let output_said = json!({"sensitive": false, "type": type_of(value), "value": value});
            (output.clone(), output_said)
        });
        let outputs = Value::Object(outputs.collect());
        fs::write(live.path(name).join("outputs.json"), outputs.to_string())?;
        plan["inputs"] = inputs;
        *planned = Some(plan.clone());
        Ok(plan)
    }
}

/// Terraform's name of a value's type.
fn type_of(value: &Value) -> Value {
    match value {
        Value::Bool(_) => json!("bool"),
        Value::Number(_) => json!("number"),
        Value::Null | Value::String(_) => json!("string"),
        Value::Array(items) => json!(["tuple", items.iter().map(type_of).collect::<Vec<_>>()]),
        Value::Object(fields) => {
            let types = (fields.iter()).map(|(name, field)| (name.clone(), type_of(field)));
            json!(["object", types.collect::<Map<_, _>>()])
        }
    }
}

impl Live {
    fn path(&self, unit: &str) -> PathBuf {
        self.copy.path().join("live").join(unit)
    }

    /// What a unit shares with others of its kind, by their paths in live/: `_envcommon/keys.hcl`.
    pub fn included(&self, unit: &str) -> Vec<String> {
        let said = &self.hcl[&format!("live/{unit}/terragrunt.hcl")];
        blocks(said, "include")
            .filter_map(|(_, include)| include["path"].as_str()?.split('"').nth(1))
            .filter(|path| path.starts_with(COMMON))
            .map(str::to_owned)
            .collect()
    }
}

/// What the files of a module say.
fn files_of<'a>(hcl: &'a BTreeMap<String, Value>, module: &str) -> impl Iterator<Item = &'a Value> {
    let prefix = format!("modules/{module}/");
    let files = (hcl.iter()).filter(move |(path, _)| path.starts_with(&prefix));
    files.map(|(_, said)| said)
}

impl Unit {
    fn read(live: &Path, unit: &str, hcl: &BTreeMap<String, Value>) -> Result<Self> {
        let directory = live.join(unit);
        let said = fs::read_to_string(directory.join("terragrunt.rendered.json"))?;
        let said: Value = serde_json::from_str(&said)?;
        let source = said["terraform"]["source"].as_str();
        let module = source.and_then(|source| source.split("/modules//").nth(1));
        let mut modules = vec![module.context("its module is not in modules/")?.to_owned()];
        for at in 0.. {
            let Some(module) = modules.get(at).cloned() else {
                break;
            };
            let files: Vec<&Value> = files_of(hcl, &module).collect();
            let there = !files.is_empty();
            ensure!(there, "it is of the module {module}, which is not there");
            for (name, call) in files.into_iter().flat_map(|file| blocks(file, "module")) {
                let source = call["source"].as_str().unwrap_or_default();
                let called = source.strip_prefix("../");
                let called = called.with_context(|| format!("module {name} is not in modules/"))?;
                if !modules.iter().any(|module| module == called) {
                    modules.push(called.to_owned());
                }
            }
        }
        let mut dependencies = BTreeMap::new();
        for (name, dependency) in fields(&said, "/dependency") {
            let path = dependency["config_path"].as_str();
            let path = path.context("it has no config_path")?;
            let of = directory.join(path).canonicalize()?;
            dependencies.insert(name.clone(), of.strip_prefix(live)?.display().to_string());
        }
        Ok(Self {
            said,
            modules,
            dependencies,
            planned: Mutex::default(),
        })
    }
}

fn formatted(terragrunt: &Terragrunt, live: &Live) -> Result<()> {
    let fmt = ["hcl", "fmt", "--check", "--diff"];
    terragrunt.run(live.copy.path(), "", &fmt).map(drop)
}

fn modules_are_used(_: &Terragrunt, live: &Live) -> Result<()> {
    let used: BTreeSet<&String> = live.units.values().flat_map(|unit| &unit.modules).collect();
    for module in tree::modules()? {
        ensure!(used.contains(&module), "nothing uses the module {module}");
    }
    Ok(())
}

fn inputs_are_variables(terragrunt: &Terragrunt, live: &Live) -> Result<()> {
    // It warns of what is given too much, and only counts it as an error.
    let validate = [
        "hcl",
        "validate",
        "--inputs",
        "--strict",
        "--log-level=warn",
    ];
    terragrunt.run(live.copy.path(), "", &validate).map(drop)
}

/// What a unit takes of another one is mocked, or Terragrunt would not have read it, and it mocks no more.
fn dependencies_are_units(_: &Terragrunt, live: &Live) -> Result<()> {
    for (name, unit) in &live.units {
        let mut text = fs::read_to_string(live.path(name).join("terragrunt.hcl"))?;
        for included in live.included(name) {
            text += &fs::read_to_string(live.path(&included))?;
        }
        for (dependency, of) in &unit.dependencies {
            let block = &unit.said["dependency"][dependency];
            let mocked: Vec<_> = fields(block, "/mock_outputs").collect();
            ensure!(!mocked.is_empty(), "{name} takes nothing of {of}");
            let module = &live.units.get(of).context("it is a unit")?.modules[0];
            for (output, _) in mocked {
                let taken = format!(r"\bdependency\.{dependency}\.outputs\.{output}\b");
                ensure!(
                    Regex::new(&taken)?.is_match(&text),
                    "{name} mocks {output} of {of}, and does not take it"
                );
                let mut files = files_of(&live.hcl, module);
                ensure!(
                    files.any(|file| file["output"].get(output).is_some()),
                    "{name} takes {output} of {of}, which does not put it out"
                );
            }
            // Without this, an apply would take a mock where it finds no state.
            let commands = strings(block, "/mock_outputs_allowed_terraform_commands");
            let said = !commands.is_empty();
            ensure!(said, "{name} does not say when it may mock {of}");
            for command in commands {
                let allowed = MOCKED.contains(&command);
                ensure!(allowed, "{name} mocks {of} when it runs {command}");
            }
        }
    }
    Ok(())
}

fn states_are_apart(_: &Terragrunt, live: &Live) -> Result<()> {
    for (name, unit) in &live.units {
        RULES["terragrunt, each unit has its state"].check(&[
            ("name", &json!(name)),
            ("own", &live.hcl[&format!("live/{name}/terragrunt.hcl")]),
            ("unit", &unit.said),
        ])?;
    }
    Ok(())
}

/// Whether Terraform takes the files that Terragrunt generates. They differ between units in names
/// alone, so the first unit stands for all.
fn generates_valid(terragrunt: &Terragrunt, live: &Live) -> Result<()> {
    let (name, unit) = live.units.first_key_value().context("there are units")?;
    let generated = &unit.said["generate"]["provider"];
    ensure!(generated.is_object(), "no provider is generated");
    let validate = ["run", "--", "validate", "-no-color"];
    terragrunt.run(live.copy.path(), name, &validate).map(drop)
}
