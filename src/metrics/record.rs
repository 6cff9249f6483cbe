//! Recording a completed request in the counters.

use std::time::Duration;

use super::{
    Counters, Request,
    key::{Key, bucket},
};
use crate::store::{Failure, StoreError};

/// Counts `request`, its `duration`, and its `failure` if it has one.
///
/// # Errors
///
/// That of the first increment that fails; the ones after it are not tried.
pub async fn request<C: Counters>(
    counters: &C,
    request: Request,
    duration: Duration,
    failure: Option<&Failure>,
) -> Result<(), StoreError> {
    let increment = async |key: Key, n| counters.increment(&key.to_string(), n).await.map(drop);
    increment(Key::Request(request, bucket(duration)), 1).await?;
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    increment(Key::Micros(request), micros).await?;
    if let Some(failure) = failure {
        increment(Key::Error(failure.store, failure.operation.name()), 1).await?;
    }
    Ok(())
}
