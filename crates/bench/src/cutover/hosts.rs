//! Two versions, each in a host of its own, behind a proxy.
//!
//! HAProxy stands in for the gateway, its weights for those of the HTTPRoute. The steps are those
//! of a release: start, smoke-test, switch, watch, roll back, switch again, retire.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result, ensure};
use harness::{
    client::Connection,
    host::{Host, Store, choose, free_port},
    postgres::{Address, Postgres},
};
use tools::{
    HostKind, root,
    run::{announce, read},
};

use super::{
    Options, VERSIONS, build_two, happens, judge,
    load::{self, Load},
    proxy::Proxy,
    report::Report,
};
use crate::start;

/// Requests a second, if no other number is chosen.
const RATE: u32 = 500;

/// Swaps both ways, and prints what each has cost.
///
/// # Errors
///
/// If a request fails in the swaps, or none does in the naive way.
pub fn rehearse(options: &Options) -> Result<()> {
    let haproxy = tools::find_or_fetch("haproxy")?;
    let (kind, program) = choose(options.host)?;
    let directory = tools::fresh("rehearsal")?;
    let artifacts = VERSIONS.map(|version| directory.join(format!("{version}.wasm")));
    build_two(kind, |version| {
        fs::copy(kind.artifact(), directory.join(format!("{version}.wasm")))?;
        Ok(())
    })?;
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
        options.rate.unwrap_or(RATE),
        load::CLIENTS
    );
    let swaps = stage.swap().context("the swap could not be rehearsed")?;
    let naive = stage.naive().context("the naive way could not be tried")?;
    judge(options, &swaps, ("stop v1, start v2 on its port", &naive))?;
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
        let load = Load::start(proxy.port, self.options.rate.unwrap_or(RATE));
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
        let load = Load::start(proxy.port, self.options.rate.unwrap_or(RATE));
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
        start(self.kind, &self.program, artifact, port, store, &data, None)
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
