//! The port through which dates of birth are kept.

pub mod binding;
pub mod key_value;
pub mod memory;
pub mod postgres;

use std::fmt;

use crate::{birthday::DateOfBirth, username::Username};

/// Where users are kept.
///
/// An implementation must see to it that
///
/// - a [`save`](Self::save) that returned `Ok` is durable: it outlives the process;
/// - a later [`birthday_of`](Self::birthday_of) sees the last save that returned `Ok`, or a
///   newer one;
/// - saves of one user at the same time leave one of the saved dates, whole;
/// - usernames that differ only in case are different users;
/// - a backend that does not answer, or answers nonsense, is a [`StoreError`], never `None`;
/// - no error text holds a username, a date of birth or a password.
///
/// `tests/suite` holds the suite that every implementation passes.
///
/// The functions are `async` for hosts to come; on a WASI 0.2 host they are ready at once.
#[allow(
    async_fn_in_trait,
    reason = "static dispatch, and no host is multi-threaded"
)]
pub trait UserStore {
    /// The date of birth of `username`, or `None` if there is no such user.
    async fn birthday_of(&self, username: &Username) -> Result<Option<DateOfBirth>, StoreError>;

    /// Saves or replaces the date of birth of `username`.
    async fn save(&self, username: &Username, born: DateOfBirth) -> Result<(), StoreError>;

    /// Asks the backend for an answer, to learn whether it gives one.
    async fn ping(&self) -> Result<(), StoreError>;
}

/// Why a store gave no answer. The text is for the operator; a client never sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// The host's configuration names no store that there is.
    Misconfigured(String),
    /// The backend did not answer, or refused.
    Unavailable(String),
    /// The backend answered with something that is no date of birth.
    Corrupt,
}

/// A call of a [`UserStore`], or of the store of the metrics, for which `Read` is all there is.
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
    /// Every operation there is.
    pub const ALL: [Self; 3] = [Self::Read, Self::Write, Self::Ping];

    /// What logs and metrics call it.
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
            Self::Corrupt => f.write_str("the store holds a record that is no date of birth"),
        }
    }
}

impl std::error::Error for StoreError {}
