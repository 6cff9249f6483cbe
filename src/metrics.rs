//! Counters of requests and of store failures.
//!
//! An instance lives for one request, so it cannot count in its own memory: the counters are in a
//! key-value store of the host, the label or bucket `metrics` where there is one, and are only ever
//! incremented.
//! [`record`] writes them, [`exposition`] reads them for Prometheus, and [`key`] names them.

pub mod exposition;
pub mod key;
pub mod memory;
pub mod record;

use crate::{route::Route, store::StoreError};

/// The name of the counters' store in logs and metrics.
pub const STORE: &str = "metrics";

/// A store of counters.
///
/// An implementation must not lose an increment when any number of instances increment at once.
#[allow(
    async_fn_in_trait,
    reason = "static dispatch, and no host is multi-threaded"
)]
pub trait Counters {
    /// Adds `n` to the counter `key`, which starts at 0, and returns the sum.
    ///
    /// # Errors
    ///
    /// [`StoreError`], if the store fails.
    async fn increment(&self, key: &str, n: u64) -> Result<u64, StoreError>;

    /// The keys of the counters. The store may hold other keys too.
    ///
    /// # Errors
    ///
    /// [`StoreError`], if the store fails.
    async fn keys(&self) -> Result<Vec<String>, StoreError>;
}

/// The labels of a completed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Request {
    /// One of [`METHOD_NAMES`](crate::route::METHOD_NAMES).
    pub method: &'static str,
    /// The route.
    pub route: Route,
    /// The status of the response.
    pub status: u16,
}
