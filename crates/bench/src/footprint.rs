//! `cargo xtask bench footprint`: what an application takes of a node: bytes to ship, the time until it
//! serves, and memory; the first one, and each further one.
//!
//! hello on Spin, FastAPI and the native program are a process for each application, as pods are; a `wash
//! host` runs all of them in one.

use std::{
    env, fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use chrono::Utc;
use harness::{
    client::{self, Connection},
    host::{Store, free_port},
    postgres::{Address, Postgres},
    process::end_all_on_signal,
    wash_host::{WashHost, Workload},
};
use tools::{
    HostKind,
    run::{announce, require_disk},
};

use crate::{
    baseline::{fastapi::FastApi, native::Native},
    compare::{hosts, label, machine, versions, wasmcloud},
    load::{Server, Service},
    put,
    report::{self, table},
    start,
    stats::median,
    usage::proportional_set_size,
};

/// How often the first application is started, to tell how long that takes.
const STARTS: usize = 5;

/// An application that nothing has asked for this long is idle: WASI 0.3 keeps an instance for a second.
const IDLE: Duration = Duration::from_secs(3);

/// How long an application may take until it serves.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What can be chosen.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// How many further applications are started beside the first one
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=500))]
    applications: u16,
    /// Write the results to docs/benchmarks.md as well
    #[arg(long)]
    write: bool,
}

/// A way to run an application. All of them have the same Postgres, and greet the same user.
trait Packaging {
    /// Starts one more application, and returns how long it takes until it greets.
    fn start(&mut self) -> Result<Duration>;

    /// The processes with which the trees of all its processes begin.
    fn processes(&self) -> Vec<u32>;

    /// Ends all applications.
    fn end(&mut self);
}

/// Measures, and prints a table in Markdown.
pub fn run(options: &Options) -> Result<()> {
    end_all_on_signal()?;
    let (tuned, native) = (FastApi::tuned()?, Native::build()?);
    let (kinds, program) = hosts(Some(HostKind::Spin))?;
    let mut kinds: Vec<_> = kinds.into_iter().map(|it| (it, program.clone())).collect();
    HostKind::SpinP3.require(&program)?;
    kinds.push((HostKind::SpinP3, program));
    kinds.extend(wasmcloud()?);
    for (kind, _) in &kinds {
        componentize::build(Some(*kind))?;
    }
    let directory = tools::fresh("bench/footprint")?;
    require_disk(&directory, 3000)?;
    let settings = ["max_connections=5000".to_owned()];
    let postgres = Postgres::start_with(&directory.join("postgres"), &settings)?;
    let database = postgres.service();

    let service = native.start(free_port()?, &database, &directory.join("seed"))?;
    put(&mut Connection::open(service.port)?, "Ada", "1990-06-20")?;
    drop(service);

    let artifact = |kind: &HostKind| anyhow::Ok(fs::metadata(kind.artifact())?.len());
    let mut rows = Vec::new();
    let count = options.applications;
    let mut row = |name: String, bytes: u64, packaging: &mut dyn Packaging| {
        announce(&format!("{name}: {count} applications beside the first"));
        let figures = measured(packaging, count).with_context(|| name.clone())?;
        let [first, idle, further, more] = figures;
        rows.push([
            name,
            bytes.to_string(),
            format!("{first:.0}"),
            format!("{idle:.1}"),
            format!("{further:.0}"),
            format!("{more:.1}"),
        ]);
        anyhow::Ok(())
    };
    let place = |name: &str| directory.join(name);
    row(
        "FastAPI tuned, one worker".to_owned(),
        tuned.bytes()?,
        &mut Processes::of(&place("fastapi"), |port, data| {
            tuned.start_tuned(1, port, &database, data)
        }),
    )?;
    row(
        "native".to_owned(),
        native.bytes()?,
        &mut Processes::of(&place("native"), |port, data| {
            native.start(port, &database, data)
        }),
    )?;
    for (kind, program) in &kinds {
        let (name, data) = (label(*kind).to_owned(), place(&kind.to_string()));
        if kind.is_spin() {
            let mut spin = Processes::of(&data, |port, data| {
                let store = Store::Postgres(&database);
                let host = start(*kind, program, &kind.artifact(), port, store, data, None)?;
                Ok(Service::of(String::new(), true, port, Server::Host(host)))
            });
            row(name, artifact(kind)?, &mut spin)?;
        } else {
            let mut wash = Wash {
                kind: *kind,
                program,
                database: &database,
                directory: data,
                host: None,
                workloads: 0,
            };
            row(name, artifact(kind)?, &mut wash)?;
        }
    }

    let facts = [
        ("Date", Utc::now().format("%F").to_string()),
        ("hello", componentize::revision()),
        ("Hosts", versions(&kinds)),
        ("FastAPI", tuned.versions()?),
        ("native", native.version()?),
        ("Machine", machine(thread::available_parallelism()?.get())?),
    ]
    .map(|(what, which)| [what.to_owned(), which.trim().to_owned()]);
    let further = format!("each of {count} more: start to first 200, ms");
    let text = format!(
        "```sh\ncargo xtask {}\n```\n\n{}\n{}",
        env::args().skip(1).collect::<Vec<_>>().join(" "),
        table(&["what", "which"], &[], facts),
        table(
            &["application"],
            &[
                "bytes to ship",
                "start to first 200, ms",
                "idle memory, MB",
                &further,
                "idle memory of each, MB"
            ],
            rows
        )
    );
    println!("{text}");
    if options.write {
        report::write("footprint", &text)?;
    }
    drop(postgres);
    Ok(fs::remove_dir_all(directory)?)
}

/// Milliseconds until the first application serves, the megabytes that it then takes, and both of each of
/// `count` further ones.
fn measured(packaging: &mut dyn Packaging, count: u16) -> Result<[f64; 4]> {
    let mut first = Vec::new();
    for _ in 0..STARTS {
        packaging.end();
        first.push(milliseconds(packaging.start()?));
    }
    let idle = memory(packaging)?;
    let further: Result<Vec<f64>> = (0..count)
        .map(|_| packaging.start().map(milliseconds))
        .collect();
    let more = (memory(packaging)? - idle) / f64::from(count);
    packaging.end();
    Ok([median(first), idle, median(further?), more])
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// The megabytes that all applications take while they are idle.
fn memory(packaging: &dyn Packaging) -> Result<f64> {
    thread::sleep(IDLE);
    let sizes = packaging.processes().into_iter().map(proportional_set_size);
    let bytes: u64 = sizes.sum::<Result<u64>>()?;
    #[allow(
        clippy::cast_precision_loss,
        reason = "a machine has less than 2^52 bytes"
    )]
    Ok(bytes as f64 / 1e6)
}

/// A process for each application.
struct Processes<S> {
    directory: PathBuf,
    /// Starts one on a port, with its files in a directory.
    start: S,
    started: usize,
    running: Vec<Service>,
}

impl<S: Fn(u16, &Path) -> Result<Service>> Processes<S> {
    fn of(directory: &Path, start: S) -> Self {
        Self {
            directory: directory.to_owned(),
            start,
            started: 0,
            running: Vec::new(),
        }
    }
}

impl<S: Fn(u16, &Path) -> Result<Service>> Packaging for Processes<S> {
    fn start(&mut self) -> Result<Duration> {
        let port = free_port()?;
        let greeted = thread::spawn(move || first_greeting(port, "localhost"));
        self.started += 1;
        let data = self.directory.join(self.started.to_string());
        let service = (self.start)(port, &data)?;
        let greeted = greeted.join().map_err(|_| anyhow::anyhow!("it panicked"))?;
        let took = greeted?.duration_since(service.server.started());
        self.running.push(service);
        Ok(took)
    }

    fn processes(&self) -> Vec<u32> {
        self.running.iter().map(Service::process).collect()
    }

    fn end(&mut self) {
        self.running.clear();
    }
}

/// A workload for each application, in one `wash host`.
struct Wash<'a> {
    kind: HostKind,
    program: &'a Path,
    database: &'a Address,
    directory: PathBuf,
    host: Option<(WashHost, u16, String)>,
    workloads: usize,
}

impl Packaging for Wash<'_> {
    fn start(&mut self) -> Result<Duration> {
        let mut took = Duration::ZERO;
        if self.host.is_none() {
            self.workloads += 1;
            let data = self.directory.join(self.workloads.to_string());
            let port = free_port()?;
            let host = WashHost::start(self.program, port, &data, Some(self.database))?;
            took += host.process().started().elapsed();
            let image = host.push(&self.kind.artifact())?;
            self.host = Some((host, port, image));
        }
        let (host, port, image) = self.host.as_ref().context("it has just been started")?;
        self.workloads += 1;
        let name = format!("hello-{}", self.workloads);
        let started = Instant::now();
        host.start_workload(&Workload {
            name: &name,
            image,
            hosts: &[&name],
            settings: &[("store", "postgres")],
            database: &self.database.database,
            is_p3: self.kind.is_p3(),
        })?;
        Ok(took + first_greeting(*port, &name)?.duration_since(started))
    }

    fn processes(&self) -> Vec<u32> {
        self.host
            .iter()
            .map(|(host, ..)| host.process().id())
            .collect()
    }

    fn end(&mut self) {
        self.host = None;
    }
}

/// When a server on `port`, asked for `host`, first greets.
fn first_greeting(port: u16, host: &str) -> Result<Instant> {
    let request = client::request("GET", "/hello/Ada", &[], b"");
    let request = String::from_utf8(request)?.replace("host: localhost", &format!("host: {host}"));
    let started = Instant::now();
    let ask = || {
        let mut connection = Connection::open(port)?;
        connection.send(request.as_bytes())?;
        connection.receive(false)
    };
    loop {
        match ask() {
            Ok(answer) if answer.status == 200 => {
                ensure!(
                    answer.body.starts_with(b"{\"message\":\"Hello, Ada!"),
                    "another application responds on port {port}"
                );
                return Ok(Instant::now());
            }
            _ if started.elapsed() > TIMEOUT => bail!("nothing greets on port {port}"),
            _ => thread::sleep(Duration::from_millis(1)),
        }
    }
}
