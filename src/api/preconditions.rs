//! Conditional requests (RFC 9110, section 13). No response carries an `ETag` or `Last-Modified`.

use http::{HeaderMap, HeaderValue, header};

use super::problem::Problem;

/// Evaluates the preconditions of a request that would succeed without them (section 13.2.1).
///
/// `If-Match` with tags is false and `If-None-Match` with tags is true, as no entity tag can match.
/// `*` asks whether the resource exists. For a PUT, that and the save must be one atomic step, and
/// the key-value interfaces of the two hosts share no compare-and-set: so `*` is refused, rather
/// than evaluated with a race. The preconditions on dates are ignored, as sections 13.1.3 and 13.1.4
/// require without a modification date.
///
/// # Errors
///
/// 412 if a precondition is false, 400 for `*`.
pub(super) fn evaluate(headers: &HeaderMap) -> Result<(), Problem> {
    let is_wildcard = |value: &HeaderValue| value.as_bytes().trim_ascii() == b"*";
    let has_wildcard = |name| headers.get_all(name).iter().any(is_wildcard);
    // In the order of section 13.2.2.
    if headers.contains_key(header::IF_MATCH) && !has_wildcard(header::IF_MATCH) {
        return Err(Problem::precondition_failed(
            "if-match is false: no resource has an entity tag",
        ));
    }
    if has_wildcard(header::IF_MATCH) || has_wildcard(header::IF_NONE_MATCH) {
        return Err(Problem::bad_request(
            "conditional requests with * are not supported",
        ));
    }
    Ok(())
}
