//! Users in the key-value store of the label `default`.

use std::rc::Rc;

use hello::{
    birthday::DateOfBirth,
    store::{StoreError, UserStore, key_value},
    username::Username,
};
use spin_sdk::key_value::{Error, Store};

use crate::kept::Kept;

/// The store that the instance keeps open.
pub struct KeyValueStore {
    pub store: Rc<Kept<Store>>,
}

impl KeyValueStore {
    async fn call<R>(
        &self,
        call: impl AsyncFn(&Store) -> Result<R, Error>,
    ) -> Result<R, StoreError> {
        let called = self.store.call(Store::open_default, call).await;
        called.map_err(|error| StoreError::Unavailable(error.to_string()))
    }
}

impl UserStore for KeyValueStore {
    async fn birthday_of(&self, username: &Username) -> Result<Option<DateOfBirth>, StoreError> {
        let key = key_value::key(username);
        let value = self.call(async |store| store.get(&key).await).await?;
        value.as_deref().map(key_value::decode).transpose()
    }

    async fn save(&self, username: &Username, born: DateOfBirth) -> Result<(), StoreError> {
        let (key, value) = (key_value::key(username), key_value::encode(born));
        self.call(async |store| store.set(&key, &value).await).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        // Opening is not enough: Spin opens a Redis store whose server is down.
        let probed = self.call(async |store| store.exists(key_value::PROBE_KEY).await);
        probed.await.map(drop)
    }
}
