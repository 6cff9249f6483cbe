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

    /// Opens the key-value store with the label or bucket `metrics`; `None` if the configuration
    /// turns metrics off.
    ///
    /// # Errors
    ///
    /// [`StoreError`], if that fails.
    fn counters(&self) -> Result<Option<Self::Counters>, StoreError>;
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
