//! What a PUT carries: headers that allow it, a bounded read, and one strict JSON object.

use std::{collections::BTreeSet, fmt};

use http::{HeaderMap, header};
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::{MAX_BODY, problem::Problem};

/// A request body that has not been read yet.
#[allow(
    async_fn_in_trait,
    reason = "static dispatch, and no host is multi-threaded"
)]
pub trait RequestBody {
    /// Reads the body to its end.
    ///
    /// An implementation stops reading once more than `limit` bytes have come.
    async fn read(self, limit: usize) -> Result<Vec<u8>, ReadError>;
}

/// Why a body could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// It is longer than the limit.
    TooLarge,
    /// It did not arrive in time.
    Timeout,
    /// It ended before its end.
    Broken,
}

/// A body that is there already.
impl RequestBody for &[u8] {
    async fn read(self, limit: usize) -> Result<Vec<u8>, ReadError> {
        if self.len() > limit {
            return Err(ReadError::TooLarge);
        }
        Ok(self.to_vec())
    }
}

/// Refuses by its headers a body that is not worth reading.
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
        return Err(super::ReadError::TooLarge.into());
    }
    Ok(())
}

/// The text of `dateOfBirth` in `bytes`, which must be one JSON object without a repeated
/// member. Other members are ignored.
pub(super) fn date_of_birth(bytes: &[u8]) -> Result<String, Problem> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    // By hand, not derived: a derived struct takes an array as well, and a repeated unknown key.
    let outcome = json
        .deserialize_map(ObjectVisitor)
        .and_then(|outcome| json.end().map(|()| outcome))
        .map_err(|_| Problem::bad_request("the body must be one JSON object"))?;
    outcome.map_err(Problem::bad_request)
}

/// The text of `dateOfBirth`, or the sentence that says what is wrong with the object.
type Outcome = Result<String, &'static str>;

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Outcome;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut outcome: Outcome = Err("dateOfBirth is missing");
        let mut repeated = false;
        let mut seen = BTreeSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if key == "dateOfBirth" {
                outcome = match map.next_value()? {
                    Value::String(text) => Ok(text),
                    _ => Err("dateOfBirth must be a string"),
                };
            } else {
                map.next_value::<IgnoredAny>()?;
            }
            repeated |= !seen.insert(key);
        }
        Ok(if repeated {
            Err("the body repeats a member")
        } else {
            outcome
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_member_whatever_stands_around_it() {
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
