//! `cargo xtask chaos`: faults under load, and a ledger to which every answer is held.
//!
//! | module | job |
//! | --- | --- |
//! | `ledger`, `calendar` | what was acknowledged, and what greetings fit that |
//! | `load` | a steady load of reads and writes |
//! | `world` | a host, its store, and what is between them |
//! | `namespace`, `processes` | what a fault takes of Linux |
//! | `vegeta` | a load that comes whether or not it is answered |
//! | `fault` | the faults, a family in each module |
//! | `soak` | half of the capacity for long: what the host uses meanwhile |
//! | `report`, `plot` | the tables and charts, and docs/reliability.md |
//!
//! An error is one sentence: what cannot be injected, or what was lost.

mod calendar;
mod fault;
mod ledger;
mod load;
mod namespace;
mod plot;
mod processes;
mod report;
mod soak;
mod vegeta;
mod world;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use harness::process::end_all_on_signal;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tools::{HostKind, run::announce};

use fault::{Fault, Need, Pace};
use namespace::Place;
use report::{Row, Section};
use world::StoreKind;

/// What can be chosen.
#[derive(clap::Args, Debug)]
pub struct Options {
    /// Inject these faults, or all whose names begin so: `postgres`, `clients-idle`
    faults: Vec<String>,
    /// The hosts: all that can be had
    #[arg(long, value_delimiter = ',')]
    host: Vec<HostKind>,
    /// The stores
    #[arg(long, value_delimiter = ',', default_values_t = StoreKind::ALL)]
    store: Vec<StoreKind>,
    /// How long a fault lasts
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Requests a second
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(16..=10_000))]
    rate: u32,
    /// Write the tables to docs/reliability.md as well
    #[arg(long)]
    write: bool,
    /// Inject no fault: load each host and store with half of its capacity for so many minutes
    #[arg(long, value_name = "MINUTES", value_parser = soak::minutes, conflicts_with = "faults")]
    soak: Option<Duration>,
    /// Say which faults there are, and inject none
    #[arg(long)]
    list: bool,
}

/// Injects faults, as a command.
///
/// # Errors
///
/// If a fault cannot be injected, or if something acknowledged is lost or an answer wrong.
pub fn command(options: &Options) -> Result<ExitCode> {
    if options.list {
        print!("{}", report::faults());
        return Ok(ExitCode::SUCCESS);
    }
    let faults = options.chosen()?;
    let hosts = options.hosts()?;
    if !namespace::is_inside() {
        prepare(options, &faults, &hosts)?;
    }
    let outside = match namespace::enter()? {
        Place::Ran(code) => return Ok(code),
        Place::Inside => None,
        Place::Outside(why) => Some(why),
    };
    end_all_on_signal()?;
    allow_connections()?;
    if let Some(lasts) = options.soak {
        for (host, program) in &hosts {
            for store in &options.store {
                soak::soak(*host, program, *store, lasts, options.write)?;
            }
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut failures = Vec::new();
    for (host, program) in &hosts {
        for store in &options.store {
            let section = options.run(*host, program, *store, &faults, outside);
            if section.rows.is_empty() {
                continue;
            }
            let text = section.text();
            println!("\n## {}\n\n{text}", section.name());
            if options.write {
                report::write(&report::document(), &section.name(), &text)?;
            }
            let failed = section.rows.iter().filter(|(_, row)| row.is_failure());
            failures.extend(failed.map(|(name, _)| format!("{name} on {}", section.name())));
        }
    }
    if options.write {
        report::write(&report::document(), "faults", &report::faults())?;
        report::write(&report::document(), "machine", &report::machine())?;
    }
    ensure!(
        failures.is_empty(),
        "not as it should be: {}",
        failures.join(", ")
    );
    Ok(ExitCode::SUCCESS)
}

impl Options {
    fn chosen(&self) -> Result<Vec<Fault>> {
        let is_chosen = |fault: &Fault| {
            let mut names = self.faults.iter();
            self.faults.is_empty() || names.any(|name| fault.name.starts_with(name))
        };
        let chosen: Vec<Fault> = fault::all().into_iter().filter(is_chosen).collect();
        ensure!(
            !chosen.is_empty(),
            "no fault has a name that begins so: `cargo xtask chaos --list` names them"
        );
        Ok(chosen)
    }

    /// The hosts to take, with their programs.
    fn hosts(&self) -> Result<Vec<(HostKind, PathBuf)>> {
        if !self.host.is_empty() {
            let program = |&kind: &HostKind| Ok((kind, tools::find_or_fetch(kind)?));
            return self.host.iter().map(program).collect();
        }
        let found = HostKind::ALL.into_iter().filter_map(|kind| {
            let program = tools::find(kind)?;
            kind.require(&program).is_ok().then_some((kind, program))
        });
        let found: Vec<_> = found.collect();
        ensure!(
            !found.is_empty(),
            "no host is there: name one, as in `--host wasmcloud`"
        );
        Ok(found)
    }

    fn run(
        &self,
        host: HostKind,
        program: &Path,
        store: StoreKind,
        faults: &[Fault],
        outside: Option<&str>,
    ) -> Section {
        let pace = Pace {
            rate: self.rate,
            lasts: Duration::from_secs(self.seconds),
        };
        let mut rows = Vec::new();
        for fault in faults.iter().filter(|fault| fault.stores.contains(&store)) {
            let row = match obstacle(fault, program, outside) {
                Some(why) => Row::NotRun(why.to_owned()),
                None => match fault.inject(host, program, store, pace) {
                    Ok(outcome) => Row::Ran(outcome),
                    Err(error) => Row::Failed(format!("{error:#}")),
                },
            };
            if let Row::Failed(why) = &row {
                eprintln!("{} failed: {why}", fault.name);
            }
            rows.push((fault.name, row));
        }
        Section {
            host,
            store,
            version: tools::version(program),
            pace,
            rows,
        }
    }
}

/// Why a fault cannot be injected here, if that is so.
fn obstacle<'a>(fault: &Fault, program: &Path, outside: Option<&'a str>) -> Option<&'a str> {
    let is_namespace = fault.needs.iter().any(|need| need.is_namespace());
    if is_namespace && outside.is_some() {
        return outside;
    }
    let is_static = !world::takes_a_library(program).unwrap_or(true);
    (fault.needs.contains(&Need::Clock) && is_static).then_some(
        "the host's program is linked statically, so libfaketime cannot be loaded into it",
    )
}

/// Builds the components, and fetches what the faults take: there may be no network afterwards.
fn prepare(options: &Options, faults: &[Fault], hosts: &[(HostKind, PathBuf)]) -> Result<()> {
    for (host, _) in hosts {
        componentize::build(Some(*host))?;
    }
    let mut programs = vec!["ip"];
    let needs = faults.iter().flat_map(|fault| fault.needs);
    programs.extend(needs.filter_map(|need| need.program()));
    if options.soak.is_some() {
        programs.push("vegeta");
    }
    if options.store.contains(&StoreKind::Postgres) {
        programs.extend(["initdb", "pg_basebackup", "postgres", "psql"]);
    }
    if options.store.contains(&StoreKind::Redis) {
        programs.push("redis-server");
    }
    for program in programs {
        tools::find_or_fetch(program)?;
    }
    Ok(())
}

/// Raises the limit of open files to the highest that is allowed, for this process and for hosts.
fn allow_connections() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).context("the limit of open files cannot be raised")?;
    announce("faults, each with a fresh host and store");
    Ok(())
}
