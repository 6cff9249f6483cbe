//! What /metrics counts, beside what clients counted.

use std::{
    collections::{BTreeMap, BTreeSet},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use harness::{client::Connection, wait::wait_until};

use super::{HostUnderTest, counting};
use crate::{JSON, PUT, expect, letters};

/// How long counts may lag: a request is counted after its answer has left.
const LAG: Duration = Duration::from_secs(30);

/// How long until the next look at them. Each look has to have been counted by then.
const INTERVAL: Duration = Duration::from_millis(250);

/// How many requests the clients send, and how many clients there are.
const REQUESTS: usize = 10_000;
const CLIENTS: usize = 16;

/// Method, route, status.
type Labels = (String, String, u16);

/// How many requests there were of each kind.
pub type Counts = BTreeMap<Labels, u64>;

/// What /metrics said at one time.
pub struct Scrape {
    text: String,
}

impl Scrape {
    pub fn of(port: u16) -> Result<Self> {
        let answer = expect(&mut Connection::open(port)?, "GET", "/metrics", b"", 200)?;
        let text = String::from_utf8(answer.body)?;
        Ok(Self { text })
    }

    /// Each series with its value.
    fn series(&self) -> impl Iterator<Item = (&str, &str)> {
        self.text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.rsplit_once(' '))
    }

    /// The value of the series that is written as `series`.
    pub fn value(&self, series: &str) -> Option<u64> {
        let (_, value) = self.series().find(|(name, _)| *name == series)?;
        value.parse().ok()
    }

    fn names(&self) -> BTreeSet<&str> {
        self.series().map(|(series, _)| series).collect()
    }

    /// The values of the metric `name`, by method, route and status; of a histogram's buckets,
    /// only the last.
    fn counts(&self, name: &str) -> Result<Counts> {
        let mut counts = Counts::new();
        for (series, value) in self.series() {
            let Some((metric, pairs)) = series.split_once('{') else {
                continue;
            };
            let label = |name: &str| {
                let (_, rest) = pairs.split_once(&format!("{name}=\""))?;
                rest.split_once('"').map(|(value, _)| value)
            };
            if metric != name || label("le").is_some_and(|bound| bound != "+Inf") {
                continue;
            }
            let read = || {
                let status = label("status")?.parse().ok()?;
                let labels = labels(label("method")?, label("route")?, status);
                Some((labels, value.parse().ok()?))
            };
            let (labels, count) = read().with_context(|| format!("{series} is {value}"))?;
            let is_new = counts.insert(labels, count).is_none();
            ensure!(is_new, "it is there twice: {series}");
        }
        Ok(counts)
    }

    pub fn requests(&self) -> Result<Counts> {
        self.counts("http_requests_total")
    }
}

fn labels(method: &str, route: &str, status: u16) -> Labels {
    (method.to_owned(), route.to_owned(), status)
}

/// `counts` and one more request for /metrics.
fn scraped(mut counts: Counts) -> Counts {
    *counts.entry(labels("GET", "/metrics", 200)).or_default() += 1;
    counts
}

/// The requests that found the host ready, as [`exact`] and [`bounded`] get it.
const PROBED: &[(&str, &str, u16)] = &[("GET", "/livez", 200)];

/// The counts of an idle host that has answered these requests. They may stand still before it has counted
/// them all, where the disk is busy.
fn settled(port: u16, answered: &[(&str, &str, u16)]) -> Result<Counts> {
    let answered = answered.iter();
    let answered: Vec<_> = answered
        .map(|(method, route, status)| labels(method, route, *status))
        .collect();
    let mut before = None;
    wait_until("all counts, standing still", LAG, INTERVAL, || {
        let now = Scrape::of(port)?.requests()?;
        let is_settled = before.take().map(scraped).as_ref() == Some(&now);
        before = Some(now.clone());
        let are_all = answered.iter().all(|kind| now.contains_key(kind));
        Ok((is_settled && are_all).then_some(now))
    })
}

/// Waits until /metrics has `expected`, to which each look at it adds one.
fn wait_for(port: u16, mut expected: Counts) -> Result<Scrape> {
    let mut differences = String::new();
    let waited = wait_until("the counts of the clients", LAG, INTERVAL, || {
        let scrape = Scrape::of(port)?;
        let counted = scrape.requests()?;
        let kinds: BTreeSet<&Labels> = expected.keys().chain(counted.keys()).collect();
        differences = kinds
            .into_iter()
            .map(|kind| (kind, expected.get(kind), counted.get(kind)))
            .filter(|(_, clients, service)| clients != service)
            .map(|(kind, clients, service)| {
                format!("\n{kind:?}: clients {clients:?}, /metrics {service:?}")
            })
            .collect();
        expected = scraped(std::mem::take(&mut expected));
        anyhow::Ok(differences.is_empty().then_some(scrape))
    });
    waited.with_context(|| differences)
}

/// One kind of request: method, path, body, and the route that it belongs to.
type Kind = (&'static str, &'static str, &'static [u8], &'static str);

pub const HELLO: &str = "/hello/{username}";
const ASSET: &str = "/docs/{asset}";
const OTHER: &str = "_OTHER";

/// What the clients send, in turn.
const KINDS: [Kind; 20] = [
    ("GET", "/hello/Counted", b"", HELLO),
    ("PUT", "/hello/Counted", PUT, HELLO),
    ("GET", "/hello/Nobody", b"", HELLO),
    ("GET", "/hello/Counted", b"", HELLO),
    ("PUT", "/hello/Counted", b"{}", HELLO),
    ("GET", "/hello/no-name", b"", HELLO),
    ("HEAD", "/hello/Counted", b"", HELLO),
    ("OPTIONS", "/hello/Counted", b"", HELLO),
    ("DELETE", "/hello/Counted", b"", HELLO),
    ("BREW", "/hello/Counted", b"", HELLO),
    ("GET", "/livez", b"", "/livez"),
    ("HEAD", "/livez", b"", "/livez"),
    ("POST", "/livez", b"", "/livez"),
    ("GET", "/readyz", b"", "/readyz"),
    ("GET", "/openapi.json", b"", "/openapi.json"),
    ("GET", "/docs", b"", "/docs"),
    ("GET", "/docs/nothing.js", b"", ASSET),
    ("GET", "/metrics", b"", "/metrics"),
    ("GET", "/no/such/path", b"", OTHER),
    ("PATCH", "/", b"", OTHER),
];

/// The label of a method, of which one above has no name in HTTP.
fn method_label(method: &str) -> &str {
    if method == "BREW" { OTHER } else { method }
}

/// Sends every [`CLIENTS`]th of `requests`, from the `first` on, and counts the answers.
fn client(port: u16, first: usize, requests: usize) -> Result<Counts> {
    let mut counts = Counts::new();
    let mut connection = Connection::open(port)?;
    for n in (first..requests).step_by(CLIENTS) {
        let (method, target, body, route) = KINDS[n % KINDS.len()];
        let answer = connection
            .exchange(method, target, &JSON, body)
            .with_context(|| format!("{method} {target}"))?;
        let labels = labels(method_label(method), route, answer.status);
        *counts.entry(labels).or_default() += 1;
        if answer.header("connection") == Some("close") {
            connection = Connection::open(port)?;
        }
    }
    Ok(counts)
}

pub fn exact(under_test: HostUnderTest) -> Result<()> {
    let (port, _host) = counting(&under_test)?;
    counts_exactly(port, &[], REQUESTS).map(drop)
}

/// Sends so many `requests`, mixed and parallel, and requires that each is counted, once; and so is
/// what the host has `answered` before, but for the probes. What it has counted then.
pub fn counts_exactly(
    port: u16,
    answered: &[(&str, &str, u16)],
    requests: usize,
) -> Result<Counts> {
    let mut expected = scraped(settled(port, &[PROBED, answered].concat())?);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|first| thread::spawn(move || client(port, first, requests)))
        .collect();
    let mut sent = 0;
    for client in clients {
        for (labels, count) in client.join().expect("a client does not panic")? {
            sent += count;
            *expected.entry(labels).or_default() += count;
        }
    }
    ensure!(sent == requests as u64, "they sent {sent}");
    let scrape = wait_for(port, expected.clone())?;
    // The same sums stand in the histogram, twice.
    for name in ["count", "bucket"] {
        let name = format!("http_request_duration_seconds_{name}");
        let counts = scrape.counts(&name)?;
        let is_same = counts == scrape.requests()?;
        ensure!(is_same, "{name} has other sums: {counts:?}");
    }
    scrape.requests()
}

/// Sends what no route or method knows, for each of `numbers`, and users that it had not.
fn strange(port: u16, numbers: std::ops::Range<usize>, sent: &mut Counts) -> Result<()> {
    for n in numbers {
        let name = letters(n);
        let user = format!("/hello/Series{name}");
        let requests = [
            ("GET", format!("/series/{name}?q={n}"), &b""[..], OTHER),
            ("GET", format!("/docs/series-{name}.js"), b"", ASSET),
            ("GET", format!("/hello/{n}"), b"", HELLO),
            ("GET", user.clone(), b"", HELLO),
            ("PUT", user.clone(), PUT, HELLO),
            ("GET", user, b"", HELLO),
        ];
        let mut connection = Connection::open(port)?;
        for (method, target, body, route) in requests {
            let answer = connection.exchange(method, &target, &JSON, body)?;
            *sent
                .entry(labels(method, route, answer.status))
                .or_default() += 1;
        }
        let method = format!("SERIES{}", name.to_uppercase());
        for (target, route) in [("/hello/Ada", HELLO), ("/series", OTHER)] {
            let answer = Connection::open(port)?.exchange(&method, target, &[], b"")?;
            *sent.entry(labels(OTHER, route, answer.status)).or_default() += 1;
        }
    }
    Ok(())
}

pub fn bounded(under_test: HostUnderTest) -> Result<()> {
    let (port, _host) = counting(&under_test)?;
    let mut expected = scraped(settled(port, PROBED)?);
    strange(port, 0..1, &mut expected)?;
    let before = wait_for(port, expected)?;
    let mut expected = scraped(before.requests()?);
    strange(port, 1..501, &mut expected)?;
    let after = wait_for(port, expected)?;
    let (before, after_names) = (before.names(), after.names());
    let new: Vec<_> = after_names.difference(&before).collect();
    ensure!(new.is_empty(), "{} new series: {new:?}", new.len());
    let tells = after.text.to_lowercase().contains("series");
    ensure!(!tells, "/metrics tells what a client sent");
    Ok(())
}
