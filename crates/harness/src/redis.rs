//! A real Redis, whose every write is on the disk before it is acknowledged.

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};
use tools::find_or_fetch;

use crate::{host::free_port, process::Process};

/// How long it may take to start, and to read what it has written.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A server that runs. Dropping it ends it.
#[derive(Debug)]
pub struct Redis {
    server: Option<Process>,
    directory: PathBuf,
    port: u16,
}

impl Redis {
    /// Starts a server that keeps its files in `directory`.
    pub fn start(directory: &Path) -> Result<Self> {
        fs::create_dir_all(directory)?;
        let mut redis = Self {
            server: None,
            directory: directory.to_owned(),
            port: free_port()?,
        };
        redis.run()?;
        Ok(redis)
    }

    /// Starts it again after [`Redis::kill`], on the same port.
    pub fn run(&mut self) -> Result<()> {
        let mut command = Command::new(find_or_fetch("redis-server")?);
        command
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string()])
            .args([
                "--appendonly",
                "yes",
                "--appendfsync",
                "always",
                "--save",
                "",
            ])
            .arg("--dir")
            .arg(&self.directory);
        let log = self.directory.join("redis.log");
        let is_ready = || self.answers();
        let server = Process::start_server(&mut command, Some(&log), START_TIMEOUT, is_ready)?;
        self.server = Some(server);
        Ok(())
    }

    /// Ends it with SIGKILL.
    pub fn kill(&mut self) -> Result<()> {
        self.server.take().context("Redis does not run")?.kill()
    }

    /// The number of its process.
    pub fn id(&self) -> Result<u32> {
        Ok(self.server.as_ref().context("Redis does not run")?.id())
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    fn answers(&self) -> bool {
        let ping = || {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
            stream.set_read_timeout(Some(Duration::from_secs(1)))?;
            stream.write_all(b"PING\r\n")?;
            let mut answer = [0; 7];
            stream.read_exact(&mut answer)?;
            std::io::Result::Ok(answer == *b"+PONG\r\n")
        };
        ping().unwrap_or(false)
    }
}
