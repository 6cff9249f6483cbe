//! A `wasi:http` request as an [`http::Request`].

use std::time::Duration;

use http::{Method, Request};
use wasip3::{
    http::types::{Method as WasiMethod, Request as WasiRequest},
    wit_bindgen::StreamResult,
    wit_future,
};

use super::{super::exchange, deadline::within};
use crate::api::body::{ReadError, RequestBody};

/// How long a request body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// Converts `request`, with those headers alone that the service reads.
///
/// # Errors
///
/// If a part of it is no valid HTTP.
pub fn convert(request: WasiRequest) -> http::Result<Request<Body>> {
    let method = match request.get_method() {
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
    let path = request.get_path_with_query().unwrap_or_default();
    let headers = request.get_headers().copy_all();
    exchange::request(method, &path, headers, Body(request))
}

/// A request body that the host has not been asked for yet.
pub struct Body(WasiRequest);

impl RequestBody for Body {
    async fn read(self, limit: usize) -> Result<Vec<u8>, ReadError> {
        within(BODY_TIMEOUT, read_to_end(self.0, limit))
            .await
            .unwrap_or(Err(ReadError::Timeout))
    }
}

async fn read_to_end(request: WasiRequest, limit: usize) -> Result<Vec<u8>, ReadError> {
    let (_, processed) = wit_future::new(|| Ok(()));
    let (mut stream, trailers) = WasiRequest::consume_body(request, processed);
    let mut bytes = Vec::new();
    loop {
        // One byte above the limit tells a body at the limit from a longer one.
        let room = limit + 1 - bytes.len();
        let (result, chunk) = stream.read(Vec::with_capacity(room)).await;
        bytes.extend(chunk);
        if bytes.len() > limit {
            return Err(ReadError::TooLarge);
        }
        if result == StreamResult::Dropped {
            // The stream ends in the same way where the connection was lost.
            let received = trailers.await;
            return received.map(|_| bytes).map_err(|_| ReadError::Truncated);
        }
    }
}
