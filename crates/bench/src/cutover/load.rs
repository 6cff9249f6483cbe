//! A constant load of reads and writes over keep-alive connections, each answer checked.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use chrono::{Days, NaiveDate, Utc};

use super::proxy::VERSION_HEADER;
use harness::{client::Connection, wait::wait_until};

/// Keep-alive connections, with one request at a time on each.
pub const CLIENTS: u32 = 16;

/// Users of each client. No other client writes them, so it knows what each GET owes it.
const USERS: usize = 8;

/// One request in so many is a PUT.
const PUT_EVERY: usize = 4;

/// A request that was made.
#[derive(Clone, Debug)]
pub struct Record {
    /// The request's own user-agent.
    pub name: String,
    /// When it was sent, since the load began.
    pub sent: Duration,
    /// When its answer was there, or would not come.
    pub done: Duration,
    /// The version that answered, if one did.
    pub version: Option<String>,
    /// What is wrong with the answer, if something is.
    pub failure: Option<String>,
}

/// A load that goes on until it is finished.
#[derive(Debug)]
pub struct Load {
    clients: Vec<JoinHandle<Vec<Record>>>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    port: u16,
    began: Instant,
    /// Between two requests of one client.
    interval: Duration,
    /// How many requests are over.
    count: AtomicU64,
    is_over: AtomicBool,
}

impl Load {
    /// Begins to send `rate` requests a second to `port`.
    pub fn start(port: u16, rate: u32) -> Self {
        let shared = Arc::new(Shared {
            port,
            began: Instant::now(),
            interval: Duration::from_secs(1) * CLIENTS / rate.max(1),
            count: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        });
        let clients = (0..CLIENTS)
            .map(|number| {
                let shared = Arc::clone(&shared);
                // Not all at the same moment: then each switch could fall between two beats.
                let first = shared.began + shared.interval * number / CLIENTS;
                thread::spawn(move || Client::new(number).run(&shared, first))
            })
            .collect();
        Self { clients, shared }
    }

    /// The time since it began.
    pub fn elapsed(&self) -> Duration {
        self.shared.began.elapsed()
    }

    /// How many requests are over.
    pub fn count(&self) -> u64 {
        self.shared.count.load(Ordering::Relaxed)
    }

    /// Waits until `requests` more are over.
    pub fn wait_for(&self, requests: u64) -> Result<()> {
        const TIMEOUT: Duration = Duration::from_secs(30);
        let count = || self.count();
        let goal = count() + requests;
        let mut last = count();
        while last < goal {
            let progress = || anyhow::Ok(Some(count()).filter(|now| *now > last));
            last = wait_until(
                "a request to end",
                TIMEOUT,
                Duration::from_millis(5),
                progress,
            )?;
        }
        Ok(())
    }

    /// Ends it, and gives every request in the order in which they were sent.
    pub fn finish(self) -> Result<Vec<Record>> {
        self.shared.is_over.store(true, Ordering::Relaxed);
        let mut records = Vec::new();
        for client in self.clients {
            let made = client.join().ok().context("a client has panicked")?;
            records.extend(made);
        }
        records.sort_by_key(|record| record.sent);
        Ok(records)
    }
}

struct Client {
    /// What begins the names of its users.
    prefix: String,
    connection: Option<Connection>,
    /// The next birthday of each user, as it was last acknowledged; `None` where a PUT was not
    /// acknowledged, and either date is right.
    saved: [Option<NaiveDate>; USERS],
}

impl Client {
    fn new(number: u32) -> Self {
        Self {
            prefix: format!("Rehearsal{}", letter(number)),
            connection: None,
            saved: [None; USERS],
        }
    }

    fn run(mut self, shared: &Shared, first: Instant) -> Vec<Record> {
        let mut records = Vec::new();
        let mut due = first;
        for n in 0.. {
            if shared.is_over.load(Ordering::Relaxed) {
                break;
            }
            thread::sleep(due.saturating_duration_since(Instant::now()));
            // Who is late sends at once, and does not make up for it: the load is constant.
            due = due.max(Instant::now() - shared.interval) + shared.interval;
            let sent = shared.began.elapsed();
            let mut version = None;
            let name = format!("{}/{n}", self.prefix);
            let outcome = self.request(shared.port, n, &name, &mut version);
            if outcome.is_err() {
                self.connection = None;
            }
            records.push(Record {
                name,
                sent,
                done: shared.began.elapsed(),
                version,
                failure: outcome.err().map(|error| format!("{error:#}")),
            });
            shared.count.fetch_add(1, Ordering::Relaxed);
        }
        records
    }

    /// Request number `n`, and the check of its answer.
    fn request(
        &mut self,
        port: u16,
        n: usize,
        name: &str,
        version: &mut Option<String>,
    ) -> Result<()> {
        // Each user is written once, then each in turn is read and written.
        let is_put = n < USERS || n.is_multiple_of(PUT_EVERY);
        let user = if n < USERS {
            n
        } else {
            (n / PUT_EVERY + n) % USERS
        };
        let target = format!("/hello/{}{}", self.prefix, letter(u32::try_from(user)?));
        let before = today();
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(Connection::open(port)?),
        };
        let mut exchange = |method, body: &str, status| -> Result<_> {
            // Without a content-type, a body is taken as JSON.
            let headers = [("user-agent", name)];
            let answer = connection.exchange(method, &target, &headers, body.as_bytes())?;
            *version = answer.header(VERSION_HEADER).map(str::to_owned);
            let is = answer.status;
            ensure!(is == status, "{method} is answered with {is}");
            Ok(answer)
        };
        if is_put {
            let days = 2 + u64::try_from(n)? * 37 % 300;
            let birthday = before + Days::new(days);
            self.saved[user] = None;
            // 2000 has every day that a year can have.
            let body = birthday.format(r#"{"dateOfBirth":"2000-%m-%d"}"#);
            exchange("PUT", &body.to_string(), 204)?;
            self.saved[user] = Some(birthday);
            return Ok(());
        }
        let answer = exchange("GET", "", 200)?;
        let Some(birthday) = self.saved[user] else {
            return Ok(());
        };
        let user = target.trim_start_matches("/hello/");
        let body = String::from_utf8_lossy(&answer.body);
        // Midnight may pass between the two.
        let is_right = [before, today()].iter().any(|today| {
            let days = (birthday - *today).num_days();
            body == format!(r#"{{"message":"Hello, {user}! Your birthday is in {days} day(s)"}}"#)
        });
        ensure!(is_right, "GET does not give what was saved: {body}");
        Ok(())
    }
}

fn letter(number: u32) -> char {
    char::from_u32(u32::from('a') + number).expect("there are fewer clients than letters")
}

fn today() -> NaiveDate {
    Utc::now().date_naive()
}
