//! live/: every unit has its module, that module's inputs, and what it depends on.
//!
//! No Terragrunt is at hand. HashiCorp's parser reads the files, and Terraform evaluates them: what
//! Terragrunt adds to its language is put in first, see [`Live::in_terraform`].

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    path::Path,
    process::Stdio,
    sync::{Arc, PoisonError},
};

use anyhow::{Context, Result, bail, ensure};
use deploy_tests::mutation::Mutations;
use libtest_mimic::Trial;
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tools::root;

use crate::{
    terraform::Terraform,
    tree::{self, blocks, succeeded},
};

/// Stands in for each account: none is in Git.
pub const ACCOUNT: &str = "000000000000";

/// What may be run with outputs that nothing has put out yet.
const MOCKED: [&str; 3] = ["init", "validate", "plan"];

/// live/, and what it is about.
pub struct Live {
    /// What root.hcl says.
    root: Value,
    /// What the files say that others read: `production/stage.hcl`.
    files: BTreeMap<String, Value>,
    /// By its path in live/: `production/eu-central-1/network`.
    pub units: BTreeMap<String, Unit>,
    modules: BTreeMap<String, Module>,
}

pub struct Unit {
    /// What its terragrunt.hcl says.
    said: Value,
    pub module: String,
    /// By the name it has here, the unit that it depends on.
    pub dependencies: BTreeMap<String, String>,
}

#[derive(Default)]
struct Module {
    required: BTreeSet<String>,
    optional: BTreeSet<String>,
    outputs: BTreeSet<String>,
    /// The modules that it calls.
    calls: BTreeSet<String>,
    /// Its providers, other than the one without a name.
    aliases: Vec<String>,
}

pub fn trials(terraform: Option<&Terraform>, mutations: &Mutations) -> Vec<Trial> {
    type Check = fn(&Live) -> Result<()>;
    let checks: [(&str, Check); 4] = [
        ("terragrunt, every module is used", modules_are_used),
        ("terragrunt, inputs are variables", inputs_are_variables),
        ("terragrunt, dependencies are units", dependencies_are_units),
        ("terragrunt, each unit has its state", states_are_apart),
    ];
    let trials = checks
        .into_iter()
        .flat_map(|(name, check)| mutations.trials(name, move |tree| check(&Live::read(tree)?)));
    let mut trials: Vec<Trial> = trials.collect();
    let (generated, planned) = (
        "terragrunt, what it generates is valid",
        "terragrunt, planned",
    );
    let Some(terraform) = terraform else {
        for check in [generated, planned] {
            let _ = mutations.rows::<4>(check);
        }
        return trials;
    };
    let also = terraform.clone();
    trials.extend(mutations.trials(generated, move |tree| {
        Live::read(tree)?.generates(&also, tree)
    }));
    let live = Live::read(&root()).map(|live| live.units.into_keys().collect::<Vec<_>>());
    for unit in live.unwrap_or_default() {
        let terraform = terraform.clone();
        trials.extend(mutations.trials_below(
            &format!("{}/live/{unit}/", tree::DIRECTORY),
            &format!("terragrunt, {unit}, Terraform plans it"),
            planned,
            move |tree| Live::read(tree)?.plan(&terraform, tree, &unit).map(drop),
        ));
    }
    trials
}

impl Live {
    pub fn read(tree: &Path) -> Result<Self> {
        let mut said = tree::hcl(tree)?;
        let root = said
            .remove("live/root.hcl")
            .context("there is no live/root.hcl")?;
        let mut modules: BTreeMap<String, Module> = BTreeMap::new();
        let mut units = BTreeMap::new();
        let mut files = BTreeMap::new();
        for (path, said) in said {
            let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
            if let Some(module) = directory.strip_prefix("modules/") {
                if path.ends_with(".tf") {
                    modules
                        .entry(module.to_owned())
                        .or_default()
                        .add(directory, &said)?;
                }
            } else if let Some(name) = directory.strip_prefix("live/") {
                if path.ends_with("/terragrunt.hcl") {
                    let unit = Unit::read(directory, said).with_context(|| path.clone())?;
                    units.insert(name.to_owned(), unit);
                } else {
                    files.insert(path.trim_start_matches("live/").to_owned(), said);
                }
            }
        }
        ensure!(!units.is_empty(), "there are no units");
        for (name, unit) in &units {
            ensure!(
                modules.contains_key(&unit.module),
                "{name} is of the module {:?}, which is not there",
                unit.module
            );
        }
        Ok(Self {
            root,
            files,
            units,
            modules,
        })
    }

    /// What Terraform plans with the inputs of a unit, where what it depends on puts out what was
    /// planned for that, and with AWS mocked.
    pub fn plan(&self, terraform: &Terraform, tree: &Path, name: &str) -> Result<Value> {
        let planned = {
            let mut plans = terraform.plans.lock().expect("nobody panics with it");
            let key = (tree.to_owned(), name.to_owned());
            Arc::clone(plans.entry(key).or_default())
        };
        let mut planned = planned.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plan) = &*planned {
            return Ok(plan.clone());
        }
        let unit = self.unit(name)?;
        let said = self.evaluate(terraform, tree, name)?;
        let (_copy, directory) = terraform.ready(tree, &unit.module)?;
        fs::write(
            directory.join("unit.auto.tfvars.json"),
            said["inputs"].to_string(),
        )?;
        let region = said["inputs"]["region"].as_str().unwrap_or("eu-central-1");
        let plan = terraform.mocked(&directory, region, &self.modules[&unit.module].aliases)?;
        *planned = Some(plan.clone());
        Ok(plan)
    }

    fn unit(&self, name: &str) -> Result<&Unit> {
        self.units
            .get(name)
            .with_context(|| format!("there is no {name}"))
    }

    /// What a unit gives to its module.
    pub fn inputs(&self, terraform: &Terraform, tree: &Path, name: &str) -> Result<Value> {
        Ok(self.evaluate(terraform, tree, name)?["inputs"].take())
    }

    /// Whether Terraform takes the files that Terragrunt generates. They differ between units in
    /// names alone, so the first unit stands for all.
    fn generates(&self, terraform: &Terraform, tree: &Path) -> Result<()> {
        let (name, unit) = self.units.first_key_value().context("there are units")?;
        let (_copy, directory) = terraform.ready(tree, &unit.module)?;
        let said = self.evaluate(terraform, tree, name)?;
        let files = said["generated"]
            .as_object()
            .context("it is a map of files")?;
        ensure!(files.contains_key("provider"), "no provider is generated");
        for (block, contents) in files {
            let contents = contents.as_str().context("a generated file is text")?;
            fs::write(directory.join(format!("generated_{block}.tf")), contents)?;
        }
        succeeded(
            &terraform
                .command(&directory, &["validate", "-no-color"])
                .output()?,
        )
        .map(drop)
    }

    /// A unit's inputs, and the files that Terragrunt generates beside its module.
    fn evaluate(&self, terraform: &Terraform, tree: &Path, name: &str) -> Result<Value> {
        no_cycle(self, name, &mut Vec::new())?;
        let unit = self.unit(name)?;
        let mut locals = self.root["locals"][0]
            .as_object()
            .cloned()
            .unwrap_or_default();
        for (local, value) in unit.said["locals"][0].as_object().into_iter().flatten() {
            ensure!(
                !locals.contains_key(local),
                "{name} and root.hcl have a local {local}"
            );
            locals.insert(local.clone(), value.clone());
        }
        let mut inputs = self.root["inputs"].as_object().cloned().unwrap_or_default();
        inputs.extend(unit.said["inputs"].as_object().cloned().unwrap_or_default());
        let generated: Map<String, Value> = blocks(&self.root, "generate")
            .chain(blocks(&unit.said, "generate"))
            .map(|(block, said)| (block.clone(), said["contents"].clone()))
            .collect();
        let mut dependencies = Map::new();
        for (dependency, of) in &unit.dependencies {
            let plan = self.plan(terraform, tree, of).with_context(|| of.clone())?;
            let changes = plan["output_changes"].as_object().into_iter().flatten();
            let outputs: Map<String, Value> = changes
                .map(|(output, change)| (output.clone(), change["after"].clone()))
                .collect();
            dependencies.insert(dependency.clone(), json!({ "outputs": outputs }));
        }
        locals.insert("inputs".to_owned(), Value::Object(inputs));
        locals.insert("generated".to_owned(), Value::Object(generated));
        let mut locals = self.in_terraform(name, &Value::Object(locals))?;
        locals["dependency"] = Value::Object(dependencies);
        let files = self
            .files
            .iter()
            .map(|(path, said)| (path.clone(), json!({"locals": said["locals"][0]})));
        locals["files"] = files.collect();

        let directory = TempDir::new()?;
        let config = json!({ "locals": locals });
        fs::write(directory.path().join("main.tf.json"), config.to_string())?;
        let mut console = terraform
            .command(directory.path(), &["console"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut input = console.stdin.take().context("stdin is piped")?;
        input.write_all(b"jsonencode({inputs = local.inputs, generated = local.generated})\n")?;
        drop(input);
        let output = console.wait_with_output()?;
        // It succeeds, too, where it has nothing but errors to print.
        let quoted: String = serde_json::from_slice(&output.stdout)
            .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
        Ok(serde_json::from_str(&quoted)?)
    }

    /// An expression of Terragrunt's as Terraform evaluates it.
    fn in_terraform(&self, unit: &str, value: &Value) -> Result<Value> {
        Ok(match value {
            Value::String(text) => {
                let mut text = text
                    .replace("include.root.locals.", "local.")
                    .replace("dependency.", "local.dependency.")
                    .replace("path_relative_to_include()", &format!("{unit:?}"));
                while let Some((before, rest)) = text.split_once("get_env(\"HELLO_ACCOUNT_") {
                    let (_, after) = rest.split_once(')').context("a call ends")?;
                    text = format!("{before}{ACCOUNT:?}{after}");
                }
                const READ: &str = "read_terragrunt_config(find_in_parent_folders(\"";
                while let Some((before, rest)) = text.split_once(READ) {
                    let (file, after) = rest.split_once("\"))").context("a call ends")?;
                    let path = self.above(unit, file)?;
                    text = format!("{before}local.files[{path:?}]{after}");
                }
                Value::String(text)
            }
            Value::Array(items) => {
                let items = items.iter().map(|item| self.in_terraform(unit, item));
                Value::Array(items.collect::<Result<_>>()?)
            }
            Value::Object(fields) => {
                let fields = fields
                    .iter()
                    .map(|(key, field)| Ok((key.clone(), self.in_terraform(unit, field)?)));
                Value::Object(fields.collect::<Result<_>>()?)
            }
            other => other.clone(),
        })
    }

    /// The file of this name that is nearest above a unit.
    fn above(&self, unit: &str, file: &str) -> Result<&String> {
        let mut directory = unit;
        while let Some((above, _)) = directory.rsplit_once('/') {
            directory = above;
            if let Some((path, _)) = self.files.get_key_value(&format!("{directory}/{file}")) {
                return Ok(path);
            }
        }
        bail!("{unit} has no {file} above it")
    }

    /// The module of a unit, and those that it calls.
    pub fn modules_of<'a>(&'a self, unit: &'a Unit) -> BTreeSet<&'a str> {
        let mut all = BTreeSet::new();
        let mut next = vec![unit.module.as_str()];
        while let Some(name) = next.pop() {
            if all.insert(name) {
                next.extend(self.modules[name].calls.iter().map(String::as_str));
            }
        }
        all
    }

    fn module_of(&self, unit: &str) -> Option<&Module> {
        self.modules.get(&self.units.get(unit)?.module)
    }
}

impl Module {
    /// What one of its files says.
    fn add(&mut self, directory: &str, said: &Value) -> Result<()> {
        for (name, variable) in blocks(said, "variable") {
            let has_default = variable.get("default").is_some();
            let names = if has_default {
                &mut self.optional
            } else {
                &mut self.required
            };
            names.insert(name.clone());
        }
        self.outputs
            .extend(blocks(said, "output").map(|(name, _)| name.clone()));
        let providers = said["provider"]["aws"].as_array().into_iter().flatten();
        self.aliases
            .extend(providers.filter_map(|of| Some(of["alias"].as_str()?.to_owned())));
        for (name, call) in blocks(said, "module") {
            let source = call["source"].as_str().unwrap_or_default();
            let source =
                below_modules(directory, source).with_context(|| format!("module {name}"))?;
            self.calls.insert(source);
        }
        Ok(())
    }
}

impl Unit {
    fn read(directory: &str, said: Value) -> Result<Self> {
        let include = &said["include"]["root"][0]["path"];
        ensure!(
            include == "${find_in_parent_folders(\"root.hcl\")}",
            "it does not include root.hcl, but {include}"
        );
        let source = said["terraform"][0]["source"]
            .as_str()
            .context("it has no source")?;
        let module = below_modules(directory, source)?;
        let mut dependencies = BTreeMap::new();
        for (name, dependency) in blocks(&said, "dependency") {
            let path = dependency["config_path"]
                .as_str()
                .context("it has no config_path")?;
            let path = resolved(directory, path)?;
            let unit = path.strip_prefix("live/").unwrap_or(&path);
            dependencies.insert(name.clone(), unit.to_owned());
        }
        Ok(Self {
            said,
            module,
            dependencies,
        })
    }

    fn inputs(&self) -> Result<BTreeSet<String>> {
        keys(&self.said["inputs"])
    }
}

/// The name of the module at `source`, as a file in `directory` says it.
fn below_modules(directory: &str, source: &str) -> Result<String> {
    // Of what lies before a double slash, Terragrunt copies all.
    let path = resolved(directory, &source.replace("//", "/"))?;
    let module = path.strip_prefix("modules/");
    Ok(module
        .with_context(|| format!("{source} is not below modules/"))?
        .to_owned())
}

/// Where `path` leads from `directory`, both of them below the tree's directory.
pub fn resolved(directory: &str, path: &str) -> Result<String> {
    let path = path.replace("${dirname(find_in_parent_folders(\"root.hcl\"))}", "/live");
    ensure!(!path.contains("${"), "{path} cannot be resolved");
    let mut parts: Vec<&str> = Vec::new();
    if !path.starts_with('/') {
        parts.extend(directory.split('/'));
    }
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts
                    .pop()
                    .with_context(|| format!("{path} leads out of the tree"))?;
            }
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

fn keys(map: &Value) -> Result<BTreeSet<String>> {
    match map {
        Value::Null => Ok(BTreeSet::new()),
        Value::Object(map) => Ok(map.keys().cloned().collect()),
        other => bail!("no map of inputs: {other}"),
    }
}

fn modules_are_used(live: &Live) -> Result<()> {
    for name in live.modules.keys() {
        let by_unit = live.units.values().any(|unit| unit.module == *name);
        let by_module = live
            .modules
            .values()
            .any(|module| module.calls.contains(name));
        ensure!(by_unit || by_module, "nothing uses the module {name}");
    }
    Ok(())
}

fn inputs_are_variables(live: &Live) -> Result<()> {
    let of_all = keys(&live.root["inputs"])?;
    for input in &of_all {
        let known =
            |module: &Module| module.required.contains(input) || module.optional.contains(input);
        ensure!(
            live.modules.values().any(known),
            "root.hcl gives {input}, which no module has"
        );
    }
    for (name, unit) in &live.units {
        let inputs = unit.inputs().with_context(|| name.clone())?;
        let module = live.module_of(name).context("each unit has a module")?;
        for input in &inputs {
            ensure!(
                module.required.contains(input) || module.optional.contains(input),
                "{name} gives {input}, and {} has no such variable",
                unit.module
            );
        }
        for variable in &module.required {
            ensure!(
                inputs.contains(variable) || of_all.contains(variable),
                "{name} does not give {variable}, which {} needs",
                unit.module
            );
        }
    }
    Ok(())
}

fn dependencies_are_units(live: &Live) -> Result<()> {
    for (name, unit) in &live.units {
        let taken = outputs_taken(&unit.said["inputs"]);
        for dependency in taken.keys() {
            ensure!(
                unit.dependencies.contains_key(dependency),
                "{name} takes of the dependency {dependency}, which it does not have"
            );
        }
        for (dependency, of) in &unit.dependencies {
            let module = live
                .module_of(of)
                .with_context(|| format!("{name} depends on {of}, which is no unit"))?;
            let block = &unit.said["dependency"][dependency][0];
            let mocked = keys(&block["mock_outputs"])?;
            let taken = taken.get(dependency).cloned().unwrap_or_default();
            ensure!(
                !taken.is_empty(),
                "{name} depends on {of} and takes nothing of it"
            );
            for output in taken.union(&mocked) {
                ensure!(
                    module.outputs.contains(output),
                    "{name} takes {output} of {of}, which does not put it out"
                );
            }
            ensure!(
                taken == mocked,
                "{name} takes {taken:?} of {of}, and mocks {mocked:?}"
            );
            // Without this, an apply would take a mock where it finds no state.
            let allowed = &block["mock_outputs_allowed_terraform_commands"];
            let allowed = allowed
                .as_array()
                .with_context(|| format!("{name} does not say when it may mock {of}"))?;
            for command in allowed {
                let command = command.as_str().unwrap_or_default();
                ensure!(
                    MOCKED.contains(&command),
                    "{name} mocks {of} when it runs {command}"
                );
            }
        }
    }
    for name in live.units.keys() {
        no_cycle(live, name, &mut Vec::new())?;
    }
    Ok(())
}

fn no_cycle<'a>(live: &'a Live, name: &'a str, path: &mut Vec<&'a str>) -> Result<()> {
    ensure!(
        !path.contains(&name),
        "{name} depends on itself: {}",
        path.join(", ")
    );
    path.push(name);
    for of in live.units[name].dependencies.values() {
        no_cycle(live, of, path)?;
    }
    path.pop();
    Ok(())
}

/// By dependency, the outputs in `dependency.NAME.outputs.OUTPUT`.
fn outputs_taken(inputs: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let mut taken: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let name = |text: &str| -> String {
        let is_part = |letter: &char| letter.is_alphanumeric() || "_-".contains(*letter);
        text.chars().take_while(is_part).collect()
    };
    for part in inputs.to_string().split("dependency.").skip(1) {
        let dependency = name(part);
        if let Some(output) = part[dependency.len()..].strip_prefix(".outputs.") {
            taken.entry(dependency).or_default().insert(name(output));
        }
    }
    taken
}

fn states_are_apart(live: &Live) -> Result<()> {
    let state = &live.root["remote_state"][0];
    ensure!(state["backend"] == "s3", "the state is not in S3");
    let key = state["config"]["key"].as_str().unwrap_or_default();
    ensure!(
        key.contains("${path_relative_to_include()}"),
        "two units have the state {key:?}"
    );
    ensure!(
        state["config"]["encrypt"] == true,
        "the state is not encrypted"
    );
    for (name, unit) in &live.units {
        for kind in ["remote_state", "generate"] {
            ensure!(unit.said[kind].is_null(), "{name} has its own {kind}");
        }
    }
    Ok(())
}
