//! Helm, and the validator.

use std::{
    borrow::Borrow,
    ffi::OsString,
    fs::{self, File},
    io::{Seek, Write},
    ops::Deref,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context, Result, bail, ensure};
use cluster::crds::UNDEFINED;
use libtest_mimic::Trial;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tempfile::{NamedTempFile, TempPath};
use tools::{python, root};

use crate::{
    objects::{text, title},
    validator::validate,
};

/// The Kubernetes whose kinds are taken: the first with MutatingAdmissionPolicy v1.
const KUBERNETES: &str = "1.36";

/// Where the chart is installed.
const NAMESPACE: &str = "hello";

/// The service's own chart.
pub const CHART: &str = "deploy/chart";

#[derive(Clone)]
pub struct Checker {
    helm: PathBuf,
    python: PathBuf,
    kubernetes: &'static str,
    /// The directories with the schemas of custom resources, none where they cannot be had.
    schemas: Vec<PathBuf>,
}

/// An object of Kubernetes, and what is wrong with it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Object {
    pub object: Value,
    /// Whether it is no kind of Kubernetes itself.
    pub custom: bool,
    /// Whether it is a custom resource that no schema here is of.
    pub unchecked: bool,
    pub problem: Option<String>,
}

impl Deref for Object {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.object
    }
}

impl Borrow<Value> for Object {
    fn borrow(&self) -> &Value {
        &self.object
    }
}

/// A trial that passes if `check` does, and else says the whole chain of its error.
pub fn trial<C>(title: impl Into<String>, check: C) -> Trial
where
    C: FnOnce() -> Result<()> + Send + 'static,
{
    Trial::test(title, || Ok(check().map_err(|error| format!("{error:#}"))?))
}

impl Checker {
    pub fn new() -> Result<Self> {
        Ok(Self {
            helm: tools::find_or_fetch("helm")?,
            python: python::environment("manifests")?.join("python"),
            kubernetes: KUBERNETES,
            schemas: schemas(),
        })
    }

    /// The same for another version of Kubernetes.
    pub fn on(&self, kubernetes: &'static str) -> Self {
        let same = self.clone();
        Self { kubernetes, ..same }
    }

    /// The same, without the schemas for custom resources.
    pub fn without_schemas(&self) -> Self {
        let (schemas, same) = (Vec::new(), self.clone());
        Self { schemas, ..same }
    }

    /// A trial that passes if `check` does.
    pub fn trial<C>(&self, title: impl Into<String>, check: C) -> Trial
    where
        C: FnOnce(&Self) -> Result<()> + Send + 'static,
    {
        let checker = self.clone();
        trial(title, move || check(&checker))
    }

    /// [`Checker::trial`], ignored where it is of custom resources and nobody has their schemas.
    pub fn trial_of<C>(&self, custom: bool, title: impl Into<String>, check: C) -> Trial
    where
        C: FnOnce(&Self) -> Result<()> + Send + 'static,
    {
        let trial = self.trial(title, check);
        trial.with_ignored_flag(custom && self.schemas.is_empty())
    }

    /// A trial for each of `kinds`, custom resources or not: those that `read` gives are valid.
    pub fn trials_of_valid<R>(&self, title: &str, kinds: &[bool], read: R) -> Vec<Trial>
    where
        R: Fn(&Self) -> Result<Vec<Object>> + Clone + Send + 'static,
    {
        let trial = |&custom: &bool| {
            let kind = if custom {
                "custom resources"
            } else {
                "objects"
            };
            let read = read.clone();
            self.trial_of(custom, format!("{title}: valid {kind}"), move |checker| {
                valid(&read(checker)?, custom)
            })
        };
        kinds.iter().map(trial).collect()
    }

    /// What `helm template` makes of the service's chart with these values.
    pub fn render(&self, values: &[PathBuf], settings: &[&str]) -> Result<String> {
        self.render_chart(CHART, values, settings)
    }

    /// [`Checker::render`] of another chart. Paths are relative to the project.
    pub fn render_chart(
        &self,
        chart: impl AsRef<Path>,
        values: &[PathBuf],
        settings: &[&str],
    ) -> Result<String> {
        let settings: Vec<&str> = settings.iter().flat_map(|one| ["--set", one]).collect();
        self.template("hello", NAMESPACE, chart, values, &settings)
    }

    /// `helm template`, with arguments of its own.
    pub fn template(
        &self,
        release: &str,
        namespace: &str,
        chart: impl AsRef<Path>,
        values: &[PathBuf],
        arguments: &[&str],
    ) -> Result<String> {
        let mut command = self.helm(&["template", release], chart, values);
        succeeded(
            command
                .args(["--namespace", namespace, "--kube-version", self.kubernetes])
                .args(arguments),
        )
    }

    /// The file that `helm package` makes in `directory`.
    pub fn package(&self, directory: &Path) -> Result<PathBuf> {
        let mut command = self.helm(&["package"], CHART, &[]);
        succeeded(command.arg("--destination").arg(directory))?;
        let mut files = fs::read_dir(directory)?;
        Ok(files.next().context("it made no file")??.path())
    }

    /// `helm lint`, its warnings being errors.
    pub fn lint(&self, values: &[PathBuf]) -> Result<()> {
        let mut command = self.helm(&["lint", "--strict", "--quiet"], CHART, values);
        succeeded(command.args(["--namespace", NAMESPACE, "--kube-version", self.kubernetes]))?;
        Ok(())
    }

    fn helm(&self, what: &[&str], chart: impl AsRef<Path>, values: &[PathBuf]) -> Command {
        let mut command = Command::new(&self.helm);
        command.args(what).arg(root().join(chart));
        for file in values {
            command.arg("--values").arg(root().join(file));
        }
        command
    }

    /// The schema of a custom resource.
    pub fn schema(&self, object: &Value) -> Option<Value> {
        let (group, version) = text(object, "/apiVersion").split_once('/')?;
        let kind = text(object, "/kind").to_lowercase();
        let file = format!("{group}/{kind}_{version}.json");
        let mut files = self.schemas.iter().map(|directory| directory.join(&file));
        let json = files.find_map(|file| fs::read_to_string(file).ok())?;
        serde_json::from_str(&json).ok()
    }

    /// The objects of these YAML documents, each validated.
    pub fn checked(&self, yaml: &str) -> Result<Vec<Object>> {
        let mut arguments: Vec<OsString> = vec!["--kubernetes".into(), self.kubernetes.into()];
        for schemas in &self.schemas {
            arguments.extend(["--schemas".into(), schemas.into()]);
        }
        for (group, _) in UNDEFINED {
            arguments.extend(["--undefined".into(), group.into()]);
        }
        validate(&self.python, arguments, yaml)
    }

    /// The objects of a file of the project, each validated.
    pub fn read(&self, file: impl AsRef<Path>) -> Result<Vec<Object>> {
        let file = root().join(file);
        let yaml = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        self.checked(&yaml)
    }

    /// The objects that the service's chart makes, each validated.
    pub fn objects(&self, values: &[PathBuf], settings: &[&str]) -> Result<Vec<Object>> {
        self.checked(&self.render(values, settings)?)
    }
}

/// The directories with schemas of custom resources: those that are made of their definitions, and the
/// one that `HELLO_SCHEMAS` names, of what has no definition that can be had.
fn schemas() -> Vec<PathBuf> {
    let made = cluster::schemas::directory();
    let made = made.inspect_err(|error| eprintln!("custom resources are not checked: {error:#}"));
    made.into_iter().chain(tools::schemas()).collect()
}

/// A file with values for Helm, whose YAML takes JSON.
pub fn values_file(values: &Value) -> Result<TempPath> {
    let file = NamedTempFile::new()?;
    fs::write(&file, values.to_string())?;
    Ok(file.into_temp_path())
}

/// What `command` prints, if it succeeds.
pub fn succeeded(command: &mut Command) -> Result<String> {
    let output = command.output();
    printed(&output.with_context(|| format!("{command:?} does not start"))?)
}

/// What was printed by what has succeeded.
pub fn printed(output: &Output) -> Result<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if !output.status.success() {
        bail!("{}\n{}", text(&output.stdout), text(&output.stderr));
    }
    Ok(text(&output.stdout))
}

/// A text for a command's stdin.
pub fn input(text: &str) -> Result<File> {
    let mut file = tempfile::tempfile()?;
    file.write_all(text.as_bytes())?;
    file.rewind()?;
    Ok(file)
}

/// [`no_problems`], where there is one of these.
pub fn valid(objects: &[Object], custom: bool) -> Result<()> {
    let mut checked = objects.iter().filter(|object| !object.unchecked);
    let some = checked.any(|object| object.custom == custom);
    ensure!(some, "there is nothing to check");
    no_problems(objects, custom)
}

/// Fails with all problems of the built-in kinds, or of the custom resources.
pub fn no_problems<'a>(objects: impl IntoIterator<Item = &'a Object>, custom: bool) -> Result<()> {
    let objects = objects.into_iter().filter(|object| object.custom == custom);
    none(
        objects
            .filter_map(|object| Some(format!("{}: {}", title(object), object.problem.as_ref()?))),
    )
}

/// Fails with all these problems, a line each.
pub fn none(problems: impl IntoIterator<Item = String>) -> Result<()> {
    let problems: Vec<String> = problems.into_iter().collect();
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    Ok(())
}
