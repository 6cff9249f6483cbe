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

use anyhow::{Context, Result, anyhow, ensure};
use chrono::{Datelike, Days, NaiveDate};
use harness::{host::Store, postgres::Postgres, redis::Redis};
use hello::{birthday::DateOfBirth, store::UserStore, username::Username};
use libtest_mimic::Trial;
use pollster::block_on;
use serde_json::{Value, json};
use tempfile::TempDir;
use tools::{HostKind, run};

use crate::{HostUnderTest, over_http::OverHttp, until};

const USERS: [&str; 3] = ["LinearA", "LinearB", "LinearC"];
const CLIENTS: usize = 10;

/// Of each client, and half of them PUT. So a user is written fewer times than there are days in
/// [`written`], and each value is one write's.
const OPERATIONS: usize = 120;

/// The end of a PUT that has no answer: it may take effect at any later time, or never.
const NEVER: i64 = i64::MAX;

pub fn trials(under_test: &HostUnderTest, today: NaiveDate) -> Vec<Trial> {
    let has_checker = tools::find("porcupine").or(tools::find("go")).is_some();
    // `wash host` knows no Redis.
    let with_redis = under_test.kind != HostKind::WasmcloudP3;
    let stores = ["key-value", "postgres", "redis"];
    let stores = stores.into_iter().filter(|it| with_redis || *it != "redis");
    let stores = stores.map(|store| {
        let name = format!("{store}: histories of concurrent requests are linearizable");
        under_test.trial(&name, move |it| {
            let verdict = judge(&it, today, store, None)?;
            ensure!(verdict == "linearizable", "the history is {verdict}");
            Ok(())
        })
    });
    let name = "key-value: a cache in front of reads is found not to be linearizable";
    let planted = under_test.trial(name, move |it| {
        let verdict = judge(&it, today, "key-value", Some(Duration::from_millis(100)))?;
        ensure!(verdict == "not linearizable", "the history is {verdict}");
        Ok(())
    });
    let trials = stores.chain([planted]);
    trials
        .map(|trial| trial.with_ignored_flag(!has_checker))
        .collect()
}

/// What porcupine says of a history with `store`, read through a cache if one is planted.
fn judge(
    under_test: &HostUnderTest,
    today: NaiveDate,
    store: &str,
    cached: Option<Duration>,
) -> Result<String> {
    let checker = tools::find_or_fetch("porcupine")?;
    let directory = TempDir::new()?;
    let history = directory.path().join("history");
    let record = |store| record(under_test, today, &directory, store, cached);
    let operations = match store {
        "postgres" => {
            let server = TempDir::new()?;
            let server = Postgres::start(server.path())?;
            let address = server.service();
            record(Store::Postgres(&address))?
        }
        "redis" => {
            let server = TempDir::new()?;
            let server = Redis::start(server.path())?;
            record(Store::Redis(&server.url()))?
        }
        _ => record(Store::Shipped)?,
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
    today: NaiveDate,
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
        today,
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

/// What the PUT number `n` of a user saves. Of the year 2000 and after its 29 February: [`OverHttp`]
/// can tell these apart.
fn written(n: usize) -> Result<DateOfBirth> {
    let march = NaiveDate::from_ymd_opt(2000, 3, 1).context("a date")?;
    let day = march + Days::new(n as u64);
    ensure!(day.year() == 2000, "a user is written {n} times");
    DateOfBirth::from_ymd(day.year(), day.month(), day.day()).context("a date")
}

/// When a user was read, and what.
type Read = (Instant, Option<DateOfBirth>);

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
            let port = self.port.load(Ordering::Relaxed);
            if connection.is_none() {
                connection = OverHttp::connect(port, self.today).ok();
            }
            let Some(open) = &connection else {
                last = "no connection".to_owned();
                thread::sleep(Duration::from_millis(10));
                continue;
            };
            let write =
                is_write.then(|| written(self.written[user].fetch_add(1, Ordering::Relaxed)));
            let write = write.transpose()?;
            let call = self.now()?;
            let outcome = match write {
                Some(born) => {
                    let saved = block_on(open.save(&name(user)?, born));
                    saved.map(|()| write).map_err(|error| anyhow!("{error:?}"))
                }
                None => self.read(open, user),
            };
            let (value, end) = match outcome {
                Ok(value) => (value, self.now()?),
                Err(error) => {
                    last = format!("{error:#}");
                    connection = None;
                    thread::sleep(Duration::from_millis(10));
                    if !is_write {
                        continue;
                    }
                    (write, NEVER)
                }
            };
            let value = value.map_or_else(String::new, |born| born.to_string());
            operations.push(json!({
                "client": client, "user": USERS[user], "write": is_write, "value": value, "call": call,
                "return": end,
            }));
            self.done.fetch_add(1, Ordering::Relaxed);
        }
        Ok(operations)
    }

    fn now(&self) -> Result<i64> {
        Ok(self.began.elapsed().as_nanos().try_into()?)
    }

    /// The date of birth of a user, out of the cache if there is one and it has it.
    fn read(&self, store: &OverHttp, user: usize) -> Result<Option<DateOfBirth>> {
        if let Some((lasts, cache)) = &self.cache {
            let cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((read, born)) = cache.get(&user)
                && read.elapsed() < *lasts
            {
                return Ok(*born);
            }
        }
        let born =
            block_on(store.birthday_of(&name(user)?)).map_err(|error| anyhow!("{error:?}"))?;
        if let Some((_, cache)) = &self.cache {
            let mut cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
            cache.insert(user, (Instant::now(), born));
        }
        Ok(born)
    }
}

fn name(user: usize) -> Result<Username> {
    Username::parse(USERS[user].as_bytes()).map_err(|error| anyhow!("{error:?}"))
}
