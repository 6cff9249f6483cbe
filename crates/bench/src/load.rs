//! The load: wrk, with what it measures and what the service under it uses meanwhile.

use std::{
    env, fmt, fs,
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use harness::{client::Connection, host::Host, process::Process};

use crate::{
    get, put,
    usage::{Usage, usage},
};

/// What wrk asks.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/load.lua");

/// How many users there are to GET.
pub const USERS: u32 = 2000;

/// The prefix of the users to GET.
const SEEDED: &str = "Seed";

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

/// A run of wrk.
#[derive(Debug)]
pub struct Load<'a> {
    /// What it asks.
    pub method: Method,
    /// Keep-alive connections, with one request at a time on each.
    pub connections: u32,
    /// How long it lasts.
    pub seconds: u32,
    /// The process of the services' database, if they have one.
    pub database: Option<u32>,
    /// The file that takes wrk's output.
    pub log: &'a Path,
}

/// A server on this machine.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    /// What the tables call it.
    pub name: &'static str,
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
    pub cpu_time: f64,
    /// The same with Postgres's.
    pub cpu_time_with_database: f64,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Get => "GET",
            Self::Put => "PUT",
        })
    }
}

/// wrk's version. Refuses an environment in which no measurement is worth much.
pub fn prepare() -> Result<String> {
    // Spin makes and drops errors while it serves, and with this each collects a backtrace.
    ensure!(
        env::var_os("RUST_BACKTRACE").is_none(),
        "RUST_BACKTRACE is set and makes the hosts slower: take it out of the environment"
    );
    // It ends with status 1 after it has said its version.
    let output = Command::new(tools::find_or_fetch("wrk")?)
        .arg("--version")
        .stdin(Stdio::null())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let words: Vec<&str> = text.split_whitespace().take(2).collect();
    Ok(words.join(" "))
}

/// The name of user `number`, the same as in load.lua.
fn username(prefix: &str, number: u32) -> String {
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

impl Service {
    /// A host, under the name that tables call it by.
    pub fn of(name: &'static str, host: &Host) -> Self {
        Self {
            name,
            port: host.port,
            process: host.id(),
        }
    }

    /// Saves the users to GET, and sees that they can be.
    pub fn seed(&self) -> Result<()> {
        let mut connection = Connection::open(self.port)?;
        for number in 0..USERS {
            let (year, month, day) = (1900 + number % 120, 1 + number % 12, 1 + number % 28);
            let user = username(SEEDED, number);
            put(
                &mut connection,
                &user,
                &format!("{year}-{month:02}-{day:02}"),
            )
            .and_then(|()| get(&mut connection, &user))
            .context(self.name)?;
        }
        Ok(())
    }
}

impl Load<'_> {
    /// Puts the load on each service `rounds` times, and gives the samples of each, one a round.
    /// Each round begins with another service.
    pub fn in_turn(&self, services: &[Service], rounds: u32) -> Result<Vec<Vec<Sample>>> {
        let (method, connections) = (self.method, self.connections);
        let mut samples = vec![Vec::new(); services.len()];
        for round in 0..rounds as usize {
            for turn in 0..services.len() {
                let which = (round + turn) % services.len();
                let name = services[which].name;
                let sample = self
                    .run(services[which])
                    .with_context(|| format!("{name}, {method} over {connections} connections"))?;
                eprintln!(
                    "{method}, {connections:>2} connections, round {}: {name:<18}{:>7.0}/s  \
                     p50 {:.2} ms  p99 {:.2} ms",
                    round + 1,
                    sample.throughput,
                    sample.p50,
                    sample.p99
                );
                samples[which].push(sample);
            }
        }
        Ok(samples)
    }

    /// Puts the load on `service`, and fails if any request got no answer or another one than 2xx.
    fn run(&self, service: Service) -> Result<Sample> {
        // Another one for every run: no run saves the users of another.
        static RUNS: AtomicU32 = AtomicU32::new(0);
        let prefix = match self.method {
            Method::Get => SEEDED.to_owned(),
            Method::Put => prefix(RUNS.fetch_add(1, Ordering::Relaxed)),
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
        fs::write(self.log, "")?;
        let both = || -> Result<(Usage, Usage)> {
            let database = self.database.map(usage).transpose()?;
            Ok((usage(service.process)?, database.unwrap_or_default()))
        };
        let before = both()?;
        let mut wrk = Process::start(&mut command, Some(self.log))?;
        let mut memory = 0;
        let status = loop {
            thread::sleep(LOOK);
            if let Some(status) = wrk.try_wait()? {
                break status;
            }
            memory = memory.max(usage(service.process)?.memory);
        };
        let after = both()?;
        let output = fs::read_to_string(self.log)?;
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
            let spent = after.cpu_time.saturating_sub(before.cpu_time);
            spent.as_secs_f64() * 1e6 / number(requests)
        };
        let cpu_time = each(before.0, after.0);
        Ok(Sample {
            requests,
            throughput: number(requests) / number(duration) * 1e6,
            p50: number(p50) / 1e3,
            p99: number(p99) / 1e3,
            memory: number(memory) / 1e6,
            cpu_time,
            cpu_time_with_database: cpu_time + each(before.1, after.1),
        })
    }
}

/// The numbers that load.lua prints.
fn counts(output: &str) -> Option<[u64; 6]> {
    let mut lines = output.lines();
    let line = lines.find_map(|line| line.strip_prefix("load: "))?;
    let numbers = line.split_whitespace().map(|word| word.parse().ok());
    numbers.collect::<Option<Vec<u64>>>()?.try_into().ok()
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
