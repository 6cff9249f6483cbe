//! validate.py, kept running: it takes longer to start than to validate.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use tools::root;

use crate::checker::Object;

/// Idle validators, by their arguments. Each ends when this process does, with its stdin.
static IDLE: Mutex<BTreeMap<Vec<OsString>, Vec<Validator>>> = Mutex::new(BTreeMap::new());

struct Validator {
    _process: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    Object(Object),
    Refused { refused: String },
}

/// The objects of these YAML documents, each validated by a validator with these arguments.
pub fn validate(python: &Path, arguments: Vec<OsString>, yaml: &str) -> Result<Vec<Object>> {
    let idle = lock().get_mut(&arguments).and_then(Vec::pop);
    let mut validator = idle.map_or_else(|| Validator::start(python, &arguments), Ok)?;
    let objects = validator.validate(yaml)?;
    lock().entry(arguments).or_default().push(validator);
    objects
}

fn lock() -> MutexGuard<'static, BTreeMap<Vec<OsString>, Vec<Validator>>> {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Validator {
    fn start(python: &Path, arguments: &[OsString]) -> Result<Self> {
        let mut process = Command::new(python)
            .arg(root().join("deploy/tests/src/validate.py"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("the validator does not start")?;
        let stdin = process.stdin.take().context("it has no stdin")?;
        let stdout = process.stdout.take().context("it has no stdout")?;
        Ok(Self {
            _process: process,
            stdin,
            stdout: BufReader::new(stdout),
        })
    }

    /// What it says of a text; the outer error is that it says nothing, which ends it.
    fn validate(&mut self, yaml: &str) -> Result<Result<Vec<Object>>> {
        let ended = "the validator has ended: its error is above";
        write!(self.stdin, "{}\n{yaml}", yaml.len()).context(ended)?;
        self.stdin.flush().context(ended)?;
        let (mut objects, mut refused) = (Vec::new(), None);
        loop {
            let mut line = String::new();
            if self.stdout.read_line(&mut line)? == 0 {
                bail!("{ended}");
            }
            if line.trim().is_empty() {
                return Ok(refused.map_or(Ok(objects), |why: String| bail!("{why}")));
            }
            match serde_json::from_str(&line)? {
                Answer::Object(object) => objects.push(object),
                Answer::Refused { refused: why } => refused = Some(why),
            }
        }
    }
}
