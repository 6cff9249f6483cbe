//! One request: respond, log, count.

use std::{
    convert::Infallible,
    io::{Write, stderr},
    time::{Duration, Instant},
};

use chrono::Utc;
use hello::{
    api::{
        self,
        body::{ReadError, RequestBody},
        response::Body,
    },
    host::{Host, Session},
    log::{Level, Line},
    metrics::{self, record},
    request_id::{X_REQUEST_ID, request_id},
    route::{Route, method_name},
    trace_context::TraceContext,
};
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use tokio::time::timeout;

use crate::host::Native;

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves one request.
pub async fn serve(
    request: Request<Incoming>,
    host: &Native,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (started, timestamp) = (Instant::now(), Utc::now());
    let method = method_name(request.method());
    let request_id = request_id(request.headers(), rand::random);
    let trace = TraceContext::from_headers(request.headers());
    let session = Session::new(host);
    let outcome = api::respond(
        request.map(Arriving),
        &session,
        timestamp.date_naive(),
        || started.elapsed(),
    )
    .await;
    let duration = started.elapsed();
    let status = outcome.response.status().as_u16();

    let line = Line {
        timestamp,
        level: Level::for_status(status),
        message: "request completed",
        method,
        route: Route::template(outcome.route),
        status,
        duration,
        request_id: &request_id,
        trace_id: trace.as_ref().map(|trace| trace.trace_id.as_str()),
        span_id: trace.as_ref().map(|trace| trace.span_id.as_str()),
        host: Native::NAME,
        store: session.store_name(),
        cause: outcome.failure.as_ref().map(|it| it.error.to_string()),
    };
    // There is no other place to say that the log cannot be written.
    let _ = stderr().write_all(&line.to_json());
    let labels = metrics::Request {
        method,
        route: outcome.route,
        status,
    };
    if let Ok(Some(counters)) = session.counters() {
        let failure = outcome.failure.as_deref();
        let recorded = record::request(&counters, labels, duration, failure).await;
        recorded.expect("the counters are in memory");
    }

    let mut response = outcome.response;
    if let Ok(id) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert(X_REQUEST_ID, id);
    }
    Ok(response.map(|body| match body {
        Body::Borrowed(bytes) => Full::from(bytes),
        Body::Owned(bytes) => Full::from(bytes),
    }))
}

/// A body that may not have arrived yet.
struct Arriving(Incoming);

impl RequestBody for Arriving {
    async fn read(mut self, limit: usize) -> Result<Vec<u8>, ReadError> {
        let read = async {
            let mut bytes = Vec::new();
            while let Some(frame) = self.0.frame().await {
                let frame = frame.map_err(|_| ReadError::Truncated)?;
                if let Ok(data) = frame.into_data() {
                    bytes.extend_from_slice(&data);
                }
                if bytes.len() > limit {
                    return Err(ReadError::TooLarge);
                }
            }
            Ok(bytes)
        };
        timeout(BODY_TIMEOUT, read)
            .await
            .unwrap_or(Err(ReadError::Timeout))
    }
}
