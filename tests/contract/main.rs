//! The contract, natively: the scenario table and the conformance suite over the store in
//! memory, and what happens when a store fails. No host is needed.

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
    scenarios::{Answer, Expected, Scenario, Step, scenarios},
};

/// Days on which a rule about dates shows: the real one is the hosts' affair.
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
            "the store does not answer",
        ),
        (
            "a corrupt record",
            StoreError::Corrupt,
            "the store does not answer",
        ),
        (
            "a misconfigured store",
            StoreError::Misconfigured("the variable `store`".to_owned()),
            "the store is misconfigured",
        ),
    ] {
        trials.push(Trial::test(
            format!("native: {name} is 503, and only livez stands"),
            move || fail(&outage, detail),
        ));
    }
    trials.push(Trial::test(
        "native: a store that is too slow is not ready",
        too_slow,
    ));
    trials.extend(openapi::trials());
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn run(scenario: &Scenario, today: NaiveDate) -> Result<(), Failed> {
    let host = MemoryHost::default();
    for step in &scenario.steps {
        step.check(&ask(step, &host, today).0)
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
        let (answer, cause) = ask(&step, &host, today);
        step.check(&answer)?;
        if cause.as_ref() != Some(outage) {
            return Err(format!("the log would get {cause:?}").into());
        }
        let told = String::from_utf8_lossy(&answer.body).into_owned();
        if told.contains("refused") || told.contains("variable") {
            return Err(format!("the client is told the cause: {told}").into());
        }
    }
    let alive = ask(&request("GET", "/livez", ""), &host, today).0;
    if alive.status != 200 {
        return Err("livez depends on the store".into());
    }
    host.users.set_outage(None);
    if ask(&request("GET", "/readyz", ""), &host, today).0.status != 200 || !host.users.is_empty() {
        return Err("the store is not back as it was".into());
    }
    Ok(())
}

/// A clock that goes on by more than a store may take, each time it is read.
fn too_slow() -> Result<(), Failed> {
    let host = MemoryHost::default();
    let time = Cell::new(Duration::ZERO);
    let clock = || {
        time.set(time.get() + READINESS_TIMEOUT + Duration::from_nanos(1));
        time.get()
    };
    let request = Request::get("/readyz").body(&b""[..])?;
    let answer = block_on(respond(
        request,
        &Session::new(&host),
        TODAYS[0].parse()?,
        clock,
    ));
    if answer.response.status() != 503 || answer.failure.is_none() {
        return Err(format!("it is ready: {answer:?}").into());
    }
    Ok(())
}

/// The answer, as a server would send it, and what the log would get.
fn ask(step: &Step, host: &MemoryHost, today: NaiveDate) -> (Answer, Option<StoreError>) {
    let mut request = Request::builder()
        .method(Method::from_bytes(step.method.as_bytes()).expect("a method"))
        .uri(&step.target);
    for (name, value) in &step.headers {
        request = request.header(*name, *value);
    }
    request = request.header("content-length", step.body.len());
    let request = request.body(&step.body[..]).expect("a request");
    let session = Session::new(host);
    let answer = block_on(respond(request, &session, today, || Duration::ZERO));
    let cause = answer.failure.map(|failure| failure.error);
    let response = answer.response;
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
    let answer = Answer {
        status,
        headers,
        body,
    };
    (answer, cause)
}
