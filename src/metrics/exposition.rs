//! The counters in the Prometheus text exposition format.

use std::collections::BTreeMap;

use prometheus::{
    TextEncoder,
    proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType},
};

use super::{
    Counters, Request,
    key::{BUCKETS, Key},
};
use crate::store::StoreError;

/// The media type of [`encode`]: version 0.0.4 of the format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The labels of `hello_build_info` that depend on the host.
#[derive(Clone, Copy, Debug)]
pub struct Build {
    /// The WebAssembly host.
    pub host: &'static str,
    /// The version of WASI.
    pub wasi: &'static str,
    /// The user store.
    pub store: &'static str,
}

/// All `counters`, if there are any, and the build.
///
/// ```
/// use std::time::Duration;
///
/// use hello::{
///     metrics::{
///         Request,
///         exposition::{Build, encode},
///         memory::MemoryCounters,
///         record,
///     },
///     route::Route,
/// };
///
/// # pollster::block_on(async {
/// let counters = MemoryCounters::default();
/// let request = Request {
///     method: "GET",
///     route: Route::Hello,
///     status: 200,
/// };
/// record::request(&counters, request, Duration::from_millis(7), None).await?;
/// let build = Build {
///     host: "spin",
///     wasi: "0.2",
///     store: "key-value",
/// };
/// let text = encode(Some(&counters), build).await?;
/// assert!(text.contains(
///     r#"http_requests_total{method="GET",route="/hello/{username}",status="200"} 1"#
/// ));
/// # Ok::<_, hello::store::StoreError>(())
/// # }).expect("the store is available");
/// ```
///
/// # Errors
///
/// Those of the store.
pub async fn encode<C: Counters>(counters: Option<&C>, build: Build) -> Result<String, StoreError> {
    let mut requests: BTreeMap<Request, Durations> = BTreeMap::new();
    let mut errors: BTreeMap<(&'static str, &'static str), u64> = BTreeMap::new();
    if let Some(counters) = counters {
        for key in counters.keys().await? {
            let Some(counter) = Key::parse(&key) else {
                continue;
            };
            // Each host encodes a number in its own way, so it is read by adding 0.
            let sum = counters.increment(&key, 0).await?;
            match counter {
                Key::Request(request, bucket) => {
                    requests.entry(request).or_default().counts[bucket] = sum;
                }
                Key::Micros(request) => requests.entry(request).or_default().micros = sum,
                Key::Error(store, operation) => {
                    errors.insert((store, operation), sum);
                }
            }
        }
    }
    // A series whose request is not in a bucket yet has no count.
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
            "Completed HTTP requests.",
            MetricType::COUNTER,
            totals.collect(),
        ),
        family(
            "http_request_duration_seconds",
            "Time from receiving a request to handing its response to the host.",
            MetricType::HISTOGRAM,
            histograms.collect(),
        ),
        family(
            "hello_store_errors_total",
            "Failed calls to a store.",
            MetricType::COUNTER,
            errors.collect(),
        ),
        family(
            "hello_build_info",
            "The running build: always 1.",
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

/// The durations of one series.
#[derive(Default)]
struct Durations {
    /// Requests in each bucket; the last one is the overflow bucket.
    counts: [u64; BUCKETS.len() + 1],
    /// The sum, in µs.
    micros: u64,
}

impl Durations {
    fn metric(&self, labels: &[(&str, String)]) -> Metric {
        let mut cumulative = 0;
        let buckets = BUCKETS.iter().zip(&self.counts).map(|(le, count)| {
            cumulative += count;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(f64::from(*le) / 1000.0);
            bucket.set_cumulative_count(cumulative);
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
            ("wasi", self.wasi.into()),
            ("store", self.store.into()),
        ]);
        metric.set_gauge(one);
        metric
    }
}

/// The commit of the build, set by `cargo xtask build`.
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

/// Prometheus values are 64-bit floats: exact up to 2^53.
#[allow(clippy::cast_precision_loss, reason = "the format has no integers")]
fn float(sum: u64) -> f64 {
    sum as f64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pollster::block_on;

    use super::*;
    use crate::{
        metrics::{memory::MemoryCounters, record},
        route::{METHOD_NAMES, Route},
        store::{Failure, Operation},
    };

    const BUILD: Build = Build {
        host: "spin",
        wasi: "0.3",
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
    fn what_is_recorded_is_exposed() {
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
            let duration = Duration::from_micros(micros);
            block_on(record::request(&counters, get(status), duration, failure)).expect("recorded");
        }
        // A host may keep users in the same store, and a later version other counters.
        for other in ["user.Ada", "request.GET.hello.200.7", "request.GET.x.200.5"] {
            block_on(counters.increment(other, 7)).expect("recorded");
        }
        let text = block_on(encode(Some(&counters), BUILD)).expect("encoded");
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
            text.contains(r#"host="spin",wasi="0.3",store="postgres"} 1"#),
            "{text}"
        );
    }

    #[test]
    fn a_series_begins_with_its_count() {
        let counters = MemoryCounters::default();
        // A request is counted by two increments, and a scrape may come between them.
        block_on(counters.increment("micros.GET.hello.200", 7)).expect("recorded");
        let text = block_on(encode(Some(&counters), BUILD)).expect("encoded");
        assert!(!text.contains("http_request"), "{text}");
    }

    #[test]
    fn without_counters_only_the_build_is_exposed() {
        let text = block_on(encode(None::<&MemoryCounters>, BUILD)).expect("encoded");
        let names: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE "))
            .collect();
        assert_eq!(names, ["hello_build_info gauge"]);
        let revision = option_env!("HELLO_REVISION").unwrap_or("unknown");
        let revision = format!(r#"revision="{revision}""#);
        assert!(text.contains(&revision), "{revision} in {text}");
    }

    #[test]
    fn every_method_and_route_has_a_series() {
        let counters = MemoryCounters::default();
        let mut expected = 0;
        for route in Route::ALL {
            for method in METHOD_NAMES {
                let request = Request {
                    method,
                    route,
                    status: 405,
                };
                block_on(record::request(&counters, request, Duration::ZERO, None))
                    .expect("recorded");
                expected += 1;
            }
        }
        let text = block_on(encode(Some(&counters), BUILD)).expect("encoded");
        let totals = text
            .lines()
            .filter(|line| line.starts_with("http_requests_total{"));
        assert_eq!(totals.count(), expected);
    }
}
