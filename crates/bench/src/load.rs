//! The load: wrk, with what it measures and what the service under it uses meanwhile.

use std::{
    collections::BTreeMap,
    env, fmt, fs,
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use harness::{client::Connection, host::Host, process::Process};
use tools::{HostKind, run::announce};

use crate::{
    STALL, get, put,
    report::Cell,
    stats::Histogram,
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

/// How much is measured.
#[derive(Debug, clap::Args)]
pub struct Measurement {
    /// The host that hello runs on: Spin where it can be had, else wasmCloud
    #[arg(long)]
    pub host: Option<HostKind>,
    /// How often each service is measured under each load
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// How long each run lasts
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Keep-alive connections, with one request at a time on each
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8, 32, 64],
          value_parser = clap::value_parser!(u32).range(1..=512))]
    connections: Vec<u32>,
}

/// A run of wrk.
struct Load<'a> {
    method: Method,
    connections: u32,
    seconds: u32,
    /// The process of the services' database, if they have one.
    database: Option<u32>,
    /// The file that takes wrk's output.
    log: &'a Path,
}

/// A server on this machine. Dropping it ends it.
#[derive(Debug)]
pub struct Service {
    /// What the tables call it.
    pub name: String,
    /// Whether its users are in the measurement's Postgres.
    pub is_in_postgres: bool,
    /// Whether it only makes the calls of the service before it, and greets in no words of its own.
    pub is_floor: bool,
    /// Its port on the loopback address.
    pub port: u16,
    /// What runs it.
    pub server: Server,
}

/// What runs a service.
#[derive(Debug)]
pub enum Server {
    /// A WebAssembly host.
    Host(Host),
    /// A program that needs none.
    Process(Process),
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
    /// The latency that 90 % do not exceed, in milliseconds.
    pub p90: f64,
    /// The latency that 99 % do not exceed, in milliseconds.
    pub p99: f64,
    /// How many of a hundred latencies exceed [`STALL`].
    pub stalled: f64,
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
fn username(prefix: &str, mut number: u32) -> String {
    let mut name = prefix.to_owned();
    loop {
        name.push(char::from(
            b"abcdefghijklmnopqrstuvwxyz"[number as usize % 26],
        ));
        number /= 26;
        if number == 0 {
            return name;
        }
    }
}

/// What the users of a run of PUTs are called before their number: no run saves those of another.
fn prefix(run: u32) -> String {
    username("Run", run) + "User"
}

impl Service {
    /// What serves on `port`, under the name that tables call it by.
    pub fn of(name: String, is_in_postgres: bool, port: u16, server: Server) -> Self {
        Self {
            name,
            is_in_postgres,
            is_floor: false,
            port,
            server,
        }
    }

    /// The process with which the tree of its processes begins.
    pub fn process(&self) -> u32 {
        self.server.id()
    }

    /// Saves the users to GET, and returns their greetings.
    fn seed(&self) -> Result<Vec<Vec<u8>>> {
        let mut connection = Connection::open(self.port)?;
        let mut greeting = |number| {
            let (year, month, day) = (1900 + number % 120, 1 + number % 12, 1 + number % 28);
            let user = username(SEEDED, number);
            put(
                &mut connection,
                &user,
                &format!("{year}-{month:02}-{day:02}"),
            )?;
            get(&mut connection, &user)
        };
        (0..USERS).map(&mut greeting).collect()
    }
}

impl Server {
    /// The number of its process.
    pub fn id(&self) -> u32 {
        match self {
            Self::Host(host) => host.id(),
            Self::Process(process) => process.id(),
        }
    }

    /// When its process was started.
    pub fn started(&self) -> Instant {
        match self {
            Self::Host(host) => host.started(),
            Self::Process(process) => process.started(),
        }
    }
}

/// Saves the users to GET in each service, and sees that they greet in the same words.
pub fn seed(services: &[Service]) -> Result<()> {
    announce("saving the users to GET");
    let mut first = None;
    for service in services {
        let greetings = service.seed().with_context(|| service.name.clone())?;
        ensure!(
            service.is_floor || *first.get_or_insert_with(|| greetings.clone()) == greetings,
            "{} greets in other words than {}",
            service.name,
            services[0].name
        );
    }
    Ok(())
}

impl fmt::Display for Measurement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rounds of {} s", self.rounds, self.seconds)
    }
}

impl Measurement {
    /// Puts each load on each service in turn. Each round begins with another service.
    pub fn measure(
        &self,
        methods: &[Method],
        services: &[Service],
        database: Option<u32>,
        log: &Path,
    ) -> Result<Vec<Cell>> {
        let load = |method, connections, seconds| Load {
            method,
            connections,
            seconds,
            database,
            log,
        };
        announce("warming up");
        let most = self.connections.iter().copied().max().unwrap_or(1);
        for &method in methods {
            for service in services {
                load(method, most, 1).run(service)?;
            }
        }
        let mut cells = Vec::new();
        for &method in methods {
            for &connections in &self.connections {
                let load = load(method, connections, self.seconds);
                let mut samples = vec![Vec::new(); services.len()];
                for round in 0..self.rounds as usize {
                    for turn in 0..services.len() {
                        let which = (round + turn) % services.len();
                        samples[which].push(load.run(&services[which])?);
                    }
                }
                cells.push(Cell {
                    method,
                    connections,
                    samples,
                });
            }
        }
        Ok(cells)
    }
}

impl Load<'_> {
    /// Puts the load on `service`, and says what came of it.
    fn run(&self, service: &Service) -> Result<Sample> {
        let what = format!(
            "{}, {} over {} connections",
            service.name, self.method, self.connections
        );
        let sample = self.sample(service).with_context(|| what.clone())?;
        eprintln!(
            "{what}: {:.0}/s, p50 {:.2} ms, p99 {:.2} ms",
            sample.throughput, sample.p50, sample.p99
        );
        Ok(sample)
    }

    /// Puts the load on `service`, and fails if any request got no answer or another one than 2xx.
    fn sample(&self, service: &Service) -> Result<Sample> {
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
            Ok((usage(service.process())?, database.unwrap_or_default()))
        };
        let before = both()?;
        let mut wrk = Process::start(&mut command, Some(self.log))?;
        let mut memory = 0;
        let status = loop {
            thread::sleep(LOOK);
            if let Some(status) = wrk.try_wait()? {
                break status;
            }
            memory = memory.max(usage(service.process())?.memory);
        };
        let after = both()?;
        let output = fs::read_to_string(self.log)?;
        let last = output.lines().last().unwrap_or_default();
        ensure!(status.success(), "wrk failed: {last}");
        let Counts {
            totals: [requests, duration, refused, lost],
            latencies,
        } = counts(&output).with_context(|| format!("wrk said: {last}"))?;
        ensure!(
            refused == 0 && lost == 0 && requests > 0,
            "{refused} of {requests} requests were refused and {lost} failed: \
             results of a service that fails say nothing"
        );
        let interval = duration / (requests / u64::from(self.connections)).max(1);
        let latencies = Histogram::observed(latencies, interval, requests)?;
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
            p50: number(latencies.percentile(50)) / 1e3,
            p90: number(latencies.percentile(90)) / 1e3,
            p99: number(latencies.percentile(99)) / 1e3,
            stalled: number(latencies.over(STALL)) / number(requests) * 100.0,
            memory: number(memory) / 1e6,
            cpu_time,
            cpu_time_with_database: cpu_time + each(before.1, after.1),
        })
    }
}

/// What load.lua prints.
#[derive(Debug, PartialEq)]
struct Counts {
    /// Requests, microseconds, requests that were refused, and requests that failed.
    totals: [u64; 4],
    /// How often each latency in microseconds occurred.
    latencies: BTreeMap<u64, u64>,
}

fn counts(output: &str) -> Option<Counts> {
    let rows = |label| {
        let lines = output
            .lines()
            .filter_map(move |line| line.strip_prefix(label));
        lines.map(|line| line.split(' ').map(|word| word.parse().ok()).collect())
    };
    let totals: Option<Vec<u64>> = rows("load: ").next()?;
    let latencies = rows("latency: ")
        .map(|row: Option<Vec<u64>>| Some(<[u64; 2]>::try_from(row?).ok()?.into()));
    Some(Counts {
        totals: totals?.try_into().ok()?,
        latencies: latencies.collect::<Option<_>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_have_names_of_letters_and_no_two_the_same() {
        assert_eq!(username("Seed", 0), "Seeda");
        assert_eq!(username("Seed", 25), "Seedz");
        assert_eq!(username("Seed", 26), "Seedab");
        assert_eq!(prefix(26), "RunabUser");
    }

    #[test]
    fn reads_what_the_script_prints() {
        let output = "Running 1s test\nload: 5 1000000 0 1\nlatency: 300 4\nlatency: 900 1\n";
        let read = Counts {
            totals: [5, 1_000_000, 0, 1],
            latencies: BTreeMap::from([(300, 4), (900, 1)]),
        };
        assert_eq!(counts(output), Some(read));
        assert_eq!(counts("load: 5"), None);
        assert_eq!(counts("load: 5 1000000 0 1\nlatency: x 1"), None);
    }
}
