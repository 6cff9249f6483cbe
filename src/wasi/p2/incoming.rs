//! A `wasi:http` request as an [`http::Request`].

use http::{Method, Request};
use wasip2::{
    clocks::monotonic_clock,
    http::types::{IncomingBody, IncomingRequest, Method as WasiMethod},
    io::{
        poll,
        streams::{InputStream, StreamError},
    },
};

use super::super::exchange;
use crate::api::body::{ReadError, RequestBody};

/// How long a request body may take to arrive, in nanoseconds.
const BODY_TIMEOUT: u64 = 5_000_000_000;

/// Converts `request`, with those headers alone that the service reads.
///
/// # Errors
///
/// If a part of it is no valid HTTP.
pub fn convert(request: IncomingRequest) -> http::Result<Request<Body>> {
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
    let path = request.path_with_query().unwrap_or_default();
    let headers = request.headers().entries();
    exchange::request(method, &path, headers, Body(request))
}

/// A request body that the host has not been asked for yet.
pub struct Body(IncomingRequest);

impl RequestBody for Body {
    async fn read(self, limit: usize) -> Result<Vec<u8>, ReadError> {
        let body = self.0.consume().map_err(|()| ReadError::Truncated)?;
        let stream = body.stream().map_err(|()| ReadError::Truncated)?;
        let bytes = read_to_end(&stream, limit);
        // A stream is a child of its body, and a host traps when the parent is dropped first.
        drop(stream);
        drop::<IncomingBody>(body);
        bytes
    }
}

fn read_to_end(stream: &InputStream, limit: usize) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::new();
    let mut deadline = None;
    loop {
        // One byte above the limit tells a body at the limit from a longer one.
        let room = limit + 1 - bytes.len();
        match stream.read(room as u64) {
            Ok(chunk) if chunk.is_empty() => {
                let deadline = deadline
                    .get_or_insert_with(|| monotonic_clock::subscribe_duration(BODY_TIMEOUT));
                let readable = stream.subscribe();
                if poll::poll(&[&readable, deadline]) == [1] {
                    return Err(ReadError::Timeout);
                }
            }
            Ok(chunk) => bytes.extend(chunk),
            Err(StreamError::Closed) => return Ok(bytes),
            Err(StreamError::LastOperationFailed(_)) => return Err(ReadError::Truncated),
        }
        if bytes.len() > limit {
            return Err(ReadError::TooLarge);
        }
    }
}
