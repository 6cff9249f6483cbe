//! `cargo xtask bench compare`: hello beside a FastAPI baseline, on this machine, under one load.

use std::{env, fs, thread};

use anyhow::{Context, Result, ensure};
use chrono::Utc;
use harness::{
    host::{Store, choose, free_port},
    postgres::Postgres,
    process::end_all_on_signal,
};
use procfs::{CpuInfo, Current};
use tools::{
    root,
    run::{announce, require_disk},
};

use crate::{
    baseline::Baseline,
    load::{self, Measurement, Method, Service, USERS},
    report::{self, Cell, Results, table},
    start,
    usage::usage,
};

/// What can be chosen.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    measurement: Measurement,
    /// Write the results to docs/benchmarks.md as well
    #[arg(long)]
    write: bool,
}

/// Measures, and prints tables in Markdown.
pub fn run(options: &Options) -> Result<()> {
    end_all_on_signal()?;
    let wrk = load::prepare()?;
    let baseline = Baseline::install()?;
    let (kind, program) = choose(options.measurement.host)?;
    componentize::build(Some(kind))?;
    let artifact = kind.artifact();

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
        let (data, port) = (directory.join(name), free_port()?);
        start(kind, &program, &artifact, port, store, &data)
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
    let (component, packages) = (fs::metadata(&artifact)?.len(), baseline.bytes()?);
    let times = packages / component.max(1);
    let mut sizes = vec![
        ["hello's component".to_owned(), format!("{component} bytes")],
        [
            "the baseline's packages, without Python".to_owned(),
            format!("{packages} bytes: {times} times as much"),
        ],
    ];
    for service in services {
        sizes.push([
            format!("memory before the load: {}", service.name),
            format!("{} MB", usage(service.process)?.memory / 1_000_000),
        ]);
    }
    let cells = options.measurement.measure(
        &[Method::Get, Method::Put],
        &services,
        Some(postgres.id()?),
        &directory.join("wrk.log"),
    )?;
    check_saved(&postgres, &cells)?;

    let facts = [
        ("Date", Utc::now().format("%F").to_string()),
        ("hello", componentize::revision()),
        ("Host", tools::version(&program)),
        (
            "Baseline",
            format!("{}; {cores} workers", baseline.versions()?),
        ),
        ("Postgres", postgres.psql("SHOW server_version")?),
        ("Load", format!("{wrk}, 1 thread; {}", options.measurement)),
        ("Machine", machine(cores)?),
    ];
    let facts = facts.map(|(what, which)| [what.to_owned(), which.trim().to_owned()]);
    let results = Results {
        services: services.map(|service| service.name).to_vec(),
        cells,
    };
    let text = format!(
        "```sh\ncargo xtask {}\n```\n\n{}\n{results}\n### Sizes\n\n{}",
        env::args().skip(1).collect::<Vec<_>>().join(" "),
        table(&["what", "which"], &[], facts),
        table(&["what", "size"], &[], sizes)
    );
    println!("{text}");
    if options.write {
        report::write(&root().join("docs/benchmarks.md"), &text)?;
    }
    drop((fastapi, with_postgres, key_value, postgres));
    Ok(fs::remove_dir_all(directory)?)
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

fn machine(cores: usize) -> Result<String> {
    let processors = CpuInfo::current()?;
    let model = processors.model_name(0).unwrap_or("unknown processor");
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").context("no Linux")?;
    Ok(format!("{model}, {cores} cores, Linux {}", kernel.trim()))
}
