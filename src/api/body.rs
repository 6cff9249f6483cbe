//! The request body of a PUT: a check of its headers, a bounded read, and a strict JSON object.

use std::{collections::BTreeSet, fmt};

use http::{HeaderMap, StatusCode, header};
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::problem::Problem;

/// The longest request body that is accepted, in bytes.
pub const MAX_BODY: usize = 4096;

/// The detail of the problem of a PUT without a body.
const EMPTY: &str = "request body is required";

/// A request body that has not been read yet.
#[allow(
    async_fn_in_trait,
    reason = "static dispatch, and no host is multi-threaded"
)]
pub trait RequestBody {
    /// Reads the body to its end.
    ///
    /// An implementation stops reading as soon as it has more than `limit` bytes.
    ///
    /// # Errors
    ///
    /// [`ReadError`]; [`ReadError::TooLarge`] above `limit` bytes.
    async fn read(self, limit: usize) -> Result<Vec<u8>, ReadError>;
}

/// Why a body could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// It is longer than the limit.
    TooLarge,
    /// It did not arrive in time.
    Timeout,
    /// The connection was lost before its end.
    Truncated,
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::TooLarge => Self::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "request body must not exceed 4096 bytes",
            ),
            ReadError::Timeout => Self::new(
                StatusCode::REQUEST_TIMEOUT,
                "request body was not received within 5 seconds",
            ),
            ReadError::Truncated => Self::bad_request("request body was truncated"),
        }
    }
}

/// A body in memory.
impl RequestBody for &[u8] {
    async fn read(self, limit: usize) -> Result<Vec<u8>, ReadError> {
        if self.len() > limit {
            return Err(ReadError::TooLarge);
        }
        Ok(self.to_vec())
    }
}

/// Checks by `headers`, before anything is read, whether `body` is acceptable, and gives it back.
///
/// Without a `content-type`, a body is JSON (RFC 9110, section 8.3, leaves that to the recipient).
pub(super) async fn accept<B: RequestBody>(headers: &HeaderMap, body: B) -> Result<B, Problem> {
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<u64>().ok());
    if length == Some(0) {
        return Err(Problem::bad_request(EMPTY));
    }
    if headers.contains_key(header::CONTENT_RANGE) {
        // RFC 9110, section 14.5.
        return Err(Problem::bad_request(
            "partial PUT is not supported: send no content-range",
        ));
    }
    let unsupported = if !is_json(headers) {
        Some(Problem::unsupported_media_type())
    } else if headers.contains_key(header::CONTENT_ENCODING) {
        Some(Problem::unsupported_content_coding())
    } else {
        None
    };
    if let Some(unsupported) = unsupported {
        if length.is_some() {
            return Err(unsupported);
        }
        // An empty body is of no type. One byte tells, where no length is declared.
        return Err(match body.read(0).await {
            Ok(_) => Problem::bad_request(EMPTY),
            Err(ReadError::TooLarge) => unsupported,
            Err(error) => error.into(),
        });
    }
    if length.is_some_and(|length| length > MAX_BODY as u64) {
        return Err(ReadError::TooLarge.into());
    }
    Ok(body)
}

fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let first_is_json = types.next().is_none_or(|value| {
        let essence = value.as_bytes().split(|byte| *byte == b';').next();
        essence.is_some_and(|essence| {
            essence
                .trim_ascii()
                .eq_ignore_ascii_case(b"application/json")
        })
    });
    first_is_json && types.next().is_none()
}

/// The value of `dateOfBirth` in `bytes`, which must be a single JSON object without duplicate
/// members. Other members are ignored.
pub(super) fn date_of_birth(bytes: &[u8]) -> Result<String, Problem> {
    if bytes.is_empty() {
        return Err(Problem::bad_request(EMPTY));
    }
    let not_an_object = || Problem::bad_request("request body must be a single JSON object");
    // serde_json does not decode a string that is ignored: it would accept any bytes there.
    let text = str::from_utf8(bytes).map_err(|_| not_an_object())?;
    let mut json = serde_json::Deserializer::from_str(text);
    // By hand: a derived struct accepts an array as well, and a duplicate unknown member.
    let member = json
        .deserialize_map(ObjectVisitor)
        .and_then(|member| json.end().map(|()| member))
        .map_err(|_| not_an_object())?;
    member.map_err(Problem::bad_request)
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    /// The value of `dateOfBirth`, or a problem's detail: a valid JSON object may still be wrong.
    type Value = Result<String, &'static str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut member = Err("dateOfBirth is missing");
        let mut duplicate = false;
        let mut seen = BTreeSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if key == "dateOfBirth" {
                member = match map.next_value()? {
                    Value::String(text) => Ok(text),
                    _ => Err("dateOfBirth must be a string"),
                };
            } else {
                map.next_value::<IgnoredAny>()?;
            }
            duplicate |= !seen.insert(key);
        }
        Ok(if duplicate {
            Err("duplicate member in JSON object")
        } else {
            member
        })
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Response};
    use pollster::block_on;

    use super::*;

    /// A body that fails when it is read.
    struct Failing(ReadError);

    impl RequestBody for Failing {
        async fn read(self, _: usize) -> Result<Vec<u8>, ReadError> {
            Err(self.0)
        }
    }

    fn status<T>(result: Result<T, Problem>) -> u16 {
        result
            .map_or_else(Problem::into_response, |_| Response::default())
            .status()
            .as_u16()
    }

    #[test]
    fn a_body_of_another_type_is_read_only_to_learn_whether_it_is_empty() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        for (body, expected) in [(&b""[..], 400), (b"x", 415), (&[b'x'; 5000], 415)] {
            assert_eq!(status(block_on(accept(&headers, body))), expected);
        }
        for (error, expected) in [
            (ReadError::TooLarge, 415),
            (ReadError::Timeout, 408),
            (ReadError::Truncated, 400),
        ] {
            assert_eq!(status(block_on(accept(&headers, Failing(error)))), expected);
        }
        headers.insert(
            header::CONTENT_LENGTH,
            HeaderValue::from_static("10000000000"),
        );
        assert_eq!(
            status(block_on(accept(&headers, Failing(ReadError::Timeout)))),
            415
        );
    }

    #[test]
    fn finds_the_member_among_others() {
        for body in [
            r#"{"dateOfBirth":"1990-06-20"}"#,
            " {\n\t\"dateOfBirth\" : \"1990-06-20\" }\r\n",
            r#"{"a":{"a":[1,1.5,-2,null,true]},"dateOfBirth":"1990-06-20","z":"\ud83c\udf82"}"#,
            r#"{"date\u004ffBirth":"1990\u002d06-20"}"#,
        ] {
            assert_eq!(
                date_of_birth(body.as_bytes()).ok().as_deref(),
                Some("1990-06-20")
            );
        }
    }
}
