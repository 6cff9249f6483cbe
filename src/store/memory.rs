//! A store in this process's memory, for tests that need no host. Nothing in it is durable.

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

/// Users in memory, and a switch that takes the store away. A clone is the same store.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
}

impl MemoryStore {
    /// From now on every call fails with `outage`; `None` brings the store back.
    pub fn set_outage(&self, outage: Option<StoreError>) {
        self.state().outage = outage;
    }

    /// How many users there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.state().users.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.state().users.is_empty()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("no thread panics while it holds this")
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
