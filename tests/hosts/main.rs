//! The contract end to end: the built component on a real host, over TCP.
//!
//! `cargo xtask test` builds the components, finds the hosts, and runs this once for each.

mod failover;
mod hostile_input;
mod logs;
mod operations;
#[path = "../suite/over_http.rs"]
mod over_http;
mod postgres;
mod segments;
mod smoke;
#[path = "../suite/mod.rs"]
mod suite;

use std::{
    env, fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, anyhow, ensure};
use chrono::{DateTime, NaiveDate};
use harness::{
    client,
    host::{self, Host, Setup, Store, free_port},
    postgres::Postgres,
    process::end_all_on_signal,
    wait::wait_until,
};
use libtest_mimic::{Arguments, Conclusion, Trial};
use over_http::OverHttp;
use suite::{
    conformance,
    scenarios::{Response, Scenario, scenarios},
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
        let mut trials = under_test.trials(0);
        trials.extend(postgres::trials(&under_test));
        trials.extend(failover::trials(&under_test));
        trials.extend(logs::trials(&under_test));
        trials.extend(operations::trials(&under_test, 0));
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

    // The long ones first: they run beside the others.
    let mut trials = operations::trials(under_test, postgres.port);
    trials.extend(under_test.trials(key_value.port));
    trials.extend(under_test.shared_trials("key-value", key_value.port, today));
    trials.extend(under_test.shared_trials("postgres", postgres.port, today));
    trials.extend(postgres::trials(under_test));
    trials.extend(failover::trials(under_test));
    trials.extend(logs::trials(under_test));
    let conclusion = libtest_mimic::run(arguments, trials);

    drop((key_value, postgres));
    for directory in [&key_value_directory, &postgres_directory] {
        let log = logs_of(directory.path())?;
        if conclusion.has_failed() {
            let lines: Vec<&str> = log.lines().collect();
            let last = lines.len().saturating_sub(30);
            eprintln!(
                "the last that {} said:\n{}",
                under_test.kind,
                lines[last..].join("\n")
            );
        }
        assert_no_sensitive_data(&log, &server.password)?;
    }
    let log = fs::read_to_string(database.path().join("postgres.log"))?;
    assert_no_sensitive_data(&log, &server.password)?;
    Ok(conclusion)
}

/// Whether a log holds no password, no username and no date of birth of the tests.
fn assert_no_sensitive_data(log: &str, password: &str) -> Result<()> {
    for secret in [
        password,
        "1990-06-20",
        "2000-",
        "Decoded",
        "Newborn",
        "Ancient",
        "Hundred",
        "Race",
        "Edsger",
        "Durable",
        "Signed",
    ] {
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

type Started = (Host, TempDir);

impl HostUnderTest {
    fn from_environment() -> Option<Self> {
        let name = env::var(host::KIND_VARIABLE).ok()?;
        let kind = HostKind::ALL
            .into_iter()
            .find(|kind| kind.to_string() == name);
        let program = env::var_os(host::PROGRAM_VARIABLE).expect("the host's program");
        let kind = kind.expect("a host that there is");
        let artifact = env::var_os(host::ARTIFACT_VARIABLE).map(PathBuf::from);
        Some(Self {
            kind,
            program: program.into(),
            artifact: artifact.unwrap_or_else(|| kind.artifact()),
        })
    }

    /// Starts the host with a fresh store, and with `store` as the variable of this name.
    fn start(&self, store: Store) -> Result<Started> {
        let directory = TempDir::new()?;
        let host = self.start_in(directory.path(), store)?;
        Ok((host, directory))
    }

    fn start_in(&self, directory: &Path, store: Store) -> Result<Host> {
        self.start_with(Setup {
            store,
            ..Setup::shipped(directory, Some(&directory.join("log")))
        })
    }

    fn start_with(&self, setup: Setup) -> Result<Host> {
        let directory = setup.data;
        let port = free_port()?;
        let host = Host::start_artifact(self.kind, &self.program, &self.artifact, port, setup);
        host.with_context(|| fs::read_to_string(directory.join("log")).unwrap_or_default())
    }

    fn trial(&self, name: &str, test: impl FnOnce(Self) -> Result<()> + Send + 'static) -> Trial {
        let under_test = self.clone();
        Trial::test(format!("{}: {name}", self.kind), move || {
            Ok(test(under_test).map_err(|error| format!("{error:#}"))?)
        })
    }

    /// What needs no host, or one of its own; `port` is that of the shared one.
    fn trials(&self, port: u16) -> Vec<Trial> {
        vec![
            self.trial("the artifact has 900 KB at most", |under_test| {
                let bytes = fs::metadata(&under_test.artifact)?.len();
                ensure!(bytes <= MAX_ARTIFACT, "it has {bytes} bytes");
                Ok(())
            }),
            self.trial(
                "the artifact imports WASI 0.2, storage and configuration alone",
                imports,
            ),
            self.trial(
                "what was acknowledged is there after kill -9",
                survives_kill,
            ),
            self.trial("ending a host leaves nothing behind", ends),
            self.trial(
                "an unknown store is 503, and never another store",
                unknown_store,
            ),
            self.trial(
                "a store that does not open is 503, and never 404",
                unreachable_store,
            ),
            self.trial("a body of 10 GB is refused unread", move |_| {
                hostile_input::declared_length(port)
            }),
            self.trial("a body without an end is refused", move |_| {
                hostile_input::endless_body(port)
            }),
            self.trial("a body that stalls is refused after 5 s", move |_| {
                hostile_input::stalled_body(port)
            }),
            self.trial("a body in chunks is taken", move |_| {
                hostile_input::chunked_body(port)
            }),
            self.trial("a client that leaves saves nothing", move |_| {
                hostile_input::leaving_client(port)
            }),
            self.trial("a release's smoke test passes", move |_| {
                smoke::smoke_test(port)
            }),
            self.trial("head and body arrive as one TCP segment", move |_| {
                segments::one_per_response(port)
            }),
            self.trial("two requests in one segment get two answers", move |_| {
                hostile_input::pipelined(port)
            }),
            self.trial("1000 malformed requests leave it answering", move |_| {
                hostile_input::malformed(port)
            }),
        ]
    }

    /// The scenario table and the conformance suite, over a shared host that keeps its users
    /// in `store`.
    fn shared_trials(&self, store: &str, port: u16, today: NaiveDate) -> Vec<Trial> {
        let table = scenarios(today).into_iter().map(|scenario| {
            let name = format!("{store}: {}", scenario.name);
            self.trial(&name, move |_| run_scenario(&scenario, port))
        });
        let suite = conformance::checks::<OverHttp>()
            .into_iter()
            .map(|(name, check)| {
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
    let seconds = || {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("a clock after 1970")
            .as_secs()
    };
    let left = DAY - seconds() % DAY;
    if left < 120 {
        eprintln!("waiting {left} s for midnight (UTC) to pass");
        std::thread::sleep(Duration::from_secs(left));
    }
    let now = i64::try_from(seconds()).expect("a clock of this age");
    DateTime::from_timestamp(now, 0)
        .expect("a date")
        .date_naive()
}

fn run_scenario(scenario: &Scenario, port: u16) -> Result<()> {
    for step in &scenario.steps {
        // A refused body may cost the connection, so every step has its own.
        let answer = client::Connection::open(port)?.exchange(
            step.method,
            &step.target,
            &step.headers,
            &step.body,
        );
        let client::Answer {
            status,
            headers,
            body,
        } = answer.with_context(|| format!("{} {}", step.method, step.target))?;
        step.check(&Response {
            status,
            headers,
            body,
        })
        .map_err(|why| anyhow!("{} {}: {why}", step.method, step.target))?;
    }
    Ok(())
}

fn imports(under_test: HostUnderTest) -> Result<()> {
    let wash = tools::find(HostKind::Wasmcloud).context("`cargo xtask test` fetches wash")?;
    let wit = run::read(
        "inspect the artifact",
        std::process::Command::new(wash)
            .arg("inspect")
            .arg(&under_test.artifact),
    )?;
    let own: &[&str] = match under_test.kind {
        HostKind::Spin => &[
            "fermyon:spin/key-value@2.0.0",
            "fermyon:spin/variables@2.0.0",
            "wasi:keyvalue/atomics@0.2.0-draft2",
            "wasi:keyvalue/store@0.2.0-draft2",
            "spin:postgres/postgres@4.0.0",
        ],
        HostKind::Wasmcloud => &[
            "wasi:keyvalue/atomics@0.2.0-draft",
            "wasi:keyvalue/store@0.2.0-draft",
            "wasi:config/store@0.2.0-rc.1",
            "wasmcloud:postgres/types@0.1.1-draft",
            "wasmcloud:postgres/query@0.1.1-draft",
        ],
    };
    // The file system is the standard library's, with some compilers: an import grants no file.
    let packages = ["cli", "clocks", "filesystem", "http", "io", "random"];
    let imports: Vec<&str> = wit
        .lines()
        .filter_map(|line| line.trim().strip_prefix("import ")?.strip_suffix(';'))
        .collect();
    let wasi = |import: &str| {
        packages
            .iter()
            .any(|package| import.starts_with(&format!("wasi:{package}/")))
            && import
                .rsplit_once("@0.2.")
                .is_some_and(|(_, patch)| patch.parse::<u8>().is_ok())
    };
    ensure!(!imports.is_empty(), "wash names no import: {wit}");
    for import in &imports {
        ensure!(own.contains(import) || wasi(import), "it imports {import}");
    }
    for import in own {
        ensure!(imports.contains(import), "it does not import {import}");
    }
    ensure!(
        wit.contains("export wasi:http/incoming-handler@0.2."),
        "{}",
        wit.clone()
    );
    Ok(())
}

fn survives_kill(under_test: HostUnderTest) -> Result<()> {
    let (host, directory) = under_test.start(Store::Shipped)?;
    let mut connection = host.connect()?;
    let mut acknowledged = Vec::new();
    for letter in 'a'..='z' {
        let target = format!("/hello/Durable{letter}");
        let answer = connection.exchange("PUT", &target, &JSON, PUT)?;
        ensure!(answer.status == 204, "PUT got {}", answer.status);
        acknowledged.push(target);
    }
    host.kill()?;
    let host = under_test.start_in(directory.path(), Store::Shipped)?;
    let mut connection = host.connect()?;
    for target in acknowledged {
        let answer = connection.exchange("GET", &target, &[], b"")?;
        ensure!(answer.status == 200, "{target} got {}", answer.status);
    }
    let stranger = connection.exchange("GET", "/hello/Stranger", &[], b"")?;
    ensure!(stranger.status == 404, "a stranger got {}", stranger.status);
    Ok(())
}

fn ends(under_test: HostUnderTest) -> Result<()> {
    let (host, directory) = under_test.start(Store::Shipped)?;
    let port = host.port;
    drop(host);
    let refused = client::Connection::open(port)
        .is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused);
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

fn unknown_store(under_test: HostUnderTest) -> Result<()> {
    let (host, directory) = under_test.start(Store::Named("cupboard"))?;
    refuses_service(&host, "the store is misconfigured", "configuration")?;
    drop(host);
    let log = logs_of(directory.path())?;
    ensure!(
        log.contains("the variable `store` must be key-value or postgres"),
        "the log does not name the variable: {log}"
    );
    Ok(())
}

fn unreachable_store(under_test: HostUnderTest) -> Result<()> {
    let directory = TempDir::new()?;
    no_store(&under_test, directory.path())?;
    let host = under_test.start_in(directory.path(), Store::Shipped)?;
    refuses_service(&host, "the store is unavailable", "key-value")
}

/// Puts something of the wrong kind where the users should be: a directory for Spin's SQLite file,
/// a file for wasmCloud's directory. (Permissions would not stop root.)
fn no_store(under_test: &HostUnderTest, directory: &Path) -> Result<()> {
    match under_test.kind {
        HostKind::Spin => fs::create_dir_all(directory.join(".spin/sqlite_key_value.db"))?,
        HostKind::Wasmcloud => {
            fs::create_dir_all(directory.join(".wash/data"))?;
            fs::write(directory.join(".wash/data/default"), "")?;
        }
    }
    Ok(())
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
    for (method, target, body) in [
        ("GET", "/readyz", &b""[..]),
        ("GET", "/hello/Ada", b""),
        ("PUT", "/hello/Ada", PUT),
    ] {
        let answer = connection.exchange(method, target, &JSON, body)?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        ensure!(
            answer.status == 503 && text.contains(detail),
            "{method} {target} got {}: {text}",
            answer.status
        );
        ensure!(answer.header("retry-after") == Some("1"), "no retry-after");
        ensure!(
            answer.header("content-type") == Some("application/problem+json"),
            "no problem document"
        );
        let named = text.contains(&format!(r#""dependency":"{dependency}""#));
        ensure!(
            named == (target == "/readyz"),
            "{target} names the dependency wrongly: {text}"
        );
    }
    let alive = connection.exchange("GET", "/livez", &[], b"")?;
    ensure!(alive.status == 200, "livez got {}", alive.status);
    Ok(())
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
