//! The baseline: the FastAPI service of crates/bench/baselines/fastapi, set up, started and ended.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::Result;

use super::load::Service;
use harness::{
    client,
    host::{free_port, require_free},
    postgres::Address,
    process::Process,
};
use tools::{
    root,
    run::{announce, read, require_disk, run},
    target,
};

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

/// The baseline, serving. Dropping it ends it.
#[derive(Debug)]
pub struct Baseline {
    process: Process,
    port: u16,
}

/// The baseline's programs, installed.
#[derive(Debug)]
pub struct Installed {
    environment: PathBuf,
}

fn source() -> PathBuf {
    root().join("crates/bench/baselines/fastapi")
}

/// Installs the baseline's packages into target/bench/fastapi, if they are not there already.
///
/// # Errors
///
/// One sentence that says what is missing.
pub fn install() -> Result<Installed> {
    let wanted = fs::read_to_string(source().join("requirements.txt"))?;
    let environment = target().join("bench/fastapi");
    let installed = environment.join("requirements.txt");
    if fs::read_to_string(&installed).is_ok_and(|installed| installed == wanted) {
        return Ok(Installed { environment });
    }
    announce("installing the baseline's packages from PyPI");
    fs::create_dir_all(target().join("bench"))?;
    require_disk(&target().join("bench"), 300)?;
    read(
        "make a virtual environment (on Debian: `apt-get install python3-venv`)",
        Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&environment),
    )?;
    run(
        "install the baseline's packages from PyPI (is there a network?)",
        Command::new(environment.join("bin/python"))
            .args(["-m", "pip", "install", "--quiet", "--no-deps"])
            .args(["--disable-pip-version-check", "--requirement"])
            .arg(source().join("requirements.txt")),
    )?;
    fs::write(installed, wanted)?;
    Ok(Installed { environment })
}

impl Installed {
    /// Starts it with one worker for each of `workers` cores, and waits until it is ready.
    /// What it leaves behind is in `directory`, which is fresh.
    ///
    /// # Errors
    ///
    /// One sentence, if it does not serve.
    pub fn start(&self, workers: usize, database: &Address, directory: &Path) -> Result<Baseline> {
        let port = free_port()?;
        require_free(port)?;
        let metrics = directory.join("metrics");
        fs::create_dir_all(&metrics)?;
        let log = directory.join("log");
        let mut command = Command::new(self.environment.join("bin/uvicorn"));
        command
            .arg("app:app")
            .arg("--app-dir")
            .arg(source())
            .args(["--port", &port.to_string()])
            .args(["--workers", &workers.to_string()])
            .args(["--loop", "uvloop", "--http", "httptools", "--ws", "none"])
            .args([
                "--no-access-log",
                "--no-proxy-headers",
                "--no-server-header",
            ])
            .args(["--log-level", "warning"])
            .env("DATABASE_URL", database.url())
            // Without it, /metrics would be those of whichever worker answers.
            .env("PROMETHEUS_MULTIPROC_DIR", metrics)
            .env("PYTHONPYCACHEPREFIX", directory.join("pycache"));
        let is_ready = || client::is_ok(port, "/readyz");
        let process = Process::start_server(&mut command, Some(&log), START_TIMEOUT, is_ready)?;
        Ok(Baseline { process, port })
    }

    /// The versions of what it is made of.
    ///
    /// # Errors
    ///
    /// If Python does not start.
    pub fn versions(&self) -> Result<String> {
        let python = read(
            "ask Python for its version",
            Command::new(self.environment.join("bin/python")).arg("--version"),
        )?;
        let requirements = fs::read_to_string(self.environment.join("requirements.txt"))?;
        let mut versions = vec![python.trim().to_owned()];
        versions.extend(
            requirements
                .lines()
                .filter_map(|line| line.split_once("=="))
                .filter(|(name, _)| NAMED.contains(name))
                .map(|(name, version)| format!("{name} {version}")),
        );
        Ok(versions.join(", "))
    }

    /// The bytes of its packages: without Python itself, pip, and compiled copies.
    ///
    /// # Errors
    ///
    /// If they are not there.
    pub fn bytes(&self) -> Result<u64> {
        let mut bytes = 0;
        for python in fs::read_dir(self.environment.join("lib"))? {
            for package in fs::read_dir(python?.path().join("site-packages"))? {
                let package = package?;
                let name = package.file_name();
                let name = name.to_string_lossy();
                // A virtual environment comes with these.
                let tools = [
                    "pip",
                    "setuptools",
                    "pkg_resources",
                    "_distutils",
                    "distutils",
                ];
                if !tools.iter().any(|tool| name.starts_with(tool)) {
                    bytes += bytes_of(&package.path())?;
                }
            }
        }
        Ok(bytes)
    }
}

fn bytes_of(path: &Path) -> Result<u64> {
    if !path.is_dir() {
        return Ok(fs::metadata(path)?.len());
    }
    if path.ends_with("__pycache__") {
        return Ok(0);
    }
    let mut bytes = 0;
    for entry in fs::read_dir(path)? {
        bytes += bytes_of(&entry?.path())?;
    }
    Ok(bytes)
}

impl Baseline {
    /// Where it serves.
    #[must_use]
    pub fn service(&self) -> Service {
        Service {
            port: self.port,
            process: self.process.id(),
        }
    }
}
