//! What a fault is injected into: a host, its store, and what is between them.

use std::{
    fmt,
    fs::{self, File},
    io::{Read, Write},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use harness::{
    host::{Host, Setup, Store, free_port, require_free},
    postgres::{Address, Postgres, give_to_server},
    redis::Redis,
    relay::Relay,
    wait::wait_until,
};
use tempfile::TempDir;
use tools::{HostKind, run::read};

use crate::{calendar::Clock, fault::Need};

/// Which store keeps the users.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum StoreKind {
    /// The host's own: a SQLite file of Spin's, a directory of wash's.
    KeyValue,
    /// Postgres.
    Postgres,
    /// Key-value, in a Redis.
    Redis,
}

impl StoreKind {
    /// Every store there is.
    pub const ALL: [Self; 3] = [Self::KeyValue, Self::Postgres, Self::Redis];
}

impl fmt::Display for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KeyValue => "key-value",
            Self::Postgres => "postgres",
            Self::Redis => "redis",
        })
    }
}

/// A host, and what it depends on. Dropping it ends all.
#[derive(Debug)]
pub struct World {
    kind: HostKind,
    program: PathBuf,
    /// The port of the host.
    pub port: u16,
    host: Option<Host>,
    postgres: Option<Postgres>,
    redis: Option<Redis>,
    relay: Option<Relay>,
    /// What the host takes for the time.
    pub clock: Arc<Clock>,
    environment: Vec<(String, String)>,
    disk: Option<Disk>,
    directory: TempDir,
}

/// A small file system in memory, at a directory.
#[derive(Debug)]
struct Disk(PathBuf);

impl World {
    /// Starts the host of `kind` with `store`, and what the fault needs.
    pub fn start(kind: HostKind, program: &Path, store: StoreKind, needs: &[Need]) -> Result<Self> {
        let mut world = Self {
            kind,
            program: program.to_owned(),
            port: free_port()?,
            host: None,
            postgres: None,
            redis: None,
            relay: None,
            clock: Arc::default(),
            environment: Vec::new(),
            disk: None,
            directory: TempDir::new()?,
        };
        for name in ["host", "store"] {
            fs::create_dir(world.directory.path().join(name))?;
        }
        // Postgres runs as another account than root.
        give_to_server(world.directory.path())?;
        let directory = world.path("store");
        if needs.contains(&Need::SmallDisk) {
            world.disk = Some(match store {
                StoreKind::Postgres => Disk::mount(&directory, "160m")?,
                StoreKind::KeyValue | StoreKind::Redis => Disk::mount(&world.path("host"), "8m")?,
            });
        }
        match store {
            StoreKind::KeyValue => {}
            StoreKind::Postgres => world.postgres = Some(Postgres::start(&directory)?),
            StoreKind::Redis => world.redis = Some(Redis::start(&directory)?),
        }
        if needs.contains(&Need::Relay) {
            world.relay = Some(Relay::start(world.postgres()?.port)?);
        }
        if needs.contains(&Need::Clock) {
            world.environment = fake_clock(&world.path("clock"))?;
            world.step_clock(0)?;
        }
        world.start_host()?;
        Ok(world)
    }

    /// Starts the host, again after [`World::kill_host`], and waits until it serves.
    pub fn start_host(&mut self) -> Result<()> {
        // A host may be several processes, and those that were killed give up the port one by one.
        wait_until(
            "the host's port to be free",
            Duration::from_secs(10),
            Duration::from_millis(5),
            || anyhow::Ok(require_free(self.port).ok()),
        )?;
        let (data, log) = (self.path("host"), self.path("host.log"));
        let address = self.address();
        let url = self.redis.as_ref().map(Redis::url);
        let store = match (&address, &url) {
            (Some(address), _) => Store::Postgres(address),
            (None, Some(url)) => Store::Redis(url),
            (None, None) => Store::Shipped,
        };
        let setup = Setup {
            store,
            environment: &self.environment,
            ..Setup::shipped(&data, Some(&log))
        };
        self.host = Some(Host::start(self.kind, &self.program, self.port, setup)?);
        Ok(())
    }

    /// Ends the host with SIGKILL.
    pub fn kill_host(&mut self) -> Result<()> {
        self.host.take().context("the host does not run")?.kill()
    }

    /// The number of the host's process.
    pub fn host_id(&self) -> Result<u32> {
        Ok(self.host.as_ref().context("the host does not run")?.id())
    }

    /// The Postgres that is the store.
    pub fn postgres(&mut self) -> Result<&mut Postgres> {
        self.postgres.as_mut().context("there is no Postgres")
    }

    /// The Redis that is the store.
    pub fn redis(&mut self) -> Result<&mut Redis> {
        self.redis.as_mut().context("there is no Redis")
    }

    /// What is between the host and Postgres.
    pub fn relay(&self) -> Result<&Relay> {
        self.relay.as_ref().context("there is no relay")
    }

    /// A path in the directory of this world.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The host's clock, from now on this machine's with an offset in seconds.
    pub fn step_clock(&self, offset: i64) -> Result<()> {
        // Renamed into its place: the host reads it at any moment.
        let (file, new) = (self.path("clock"), self.path("clock.new"));
        fs::write(&new, format!("{offset:+}\n"))?;
        self.clock.step(offset);
        fs::rename(new, file)?;
        Ok(())
    }

    /// Fills the store's disk to the last byte, and returns how many bytes that took.
    pub fn fill_disk(&self) -> Result<u64> {
        let Disk(directory) = self.disk.as_ref().context("there is no small disk")?;
        let mut file = File::create(directory.join("filler"))?;
        let mut filled = 0;
        for size in [1 << 16, 1 << 12, 1] {
            let chunk = vec![0; size];
            while file.write_all(&chunk).is_ok() {
                filled += size as u64;
            }
        }
        ensure!(filled > 0, "the disk was full already");
        Ok(filled)
    }

    /// Frees its space again.
    pub fn empty_disk(&self) -> Result<()> {
        let Disk(directory) = self.disk.as_ref().context("there is no small disk")?;
        Ok(fs::remove_file(directory.join("filler"))?)
    }

    fn address(&self) -> Option<Address> {
        let mut address = self.postgres.as_ref()?.service();
        if let Some(relay) = &self.relay {
            address.port = relay.port;
        }
        Some(address)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // What is on it has to end before it is unmounted.
        (self.host, self.postgres, self.redis) = (None, None, None);
    }
}

impl Disk {
    fn mount(directory: &Path, size: &str) -> Result<Self> {
        read(
            "mount a small disk",
            Command::new("mount")
                .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
                .arg(directory),
        )?;
        Ok(Self(directory.to_owned()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// Whether libfaketime can be loaded into `program`: one that is linked statically has no loader.
pub fn takes_a_library(program: &Path) -> Result<bool> {
    let mut start = Vec::new();
    File::open(program)?.take(4096).read_to_end(&mut start)?;
    Ok(start.windows(4).any(|bytes| bytes == b"/ld-"))
}

/// The variables by which libfaketime takes the offset of the wall clock from `file`.
fn fake_clock(file: &Path) -> Result<Vec<(String, String)>> {
    let variable = |name: &str, value: String| (name.to_owned(), value);
    let library = tools::library("faketime", "faketime/libfaketimeMT.so.1")?;
    Ok(vec![
        variable("LD_PRELOAD", library.display().to_string()),
        variable("FAKETIME_TIMESTAMP_FILE", file.display().to_string()),
        variable("FAKETIME_NO_CACHE", "1".to_owned()),
        // Time-outs are by another clock, which is not stepped.
        variable("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        variable("DONT_FAKE_MONOTONIC", "1".to_owned()),
        variable("NO_FAKE_STAT", "1".to_owned()),
    ])
}
