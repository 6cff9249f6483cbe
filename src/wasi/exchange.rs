//! One request and its response, whatever the version of WASI.

use std::time::Duration;

use chrono::{DateTime, Utc};
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header, response::Parts,
};

use crate::{
    api::{READ_HEADERS, body::RequestBody, malformed, respond, response::Body},
    host::{Host, Session},
    log::{Level, Line},
    metrics::{self, Counters, record},
    request_id::{X_REQUEST_ID, request_id},
    route::{OTHER, Route, method_name},
    store::{Failure, StoreError},
    trace_context::TraceContext,
};

/// What each version of WASI has under a name of its own.
pub trait System {
    /// The monotonic clock: the time since an arbitrary moment.
    fn uptime() -> Duration;

    /// The wall clock, as seconds and nanoseconds since 1970-01-01T00:00:00Z.
    fn wall_clock() -> (i64, u32);

    /// 64 unpredictable bits.
    fn random() -> u64;
}

/// The wall clock, in UTC.
pub fn now<S: System>() -> DateTime<Utc> {
    let (seconds, nanoseconds) = S::wall_clock();
    DateTime::from_timestamp(seconds, nanoseconds)
        .expect("the host's clock shows a year before 262142")
}

/// A request out of its parts, with those headers alone that the service reads.
///
/// # Errors
///
/// If a part of it is no valid HTTP.
pub fn request<B>(
    method: Method,
    path: &str,
    headers: Vec<(String, Vec<u8>)>,
    body: B,
) -> http::Result<Request<B>> {
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = Uri::try_from(path)?;
    for (name, value) in headers {
        // Parsing every name would cost 17 KB of tables, more than all of the routes.
        if let Some(known) = READ_HEADERS
            .iter()
            .find(|known| name.eq_ignore_ascii_case(known.as_str()))
        {
            request
                .headers_mut()
                .append(known, HeaderValue::try_from(value)?);
        }
    }
    Ok(request)
}

/// A request that has its response, and what the log and the metrics tell of it.
pub struct Exchange {
    started: Duration,
    timestamp: DateTime<Utc>,
    request: metrics::Request,
    request_id: String,
    trace: Option<TraceContext>,
    failure: Option<Box<Failure>>,
}

impl Exchange {
    /// Responds to `request`, or to what is no valid HTTP.
    pub async fn respond<S: System, B: RequestBody, H: Host>(
        request: http::Result<Request<B>>,
        session: &Session<'_, H>,
    ) -> (Response<Body>, Self) {
        let started = S::uptime();
        let timestamp = now::<S>();
        let random = || (S::random(), S::random());
        let (method, request_id, trace, outcome) = match request {
            Ok(request) => {
                let method = method_name(request.method());
                let request_id = request_id(request.headers(), random);
                let trace = TraceContext::from_headers(request.headers());
                let outcome = respond(request, session, timestamp.date_naive(), S::uptime).await;
                (method, request_id, trace, outcome)
            }
            Err(_) => {
                let request_id = request_id(&HeaderMap::new(), random);
                (OTHER, request_id, None, malformed())
            }
        };
        let exchange = Self {
            started,
            timestamp,
            request: metrics::Request {
                method,
                route: outcome.route,
                status: outcome.response.status().as_u16(),
            },
            request_id,
            trace,
            failure: outcome.failure,
        };
        (outcome.response, exchange)
    }

    /// The status and the fields of the response, with its body.
    pub fn message(&self, response: Response<Body>) -> (u16, Vec<(String, Vec<u8>)>, Body) {
        let (
            Parts {
                status, headers, ..
            },
            body,
        ) = response.into_parts();
        let mut fields: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
            .collect();
        if status != StatusCode::NO_CONTENT {
            let length = body.len().to_string().into_bytes();
            fields.push((header::CONTENT_LENGTH.to_string(), length));
        }
        let id = self.request_id.clone().into_bytes();
        fields.push((X_REQUEST_ID.to_string(), id));
        (status.as_u16(), fields, body)
    }

    /// The time since the request was received.
    pub fn duration<S: System>(&self) -> Duration {
        S::uptime().saturating_sub(self.started)
    }

    /// The line of the log.
    pub fn line<H: Host>(&self, duration: Duration, session: &Session<'_, H>) -> Line<'_> {
        let metrics::Request {
            method,
            route,
            status,
        } = self.request;
        Line {
            timestamp: self.timestamp,
            level: Level::for_status(status),
            message: "request completed",
            method,
            route: Route::template(route),
            status,
            duration,
            request_id: &self.request_id,
            trace_id: self.trace.as_ref().map(|trace| trace.trace_id.as_str()),
            span_id: self.trace.as_ref().map(|trace| trace.span_id.as_str()),
            host: H::NAME,
            store: session.store_name(),
            cause: self.failure.as_ref().map(|it| it.error.to_string()),
        }
    }

    /// Counts the request.
    ///
    /// # Errors
    ///
    /// That of the first increment that fails.
    pub async fn record<C: Counters>(
        &self,
        duration: Duration,
        counters: &C,
    ) -> Result<(), StoreError> {
        record::request(counters, self.request, duration, self.failure.as_deref()).await
    }
}

/// The threshold of the log.
pub fn log_level<H: Host>(host: &H) -> Level {
    let name = host.setting("log_level").ok().flatten();
    name.as_deref().map_or(Level::default(), Level::parse)
}
