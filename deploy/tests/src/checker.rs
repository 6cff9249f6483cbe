//! Helm, and the validator.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use anyhow::{Context, Result, bail};
use libtest_mimic::Failed;
use serde_json::Value;
use tools::python;

/// The Kubernetes whose kinds are taken: the first with MutatingAdmissionPolicy v1.
const KUBERNETES: &str = "1.36";

/// Where the chart is installed.
const NAMESPACE: &str = "hello";

#[derive(Clone)]
pub struct Checker {
    helm: PathBuf,
    python: PathBuf,
    kubernetes: &'static str,
    /// The schemas of custom resources, where there are any.
    pub schemas: Option<PathBuf>,
}

/// An object of Kubernetes, and what is wrong with it.
#[derive(Debug)]
pub struct Object {
    pub object: Value,
    /// Whether it is no kind of Kubernetes itself.
    pub custom: bool,
    pub problem: Option<String>,
}

impl Checker {
    pub fn new() -> Result<Self> {
        Ok(Self {
            helm: tools::find_or_fetch("helm")?,
            python: python::environment("manifests")?.join("python"),
            kubernetes: KUBERNETES,
            schemas: tools::schemas(),
        })
    }

    /// The same for another version of Kubernetes.
    pub fn on(&self, kubernetes: &'static str) -> Self {
        Self {
            kubernetes,
            ..self.clone()
        }
    }

    /// The same, without the schemas for custom resources.
    pub fn without_schemas(&self) -> Self {
        Self {
            schemas: None,
            ..self.clone()
        }
    }

    /// What `helm template` renders with these values.
    pub fn render(&self, values: &[PathBuf], settings: &[&str]) -> Result<String> {
        self.render_chart(&tools::root().join("deploy/chart"), values, settings)
    }

    /// [`Checker::render`] of the chart in a directory of its own.
    pub fn render_chart(
        &self,
        chart: &Path,
        values: &[PathBuf],
        settings: &[&str],
    ) -> Result<String> {
        let mut command = Command::new(&self.helm);
        command.args(["template", "hello"]).arg(chart);
        command.args(["--namespace", NAMESPACE]);
        self.with(&mut command, values, settings);
        let rendered = succeeded(&command.output()?)?;
        Ok(rendered)
    }

    /// The file that `helm package` makes in `directory`.
    pub fn package(&self, directory: &Path) -> Result<PathBuf> {
        let mut command = Command::new(&self.helm);
        command
            .arg("package")
            .arg(tools::root().join("deploy/chart"))
            .arg("--destination")
            .arg(directory);
        succeeded(&command.output()?)?;
        let mut files = std::fs::read_dir(directory)?;
        Ok(files.next().context("it made no file")??.path())
    }

    /// `helm lint`, its warnings being errors.
    pub fn lint(&self, values: &[PathBuf]) -> Result<()> {
        let mut command = Command::new(&self.helm);
        command
            .args(["lint", "--strict", "--quiet", "--namespace", NAMESPACE])
            .arg(tools::root().join("deploy/chart"));
        self.with(&mut command, values, &[]);
        succeeded(&command.output()?)?;
        Ok(())
    }

    fn with(&self, command: &mut Command, values: &[PathBuf], settings: &[&str]) {
        command.args(["--kube-version", self.kubernetes]);
        for file in values {
            command.arg("--values").arg(file);
        }
        for setting in settings {
            command.args(["--set", setting]);
        }
    }

    /// The objects of these YAML documents, each validated.
    pub fn checked(&self, yaml: &str) -> Result<Vec<Object>> {
        let mut command = Command::new(&self.python);
        command
            .arg(tools::root().join("deploy/tests/src/validate.py"))
            .args(["--kubernetes", self.kubernetes]);
        if let Some(schemas) = &self.schemas {
            command.arg("--schemas").arg(schemas);
        }
        let mut validator = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut input = validator.stdin.take().context("stdin is piped")?;
        let yaml = yaml.to_owned();
        // Beside the reading: both pipes may be full at once.
        let writer = std::thread::spawn(move || input.write_all(yaml.as_bytes()));
        let output = validator.wait_with_output()?;
        // Where the validator ends before its input does, what it said is the better error.
        let _ = writer.join();
        succeeded(&output)?
            .lines()
            .map(|line| {
                let mut line: Value = serde_json::from_str(line)?;
                Ok(Object {
                    custom: line["custom"] == true,
                    problem: line["problem"].as_str().map(str::to_owned),
                    object: line["object"].take(),
                })
            })
            .collect()
    }

    /// [`Checker::checked`] of each text, in one run: the validator takes longer to start than to
    /// validate.
    pub fn checked_all(&self, texts: &[String]) -> Result<Vec<Vec<Object>>> {
        let end =
            "\n---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: the-end-of-a-text}}\n---\n";
        let mut all = Vec::new();
        let mut objects = Vec::new();
        for object in self.checked(&(texts.join(end) + end))? {
            if object.object["metadata"]["name"] == "the-end-of-a-text" {
                all.push(std::mem::take(&mut objects));
            } else {
                objects.push(object);
            }
        }
        Ok(all)
    }

    /// The objects that the chart renders.
    pub fn objects(&self, values: &[PathBuf], settings: &[&str]) -> Result<Vec<Object>> {
        self.checked(&self.render(values, settings)?)
    }
}

fn succeeded(output: &Output) -> Result<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if !output.status.success() {
        bail!("{}\n{}", text(&output.stdout), text(&output.stderr));
    }
    Ok(text(&output.stdout))
}

/// Fails with all problems of the built-in kinds, or of the custom resources.
pub fn no_problems<'a>(
    objects: impl IntoIterator<Item = &'a Object>,
    custom: bool,
) -> Result<(), Failed> {
    let problems: Vec<String> = objects
        .into_iter()
        .filter(|object| object.custom == custom)
        .filter_map(|object| {
            let problem = object.problem.as_ref()?;
            Some(format!("{}: {problem}", name_of(&object.object)))
        })
        .collect();
    if problems.is_empty() {
        return Ok(());
    }
    Err(problems.join("\n").into())
}

/// `Kind name`.
pub fn name_of(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    format!(
        "{} {}",
        text(&object["kind"]),
        text(&object["metadata"]["name"])
    )
}

/// Every value with this key, at whatever depth.
pub fn at<'a>(value: &'a Value, key: &str) -> Vec<&'a Value> {
    match value {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, field)| {
                let mut found = at(field, key);
                if name == key {
                    found.push(field);
                }
                found
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(|item| at(item, key)).collect(),
        _ => Vec::new(),
    }
}

/// Every string with one of these keys, at whatever depth.
pub fn strings_at<'a>(value: &'a Value, keys: &[&str]) -> Vec<&'a str> {
    let found = keys.iter().flat_map(|key| at(value, key));
    found.filter_map(Value::as_str).collect()
}
