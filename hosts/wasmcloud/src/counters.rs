//! Counters in the bucket `metrics` of the host's `wasi:keyvalue`.
//!
//! With NATS, the host reads and then writes, and gives up if there was another write meanwhile: docs/upstream.md.
//! On WASI 0.2 the count is lost then, and the log says so: to try again would keep an instance for each request that
//! is answered, until there are none left for those that are not.

use hello::{metrics::Counters, store::StoreError};

use crate::{
    bindings::keyvalue::{atomics::increment, store::Bucket},
    key_value::{bucket, unavailable},
};

/// The open store.
pub struct OpenCounters(Bucket);

/// Opens the store.
///
/// # Errors
///
/// [`StoreError::Unavailable`], with the host's message.
pub fn open() -> Result<OpenCounters, StoreError> {
    bucket("metrics").map(OpenCounters)
}

impl Counters for OpenCounters {
    async fn increment(&self, key: &str, n: u64) -> Result<u64, StoreError> {
        increment(&self.0, key, n).map_err(unavailable)
    }

    async fn keys(&self) -> Result<Vec<String>, StoreError> {
        let mut keys = Vec::new();
        let mut cursor = None;
        loop {
            let page = self.0.list_keys(cursor).map_err(unavailable)?;
            keys.extend(page.keys);
            cursor = page.cursor;
            if cursor.is_none() {
                return Ok(keys);
            }
        }
    }
}
