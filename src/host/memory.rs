//! An in-memory host, for tests.

use super::Host;
use crate::{
    metrics::memory::MemoryCounters,
    store::{StoreError, binding::Binding, memory::MemoryStore},
};

/// Users and counters in memory, and no configuration. Clones share their state.
#[derive(Clone, Debug, Default)]
pub struct MemoryHost {
    /// The user store, for every binding.
    pub users: MemoryStore,
    /// The counters.
    pub counters: MemoryCounters,
}

impl Host for MemoryHost {
    const NAME: &'static str = "memory";

    type Users = MemoryStore;
    type Counters = MemoryCounters;

    fn setting(&self, _: &str) -> Result<Option<String>, String> {
        Ok(None)
    }

    fn users(&self, _: Binding) -> Result<MemoryStore, StoreError> {
        Ok(self.users.clone())
    }

    fn counters(&self) -> Result<Option<MemoryCounters>, StoreError> {
        Ok(Some(self.counters.clone()))
    }
}
