//! Users in the bucket `default` of the host's `wasi:keyvalue`.

use hello::{
    birthday::DateOfBirth,
    store::{StoreError, UserStore, key_value},
    username::Username,
};

use crate::bindings::keyvalue::store::{Bucket, Error, open};

/// Opens the bucket for every call: the host keeps connections.
pub struct KeyValueStore;

impl UserStore for KeyValueStore {
    async fn birthday_of(&self, username: &Username) -> Result<Option<DateOfBirth>, StoreError> {
        let (bucket, key) = (bucket("default")?, key_value::key(username));
        for _ in 0..3 {
            match bucket.get(&key).map_err(unavailable)? {
                // `wash dev` truncates a file before it writes it: a save is in progress.
                Some(value) if value.is_empty() => {}
                value => return value.as_deref().map(key_value::decode).transpose(),
            }
        }
        Err(StoreError::Corrupt)
    }

    async fn save(&self, username: &Username, born: DateOfBirth) -> Result<(), StoreError> {
        bucket("default")?
            .set(&key_value::key(username), &key_value::encode(born))
            .map_err(unavailable)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        bucket("default")?
            .exists(key_value::PROBE_KEY)
            .map(drop)
            .map_err(unavailable)
    }
}

pub fn bucket(name: &str) -> Result<Bucket, StoreError> {
    open(name).map_err(unavailable)
}

pub fn unavailable(error: Error) -> StoreError {
    StoreError::Unavailable(match error {
        Error::NoSuchStore => "the host has no such bucket".to_owned(),
        Error::AccessDenied => "the host denies access to the bucket".to_owned(),
        Error::Other(why) => why,
    })
}
