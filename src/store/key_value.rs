//! How a user is laid out in a key-value store, the same on every host.

use super::StoreError;
use crate::{birthday::DateOfBirth, username::Username};

/// A key that no user has, to ask a store whether it answers.
pub const NO_USER: &str = "user.";

/// The key of `username`: `user.Ada`.
///
/// The prefix keeps users apart from what else lives in a store, since Spin puts all labels
/// that share a Redis into one key space. A dot, because NATS takes no colon.
#[must_use]
pub fn key(username: &Username) -> String {
    format!("{NO_USER}{username}")
}

/// The value kept for a date of birth: its ten ASCII bytes, `YYYY-MM-DD`.
#[must_use]
pub fn encode(born: DateOfBirth) -> Vec<u8> {
    born.to_string().into_bytes()
}

/// The date of birth in a value that [`encode`] made.
///
/// # Errors
///
/// [`StoreError::Corrupt`] for any other value: half a write is not a missing user.
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
    fn a_torn_value_is_an_error() {
        for value in [&b""[..], b"1815", b"1815-12-10\n", b"\0\0\0\0\0\0\0\0\0\0"] {
            assert_eq!(decode(value), Err(StoreError::Corrupt), "{value:?}");
        }
    }
}
