//! FastAPI, tuned and as its tutorial teaches it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use harness::postgres::Address;
use tools::{python, root, run::read};

use super::start;
use crate::load::Service;

/// The packages that a report names.
const NAMED: [&str; 7] = [
    "fastapi",
    "uvicorn",
    "uvloop",
    "asyncpg",
    "sqlalchemy",
    "sqlmodel",
    "prometheus-fastapi-instrumentator",
];

/// A baseline on FastAPI, installed from PyPI.
pub struct FastApi {
    /// The name of its directory, and of its packages in crates/tools/python.
    name: &'static str,
    /// The directory of its programs.
    programs: PathBuf,
}

impl FastApi {
    /// The baseline that is written to be fast.
    pub fn tuned() -> Result<Self> {
        Self::install("fastapi")
    }

    /// The baseline that is written as the tutorial teaches it.
    pub fn tutorial() -> Result<Self> {
        Self::install("fastapi-tutorial")
    }

    fn install(name: &'static str) -> Result<Self> {
        let programs = python::environment(name)?;
        Ok(Self { name, programs })
    }

    /// Starts [`Self::tuned`] with `workers` processes, and waits until it is ready.
    /// What it leaves behind is in `directory`, which is fresh.
    pub fn start_tuned(
        &self,
        workers: usize,
        port: u16,
        database: &Address,
        directory: &Path,
    ) -> Result<Service> {
        let mut command = self.uvicorn(workers, port, directory)?;
        let metrics = directory.join("metrics");
        fs::create_dir_all(&metrics)?;
        command
            .args(["--loop", "uvloop", "--http", "httptools", "--ws", "none"])
            .args(["--no-access-log", "--no-proxy-headers"])
            .args(["--no-server-header", "--log-level", "warning"])
            .env("DATABASE_URL", database.url())
            // Without it, /metrics would be those of whichever worker answers.
            .env("PROMETHEUS_MULTIPROC_DIR", metrics);
        let name = "FastAPI tuned, Postgres";
        start(name, &mut command, port, "/readyz", directory)
    }

    /// Starts [`Self::tutorial`] in the same way.
    pub fn start_tutorial(
        &self,
        workers: usize,
        port: u16,
        database: &Address,
        directory: &Path,
    ) -> Result<Service> {
        let mut command = self.uvicorn(workers, port, directory)?;
        // SQLAlchemy and asyncpg call two things by other names than libpq.
        let url = database.url();
        let url = url.replacen("postgres:", "postgresql+asyncpg:", 1);
        command.env("DATABASE_URL", url.replace("?sslmode=", "?ssl="));
        let name = "FastAPI tutorial, Postgres";
        start(name, &mut command, port, "/docs", directory)
    }

    fn uvicorn(&self, workers: usize, port: u16, directory: &Path) -> Result<Command> {
        fs::create_dir_all(directory)?;
        let mut command = Command::new(self.programs.join("uvicorn"));
        command
            .arg("app:app")
            .arg("--app-dir")
            .arg(root().join("crates/bench/baselines").join(self.name))
            .args(["--port", &port.to_string()])
            .args(["--workers", &workers.to_string()])
            .env("PYTHONPYCACHEPREFIX", directory.join("pycache"));
        Ok(command)
    }

    /// The versions of what it is made of.
    pub fn versions(&self) -> Result<String> {
        let mut python = Command::new(self.programs.join("python"));
        let python = read("ask Python for its version", python.arg("--version"))?;
        let requirements = root().join(format!("crates/tools/python/{}.txt", self.name));
        let requirements = fs::read_to_string(requirements)?;
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
            .arg(self.programs.with_file_name("lib"));
        let said = read("measure the baseline's packages", &mut du)?;
        let bytes = said.split_whitespace().next();
        Ok(bytes.context("`du` says nothing")?.parse()?)
    }
}
