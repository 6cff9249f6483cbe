//! Users in the key-value store of the label `default`.

use hello::{
    birthday::DateOfBirth,
    store::{StoreError, UserStore, key_value},
    username::Username,
};
use spin_sdk::key_value::{Error, Store};

/// Opens the store for every call: an instance lives for one request.
pub struct KeyValueStore;

impl UserStore for KeyValueStore {
    async fn birthday_of(&self, username: &Username) -> Result<Option<DateOfBirth>, StoreError> {
        let value = open()?
            .get(&key_value::key(username))
            .map_err(unavailable)?;
        value.as_deref().map(key_value::decode).transpose()
    }

    async fn save(&self, username: &Username, born: DateOfBirth) -> Result<(), StoreError> {
        open()?
            .set(&key_value::key(username), &key_value::encode(born))
            .map_err(unavailable)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        // Opening is not enough: Spin opens a Redis store whose server is down.
        open()?
            .exists(key_value::PROBE_KEY)
            .map(drop)
            .map_err(unavailable)
    }
}

fn open() -> Result<Store, StoreError> {
    Store::open_default().map_err(unavailable)
}

fn unavailable(error: Error) -> StoreError {
    StoreError::Unavailable(error.to_string())
}
