//! Counters in the key-value store that the label `metrics` is bound to.

use hello::{metrics::Counters, store::StoreError};
// spin-sdk has no wrapper for it, and holds the whole of its WIT: a second copy, made by
// wit-bindgen, could not be linked beside that.
use spin_sdk::wit::wasi::keyvalue::{
    atomics::increment,
    store::{self, Bucket, Error},
};

/// The store, open.
pub struct OpenCounters(Bucket);

/// Opens the store.
///
/// # Errors
///
/// [`StoreError::Unavailable`], in Spin's words.
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
        Error::NoSuchStore => "Spin has no store for the label `metrics`".to_owned(),
        Error::AccessDenied => "spin.toml does not name the label `metrics`".to_owned(),
        Error::Other(why) => why,
    })
}
