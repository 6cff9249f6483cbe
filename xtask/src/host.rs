//! Starts a host with the component, waits until it serves, and ends it.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{
    Pid, Signal, WaitOptions, kill_process_group, test_kill_process_group, waitpid,
};

use crate::{HostKind, client::Connection, root, target};

/// How long a host may take until it serves.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a host may take to end by itself.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// The process groups to end when this process is told to.
static RUNNING: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// A host process that serves, with all that it has started. Dropping it ends them.
#[derive(Debug)]
pub struct Host {
    process: Child,
    group: Pid,
    /// The port that it serves on, of the loopback address.
    pub port: u16,
}

/// What differs from the shipped configuration.
#[derive(Clone, Copy, Debug)]
pub struct Setup<'a> {
    /// The store lives below this folder, in the place that the shipped configuration names:
    /// the project itself, or a fresh folder. A `runtime-config.toml` in it is taken as it is.
    pub data: &'a Path,
    /// The file that takes the host's output, or `None` for this process's stderr.
    pub log: Option<&'a Path>,
    /// Another value for the variable `store`.
    pub store: Option<&'a str>,
}

/// Whether a signal has come.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Ends all hosts of this process when it gets SIGINT, SIGTERM or SIGHUP, and then exits.
///
/// # Errors
///
/// If it is called twice.
pub fn end_hosts_on_signal() -> Result<()> {
    ctrlc::set_handler(|| {
        INTERRUPTED.store(true, Ordering::SeqCst);
        for group in running().drain(..) {
            end_group(group, || {
                !matches!(waitpid(Some(group), WaitOptions::NOHANG), Ok(None))
            });
        }
        std::process::exit(130);
    })
    .context("cannot listen for Ctrl-C")
}

fn running() -> MutexGuard<'static, Vec<Pid>> {
    RUNNING
        .lock()
        .expect("no thread panics while it holds this")
}

/// A port that nothing listens on.
///
/// # Errors
///
/// Those of the socket.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

/// Refuses a port that something listens on.
///
/// # Errors
///
/// One sentence.
pub fn require_free(port: u16) -> Result<()> {
    ensure!(
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok(),
        "port {port} of 127.0.0.1 is taken: end what listens there, or choose another --port"
    );
    Ok(())
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
        require_free(port)?;
        ensure!(
            kind.artifact().exists(),
            "the component for {kind} is not built: run `cargo xtask build`"
        );
        let mut command = match kind {
            HostKind::Spin => spin(program, port, &setup)?,
            HostKind::Wasmcloud => wash(program, port, &setup)?,
        };
        if let Some(log) = setup.log {
            let log = fs::File::options().create(true).append(true).open(log)?;
            command.stdout(log.try_clone()?).stderr(log);
        } else {
            command.stdout(std::io::stderr());
        }
        let process = command
            .stdin(Stdio::null())
            // A group of its own: Ctrl-C is for this process, which then ends the host.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let group = Pid::from_child(&process);
        running().push(group);
        let mut host = Self {
            process,
            group,
            port,
        };
        host.wait_until_ready(setup.log)
            .with_context(|| format!("{kind} does not serve"))?;
        Ok(host)
    }

    /// A new connection to the host.
    ///
    /// # Errors
    ///
    /// Those of the socket.
    pub fn connect(&self) -> std::io::Result<Connection> {
        Connection::open(self.port)
    }

    /// Waits until the host ends by itself; a signal to this process ends both before that.
    ///
    /// # Errors
    ///
    /// Those of waiting.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        let status = self.process.wait()?;
        while INTERRUPTED.load(Ordering::SeqCst) {
            thread::park(); // the signal's handler exits
        }
        Ok(status)
    }

    /// The process that was started and all that it has started, gone without a warning.
    ///
    /// # Errors
    ///
    /// If there is nothing left to kill.
    pub fn kill(mut self) -> Result<()> {
        kill_process_group(self.group, Signal::KILL).context("the host has ended already")?;
        self.process.wait()?;
        Ok(())
    }

    fn wait_until_ready(&mut self, log: Option<&Path>) -> Result<()> {
        let started = Instant::now();
        let log = log.map_or(String::from(", see above"), |log| {
            format!(", see {}", log.display())
        });
        loop {
            if let Some(status) = self.process.try_wait()? {
                bail!("it ended with {status}{log}");
            }
            let answer = self
                .connect()
                .and_then(|mut connection| connection.exchange("GET", "/livez", &[], b""));
            if answer.is_ok_and(|answer| answer.status == 200) {
                return Ok(());
            }
            if started.elapsed() > START_TIMEOUT {
                bail!(
                    "it does not answer after {} s{log}",
                    START_TIMEOUT.as_secs()
                );
            }
            // Not faster: until it is ready, wash logs every request as a failure.
            thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        running().retain(|group| *group != self.group);
        end_group(self.group, || {
            self.process.try_wait().is_ok_and(|status| status.is_some())
        });
        let _ = self.process.wait();
    }
}

/// Asks the group to end, waits until `has_ended`, and ends what is left.
fn end_group(group: Pid, mut has_ended: impl FnMut() -> bool) {
    let asked = Instant::now();
    if kill_process_group(group, Signal::TERM).is_ok() {
        while asked.elapsed() < STOP_TIMEOUT
            && !has_ended()
            && test_kill_process_group(group).is_ok()
        {
            thread::sleep(Duration::from_millis(20));
        }
    }
    let _ = kill_process_group(group, Signal::KILL);
}

fn spin(program: &Path, port: u16, setup: &Setup) -> Result<Command> {
    // Paths in a runtime configuration are relative to it, so a copy has a store of its own.
    let shipped = root().join("runtime-config.toml");
    let config = setup.data.join("runtime-config.toml");
    if !config.exists() {
        fs::copy(&shipped, &config)?;
    }
    let mut command = Command::new(program);
    command
        .arg("up")
        .arg("--from")
        .arg(root().join("spin.toml"))
        .args(["--listen", &format!("127.0.0.1:{port}")])
        .arg("--runtime-config-file")
        .arg(config)
        .arg("--state-dir")
        .arg(setup.data.join(".spin"));
    if let Some(store) = setup.store {
        command.env("SPIN_VARIABLE_STORE", store);
    }
    Ok(command)
}

fn wash(program: &Path, port: u16, setup: &Setup) -> Result<Command> {
    // `wash dev` has no options for these, so it gets the shipped file with other values.
    let shipped = root().join(".wash/config.yaml");
    let mut config = fs::read_to_string(&shipped)?;
    let mut values = vec![
        ("command", "\"true\"".to_owned()), // built already
        ("component_path", quoted(&HostKind::Wasmcloud.artifact())),
        ("address", format!("127.0.0.1:{port}")),
        ("wasi_keyvalue_path", quoted(&setup.data.join(".wash/data"))),
    ];
    if let Some(store) = setup.store {
        values.push(("store", store.to_owned()));
    }
    for (key, value) in values {
        config = with_value(&config, key, &value)
            .with_context(|| format!("{} has no `{key}`", shipped.display()))?;
    }
    let folder: PathBuf = target().join(format!("wash/{port}"));
    fs::create_dir_all(folder.join(".wash"))?;
    fs::write(folder.join(".wash/config.yaml"), config)?;
    let mut command = Command::new(program);
    command
        .args(["dev", "--non-interactive"])
        .current_dir(folder);
    Ok(command)
}

fn quoted(path: &Path) -> String {
    format!("{:?}", path.display().to_string())
}

/// `yaml` with another value for the one line that sets `key`.
fn with_value(yaml: &str, key: &str, value: &str) -> Option<String> {
    let prefix = format!("{key}:");
    let mut found = false;
    let lines: Vec<String> = yaml
        .lines()
        .map(|line| {
            let indent = line.len() - line.trim_start().len();
            if line[indent..].starts_with(&prefix) {
                found = true;
                format!("{}{prefix} {value}", &line[..indent])
            } else {
                line.to_owned()
            }
        })
        .collect();
    found.then(|| lines.join("\n") + "\n")
}
