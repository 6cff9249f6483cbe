//! What runs the service in production, for real: its documents, its page, its metrics.

mod browser;
mod counters;
mod openapi;
mod prometheus;

use libtest_mimic::{Failed, Trial};
use xtask::{HostKind, host::Store};

use super::{Column, Started, check, postgres::Pair};

/// `port` is that of a shared host, which counts: one with Postgres.
pub fn trials(column: &Column, port: u16) -> Vec<Trial> {
    let trial = |name: &str, test: fn(Column) -> Result<(), Failed>| {
        column.trial(&format!("operations: {name}"), test)
    };
    let shared = |name: &str, test: fn(u16) -> Result<(), Failed>| {
        column.trial(&format!("operations: {name}"), move |_| test(port))
    };
    vec![
        trial(
            "Schemathesis finds nothing in what /openapi.json allows and forbids",
            openapi::schemathesis,
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

/// A host whose counters are exact: in memory.
enum Counting {
    Alone(Started),
    WithPostgres(Pair),
}

impl Counting {
    /// `wash dev` has one backend for users and counters alike, and with a folder it increments
    /// by reading and then writing. With the users in Postgres it counts in memory.
    fn start(column: &Column) -> Result<Self, Failed> {
        Ok(match column.kind {
            HostKind::Spin => Self::Alone(column.start(Store::Shipped)?),
            HostKind::Wasmcloud => Self::WithPostgres(Pair::start(column)?),
        })
    }

    fn port(&self) -> u16 {
        match self {
            Self::Alone((host, _)) => host.port,
            Self::WithPostgres(pair) => pair.host.port,
        }
    }
}
