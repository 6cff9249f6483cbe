//! The faults, a family in each module, and how one is injected.

mod clients;
mod clock;
mod database;
mod disk;
mod network;
mod process;

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use harness::{client::is_ok, wait::wait_until};
use tools::{HostKind, run::announce};

use crate::{
    load::{Load, ReadBack, Record, Summary, recovery},
    world::{StoreKind, World},
};

/// Something that goes wrong, and how it is done.
#[derive(Debug)]
pub struct Fault {
    /// What the command line and the table call it.
    pub name: &'static str,
    /// What is done.
    pub what: &'static str,
    /// What it costs those who ask meanwhile.
    pub costs: &'static str,
    /// The stores that it is about.
    pub stores: &'static [StoreKind],
    /// What it takes.
    pub needs: &'static [Need],
    /// Whether requests have to fail: if none did, the load never met it.
    pub interrupts: bool,
    run: fn(&mut Injection) -> Result<()>,
}

/// What a fault takes beside a host and a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A network that harms nobody else.
    Network,
    /// A small file system under the store.
    SmallDisk,
    /// A host whose clock can be stepped.
    Clock,
    /// A relay before Postgres.
    Relay,
    /// slowhttptest.
    SlowClients,
}

impl Need {
    /// Whether it takes namespaces.
    pub fn is_namespace(self) -> bool {
        matches!(self, Self::Network | Self::SmallDisk)
    }
}

/// The programs that the faults take, beside host and store.
pub const PROGRAMS: [&str; 4] = ["faketime", "ip", "nft", "slowhttptest"];

const POSTGRES: &[StoreKind] = &[StoreKind::Postgres];
const REDIS: &[StoreKind] = &[StoreKind::Redis];
/// About the host alone, so one store does.
const ANY_ONE: &[StoreKind] = &[StoreKind::KeyValue];

/// Every fault there is.
pub fn all() -> Vec<Fault> {
    [
        process::faults(),
        database::faults(),
        network::faults(),
        disk::faults(),
        clock::faults(),
        clients::faults(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// How the load is, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Requests a second.
    pub rate: u32,
    /// How long a fault lasts.
    pub lasts: Duration,
}

/// A fault under way.
#[derive(Debug)]
pub struct Injection {
    /// What it is injected into.
    pub world: World,
    /// The load that goes on meanwhile.
    load: Load,
    pace: Pace,
    mended: Option<Instant>,
    notes: Vec<String>,
}

/// What came of a fault.
#[derive(Debug)]
pub struct Outcome {
    /// What the load has seen.
    pub load: Summary,
    /// What is stored.
    pub read_back: ReadBack,
    /// From its end to the first request after which none fails.
    pub recovery: Duration,
    /// What was seen beside that.
    pub notes: Vec<String>,
}

/// How long a host and its store may take to serve again.
const RECOVERY_LIMIT: Duration = Duration::from_secs(90);

impl Fault {
    /// Injects it into a fresh host of `kind` with a fresh `store`.
    ///
    /// # Errors
    ///
    /// If it cannot be injected, if the load did not meet it, or if the service does not recover.
    pub fn inject(
        &self,
        kind: HostKind,
        program: &Path,
        store: StoreKind,
        pace: Pace,
    ) -> Result<Outcome> {
        announce(&format!("{kind}, {store}: {}", self.name));
        let world = World::start(kind, program, store, self.needs)?;
        let load = Load::start(world.port, pace.rate, world.clock.clone());
        let mut injection = Injection {
            world,
            load,
            pace,
            mended: None,
            notes: Vec::new(),
        };
        // Two seconds of answers before, and two after.
        let some = u64::from(pace.rate) * 2;
        injection.load.wait_for_answers(some, RECOVERY_LIMIT)?;
        (self.run)(&mut injection).with_context(|| format!("{} cannot be injected", self.name))?;
        let mended = *injection.mended.get_or_insert_with(Instant::now);
        injection.recovers()?;
        let Injection {
            load, notes, world, ..
        } = injection;
        load.wait_for_answers(some, RECOVERY_LIMIT)
            .context("the service has not recovered")?;
        let (records, read_back) = load.finish()?;
        // The host outlives the read-back.
        drop(world);
        let sum = Summary::of(&records);
        ensure!(
            sum.failed() > 0 || !self.interrupts,
            "{}: no request failed, so the load never met the fault",
            self.name
        );
        ensure!(
            sum.acknowledged > 0,
            "{}: nothing was acknowledged",
            self.name
        );
        Ok(Outcome {
            recovery: recovery(&records, mended)?,
            load: sum,
            read_back,
            notes,
        })
    }
}

impl Injection {
    /// Lets the fault last.
    fn lasts(&self) {
        thread::sleep(self.pace.lasts);
    }

    /// The cause is gone from now on.
    fn mended(&mut self) {
        self.mended = Some(Instant::now());
    }

    /// Something to say about it, beside the table's columns.
    fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// Waits until the service says that it is ready.
    fn recovers(&self) -> Result<()> {
        let port = self.world.port;
        until("the service to be ready again", || {
            Ok(is_ok(port, "/readyz"))
        })
    }
}

impl Outcome {
    /// Requests and users whose answer does not fit what was acknowledged.
    pub fn is_clean(&self) -> bool {
        self.read_back.lost == 0 && self.load.wrong == 0
    }
}

/// Waits until something holds.
fn until(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    wait_until(what, RECOVERY_LIMIT, Duration::from_millis(20), || {
        Ok(holds()?.then_some(()))
    })
}

/// How many of `records` are in a span: for what a fault says of itself.
#[allow(dead_code, reason = "for the soak")]
fn count(records: &[Record], is: impl Fn(&Record) -> bool) -> usize {
    records.iter().filter(|record| is(record)).count()
}
