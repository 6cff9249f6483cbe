//! A handle of the host's that outlives a request: an open store, a connection.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use wasip3::clocks::monotonic_clock;

/// How many calls a handle is kept for.
///
/// Spin lends out 64 connections to an address. Instances that kept theirs for as long as they live
/// would leave none to others when there are more instances than that.
const MAX_CALLS: u32 = 32;

/// How long it may take to open a handle that is kept, in nanoseconds: one that took longer was waited
/// for, and others wait for it.
const MAX_WAIT: u64 = 20_000_000;

/// A handle, if one is open. Requests that run at the same time share it.
pub struct Kept<T>(RefCell<Option<Rc<Handle<T>>>>);

struct Handle<T> {
    handle: T,
    /// How many more calls it is for.
    calls: Cell<u32>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(RefCell::new(None))
    }
}

impl<T> Kept<T> {
    /// Makes a call with the handle that is kept, or with one that is opened for it.
    ///
    /// A handle is kept after a call that succeeds, and dropped after one that fails, or that is
    /// cancelled: its backend may have restarted. So a call that fails with one that was kept is
    /// made once more, with a new one. It has to be idempotent.
    pub async fn call<R, E>(
        &self,
        open: impl AsyncFnOnce() -> Result<T, E>,
        call: impl AsyncFn(&T) -> Result<R, E>,
    ) -> Result<R, E> {
        let kept = self.0.borrow().clone();
        if let Some(kept) = kept
            && let Ok(result) = self.attempt(kept, &call).await
        {
            return Ok(result);
        }
        let started = monotonic_clock::now();
        let handle = open().await?;
        let has_waited = monotonic_clock::now().saturating_sub(started) > MAX_WAIT;
        let calls = Cell::new(if has_waited { 1 } else { MAX_CALLS });
        self.attempt(Rc::new(Handle { handle, calls }), &call).await
    }

    async fn attempt<R, E>(
        &self,
        handle: Rc<Handle<T>>,
        call: impl AsyncFn(&T) -> Result<R, E>,
    ) -> Result<R, E> {
        handle.calls.set(handle.calls.get().saturating_sub(1));
        let attempt = Attempt {
            kept: self,
            handle,
            has_failed: true,
        };
        let result = call(&attempt.handle.handle).await;
        attempt.end(result.is_err());
        result
    }
}

/// A call that is under way, and has failed if nothing says otherwise until it is dropped.
struct Attempt<'a, T> {
    kept: &'a Kept<T>,
    handle: Rc<Handle<T>>,
    has_failed: bool,
}

impl<T> Attempt<'_, T> {
    fn end(mut self, has_failed: bool) {
        self.has_failed = has_failed;
    }
}

impl<T> Drop for Attempt<'_, T> {
    fn drop(&mut self) {
        let mut kept = self.kept.0.borrow_mut();
        let is_kept = kept.as_ref().is_some_and(|it| Rc::ptr_eq(it, &self.handle));
        let is_spent = self.has_failed || self.handle.calls.get() == 0;
        if is_spent && is_kept {
            *kept = None;
        } else if !is_spent && kept.is_none() {
            *kept = Some(Rc::clone(&self.handle));
        }
    }
}
