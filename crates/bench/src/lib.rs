//! `cargo xtask bench` and `rehearse-swap`: measures a host that is serving, hello beside its baselines
//! or its past, and a cutover.
//!
//! | module | what it measures |
//! | --- | --- |
//! | here | the latency of a host that is serving |
//! | `compare` | hello beside each `baseline`; `plot` draws its charts |
//! | `against` | this tree beside an earlier revision of it |
//! | `footprint` | what an application takes of a node, and each further one |
//! | `load`, `usage`, `report` | what both do: services on this machine, loaded by wrk in turn; what they use meanwhile; tables |
//! | [`cutover`] | a swap of two versions while requests come |
//!
//! An error is one sentence: what is missing, or which service does not answer as it should.

mod against;
mod baseline;
mod compare;
pub mod cutover;
mod footprint;
mod load;
mod plot;
mod report;
mod stats;
mod usage;

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use harness::{
    client::Connection,
    host::{Host, Setup, Store},
};
use stats::percentile;
use tools::HostKind;

/// An answer that took this long was held back by Nagle's algorithm and a delayed ACK.
const STALL: Duration = Duration::from_millis(30);

/// What can be measured.
#[derive(clap::Subcommand)]
pub enum Bench {
    /// GETs one after another over one keep-alive connection
    Latency {
        /// The port of 127.0.0.1 that the service is on
        #[arg(long, default_value_t = 3000)]
        port: u16,
        /// How many GETs
        #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        requests: u32,
    },
    /// hello beside its baselines, FastAPI and a native program: throughput, latency, memory, CPU time, sizes
    Compare(compare::Options),
    /// What hello and its baselines take of a node: bytes, the time until they serve, memory; and each further one
    Footprint(footprint::Options),
    /// This tree beside an earlier revision of it: throughput and latency of GET
    Against(against::Options),
}

impl Bench {
    /// Measures, and prints what it measured.
    pub fn run(&self) -> Result<()> {
        match self {
            Self::Latency { port, requests } => latency(*port, *requests),
            Self::Compare(options) => compare::run(options),
            Self::Footprint(options) => footprint::run(options),
            Self::Against(options) => against::run(options),
        }
    }
}

fn latency(port: u16, requests: u32) -> Result<()> {
    let mut connection = Connection::open(port).with_context(|| {
        format!("nothing serves on port {port} of 127.0.0.1: run `cargo xtask up` beside this")
    })?;
    put(&mut connection, "BenchLatency", "1990-06-20")?;
    // The first requests find cold caches: they are made, and not measured.
    for _ in 0..20 {
        get(&mut connection, "BenchLatency")?;
    }
    let mut times = Vec::new();
    for _ in 0..requests {
        let started = Instant::now();
        get(&mut connection, "BenchLatency")?;
        times.push(started.elapsed());
    }
    times.sort_unstable();
    let milliseconds = |percent| percentile(&times, percent).as_secs_f64() * 1000.0;
    println!("{requests} GETs, one after another, over one keep-alive connection");
    for (name, percent) in [("p50", 50), ("p90", 90), ("p99", 99), ("max", 100)] {
        println!("{name}  {:8.3} ms", milliseconds(percent));
    }
    println!("p99 / p50  {:.2}", milliseconds(99) / milliseconds(50));
    let stalled = times.iter().filter(|time| **time > STALL).count();
    println!("over {} ms  {stalled}", STALL.as_millis());
    Ok(())
}

/// Saves the date of birth of a user.
fn put(connection: &mut Connection, user: &str, date: &str) -> Result<()> {
    let body = format!(r#"{{"dateOfBirth":"{date}"}}"#);
    exchange(connection, "PUT", user, body.as_bytes(), 204).map(drop)
}

/// Asks for the greeting of a user that there is, and returns it with its JSON.
fn get(connection: &mut Connection, user: &str) -> Result<Vec<u8>> {
    exchange(connection, "GET", user, b"", 200)
}

fn exchange(
    connection: &mut Connection,
    method: &str,
    user: &str,
    body: &[u8],
    status: u16,
) -> Result<Vec<u8>> {
    // hello takes a body without it as JSON too; the baseline does not.
    let json = [("content-type", "application/json")];
    let answer = connection.exchange(method, &format!("/hello/{user}"), &json, body)?;
    let is = answer.status;
    ensure!(
        is == status,
        "{method} was answered with {is}, not {status}"
    );
    Ok(answer.body)
}

/// Starts a host with a component, its store and its log in `data`; with that of `earlier`, the tree
/// of another revision, as that one is configured.
fn start(
    kind: HostKind,
    program: &Path,
    artifact: &Path,
    port: u16,
    store: Store,
    data: &Path,
    earlier: Option<&Path>,
) -> Result<Host> {
    fs::create_dir_all(data)?;
    let log = data.join("log");
    let setup = Setup {
        store,
        earlier,
        ..Setup::shipped(data, Some(&log))
    };
    Host::start_artifact(kind, program, artifact, port, setup)
}
