//! `cargo xtask bench compare`: hello beside a FastAPI baseline, on this machine, under one load.

use std::{fs, path::Path, thread};

use anyhow::{Context, Result, ensure};
use chrono::Utc;
use harness::{
    host::{Host, Setup, Store, free_port},
    postgres::Postgres,
    process::end_all_on_signal,
};
use procfs::{CpuInfo, Current};
use tools::{
    HostKind, root,
    run::{announce, require_disk},
};

use crate::{
    baseline::Baseline,
    choose,
    load::{self, Load, Method, Service, USERS},
    report::{self, Cell, Report},
    usage::usage,
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

/// Measures, and prints tables in Markdown.
pub fn run(options: &Options) -> Result<()> {
    end_all_on_signal()?;
    let wrk = load::prepare()?;
    let baseline = Baseline::install()?;
    let (kind, program) = choose(options.host)?;
    componentize::build(Some(kind))?;

    let directory = tools::fresh("bench/run")?;
    require_disk(&directory, 2000)?;
    let cores = thread::available_parallelism()?.get();
    announce("starting Postgres, hello twice, and the baseline");
    // Each service may open a connection to Postgres for every one of its clients.
    let postgres = Postgres::start_with(
        &directory.join("postgres"),
        &["max_connections=2000".to_owned()],
    )?;
    let address = postgres.service();
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
    let (fastapi, third) = baseline.start(cores, &address, &directory.join("baseline"))?;
    let services = [
        Service::of("hello, key-value", &key_value),
        Service::of("hello, Postgres", &with_postgres),
        third,
    ];
    services.iter().try_for_each(Service::seed)?;
    let idle = services.map(|service| usage(service.process).map(|usage| usage.memory));
    let idle = idle.into_iter().collect::<Result<Vec<u64>>>()?;
    let cells = measure(
        options,
        &services,
        server_of(&directory.join("postgres"))?,
        &directory.join("wrk.log"),
    )?;
    check_saved(&postgres, &cells)?;

    let report = Report {
        command: command(options),
        facts: vec![
            ("Date", Utc::now().format("%F").to_string()),
            ("hello", componentize::revision()),
            ("Host", tools::version(&program)),
            (
                "Baseline",
                format!("{}; {cores} workers", baseline.versions()?),
            ),
            ("Postgres", postgres.psql("SHOW server_version")?),
            ("Load", format!("{wrk}, 1 thread")),
            ("Machine", machine(cores)?),
        ],
        artifact: fs::metadata(kind.artifact())?.len(),
        packages: baseline.bytes()?,
        contenders: services.map(|service| service.name),
        idle,
        cells,
    };
    let text = report.to_string();
    println!("{text}");
    if options.write {
        report::write(&root().join("docs/benchmarks.md"), &text)?;
    }
    drop((fastapi, with_postgres, key_value, postgres));
    Ok(fs::remove_dir_all(directory)?)
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

/// Every load on every service in turn.
fn measure(
    options: &Options,
    services: &[Service],
    database: u32,
    log: &Path,
) -> Result<Vec<Cell>> {
    let load = |method, connections, seconds| Load {
        method,
        connections,
        seconds,
        database: Some(database),
        log,
    };
    announce("warming up");
    let most = options.connections.iter().copied().max().unwrap_or(1);
    for method in [Method::Get, Method::Put] {
        load(method, most, 1).in_turn(services, 1)?;
    }
    let mut cells = Vec::new();
    for method in [Method::Get, Method::Put] {
        for &connections in &options.connections {
            let load = load(method, connections, options.seconds);
            cells.push(Cell {
                method,
                connections,
                samples: load.in_turn(services, options.rounds)?,
            });
        }
    }
    Ok(cells)
}

/// A PUT that was answered with 204 is there: nobody was fast by forgetting.
fn check_saved(postgres: &Postgres, cells: &[Cell]) -> Result<()> {
    let puts = cells.iter().filter(|cell| cell.method == Method::Put);
    // The first service has another store.
    let samples = puts.flat_map(|cell| cell.samples[1..].iter().flatten());
    let acknowledged: u64 = samples.map(|sample| sample.requests).sum();
    let users = postgres.psql("SELECT count(*) FROM users")?;
    let users: u64 = users.trim().parse()?;
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

fn machine(cores: usize) -> Result<String> {
    let processors = CpuInfo::current()?;
    let model = processors.model_name(0).unwrap_or("unknown processor");
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok(format!("{model}, {cores} cores, Linux {}", kernel.trim()))
}
