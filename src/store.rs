//! The port to the store of users, in the sense of ports and adapters.

pub mod binding;
pub mod key_value;
pub mod memory;
pub mod postgres;

use std::fmt;

use crate::{birthday::DateOfBirth, username::Username};

/// A store of users and their dates of birth.
///
/// An implementation guarantees that
///
/// - a [`save`](Self::save) that returned `Ok` is durable: it outlives the process;
/// - a later [`birthday_of`](Self::birthday_of) sees the last save that returned `Ok`, or a
///   newer one;
/// - concurrent saves of one user leave one of the saved dates, whole;
/// - usernames that differ only in case are different users;
/// - a backend that is unreachable or returns invalid data is a [`StoreError`], never `None`;
/// - no error text contains a username, a date of birth or a password.
///
/// `tests/suite/conformance.rs` is the suite that every implementation passes.
///
/// On a WASI 0.2 host the futures are ready when they are first polled.
///
/// ```
/// use hello::{
///     birthday::DateOfBirth,
///     store::{UserStore, memory::MemoryStore},
///     username::Username,
/// };
///
/// # pollster::block_on(async {
/// let store = MemoryStore::default();
/// let ada = Username::parse(b"Ada").expect("a username");
/// let born = DateOfBirth::parse(b"1990-06-20").expect("a date of birth");
/// assert_eq!(store.birthday_of(&ada).await, Ok(None));
/// store.save(&ada, born).await?;
/// assert_eq!(store.birthday_of(&ada).await, Ok(Some(born)));
/// # Ok::<_, hello::store::StoreError>(())
/// # }).expect("the store is available");
/// ```
#[allow(
    async_fn_in_trait,
    reason = "static dispatch, and no host is multi-threaded"
)]
pub trait UserStore {
    /// The date of birth of `username`, or `None` if there is no such user.
    ///
    /// # Errors
    ///
    /// [`StoreError`], if the store fails.
    async fn birthday_of(&self, username: &Username) -> Result<Option<DateOfBirth>, StoreError>;

    /// Saves or replaces the date of birth of `username`.
    ///
    /// # Errors
    ///
    /// [`StoreError`], if the store fails. Whether the date was saved is then unknown.
    async fn save(&self, username: &Username, born: DateOfBirth) -> Result<(), StoreError>;

    /// Checks whether the backend is available, by a round trip to it.
    ///
    /// # Errors
    ///
    /// [`StoreError`], if it is not.
    async fn ping(&self) -> Result<(), StoreError>;
}

/// Why a call to a store failed. The text is for the operator; a client never sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// The host's configuration is incomplete or selects an unknown store.
    Misconfigured(String),
    /// The backend did not respond, or refused.
    Unavailable(String),
    /// The backend returned something other than a date of birth.
    Corrupt,
}

/// A call to a [`UserStore`], or to the store of the counters, which has only `Read`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// [`UserStore::birthday_of`]
    Read,
    /// [`UserStore::save`]
    Write,
    /// [`UserStore::ping`]
    Ping,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 3] = [Self::Read, Self::Write, Self::Ping];

    /// The name in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Ping => "ping",
        }
    }
}

/// The name of the user store in logs and metrics while the configuration selects none.
pub const UNKNOWN_STORE: &str = "unknown";

/// A call to a store that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The name of the store in logs and metrics.
    pub store: &'static str,
    /// The call.
    pub operation: Operation,
    /// The error that it returned.
    pub error: StoreError,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Misconfigured(why) => write!(f, "the store is misconfigured: {why}"),
            Self::Unavailable(why) => write!(f, "the store is unavailable: {why}"),
            Self::Corrupt => f.write_str("the store contains an invalid date of birth"),
        }
    }
}

impl std::error::Error for StoreError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_cause() {
        for (error, text) in [
            (
                StoreError::Misconfigured("x".to_owned()),
                "the store is misconfigured: x",
            ),
            (
                StoreError::Unavailable("y".to_owned()),
                "the store is unavailable: y",
            ),
            (
                StoreError::Corrupt,
                "the store contains an invalid date of birth",
            ),
        ] {
            assert_eq!(error.to_string(), text);
        }
    }
}
