//! The keys and values of users in a key-value store, the same on every host.

use super::StoreError;
use crate::{birthday::DateOfBirth, username::Username};

const PREFIX: &str = "user.";

/// The key of no user, to probe whether a store is available. NATS allows no dot at the end.
pub const PROBE_KEY: &str = "user.-";

/// The key of `username`: `user.Ada`.
///
/// The prefix separates users from other keys, since Spin puts all labels that share a Redis into
/// one keyspace. A dot, because NATS allows no colon.
///
/// ```
/// use hello::{birthday::DateOfBirth, store::key_value, username::Username};
///
/// let ada = Username::parse(b"Ada").expect("a username");
/// assert_eq!(key_value::key(&ada), "user.Ada");
///
/// let born = DateOfBirth::parse(b"1990-06-20").expect("a date of birth");
/// assert_eq!(key_value::encode(born), b"1990-06-20");
/// assert_eq!(key_value::decode(b"1990-06-20"), Ok(born));
/// ```
#[must_use]
pub fn key(username: &Username) -> String {
    format!("{PREFIX}{username}")
}

/// The value of a date of birth: its ten ASCII bytes, `YYYY-MM-DD`.
#[must_use]
pub fn encode(born: DateOfBirth) -> Vec<u8> {
    born.to_string().into_bytes()
}

/// The date of birth in a value from [`encode`].
///
/// # Errors
///
/// [`StoreError::Corrupt`] for any other value: a partial write is not a missing user.
pub fn decode(value: &[u8]) -> Result<DateOfBirth, StoreError> {
    DateOfBirth::parse(value).map_err(|_| StoreError::Corrupt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_is_what_earlier_versions_wrote() {
        let ada = Username::parse(b"Ada").expect("a username");
        let born = DateOfBirth::parse(b"1815-12-10").expect("a date of birth");
        assert_eq!(key(&ada), "user.Ada");
        assert_eq!(encode(born), b"1815-12-10");
        assert_eq!(decode(b"1815-12-10"), Ok(born));
    }

    #[test]
    fn a_partial_value_is_an_error() {
        for value in [&b""[..], b"1815", b"1815-12-10\n", b"\0\0\0\0\0\0\0\0\0\0"] {
            assert_eq!(decode(value), Err(StoreError::Corrupt), "{value:?}");
        }
    }
}
