//! The load: wrk, with what it measures and what the service under it uses meanwhile.

use std::{
    fmt, fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use super::usage::{Usage, usage};
use harness::process::Process;

/// What wrk asks.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/load.lua");

/// How many users there are to GET.
pub const USERS: u32 = 2000;

/// The prefix of the users to GET.
pub const SEEDED: &str = "Seed";

/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// What every request of a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// A GET of a user that there is.
    Get,
    /// A PUT of a user that there is not.
    Put,
}

/// One run of wrk.
#[derive(Debug)]
pub struct Load {
    /// What it asks.
    pub method: Method,
    /// Keep-alive connections, with one request at a time on each.
    pub connections: u32,
    /// How long it lasts.
    pub seconds: u32,
    /// Another one for every run: no run saves the users of another.
    pub number: u32,
}

/// A server on this machine.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    /// Its port on the loopback address.
    pub port: u16,
    /// The process with which the tree of its processes begins.
    pub process: u32,
}

/// What one run came to.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// How many requests were answered.
    pub requests: u64,
    /// Requests a second.
    pub throughput: f64,
    /// The median latency, in milliseconds.
    pub p50: f64,
    /// The latency that 99 % do not exceed, in milliseconds.
    pub p99: f64,
    /// The most resident memory that was seen, in megabytes.
    pub memory: f64,
    /// The service's CPU time, in microseconds a request.
    pub processor: f64,
    /// The same with Postgres's.
    pub processor_with_database: f64,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Get => "GET",
            Self::Put => "PUT",
        })
    }
}

/// wrk's version.
///
/// # Errors
///
/// One sentence, if it is missing.
pub fn version() -> Result<String> {
    // It ends with status 1 after it has said its version.
    let output = Command::new(tools::find_or_fetch("wrk")?)
        .arg("--version")
        .stdin(Stdio::null())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text
        .split_whitespace()
        .take(2)
        .collect::<Vec<_>>()
        .join(" "))
}

/// The name of user `number`, the same as in load.lua.
pub fn username(prefix: &str, number: u32) -> String {
    let mut name = prefix.to_owned();
    let mut rest = number;
    loop {
        name.push(digit(b'a', rest));
        rest /= 26;
        if rest == 0 {
            return name;
        }
    }
}

/// A name's capitals say which run made it, so that its small letters can count.
fn prefix(number: u32) -> String {
    let digits = [number / 676, number / 26, number];
    digits.map(|rest| digit(b'A', rest)).iter().collect()
}

fn digit(zero: u8, number: u32) -> char {
    let digit = u8::try_from(number % 26).unwrap_or_else(|_| unreachable!("it is below 26"));
    char::from(zero + digit)
}

impl Load {
    /// Puts the load on `service`, whose database may be another process, and writes wrk's
    /// output to the file `log`.
    ///
    /// # Errors
    ///
    /// One sentence, if any request got no answer or another one than 2xx.
    pub fn run(&self, service: Service, database: Option<u32>, log: &Path) -> Result<Sample> {
        let prefix = match self.method {
            Method::Get => SEEDED.to_owned(),
            Method::Put => prefix(self.number),
        };
        let mut command = Command::new(tools::find_or_fetch("wrk")?);
        command
            .args(["--threads", "1"])
            .args(["--connections", &self.connections.to_string()])
            .args(["--duration", &format!("{}s", self.seconds)])
            .args(["--timeout", "10s", "--latency", "--script", SCRIPT])
            .arg(format!("http://127.0.0.1:{}", service.port))
            .args(["--", &self.method.to_string().to_lowercase(), &prefix])
            .arg(USERS.to_string());
        fs::write(log, "")?;
        let database = || database.map(usage).transpose();
        let before = (usage(service.process)?, database()?);
        let mut wrk = Process::start(&mut command, Some(log))?;
        let mut memory = 0;
        let status = loop {
            thread::sleep(LOOK);
            if let Some(status) = wrk.try_wait()? {
                break status;
            }
            memory = memory.max(usage(service.process)?.memory);
        };
        let after = (usage(service.process)?, database()?);
        let output = fs::read_to_string(log)?;
        let last = output.lines().last().unwrap_or_default();
        ensure!(status.success(), "wrk failed: {last}");
        let counts = counts(&output).with_context(|| format!("wrk said: {last}"))?;
        let [requests, duration, p50, p99, refused, lost] = counts;
        ensure!(
            refused == 0 && lost == 0 && requests > 0,
            "{refused} of {requests} requests were refused and {lost} failed: \
             results of a service that fails say nothing"
        );
        // Neither comes near the 52 bits from which on this would round.
        #[allow(clippy::cast_precision_loss, reason = "see above")]
        let number = |count: u64| count as f64;
        let each = |before: Usage, after: Usage| {
            let spent = after.processor.saturating_sub(before.processor);
            spent.as_secs_f64() * 1e6 / number(requests)
        };
        let processor = each(before.0, after.0);
        Ok(Sample {
            requests,
            throughput: number(requests) / number(duration) * 1e6,
            p50: number(p50) / 1e3,
            p99: number(p99) / 1e3,
            memory: number(memory) / 1e6,
            processor,
            processor_with_database: processor
                + before
                    .1
                    .zip(after.1)
                    .map_or(0.0, |(before, after)| each(before, after)),
        })
    }
}

/// The numbers that load.lua prints.
fn counts(output: &str) -> Option<[u64; 6]> {
    let line = output
        .lines()
        .find_map(|line| line.strip_prefix("load: "))?;
    let numbers: Vec<u64> = line
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()
        .ok()?;
    numbers.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_have_names_of_letters_and_no_two_the_same() {
        assert_eq!(username("Seed", 0), "Seeda");
        assert_eq!(username("Seed", 25), "Seedz");
        assert_eq!(username("Seed", 26), "Seedab");
        assert_eq!((prefix(0), prefix(27)), ("AAA".into(), "ABB".into()));
    }

    #[test]
    fn reads_what_the_script_prints() {
        let output = "Running 1s test\nload: 5 1000000 300 900 0 1\n";
        assert_eq!(counts(output), Some([5, 1_000_000, 300, 900, 0, 1]));
        assert_eq!(counts("load: 5"), None);
    }
}
