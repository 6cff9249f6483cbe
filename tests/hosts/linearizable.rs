//! Concurrent PUT and GET of few users, judged by porcupine: is there an order of them, each at one moment
//! between its request and its answer, in which every GET reads what was PUT last?
//!
//! In the middle of each history the host is killed and started again, so an answer that was given before
//! what it acknowledged is durable is no such order either.

use std::{
    collections::HashMap,
    fs,
    process::Command,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU16, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use chrono::{Datelike, Days, NaiveDate};
use harness::{
    client::{Answer, Connection},
    host::Store,
    postgres::Postgres,
    redis::Redis,
};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use tempfile::TempDir;
use tools::{HostKind, run};

use crate::{HostUnderTest, JSON, until};

const USERS: [&str; 3] = ["LinearA", "LinearB", "LinearC"];
const CLIENTS: usize = 10;

/// Of each client, and half of them PUT. So a user is written fewer times than a year has days, and
/// each value is one write's.
const OPERATIONS: usize = 120;

/// What a GET reads of a user that is not there.
const ABSENT: i64 = -1;

/// The end of a PUT that has no answer: it may take effect at any later time, or never.
const NEVER: i64 = i64::MAX;

pub fn trials(under_test: &HostUnderTest) -> Vec<Trial> {
    let has_checker = tools::find("porcupine").or(tools::find("go")).is_some();
    let stores = ["key-value", "postgres", "redis"].map(|store| {
        let name = format!("{store}: histories of concurrent requests are linearizable");
        under_test.trial(&name, move |it| {
            let verdict = judge(&it, store, None)?;
            ensure!(verdict == "linearizable", "the history is {verdict}");
            Ok(())
        })
    });
    let name = "key-value: a cache in front of reads is found not to be linearizable";
    let planted = under_test.trial(name, |it| {
        let verdict = judge(&it, "key-value", Some(Duration::from_millis(100)))?;
        ensure!(verdict == "not linearizable", "the history is {verdict}");
        Ok(())
    });
    let trials = stores.into_iter().chain([planted]);
    trials
        .map(|trial| trial.with_ignored_flag(!has_checker))
        .collect()
}

/// What porcupine says of a history with `store`, read through a cache if one is planted.
fn judge(under_test: &HostUnderTest, store: &str, cached: Option<Duration>) -> Result<String> {
    let checker = tools::find_or_fetch("porcupine")?;
    let directory = TempDir::new()?;
    let history = directory.path().join("history");
    let operations = match store {
        "postgres" => {
            let server = TempDir::new()?;
            let server = Postgres::start(server.path())?;
            let address = server.service();
            record(under_test, &directory, Store::Postgres(&address), cached)?
        }
        "redis" => {
            let server = TempDir::new()?;
            let server = Redis::start(server.path())?;
            record(under_test, &directory, Store::Redis(&server.url()), cached)?
        }
        _ => record(under_test, &directory, Store::Shipped, cached)?,
    };
    let of = |write| {
        let chosen = operations.iter().filter(|it| it["write"] == write);
        chosen.count()
    };
    let (puts, gets) = (of(true), of(false));
    let unanswered = operations.iter().filter(|it| it["return"] == NEVER).count();
    let lines: Vec<String> = operations.iter().map(Value::to_string).collect();
    fs::write(&history, lines.join("\n"))?;
    let name = format!(
        "{}-{store}{}",
        under_test.kind,
        if cached.is_some() { "-cache" } else { "" }
    );
    let drawing = tools::target().join(format!("linearizable/{name}.html"));
    fs::create_dir_all(drawing.parent().context("it is in a directory")?)?;
    let verdict = run::read(
        "judge a history",
        Command::new(checker).arg(&history).arg(&drawing),
    )?;
    let verdict = verdict.trim().to_owned();
    eprintln!(
        "{name}: {puts} PUT, {unanswered} of them without an answer, and {gets} GET of {} users by \
         {CLIENTS} clients: {verdict} ({})",
        USERS.len(),
        drawing.display()
    );
    Ok(verdict)
}

/// Has clients send requests to a host, kills it in the middle, and returns what they saw.
fn record(
    under_test: &HostUnderTest,
    directory: &TempDir,
    store: Store,
    cached: Option<Duration>,
) -> Result<Vec<Value>> {
    let data = directory.path().join("host");
    fs::create_dir(&data)?;
    // wash's directory is known to lose a user whose file it was writing: docs/limitations.md.
    let is_directory = matches!(store, Store::Shipped) && under_test.kind == HostKind::Wasmcloud;
    let host = under_test.start_in(&data, store)?;
    let recorder = Recorder {
        port: AtomicU16::new(host.port),
        done: AtomicUsize::new(0),
        written: [const { AtomicUsize::new(0) }; USERS.len()],
        began: Instant::now(),
        today: today(),
        cache: cached.map(|lasts| (lasts, Mutex::default())),
    };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let recorder = &recorder;
                scope.spawn(move || recorder.client(client))
            })
            .collect();
        let limit = Duration::from_secs(120);
        let restarted = until("half of the history", limit, || {
            Ok(recorder.done.load(Ordering::Relaxed) > CLIENTS * OPERATIONS / 2)
        })
        .and_then(|()| {
            if is_directory {
                return Ok(host);
            }
            host.kill()?;
            under_test.start_in(&data, store)
        });
        if let Ok(host) = &restarted {
            recorder.port.store(host.port, Ordering::Relaxed);
        }
        let mut operations = Vec::new();
        for client in clients {
            operations.extend(client.join().expect("a client does not panic")?);
        }
        restarted?;
        Ok(operations)
    })
}

fn today() -> NaiveDate {
    let seconds = std::time::UNIX_EPOCH
        .elapsed()
        .expect("after 1970")
        .as_secs();
    NaiveDate::default() + Days::new(seconds / (24 * 60 * 60))
}

/// When a user was read, and what.
type Read = (Instant, i64);

/// What the clients of one history share.
struct Recorder {
    /// Of the host that is up.
    port: AtomicU16,
    /// Operations that have ended.
    done: AtomicUsize,
    /// PUTs of each user so far.
    written: [AtomicUsize; USERS.len()],
    began: Instant,
    today: NaiveDate,
    /// The planted bug: what was read is read again for so long.
    cache: Option<(Duration, Mutex<HashMap<usize, Read>>)>,
}

impl Recorder {
    /// Sends requests one after another, and returns those that may have had an effect or have read something.
    fn client(&self, client: usize) -> Result<Vec<Value>> {
        let mut operations = Vec::new();
        let mut connection = None;
        let mut last = String::new();
        // A generator of Lehmer's: each client has its own order, in every run the same.
        let mut random = client as u64 + 1;
        while operations.len() < OPERATIONS {
            let limit = Duration::from_secs(180);
            ensure!(self.began.elapsed() < limit, "no history: {last}");
            random = random * 48_271 % 2_147_483_647;
            let user = usize::try_from(random >> 8)? % USERS.len();
            let is_write = random >> 4 & 1 == 1;
            let Some(open) = self.connected(&mut connection) else {
                last = "no connection".to_owned();
                thread::sleep(Duration::from_millis(10));
                continue;
            };
            let write = is_write.then(|| self.written[user].fetch_add(1, Ordering::Relaxed));
            let call = self.now()?;
            let outcome = match write {
                Some(n) => self.put(open, user, n).map(|()| n as i64),
                None => self.get(open, user),
            };
            let value = match (outcome, write) {
                (Ok(value), _) => Some((value, self.now()?)),
                (Err(error), write) => {
                    last = format!("{error:#}");
                    connection = None;
                    thread::sleep(Duration::from_millis(10));
                    write.map(|n| (n as i64, NEVER))
                }
            };
            if let Some((value, end)) = value {
                operations.push(json!({
                    "client": client, "user": USERS[user], "write": is_write, "value": value, "call": call,
                    "return": end,
                }));
                self.done.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(operations)
    }

    fn connected<'a>(&self, connection: &'a mut Option<Connection>) -> Option<&'a mut Connection> {
        if connection.is_none() {
            *connection = Connection::open(self.port.load(Ordering::Relaxed)).ok();
        }
        connection.as_mut()
    }

    fn now(&self) -> Result<i64> {
        Ok(self.began.elapsed().as_nanos().try_into()?)
    }

    /// Saves the date whose birthday is in `days` days.
    fn put(&self, connection: &mut Connection, user: usize, days: usize) -> Result<()> {
        let birthday = self.today + Days::new(days as u64);
        let body = format!(
            r#"{{"dateOfBirth":"2000-{:02}-{:02}"}}"#,
            birthday.month(),
            birthday.day()
        );
        let target = format!("/hello/{}", USERS[user]);
        let answer = connection.exchange("PUT", &target, &JSON, body.as_bytes())?;
        ensure!(answer.status == 204, "PUT got {}", text(&answer));
        Ok(())
    }

    /// In how many days the birthday is that is read, or [`ABSENT`].
    fn get(&self, connection: &mut Connection, user: usize) -> Result<i64> {
        if let Some((lasts, cache)) = &self.cache {
            let cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((read, value)) = cache.get(&user)
                && read.elapsed() < *lasts
            {
                return Ok(*value);
            }
        }
        let answer = connection.exchange("GET", &format!("/hello/{}", USERS[user]), &[], b"")?;
        let body = String::from_utf8_lossy(&answer.body);
        let value = match answer.status {
            // A host that has not loaded the component has a 404 of its own.
            404 if body.contains("user not found") => ABSENT,
            200 if body.contains("Happy birthday!") => 0,
            200 => {
                let days = body.split_once("Your birthday is in ");
                let days = days.and_then(|(_, rest)| rest.split(' ').next());
                days.with_context(|| text(&answer))?.parse()?
            }
            _ => bail!("GET got {}", text(&answer)),
        };
        if let Some((_, cache)) = &self.cache {
            let mut cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
            cache.insert(user, (Instant::now(), value));
        }
        Ok(value)
    }
}

fn text(answer: &Answer) -> String {
    let body = String::from_utf8_lossy(&answer.body);
    format!("{}: {body}", answer.status)
}
