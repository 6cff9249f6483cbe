//! The keys of the counters in their store.
//!
//! | key | counts |
//! | --- | --- |
//! | `request.{method}.{route}.{status}.{le}` | requests in one bucket of the histogram: up to `le` ms, and above the previous bound |
//! | `micros.{method}.{route}.{status}` | the total duration of requests, in µs |
//! | `error.{store}.{operation}` | failed calls to a store |
//!
//! So a request costs two increments: the first is both its count and its bucket. Every segment of
//! a key is one of a fixed set, which bounds the number of keys.

use std::{fmt, time::Duration};

use super::{Request, STORE};
use crate::{
    route::{METHOD_NAMES, Route},
    store::{Operation, UNKNOWN_STORE, binding::Binding},
};

/// The upper bounds of the histogram's buckets, in ms: those that OpenTelemetry's semantic
/// conventions give `http.server.request.duration`.
pub const BUCKETS: [u32; 14] = [
    5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10_000,
];

/// The segment `le` of the overflow bucket, above every bound.
const OVERFLOW: &str = "inf";

/// Every store whose failures are counted.
const STORES: [&str; 4] = [
    Binding::KeyValue.name(),
    Binding::Postgres.name(),
    STORE,
    UNKNOWN_STORE,
];

/// The key of a counter.
///
/// ```
/// use std::time::Duration;
///
/// use hello::{
///     metrics::{
///         Request,
///         key::{Key, bucket},
///     },
///     route::Route,
/// };
///
/// let request = Request {
///     method: "GET",
///     route: Route::Hello,
///     status: 200,
/// };
/// let key = Key::Request(request, bucket(Duration::from_millis(7)));
/// assert_eq!(key.to_string(), "request.GET.hello.200.10");
/// assert_eq!(Key::parse("request.GET.hello.200.10"), Some(key));
/// assert_eq!(Key::parse("user.Ada"), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// Requests in a bucket, by its index in [`BUCKETS`]; the overflow bucket comes after them.
    Request(Request, usize),
    /// The total duration of requests.
    Micros(Request),
    /// Failed calls, by the names of store and operation.
    Error(&'static str, &'static str),
}

/// The index of the bucket that counts a request of this duration.
#[must_use]
pub fn bucket(duration: Duration) -> usize {
    BUCKETS
        .into_iter()
        .position(|le| duration <= Duration::from_millis(le.into()))
        .unwrap_or(BUCKETS.len())
}

impl Key {
    /// Parses a key; `None` if it is not one of this version's counters.
    #[must_use]
    pub fn parse(key: &str) -> Option<Self> {
        let segments: Vec<&str> = key.split('.').collect();
        match segments[..] {
            ["request", method, route, status, le] => {
                let bucket = match le {
                    OVERFLOW => BUCKETS.len(),
                    le => BUCKETS.iter().position(|bound| bound.to_string() == le)?,
                };
                Some(Self::Request(request(method, route, status)?, bucket))
            }
            ["micros", method, route, status] => {
                Some(Self::Micros(request(method, route, status)?))
            }
            ["error", store, operation] => Some(Self::Error(
                STORES.into_iter().find(|name| *name == store)?,
                Operation::ALL
                    .map(Operation::name)
                    .into_iter()
                    .find(|name| *name == operation)?,
            )),
            _ => None,
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(request, bucket) => {
                write!(f, "request.{}.", segments(request))?;
                match BUCKETS.get(*bucket) {
                    Some(le) => write!(f, "{le}"),
                    None => f.write_str(OVERFLOW),
                }
            }
            Self::Micros(request) => write!(f, "micros.{}", segments(request)),
            Self::Error(store, operation) => write!(f, "error.{store}.{operation}"),
        }
    }
}

fn segments(request: &Request) -> String {
    let Request {
        method,
        route,
        status,
    } = *request;
    format!("{method}.{}.{status}", key_segment(route))
}

fn request(method: &str, route: &str, status: &str) -> Option<Request> {
    Some(Request {
        method: METHOD_NAMES.into_iter().find(|name| *name == method)?,
        route: Route::ALL
            .into_iter()
            .find(|known| key_segment(*known) == route)?,
        status: status
            .parse()
            .ok()
            .filter(|status| (100..600).contains(status))?,
    })
}

/// A route as a segment of a key: NATS allows no brace and no leading slash.
fn key_segment(route: Route) -> &'static str {
    match route {
        Route::Hello => "hello",
        Route::Metrics => "metrics",
        Route::Docs => "docs",
        Route::DocsAsset => "asset",
        Route::OpenApi => "openapi",
        Route::Livez => "livez",
        Route::Readyz => "readyz",
        Route::Unknown => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_parses_back() {
        let mut keys = Vec::new();
        for route in Route::ALL {
            for method in METHOD_NAMES {
                let request = Request {
                    method,
                    route,
                    status: 405,
                };
                keys.push(Key::Micros(request));
                keys.extend((0..=BUCKETS.len()).map(|bucket| Key::Request(request, bucket)));
            }
        }
        for store in STORES {
            for operation in Operation::ALL {
                keys.push(Key::Error(store, operation.name()));
            }
        }
        for key in keys {
            assert_eq!(Key::parse(&key.to_string()), Some(key), "{key}");
        }
    }

    #[test]
    fn keys_are_those_of_earlier_versions() {
        let request = Request {
            method: "PUT",
            route: Route::DocsAsset,
            status: 405,
        };
        for (key, text) in [
            (Key::Request(request, 0), "request.PUT.asset.405.5"),
            (
                Key::Request(request, BUCKETS.len()),
                "request.PUT.asset.405.inf",
            ),
            (Key::Micros(request), "micros.PUT.asset.405"),
            (Key::Error("postgres", "ping"), "error.postgres.ping"),
        ] {
            assert_eq!(key.to_string(), text);
        }
    }

    #[test]
    fn any_other_key_is_skipped() {
        for key in [
            "",
            "user.Ada",
            "request",
            "request.GET.hello.200",
            "request.GET.hello.200.7",
            "request.GET.x.200.5",
            "request.GET.hello.99.5",
            "request.GET.hello.200.5.x",
            "micros.get.hello.200",
            "error.x.read",
            "error.postgres.x",
        ] {
            assert_eq!(Key::parse(key), None, "{key}");
        }
    }

    #[test]
    fn a_bucket_includes_its_upper_bound() {
        for (micros, index) in [(0, 0), (5_000, 0), (5_001, 1), (10_000_000, 13)] {
            assert_eq!(bucket(Duration::from_micros(micros)), index, "{micros} µs");
        }
        assert_eq!(bucket(Duration::MAX), BUCKETS.len());
    }
}
