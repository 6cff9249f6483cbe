//! Starts a host with the component, waits until it serves, and ends it.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use yaml_serde::Value;

use crate::{
    client::{self, Connection},
    manifest,
    postgres::Address,
    process::Process,
    runtime_config,
    wait::wait_until,
    wash_host::{WashHost, Workload},
};
use tools::{HostKind, root, run::announce, target};

/// What `tests/hosts` reads: the host to test.
pub const KIND_VARIABLE: &str = "HELLO_HOST";

/// What `tests/hosts` reads: the host's program.
pub const PROGRAM_VARIABLE: &str = "HELLO_HOST_PROGRAM";

/// What `tests/hosts` reads: the component to test, if it is another than what is built here.
pub const ARTIFACT_VARIABLE: &str = "HELLO_ARTIFACT";

/// How long a host may take until it serves.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A host process that serves, with all that it has started. Dropping it ends them.
#[derive(Debug)]
pub struct Host {
    running: Running,
    /// The port that it serves on, of the loopback address.
    pub port: u16,
}

#[derive(Debug)]
enum Running {
    Process(Process),
    Wash(WashHost),
}

/// What differs from the shipped configuration.
#[derive(Clone, Copy, Debug)]
pub struct Setup<'a> {
    /// The store lives below this directory, in the place that the shipped configuration names:
    /// the project itself, or a fresh directory. A `runtime-config.toml` in it is taken as it is.
    pub data: &'a Path,
    /// The file that takes the host's output, or `None` for this process's stderr.
    pub log: Option<&'a Path>,
    /// Which store keeps the users.
    pub store: Store<'a>,
    /// Other values for what the shipped configuration sets, by name, such as `log_level`.
    pub settings: &'a [(&'a str, &'a str)],
    /// A CA to trust beside the machine's own, as a PEM file.
    pub root_certificate: Option<&'a Path>,
    /// Where the host sends its own telemetry: the address of an OTLP receiver over HTTP.
    pub telemetry: Option<&'a str>,
    /// The tree of an earlier revision, whose spin.toml Spin gets, and its variables in the environment;
    /// `None` for this one, whose variables are in the runtime config.
    pub earlier: Option<&'a Path>,
    /// More variables for the host's process, by name.
    pub environment: &'a [(String, String)],
}

impl<'a> Setup<'a> {
    /// The shipped configuration, with its store below `data`.
    #[must_use]
    pub fn shipped(data: &'a Path, log: Option<&'a Path>) -> Self {
        Self {
            data,
            log,
            store: Store::Shipped,
            settings: &[],
            root_certificate: None,
            telemetry: None,
            earlier: None,
            environment: &[],
        }
    }
}

impl Setup<'_> {
    /// What the host's process gets in its environment.
    fn add_environment(&self, command: &mut Command) {
        if let Some(file) = self.root_certificate {
            command.env("SSL_CERT_FILE", file);
        }
        if let Some(endpoint) = self.telemetry {
            // A span is sent within 200 ms, not within 5 s: somebody is waiting for it.
            command
                .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
                .env("OTEL_BSP_SCHEDULE_DELAY", "200");
        }
        let environment = self.environment.iter();
        command.envs(environment.map(|(name, value)| (name, value)));
    }
}

/// A store, as the host's configuration names it.
#[derive(Clone, Copy, Debug)]
pub enum Store<'a> {
    /// The one that the shipped configuration names.
    Shipped,
    /// Postgres at this address.
    Postgres(&'a Address),
    /// Key-value, in the Redis of this URL.
    Redis(&'a str),
    /// Whatever name it is, with no other setting.
    Named(&'a str),
}

/// A port that nothing listens on, and that this process has not been given before.
///
/// It is below those that the system hands out: such a port may be taken for a connection that
/// goes out between this call and the listener's own, and tests make thousands of those.
pub fn free_port() -> Result<u16> {
    const FIRST: u32 = 12_000;
    const COUNT: u32 = 20_000;
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    // Processes that run at the same time begin in different places.
    let start = std::process::id().wrapping_mul(97);
    for _ in 0..COUNT {
        let n = start.wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(FIRST + n % COUNT)?;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port from {FIRST} to {} is free", FIRST + COUNT - 1)
}

/// Refuses a port that something listens on.
pub fn require_free(port: u16) -> Result<()> {
    ensure!(
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok(),
        "port {port} of 127.0.0.1 is taken: end what listens there, or choose another --port"
    );
    Ok(())
}

/// The host to take, and its program: what is named, else what there is, Spin first; and where there
/// is none, what can be fetched.
pub fn choose(host: Option<HostKind>) -> Result<(HostKind, PathBuf)> {
    if let Some(kind) = host {
        return Ok((kind, tools::find_or_fetch(kind)?));
    }
    let found = |kind| Some((kind, tools::find(kind)?));
    if let Some(host) = HostKind::ALL.into_iter().find_map(found) {
        return Ok(host);
    }
    tools::find_or_fetch(HostKind::Spin)
        .map(|program| (HostKind::Spin, program))
        .or_else(|error| {
            eprintln!("{error:#}");
            announce("going on with wasmCloud");
            let program = tools::find_or_fetch(HostKind::Wasmcloud)?;
            Ok((HostKind::Wasmcloud, program))
        })
}

impl Host {
    /// Starts `program`, the host of `kind`, with the shipped configuration, and waits until
    /// it answers.
    ///
    /// # Errors
    ///
    /// One sentence: the port is taken, the component is not built, the host ended or does
    /// not answer.
    pub fn start(kind: HostKind, program: &Path, port: u16, setup: Setup) -> Result<Self> {
        Self::start_artifact(kind, program, &kind.artifact(), port, setup)
    }

    /// [`Host::start`] with a component that is somewhere else than where it is built.
    pub fn start_artifact(
        kind: HostKind,
        program: &Path,
        artifact: &Path,
        port: u16,
        setup: Setup,
    ) -> Result<Self> {
        kind.require(program)?;
        require_free(port)?;
        ensure!(
            artifact.exists(),
            "the component for {kind} is not built: run `cargo xtask build`"
        );
        let mut command = match kind {
            HostKind::Spin | HostKind::SpinP3 => spin(program, artifact, port, &setup)?,
            HostKind::Wasmcloud => wash(program, artifact, port, &setup)?,
            HostKind::WasmcloudP3 => {
                let running = wash_host(program, artifact, port, &setup).map(Running::Wash)?;
                return Ok(Self { running, port });
            }
        };
        setup.add_environment(&mut command);
        let is_ready = || client::is_ok(port, "/livez");
        let started = Process::start_server(&mut command, setup.log, START_TIMEOUT, is_ready);
        if kind.is_spin() {
            // Spin has read it, and it may hold a password.
            fs::remove_file(runtime_config::file(port))?;
        }
        Ok(Self {
            running: Running::Process(started?),
            port,
        })
    }

    /// A new connection to the host.
    pub fn connect(&self) -> std::io::Result<Connection> {
        Connection::open(self.port)
    }

    /// Waits until the host ends by itself; a signal to this process ends both before that.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        match &mut self.running {
            Running::Process(process) => process.wait(),
            Running::Wash(host) => host.process_mut().wait(),
        }
    }

    fn process(&self) -> &Process {
        match &self.running {
            Running::Process(process) => process,
            Running::Wash(host) => host.process(),
        }
    }

    /// The number of the host's process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process().id()
    }

    /// When its process was started.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.process().started()
    }

    /// Ends the host without a warning.
    pub fn kill(self) -> Result<()> {
        match self.running {
            Running::Process(process) => process.kill(),
            Running::Wash(host) => host.kill(),
        }
    }
}

fn spin(program: &Path, artifact: &Path, port: u16, setup: &Setup) -> Result<Command> {
    let directory = target().join(format!("spin/{port}"));
    let manifest = directory.join("spin.toml");
    let root = root();
    manifest::write(&manifest, setup.earlier.unwrap_or(&root), artifact)?;
    let config = runtime_config::file(port);
    let mut command = Command::new(program);
    command
        .arg("up")
        .arg("--from")
        .arg(manifest)
        .args(["--listen", &format!("127.0.0.1:{port}")])
        .arg("--runtime-config-file")
        .arg(&config)
        .arg("--state-dir")
        .arg(setup.data.join(".spin"));
    let port;
    let mut variables = setup.settings.to_vec();
    match setup.store {
        Store::Shipped | Store::Redis(_) => {}
        Store::Named(name) => variables.push(("store", name)),
        Store::Postgres(address) => {
            port = address.port.to_string();
            variables.extend([
                ("store", "postgres"),
                ("postgres_host", &address.host),
                ("postgres_port", &port),
                ("postgres_database", &address.database),
                ("postgres_user", &address.user),
                ("postgres_password", &address.password),
                ("postgres_sslmode", &address.sslmode),
            ]);
        }
    }
    let in_config = setup.earlier.is_none().then_some(&variables[..]);
    runtime_config::write(&config, setup, in_config)?;
    if setup.earlier.is_some() {
        for (name, value) in variables {
            command.env(runtime_config::environment(name), value);
        }
    }
    Ok(command)
}

fn wash(program: &Path, artifact: &Path, port: u16, setup: &Setup) -> Result<Command> {
    // `wash dev` has no options for these, so it gets the shipped file with other values.
    let mut config: Value =
        yaml_serde::from_str(&fs::read_to_string(root().join(".wash/config.yaml"))?)?;
    config["build"]["command"] = "true".into(); // built already
    config["build"]["component_path"] = text(artifact).into();
    config["dev"]["address"] = format!("127.0.0.1:{port}").into();
    config["dev"]["wasi_keyvalue_path"] = text(&setup.data.join(".wash/data")).into();
    let mut settings = setup.settings.to_vec();
    match setup.store {
        Store::Shipped => {}
        Store::Redis(url) => config["dev"]["wasi_keyvalue_redis_url"] = url.into(),
        Store::Named(name) => settings.push(("store", name)),
        Store::Postgres(address) => {
            settings.extend([("store", "postgres"), ("metrics", "on")]);
            config["dev"]["host_interfaces"][0]["config"]["database"] =
                address.database.clone().into();
            config["dev"]["postgres_url"] = address.url_for_wash()?.into();
            // Nothing but counters is in key-value then, and they belong into memory.
            let dev = config["dev"]
                .as_mapping_mut()
                .context("`dev` is no mapping")?;
            dev.remove("wasi_keyvalue_path");
        }
    }
    for (name, value) in settings {
        config["workload"]["config"][name] = value.into();
    }
    let directory = target().join(format!("wash/{port}"));
    fs::create_dir_all(directory.join(".wash"))?;
    fs::write(
        directory.join(".wash/config.yaml"),
        yaml_serde::to_string(&config)?,
    )?;
    let mut command = Command::new(program);
    command
        // At `info`, wash writes the path of a request into its warnings: that has a username.
        .args(["dev", "--non-interactive", "--log-level", "warn"])
        .current_dir(directory);
    Ok(command)
}

fn wash_host(program: &Path, artifact: &Path, port: u16, setup: &Setup) -> Result<WashHost> {
    let mut settings = vec![("store", "key-value")];
    let mut database = "hello";
    let postgres = match setup.store {
        Store::Shipped => None,
        Store::Named(name) => {
            settings.push(("store", name));
            None
        }
        Store::Postgres(address) => {
            settings.push(("store", "postgres"));
            database = &address.database;
            Some(address)
        }
        Store::Redis(_) => bail!("`wash host` keeps users in NATS or Postgres, and in no Redis"),
    };
    settings.extend(setup.settings);
    let prepare = |command: &mut Command| setup.add_environment(command);
    let host = WashHost::start_with(program, port, setup.data, postgres, setup.log, prepare)?;
    host.start_workload(&Workload {
        name: "hello",
        image: &host.push(artifact)?,
        hosts: &["localhost", "127.0.0.1"],
        settings: &settings,
        database,
        is_p3: true,
    })?;
    wait_until(
        "the workload",
        START_TIMEOUT,
        Duration::from_millis(20),
        || anyhow::Ok(client::is_ok(port, "/livez").then_some(())),
    )?;
    Ok(host)
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_port_is_given_once() {
        let (first, second) = (free_port().expect("a port"), free_port().expect("a port"));
        assert_ne!(first, second);
        assert!(require_free(first).is_ok());
    }
}
