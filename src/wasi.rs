//! `wasi:http` 0.2 in and out, shared by the hosts: a request in, [`respond`], a response out,
//! and then what nobody waits for.
//!
//! The order of the calls in [`send`] is the point of this module, see there.

use std::{
    io::{self, Write},
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use wasip2::{
    clocks::{monotonic_clock, wall_clock},
    http::types::{
        Fields, IncomingBody, IncomingRequest, Method as WasiMethod, OutgoingBody,
        OutgoingResponse, ResponseOutparam,
    },
    io::{
        poll,
        streams::{InputStream, OutputStream, StreamError},
    },
    random::random::get_random_u64,
};

use crate::{
    correlation::{Correlation, X_REQUEST_ID},
    host::{Host, Session},
    http::{Body, OTHER, READ_HEADERS, ReadError, RequestBody, malformed, method_name, respond},
    log::{Level, Line},
    metrics,
};

/// How long a request body may take to arrive, in nanoseconds.
const BODY_TIMEOUT: u64 = 5_000_000_000;

/// Answers one request. The client has its answer before the request is logged and counted.
pub fn serve<H: Host>(request: IncomingRequest, out: ResponseOutparam, host: &H) {
    let started = uptime();
    let timestamp = now();
    let session = Session::new(host);
    let (method, correlation, answer) = match receive(request) {
        Ok(request) => {
            let method = method_name(request.method());
            let correlation = Correlation::of(request.headers(), random);
            let today = timestamp.date_naive();
            let answer = ready(respond(request, &session, today, uptime));
            (method, correlation, answer)
        }
        Err(_) => {
            let correlation = Correlation::of(&HeaderMap::new(), random);
            (OTHER, correlation, malformed())
        }
    };
    let status = answer.response.status().as_u16();
    send(out, answer.response, &correlation.request_id);

    let duration = uptime().saturating_sub(started);
    let trace = correlation.trace.as_ref();
    let line = Line {
        timestamp,
        level: Level::of(status),
        message: "answered",
        method,
        route: answer.route.template(),
        status,
        duration,
        request_id: &correlation.request_id,
        trace_id: trace.map(|trace| trace.trace_id.as_str()),
        span_id: trace.map(|trace| trace.span_id.as_str()),
        host: H::NAME,
        store: session.store_name(),
        cause: answer
            .failure
            .as_ref()
            .map(|failure| failure.error.to_string()),
    };
    let level = host.setting("log_level").ok().flatten();
    let level = level.as_deref().map_or(Level::default(), Level::parse);
    let log = |line: &Line| {
        if line.level <= level {
            // In one piece, so that lines of instances that run at once do not mix.
            let _ = io::stderr().write_all(&line.to_json());
        }
    };
    log(&line);

    let request = metrics::Request {
        method,
        route: answer.route,
        status,
    };
    let counted = session.counters().and_then(|counters| match counters {
        Some(counters) => ready(metrics::count(
            &counters,
            request,
            duration,
            answer.failure.as_deref(),
        )),
        None => Ok(()),
    });
    if let Err(error) = counted {
        log(&Line {
            level: Level::Warn,
            message: "not counted",
            cause: Some(error.to_string()),
            ..line
        });
    }
}

/// 128 bits that nobody can guess.
fn random() -> (u64, u64) {
    (get_random_u64(), get_random_u64())
}

/// The time since some moment, which never goes back.
fn uptime() -> Duration {
    Duration::from_nanos(monotonic_clock::now())
}

/// The time in UTC.
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

fn receive(request: IncomingRequest) -> http::Result<Request<Incoming>> {
    let method = match request.method() {
        WasiMethod::Get => Method::GET,
        WasiMethod::Head => Method::HEAD,
        WasiMethod::Post => Method::POST,
        WasiMethod::Put => Method::PUT,
        WasiMethod::Delete => Method::DELETE,
        WasiMethod::Connect => Method::CONNECT,
        WasiMethod::Options => Method::OPTIONS,
        WasiMethod::Trace => Method::TRACE,
        WasiMethod::Patch => Method::PATCH,
        WasiMethod::Other(name) => Method::from_bytes(name.as_bytes())?,
    };
    let uri = Uri::try_from(request.path_with_query().unwrap_or_default())?;
    let mut headers = HeaderMap::new();
    for (name, value) in request.headers().entries() {
        // To parse every name costs 17 KB of tables, more than all of the routes.
        if let Some(known) = READ_HEADERS
            .iter()
            .find(|known| name.eq_ignore_ascii_case(known.as_str()))
        {
            headers.append(known, HeaderValue::try_from(value)?);
        }
    }
    let mut received = Request::new(Incoming(request));
    *received.method_mut() = method;
    *received.uri_mut() = uri;
    *received.headers_mut() = headers;
    Ok(received)
}

/// A request whose body has not been asked for.
struct Incoming(IncomingRequest);

impl RequestBody for Incoming {
    async fn read(self, limit: usize) -> Result<Vec<u8>, ReadError> {
        let body = self.0.consume().map_err(|()| ReadError::Broken)?;
        let stream = body.stream().map_err(|()| ReadError::Broken)?;
        let bytes = read_to_end(&stream, limit);
        // A stream is a child of its body, and a host traps when the parent goes first.
        drop(stream);
        drop::<IncomingBody>(body);
        bytes
    }
}

fn read_to_end(stream: &InputStream, limit: usize) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::new();
    let mut deadline = None;
    loop {
        // One byte more than may come tells a body at the limit from one above it.
        let room = limit + 1 - bytes.len();
        match stream.read(room as u64) {
            Ok(chunk) if chunk.is_empty() => {
                let deadline = deadline
                    .get_or_insert_with(|| monotonic_clock::subscribe_duration(BODY_TIMEOUT));
                let arrival = stream.subscribe();
                if poll::poll(&[&arrival, deadline]) == [1] {
                    return Err(ReadError::Timeout);
                }
            }
            Ok(chunk) => bytes.extend(chunk),
            Err(StreamError::Closed) => return Ok(bytes),
            Err(StreamError::LastOperationFailed(_)) => return Err(ReadError::Broken),
        }
        if bytes.len() > limit {
            return Err(ReadError::TooLarge);
        }
    }
}

/// Hands `response` to the host, in one segment where it fits.
///
/// The body goes into the stream before the head is set: a host that has both at that moment
/// writes both at once. The other way round they leave as two segments, and Nagle's algorithm
/// holds the second one until the peer's delayed ACK, 40 ms later, on a host that does not set
/// `TCP_NODELAY`.
fn send(out: ResponseOutparam, response: Response<Body>, request_id: &str) {
    let (mut head, bytes) = response.into_parts();
    if head.status != StatusCode::NO_CONTENT {
        head.headers
            .insert(header::CONTENT_LENGTH, bytes.len().into());
    }
    let mut fields: Vec<_> = head
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
        .collect();
    fields.push((X_REQUEST_ID.to_string(), request_id.into()));
    let fields = Fields::from_list(&fields).expect("no name of a header here is forbidden");
    let outgoing = OutgoingResponse::new(fields);
    outgoing
        .set_status_code(head.status.as_u16())
        .expect("a status is a number of three digits");
    let body = outgoing.body().expect("the body is asked for once");
    let stream = body.write().expect("the stream is asked for once");

    // An error below means that the client has gone, and there is nobody left to tell.
    let mut rest = &bytes[..];
    let fits = |granted: u64| usize::try_from(granted).is_ok_and(|granted| granted >= rest.len());
    if stream.check_write().is_ok_and(fits) && stream.write(rest).is_ok() {
        rest = &[];
    }
    if rest.is_empty() {
        drop(stream);
        let _ = OutgoingBody::finish(body, None);
        ResponseOutparam::set(out, Ok(outgoing));
    } else {
        ResponseOutparam::set(out, Ok(outgoing));
        let written = write_all(&stream, rest);
        drop(stream);
        if written.is_ok() {
            let _ = OutgoingBody::finish(body, None);
        }
    }
}

fn write_all(stream: &OutputStream, mut rest: &[u8]) -> Result<(), StreamError> {
    while !rest.is_empty() {
        let granted = usize::try_from(stream.check_write()?).unwrap_or(usize::MAX);
        if granted == 0 {
            stream.subscribe().block();
            continue;
        }
        let (now, later) = rest.split_at(granted.min(rest.len()));
        stream.write(now)?;
        rest = later;
    }
    stream.blocking_flush()
}
