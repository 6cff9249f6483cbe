//! `cargo xtask bench compare`: hello beside its baselines, on this machine, under one load.

use std::{
    env, fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use chrono::Utc;
use harness::{
    host::{Store, choose, free_port},
    postgres::Postgres,
    process::end_all_on_signal,
    redis::Redis,
    relay::Relay,
};
use procfs::{CpuInfo, Current};
use tools::{
    HostKind, root,
    run::{announce, require_disk},
};

use crate::{
    baseline::{fastapi::FastApi, native::Native},
    load::{self, Measurement, Method, Server, Service, USERS},
    plot,
    report::{self, Cell, Results, table},
    start,
    usage::usage,
};

/// What is measured: a GET of a user that there is, a PUT of one that there is not.
const METHODS: [Method; 2] = [Method::Get, Method::Put];

/// The load that is plotted, if it is measured.
const PLOTTED: u32 = 32;

/// What can be chosen.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    measurement: Measurement,
    /// Delay what goes to Postgres and what comes back, as a network would: `1ms`
    #[arg(long, value_parser = milliseconds)]
    delay: Option<Duration>,
    /// Write the results to docs/benchmarks.md as well, and plots beside it
    #[arg(long)]
    write: bool,
}

/// Measures, and prints tables in Markdown.
pub fn run(options: &Options) -> Result<()> {
    end_all_on_signal()?;
    let wrk = load::prepare()?;
    let (tuned, tutorial) = (FastApi::tuned()?, FastApi::tutorial()?);
    let native = Native::build()?;
    let (spins, program) = hosts(options.measurement.host)?;
    let mut hosts: Vec<_> = spins.into_iter().map(|it| (it, program.clone())).collect();
    hosts.retain(|(host, _)| host.is_spin());
    let is_spin_alone = options.measurement.host.is_some_and(HostKind::is_spin);
    if !is_spin_alone {
        // Not on WASI 0.2, where it refuses some requests over 64 connections: docs/limitations.md.
        let [_, p3] = wasmcloud()?;
        hosts.push(p3);
    }
    let mut floors = Vec::new();
    for (host, _) in &hosts {
        componentize::build(Some(*host))?;
        // wasmCloud's component has none.
        let floor = host.is_spin().then(|| componentize::build_floor(*host));
        floors.push(floor.transpose()?);
    }

    let directory = tools::fresh("bench/run")?;
    require_disk(&directory, 2000)?;
    let cores = thread::available_parallelism()?.get();
    announce("starting Postgres, Redis, the baselines, and hello with each store");
    let redis = Redis::start(&directory.join("redis"))?;
    // Each service may open a connection to Postgres for every one of its clients.
    let postgres = Postgres::start_with(
        &directory.join("postgres"),
        &["max_connections=2000".to_owned()],
    )?;
    let mut database = postgres.service();
    if let Some(delay) = options.delay {
        let relay = Relay::start(database.port)?;
        relay.slow_down(delay);
        database.port = relay.port;
    }

    // The first is what the others are compared with.
    let mut services = vec![
        tuned.start_tuned(cores, free_port()?, &database, &directory.join("fastapi"))?,
        tutorial.start_tutorial(cores, free_port()?, &database, &directory.join("tutorial"))?,
        native.start(free_port()?, &database, &directory.join("native"))?,
    ];
    let redis_url = redis.url();
    let of_spin = [
        ("key-value", Store::Shipped),
        ("key-value in Redis", Store::Redis(&redis_url)),
        ("Postgres", Store::Postgres(&database)),
    ];
    let of_wash = [
        ("key-value in NATS", Store::Shipped),
        ("Postgres", Store::Postgres(&database)),
    ];
    for ((host, program), floor) in hosts.iter().zip(&floors) {
        let stores = if host.is_spin() {
            &of_spin[..]
        } else {
            &of_wash
        };
        for store in stores {
            let artifact = host.artifact();
            services.push(hello(*host, program, &artifact, *store, &directory)?);
            if let Some(floor) = floor {
                let directory = directory.join("floor");
                let mut service = hello(*host, program, floor, *store, &directory)?;
                service.name += ", floor";
                service.is_floor = true;
                services.push(service);
            }
        }
    }

    load::seed(&services)?;
    let mut sizes = vec![
        size("FastAPI tuned, packages without Python", tuned.bytes()?),
        size(
            "FastAPI tutorial, packages without Python",
            tutorial.bytes()?,
        ),
        size("native, program", native.bytes()?),
    ];
    for (host, _) in &hosts {
        let bytes = fs::metadata(host.artifact())?.len();
        sizes.push(size(&format!("{}, component", label(*host)), bytes));
    }
    for service in &services {
        sizes.push([
            format!("{}, memory before the load", service.name),
            format!("{} MB", usage(service.process())?.memory / 1_000_000),
        ]);
    }
    let cells = options.measurement.measure(
        &METHODS,
        &services,
        Some(postgres.id()?),
        &directory.join("wrk.log"),
    )?;
    check_saved(&postgres, &services, &cells)?;

    let mut facts = vec![
        ("Date", Utc::now().format("%F").to_string()),
        ("hello", componentize::revision()),
        ("Hosts", versions(&hosts)),
        ("FastAPI", format!("tuned: {}", tuned.versions()?)),
        ("", format!("tutorial: {}", tutorial.versions()?)),
        ("native", native.version()?),
        ("Postgres", postgres.psql("SHOW server_version")?),
        ("Load", format!("{wrk}, 1 thread; {}", options.measurement)),
        ("Machine", machine(cores)?),
    ];
    if let Some(delay) = options.delay {
        let delay = format!("{delay:?} in each direction, by a TCP relay");
        facts.push(("Network to Postgres", delay));
    }
    let facts = facts
        .into_iter()
        .map(|(what, which)| [what.to_owned(), which.trim().to_owned()]);
    let results = Results {
        services: services.iter().map(|it| it.name.clone()).collect(),
        floors: floors_of(&services),
        cells,
    };
    // wasmCloud alone has a table of its own, and no plot.
    let has_spin = hosts.iter().any(|(host, _)| host.is_spin());
    let plots = if has_spin {
        plots(&results)
    } else {
        Vec::new()
    };
    let text = format!(
        "```sh\ncargo xtask {}\n```\n\n{}\n{}{results}\n### Sizes\n\n{}",
        env::args().skip(1).collect::<Vec<_>>().join(" "),
        table(&["what", "which"], &[], facts),
        plots.iter().map(Plot::link).collect::<String>(),
        table(&["what", "size"], &[], sizes)
    );
    println!("{text}");
    if options.write {
        plots.iter().try_for_each(Plot::write)?;
        let name = if has_spin {
            "results"
        } else {
            "results on wasmCloud"
        };
        report::write(name, &text)?;
    }
    drop(services); // before their stores
    drop((postgres, redis));
    Ok(fs::remove_dir_all(directory)?)
}

/// The hosts that hello runs on, and their program: what is chosen, else Spin with each version of WASI
/// that it takes.
pub fn hosts(chosen: Option<HostKind>) -> Result<(Vec<HostKind>, PathBuf)> {
    let (host, program) = choose(chosen)?;
    let mut hosts = vec![host];
    if chosen.is_none() && host == HostKind::Spin {
        match HostKind::SpinP3.require(&program) {
            Ok(()) => hosts.push(HostKind::SpinP3),
            Err(why) => announce(&format!("going on without WASI 0.3: {why}")),
        }
    }
    Ok((hosts, program))
}

/// wasmCloud, with each version of WASI.
pub fn wasmcloud() -> Result<[(HostKind, PathBuf); 2]> {
    let wash = tools::find_or_fetch(HostKind::Wasmcloud)?;
    Ok([HostKind::Wasmcloud, HostKind::WasmcloudP3].map(|kind| (kind, wash.clone())))
}

/// Those of the hosts' programs.
pub fn versions(hosts: &[(HostKind, PathBuf)]) -> String {
    let mut all: Vec<_> = hosts.iter().map(|(_, it)| tools::version(it)).collect();
    all.dedup();
    all.join(", ")
}

/// What the tables call hello on a host.
pub fn label(host: HostKind) -> &'static str {
    match host {
        HostKind::Spin => "WASI 0.2",
        HostKind::SpinP3 => "WASI 0.3",
        HostKind::Wasmcloud => "wasmCloud, WASI 0.2",
        HostKind::WasmcloudP3 => "wasmCloud, WASI 0.3",
    }
}

/// Starts hello, or its floor, on `host`, with the store of this name.
fn hello(
    host: HostKind,
    program: &Path,
    artifact: &Path,
    (name, store): (&str, Store),
    directory: &Path,
) -> Result<Service> {
    let data = directory.join(format!("{host}-{name}"));
    let port = free_port()?;
    let started = start(host, program, artifact, port, store, &data, None)?;
    let is_in_postgres = matches!(store, Store::Postgres(_));
    let name = format!("{}, {name}", label(host));
    Ok(Service::of(
        name,
        is_in_postgres,
        port,
        Server::Host(started),
    ))
}

/// Each service that is followed by its floor, with that.
fn floors_of(services: &[Service]) -> Vec<(usize, usize)> {
    let floors = (1..services.len()).filter(|at| services[*at].is_floor);
    floors.map(|floor| (floor - 1, floor)).collect()
}

fn size(what: &str, bytes: u64) -> [String; 2] {
    [what.to_owned(), format!("{bytes} bytes")]
}

/// A PUT that was answered with 204 is there: no service was fast by forgetting.
fn check_saved(postgres: &Postgres, services: &[Service], cells: &[Cell]) -> Result<()> {
    let puts = cells.iter().filter(|cell| cell.method == Method::Put);
    let samples = puts
        .flat_map(|cell| services.iter().zip(&cell.samples))
        .filter(|(service, _)| service.is_in_postgres)
        .flat_map(|(_, samples)| samples);
    let acknowledged: u64 = samples.map(|sample| sample.requests).sum();
    let users = postgres.psql("SELECT count(*) FROM users")?;
    let users: u64 = users.trim().parse()?;
    ensure!(
        users >= acknowledged + u64::from(USERS),
        "{acknowledged} new users were acknowledged, and Postgres has {users}"
    );
    Ok(())
}

/// A plot, in a file beside docs/benchmarks.md.
struct Plot {
    title: String,
    file: String,
    svg: String,
}

impl Plot {
    fn link(&self) -> String {
        format!("![{}](benchmarks/{})\n\n", self.title, self.file)
    }

    fn write(&self) -> Result<()> {
        let directory = root().join("docs/benchmarks");
        fs::create_dir_all(&directory)?;
        let file = directory.join(&self.file);
        fs::write(&file, &self.svg).with_context(|| format!("cannot write {}", file.display()))
    }
}

fn plots(results: &Results) -> Vec<Plot> {
    let plot = |method: Method| {
        let title = format!("{method}: requests/s over {PLOTTED} connections");
        let svg = plot::bars(&title, &results.throughputs(method, PLOTTED)?);
        let file = format!("{}.svg", method.to_string().to_lowercase());
        Some(Plot { title, file, svg })
    };
    METHODS.into_iter().filter_map(plot).collect()
}

fn milliseconds(text: &str) -> Result<Duration> {
    let number = text.strip_suffix("ms").map(str::parse::<u64>);
    match number {
        Some(Ok(number @ 1..=1000)) => Ok(Duration::from_millis(number)),
        _ => bail!("a delay is 1ms to 1000ms"),
    }
}

/// What this machine is.
pub fn machine(cores: usize) -> Result<String> {
    let processors = CpuInfo::current()?;
    let model = processors.model_name(0).unwrap_or("unknown processor");
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").context("no Linux")?;
    Ok(format!("{model}, {cores} cores, Linux {}", kernel.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_has_its_unit() {
        assert_eq!(milliseconds("1ms").ok(), Some(Duration::from_millis(1)));
        for wrong in ["1", "ms", "0ms", "1s", "-1ms", "1001ms"] {
            assert!(milliseconds(wrong).is_err(), "{wrong}");
        }
    }
}
