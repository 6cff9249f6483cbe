//! The faults, a family in each module, and how one is injected.

mod clients;
mod clock;
mod database;
mod disk;
mod network;
mod overload;
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
    load::{Load, ReadBack, Summary, recovery},
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
    /// What the load has to show of it: if it does not, it never met it.
    shows: Shows,
    run: fn(&mut Injection) -> Result<()>,
}

/// What a load shows of a fault that it meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shows {
    /// Requests that fail.
    Failures,
    /// Requests that fail, or wait until it is over.
    Waits,
    /// Nothing: the fault itself sees to it that it is one.
    Nothing,
}

/// What a fault takes beside a host and a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A network of its own.
    Network,
    /// A small file system under the store.
    SmallDisk,
    /// A host whose clock can be stepped.
    Clock,
    /// A relay before Postgres.
    Relay,
    /// slowhttptest.
    SlowClients,
    /// vegeta.
    Overload,
}

impl Need {
    /// The program that it takes, to be fetched.
    pub fn program(self) -> Option<&'static str> {
        match self {
            Self::Network => Some("nft"),
            Self::Clock => Some("faketime"),
            Self::SlowClients => Some("slowhttptest"),
            Self::Overload => Some("vegeta"),
            Self::SmallDisk | Self::Relay => None,
        }
    }

    /// Whether it takes namespaces.
    pub fn is_namespace(self) -> bool {
        matches!(self, Self::Network | Self::SmallDisk)
    }
}

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
        overload::faults(),
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
/// On WASI 0.2, Spin waits for more than a minute for a Redis that was down.
const RECOVERY_LIMIT: Duration = Duration::from_secs(180);

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
        let is_met = match self.shows {
            Shows::Failures => sum.failed() > 0,
            Shows::Waits => sum.failed() > 0 || sum.slowest * 2 > pace.lasts,
            Shows::Nothing => true,
        };
        ensure!(
            is_met,
            "{}: no request failed or waited, so the load never met the fault",
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
