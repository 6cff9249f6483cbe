//! Runs what a container engine would run, without one: container.sh says how.

use std::{
    collections::BTreeMap,
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};
use deploy_tests::checker::succeeded;
use harness::process::Process;
use tools::root;

/// How long a network or a container may take until it is ready.
const START: Duration = Duration::from_secs(120);

/// Where programs are in every container.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Starts a network with a bridge, at which it is `gateway`; container.sh connects containers to it.
const BRIDGE: &str = r#"
    "$0" link set lo up
    "$0" link add services type bridge
    "$0" address add "$1/24" dev services
    "$0" link set services up
    echo ready
    exec sleep infinity
"#;

/// A network that leads nowhere else, and ends when it is dropped.
pub struct Network {
    process: Process,
    ip: PathBuf,
    /// For the logs and files of its containers.
    directory: PathBuf,
}

/// What a container has at `target`.
pub struct Mount {
    /// A file or a directory; `tmpfs`; or two directories with a colon between them, the first over the
    /// second.
    pub source: String,
    pub target: String,
    /// As `mount` takes them.
    pub options: &'static str,
}

impl Mount {
    pub fn read_only(source: impl AsRef<Path>, target: &str) -> Self {
        Self {
            source: source.as_ref().display().to_string(),
            target: target.to_owned(),
            options: "ro",
        }
    }
}

/// A container, to be started.
pub struct Container<'a> {
    pub network: &'a Network,
    pub name: &'a str,
    pub address: Ipv4Addr,
    /// The numbers of its user and group.
    pub user: &'a str,
    pub directory: &'a str,
    /// The directories of its programs, beside those that every container has.
    pub programs: Vec<PathBuf>,
    pub environment: BTreeMap<&'a str, &'a str>,
    pub mounts: Vec<Mount>,
    pub command: Vec<&'a str>,
}

impl Network {
    pub fn start(directory: &Path, gateway: Ipv4Addr) -> Result<Self> {
        let ip = tools::find_or_fetch("ip")?;
        let log = directory.join("network.log");
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-euc", BRIDGE]).arg(&ip);
        command.arg(gateway.to_string());
        let is_ready = || fs::read(&log).is_ok_and(|log| log.starts_with(b"ready"));
        Ok(Self {
            process: Process::start_server(&mut command, Some(&log), START, is_ready)?,
            ip,
            directory: directory.to_owned(),
        })
    }

    /// What `command` prints in this network, if it succeeds.
    pub fn read(&self, command: &[&str]) -> Result<String> {
        let network = format!("--net=/proc/{}/ns/net", self.process.id());
        succeeded(Command::new("nsenter").arg(network).args(command))
    }
}

impl Container<'_> {
    /// Starts it, and waits until it `is_ready`.
    pub fn start(&self, is_ready: impl FnMut() -> bool) -> Result<Process> {
        let log = self.file("log");
        Process::start_server(&mut self.starts()?, Some(&log), START, is_ready)
            .with_context(|| self.name.to_owned())
    }

    /// Runs it to its end, and returns what it printed.
    pub fn run(&self) -> Result<String> {
        succeeded(&mut self.starts()?).with_context(|| self.name.to_owned())
    }

    /// What `command` prints in it while it runs, if it succeeds.
    pub fn exec(&self, command: &[&str]) -> Result<String> {
        self.exec_with(command, &[])
    }

    /// [`Container::exec`] with more variables.
    pub fn exec_with(&self, command: &[&str], variables: &[(&str, &str)]) -> Result<String> {
        let started = fs::read_to_string(self.file("root.pid"))?;
        let started = started.trim();
        let children = fs::read_to_string(format!("/proc/{started}/task/{started}/children"))?;
        let first = children.split(' ').next().unwrap_or_default();
        let (user, group) = self.user.split_once(':').context("a user has a group")?;
        let mut enter = Command::new("nsenter");
        enter.args([
            "--target", first, "--mount", "--net", "--pid", "--root", "--wd",
        ]);
        enter.args(["--setuid", user, "--setgid", group]);
        self.set_environment(&mut enter)?;
        enter.envs(variables.iter().copied());
        succeeded(enter.args(command)).with_context(|| format!("in {}: {command:?}", self.name))
    }

    fn starts(&self) -> Result<Command> {
        let files = self.file("root");
        fs::create_dir(&files)?;
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "sh"]);
        command.arg(root().join("deploy/tests/operations/compose/container.sh"));
        command.arg(&self.network.ip);
        command.arg(self.network.process.id().to_string());
        command.args([self.name, &self.address.to_string()]);
        command.arg(&files).args([self.user, self.directory]);
        for mount in &self.mounts {
            command.args([&mount.source, &mount.target, mount.options]);
        }
        command.arg("--").args(&self.command);
        self.set_environment(&mut command)?;
        Ok(command)
    }

    fn set_environment(&self, command: &mut Command) -> Result<()> {
        let others = PATH.split(':').map(PathBuf::from);
        let path = std::env::join_paths(self.programs.iter().cloned().chain(others))?;
        command
            .env_clear()
            .envs(&self.environment)
            .env("PATH", path);
        Ok(())
    }

    fn file(&self, what: &str) -> PathBuf {
        let name = self.name;
        self.network.directory.join(format!("{name}.{what}"))
    }
}
