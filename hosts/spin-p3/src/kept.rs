//! A handle of the host's that outlives a request: an open store, a connection.

use std::{cell::RefCell, rc::Rc};

/// A handle, if one is open. Requests that run at the same time share it.
pub struct Kept<T>(RefCell<Option<Rc<T>>>);

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
        let opened = Rc::new(open().await?);
        self.attempt(opened, &call).await
    }

    async fn attempt<R, E>(
        &self,
        handle: Rc<T>,
        call: impl AsyncFn(&T) -> Result<R, E>,
    ) -> Result<R, E> {
        let attempt = Attempt {
            kept: self,
            handle,
            has_failed: true,
        };
        let result = call(&attempt.handle).await;
        attempt.end(result.is_err());
        result
    }
}

/// A call that is under way, and has failed if nothing says otherwise until it is dropped.
struct Attempt<'a, T> {
    kept: &'a Kept<T>,
    handle: Rc<T>,
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
        if self.has_failed && is_kept {
            *kept = None;
        } else if !self.has_failed && kept.is_none() {
            *kept = Some(Rc::clone(&self.handle));
        }
    }
}
