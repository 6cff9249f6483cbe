//! What runs the service in production, for real: its documents, its page, its metrics.

mod browser;
mod client;
pub mod counters;
mod openapi;
mod prometheus;

use std::any::Any;

use anyhow::Result;
use harness::host::Store;
use libtest_mimic::Trial;
use tools::HostKind;

use super::{HostUnderTest, postgres::Pair};

/// `port` is that of a shared host, which counts: one with Postgres.
pub fn trials(under_test: &HostUnderTest, port: u16) -> Vec<Trial> {
    let trial = |name: &str, test: fn(HostUnderTest) -> Result<()>| {
        under_test.trial(&format!("operations: {name}"), test)
    };
    let shared = |name: &str, test: fn(u16) -> Result<()>| {
        under_test.trial(&format!("operations: {name}"), move |_| test(port))
    };
    vec![
        trial(
            "Schemathesis finds nothing in what /openapi.json allows and forbids",
            openapi::schemathesis,
        ),
        trial(
            "a generated client has typed answers, and none by a document that is wrong",
            client::holds,
        ),
        trial(
            "10,000 requests, mixed and parallel, are counted exactly",
            counters::exact,
        ),
        trial(
            "Prometheus scrapes it and answers for the rate and the p99",
            prometheus::answers,
        ),
        trial(
            "a browser saves and greets from /docs, and complains of nothing",
            browser::tries_it_out,
        ),
        trial(
            "500 unknown paths, methods and usernames add no series",
            counters::bounded,
        ),
        shared("/openapi.json is valid OpenAPI", openapi::validator),
        shared("/openapi.json passes Redocly's linter", openapi::linter),
        shared("/metrics passes promtool", prometheus::promtool),
    ]
}

/// The port of a host whose counters are exact, in memory; and what ends with it.
///
/// `wash dev` has one backend for users and counters alike, and with a directory it increments
/// by reading and then writing. With the users in Postgres it counts in memory.
fn counting(under_test: &HostUnderTest) -> Result<(u16, Box<dyn Any>)> {
    Ok(match under_test.kind {
        HostKind::Spin | HostKind::SpinP3 => {
            let started = under_test.start(Store::Shipped)?;
            (started.0.port, Box::new(started))
        }
        HostKind::Wasmcloud | HostKind::WasmcloudP3 => {
            let pair = Pair::start(under_test)?;
            (pair.host.port, Box::new(pair))
        }
    })
}
