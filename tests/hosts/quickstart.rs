//! The hosts' own commands as the README has them, in a directory with what the host reads alone.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use harness::{client, client::Connection, host::free_port, process::Process};
use libtest_mimic::Trial;
use tempfile::TempDir;
use tools::{HostKind, root};

use super::{
    HostUnderTest, PUT, expect,
    operations::counters::{HELLO, Scrape, counts_exactly},
    until,
};

/// How long a host may take until it serves.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Fewer than in memory: each is two writes to a disk.
const REQUESTS: usize = 1_000;

pub fn trials(under_test: &HostUnderTest) -> Vec<Trial> {
    match under_test.kind {
        HostKind::Spin => vec![
            under_test.trial("`spin up` alone keeps users and counts exactly", spin_up),
            under_test.trial(
                "`spin up` takes its variables from the environment",
                spin_up_with_variables,
            ),
            under_test.trial(
                "`spin up` alone refuses a manifest that grants `metrics`",
                spin_up_with_metrics,
            ),
        ],
        // spin.toml and .wash/config.yaml are of the component for WASI 0.2.
        HostKind::SpinP3 | HostKind::WasmcloudP3 => Vec::new(),
        HostKind::Wasmcloud => vec![under_test.trial("`wash dev` alone keeps users", wash_dev)],
    }
}

fn spin_up(under_test: HostUnderTest) -> Result<()> {
    let project = spin_project(&under_test)?;
    let (host, port) = start_spin(&under_test, project.path())?;
    saves(port)?;
    let saved = [("PUT", HELLO, 204), ("GET", HELLO, 200)];
    let before = counts_exactly(port, &saved, REQUESTS)?;
    drop(host);

    let (_host, port) = start_spin(&under_test, project.path())?;
    greets(port)?;
    // The counters are beside the users.
    let after = Scrape::of(port)?.requests()?;
    for (labels, count) in before {
        let now = after.get(&labels).copied().unwrap_or_default();
        ensure!(now >= count, "{labels:?}: {count} before, {now} after");
    }
    Ok(())
}

/// The other tests have the variables in the runtime config.
fn spin_up_with_variables(under_test: HostUnderTest) -> Result<()> {
    let project = spin_project(&under_test)?;
    let port = free_port()?;
    let mut command = Command::new(&under_test.program);
    command
        .args(["up", "--listen", &format!("127.0.0.1:{port}")])
        .env("SPIN_VARIABLE_STORE", "postgres")
        .env("SPIN_VARIABLE_POSTGRES_HOST", "127.0.0.1")
        .env("SPIN_VARIABLE_POSTGRES_PORT", free_port()?.to_string());
    let _host = start(&mut command, project.path(), port)?;
    expect(&mut Connection::open(port)?, "GET", "/hello/Ada", b"", 503)?;
    // Two of its variables have arrived, and one that has no default is missing.
    let log = project.path().join("log");
    until("the log names what is missing", START_TIMEOUT, || {
        Ok(fs::read_to_string(&log)?.contains("the variable `postgres_password` is not set"))
    })
}

/// Why spin.toml grants no more than `default`.
fn spin_up_with_metrics(under_test: HostUnderTest) -> Result<()> {
    let project = spin_project(&under_test)?;
    let manifest = project.path().join("spin.toml");
    replace(
        &manifest,
        r#"key_value_stores = ["default"]"#,
        r#"key_value_stores = ["default", "metrics"]"#,
    )?;
    let Err(error) = start_spin(&under_test, project.path()) else {
        bail!("it starts: spin.toml can grant `metrics`, and needs no other manifest");
    };
    let told = format!("{error:#}");
    let refused = told.contains(r#"unknown key_value_stores label "metrics""#);
    ensure!(refused, "it does not start for another reason: {told}");
    Ok(())
}

fn wash_dev(under_test: HostUnderTest) -> Result<()> {
    let project = TempDir::new()?;
    copy(&under_test, ".wash/config.yaml", project.path())?;
    let config = project.path().join(".wash/config.yaml");
    // What it would build is there already, and is the component under test.
    replace(&config, "cargo xtask build --host wasmcloud", "\"true\"")?;
    let start = || {
        // It takes no other address on its command line.
        let port = free_port()?;
        let shipped = fs::read_to_string(&config)?;
        let (_, address) = shipped.split_once("address: ").context("no address")?;
        let address = address.lines().next().unwrap_or_default();
        replace(&config, address, &format!("127.0.0.1:{port}"))?;
        let mut command = Command::new(&under_test.program);
        start(command.arg("dev"), project.path(), port).map(|host| (host, port))
    };
    let (host, port) = start()?;
    saves(port)?;
    let scrape = Scrape::of(port)?;
    ensure!(scrape.requests()?.is_empty(), "it counts: `metrics` is off");
    drop(host);

    let (_host, port) = start()?;
    greets(port)
}

/// A directory with spin.toml, and the component where that names it.
fn spin_project(under_test: &HostUnderTest) -> Result<TempDir> {
    let project = TempDir::new()?;
    copy(under_test, "spin.toml", project.path())?;
    Ok(project)
}

fn start_spin(under_test: &HostUnderTest, project: &Path) -> Result<(Process, u16)> {
    let port = free_port()?;
    let mut command = Command::new(&under_test.program);
    command.args(["up", "--listen", &format!("127.0.0.1:{port}")]);
    Ok((start(&mut command, project, port)?, port))
}

fn start(command: &mut Command, project: &Path, port: u16) -> Result<Process> {
    let is_ready = || client::is_ok(port, "/livez");
    Process::start_server(
        command.current_dir(project),
        Some(&project.join("log")),
        START_TIMEOUT,
        is_ready,
    )
}

/// Copies the host's configuration, and the component to where it is built.
fn copy(under_test: &HostUnderTest, configuration: &str, project: &Path) -> Result<()> {
    let artifact = under_test.kind.artifact();
    let artifact = artifact.strip_prefix(root())?;
    for (source, file) in [
        (root().join(configuration), Path::new(configuration)),
        (under_test.artifact.clone(), artifact),
    ] {
        let copy = project.join(file);
        fs::create_dir_all(copy.parent().context("a file is in a directory")?)?;
        fs::copy(source, copy)?;
    }
    Ok(())
}

/// Replaces what is in a file once.
fn replace(file: &Path, old: &str, new: &str) -> Result<()> {
    let text = fs::read_to_string(file)?;
    let found = text.matches(old).count();
    ensure!(found == 1, "{}: {found} times {old:?}", file.display());
    Ok(fs::write(file, text.replace(old, new))?)
}

fn saves(port: u16) -> Result<()> {
    expect(&mut Connection::open(port)?, "PUT", "/hello/Ada", PUT, 204)?;
    greets(port)
}

fn greets(port: u16) -> Result<()> {
    let answer = expect(&mut Connection::open(port)?, "GET", "/hello/Ada", b"", 200)?;
    let text = String::from_utf8(answer.body)?;
    ensure!(text.contains("Hello, Ada! "), "it greets with {text}");
    Ok(())
}
