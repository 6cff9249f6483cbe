//! An open load, by vegeta: requests come when they are due, whether or not those before are answered.

use std::{
    collections::BTreeMap, fmt::Write as _, fs, path::PathBuf, process::Command, time::Duration,
};

use anyhow::{Context, Result, ensure};
use harness::{client::Connection, process::Process};
use serde_json::Value;
use tools::run::read;

use crate::ledger::name;

/// How many users are asked for: none of the ledger's.
const USERS: usize = 200;

/// After how long a client gives up, as the route in front of the service does.
const TIMEOUT: &str = "5s";

/// How many connections a gateway may open to one host.
const CONNECTIONS: &str = "1000";

/// How many requests may wait at a time: where more are due, they are not sent.
const WAITING: &str = "5000";

/// A load on a host: one PUT for two GETs.
#[derive(Debug)]
pub struct Vegeta {
    directory: PathBuf,
}

/// What came of a load.
#[derive(Debug)]
pub struct Answers {
    /// Requests a second that were sent.
    pub sent: f64,
    /// For each status, requests a second; 0 is none within [`TIMEOUT`].
    pub statuses: BTreeMap<u16, f64>,
    /// The median latency, and that which 99 % do not exceed.
    pub latencies: [Duration; 2],
}

impl Vegeta {
    /// Saves the users, in the host on `port`, and writes what is to be sent into `directory`.
    pub fn prepare(directory: PathBuf, port: u16) -> Result<Self> {
        fs::create_dir_all(&directory)?;
        let body = directory.join("body");
        fs::write(&body, r#"{"dateOfBirth":"1990-06-20"}"#)?;
        let mut connection = Connection::open(port)?;
        let mut targets = String::new();
        for user in 0..USERS {
            let target = format!("/hello/Vegeta{}", name(user));
            let saved = connection.exchange("PUT", &target, &[], &fs::read(&body)?)?;
            ensure!(saved.status == 204, "PUT is answered with {}", saved.status);
            let url = format!("http://127.0.0.1:{port}{target}");
            write!(
                targets,
                "GET {url}\n\nGET {url}\n\nPUT {url}\ncontent-type: application/json\n@{}\n\n",
                body.display()
            )?;
        }
        fs::write(directory.join("targets"), targets)?;
        Ok(Self { directory })
    }

    /// Sends as many as are answered, over 64 connections: the capacity, in requests a second.
    pub fn capacity(&self, seconds: u64) -> Result<f64> {
        let answers = self.attack(&["-rate", "0", "-max-workers", "64"], seconds)?;
        let good = answers.good();
        ensure!(
            good > 0.0,
            "no request of the load was answered: {answers:?}"
        );
        Ok(good)
    }

    /// Sends `rate` requests a second.
    pub fn offer(&self, rate: f64, seconds: u64) -> Result<Answers> {
        let rate = format!("{rate:.0}");
        self.attack(&["-rate", &rate, "-max-workers", WAITING], seconds)
    }

    fn attack(&self, how: &[&str], seconds: u64) -> Result<Answers> {
        let vegeta = tools::find_or_fetch("vegeta")?;
        let (log, results) = (self.directory.join("log"), self.directory.join("results"));
        let mut command = Command::new(&vegeta);
        command
            .args([
                "attack",
                "-duration",
                &format!("{seconds}s"),
                "-timeout",
                TIMEOUT,
            ])
            .args(["-max-connections", CONNECTIONS, "-max-body", "0"])
            .args(how)
            .arg("-targets")
            .arg(self.directory.join("targets"))
            .arg("-output")
            .arg(&results);
        let status = Process::start(&mut command, Some(&log))?.wait()?;
        ensure!(
            status.success(),
            "vegeta failed: {}",
            fs::read_to_string(&log)?
        );
        let report = read(
            "sum up vegeta's results",
            Command::new(&vegeta)
                .args(["report", "-type=json"])
                .arg(&results),
        )?;
        fs::remove_file(results)?;
        Answers::parse(&report).with_context(|| format!("vegeta reports {report}"))
    }
}

impl Answers {
    /// Requests a second that were answered with 2xx.
    pub fn good(&self) -> f64 {
        let statuses = self.statuses.iter();
        statuses
            .filter(|(status, _)| (200..300).contains(*status))
            .map(|(_, rate)| rate)
            .sum()
    }

    fn parse(report: &str) -> Option<Self> {
        let report: Value = serde_json::from_str(report).ok()?;
        let nanoseconds = |value: &Value| Some(Duration::from_nanos(value.as_u64()?));
        // Until the last was sent.
        let seconds = nanoseconds(&report["duration"])?.as_secs_f64().max(0.001);
        let statuses = report["status_codes"].as_object()?.iter();
        Some(Self {
            sent: report["requests"].as_f64()? / seconds,
            statuses: statuses
                .map(|(status, count)| Some((status.parse().ok()?, count.as_f64()? / seconds)))
                .collect::<Option<_>>()?,
            latencies: [
                nanoseconds(&report["latencies"]["50th"])?,
                nanoseconds(&report["latencies"]["99th"])?,
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_vegeta_reports() {
        let report = r#"{"latencies":{"50th":2000000,"99th":90000000},"duration":2000000000,
            "requests":400,"status_codes":{"0":100,"200":200,"204":60,"503":40}}"#;
        let answers = Answers::parse(report).expect("a report");
        assert_eq!(answers.latencies, [2, 90].map(Duration::from_millis));
        let expected = BTreeMap::from([(0, 50.0), (200, 100.0), (204, 30.0), (503, 20.0)]);
        assert_eq!(answers.statuses, expected);
        assert!((answers.sent - 200.0).abs() < 0.1 && (answers.good() - 130.0).abs() < 0.1);
        assert!(Answers::parse("{}").is_none());
    }
}
