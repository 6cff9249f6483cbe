//! `cargo xtask rehearse-swap`: two versions of the component, each in a host of its own, behind a
//! proxy and over one Postgres, swapped while requests come; and what the naive way costs.
//!
//! HAProxy stands in for the gateway, its weights for those of the HTTPRoute. The steps are those
//! of a release: start, smoke-test, switch, watch, roll back, switch again, retire.

mod load;
mod proxy;
mod report;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use load::Load;
use proxy::Proxy;
use report::{Event, Report};

use harness::{
    client::Connection,
    host::{Host, Store, choose, free_port},
    postgres::{Address, Postgres},
    process::end_all_on_signal,
};
use tools::{
    HostKind, root,
    run::{announce, read},
};

use crate::start;

/// The versions' names, as the proxy has them.
const VERSIONS: [&str; 2] = ["v1", "v2"];

/// What can be chosen.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct Options {
    /// How many requests the swaps have to bear; the naive way gets a fourth of it more
    #[arg(long, default_value_t = 24_000, value_parser = clap::value_parser!(u64).range(1000..))]
    pub requests: u64,
    /// Requests a second: the load is constant
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(10..))]
    pub rate: u32,
    /// The host: Spin where it can be had, else wasmCloud
    #[arg(long)]
    pub host: Option<HostKind>,
}

/// Rehearses, as a command.
pub fn command(options: &Options) -> Result<()> {
    end_all_on_signal()?;
    rehearse(options)
}

/// Swaps both ways, and prints what each has cost.
pub fn rehearse(options: &Options) -> Result<()> {
    let haproxy = tools::find_or_fetch("haproxy")?;
    let (kind, program) = choose(options.host)?;
    let directory = tools::fresh("rehearsal")?;
    let artifacts = build_two(kind, &directory)?;
    announce("starting Postgres");
    let postgres = Postgres::start(&directory.join("postgres"))?;
    let stage = Stage {
        kind,
        program,
        haproxy,
        database: postgres.service(),
        directory,
        artifacts,
        options: *options,
    };
    println!(
        "{}; {} requests a second over {} keep-alive connections, one in four a PUT",
        tools::version(&stage.program),
        options.rate,
        load::CLIENTS
    );
    let swaps = stage.swap().context("the swap could not be rehearsed")?;
    println!("\nSwap by weights\n\n{swaps}");
    let naive = stage.naive().context("the naive way could not be tried")?;
    println!("\nNaive: stop v1, start v2 on its port\n\n{naive}");
    ensure!(
        swaps.requests() >= options.requests,
        "only {} requests were made",
        swaps.requests()
    );
    ensure!(
        swaps.failures() == 0,
        "{} requests failed in the swaps",
        swaps.failures()
    );
    ensure!(
        naive.failures() > 0,
        "no request failed in the naive way: a load that does not notice that proves nothing"
    );
    Ok(())
}

/// What both ways have in common.
struct Stage {
    kind: HostKind,
    program: PathBuf,
    haproxy: PathBuf,
    database: Address,
    directory: PathBuf,
    artifacts: [PathBuf; 2],
    options: Options,
}

impl Stage {
    /// Release, smoke test, switch, roll back, switch again, retire.
    fn swap(&self) -> Result<Report> {
        let [v1, v2] = VERSIONS;
        let ports = [free_port()?, free_port()?];
        let share = self.options.requests / 6;
        let old = self.host(0, ports[0])?;
        println!("v1 is {}", build_of(ports[0])?);
        let proxy = self.proxy(&[(v1, ports[0]), (v2, ports[1])])?;
        let load = Load::start(proxy.port, self.options.rate);
        let mut events = Vec::new();
        let mut note = |what, swap| events.push(happens(&load, what, swap));

        load.wait_for(share)?;
        note("release v2", None);
        let new = self.host(1, ports[1])?;
        smoke_test(ports[1])?;
        note("v2 has passed the smoke test", None);
        println!("v2 is {}", build_of(ports[1])?);
        for (what, old, new) in [
            ("switch to v2", v1, v2),
            ("roll back to v1", v2, v1),
            ("switch to v2 again", v1, v2),
        ] {
            load.wait_for(share)?;
            note(what, Some((old, new)));
            proxy.switch(old, new)?;
        }
        load.wait_for(share)?;
        proxy.drain(v1)?;
        note("retire v1", None);
        drop(old);
        load.wait_for(share)?;
        let records = load.finish()?;
        drop((proxy, new));
        Ok(Report { records, events })
    }

    /// Stop v1, and start v2 on the same port.
    fn naive(&self) -> Result<Report> {
        let port = free_port()?;
        let share = self.options.requests / 8;
        let old = self.host(0, port)?;
        let proxy = self.proxy(&[("either", port)])?;
        let load = Load::start(proxy.port, self.options.rate);
        load.wait_for(share)?;
        let stop = happens(&load, "stop v1", None);
        drop(old);
        let gone = load.elapsed();
        let new = self.host(1, port)?;
        let serves = happens(&load, "v2 serves", None);
        load.wait_for(share)?;
        let mut records = load.finish()?;
        drop((proxy, new));
        // The proxy knows one server. Behind its port, v1 had ended before v2 began.
        for record in &mut records {
            let version = VERSIONS[usize::from(record.sent > gone)];
            record.version = record.version.take().map(|_| version.to_owned());
        }
        Ok(Report {
            records,
            events: vec![stop, serves],
        })
    }

    fn proxy(&self, versions: &[(&str, u16)]) -> Result<Proxy> {
        Proxy::start(&self.haproxy, &self.directory, versions)
    }

    fn host(&self, version: usize, port: u16) -> Result<Host> {
        let data = self.directory.join(format!("{port}/{}", VERSIONS[version]));
        let store = Store::Postgres(&self.database);
        let artifact = &self.artifacts[version];
        start(self.kind, &self.program, artifact, port, store, &data)
    }
}

/// Something that is done now, while the load goes on.
fn happens(load: &Load, what: &str, swap: Option<(&'static str, &'static str)>) -> Event {
    announce(what);
    Event {
        at: load.elapsed(),
        what: what.to_owned(),
        swap,
    }
}

/// The chart's smoke test, of a version that has no other traffic yet.
fn smoke_test(port: u16) -> Result<()> {
    tools::find_or_fetch("curl")?;
    read(
        "see that v2 keeps the contract",
        Command::new("sh")
            .arg(root().join("deploy/chart/files/smoke.sh"))
            .env("PATH", tools::path())
            .env("HELLO_URL", format!("http://127.0.0.1:{port}")),
    )
    .map(drop)
}

/// What the version on `port` says of itself.
fn build_of(port: u16) -> Result<String> {
    let answer = Connection::open(port)?.exchange("GET", "/metrics", &[], b"")?;
    let text = String::from_utf8_lossy(&answer.body);
    let mut lines = text.lines();
    let line = lines.find(|line| line.starts_with("hello_build_info{"));
    let line = line.context("/metrics has no hello_build_info")?;
    Ok(line.trim_end_matches(" 1").to_owned())
}

/// Builds the tree twice, with two revisions, and leaves the tree's own as the last.
fn build_two(kind: HostKind, directory: &Path) -> Result<[PathBuf; 2]> {
    let copy = |revision: &str, version: &str| -> Result<PathBuf> {
        componentize::build_as(Some(kind), revision)?;
        let copy = directory.join(format!("{version}.wasm"));
        fs::copy(kind.artifact(), &copy)?;
        Ok(copy)
    };
    let revision = componentize::revision();
    let v2 = copy(&format!("{revision}-next"), VERSIONS[1])?;
    let v1 = copy(&revision, VERSIONS[0])?;
    ensure!(
        fs::read(&v1)? != fs::read(&v2)?,
        "both versions are the same artifact"
    );
    Ok([v1, v2])
}
