//! A steady load of reads and writes, each answer held to the ledger.

use std::{
    collections::BTreeMap,
    io::{self, ErrorKind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use chrono::Utc;
use harness::{client::Connection, wait::wait_until};

use crate::{
    calendar::Clock,
    ledger::{Ledger, Outcome, Verdict, Window, name},
};

/// Keep-alive connections, with one request at a time on each.
const CLIENTS: usize = 16;

/// Users of each client, after which it begins again with the first: no other client writes them.
const USERS: usize = 400;

/// A load that goes on until it is finished.
#[derive(Debug)]
pub struct Load {
    clients: Vec<JoinHandle<Vec<Record>>>,
    shared: Arc<Shared>,
}

/// What all clients share.
#[derive(Debug)]
struct Shared {
    port: u16,
    /// Between two requests of one client.
    interval: Duration,
    ledger: Ledger,
    clock: Arc<Clock>,
    /// How many requests have had the answer that they should.
    answered: AtomicU64,
    is_over: AtomicBool,
    /// How many users of each client have been written.
    written: [AtomicUsize; CLIENTS],
}

/// A request that was made.
#[derive(Clone, Debug)]
pub struct Record {
    /// When it was sent.
    pub sent: Instant,
    /// How long its answer took, or that there is none.
    pub took: Duration,
    /// Whether it was a PUT.
    pub is_write: bool,
    /// What came of it.
    pub end: End,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// A PUT was acknowledged, or a GET's answer fits.
    Answered,
    /// Another status.
    Refused(u16),
    /// No answer: the connection was refused, closed, reset or silent.
    Unanswered(ErrorKind),
    /// A GET's answer shows a write that was not acknowledged, after a later one was.
    Late,
    /// A GET's answer does not fit.
    Wrong,
}

/// What reading everything back came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadBack {
    /// Users whose acknowledged write is not there.
    pub lost: usize,
    /// Users who have a write that was not acknowledged, after a later one was.
    pub late: usize,
    /// Users that were read.
    pub users: usize,
}

impl Load {
    /// Begins to send `rate` requests a second to `port`.
    pub fn start(port: u16, rate: u32, clock: Arc<Clock>) -> Self {
        let shared = Arc::new(Shared {
            port,
            interval: Duration::from_secs(CLIENTS as u64) / rate.max(1),
            ledger: Ledger::default(),
            clock,
            answered: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
            written: Default::default(),
        });
        let clients = (0..CLIENTS)
            .map(|number| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || Client::new(number, shared).run())
            })
            .collect();
        Self { clients, shared }
    }

    /// Waits until `count` more requests have had the answer that they should.
    pub fn wait_for_answers(&self, count: u64, limit: Duration) -> Result<()> {
        let answered = || self.shared.answered.load(Ordering::Relaxed);
        let goal = answered() + count;
        wait_until(
            "answers to the load",
            limit,
            Duration::from_millis(20),
            || Ok((answered() >= goal).then_some(())),
        )
    }

    /// Ends it, reads back every user with an acknowledged write, and gives each request in the order in
    /// which they were sent.
    pub fn finish(self) -> Result<(Vec<Record>, ReadBack)> {
        self.shared.is_over.store(true, Ordering::Relaxed);
        let mut records = Vec::new();
        for client in self.clients {
            records.extend(client.join().ok().context("a client has panicked")?);
        }
        records.sort_by_key(|record| record.sent);
        Ok((records, self.shared.read_back()?))
    }
}

impl Shared {
    /// GETs `user`, and the verdict; any other status than 200 and 404 is the `Err` within.
    fn read(&self, connection: &mut Connection, user: usize) -> io::Result<Result<Verdict, u16>> {
        let (from, started) = (Instant::now(), Utc::now());
        let answer = connection.exchange("GET", &format!("/hello/{}", name(user)), &[], b"")?;
        let window = Window {
            from,
            to: Instant::now(),
        };
        let todays = self.clock.days(started, Utc::now());
        let body = String::from_utf8_lossy(&answer.body);
        Ok(match answer.status {
            200 => Ok(self.ledger.judge(user, window, &todays, Some(&body))),
            // A host that has not loaded the component yet has a 404 of its own.
            404 if answer.header("content-type") == Some("application/problem+json") => {
                Ok(self.ledger.judge(user, window, &todays, None))
            }
            other => Err(other),
        })
    }

    fn read_back(&self) -> Result<ReadBack> {
        let mut total = ReadBack::default();
        let mut connection: Option<Connection> = None;
        for user in self.ledger.saved() {
            // What was refused or cut is asked again: it is about what is stored, now that all is well.
            let verdict = wait_until(
                "a user to be read back",
                Duration::from_secs(60),
                Duration::from_millis(50),
                || {
                    let open = connection
                        .take()
                        .map_or_else(|| Connection::open(self.port), Ok);
                    let Ok(mut open) = open else {
                        return anyhow::Ok(None);
                    };
                    let verdict = self.read(&mut open, user).ok().and_then(Result::ok);
                    connection = verdict.is_some().then_some(open);
                    Ok(verdict)
                },
            )
            .context("the service has not recovered")?;
            total.users += 1;
            match verdict {
                Verdict::Right => {}
                Verdict::Late => total.late += 1,
                Verdict::Wrong => total.lost += 1,
            }
        }
        Ok(total)
    }
}

struct Client {
    number: usize,
    shared: Arc<Shared>,
    connection: Option<Connection>,
    random: u64,
}

impl Client {
    fn new(number: usize, shared: Arc<Shared>) -> Self {
        Self {
            number,
            shared,
            connection: None,
            random: 0x9e37_79b9_7f4a_7c15 ^ (number as u64 + 1),
        }
    }

    fn run(mut self) -> Vec<Record> {
        let mut records = Vec::new();
        let interval = self.shared.interval;
        // Not all at the same moment.
        let mut due = Instant::now() + interval * u32::try_from(self.number).unwrap_or(0) / 16;
        while !self.shared.is_over.load(Ordering::Relaxed) {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            // Who is late sends at once, and does not make up for it.
            due = due.max(Instant::now() - interval) + interval;
            let is_write = self.next(3) == 0;
            let sent = Instant::now();
            let end = if is_write { self.write() } else { self.read() };
            if matches!(end, End::Unanswered(_)) {
                self.connection = None;
            }
            if end == End::Answered {
                self.shared.answered.fetch_add(1, Ordering::Relaxed);
            }
            records.push(Record {
                sent,
                took: sent.elapsed(),
                is_write,
                end,
            });
        }
        records
    }

    /// Saves a new user, or one more time for one of its own.
    fn write(&mut self) -> End {
        let written = self.shared.written[self.number].load(Ordering::Relaxed);
        let is_new = written < USERS && (written == 0 || self.next(2) == 0);
        let turn = if is_new { written } else { self.next(written) };
        if let Err(error) = self.connect() {
            return End::Unanswered(error.kind());
        }
        let user = turn * CLIENTS + self.number;
        let ticket = self.shared.ledger.begin(user);
        if is_new {
            self.shared.written[self.number].store(written + 1, Ordering::Relaxed);
        }
        let target = format!("/hello/{}", name(user));
        let json = [("content-type", "application/json")];
        let body = ticket.birthday.body();
        let answer = self
            .connect()
            .and_then(|connection| connection.exchange("PUT", &target, &json, body.as_bytes()));
        let (outcome, end) = match answer {
            Ok(answer) => match answer.status {
                204 => (Outcome::Acknowledged, End::Answered),
                status @ 400..500 => (Outcome::Void, End::Refused(status)),
                status => (Outcome::Unclear, End::Refused(status)),
            },
            Err(error) => (Outcome::Unclear, End::Unanswered(error.kind())),
        };
        self.shared.ledger.end(&ticket, outcome);
        end
    }

    /// Reads a user of any client.
    fn read(&mut self) -> End {
        let owner = self.next(CLIENTS);
        let written = self.shared.written[owner].load(Ordering::Relaxed);
        let user = self.next(written.max(1)) * CLIENTS + owner;
        let shared = Arc::clone(&self.shared);
        let verdict = self
            .connect()
            .and_then(|connection| shared.read(connection, user));
        match verdict {
            Ok(Ok(Verdict::Right)) => End::Answered,
            Ok(Ok(Verdict::Late)) => End::Late,
            Ok(Ok(Verdict::Wrong)) => End::Wrong,
            Ok(Err(status)) => End::Refused(status),
            Err(error) => End::Unanswered(error.kind()),
        }
    }

    fn connect(&mut self) -> io::Result<&mut Connection> {
        if self.connection.is_none() {
            self.connection = Some(Connection::open(self.shared.port)?);
        }
        self.connection
            .as_mut()
            .ok_or_else(|| ErrorKind::NotConnected.into())
    }

    /// A number below `limit`: xorshift, the same in each run.
    fn next(&mut self, limit: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        usize::try_from(self.random >> 33).unwrap_or(0) % limit.max(1)
    }
}

/// What a load has seen.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// PUTs that were acknowledged.
    pub acknowledged: usize,
    /// GETs whose answer fits.
    pub read: usize,
    /// Requests with another status, by status.
    pub refused: BTreeMap<u16, usize>,
    /// Requests without an answer.
    pub unanswered: usize,
    /// Answers that show a write which was not acknowledged, after a later one was.
    pub late: usize,
    /// Answers that do not fit.
    pub wrong: usize,
    /// How long the slowest took.
    pub slowest: Duration,
}

impl Summary {
    /// Sums up.
    pub fn of(records: &[Record]) -> Self {
        let mut sum = Self::default();
        for record in records {
            match record.end {
                End::Answered if record.is_write => sum.acknowledged += 1,
                End::Answered => sum.read += 1,
                End::Refused(status) => *sum.refused.entry(status).or_default() += 1,
                End::Unanswered(_) => sum.unanswered += 1,
                End::Late => sum.late += 1,
                End::Wrong => sum.wrong += 1,
            }
            sum.slowest = sum.slowest.max(record.took);
        }
        sum
    }

    /// How many requests failed.
    pub fn failed(&self) -> usize {
        self.refused.values().sum::<usize>() + self.unanswered
    }
}

/// From `mended` to the first request after which none fails.
///
/// # Errors
///
/// If the last of all requests failed: then it has not recovered.
pub fn recovery(records: &[Record], mended: Instant) -> Result<Duration> {
    let failed = |record: &&Record| matches!(record.end, End::Refused(_) | End::Unanswered(_));
    let Some(last) = records.iter().rfind(failed) else {
        return Ok(Duration::ZERO);
    };
    let next = records.iter().find(|record| record.sent > last.sent);
    ensure!(
        next.is_some(),
        "the load ended before the service had recovered"
    );
    let next = next.map_or(mended, |record| record.sent);
    Ok(next.saturating_duration_since(mended))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(sent: Instant, end: End) -> Record {
        Record {
            sent,
            took: Duration::from_millis(2),
            is_write: true,
            end,
        }
    }

    #[test]
    fn recovery_is_the_first_request_after_the_last_failure() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut records = vec![
            record(at(0), End::Answered),
            record(at(10), End::Refused(503)),
            record(at(20), End::Answered),
            record(at(30), End::Unanswered(ErrorKind::ConnectionReset)),
            record(at(45), End::Answered),
        ];
        let recovered = recovery(&records, at(15)).expect("it has recovered");
        assert_eq!(recovered, Duration::from_millis(30));
        let sum = Summary::of(&records);
        assert_eq!((sum.acknowledged, sum.failed(), sum.wrong), (3, 2, 0));
        records.push(record(at(60), End::Refused(503)));
        assert!(recovery(&records, at(15)).is_err());
    }
}
