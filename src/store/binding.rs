//! The choice of the user store, by a host's configuration.

use super::{StoreError, UserStore};
use crate::{birthday::DateOfBirth, username::Username};

/// A value of the configuration variable `store`.
///
/// ```
/// use hello::store::binding::Binding;
///
/// assert_eq!(Binding::parse("postgres"), Ok(Binding::Postgres));
/// assert_eq!(Binding::Postgres.name(), "postgres");
/// assert!(Binding::parse("Postgres").is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// `key-value`: the host's key-value interface, label or bucket `default`.
    KeyValue,
    /// `postgres`: the host's Postgres interface, table `users`.
    Postgres,
}

impl Binding {
    /// The name in configuration, logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::KeyValue => "key-value",
            Self::Postgres => "postgres",
        }
    }

    /// Parses the value of `store`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Misconfigured`]: an unknown name never falls back to another store.
    pub fn parse(name: &str) -> Result<Self, StoreError> {
        match name {
            "key-value" => Ok(Self::KeyValue),
            "postgres" => Ok(Self::Postgres),
            _ => Err(StoreError::Misconfigured(
                "the variable `store` must be key-value or postgres".to_owned(),
            )),
        }
    }
}

/// The configured store.
pub enum Store<K, P> {
    /// The store of [`Binding::KeyValue`].
    KeyValue(K),
    /// The store of [`Binding::Postgres`].
    Postgres(P),
}

impl<K: UserStore, P: UserStore> UserStore for Store<K, P> {
    async fn birthday_of(&self, username: &Username) -> Result<Option<DateOfBirth>, StoreError> {
        match self {
            Self::KeyValue(store) => store.birthday_of(username).await,
            Self::Postgres(store) => store.birthday_of(username).await,
        }
    }

    async fn save(&self, username: &Username, born: DateOfBirth) -> Result<(), StoreError> {
        match self {
            Self::KeyValue(store) => store.save(username, born).await,
            Self::Postgres(store) => store.save(username, born).await,
        }
    }

    async fn ping(&self) -> Result<(), StoreError> {
        match self {
            Self::KeyValue(store) => store.ping().await,
            Self::Postgres(store) => store.ping().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use pollster::block_on;

    use super::*;
    use crate::store::memory::MemoryStore;

    #[test]
    fn a_store_forwards_every_call_to_the_configured_one() {
        let (key_value, postgres) = (MemoryStore::default(), MemoryStore::default());
        let ada = Username::parse(b"Ada").expect("a username");
        let day = |day| DateOfBirth::from_ymd(2000, 1, day).expect("a date of birth");
        for (store, backend, born) in [
            (Store::KeyValue(key_value.clone()), &key_value, day(1)),
            (Store::Postgres(postgres.clone()), &postgres, day(2)),
        ] {
            assert_eq!(block_on(store.ping()), Ok(()));
            assert_eq!(block_on(store.save(&ada, born)), Ok(()));
            assert_eq!(block_on(store.birthday_of(&ada)), Ok(Some(born)));
            assert_eq!(block_on(backend.birthday_of(&ada)), Ok(Some(born)));
            assert_eq!((backend.len(), backend.is_empty()), (1, false));

            backend.set_outage(Some(StoreError::Corrupt));
            assert_eq!(block_on(store.ping()), Err(StoreError::Corrupt));
        }
    }

    #[test]
    fn an_unknown_store_is_an_error_and_never_another_store() {
        assert_eq!(Binding::parse("key-value"), Ok(Binding::KeyValue));
        assert_eq!(Binding::parse("postgres"), Ok(Binding::Postgres));
        for name in ["", "Postgres", "Key-Value", "key-value ", "memory"] {
            let error = Binding::parse(name).expect_err(name);
            assert_eq!(
                error.to_string(),
                "the store is misconfigured: \
                 the variable `store` must be key-value or postgres"
            );
        }
    }
}
