//! What tests ask the API server, and tell it.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// kubectl, as one user.
#[derive(Clone, Debug)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
}

impl Kubectl {
    /// As the user of `kubeconfig`.
    ///
    /// # Errors
    ///
    /// If kubectl cannot be had.
    pub fn new(kubeconfig: PathBuf) -> Result<Self> {
        let program = tools::find_or_fetch("kubectl")?;
        Ok(Self {
            program,
            kubeconfig,
        })
    }

    /// The kubeconfig.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// What it prints with these arguments.
    ///
    /// # Errors
    ///
    /// What it prints on stderr, if it fails.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        self.run_with(arguments, "")
    }

    /// [`Kubectl::run`] with `input` on its stdin.
    ///
    /// # Errors
    ///
    /// As [`Kubectl::run`].
    pub fn run_with(&self, arguments: &[&str], input: &str) -> Result<String> {
        let mut child = Command::new(&self.program)
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("kubectl does not start")?;
        let mut stdin = child.stdin.take().context("stdin is piped")?;
        let input = input.to_owned();
        // Beside reading: a pipe holds no more than 64 KiB.
        let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output()?;
        let _ = writer.join();
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            bail!("kubectl {}: {}", arguments.join(" "), stderr.trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// What `kubectl get` with these arguments finds.
    ///
    /// # Errors
    ///
    /// As [`Kubectl::run`].
    pub fn get(&self, arguments: &[&str]) -> Result<Value> {
        let printed = self.run(&[&["get", "--output=json"], arguments].concat())?;
        Ok(serde_json::from_str(&printed)?)
    }

    /// What the API server has at `path`.
    ///
    /// # Errors
    ///
    /// As [`Kubectl::run`].
    pub fn raw(&self, path: &str) -> Result<Value> {
        let printed = self.run(&["get", "--raw", path])?;
        Ok(serde_json::from_str(&printed)?)
    }

    /// Applies `objects` on the server's side.
    ///
    /// # Errors
    ///
    /// As [`Kubectl::run`].
    pub fn apply(&self, objects: &str, arguments: &[&str]) -> Result<String> {
        let apply = ["apply", "--server-side", "--filename=-"];
        self.run_with(&[&apply, arguments].concat(), objects)
    }
}
