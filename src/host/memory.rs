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

#[cfg(test)]
mod tests {
    use pollster::block_on;

    use super::*;
    use crate::metrics::Counters;

    #[test]
    fn clones_count_together() {
        let host = MemoryHost::default();
        let counters = host.clone().counters().expect("they open");
        let counters = counters.expect("they are on");
        assert_eq!(block_on(counters.increment("requests", 2)), Ok(2));
        assert_eq!(
            block_on(host.counters.keys()),
            Ok(vec!["requests".to_owned()])
        );
    }
}
