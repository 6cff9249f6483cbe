//! Counters in the bucket `metrics` of the host's `wasi:keyvalue`.

use hello::{metrics::Counters, store::StoreError};

use crate::{
    bindings::keyvalue::{
        atomics::increment,
        store::{Bucket, Error},
    },
    key_value::{bucket, unavailable},
};

/// How often an increment is tried that another one came before.
const ATTEMPTS: usize = 32;

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
        let mut result = increment(&self.0, key, n);
        for _ in 1..ATTEMPTS {
            // With NATS, the host reads and then writes, and gives up if there was another write meanwhile:
            // docs/upstream.md.
            let is_overtaken =
                matches!(&result, Err(Error::Other(why)) if why.contains("wrong last revision"));
            if !is_overtaken {
                break;
            }
            result = increment(&self.0, key, n);
        }
        result.map_err(unavailable)
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
