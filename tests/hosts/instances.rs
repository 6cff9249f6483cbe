//! An instance that serves many requests: WASI 0.3.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use chrono::{Days, NaiveDate};
use harness::{
    client::{self, Connection},
    host::Store,
};
use libtest_mimic::Trial;
use tempfile::TempDir;

use super::{
    HostUnderTest, JSON, PUT, expect, letters, logs_of,
    operations::counters::Scrape,
    postgres::{BOUND, Pair},
    until,
};

pub fn trials(under_test: &HostUnderTest) -> Vec<Trial> {
    vec![
        under_test.trial(
            "postgres: requests that share an instance see nothing of each other",
            interleaved,
        ),
        under_test.trial(
            "postgres: a connection that was kept and is closed costs no request",
            restarted,
        ),
        under_test.trial(
            "postgres: more clients than Spin lends connections: none is refused",
            crowded,
        ),
        under_test.trial(
            "a host that is killed loses what it counted in the last moment, and no user",
            killed,
        ),
    ]
}

/// Requests that wait for the database at the same time, over fewer connections than there are
/// requests: so some of them share an instance.
fn interleaved(under_test: HostUnderTest) -> Result<()> {
    const REQUESTS: usize = 12;
    let pair = Pair::start(&under_test)?;
    let mut connection = pair.host.connect()?;
    let epoch = NaiveDate::default();
    for n in 0..REQUESTS {
        // Each has another number of days until the birthday.
        let born = epoch + Days::new(20 * n as u64);
        let body = format!(r#"{{"dateOfBirth":"{born}"}}"#);
        expect(&mut connection, "PUT", &path(n), body.as_bytes(), 204)?;
    }
    let alone: Vec<_> = (0..REQUESTS)
        .map(|n| Ok(expect(&mut connection, "GET", &path(n), b"", 200)?.body))
        .collect::<Result<_>>()?;

    let mut waiting = Vec::new();
    for n in 0..REQUESTS {
        let mut connection = pair.host.connect()?;
        // So that nothing but the requests is left to send while the lock lasts.
        expect(&mut connection, "GET", "/livez", b"", 200)?;
        waiting.push((n, connection));
    }
    thread::scope(|scope| {
        let lock = scope.spawn(|| {
            pair.server.psql(
                "BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(1.5); COMMIT",
            )
        });
        let locks = "SELECT count(*) FROM pg_locks WHERE relation = 'users'::regclass \
                     AND mode = 'AccessExclusiveLock' AND granted";
        until("the lock", BOUND, || {
            Ok(pair.server.psql(locks)?.trim() == "1")
        })?;
        for (n, connection) in &mut waiting {
            let id = id(*n);
            let headers = [("x-request-id", id.as_str())];
            connection.send(&client::request("GET", &path(*n), &headers, b""))?;
        }
        lock.join().expect("psql does not panic")?;
        anyhow::Ok(())
    })?;
    for (n, connection) in &mut waiting {
        let answer = connection.receive(false)?;
        let is_own = answer.status == 200
            && answer.body == alone[*n]
            && answer.header("x-request-id") == Some(id(*n).as_str());
        ensure!(is_own, "request {n} got {answer:?}");
    }
    // Spin's pool has not closed one since.
    let connections = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'hello'";
    let connections: usize = pair.server.psql(connections)?.trim().parse()?;
    ensure!(
        connections < REQUESTS,
        "{REQUESTS} requests took {connections} connections: none shared an instance"
    );
    for n in 0..REQUESTS {
        let id = format!(r#""request_id":"{}""#, id(n));
        until("one line of each request", BOUND, || {
            let log = pair.log()?;
            Ok(log.lines().filter(|line| line.contains(&id)).count() == 1)
        })?;
    }
    pair.end()
}

fn restarted(under_test: HostUnderTest) -> Result<()> {
    let mut pair = Pair::start(&under_test)?;
    let mut connection = pair.host.connect()?;
    expect(&mut connection, "PUT", "/hello/Edsger", PUT, 204)?;
    let restarted = AtomicBool::new(false);
    thread::scope(|scope| {
        // Spin ends an instance that has had nothing to do for a second, and with it the connection.
        let awake = scope.spawn(|| {
            let mut connection = pair.host.connect()?;
            while !restarted.load(Ordering::SeqCst) {
                expect(&mut connection, "GET", "/livez", b"", 200)?;
                thread::sleep(Duration::from_millis(50));
            }
            anyhow::Ok(())
        });
        pair.server.stop();
        let started = pair.server.run(&[]);
        restarted.store(true, Ordering::SeqCst);
        started?;
        awake.join().expect("it does not panic")
    })?;
    for (method, body, status) in [("GET", &b""[..], 200), ("PUT", PUT, 204), ("GET", b"", 200)] {
        expect(&mut connection, method, "/hello/Edsger", body, status)?;
    }
    pair.end()
}

/// Spin lends out 64 connections to an address. An instance that kept one for as long as it lives, while
/// others wait for theirs, starved those until their deadline.
fn crowded(under_test: HostUnderTest) -> Result<()> {
    const CLIENTS: usize = 320;
    const REQUESTS: usize = 32;
    let pair = Pair::start(&under_test)?;
    expect(&mut pair.host.connect()?, "PUT", "/hello/Edsger", PUT, 204)?;
    let client = || {
        let mut connection = pair.host.connect()?;
        for _ in 0..REQUESTS {
            expect(&mut connection, "GET", "/hello/Edsger", b"", 200)?;
        }
        anyhow::Ok(())
    };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        clients
            .into_iter()
            .try_for_each(|client| client.join().expect("a client does not panic"))
    })?;
    pair.end()
}

fn path(n: usize) -> String {
    format!("/hello/Edsger{}", letters(n))
}

fn id(n: usize) -> String {
    format!("interleaved-{n}")
}

fn killed(under_test: HostUnderTest) -> Result<()> {
    const SAVES: u64 = 20;
    let directory = TempDir::new()?;
    let host = under_test.start_in(directory.path(), Store::Shipped)?;
    let mut connection = host.connect()?;
    let saved = |n: u64| format!("/hello/Durable{}", letters(usize::try_from(n).unwrap_or(0)));
    for n in 0..SAVES {
        expect(&mut connection, "PUT", &saved(n), PUT, 204)?;
    }
    // The counters of the last 100 ms are in the memory of an instance: a scrape by another may not
    // see them at once, and sees them all after a second of rest.
    thread::sleep(Duration::from_secs(1));
    let requests = Scrape::of(host.port)?;
    let series = r#"http_requests_total{method="PUT",route="/hello/{username}",status="204"}"#;
    let counted = requests.value(series).context("no series of PUT")?;
    ensure!(counted == SAVES, "{counted} of {SAVES} are counted");
    host.kill()?;

    let host = under_test.start_in(directory.path(), Store::Shipped)?;
    let mut connection = Connection::open(host.port)?;
    for n in 0..SAVES {
        let answer = connection.exchange("GET", &saved(n), &JSON, b"")?;
        ensure!(answer.status == 200, "{} is {}", saved(n), answer.status);
    }
    drop(host);
    logs_of(directory.path()).map(drop)
}
