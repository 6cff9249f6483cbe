//! The request body of a PUT: a check of its headers, a bounded read, and a strict JSON object.

use std::{collections::BTreeSet, fmt};

use http::{HeaderMap, StatusCode, header};
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::problem::Problem;

/// The longest request body that is accepted, in bytes.
pub const MAX_BODY: usize = 4096;

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
                "the body must have 4096 bytes at most",
            ),
            ReadError::Timeout => Self::new(
                StatusCode::REQUEST_TIMEOUT,
                "the body did not arrive within 5 seconds",
            ),
            ReadError::Truncated => Self::bad_request("the body did not arrive whole"),
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

/// Refuses a body by its headers, before it is read.
pub(super) fn check_headers(headers: &HeaderMap) -> Result<(), Problem> {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let is_json = types.next().is_some_and(|value| {
        let essence = value.as_bytes().split(|byte| *byte == b';').next();
        essence.is_some_and(|essence| {
            essence
                .trim_ascii()
                .eq_ignore_ascii_case(b"application/json")
        })
    });
    if !is_json || types.next().is_some() {
        return Err(Problem::unsupported_media_type(
            "the body must be application/json",
        ));
    }
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(Problem::unsupported_media_type(
            "the body must not be compressed",
        ));
    }
    let declared = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<u64>().ok());
    if declared.is_some_and(|length| length > MAX_BODY as u64) {
        return Err(ReadError::TooLarge.into());
    }
    Ok(())
}

/// The value of `dateOfBirth` in `bytes`, which must be a single JSON object without duplicate
/// members. Other members are ignored.
pub(super) fn date_of_birth(bytes: &[u8]) -> Result<String, Problem> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    // By hand: a derived struct accepts an array as well, and a duplicate unknown member.
    let member = json
        .deserialize_map(ObjectVisitor)
        .and_then(|member| json.end().map(|()| member))
        .map_err(|_| Problem::bad_request("the body must be one JSON object"))?;
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
            Err("the body repeats a member")
        } else {
            member
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
