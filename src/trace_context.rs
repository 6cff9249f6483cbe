//! The caller's trace, from the header `traceparent`:
//! [W3C Trace Context](https://www.w3.org/TR/trace-context/), section 3.2.

use http::{HeaderMap, HeaderName};

/// The header with the trace context.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The position of the caller in a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// 32 hexadecimal digits.
    pub trace_id: String,
    /// 16 hexadecimal digits: the caller's span, which is the parent of the host's.
    pub span_id: String,
}

impl TraceContext {
    /// The trace context in `headers`, or `None` if there is none or it is invalid.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        Self::parse(headers.get(TRACEPARENT)?.to_str().ok()?)
    }

    /// Parses the value of a `traceparent`. A version after 00 may add fields.
    ///
    /// ```
    /// use hello::trace_context::TraceContext;
    ///
    /// let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    /// let context = TraceContext::parse(traceparent).expect("a valid traceparent");
    /// assert_eq!(context.trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
    /// assert_eq!(context.span_id, "00f067aa0ba902b7");
    ///
    /// assert_eq!(TraceContext::parse("00-0-0-01"), None);
    /// ```
    #[must_use]
    pub fn parse(traceparent: &str) -> Option<Self> {
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
        let is_last = fields.next().is_none();
        if version == "ff" || (version == "00" && !is_last) || is_zero(trace_id) || is_zero(span_id)
        {
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

    #[test]
    fn a_traceparent_is_parsed_as_the_standard_says() {
        let (trace_id, span_id) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        let expected = Some(TraceContext {
            trace_id: trace_id.to_owned(),
            span_id: span_id.to_owned(),
        });
        for valid in [
            format!("00-{trace_id}-{span_id}-01"),
            format!("00-{trace_id}-{span_id}-00"),
            format!("cc-{trace_id}-{span_id}-01-what-the-future-brings"),
        ] {
            assert_eq!(TraceContext::parse(&valid), expected, "{valid}");
            let mut headers = HeaderMap::new();
            headers.insert(
                TRACEPARENT,
                HeaderValue::try_from(valid).expect("a header value"),
            );
            assert_eq!(TraceContext::from_headers(&headers), expected);
        }
        for invalid in [
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
            assert_eq!(TraceContext::parse(&invalid), None, "{invalid}");
        }
        assert_eq!(TraceContext::from_headers(&HeaderMap::new()), None);
    }
}
