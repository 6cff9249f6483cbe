//! What the fuzz targets check: every input is answered exactly as the contract says.
//!
//! | module | job |
//! | --- | --- |
//! | [`request`] | a request out of the bytes of an input |
//! | [`service`] | the service on an in-memory host, with all that a request leaves behind |
//! | [`contract`] | the oracle: what the contract says to a request |
//! | [`json`], [`calendar`] | what the oracle knows of JSON and of dates, without serde and chrono |
//!
//! A function here is a target. It panics where the service and the oracle disagree.

pub mod calendar;
pub mod contract;
pub mod json;
pub mod request;
pub mod service;

// What the service does for a request on any WASI. In its crate it is for WebAssembly alone, and names
// its siblings by `crate::`.
use hello::{api, host, log, metrics, request_id, route, store, trace_context};
#[allow(dead_code, missing_docs, reason = "it is not this crate's")]
#[path = "../../src/wasi/exchange.rs"]
mod exchange;

use hello::{birthday::DateOfBirth, store::key_value, username::Username};
use http::{HeaderMap, HeaderValue};

use calendar::Date;
use contract::Verdict;
use request::{DAY, Request};

/// Any request: the answer, what is stored, the log line and the counters.
pub fn respond(input: &[u8]) {
    service::check(&Request::parse(input));
}

/// Any body of a PUT.
pub fn body(input: &[u8]) {
    service::check(&Request {
        method: b"PUT".to_vec(),
        path: "/hello/Ada".to_owned(),
        today: DAY,
        headers: Vec::new(),
        body: input.to_vec(),
    });
}

/// Any username, bare and percent-encoded in a path.
pub fn username(input: &[u8]) {
    let parsed = Username::parse(input);
    match contract::username(input) {
        Ok(expected) => {
            let username = parsed.expect("letters are a username");
            assert_eq!(username.as_str(), expected);
            assert_eq!(key_value::key(&username), format!("user.{expected}"));
        }
        Err(detail) => assert_eq!(parsed.expect_err("no username").to_string(), detail),
    }
    let encoded: String = input.iter().map(|byte| format!("%{byte:02X}")).collect();
    for method in ["GET", "PUT"] {
        service::check(&Request {
            method: method.into(),
            path: format!("/hello/{encoded}"),
            today: DAY,
            headers: Vec::new(),
            body: br#"{"dateOfBirth":"2000-01-01"}"#.to_vec(),
        });
    }
}

/// Any date of birth, as text, on any day: two bytes and a half choose it.
pub fn date_of_birth(input: &[u8]) {
    let Some((seed, text)) = input.split_first_chunk::<3>() else {
        return;
    };
    let day = u32::from_be_bytes([0, seed[0], seed[1], seed[2]]);
    let today = Date::of_day(i64::from(day) % Date::DAYS + 1);
    let expected = contract::date_of_birth(text, today);
    let parsed = DateOfBirth::parse(text);
    let accepted = parsed.and_then(|born| born.before(today.to_chrono()));
    match expected {
        Ok(born) => {
            let accepted = accepted.expect("a day before today is a date of birth");
            assert_eq!(accepted.to_string().as_bytes(), text);
            assert_eq!(
                key_value::decode(&key_value::encode(accepted)),
                Ok(accepted)
            );
            let days = accepted.days_until(today.to_chrono());
            assert_eq!(i64::from(days), born.days_until_birthday(today));
        }
        Err(detail) => assert_eq!(accepted.expect_err("no date of birth").to_string(), detail),
    }
}

/// Any `traceparent`, and the same bytes as `x-request-id`.
pub fn trace_context(input: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(input) else {
        return;
    };
    let headers: HeaderMap = [
        (trace_context::TRACEPARENT, value.clone()),
        (request_id::X_REQUEST_ID, value),
    ]
    .into_iter()
    .collect();
    let found = trace_context::TraceContext::from_headers(&headers);
    let found = found.map(|context| (context.trace_id, context.span_id));
    assert_eq!(found, contract::trace_context(input));
    let id = request_id::request_id(&headers, || (0, 0));
    assert_eq!(id, contract::request_id(Some(input)));
    let _: Verdict = service::check(&Request {
        method: b"GET".to_vec(),
        path: "/livez".to_owned(),
        today: DAY,
        headers: vec![
            ("traceparent".to_owned(), input.to_vec()),
            ("x-request-id".to_owned(), input.to_vec()),
        ],
        body: Vec::new(),
    });
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    /// Every input of the corpus, in which there is each that was ever found to fail.
    #[test]
    fn the_corpus_passes() {
        for (target, check) in [
            ("respond", super::respond as fn(&[u8])),
            ("body", super::body),
            ("username", super::username),
            ("date_of_birth", super::date_of_birth),
            ("trace_context", super::trace_context),
        ] {
            let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("corpus")
                .join(target);
            let inputs = fs::read_dir(&directory).expect("the target has a corpus");
            let mut count = 0;
            for input in inputs {
                let path = input.expect("a file").path();
                println!("{}", path.display());
                check(&fs::read(path).expect("it can be read"));
                count += 1;
            }
            assert!(count > 0, "{} is empty", directory.display());
        }
    }
}
