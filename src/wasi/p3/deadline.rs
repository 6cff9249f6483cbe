//! Deadlines: a call to the host that takes too long is cancelled.

use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};

use wasip3::clocks::monotonic_clock;

use crate::{
    api::READINESS_TIMEOUT,
    birthday::DateOfBirth,
    store::{StoreError, UserStore},
    username::Username,
};

/// How long the store may take to respond to a read or a write.
pub const STORE_TIMEOUT: Duration = Duration::from_secs(5);

/// The output of `future`, or `None` if it is not ready within `limit`; it is dropped then.
pub async fn within<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    let nanoseconds = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
    let mut future = pin!(future);
    // Not polled, and so not started, for a future that is ready at once.
    let mut timer = pin!(monotonic_clock::wait_for(nanoseconds));
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => timer.as_mut().poll(context).map(|()| None),
    })
    .await
}

/// A store whose calls have a deadline: [`STORE_TIMEOUT`], and [`READINESS_TIMEOUT`] for a ping.
pub struct Bounded<S>(pub S);

impl<S: UserStore> UserStore for Bounded<S> {
    async fn birthday_of(&self, username: &Username) -> Result<Option<DateOfBirth>, StoreError> {
        bounded(STORE_TIMEOUT, self.0.birthday_of(username)).await
    }

    async fn save(&self, username: &Username, born: DateOfBirth) -> Result<(), StoreError> {
        bounded(STORE_TIMEOUT, self.0.save(username, born)).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        bounded(READINESS_TIMEOUT, self.0.ping()).await
    }
}

async fn bounded<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    within(limit, call).await.unwrap_or_else(|| {
        let seconds = limit.as_secs();
        Err(StoreError::Unavailable(format!(
            "timed out after {seconds} s"
        )))
    })
}
