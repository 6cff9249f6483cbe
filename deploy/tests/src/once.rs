//! What is made once for all tests.

use std::{
    collections::BTreeMap,
    sync::{Mutex, OnceLock, PoisonError},
};

use anyhow::{Result, anyhow};

type Made<T> = &'static OnceLock<Result<T, String>>;

/// What was made, or why it could not be, by its key. Others wait for what somebody makes.
pub struct Once<T: 'static>(Mutex<BTreeMap<String, Made<T>>>);

impl<T> Once<T> {
    #[expect(clippy::new_without_default, reason = "it is for statics")]
    pub const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    pub fn get(&self, key: &str, make: impl FnOnce() -> Result<T>) -> Result<&'static T> {
        let once: Made<T> = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let once = all.entry(key.to_owned());
            once.or_insert_with(|| Box::leak(Box::default()))
        };
        let made = once.get_or_init(|| make().map_err(|error| format!("{error:#}")));
        made.as_ref().map_err(|error| anyhow!(error.clone()))
    }
}
