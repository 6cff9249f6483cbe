//! Counters in the key-value store of the label `metrics`, or beside the users in `default` where the
//! manifest does not grant `metrics`.
//!
//! Of `wasi:keyvalue`, which alone increments atomically, Spin has no asynchronous version: a call
//! blocks the instance, so a slow store of counters delays its requests.

use hello::{metrics::Counters, store::StoreError};
use spin_sdk::experimental::wasi::keyvalue::{
    atomics::increment,
    store::{self, Bucket, Error},
};

/// The open store.
pub struct OpenCounters {
    bucket: Bucket,
    label: &'static str,
}

/// Opens the store.
///
/// # Errors
///
/// [`StoreError::Unavailable`], with Spin's message.
pub fn open() -> Result<OpenCounters, StoreError> {
    // Spin refuses to start where a label other than `default` is granted and no runtime config binds
    // it, so spin.toml grants `default` alone. Any other error is one of the store `metrics`: counting
    // in `default` would hide it.
    match open_label("metrics") {
        Err((_, Error::AccessDenied)) => open_label("default"),
        opened => opened,
    }
    .map_err(|(label, error)| unavailable(label, error))
}

fn open_label(label: &'static str) -> Result<OpenCounters, (&'static str, Error)> {
    let bucket = store::open(label).map_err(|error| (label, error))?;
    Ok(OpenCounters { bucket, label })
}

impl Counters for OpenCounters {
    async fn increment(&self, key: &str, n: u64) -> Result<u64, StoreError> {
        let n = i64::try_from(n).unwrap_or(i64::MAX);
        let sum = increment(&self.bucket, key, n).map_err(|error| self.unavailable(error))?;
        u64::try_from(sum).map_err(|_| StoreError::Corrupt)
    }

    async fn keys(&self) -> Result<Vec<String>, StoreError> {
        let mut keys = Vec::new();
        let mut cursor = None;
        loop {
            let page = self
                .bucket
                .list_keys(cursor.as_deref())
                .map_err(|error| self.unavailable(error))?;
            keys.extend(page.keys);
            cursor = page.cursor;
            if cursor.is_none() {
                return Ok(keys);
            }
        }
    }
}

impl OpenCounters {
    fn unavailable(&self, error: Error) -> StoreError {
        unavailable(self.label, error)
    }
}

fn unavailable(label: &str, error: Error) -> StoreError {
    StoreError::Unavailable(match error {
        Error::NoSuchStore => {
            format!("the runtime config defines no store for the label `{label}`")
        }
        Error::AccessDenied => format!("the manifest does not grant the label `{label}`"),
        Error::Other(why) => why,
    })
}
