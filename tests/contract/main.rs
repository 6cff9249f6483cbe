//! The contract without a host: the scenario table and the conformance suite with the in-memory
//! store, and store failures.

mod openapi;
#[path = "../suite/mod.rs"]
mod suite;

use std::{cell::Cell, time::Duration};

use anyhow::{Result, ensure};
use chrono::NaiveDate;
use harness::client::Answer;
use hello::{
    api::{Outcome, READINESS_TIMEOUT, body::RequestBody, respond},
    host::{Host, Session, memory::MemoryHost},
    store::{StoreError, memory::MemoryStore},
};
use http::Request;
use libtest_mimic::{Arguments, Trial};
use pollster::block_on;
use suite::{
    conformance,
    scenarios::{Scenario, Step, outage, scenarios},
};

/// Days around leap days and the turn of the year.
const TODAYS: [&str; 6] = [
    "2026-11-22",
    "2027-02-28",
    "2027-03-01",
    "2028-02-28",
    "2028-02-29",
    "2027-12-31",
];

fn main() {
    let mut trials = Vec::new();
    for today in TODAYS {
        let today: NaiveDate = today.parse().expect("a date");
        for scenario in scenarios(today) {
            let name = format!("native, {today}: {}", scenario.name);
            trials.push(trial(name, move || run(&scenario, today)));
        }
    }
    for (name, check) in conformance::checks::<MemoryStore>() {
        trials.push(Trial::test(format!("memory: {name}"), move || {
            let store = MemoryStore::default();
            check(&|| store.clone());
            Ok(())
        }));
    }
    let unavailable = StoreError::Unavailable("connection refused".to_owned());
    let misconfigured = StoreError::Misconfigured("the variable `store`".to_owned());
    for (name, error, reason) in [
        ("an unavailable store", unavailable, "unavailable"),
        ("a corrupt record", StoreError::Corrupt, "unavailable"),
        ("a misconfigured store", misconfigured, "misconfigured"),
    ] {
        let name = format!("native: {name} is 503, and only livez is 200");
        trials.push(trial(name, move || fail(&error, reason)));
    }
    trials.push(trial("native: a slow store is not ready", || {
        readiness_after(READINESS_TIMEOUT + Duration::from_nanos(1), false)
    }));
    trials.push(trial(
        "native: a store that answers in time is ready",
        || readiness_after(READINESS_TIMEOUT, true),
    ));
    trials.extend(openapi::trials());
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn a_day() -> NaiveDate {
    TODAYS[0].parse().expect("a date")
}

fn trial(name: impl Into<String>, test: impl FnOnce() -> Result<()> + Send + 'static) -> Trial {
    Trial::test(name, || Ok(test().map_err(|error| format!("{error:#}"))?))
}

fn run(scenario: &Scenario, today: NaiveDate) -> Result<()> {
    let host = MemoryHost::default();
    let mut steps = scenario.steps.iter();
    steps.try_for_each(|step| step.check(&send(step, &host, today).0))
}

fn fail(error: &StoreError, reason: &str) -> Result<()> {
    let today = a_day();
    let host = MemoryHost::default();
    host.users.set_outage(Some(error.clone()));
    for step in outage(&format!("the store is {reason}"), "key-value") {
        let (answer, cause) = send(&step, &host, today);
        step.check(&answer)?;
        let expected = (step.status == 503).then_some(error);
        ensure!(cause.as_ref() == expected, "the logged cause is {cause:?}");
        let body = String::from_utf8_lossy(&answer.body);
        let tells = body.contains("refused") || body.contains("variable");
        ensure!(!tells, "the response contains the cause: {body}");
    }
    host.users.set_outage(None);
    let ready = over(&host, Request::get("/readyz").body(&b""[..])?, today);
    let recovered = ready.response.status() == 200 && host.users.is_empty();
    ensure!(recovered, "the store has not recovered");
    Ok(())
}

/// Whether `/readyz` `is_ready` by a clock that advances by `step` each time it is read.
fn readiness_after(step: Duration, is_ready: bool) -> Result<()> {
    let host = MemoryHost::default();
    let time = Cell::new(Duration::ZERO);
    let clock = || {
        time.set(time.get() + step);
        time.get()
    };
    let request = Request::get("/readyz").body(&b""[..])?;
    let session = Session::new(&host);
    let outcome = block_on(respond(request, &session, a_day(), clock));
    let expected = if is_ready { 200 } else { 503 };
    let is_expected =
        outcome.response.status() == expected && outcome.failure.is_none() == is_ready;
    ensure!(is_expected, "after {step:?} it is {outcome:?}");
    Ok(())
}

fn over<B: RequestBody>(host: &impl Host, request: Request<B>, today: NaiveDate) -> Outcome {
    let session = Session::new(host);
    block_on(respond(request, &session, today, || Duration::ZERO))
}

fn request(step: &Step) -> Request<&[u8]> {
    let mut request = Request::builder()
        .method(&step.method[..])
        .uri(&step.target)
        .header("content-length", step.body.len());
    for (name, value) in &step.headers {
        request = request.header(name, value);
    }
    request.body(&step.body[..]).expect("a request")
}

/// The answer, as a server would send it, and the cause for the log.
fn send(step: &Step, host: &MemoryHost, today: NaiveDate) -> (Answer, Option<StoreError>) {
    let outcome = over(host, request(step), today);
    let cause = outcome.failure.map(|failure| failure.error);
    let (head, body) = outcome.response.into_parts();
    let mut body = body.into_owned();
    let mut headers: Vec<_> = head
        .headers
        .iter()
        .map(|(name, value)| {
            let value = value.to_str().expect("a header of ASCII");
            (name.to_string(), value.to_owned())
        })
        .collect();
    let status = head.status.as_u16();
    if status != 204 {
        headers.push(("content-length".to_owned(), body.len().to_string()));
    }
    if step.method == "HEAD" {
        body.clear();
    }
    let answer = Answer {
        status,
        headers,
        body,
    };
    (answer, cause)
}
