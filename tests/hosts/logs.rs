//! What the service says of itself: its log, and a store of counters that fails.

use std::{
    collections::BTreeSet,
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    time::Duration,
};

use anyhow::{Result, bail, ensure};
use chrono::DateTime;
use harness::{
    host::{Setup, Store},
    postgres::Postgres,
};
use libtest_mimic::Trial;
use serde_json::Value;
use tempfile::TempDir;
use tools::HostKind;

use super::{HostUnderTest, JSON, PUT, expect, logs_of, no_store, until};

/// How long a line or a span may take to arrive.
const LAG: Duration = Duration::from_secs(10);

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN_ID: &str = "00f067aa0ba902b7";

pub fn trials(under_test: &HostUnderTest) -> Vec<Trial> {
    let mut trials = vec![
        under_test.trial("every request is one line of JSON", one_line_each),
        under_test.trial("a request id is echoed, or made", request_ids),
        under_test.trial("at the level error, only failures are logged", quiet),
        under_test.trial(
            "a store of counters that fails fails no request, and is logged",
            not_counted,
        ),
    ];
    if under_test.kind.is_spin() {
        trials.push(under_test.trial("Spin's own spans are in the trace of the log", joined));
    }
    trials
}

/// The lines of the service's log that have `message`, once there are `count` of them.
fn lines(directory: &Path, message: &str, count: usize) -> Result<Vec<Value>> {
    let read = || -> Result<Vec<Value>> {
        // Spin writes a component's output twice: this is what the host itself prints.
        let log = fs::read_to_string(directory.join("log"))?;
        Ok(log
            .lines()
            .filter_map(|line| line.find('{').map(|start| &line[start..]))
            .filter_map(|line| serde_json::from_str(line).ok())
            .filter(|line: &Value| line["message"] == message)
            .collect())
    };
    let what = format!("{count} lines of {message:?}");
    until(&what, LAG, || Ok(read()?.len() >= count))?;
    let lines = read()?;
    let found = lines.len();
    ensure!(found == count, "{found} lines and not {count}: {lines:?}");
    Ok(lines)
}

fn one_line_each(under_test: HostUnderTest) -> Result<()> {
    let (host, directory) = under_test.start(Store::Shipped)?;
    let before = lines_so_far(directory.path())?;
    let mut connection = host.connect()?;
    let traceparent = format!("00-{TRACE_ID}-{SPAN_ID}-01");
    let requests = [
        ("PUT", "/hello/Edsger", PUT, "/hello/{username}", 204),
        ("GET", "/hello/Edsger", b"", "/hello/{username}", 200),
        ("GET", "/hello/Nobody", b"", "/hello/{username}", 404),
        ("GET", "/hello/Signed/1990-06-20", b"", "_OTHER", 404),
        ("BREW", "/livez", b"", "/livez", 405),
        ("GET", "/readyz", b"", "/readyz", 200),
        ("GET", "/docs", b"", "/docs", 200),
    ];
    for (number, (method, target, body, ..)) in requests.iter().enumerate() {
        let id = format!("id-{number}");
        let headers = [
            JSON[0],
            ("x-request-id", &id),
            ("traceparent", &traceparent),
        ];
        connection.exchange(method, target, &headers, body)?;
    }
    let count = before + requests.len();
    let lines = lines(directory.path(), "request completed", count)?;
    for (number, (method, _, _, route, status)) in requests.iter().enumerate() {
        let id = format!("id-{number}");
        let of_request = lines.iter().filter(|line| line["request_id"] == id);
        let [line] = Vec::from_iter(of_request)[..] else {
            bail!("not one line for {id}");
        };
        let method = if *method == "BREW" { "_OTHER" } else { method };
        for (name, expected) in [
            ("level", "info"),
            ("method", method),
            ("route", route),
            ("trace_id", TRACE_ID),
            ("span_id", SPAN_ID),
            ("host", under_test.kind.family()),
            ("store", "key-value"),
        ] {
            ensure!(line[name] == expected, "{name} in {line}");
        }
        ensure!(line["status"] == *status, "status in {line}");
        let duration = line["duration_ms"].as_f64().unwrap_or(-1.0);
        ensure!((0.0..10_000.0).contains(&duration), "duration_ms in {line}");
        let timestamp = line["timestamp"].as_str().unwrap_or_default();
        let is_utc = DateTime::parse_from_rfc3339(timestamp).is_ok() && timestamp.ends_with('Z');
        ensure!(is_utc, "timestamp in {line}");
    }
    Ok(())
}

/// How many requests were answered until now: the one or more that found the host ready.
fn lines_so_far(directory: &Path) -> Result<usize> {
    let count = || -> Result<usize> {
        let log = fs::read_to_string(directory.join("log"))?;
        Ok(log.matches("\"request completed\"").count())
    };
    until("a line of a request", LAG, || Ok(count()? > 0))?;
    count()
}

fn request_ids(under_test: HostUnderTest) -> Result<()> {
    let (host, _directory) = under_test.start(Store::Shipped)?;
    let mut connection = host.connect()?;
    for (target, status) in [("/livez", 200), ("/nowhere", 404), ("/docs", 200)] {
        let answer = connection.exchange("GET", target, &[("x-request-id", "a.b-1")], b"")?;
        let got = (answer.status, answer.header("x-request-id"));
        ensure!(got == (status, Some("a.b-1")), "{target} got {got:?}");
    }
    let mut made = BTreeSet::new();
    for headers in [&[][..], &[("x-request-id", "a b")], &[("x-request-id", "")]] {
        for _ in 0..20 {
            let answer = connection.exchange("GET", "/livez", headers, b"")?;
            let id = answer.header("x-request-id").unwrap_or_default();
            let is_hex = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
            ensure!(is_hex, "it made {id:?}");
            made.insert(id.to_owned());
        }
    }
    ensure!(made.len() == 60, "it made one id twice");
    Ok(())
}

fn quiet(under_test: HostUnderTest) -> Result<()> {
    let directory = TempDir::new()?;
    // What should be a store is none, so that one request of the two fails.
    no_store(&under_test, directory.path())?;
    let host = under_test.start_with(Setup {
        settings: &[("log_level", "error")],
        ..Setup::shipped(directory.path(), None)
    })?;
    let mut connection = host.connect()?;
    for (target, status) in [("/livez", 200), ("/hello/Ada", 503), ("/nowhere", 404)] {
        expect(&mut connection, "GET", target, b"", status)?;
    }
    let line = &lines(directory.path(), "request completed", 1)?[0];
    let is_failure = line["level"] == "error" && line["status"] == 503;
    let cause = line["cause"].as_str().unwrap_or_default();
    let has_cause = cause.starts_with("the store is unavailable: ");
    ensure!(is_failure && has_cause, "it logs {line}");
    Ok(())
}

fn not_counted(under_test: HostUnderTest) -> Result<()> {
    let directory = TempDir::new()?;
    let data = directory.path();
    match under_test.kind {
        // A SQLite file that is a directory.
        HostKind::Spin | HostKind::SpinP3 => {
            fs::create_dir(data.join("broken"))?;
            let config = "[key_value_store.default]\ntype = \"spin\"\npath = \"users.db\"\n\
                          [key_value_store.metrics]\ntype = \"spin\"\npath = \"broken\"\n";
            fs::write(data.join("runtime-config.toml"), config)?;
        }
        // A directory that is a file.
        HostKind::Wasmcloud => {
            fs::create_dir_all(data.join(".wash/data"))?;
            fs::write(data.join(".wash/data/metrics"), "")?;
        }
        // Users and counters are in one NATS, so the users are in Postgres here.
        HostKind::WasmcloudP3 => no_store(&under_test, data)?,
    }
    let database = TempDir::new()?;
    let server = (under_test.kind == HostKind::WasmcloudP3)
        .then(|| Postgres::start(database.path()))
        .transpose()?;
    let address = server.as_ref().map(Postgres::service);
    let host = under_test.start_with(Setup {
        store: address.as_ref().map_or(Store::Shipped, Store::Postgres),
        settings: &[("metrics", "\"on\"")],
        ..Setup::shipped(data, None)
    })?;
    let mut connection = host.connect()?;
    for (method, target, body, status) in [
        ("PUT", "/hello/Edsger", PUT, 204),
        ("GET", "/hello/Edsger", b"", 200),
        ("GET", "/readyz", b"", 200),
        ("GET", "/metrics", b"", 503),
    ] {
        expect(&mut connection, method, target, body, status)?;
    }
    until("a warning", LAG, || {
        let log = logs_of(data)?;
        Ok(log.contains(r#""level":"warn","message":"failed to record metrics""#))
    })
}

fn joined(under_test: HostUnderTest) -> Result<()> {
    let receiver = TcpListener::bind(("127.0.0.1", 0))?;
    let endpoint = format!("http://{}", receiver.local_addr()?);
    let directory = TempDir::new()?;
    let host = under_test.start_with(Setup {
        telemetry: Some(&endpoint),
        ..Setup::shipped(directory.path(), None)
    })?;
    let traceparent = format!("00-{TRACE_ID}-{SPAN_ID}-01");
    let headers = [("traceparent", traceparent.as_str())];
    host.connect()?
        .exchange("GET", "/hello/Edsger", &headers, b"")?;
    // In protobuf, an id is its bytes as they are.
    let trace_id = u128::from_str_radix(TRACE_ID, 16)?.to_be_bytes();
    receiver.set_nonblocking(true)?;
    until("a span of the trace", LAG, || {
        Ok(receiver
            .accept()
            .and_then(|(stream, _)| exported(stream))
            .is_ok_and(|body| body.windows(trace_id.len()).any(|found| found == trace_id)))
    })
}

/// What an exporter sends with one request, and an answer that lets it go.
fn exported(mut stream: TcpStream) -> std::io::Result<Vec<u8>> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_millis(500)))?;
    let mut received = Vec::new();
    let mut chunk = [0; 4096];
    // Until it has sent all: then it waits for an answer.
    while let Ok(length) = stream.read(&mut chunk) {
        if length == 0 {
            break;
        }
        received.extend_from_slice(&chunk[..length]);
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")?;
    Ok(received)
}
