//! In-memory counters, for tests without a host.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::Counters;
use crate::store::StoreError;

/// Counters in memory. Clones share their state.
#[derive(Clone, Debug, Default)]
pub struct MemoryCounters(Arc<Mutex<BTreeMap<String, u64>>>);

impl Counters for MemoryCounters {
    async fn increment(&self, key: &str, n: u64) -> Result<u64, StoreError> {
        let mut counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = counters.entry(key.to_owned()).or_default();
        *sum += n;
        Ok(*sum)
    }

    async fn keys(&self) -> Result<Vec<String>, StoreError> {
        let counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(counters.keys().cloned().collect())
    }
}
