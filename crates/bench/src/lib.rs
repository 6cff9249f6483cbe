//! `cargo xtask bench`: measures a host that is serving, or hello beside its baseline or its past.

mod against;
mod baseline;
mod compare;
pub mod cutover;
mod load;
mod report;
mod usage;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use harness::client::Connection;

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
    /// hello beside a FastAPI baseline: throughput, latency, memory, CPU time, sizes
    Compare(compare::Options),
    /// This tree beside an earlier revision of it: throughput and latency of GET
    Against(against::Options),
}

impl Bench {
    /// Measures, and prints what it measured.
    ///
    /// # Errors
    ///
    /// If something is missing, or a service does not answer as it should.
    pub fn run(&self) -> Result<()> {
        match self {
            Self::Latency { port, requests } => latency(*port, *requests),
            Self::Compare(options) => compare::compare(options),
            Self::Against(options) => against::against(options),
        }
    }
}

fn latency(port: u16, requests: u32) -> Result<()> {
    let mut connection = Connection::open(port).with_context(|| {
        format!("nothing serves on port {port} of 127.0.0.1: run `cargo xtask up` beside this")
    })?;
    let json = [("content-type", "application/json")];
    let put = connection.exchange(
        "PUT",
        "/hello/BenchLatency",
        &json,
        br#"{"dateOfBirth":"1990-06-20"}"#,
    )?;
    ensure!(put.status == 204, "PUT was answered with {}", put.status);
    // The first requests find cold caches: they are made, and not measured.
    for _ in 0..20 {
        connection.exchange("GET", "/hello/BenchLatency", &[], b"")?;
    }
    let mut times = Vec::new();
    for _ in 0..requests {
        let started = Instant::now();
        let get = connection.exchange("GET", "/hello/BenchLatency", &[], b"")?;
        times.push(started.elapsed());
        ensure!(get.status == 200, "GET was answered with {}", get.status);
    }
    times.sort_unstable();
    let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
    let (p50, p99) = (percentile(&times, 50), percentile(&times, 99));
    println!("{requests} GETs, one after another, over one keep-alive connection");
    for (name, time) in [
        ("p50", p50),
        ("p90", percentile(&times, 90)),
        ("p99", p99),
        ("max", percentile(&times, 100)),
    ] {
        println!("{name}  {:8.3} ms", milliseconds(time));
    }
    println!("p99 / p50  {:.2}", milliseconds(p99) / milliseconds(p50));
    let stalled = times.iter().filter(|time| **time > STALL).count();
    println!("over {} ms  {stalled}", STALL.as_millis());
    Ok(())
}

/// The smallest time that `percent` of the sorted `times` do not exceed (nearest rank).
fn percentile(times: &[Duration], percent: usize) -> Duration {
    let rank = (times.len() * percent).div_ceil(100);
    times[rank.max(1) - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let times: Vec<_> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&times, 50), Duration::from_millis(100));
        assert_eq!(percentile(&times, 99), Duration::from_millis(198));
        assert_eq!(percentile(&times, 100), Duration::from_millis(200));
        assert_eq!(percentile(&times[..1], 50), Duration::from_millis(1));
    }
}
