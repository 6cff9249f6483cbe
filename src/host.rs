//! What a host provides to the service: configuration and stores.

pub mod memory;

use std::cell::OnceCell;

use crate::{
    birthday::DateOfBirth,
    metrics::Counters,
    store::{StoreError, UNKNOWN_STORE, UserStore, binding::Binding},
    username::Username,
};

/// A WebAssembly host, or its substitute in a test.
pub trait Host {
    /// The name in logs and metrics.
    const NAME: &'static str;

    /// The version of WASI that the component is built for, in metrics.
    const WASI: &'static str = "0.2";

    /// The user store.
    type Users: UserStore;

    /// The store of the metrics' counters.
    type Counters: Counters;

    /// The configuration variable `name`, or `None` if it is not set.
    ///
    /// # Errors
    ///
    /// The host's message, if it fails.
    fn setting(&self, name: &str) -> Result<Option<String>, String>;

    /// Opens the user store that `binding` selects.
    ///
    /// # Errors
    ///
    /// [`StoreError`], if that fails.
    fn users(&self, binding: Binding) -> Result<Self::Users, StoreError>;

    /// Opens the key-value store of the counters, the label or bucket `metrics` where there is one;
    /// `None` if the configuration turns metrics off.
    ///
    /// # Errors
    ///
    /// [`StoreError`], if that fails.
    fn counters(&self) -> Result<Option<Self::Counters>, StoreError>;
}

/// Variables that a host may hold together, a line each: then one call reads them.
const LINES: [&str; 2] = ["store", "log_level"];

/// The value of the setting `name` in `lines`, one of the lines `store` and `log_level`.
///
/// ```
/// use hello::host::setting_in;
///
/// assert_eq!(setting_in("postgres\nwarn", "log_level").as_deref(), Some("warn"));
/// assert_eq!(setting_in("postgres\nwarn", "metrics"), None);
/// ```
#[must_use]
pub fn setting_in(lines: &str, name: &str) -> Option<String> {
    let position = LINES.into_iter().position(|line| line == name)?;
    lines.split('\n').nth(position).map(str::to_owned)
}

/// A host during one request: the user store is looked up on first use, and once. `/livez` does
/// not use it.
///
/// ```
/// use hello::{
///     host::{Session, memory::MemoryHost},
///     store::binding::Binding,
/// };
///
/// let host = MemoryHost::default();
/// let session = Session::new(&host);
/// assert_eq!(session.binding(), Ok(Binding::KeyValue));
/// assert_eq!(session.store_name(), "key-value");
/// ```
pub struct Session<'a, H> {
    host: &'a H,
    binding: OnceCell<Result<Binding, StoreError>>,
}

impl<'a, H: Host> Session<'a, H> {
    /// A session in which nothing has been looked up yet.
    pub fn new(host: &'a H) -> Self {
        Self {
            host,
            binding: OnceCell::new(),
        }
    }

    /// The configured user store; key-value if none is configured.
    ///
    /// # Errors
    ///
    /// [`StoreError::Misconfigured`]: an unknown name never falls back to another store.
    pub fn binding(&self) -> Result<Binding, StoreError> {
        self.binding
            .get_or_init(|| {
                let name = self.host.setting("store").map_err(|why| {
                    StoreError::Misconfigured(format!("the variable `store`: {why}"))
                })?;
                name.as_deref()
                    .map_or(Ok(Binding::KeyValue), Binding::parse)
            })
            .clone()
    }

    /// The name of the user store in logs and metrics.
    pub fn store_name(&self) -> &'static str {
        self.binding().map_or(UNKNOWN_STORE, Binding::name)
    }

    /// The store of the counters; `None` if metrics are off.
    ///
    /// # Errors
    ///
    /// [`StoreError`], if it does not open.
    pub fn counters(&self) -> Result<Option<H::Counters>, StoreError> {
        self.host.counters()
    }

    fn users(&self) -> Result<H::Users, StoreError> {
        self.host.users(self.binding()?)
    }
}

impl<H: Host> UserStore for Session<'_, H> {
    async fn birthday_of(&self, username: &Username) -> Result<Option<DateOfBirth>, StoreError> {
        self.users()?.birthday_of(username).await
    }

    async fn save(&self, username: &Username, born: DateOfBirth) -> Result<(), StoreError> {
        self.users()?.save(username, born).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.users()?.ping().await
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::{metrics::memory::MemoryCounters, store::memory::MemoryStore};

    /// A host with this value of `store`, which counts how often it is read.
    struct Configured {
        store: Result<Option<String>, String>,
        reads: Cell<u32>,
    }

    impl Host for Configured {
        const NAME: &'static str = "configured";

        type Users = MemoryStore;
        type Counters = MemoryCounters;

        fn setting(&self, name: &str) -> Result<Option<String>, String> {
            assert_eq!(name, "store");
            self.reads.set(self.reads.get() + 1);
            self.store.clone()
        }

        fn users(&self, _: Binding) -> Result<MemoryStore, StoreError> {
            Ok(MemoryStore::default())
        }

        fn counters(&self) -> Result<Option<MemoryCounters>, StoreError> {
            Ok(None)
        }
    }

    #[test]
    fn the_binding_is_read_once_and_an_invalid_one_is_an_error() {
        for (store, binding, name) in [
            (Ok(None), Ok(Binding::KeyValue), "key-value"),
            (
                Ok(Some("postgres".to_owned())),
                Ok(Binding::Postgres),
                "postgres",
            ),
            (
                Ok(Some("cupboard".to_owned())),
                Err(
                    "the store is misconfigured: the variable `store` must be key-value or postgres",
                ),
                UNKNOWN_STORE,
            ),
            (
                Err("no access".to_owned()),
                Err("the store is misconfigured: the variable `store`: no access"),
                UNKNOWN_STORE,
            ),
        ] {
            let host = Configured {
                store,
                reads: Cell::new(0),
            };
            let session = Session::new(&host);
            assert_eq!(host.reads.get(), 0);
            let ping = pollster::block_on(session.ping());
            assert_eq!(ping.is_ok(), binding.is_ok());
            assert_eq!(
                session.binding().map_err(|error| error.to_string()),
                binding.map_err(str::to_owned)
            );
            assert_eq!(session.store_name(), name);
            assert!(matches!(session.counters(), Ok(None)));
            assert_eq!(host.reads.get(), 1);
        }
    }
}
