//! An in-memory user store, for tests without a host. It is not durable.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
};

use super::{StoreError, UserStore};
use crate::{birthday::DateOfBirth, username::Username};

#[derive(Debug, Default)]
struct State {
    users: HashMap<Username, DateOfBirth>,
    outage: Option<StoreError>,
}

/// Users in memory, and a simulated outage. Clones share their state.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
}

impl MemoryStore {
    /// Makes every call fail with `outage`, until `None` ends it.
    pub fn set_outage(&self, outage: Option<StoreError>) {
        self.state().outage = outage;
    }

    /// The number of users.
    ///
    /// ```
    /// use hello::{
    ///     birthday::DateOfBirth,
    ///     store::{UserStore, memory::MemoryStore},
    ///     username::Username,
    /// };
    ///
    /// let store = MemoryStore::default();
    /// let born = DateOfBirth::parse(b"1990-06-20").expect("a date");
    /// for name in ["Ada", "Grace", "Ada"] {
    ///     let username = Username::parse(name.as_bytes()).expect("letters");
    ///     pollster::block_on(store.save(&username, born)).expect("saved");
    /// }
    /// assert_eq!(store.len(), 2);
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.state().users.len()
    }

    /// Whether there are no users.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.state().users.is_empty()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("no thread panics while it holds the lock")
    }
}

impl UserStore for MemoryStore {
    async fn birthday_of(&self, username: &Username) -> Result<Option<DateOfBirth>, StoreError> {
        self.ping().await?;
        Ok(self.state().users.get(username).copied())
    }

    async fn save(&self, username: &Username, born: DateOfBirth) -> Result<(), StoreError> {
        self.ping().await?;
        self.state().users.insert(username.clone(), born);
        Ok(())
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.state().outage.clone().map_or(Ok(()), Err)
    }
}
