//! One request from end to end: [`respond`], send, log, count.

use std::{
    io::{self, Write},
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use chrono::{DateTime, Utc};
use http::HeaderMap;
use wasip2::{
    clocks::{monotonic_clock, wall_clock},
    http::types::{IncomingRequest, ResponseOutparam},
    random::random::get_random_u64,
};

use super::{incoming, outgoing};
use crate::{
    api::{malformed, respond},
    host::{Host, Session},
    log::{Level, Line},
    metrics::{self, record},
    request_id::request_id,
    route::{OTHER, method_name},
    trace_context::TraceContext,
};

/// Serves one request. The response is sent before the request is logged and counted.
pub fn serve<H: Host>(request: IncomingRequest, out: ResponseOutparam, host: &H) {
    let started = uptime();
    let timestamp = now();
    let session = Session::new(host);
    let (method, request_id, trace, outcome) = match incoming::convert(request) {
        Ok(request) => {
            let method = method_name(request.method());
            let request_id = request_id(request.headers(), random);
            let trace = TraceContext::from_headers(request.headers());
            let today = timestamp.date_naive();
            let outcome = ready(respond(request, &session, today, uptime));
            (method, request_id, trace, outcome)
        }
        Err(_) => {
            let request_id = request_id(&HeaderMap::new(), random);
            (OTHER, request_id, None, malformed())
        }
    };
    let status = outcome.response.status().as_u16();
    outgoing::send(out, outcome.response, &request_id);

    let duration = uptime().saturating_sub(started);
    let line = Line {
        timestamp,
        level: Level::for_status(status),
        message: "request completed",
        method,
        route: outcome.route.template(),
        status,
        duration,
        request_id: &request_id,
        trace_id: trace.as_ref().map(|trace| trace.trace_id.as_str()),
        span_id: trace.as_ref().map(|trace| trace.span_id.as_str()),
        host: H::NAME,
        store: session.store_name(),
        cause: outcome
            .failure
            .as_ref()
            .map(|failure| failure.error.to_string()),
    };
    let level = host.setting("log_level").ok().flatten();
    let level = level.as_deref().map_or(Level::default(), Level::parse);
    let log = |line: &Line| {
        if line.level <= level {
            // In one write, so that lines of concurrent instances do not interleave.
            let _ = io::stderr().write_all(&line.to_json());
        }
    };
    log(&line);

    let request = metrics::Request {
        method,
        route: outcome.route,
        status,
    };
    let recorded = session.counters().and_then(|counters| match counters {
        Some(counters) => ready(record::request(
            &counters,
            request,
            duration,
            outcome.failure.as_deref(),
        )),
        None => Ok(()),
    });
    if let Err(error) = recorded {
        log(&Line {
            level: Level::Warn,
            message: "failed to record metrics",
            cause: Some(error.to_string()),
            ..line
        });
    }
}

/// 128 unpredictable bits.
fn random() -> (u64, u64) {
    (get_random_u64(), get_random_u64())
}

/// The monotonic clock: the time since an arbitrary moment.
fn uptime() -> Duration {
    Duration::from_nanos(monotonic_clock::now())
}

/// The wall clock, in UTC.
fn now() -> DateTime<Utc> {
    let now = wall_clock::now();
    i64::try_from(now.seconds)
        .ok()
        .and_then(|seconds| DateTime::from_timestamp(seconds, now.nanoseconds))
        .expect("the host's clock shows a year before 262142")
}

/// Polls once: on a WASI 0.2 host every call blocks, so nothing is ever pending.
fn ready<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("a WASI 0.2 call is ready when it returns"),
    }
}
