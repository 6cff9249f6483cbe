//! moto, which answers as AWS does.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
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
    address: IpAddr,
    programs: PathBuf,
    home: PathBuf,
    _process: Process,
}

impl Moto {
    /// Starts it, with its log in `directory`.
    pub fn start(directory: &Path) -> Result<Self> {
        Self::start_at(Ipv4Addr::LOCALHOST.into(), directory)
    }

    /// [`Moto::start`] at another address of this machine.
    pub fn start_at(address: IpAddr, directory: &Path) -> Result<Self> {
        let programs = python::environment("backup")?;
        let (port, log) = (free_port()?, directory.join("moto.log"));
        let mut server = Command::new(programs.join("moto_server"));
        server
            .args(["--host", &address.to_string()])
            .args(["--port", &port.to_string()])
            .env("MOTO_ACCOUNT_ID", ACCOUNT);
        let limit = Duration::from_secs(60);
        let process = Process::start_server(&mut server, Some(&log), limit, || {
            Connection::open_at(SocketAddr::new(address, port)).is_ok()
        })?;
        Ok(Self {
            port,
            address,
            programs,
            home: directory.to_owned(),
            _process: process,
        })
    }

    /// Its URL.
    pub fn endpoint(&self) -> String {
        format!("http://{}:{}", self.address, self.port)
    }

    /// A program that finds AWS here, and its CLI, and no settings of whoever runs this.
    pub fn command(&self, program: &str) -> Command {
        let (programs, path) = (self.programs.display(), tools::path());
        let mut command = Command::new(program);
        command
            .env("PATH", format!("{programs}:{}", path.to_string_lossy()))
            .env("HOME", &self.home)
            .env("AWS_ENDPOINT_URL", self.endpoint())
            .env("AWS_DEFAULT_REGION", "eu-central-1")
            .env_remove("AWS_PROFILE")
            .env_remove("AWS_SESSION_TOKEN")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test");
        command
    }
}
