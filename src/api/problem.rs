//! Problem details (RFC 9457): the responses to requests that fail.

use std::borrow::Cow;

use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use super::response::{Body, to_json, typed};
use crate::store::{Failure, StoreError};

/// A problem. `detail` is a fixed text: it never contains input, nor the cause of a failure.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    detail: Cow<'static, str>,
    header: Option<(HeaderName, &'static str)>,
    failure: Option<Box<Failure>>,
    dependency: Option<&'static str>,
}

/// The members of RFC 9457, section 3.1, and one extension member. The type is always
/// `about:blank`: the problem has no meaning beyond its status code.
#[derive(Serialize)]
struct Document<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dependency: Option<&'static str>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            detail: detail.into(),
            header: None,
            failure: None,
            dependency: None,
        }
    }

    pub(super) fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub(super) fn not_found(detail: &'static str) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    pub(super) fn method_not_allowed(allow: &'static str) -> Self {
        Self {
            header: Some((header::ALLOW, allow)),
            ..Self::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method not allowed for this resource",
            )
        }
    }

    pub(super) fn precondition_failed(detail: &'static str) -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, detail)
    }

    pub(super) fn unsupported_media_type() -> Self {
        Self {
            // RFC 9110, section 15.5.16.
            header: Some((header::ACCEPT, "application/json")),
            ..Self::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "send content-type: application/json",
            )
        }
    }

    pub(super) fn unsupported_content_coding() -> Self {
        Self {
            // RFC 9110, section 12.5.3: `identity` stands for no coding.
            header: Some((header::ACCEPT_ENCODING, "identity")),
            ..Self::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "send no content-encoding",
            )
        }
    }

    pub(super) fn not_acceptable(detail: &'static str) -> Self {
        Self::new(StatusCode::NOT_ACCEPTABLE, detail)
    }

    pub(super) fn failure(failure: Failure) -> Self {
        let detail = match failure.error {
            StoreError::Misconfigured(_) => "the store is misconfigured",
            StoreError::Unavailable(_) | StoreError::Corrupt => "the store is unavailable",
        };
        Self {
            header: Some((header::RETRY_AFTER, "1")),
            failure: Some(Box::new(failure)),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
        }
    }

    /// Names the dependency that is not ready.
    pub(super) fn with_dependency(self, dependency: &'static str) -> Self {
        Self {
            dependency: Some(dependency),
            ..self
        }
    }

    pub(super) fn take_failure(&mut self) -> Option<Box<Failure>> {
        self.failure.take()
    }

    pub(super) fn into_response(self) -> Response<Body> {
        let mut response = typed(
            "application/problem+json",
            to_json(&Document {
                r#type: "about:blank",
                title: title(self.status),
                status: self.status.as_u16(),
                detail: &self.detail,
                dependency: self.dependency,
            }),
        );
        *response.status_mut() = self.status;
        if let Some((name, value)) = self.header {
            response
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

fn title(status: StatusCode) -> &'static str {
    match status {
        // RFC 9110 renamed it; the crate has the name of RFC 7231.
        StatusCode::PAYLOAD_TOO_LARGE => "Content Too Large",
        _ => status.canonical_reason().unwrap_or_default(),
    }
}
