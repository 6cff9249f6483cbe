//! moto, which answers as AWS does.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::Result;
use harness::{client::Connection, host::free_port, process::Process};
use tools::python;

/// Stands in for each account of AWS: none is in Git.
pub const ACCOUNT: &str = "000000000000";

pub struct Moto {
    pub port: u16,
    programs: PathBuf,
    home: PathBuf,
    _process: Process,
}

impl Moto {
    /// Starts it, with its log in `directory`.
    pub fn start(directory: &Path) -> Result<Self> {
        let programs = python::environment("backup")?;
        let (port, log) = (free_port()?, directory.join("moto.log"));
        let mut server = Command::new(programs.join("moto_server"));
        server
            .args(["--host", "127.0.0.1", "--port", &port.to_string()])
            .env("MOTO_ACCOUNT_ID", ACCOUNT);
        let limit = Duration::from_secs(60);
        let process = Process::start_server(&mut server, Some(&log), limit, || {
            Connection::open(port).is_ok()
        })?;
        Ok(Self {
            port,
            programs,
            home: directory.to_owned(),
            _process: process,
        })
    }

    /// A program that finds AWS here, and its CLI, and no settings of whoever runs this.
    pub fn command(&self, program: &str) -> Command {
        let (programs, path) = (self.programs.display(), tools::path());
        let mut command = Command::new(program);
        command
            .env("PATH", format!("{programs}:{}", path.to_string_lossy()))
            .env("HOME", &self.home)
            .env(
                "AWS_ENDPOINT_URL",
                format!("http://127.0.0.1:{}", self.port),
            )
            .env("AWS_DEFAULT_REGION", "eu-central-1")
            .env_remove("AWS_PROFILE")
            .env_remove("AWS_SESSION_TOKEN")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test");
        command
    }
}
