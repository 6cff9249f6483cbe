//! The baseline: the FastAPI service of crates/bench/baselines/fastapi, set up, started and ended.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};
use harness::{
    client,
    host::{free_port, require_free},
    postgres::Address,
    process::Process,
};
use tools::{python, root, run::read};

use crate::load::Service;

/// How long it may take until it serves.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// The packages that a report names.
const NAMED: [&str; 5] = [
    "fastapi",
    "uvicorn",
    "uvloop",
    "asyncpg",
    "prometheus-fastapi-instrumentator",
];

/// The directory of the baseline's programs, installed from PyPI if they were not.
pub struct Baseline(PathBuf);

impl Baseline {
    /// Installs it.
    pub fn install() -> Result<Self> {
        Ok(Self(python::environment("fastapi")?))
    }

    /// Starts it with one worker for each of `workers` cores, and waits until it is ready.
    /// What it leaves behind is in `directory`, which is fresh.
    pub fn start(
        &self,
        workers: usize,
        database: &Address,
        directory: &Path,
    ) -> Result<(Process, Service)> {
        let port = free_port()?;
        require_free(port)?;
        let metrics = directory.join("metrics");
        fs::create_dir_all(&metrics)?;
        let mut command = Command::new(self.0.join("uvicorn"));
        command
            .arg("app:app")
            .arg("--app-dir")
            .arg(root().join("crates/bench/baselines/fastapi"))
            .args(["--port", &port.to_string()])
            .args(["--workers", &workers.to_string()])
            .args(["--loop", "uvloop", "--http", "httptools", "--ws", "none"])
            .args(["--no-access-log", "--no-proxy-headers"])
            .args(["--no-server-header", "--log-level", "warning"])
            .env("DATABASE_URL", database.url())
            // Without it, /metrics would be those of whichever worker answers.
            .env("PROMETHEUS_MULTIPROC_DIR", metrics)
            .env("PYTHONPYCACHEPREFIX", directory.join("pycache"));
        let log = directory.join("log");
        let is_ready = || client::is_ok(port, "/readyz");
        let process = Process::start_server(&mut command, Some(&log), START_TIMEOUT, is_ready)?;
        let service = Service {
            name: "FastAPI, Postgres",
            port,
            process: process.id(),
        };
        Ok((process, service))
    }

    /// The versions of what it is made of.
    pub fn versions(&self) -> Result<String> {
        let mut python = Command::new(self.0.join("python"));
        let python = read("ask Python for its version", python.arg("--version"))?;
        let requirements = fs::read_to_string(root().join("crates/tools/python/fastapi.txt"))?;
        let packages = requirements
            .lines()
            .filter_map(|line| line.trim_end_matches(" \\").split_once("=="))
            .filter(|(name, _)| NAMED.contains(name))
            .map(|(name, version)| format!(", {name} {version}"));
        Ok(python.trim().to_owned() + &packages.collect::<String>())
    }

    /// The bytes of its packages: without Python itself, and compiled copies.
    pub fn bytes(&self) -> Result<u64> {
        let mut du = Command::new("du");
        du.args(["--summarize", "--bytes", "--exclude=__pycache__"])
            .arg(self.0.with_file_name("lib"));
        let said = read("measure the baseline's packages", &mut du)?;
        let bytes = said.split_whitespace().next();
        Ok(bytes.context("`du` says nothing")?.parse()?)
    }
}
