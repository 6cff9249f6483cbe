//! Counters of requests and failures, and their Prometheus exposition.
//!
//! An instance lives for one request, so nothing can be counted in its memory: the counters are
//! in a key-value store of the host, the label or bucket `metrics`, and are only ever added to.
//!
//! | counter | counts |
//! | --- | --- |
//! | `request.{method}.{route}.{status}.{le}` | requests that took up to `le` ms, and more than the bound before |
//! | `micros.{method}.{route}.{status}` | what they took together, in µs |
//! | `error.{store}.{operation}` | calls of a store that failed |
//!
//! So a request costs two additions: the first is at once its count and its bucket. Every part
//! of a name is one of a fixed set, which bounds how many there can be.

pub mod memory;

use std::{collections::BTreeMap, time::Duration};

use prometheus::{
    TextEncoder,
    proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType},
};

use crate::{
    http::{Failure, METHOD_NAMES, Route},
    store::{Binding, Operation, StoreError},
};

/// The media type of [`expose`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The upper bounds of the histogram's buckets, in ms: those that OpenTelemetry's semantic
/// conventions give `http.server.request.duration`.
pub const BUCKETS: [u32; 14] = [
    5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10_000,
];

/// The last part of a counter of requests that took longer than every bound.
const ABOVE: &str = "inf";

/// What logs and metrics call the store of the counters.
pub const STORE: &str = "metrics";

/// What they call the store that keeps the users, where the configuration names none.
pub const UNKNOWN_STORE: &str = "unknown";

/// Every store whose failures are counted.
const STORES: [&str; 4] = [
    Binding::KeyValue.name(),
    Binding::Postgres.name(),
    STORE,
    UNKNOWN_STORE,
];

/// A store of counters.
///
/// An implementation must see to it that additions of any number of instances at once are all
/// in the sum.
#[allow(
    async_fn_in_trait,
    reason = "static dispatch, and no host is multi-threaded"
)]
pub trait Counters {
    /// Adds `n` to the counter `name`, which starts at 0, and returns the sum.
    async fn add(&self, name: &str, n: u64) -> Result<u64, StoreError>;

    /// The names of the counters. The store may hold other keys too.
    async fn names(&self) -> Result<Vec<String>, StoreError>;
}

/// A request that was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Request {
    /// One of [`METHOD_NAMES`].
    pub method: &'static str,
    /// Its route.
    pub route: Route,
    /// The answer's status.
    pub status: u16,
}

/// What `hello_build_info` says of the component that answers.
#[derive(Clone, Copy, Debug)]
pub struct Build {
    /// The WebAssembly host.
    pub host: &'static str,
    /// Where the users are.
    pub store: &'static str,
}

/// Adds `request`, which took `duration`, and its failure if it has one.
///
/// # Errors
///
/// Those of the store, at the first counter that it does not take.
pub async fn count<C: Counters>(
    counters: &C,
    request: Request,
    duration: Duration,
    failure: Option<&Failure>,
) -> Result<(), StoreError> {
    let Request {
        method,
        route,
        status,
    } = request;
    let route = word(route);
    let le = BUCKETS
        .into_iter()
        .find(|le| duration <= Duration::from_millis((*le).into()))
        .map_or(ABOVE.to_owned(), |le| le.to_string());
    counters
        .add(&format!("request.{method}.{route}.{status}.{le}"), 1)
        .await?;
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    counters
        .add(&format!("micros.{method}.{route}.{status}"), micros)
        .await?;
    if let Some(Failure {
        store, operation, ..
    }) = failure
    {
        let operation = operation.name();
        counters
            .add(&format!("error.{store}.{operation}"), 1)
            .await?;
    }
    Ok(())
}

/// Every counter, if any is kept, in the text format of Prometheus, version 0.0.4.
///
/// # Errors
///
/// Those of the store.
pub async fn expose<C: Counters>(counters: Option<&C>, build: Build) -> Result<String, StoreError> {
    let mut requests: BTreeMap<Request, Durations> = BTreeMap::new();
    let mut errors: BTreeMap<(&'static str, &'static str), u64> = BTreeMap::new();
    if let Some(counters) = counters {
        for name in counters.names().await? {
            let Some(counter) = Name::parse(&name) else {
                continue;
            };
            // How a number is encoded differs from host to host; the sum with nothing does not.
            let sum = counters.add(&name, 0).await?;
            match counter {
                Name::Request(request, bucket) => {
                    requests.entry(request).or_default().counts[bucket] = sum;
                }
                Name::Micros(request) => requests.entry(request).or_default().micros = sum,
                Name::Error(store, operation) => {
                    errors.insert((store, operation), sum);
                }
            }
        }
    }
    // A request is in its bucket before its time is in the sum: what is not yet, is left out.
    requests.retain(|_, durations| durations.counts.iter().any(|count| *count > 0));

    let totals = requests
        .iter()
        .map(|(request, durations)| counter(&labels(*request), durations.counts.iter().sum()));
    let histograms = requests
        .iter()
        .map(|(request, durations)| durations.metric(&labels(*request)));
    let errors = errors.into_iter().map(|((store, operation), sum)| {
        counter(
            &[("store", store.into()), ("operation", operation.into())],
            sum,
        )
    });
    let families = [
        family(
            "http_requests_total",
            "Requests that were answered.",
            MetricType::COUNTER,
            totals.collect(),
        ),
        family(
            "http_request_duration_seconds",
            "Time from the request until its answer was handed to the host.",
            MetricType::HISTOGRAM,
            histograms.collect(),
        ),
        family(
            "hello_store_errors_total",
            "Calls of a store that failed.",
            MetricType::COUNTER,
            errors.collect(),
        ),
        family(
            "hello_build_info",
            "The component that answers: always 1.",
            MetricType::GAUGE,
            vec![build.metric()],
        ),
    ];
    let families: Vec<_> = families
        .into_iter()
        .filter(|family| !family.get_metric().is_empty())
        .collect();
    Ok(TextEncoder::new()
        .encode_to_string(&families)
        .unwrap_or_else(|_| unreachable!("no family is empty")))
}

/// A counter's name, taken apart.
enum Name {
    Request(Request, usize),
    Micros(Request),
    Error(&'static str, &'static str),
}

impl Name {
    /// `None` for what is no counter of this version.
    fn parse(name: &str) -> Option<Self> {
        let parts: Vec<&str> = name.split('.').collect();
        match parts[..] {
            ["request", method, route, status, le] => {
                let bucket = match le {
                    ABOVE => BUCKETS.len(),
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

fn request(method: &str, route: &str, status: &str) -> Option<Request> {
    Some(Request {
        method: METHOD_NAMES.into_iter().find(|name| *name == method)?,
        route: Route::ALL.into_iter().find(|known| word(*known) == route)?,
        status: status
            .parse()
            .ok()
            .filter(|status| (100..600).contains(status))?,
    })
}

/// A route as a part of a key: NATS takes no brace and no slash at the beginning.
fn word(route: Route) -> &'static str {
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

/// How long the requests of one series took.
#[derive(Default)]
struct Durations {
    /// How many fell into each bucket; the last one is above every bound.
    counts: [u64; BUCKETS.len() + 1],
    micros: u64,
}

impl Durations {
    fn metric(&self, labels: &[(&str, String)]) -> Metric {
        let mut so_far = 0;
        let buckets = BUCKETS.iter().zip(&self.counts).map(|(le, count)| {
            so_far += count;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(f64::from(*le) / 1000.0);
            bucket.set_cumulative_count(so_far);
            bucket
        });
        let mut histogram = Histogram::default();
        histogram.set_bucket(buckets.collect());
        histogram.set_sample_count(self.counts.iter().sum());
        histogram.set_sample_sum(float(self.micros) / 1e6);
        let mut metric = metric(labels);
        metric.set_histogram(histogram);
        metric
    }
}

impl Build {
    fn metric(self) -> Metric {
        let mut one = Gauge::default();
        one.set_value(1.0);
        let mut metric = metric(&[
            ("version", env!("CARGO_PKG_VERSION").into()),
            ("revision", revision().into()),
            ("host", self.host.into()),
            ("store", self.store.into()),
        ]);
        metric.set_gauge(one);
        metric
    }
}

/// The commit that the component was built from, as `cargo xtask build` found it.
fn revision() -> &'static str {
    option_env!("HELLO_REVISION").unwrap_or("unknown")
}

fn labels(request: Request) -> [(&'static str, String); 3] {
    [
        ("method", request.method.into()),
        ("route", request.route.template().into()),
        ("status", request.status.to_string()),
    ]
}

fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

fn counter(labels: &[(&str, String)], sum: u64) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(float(sum));
    let mut metric = metric(labels);
    metric.set_counter(counter);
    metric
}

fn metric(labels: &[(&str, String)]) -> Metric {
    let labels = labels.iter().map(|(name, value)| {
        let mut label = LabelPair::default();
        label.set_name((*name).to_owned());
        label.set_value(value.clone());
        label
    });
    let mut metric = Metric::default();
    metric.set_label(labels.collect());
    metric
}

/// Prometheus counts in floating point: exactly up to 2^53.
#[allow(clippy::cast_precision_loss, reason = "that is the format")]
fn float(sum: u64) -> f64 {
    sum as f64
}

#[cfg(test)]
mod tests {
    use pollster::block_on;

    use super::{memory::MemoryCounters, *};

    const BUILD: Build = Build {
        host: "spin",
        store: "postgres",
    };

    fn get(status: u16) -> Request {
        Request {
            method: "GET",
            route: Route::Hello,
            status,
        }
    }

    #[test]
    fn what_was_counted_is_exposed() {
        let counters = MemoryCounters::default();
        let failure = Failure {
            store: "postgres",
            operation: Operation::Read,
            error: StoreError::Corrupt,
        };
        for (status, micros, failure) in [
            (200, 1_000, None),
            (200, 5_000, None),
            (200, 5_001, None),
            (200, 60_000_000, None),
            (503, 2_000_000, Some(&failure)),
        ] {
            let took = Duration::from_micros(micros);
            block_on(count(&counters, get(status), took, failure)).expect("counted");
        }
        // A host may put users into the same store, and a later version other counters.
        for other in ["user.Ada", "request.GET.hello.200.7", "request.GET.x.200.5"] {
            block_on(counters.add(other, 7)).expect("counted");
        }
        let text = block_on(expose(Some(&counters), BUILD)).expect("exposed");
        for line in [
            "# TYPE http_requests_total counter",
            r#"http_requests_total{method="GET",route="/hello/{username}",status="200"} 4"#,
            r#"http_requests_total{method="GET",route="/hello/{username}",status="503"} 1"#,
            "# TYPE http_request_duration_seconds histogram",
            r#"http_request_duration_seconds_bucket{method="GET",route="/hello/{username}",status="200",le="0.005"} 2"#,
            r#"http_request_duration_seconds_bucket{method="GET",route="/hello/{username}",status="200",le="0.01"} 3"#,
            r#"http_request_duration_seconds_bucket{method="GET",route="/hello/{username}",status="200",le="10"} 3"#,
            r#"http_request_duration_seconds_bucket{method="GET",route="/hello/{username}",status="200",le="+Inf"} 4"#,
            r#"http_request_duration_seconds_sum{method="GET",route="/hello/{username}",status="200"} 60.011001"#,
            r#"http_request_duration_seconds_count{method="GET",route="/hello/{username}",status="200"} 4"#,
            r#"http_request_duration_seconds_bucket{method="GET",route="/hello/{username}",status="503",le="2.5"} 1"#,
            r#"hello_store_errors_total{store="postgres",operation="read"} 1"#,
            "# TYPE hello_build_info gauge",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(!text.contains("Ada") && !text.contains("} 7"), "{text}");
        assert!(
            text.contains(r#"host="spin",store="postgres"} 1"#),
            "{text}"
        );
    }

    #[test]
    fn without_counters_the_build_is_exposed() {
        let text = block_on(expose(None::<&MemoryCounters>, BUILD)).expect("exposed");
        let names: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE "))
            .collect();
        assert_eq!(names, ["hello_build_info gauge"]);
    }

    #[test]
    fn every_name_that_is_counted_is_read_back() {
        let counters = MemoryCounters::default();
        let mut expected = 0;
        for route in Route::ALL {
            for method in METHOD_NAMES {
                let request = Request {
                    method,
                    route,
                    status: 405,
                };
                block_on(count(&counters, request, Duration::ZERO, None)).expect("counted");
                expected += 1;
            }
        }
        let text = block_on(expose(Some(&counters), BUILD)).expect("exposed");
        let totals = text
            .lines()
            .filter(|line| line.starts_with("http_requests_total{"));
        assert_eq!(totals.count(), expected);
    }
}
