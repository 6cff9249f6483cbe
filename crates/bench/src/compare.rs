//! `cargo xtask bench compare`: hello beside a FastAPI baseline, on this machine, under one load.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use anyhow::{Context, Result, ensure};

use super::{
    baseline,
    load::{self, Load, Method, SEEDED, Sample, Service, USERS, username},
    report::{self, Cell, Report},
    usage::usage,
};
use harness::{
    client::Connection,
    host::{Host, Setup, Store, free_port},
    postgres::Postgres,
    process::end_all_on_signal,
};
use tools::{
    HostKind, root,
    run::{announce, read, require_disk},
    target,
};

/// What can be chosen.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The host that hello runs on: Spin where there is one, else wasmCloud
    #[arg(long)]
    host: Option<HostKind>,
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
    /// Write the results to docs/benchmarks.md as well
    #[arg(long)]
    write: bool,
}

/// A service that is measured.
struct Contender {
    name: &'static str,
    service: Service,
}

/// Measures, and prints tables in Markdown.
///
/// # Errors
///
/// One sentence, if something is missing, or a service refuses or loses a request.
pub fn compare(options: &Options) -> Result<()> {
    end_all_on_signal()?;
    // Spin makes and drops errors while it serves, and with this each collects a backtrace.
    ensure!(
        env::var_os("RUST_BACKTRACE").is_none(),
        "RUST_BACKTRACE is set and makes the hosts slower: take it out of the environment"
    );
    let wrk = load::version()?;
    let installed = baseline::install()?;
    let (kind, program) = host(options.host)?;
    componentize::build(Some(kind))?;

    let directory = fresh_directory()?;
    let log = directory.join("wrk.log");
    let cores = thread::available_parallelism()?.get();
    announce("starting Postgres, hello twice, and the baseline");
    // Each service may open a connection to Postgres for every one of its clients.
    let postgres = Postgres::start_with(
        &directory.join("postgres"),
        &["max_connections=2000".to_owned()],
    )?;
    let address = postgres.service();
    let database = server_of(&directory.join("postgres"))?;
    let start = |name: &str, store| {
        let data = directory.join(name);
        fs::create_dir_all(&data)?;
        let log = data.join("log");
        let setup = Setup {
            store,
            ..Setup::shipped(&data, Some(&log))
        };
        Host::start(kind, &program, free_port()?, setup)
    };
    let key_value = start("key-value", Store::Shipped)?;
    let with_postgres = start("hello-postgres", Store::Postgres(&address))?;
    let baseline_directory = directory.join("baseline");
    let baseline = installed.start(cores, &address, &baseline_directory)?;
    let contenders = [
        ("hello, key-value", service(&key_value)),
        ("hello, Postgres", service(&with_postgres)),
        ("FastAPI, Postgres", baseline.service()),
    ]
    .map(|(name, service)| Contender { name, service });

    for contender in &contenders {
        seed(contender.service).with_context(|| contender.name)?;
    }
    let idle = contenders
        .iter()
        .map(|contender| Ok(usage(contender.service.process)?.memory))
        .collect::<Result<Vec<u64>>>()?;
    let measured = measure(options, &contenders, database, &log)?;
    check_saved(&postgres, &measured)?;

    let report = Report {
        command: command(options),
        facts: vec![
            (
                "Date",
                read("ask for the date", Command::new("date").args(["-u", "+%F"]))?,
            ),
            ("hello", revision()?),
            ("Host", tools::version(&program)),
            (
                "Baseline",
                format!("{}; {cores} workers", installed.versions()?),
            ),
            ("Postgres", postgres.psql("SHOW server_version")?),
            ("Load", format!("{wrk}, 1 thread")),
            ("Machine", machine(cores)?),
        ],
        artifact: fs::metadata(kind.artifact())?.len(),
        packages: installed.bytes()?,
        contenders: contenders.map(|contender| contender.name),
        idle,
        cells: measured.into_iter().map(|(cell, _)| cell).collect(),
    };
    let text = report.to_string();
    println!("{text}");
    if options.write {
        report::write(&root().join("docs/benchmarks.md"), &text)?;
    }
    drop((baseline, with_postgres, key_value, postgres));
    fs::remove_dir_all(directory)?;
    Ok(())
}

/// The host to measure on, and its program.
pub fn host(host: Option<HostKind>) -> Result<(HostKind, PathBuf)> {
    let kind = match host {
        Some(kind) => kind,
        None if tools::find(HostKind::Spin).is_some() => HostKind::Spin,
        None => HostKind::Wasmcloud,
    };
    Ok((kind, tools::find_or_fetch(kind)?))
}

fn fresh_directory() -> Result<PathBuf> {
    let directory = target().join("bench/run");
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    fs::create_dir_all(&directory)?;
    require_disk(&directory, 2000)?;
    Ok(directory)
}

/// `host` as something to load.
pub fn service(host: &Host) -> Service {
    Service {
        port: host.port,
        process: host.id(),
    }
}

/// The number of Postgres's first process, as its own file says it.
fn server_of(directory: &Path) -> Result<u32> {
    let file = fs::read_to_string(directory.join("data/postmaster.pid"))?;
    let number = file
        .lines()
        .next()
        .and_then(|line| line.trim().parse().ok());
    number.context("Postgres does not say which process it is")
}

/// Saves the users to GET, and sees that they can be.
pub fn seed(service: Service) -> Result<()> {
    let mut connection = Connection::open(service.port)?;
    let json = [("content-type", "application/json")];
    for user in 0..USERS {
        let target = format!("/hello/{}", username(SEEDED, user));
        let body = format!(
            r#"{{"dateOfBirth":"{}-{:02}-{:02}"}}"#,
            1900 + user % 120,
            1 + user % 12,
            1 + user % 28
        );
        let put = connection.exchange("PUT", &target, &json, body.as_bytes())?;
        ensure!(put.status == 204, "PUT was answered with {}", put.status);
        let get = connection.exchange("GET", &target, &[], b"")?;
        ensure!(get.status == 200, "GET was answered with {}", get.status);
    }
    Ok(())
}

type Measured = Vec<(Cell, u64)>;

/// Every load on every service in turn, each round beginning with another one; with how many
/// users the cell saved in Postgres.
fn measure(
    options: &Options,
    contenders: &[Contender],
    database: u32,
    log: &Path,
) -> Result<Measured> {
    let mut number = 0;
    let mut run = |method, connections, seconds, contender: &Contender| {
        number += 1;
        let load = Load {
            method,
            connections,
            seconds,
            number,
        };
        load.run(contender.service, Some(database), log)
            .with_context(|| {
                let name = contender.name;
                format!("{name}, {method} over {connections} connections")
            })
    };
    announce("warming up");
    let most = options.connections.iter().copied().max().unwrap_or(1);
    for method in [Method::Get, Method::Put] {
        for contender in contenders {
            run(method, most, 1, contender)?;
        }
    }
    let mut measured = Vec::new();
    for method in [Method::Get, Method::Put] {
        for &connections in &options.connections {
            let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); contenders.len()];
            for round in 0..options.rounds as usize {
                for turn in 0..contenders.len() {
                    let which = (round + turn) % contenders.len();
                    let contender = &contenders[which];
                    let sample = run(method, connections, options.seconds, contender)?;
                    eprintln!(
                        "{method}, {connections:>2} connections, round {}: {:<18}{:>7.0}/s  \
                         p50 {:.2} ms  p99 {:.2} ms",
                        round + 1,
                        contender.name,
                        sample.throughput,
                        sample.p50,
                        sample.p99
                    );
                    samples[which].push(sample);
                }
            }
            let saved = match method {
                Method::Get => 0,
                Method::Put => samples[1..]
                    .iter()
                    .flatten()
                    .map(|sample| sample.requests)
                    .sum(),
            };
            let cell = Cell {
                method,
                connections,
                samples,
            };
            measured.push((cell, saved));
        }
    }
    Ok(measured)
}

/// A PUT that was answered with 204 is there: nobody was fast by forgetting.
fn check_saved(postgres: &Postgres, measured: &Measured) -> Result<()> {
    let acknowledged: u64 = measured.iter().map(|(_, saved)| saved).sum();
    let users: u64 = postgres
        .psql("SELECT count(*) FROM users")?
        .trim()
        .parse()?;
    ensure!(
        users >= acknowledged + u64::from(USERS),
        "{acknowledged} new users were acknowledged, and Postgres has {users}"
    );
    Ok(())
}

/// The command that makes these results.
fn command(options: &Options) -> String {
    let host = options.host.map(|host| format!(" --host {host}"));
    let connections: Vec<String> = options.connections.iter().map(u32::to_string).collect();
    format!(
        "cargo xtask bench compare{} --rounds {} --seconds {} --connections {}",
        host.unwrap_or_default(),
        options.rounds,
        options.seconds,
        connections.join(",")
    )
}

fn revision() -> Result<String> {
    read(
        "ask git for the revision",
        Command::new("git")
            .args(["describe", "--always", "--dirty", "--abbrev=12"])
            .current_dir(root()),
    )
}

fn machine(cores: usize) -> Result<String> {
    let processors = fs::read_to_string("/proc/cpuinfo")?;
    let model = processors
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("unknown processor", |(_, model)| model.trim());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok(format!("{model}, {cores} cores, Linux {}", kernel.trim()))
}
