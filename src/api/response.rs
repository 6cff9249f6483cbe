//! Building blocks of responses.

use std::borrow::Cow;

use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

/// A response body: whole.
pub type Body = Cow<'static, [u8]>;

pub(super) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::default());
    *response.status_mut() = status;
    response
}

pub(super) fn json(content: &impl Serialize) -> Response<Body> {
    typed("application/json", to_json(content))
}

pub(super) fn typed(content_type: &'static str, content: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(content.into());
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

pub(super) fn to_json(content: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(content)
        .unwrap_or_else(|_| unreachable!("a struct of strings and numbers is JSON"))
}
