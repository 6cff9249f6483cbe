//! What joins an answer, its log line and a trace: a request id, and the caller's W3C trace
//! context.

use http::{HeaderMap, HeaderName};

/// The header that brings a request id, and takes it back.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The header of the W3C Trace Context.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The longest request id that is taken over, in bytes.
const MAX_REQUEST_ID: usize = 128;

/// The names under which one request is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Correlation {
    /// The client's `x-request-id`, or a new one of 32 hexadecimal digits.
    pub request_id: String,
    /// The trace that the caller is in.
    pub trace: Option<TraceContext>,
}

/// Where in which trace the caller is: <https://www.w3.org/TR/trace-context/>, section 3.2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// 32 hexadecimal digits.
    pub trace_id: String,
    /// 16 hexadecimal digits: the caller's span, which is the parent of the host's.
    pub span_id: String,
}

impl Correlation {
    /// Takes what `headers` bring. An id that is missing, long, or of other characters than
    /// letters, digits and `-_.:/+=` is not taken over: `random` makes a new one.
    pub fn of(headers: &HeaderMap, random: impl FnOnce() -> (u64, u64)) -> Self {
        let taken = headers
            .get(X_REQUEST_ID)
            .and_then(|value| value.to_str().ok())
            .filter(|id| {
                (1..=MAX_REQUEST_ID).contains(&id.len())
                    && id
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(&byte))
            });
        let request_id = taken.map_or_else(
            || {
                let (high, low) = random();
                format!("{high:016x}{low:016x}")
            },
            str::to_owned,
        );
        Self {
            request_id,
            trace: headers
                .get(TRACEPARENT)
                .and_then(|value| value.to_str().ok())
                .and_then(TraceContext::parse),
        }
    }
}

impl TraceContext {
    /// Takes the ids out of a `traceparent`; a later version may have more fields.
    fn parse(traceparent: &str) -> Option<Self> {
        let mut fields = traceparent.split('-');
        let mut field = |length| {
            fields.next().filter(|field| {
                field.len() == length
                    && field
                        .bytes()
                        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
            })
        };
        let (version, trace_id, span_id, _flags) = (field(2)?, field(32)?, field(16)?, field(2)?);
        let is_zero = |field: &str| field.bytes().all(|byte| byte == b'0');
        let ends = fields.next().is_none();
        if version == "ff" || (version == "00" && !ends) || is_zero(trace_id) || is_zero(span_id) {
            return None;
        }
        Some(Self {
            trace_id: trace_id.to_owned(),
            span_id: span_id.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn with_id(id: &[u8]) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(
            X_REQUEST_ID,
            HeaderValue::from_bytes(id).expect("a header's value"),
        );
        Correlation::of(&headers, || (1, 0xabc)).request_id
    }

    #[test]
    fn a_plain_request_id_is_taken_over_and_any_other_replaced() {
        let made = "00000000000000010000000000000abc";
        assert_eq!(
            Correlation::of(&HeaderMap::new(), || (1, 0xabc)).request_id,
            made
        );
        for id in ["a", "7b6e-4f", "A_b.c:d/e+f=", &"x".repeat(128)] {
            assert_eq!(with_id(id.as_bytes()), id);
        }
        for id in ["", "a b", "a\"b", "a,b", "{", "\u{e9}", &"x".repeat(129)] {
            assert_eq!(with_id(id.as_bytes()), made, "{id}");
        }
    }

    #[test]
    fn a_traceparent_is_taken_as_the_standard_has_it() {
        let (trace_id, span_id) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        let expected = Some(TraceContext {
            trace_id: trace_id.to_owned(),
            span_id: span_id.to_owned(),
        });
        for good in [
            format!("00-{trace_id}-{span_id}-01"),
            format!("00-{trace_id}-{span_id}-00"),
            format!("cc-{trace_id}-{span_id}-01-what-the-future-brings"),
        ] {
            assert_eq!(TraceContext::parse(&good), expected, "{good}");
        }
        for bad in [
            String::new(),
            format!("ff-{trace_id}-{span_id}-01"),
            format!("00-{trace_id}-{span_id}-01-more"),
            format!("00-{trace_id}-{span_id}"),
            format!("00-{}-{span_id}-01", trace_id.to_uppercase()),
            format!("00-{}-{span_id}-01", "0".repeat(32)),
            format!("00-{trace_id}-{}-01", "0".repeat(16)),
            format!("00-{}-{span_id}-01", &trace_id[1..]),
            format!("00-{trace_id}-{span_id}-1"),
        ] {
            assert_eq!(TraceContext::parse(&bad), None, "{bad}");
        }
    }
}
