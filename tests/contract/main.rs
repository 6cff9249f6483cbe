//! The contract without a host: the scenario table and the conformance suite with the in-memory
//! store, and store failures.

mod openapi;
#[path = "../suite/mod.rs"]
mod suite;

use std::{cell::Cell, time::Duration};

use chrono::NaiveDate;
use hello::{
    api::{READINESS_TIMEOUT, respond},
    host::{Session, memory::MemoryHost},
    store::{StoreError, memory::MemoryStore},
};
use http::{Method, Request};
use libtest_mimic::{Arguments, Failed, Trial};
use pollster::block_on;
use suite::{
    conformance,
    scenarios::{Expected, Response, Scenario, Step, scenarios},
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
            trials.push(Trial::test(name, move || run(&scenario, today)));
        }
    }
    for (name, check) in conformance::checks::<MemoryStore>() {
        trials.push(Trial::test(format!("memory: {name}"), move || {
            let store = MemoryStore::default();
            check(&|| store.clone());
            Ok(())
        }));
    }
    for (name, outage, detail) in [
        (
            "an unavailable store",
            StoreError::Unavailable("connection refused".to_owned()),
            "the store is unavailable",
        ),
        (
            "a corrupt record",
            StoreError::Corrupt,
            "the store is unavailable",
        ),
        (
            "a misconfigured store",
            StoreError::Misconfigured("the variable `store`".to_owned()),
            "the store is misconfigured",
        ),
    ] {
        trials.push(Trial::test(
            format!("native: {name} is 503, and only livez is 200"),
            move || fail(&outage, detail),
        ));
    }
    trials.push(Trial::test("native: a slow store is not ready", slow_store));
    trials.extend(openapi::trials());
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn run(scenario: &Scenario, today: NaiveDate) -> Result<(), Failed> {
    let host = MemoryHost::default();
    for step in &scenario.steps {
        step.check(&send(step, &host, today).0)
            .map_err(|why| format!("{} {}: {why}", step.method, step.target))?;
    }
    Ok(())
}

fn fail(outage: &StoreError, detail: &'static str) -> Result<(), Failed> {
    let today: NaiveDate = TODAYS[0].parse()?;
    let host = MemoryHost::default();
    let request = |method, target: &str, body: &str| Step {
        method,
        target: target.to_owned(),
        headers: vec![("content-type", "application/json")],
        body: body.as_bytes().to_vec(),
        status: 503,
        expected: Expected::Problem {
            detail,
            header: Some(("retry-after", "1")),
        },
    };
    host.users.set_outage(Some(outage.clone()));
    let not_ready = |method| Step {
        expected: Expected::NotReady {
            detail,
            dependency: "key-value",
        },
        ..request(method, "/readyz", "")
    };
    for step in [
        request("GET", "/hello/Ada", ""),
        request("PUT", "/hello/Ada", r#"{"dateOfBirth":"1990-06-20"}"#),
        not_ready("GET"),
        not_ready("HEAD"),
    ] {
        let (response, cause) = send(&step, &host, today);
        step.check(&response)?;
        if cause.as_ref() != Some(outage) {
            return Err(format!("the logged cause is {cause:?}").into());
        }
        let body = String::from_utf8_lossy(&response.body).into_owned();
        if body.contains("refused") || body.contains("variable") {
            return Err(format!("the response contains the cause: {body}").into());
        }
    }
    let alive = send(&request("GET", "/livez", ""), &host, today).0;
    if alive.status != 200 {
        return Err("livez depends on the store".into());
    }
    host.users.set_outage(None);
    if send(&request("GET", "/readyz", ""), &host, today).0.status != 200 || !host.users.is_empty()
    {
        return Err("the store has not recovered".into());
    }
    Ok(())
}

/// A clock that advances by more than the timeout each time it is read.
fn slow_store() -> Result<(), Failed> {
    let host = MemoryHost::default();
    let time = Cell::new(Duration::ZERO);
    let clock = || {
        time.set(time.get() + READINESS_TIMEOUT + Duration::from_nanos(1));
        time.get()
    };
    let request = Request::get("/readyz").body(&b""[..])?;
    let outcome = block_on(respond(
        request,
        &Session::new(&host),
        TODAYS[0].parse()?,
        clock,
    ));
    if outcome.response.status() != 503 || outcome.failure.is_none() {
        return Err(format!("it is ready: {outcome:?}").into());
    }
    Ok(())
}

/// The response, as a server would send it, and the cause for the log.
fn send(step: &Step, host: &MemoryHost, today: NaiveDate) -> (Response, Option<StoreError>) {
    let mut request = Request::builder()
        .method(Method::from_bytes(step.method.as_bytes()).expect("a method"))
        .uri(&step.target);
    for (name, value) in &step.headers {
        request = request.header(*name, *value);
    }
    request = request.header("content-length", step.body.len());
    let request = request.body(&step.body[..]).expect("a request");
    let session = Session::new(host);
    let outcome = block_on(respond(request, &session, today, || Duration::ZERO));
    let cause = outcome.failure.map(|failure| failure.error);
    let response = outcome.response;
    let status = response.status().as_u16();
    let mut headers: Vec<_> = response
        .headers()
        .iter()
        .map(|(name, value)| {
            let value = value.to_str().expect("a header of ASCII");
            (name.to_string(), value.to_owned())
        })
        .collect();
    let mut body = response.into_body().into_owned();
    if status != 204 {
        headers.push(("content-length".to_owned(), body.len().to_string()));
    }
    if step.method == "HEAD" {
        body.clear();
    }
    let response = Response {
        status,
        headers,
        body,
    };
    (response, cause)
}
