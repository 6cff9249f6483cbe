//! The contract end to end: the built component on a real host, over TCP.
//!
//! `cargo xtask test` builds the components, finds the hosts, and runs this once for each.

mod failover;
mod hostile_input;
mod instances;
mod linearizable;
mod logs;
mod operations;
#[path = "../suite/over_http.rs"]
mod over_http;
mod postgres;
mod quickstart;
mod sandbox;
mod segments;
mod smoke;
#[path = "../suite/mod.rs"]
mod suite;

use std::{
    env, fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};
use chrono::{Days, NaiveDate};
use harness::{
    client::{Answer, Connection},
    host::{self, Host, Setup, Store, free_port},
    postgres::Postgres,
    process::end_all_on_signal,
    wait::wait_until,
};
use libtest_mimic::{Arguments, Conclusion, Trial};
use over_http::OverHttp;
use suite::{
    conformance,
    scenarios::{Step, outage, scenarios},
};
use tempfile::TempDir;
use tools::{HostKind, run};

/// The largest an artifact may be, in bytes.
const MAX_ARTIFACT: u64 = 900_000;

const PUT: &[u8] = br#"{"dateOfBirth":"1990-06-20"}"#;
const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

fn main() {
    let arguments = Arguments::from_args();
    let Some(under_test) = HostUnderTest::from_environment() else {
        let name = "hosts: not run here; `cargo xtask test` builds the components and runs them";
        let trial = Trial::test(name, || Ok(())).with_ignored_flag(true);
        libtest_mimic::run(&arguments, vec![trial]).exit();
    };
    end_all_on_signal().expect("this is the only place that asks");
    if arguments.list {
        let trials = under_test.trials(0, 0, NaiveDate::default());
        libtest_mimic::run(&arguments, trials).exit();
    }
    let conclusion = run_all(&arguments, &under_test).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        std::process::exit(1);
    });
    conclusion.exit();
}

/// Runs every trial, the shared ones over both stores. What they share has ended on return.
fn run_all(arguments: &Arguments, under_test: &HostUnderTest) -> Result<Conclusion> {
    let today = a_day_that_lasts();
    let database = TempDir::new()?;
    let server = Postgres::start(database.path())?;
    let (key_value, key_value_directory) = under_test.start(Store::Shipped)?;
    let (postgres, postgres_directory) = under_test.start(Store::Postgres(&server.service()))?;

    let trials = under_test.trials(key_value.port, postgres.port, today);
    let conclusion = libtest_mimic::run(arguments, trials);

    drop((key_value, postgres));
    for directory in [&key_value_directory, &postgres_directory] {
        let log = logs_of(directory.path())?;
        if conclusion.has_failed() {
            let lines: Vec<&str> = log.lines().collect();
            let last = lines[lines.len().saturating_sub(30)..].join("\n");
            eprintln!("the last that {} said:\n{last}", under_test.kind);
        }
        assert_no_sensitive_data(&log, &server.password)?;
    }
    let log = fs::read_to_string(database.path().join("postgres.log"))?;
    assert_no_sensitive_data(&log, &server.password)?;
    Ok(conclusion)
}

/// Whether a log holds no password, no username and no date of birth of the tests.
fn assert_no_sensitive_data(log: &str, password: &str) -> Result<()> {
    let users = [
        "Decoded", "Newborn", "Ancient", "Hundred", "Race", "Edsger", "Durable", "Signed",
    ];
    for secret in [&[password, "1990-06-20", "2000-"], &users[..]].concat() {
        let line = log.lines().find(|line| line.contains(secret));
        ensure!(line.is_none(), "{secret} is in a log: {line:?}");
    }
    Ok(())
}

/// The host that is tested.
#[derive(Clone)]
struct HostUnderTest {
    kind: HostKind,
    program: PathBuf,
    artifact: PathBuf,
}

impl HostUnderTest {
    fn from_environment() -> Option<Self> {
        let name = env::var(host::KIND_VARIABLE).ok()?;
        let mut kinds = HostKind::ALL.into_iter();
        let kind = kinds.find(|kind| kind.to_string() == name);
        let kind = kind.expect("a host that there is");
        let program = env::var_os(host::PROGRAM_VARIABLE).expect("the host's program");
        let artifact = env::var_os(host::ARTIFACT_VARIABLE).map(PathBuf::from);
        Some(Self {
            kind,
            program: program.into(),
            artifact: artifact.unwrap_or_else(|| kind.artifact()),
        })
    }

    /// Starts the host with a fresh store, and with `store` as the variable of this name.
    fn start(&self, store: Store) -> Result<(Host, TempDir)> {
        let directory = TempDir::new()?;
        let host = self.start_in(directory.path(), store)?;
        Ok((host, directory))
    }

    fn start_in(&self, directory: &Path, store: Store) -> Result<Host> {
        self.start_with(Setup {
            store,
            ..Setup::shipped(directory, None)
        })
    }

    /// Starts the host with `setup`, and its output in the file `log` beside its store.
    fn start_with(&self, setup: Setup) -> Result<Host> {
        let log = setup.data.join("log");
        let setup = Setup {
            log: Some(&log),
            ..setup
        };
        let port = free_port()?;
        let host = Host::start_artifact(self.kind, &self.program, &self.artifact, port, setup);
        host.with_context(|| fs::read_to_string(&log).unwrap_or_default())
    }

    fn trial(&self, name: &str, test: impl FnOnce(Self) -> Result<()> + Send + 'static) -> Trial {
        let under_test = self.clone();
        Trial::test(format!("{}: {name}", self.kind), move || {
            Ok(test(under_test).map_err(|error| format!("{error:#}"))?)
        })
    }

    /// Every trial; the ports are those of the shared hosts.
    fn trials(&self, key_value: u16, postgres: u16, today: NaiveDate) -> Vec<Trial> {
        // The long ones first: they run beside the others.
        let mut trials = operations::trials(self, postgres);
        trials.extend([
            self.trial("the artifact has 900 KB at most", artifact_size),
            self.trial(
                "the artifact imports WASI, storage and configuration alone",
                imports,
            ),
            self.trial("what was acknowledged is there after kill -9", durable),
            self.trial("ending a host leaves nothing behind", ends),
            self.trial("an unknown store is 503, and never another store", misnamed),
            self.trial("a store that does not open is 503, and never 404", unopened),
            self.trial("a release's smoke test passes", move |_| {
                smoke::smoke_test(key_value)
            }),
            self.trial("head and body arrive as one TCP segment", move |it| {
                segments::one_per_response(key_value, it.kind)
            }),
        ]);
        if self.kind.is_p3() {
            trials.extend(instances::trials(self));
        }
        trials.extend(linearizable::trials(self, today));
        trials.extend(hostile_input::trials(self, key_value));
        trials.extend(self.shared_trials("key-value", key_value, today));
        trials.extend(self.shared_trials("postgres", postgres, today));
        trials.extend(postgres::trials(self));
        trials.extend(failover::trials(self));
        trials.extend(logs::trials(self));
        trials.extend(quickstart::trials(self));
        trials.extend(sandbox::trials(self));
        trials
    }

    /// The scenario table and the conformance suite, over a shared host that keeps its users
    /// in `store`.
    fn shared_trials(&self, store: &str, port: u16, today: NaiveDate) -> Vec<Trial> {
        let table = scenarios(today).into_iter().map(|scenario| {
            let name = format!("{store}: {}", scenario.name);
            self.trial(&name, move |_| {
                // A refused body may cost the connection, so every step has its own.
                let mut steps = scenario.steps.iter();
                steps.try_for_each(|step| exchange(&mut Connection::open(port)?, step))
            })
        });
        let checks = conformance::checks::<OverHttp>().into_iter();
        let suite = checks.map(|(name, check)| {
            self.trial(&format!("{store}: {name}"), move |_| {
                check(&|| OverHttp::connect(port, today).expect("a connection"));
                Ok(())
            })
        });
        table.chain(suite).collect()
    }
}

/// Today in UTC, and not within the last two minutes of it: a run must not see midnight.
fn a_day_that_lasts() -> NaiveDate {
    const DAY: u64 = 24 * 60 * 60;
    let seconds = || UNIX_EPOCH.elapsed().expect("after 1970").as_secs();
    let left = DAY - seconds() % DAY;
    if left < 120 {
        eprintln!("waiting {left} s for midnight (UTC) to pass");
        std::thread::sleep(Duration::from_secs(left));
    }
    // The default is 1 January 1970.
    NaiveDate::default() + Days::new(seconds() / DAY)
}

/// Sends the request of `step`, and requires its expected response.
fn exchange(connection: &mut Connection, step: &Step) -> Result<()> {
    let headers = step.headers.iter();
    let headers: Vec<_> = headers
        .map(|(name, value)| (&name[..], &value[..]))
        .collect();
    let answer = connection.exchange(&step.method, &step.target, &headers, &step.body);
    step.check(&answer.with_context(|| format!("{} {}", step.method, step.target))?)
}

/// Sends a request, and requires an answer of this `status`.
fn expect(
    connection: &mut Connection,
    method: &str,
    target: &str,
    body: &[u8],
    status: u16,
) -> Result<Answer> {
    let answer = connection.exchange(method, target, &JSON, body)?;
    let text = String::from_utf8_lossy(&answer.body);
    let found = answer.status;
    ensure!(found == status, "{method} {target} got {found}: {text}");
    Ok(answer)
}

fn artifact_size(under_test: HostUnderTest) -> Result<()> {
    let bytes = fs::metadata(&under_test.artifact)?.len();
    ensure!(bytes <= MAX_ARTIFACT, "it has {bytes} bytes");
    Ok(())
}

fn imports(under_test: HostUnderTest) -> Result<()> {
    let wash = tools::find(HostKind::Wasmcloud).context("`cargo xtask test` fetches wash")?;
    let wit = run::read(
        "inspect the artifact",
        Command::new(wash).arg("inspect").arg(&under_test.artifact),
    )?;
    let own: &[&str] = match under_test.kind {
        HostKind::Spin => &[
            "fermyon:spin/key-value@2.0.0",
            "fermyon:spin/variables@2.0.0",
            "wasi:keyvalue/atomics@0.2.0-draft2",
            "wasi:keyvalue/store@0.2.0-draft2",
            "spin:postgres/postgres@4.0.0",
        ],
        HostKind::SpinP3 => &[
            "spin:key-value/key-value@3.0.0",
            "spin:variables/variables@3.0.0",
            "wasi:keyvalue/atomics@0.2.0-draft2",
            "wasi:keyvalue/store@0.2.0-draft2",
            "spin:postgres/postgres@4.2.0",
        ],
        HostKind::Wasmcloud => &[
            "wasi:keyvalue/atomics@0.2.0-draft",
            "wasi:keyvalue/store@0.2.0-draft",
            "wasi:config/store@0.2.0-rc.1",
            "wasmcloud:postgres/types@0.1.1-draft",
            "wasmcloud:postgres/query@0.1.1-draft",
        ],
        HostKind::WasmcloudP3 => &[
            "wasi:keyvalue/atomics@0.2.0-draft",
            "wasi:keyvalue/store@0.2.0-draft",
            "wasi:config/store@0.2.0-rc.1",
            "wasmcloud:postgres/types@0.2.0",
            "wasmcloud:postgres/query@0.2.0",
        ],
    };
    // The file system is the standard library's, with some compilers: an import grants no file.
    let packages = ["cli", "clocks", "filesystem", "http", "io", "random"];
    let imports: Vec<&str> = wit
        .lines()
        .filter_map(|line| line.trim().strip_prefix("import ")?.strip_suffix(';'))
        .collect();
    let wasi = |import: &str| {
        let (package, interface) = import.strip_prefix("wasi:")?.split_once('/')?;
        // The standard library is on WASI 0.2, whatever the component is on.
        let (name, version) = interface.rsplit_once('@')?;
        // Without `outgoing-handler` it sends no request, wherever the host would let it.
        if package == "http" && name != "types" {
            return Some(false);
        }
        let patch = version.strip_prefix("0.2.").or_else(|| {
            let is_p3 = under_test.kind.is_p3();
            version.strip_prefix("0.3.").filter(|_| is_p3)
        });
        Some(packages.contains(&package) && patch?.parse::<u8>().is_ok())
    };
    ensure!(!imports.is_empty(), "wash names no import: {wit}");
    for import in &imports {
        let is_known = own.contains(import) || wasi(import) == Some(true);
        ensure!(is_known, "it imports {import}");
    }
    for import in own {
        ensure!(imports.contains(import), "it does not import {import}");
    }
    let export = match under_test.kind {
        HostKind::SpinP3 | HostKind::WasmcloudP3 => "export wasi:http/handler@0.3.0",
        HostKind::Spin | HostKind::Wasmcloud => "export wasi:http/incoming-handler@0.2.",
    };
    ensure!(wit.contains(export), "it exports something else: {wit}");
    Ok(())
}

fn durable(under_test: HostUnderTest) -> Result<()> {
    let (host, directory) = under_test.start(Store::Shipped)?;
    let mut connection = host.connect()?;
    let mut acknowledged = Vec::new();
    for letter in 'a'..='z' {
        let target = format!("/hello/Durable{letter}");
        expect(&mut connection, "PUT", &target, PUT, 204)?;
        acknowledged.push(target);
    }
    host.kill()?;
    let host = under_test.start_in(directory.path(), Store::Shipped)?;
    let mut connection = host.connect()?;
    for target in acknowledged {
        expect(&mut connection, "GET", &target, b"", 200)?;
    }
    expect(&mut connection, "GET", "/hello/Stranger", b"", 404)?;
    Ok(())
}

fn ends(under_test: HostUnderTest) -> Result<()> {
    let (host, directory) = under_test.start(Store::Shipped)?;
    let port = host.port;
    drop(host);
    let refused =
        Connection::open(port).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused);
    ensure!(refused, "something still listens on port {port}");
    // The directory is on the command line or the working directory of whatever is left.
    let name = directory.path().display().to_string();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        ensure!(!line.contains(&name), "still running: {line}");
    }
    Ok(())
}

fn misnamed(under_test: HostUnderTest) -> Result<()> {
    let (host, directory) = under_test.start(Store::Named("cupboard"))?;
    refuses_service(&host, "the store is misconfigured", "configuration")?;
    drop(host);
    let log = logs_of(directory.path())?;
    let told = log.contains("the variable `store` must be key-value or postgres");
    ensure!(told, "the log does not name the variable: {log}");
    Ok(())
}

fn unopened(under_test: HostUnderTest) -> Result<()> {
    let directory = TempDir::new()?;
    no_store(&under_test, directory.path())?;
    let host = under_test.start_in(directory.path(), Store::Shipped)?;
    refuses_service(&host, "the store is unavailable", "key-value")
}

/// Puts something of the wrong kind where the users should be: a directory for Spin's SQLite file,
/// a file for wasmCloud's directory, or that of its NATS. (Permissions would not stop root.)
fn no_store(under_test: &HostUnderTest, directory: &Path) -> Result<()> {
    match under_test.kind {
        HostKind::Spin | HostKind::SpinP3 => {
            fs::create_dir_all(directory.join(".spin/sqlite_key_value.db"))?
        }
        HostKind::Wasmcloud => {
            fs::create_dir_all(directory.join(".wash/data"))?;
            fs::write(directory.join(".wash/data/default"), "")?;
        }
        // NATS goes on without a place for streams.
        HostKind::WasmcloudP3 => {
            fs::create_dir_all(directory.join(".wash/host"))?;
            fs::write(directory.join(".wash/host/nats"), "")?;
        }
    }
    Ok(())
}

/// Letters alone, and others for each `n`.
fn letters(n: usize) -> String {
    let digits = n.to_string().into_bytes();
    let letter = |digit| char::from(digit - b'0' + b'a');
    digits.into_iter().map(letter).collect()
}

/// Whether `command` succeeds, and what it prints.
fn run_to_end(command: &mut Command) -> Result<(bool, String)> {
    let output = command.output()?;
    let printed = [output.stdout, output.stderr].concat();
    let printed = String::from_utf8_lossy(&printed).into_owned();
    Ok((output.status.success(), printed))
}

/// [`wait_until`] something holds.
fn until(what: &str, limit: Duration, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    wait_until(what, limit, Duration::from_millis(50), || {
        Ok(holds()?.then_some(()))
    })
}

/// Whether every path that needs a store is 503, and `/livez` is not.
fn refuses_service(host: &Host, detail: &str, dependency: &str) -> Result<()> {
    let mut connection = host.connect()?;
    let steps = outage(detail, dependency);
    steps
        .iter()
        .try_for_each(|step| exchange(&mut connection, step))
}

/// All that a host has written below `directory`, its store aside.
fn logs_of(directory: &Path) -> Result<String> {
    let mut text = fs::read_to_string(directory.join("log"))?;
    for entry in fs::read_dir(directory.join(".spin/logs"))
        .into_iter()
        .flatten()
    {
        text += &fs::read_to_string(entry?.path())?;
    }
    Ok(text)
}
