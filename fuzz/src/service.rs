//! The service on an in-memory host, and what a request leaves behind there.

use std::time::Duration;

use hello::{
    birthday::DateOfBirth,
    host::{Session, memory::MemoryHost},
    metrics::Counters,
    store::UserStore,
    username::Username,
};
use http::Method;
use pollster::block_on;

use crate::{
    calendar::Date,
    contract::{self, Answer, Body, USERS, Verdict},
    exchange::{self, Exchange, System},
    request::Request,
};

/// Sends `request`, and panics unless all that comes of it is what the contract says.
pub fn check(request: &Request) -> Verdict {
    let verdict = contract::verdict(request);
    let host = MemoryHost::default();
    for (name, born) in USERS {
        block_on(host.users.save(&username(name), date(born))).expect("the store is available");
    }
    let found = send(request, &host);
    if let Err(difference) = compare(&found, &verdict) {
        panic!("{difference}\nthe request: {request:?}\nthe contract: {verdict:?}");
    }
    verdict
}

/// All that came of a request.
#[derive(Clone, Debug)]
struct Found {
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    line: String,
    counters: Vec<String>,
    users: usize,
    host: MemoryHost,
    today: Date,
}

fn send(request: &Request, host: &MemoryHost) -> Found {
    let session = Session::new(host);
    TODAY.set(request.today.noon());
    let method = Method::from_bytes(&request.method).map_err(http::Error::from);
    let headers = request.headers.clone();
    let converted = method
        .and_then(|method| exchange::request(method, &request.path, headers, &request.body[..]));
    let (response, exchange) = block_on(Exchange::respond::<Fixed, _, _>(converted, &session));
    let (status, headers, body) = exchange.message(response);
    let duration = exchange.duration::<Fixed>();
    let line = exchange.line(duration, &session).to_json();
    block_on(exchange.record(duration, &host.counters)).expect("counters in memory");
    Found {
        status,
        headers,
        body: body.into_owned(),
        line: String::from_utf8(line).expect("a line of the log is UTF-8"),
        counters: block_on(host.counters.keys()).expect("counters in memory"),
        users: host.users.len(),
        host: host.clone(),
        today: request.today,
    }
}

/// The first difference between what came of a request and its verdict.
fn compare(found: &Found, verdict: &Verdict) -> Result<(), String> {
    let equals =
        |answer: &&Answer| answer.status == found.status && is_body(&answer.body, &found.body);
    let Some(answer) = verdict.answers.iter().find(equals) else {
        let body = String::from_utf8_lossy(&found.body);
        return Err(format!("it is answered {} {body}", found.status));
    };
    let text = |text: &str| text.as_bytes().to_vec();
    let mut expected: Vec<(String, Vec<u8>)> = answer
        .headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), text(value)))
        .collect();
    expected.push(("x-request-id".to_owned(), text(&verdict.request_id)));
    if answer.status == 204 {
        ensure(found.body.is_empty(), || "a 204 has a body".to_owned())?;
    } else {
        let length = found.body.len().to_string();
        expected.push(("content-length".to_owned(), text(&length)));
    }
    expected.sort_unstable();
    let mut headers = found.headers.clone();
    headers.sort_unstable();
    ensure(headers == expected, || {
        format!("its headers are {headers:?}")
    })?;
    saved(found, answer.saved.as_ref())?;
    let line = line(found, verdict);
    ensure(found.line == line, || {
        format!("it is logged as {}, and not as {line}", found.line)
    })?;
    let (method, route, status) = (verdict.method, verdict.route.1, found.status);
    let counters = [
        format!("micros.{method}.{route}.{status}"),
        format!("request.{method}.{route}.{status}.5"),
    ];
    ensure(found.counters == counters, || {
        format!("it is counted as {:?}", found.counters)
    })
}

fn is_body(expected: &Body, found: &[u8]) -> bool {
    match expected {
        Body::Exact(body) => body == found,
        Body::Metrics => {
            let text = String::from_utf8_lossy(found);
            let mut names = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
            names.next() == Some("hello_build_info gauge") && names.next().is_none()
        }
    }
}

/// Whether the store has what it had, and what was to be `saved`.
fn saved(found: &Found, saved: Option<&(String, Date)>) -> Result<(), String> {
    let mut users =
        std::collections::BTreeMap::from(USERS.map(|(name, born)| (name.to_owned(), born)));
    users.extend(saved.cloned());
    ensure(found.users == users.len(), || {
        format!("there are {} users", found.users)
    })?;
    for (name, born) in users {
        let stored = block_on(found.host.users.birthday_of(&username(&name)));
        ensure(stored == Ok(Some(date(born))), || {
            format!("{name} has {stored:?}")
        })?;
    }
    Ok(())
}

/// The whole line of the log: it has no place for a username or a date of birth.
fn line(found: &Found, verdict: &Verdict) -> String {
    let Verdict {
        method,
        route,
        request_id,
        trace,
        ..
    } = verdict;
    let trace = trace
        .as_ref()
        .map(|(trace_id, span_id)| format!(r#""trace_id":"{trace_id}","span_id":"{span_id}","#));
    format!(
        concat!(
            r#"{{"timestamp":"{}T12:00:00.000Z","level":"info","message":"request completed","#,
            r#""method":"{}","route":"{}","status":{},"duration_ms":0.0,"request_id":"{}",{}"#,
            r#""host":"memory","store":"key-value"}}"#,
            "\n"
        ),
        found.today,
        method,
        route.0,
        found.status,
        request_id,
        trace.unwrap_or_default()
    )
}

fn ensure(holds: bool, difference: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(difference()) }
}

fn username(name: &str) -> Username {
    Username::parse(name.as_bytes()).expect("a username")
}

fn date(date: Date) -> DateOfBirth {
    DateOfBirth::parse(date.to_string().as_bytes()).expect("a date of birth")
}

/// A system whose clocks stand still, at noon of a request's day.
struct Fixed;

thread_local! {
    static TODAY: std::cell::Cell<i64> = const { std::cell::Cell::new(0) };
}

impl System for Fixed {
    fn uptime() -> Duration {
        Duration::ZERO
    }

    fn wall_clock() -> (i64, u32) {
        (TODAY.get(), 0)
    }

    fn random() -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUT: &[u8] = b"PUT /hello/Grace\n\n{\"dateOfBirth\":\"1906-12-09\"}";

    fn exchange(input: &[u8]) -> (Found, Verdict) {
        let request = Request::parse(input);
        let host = MemoryHost::default();
        for (name, born) in USERS {
            block_on(host.users.save(&username(name), date(born))).expect("the store is available");
        }
        (send(&request, &host), contract::verdict(&request))
    }

    fn differs(input: &[u8], break_it: impl FnOnce(&mut Found)) -> String {
        let (mut found, verdict) = exchange(input);
        assert_eq!(compare(&found, &verdict), Ok(()));
        break_it(&mut found);
        compare(&found, &verdict).expect_err("it differs")
    }

    #[test]
    fn every_fault_is_seen() {
        let differs = |break_it: fn(&mut Found)| differs(PUT, break_it);
        assert!(differs(|it| it.status = 200).contains("answered 200"));
        assert!(differs(|it| it.body = b"x".to_vec()).contains("answered 204 x"));
        assert!(differs(|it| drop(it.headers.pop())).contains("headers"));
        assert!(differs(|it| it.headers[0].1.push(b'x')).contains("headers"));
        assert!(differs(|it| it.users = 2).contains("2 users"));
        assert!(differs(|it| it.line = it.line.replace("{username}", "Grace")).contains("Grace"));
        assert!(differs(|it| it.counters[0].push('x')).contains("counted"));
        let other = differs(|it| {
            let born = date(Date::new(1906, 12, 10).expect("a date"));
            block_on(it.host.users.save(&username("Grace"), born)).expect("it is available");
        });
        assert!(other.contains("Grace has"), "{other}");
    }

    #[test]
    fn what_is_refused_and_stored_all_the_same_is_seen() {
        let stored = differs(b"PUT /hello/Grace\n\n{}", |it| {
            let born = date(Date::new(1906, 12, 9).expect("a date"));
            block_on(it.host.users.save(&username("Grace"), born)).expect("it is available");
            it.users = it.host.users.len();
        });
        assert!(stored.contains("3 users"), "{stored}");
    }

    #[test]
    fn a_greeting_of_another_day_is_seen() {
        let (found, _) = exchange(b"GET /hello/Ada 2027-06-20\n\n");
        let verdict = contract::verdict(&Request::parse(b"GET /hello/Ada 2027-06-19\n\n"));
        let difference = compare(&found, &verdict).expect_err("it differs");
        assert!(difference.contains("Happy birthday!"), "{difference}");
    }
}
