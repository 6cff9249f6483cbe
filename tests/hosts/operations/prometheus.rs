//! /metrics before promtool, and before a real Prometheus that scrapes it.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use harness::{client::Connection, host::free_port, process::Process};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tempfile::TempDir;
use tools::find_or_fetch;

use super::{HostUnderTest, counting};
use crate::{PUT, expect, run_to_end, until};

/// How long Prometheus may take for each thing that is asked of it.
const PROBE_TIMEOUT: Duration = Duration::from_secs(60);

/// What the queries look at.
const WINDOW: Duration = Duration::from_secs(10);

/// The client's pace.
const PAUSE: Duration = Duration::from_millis(20);

/// The bounds of the histogram's buckets.
const BOUNDS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

const RATE: &str = r#"sum(rate(http_requests_total{route="/hello/{username}"}[10s]))"#;
const P99: &str = "histogram_quantile(0.99, \
                   sum by (le, route) (rate(http_request_duration_seconds_bucket[10s])))";

pub fn promtool(port: u16) -> Result<()> {
    // So that there is something of every kind.
    for (method, target) in [("GET", "/hello/Nobody"), ("BREW", "/nowhere")] {
        Connection::open(port)?.exchange(method, target, &[], b"")?;
    }
    let answer = expect(&mut Connection::open(port)?, "GET", "/metrics", b"", 200)?;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    for name in [
        "http_requests_total{",
        "http_request_duration_seconds_bucket{",
        "hello_build_info{",
    ] {
        ensure!(text.contains(name), "no {name} in: {text}");
    }
    let directory = TempDir::new()?;
    let file = directory.path().join("metrics");
    fs::write(&file, answer.body)?;
    let promtool = find_or_fetch("promtool")?;
    let (passes, printed) = run_to_end(
        Command::new(promtool)
            .args(["check", "metrics"])
            .stdin(File::open(file)?),
    )?;
    ensure!(passes && printed.is_empty(), "{printed}");
    Ok(())
}

/// A Prometheus that scrapes one target.
struct Prometheus {
    port: u16,
    _process: Process,
    directory: TempDir,
}

impl Prometheus {
    fn start(target: u16) -> Result<Self> {
        let program = find_or_fetch("prometheus")?;
        let directory = TempDir::new()?;
        let config = format!(
            "global: {{scrape_interval: 1s}}\n\
             scrape_configs:\n\
             - job_name: hello\n  \
               static_configs: [{{targets: ['127.0.0.1:{target}']}}]\n"
        );
        fs::write(directory.path().join("prometheus.yml"), config)?;
        let port = free_port()?;
        let process = Process::start(
            Command::new(program)
                .arg("--config.file=prometheus.yml")
                .arg(format!("--web.listen-address=127.0.0.1:{port}"))
                .arg("--storage.tsdb.path=data")
                .arg("--log.level=warn")
                .current_dir(directory.path()),
            Some(&directory.path().join("log")),
        )?;
        Ok(Self {
            port,
            _process: process,
            directory,
        })
    }

    /// What the HTTP API answers, if it answers.
    fn get(&self, path: &str) -> Option<Value> {
        let mut connection = Connection::open(self.port).ok()?;
        let answer = expect(&mut connection, "GET", path, b"", 200).ok()?;
        let answer: Value = serde_json::from_slice(&answer.body).ok()?;
        Some(answer["data"].clone())
    }

    /// The instant vector that `query` gives: the value of its label `route`, and its number.
    fn query(&self, query: &str) -> BTreeMap<String, f64> {
        let query = utf8_percent_encode(query, NON_ALPHANUMERIC);
        let data = self.get(&format!("/api/v1/query?query={query}"));
        let data = data.unwrap_or_default();
        let read = |sample: &Value| {
            let route = sample["metric"]["route"].as_str().unwrap_or_default();
            let number = sample["value"][1].as_str()?.parse().ok()?;
            Some((route.to_owned(), number))
        };
        let samples = data["result"].as_array().into_iter().flatten();
        samples.filter_map(read).collect()
    }

    /// Looks until `look` gives `Ok`, and else fails with the last reason that it gave.
    fn wait(&self, what: &str, look: impl Fn() -> Result<()>) -> Result<()> {
        let waited = until(what, PROBE_TIMEOUT, || Ok(look().is_ok()));
        waited.with_context(|| {
            let log = fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
            format!("{:?}\n{log}", look())
        })
    }
}

/// What a client saw: when /hello had answered its requests, and the longest wait for any answer.
#[derive(Debug, Default)]
struct Seen {
    answers: Vec<Instant>,
    longest: Duration,
}

impl Seen {
    /// Answers a second, in the window that the queries look at, if it ends at `end`.
    fn rate(&self, end: Instant) -> f64 {
        let window = end - WINDOW..end;
        let within = |answer: &&Instant| window.contains(*answer);
        let answers = self.answers.iter().filter(within).count();
        f64::from(u32::try_from(answers).expect("few")) / WINDOW.as_secs_f64()
    }
}

/// Sends at an even pace until `done`, and with it to other routes.
fn load(port: u16, done: &AtomicBool) -> std::io::Result<Seen> {
    let mut seen = Seen::default();
    let mut connection = Connection::open(port)?;
    connection.exchange("PUT", "/hello/Scraped", &crate::JSON, PUT)?;
    while !done.load(Ordering::Relaxed) {
        let started = Instant::now();
        for target in ["/hello/Scraped", "/livez", "/nowhere"] {
            let asked = Instant::now();
            connection.exchange("GET", target, &[], b"")?;
            seen.longest = seen.longest.max(asked.elapsed());
            if target == "/hello/Scraped" {
                seen.answers.push(Instant::now());
            }
        }
        thread::sleep(PAUSE.saturating_sub(started.elapsed()));
    }
    Ok(seen)
}

pub fn answers(under_test: HostUnderTest) -> Result<()> {
    let (port, _host) = counting(&under_test)?;
    let prometheus = Prometheus::start(port)?;
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let load = scope.spawn(|| load(port, &done));
        let answers = ask(&prometheus, port);
        done.store(true, Ordering::Relaxed);
        let seen = load.join().expect("the client does not panic")?;
        plausible(&seen, &answers?)
    })
}

/// What Prometheus answered: the rate, the p99 of each route, and when.
struct Answers {
    rate: f64,
    p99: BTreeMap<String, f64>,
    at: Instant,
}

/// Asks, once there is a window to tell from.
fn ask(prometheus: &Prometheus, port: u16) -> Result<Answers> {
    prometheus.wait("a scrape", || {
        let targets = prometheus.get("/api/v1/targets").unwrap_or_default();
        let target = &targets["activeTargets"][0];
        let is_up = target["health"] == "up";
        let is_ours = target["labels"]["instance"] == format!("127.0.0.1:{port}");
        ensure!(is_up && is_ours, "not scraped: {targets}");
        Ok(())
    })?;
    let scrapes =
        r#"count_over_time(http_requests_total{route="/hello/{username}",method="GET"}[20s])"#;
    prometheus.wait("12 scrapes", || {
        let scrapes = prometheus.query(scrapes).into_values().next();
        let are_enough = scrapes.is_some_and(|scrapes| scrapes >= 12.0);
        ensure!(are_enough, "{scrapes:?} scrapes show the load");
        Ok(())
    })?;
    let at = Instant::now();
    let rate = prometheus.query(RATE).into_values().next();
    Ok(Answers {
        rate: rate.context("Prometheus has no rate")?,
        p99: prometheus.query(P99),
        at,
    })
}

fn plausible(seen: &Seen, answers: &Answers) -> Result<()> {
    let Answers { rate, p99, at } = answers;
    let sent = seen.rate(*at);
    ensure!(
        sent > 0.0 && (rate / sent - 1.0).abs() < 0.25,
        "the rate is {rate}, and the client's was {sent}"
    );
    // No request took the service longer than its client, so the p99 is in no higher bucket than
    // the longest of the client's. A p99 beyond all buckets would be the last bound, 10.
    let longest = seen.longest.as_secs_f64();
    let bound = BOUNDS.into_iter().find(|bound| *bound >= longest);
    let bound = bound.with_context(|| format!("an answer took {longest} s"))?;
    for route in ["/hello/{username}", "/livez", "_OTHER"] {
        let p99 = p99.get(route).copied().unwrap_or(f64::NAN);
        ensure!(
            p99 > 0.0 && p99 <= bound,
            "the p99 of {route} is {p99} s, and the client's longest was {longest} s"
        );
    }
    eprintln!("Prometheus: {rate:.1} requests/s of {sent:.1}, p99 {p99:?}");
    Ok(())
}
