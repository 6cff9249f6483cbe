//! HAProxy in front of the versions, as the gateway is on a cluster: weights say who answers.

use std::{
    fs,
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use harness::{client::Connection, host::free_port, process::Process, wait::wait_until};

/// The header in which the proxy, and nobody else, says which version has answered.
pub const VERSION_HEADER: &str = "x-version";

/// How long HAProxy may take to start, and a version to finish what it has begun.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A proxy that runs. Dropping it ends it.
#[derive(Debug)]
pub struct Proxy {
    _process: Process,
    socket: PathBuf,
    /// The port that it listens on, of the loopback address.
    pub port: u16,
}

impl Proxy {
    /// Starts `program` before `versions`, of which the first gets all requests.
    pub fn start(program: &Path, directory: &Path, versions: &[(&str, u16)]) -> Result<Self> {
        let port = free_port()?;
        let socket = directory.join("haproxy.sock");
        let mut config = format!(
            "global
    stats socket {socket} mode 600 level admin
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    # What fails is to be seen, not mended.
    retries 0
frontend gateway
    bind 127.0.0.1:{port}
    default_backend hello
backend hello
    balance roundrobin
    http-response set-header {VERSION_HEADER} %[srv_name]
",
            socket = socket.display()
        );
        for (index, (name, port)) in versions.iter().enumerate() {
            let weight = if index == 0 { 100 } else { 0 };
            config += &format!("    server {name} 127.0.0.1:{port} weight {weight}\n");
        }
        let file = directory.join("haproxy.cfg");
        fs::write(&file, config)?;
        let process = Process::start_server(
            Command::new(program).arg("-db").arg("-f").arg(&file),
            Some(&directory.join("haproxy.log")),
            TIMEOUT,
            || Connection::open(port).is_ok(),
        )?;
        Ok(Self {
            _process: process,
            socket,
            port,
        })
    }

    /// Gives all requests that begin from now on to `new`. Those that `old` has, it finishes.
    pub fn switch(&self, old: &str, new: &str) -> Result<()> {
        // One line, and `new` first: at no time is there nobody.
        let said = self.ask(&format!(
            "set weight hello/{new} 100; set weight hello/{old} 0"
        ))?;
        ensure!(said.trim().is_empty(), "HAProxy refuses: {}", said.trim());
        Ok(())
    }

    /// Waits until `version` has no request left.
    pub fn drain(&self, version: &str) -> Result<()> {
        let what = format!("{version} to finish its requests");
        wait_until(&what, TIMEOUT, Duration::from_millis(20), || {
            Ok((self.sessions_of(version)? == 0).then_some(()))
        })
    }

    fn sessions_of(&self, version: &str) -> Result<u32> {
        let statistics = self.ask("show stat")?;
        let mut lines = statistics.trim_start_matches("# ").lines();
        let header = lines.next().context("HAProxy has no statistics")?;
        let column = |name| header.split(',').position(|field| field == name);
        let (name, sessions) = column("svname")
            .zip(column("scur"))
            .context("HAProxy's statistics lack a column")?;
        lines
            .map(|line| line.split(',').collect::<Vec<_>>())
            .find(|fields| fields.get(name) == Some(&version))
            .and_then(|fields| fields.get(sessions)?.parse().ok())
            .with_context(|| format!("HAProxy's statistics lack {version}"))
    }

    fn ask(&self, command: &str) -> Result<String> {
        let mut stream = UnixStream::connect(&self.socket).context("HAProxy takes no command")?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        writeln!(stream, "{command}")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}
