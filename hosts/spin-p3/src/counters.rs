//! Counters in the key-value store of the label `metrics`.
//!
//! Of `wasi:keyvalue`, Spin has no asynchronous version, and only it can increment atomically. So a
//! call blocks the instance: `metrics` is for a store in memory.

use hello::{metrics::Counters, store::StoreError};
use spin_sdk::experimental::wasi::keyvalue::{
    atomics::increment,
    store::{self, Bucket, Error},
};

/// The open store.
pub struct OpenCounters(Bucket);

/// Opens the store.
///
/// # Errors
///
/// [`StoreError::Unavailable`], with Spin's message.
pub fn open() -> Result<OpenCounters, StoreError> {
    store::open("metrics")
        .map(OpenCounters)
        .map_err(unavailable)
}

impl Counters for OpenCounters {
    async fn increment(&self, key: &str, n: u64) -> Result<u64, StoreError> {
        let n = i64::try_from(n).unwrap_or(i64::MAX);
        let sum = increment(&self.0, key, n).map_err(unavailable)?;
        u64::try_from(sum).map_err(|_| StoreError::Corrupt)
    }

    async fn keys(&self) -> Result<Vec<String>, StoreError> {
        let mut keys = Vec::new();
        let mut cursor = None;
        loop {
            let page = self.0.list_keys(cursor.as_deref()).map_err(unavailable)?;
            keys.extend(page.keys);
            cursor = page.cursor;
            if cursor.is_none() {
                return Ok(keys);
            }
        }
    }
}

fn unavailable(error: Error) -> StoreError {
    StoreError::Unavailable(match error {
        Error::NoSuchStore => {
            "the runtime config defines no store for the label `metrics`".to_owned()
        }
        Error::AccessDenied => "spin.toml does not grant the label `metrics`".to_owned(),
        Error::Other(why) => why,
    })
}
