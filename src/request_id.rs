//! The id of a request: in its log line, in its response, and in the client's own logs.

use http::{HeaderMap, HeaderName};

/// The header with the id, in requests and in responses.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is accepted from a client, in bytes.
pub const MAX_LEN: usize = 128;

/// The client's id, or a new one of 32 hexadecimal digits from `random`.
///
/// An id that is missing, empty, longer than [`MAX_LEN`], or has other characters than letters,
/// digits and `-_.:/+=` is replaced.
///
/// ```
/// use hello::request_id::{X_REQUEST_ID, request_id};
/// use http::{HeaderMap, HeaderValue};
///
/// let mut headers = HeaderMap::new();
/// assert_eq!(
///     request_id(&headers, || (1, 0xabc)),
///     "00000000000000010000000000000abc"
/// );
/// headers.insert(X_REQUEST_ID, HeaderValue::from_static("7b6e-4f"));
/// assert_eq!(request_id(&headers, || (1, 0xabc)), "7b6e-4f");
/// ```
pub fn request_id(headers: &HeaderMap, random: impl FnOnce() -> (u64, u64)) -> String {
    headers
        .get(X_REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|id| is_valid(id))
        .map_or_else(
            || {
                let (high, low) = random();
                format!("{high:016x}{low:016x}")
            },
            str::to_owned,
        )
}

fn is_valid(id: &str) -> bool {
    (1..=MAX_LEN).contains(&id.len())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(&byte))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_valid_id_is_kept_and_any_other_replaced() {
        let with_id = |id: &str| {
            let mut headers = HeaderMap::new();
            let id = HeaderValue::from_bytes(id.as_bytes()).expect("a header value");
            headers.insert(X_REQUEST_ID, id);
            request_id(&headers, || (1, 0xabc))
        };
        for id in ["a", "7b6e-4f", "A_b.c:d/e+f=", &"x".repeat(128)] {
            assert_eq!(with_id(id), id);
        }
        let generated = "00000000000000010000000000000abc";
        for id in ["", "a b", "a\"b", "a,b", "{", "\u{e9}", &"x".repeat(129)] {
            assert_eq!(with_id(id), generated, "{id}");
        }
    }
}
