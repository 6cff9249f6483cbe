//! A host in this process's memory, for tests that need no other.

use super::Host;
use crate::{
    metrics::memory::MemoryCounters,
    store::{StoreError, binding::Binding, memory::MemoryStore},
};

/// Keeps users and counters in memory, and has no configuration.
#[derive(Clone, Debug, Default)]
pub struct MemoryHost {
    /// Where the users are, whichever store is asked for.
    pub users: MemoryStore,
    /// Where the counters are.
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
