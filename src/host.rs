//! What a host lends the service, and how one request sees it.

pub mod memory;

use std::cell::OnceCell;

use crate::{
    birthday::DateOfBirth,
    metrics::Counters,
    store::{StoreError, UNKNOWN_STORE, UserStore, binding::Binding},
    username::Username,
};

/// A WebAssembly host, or what stands for one in a test.
pub trait Host {
    /// What logs and metrics call it.
    const NAME: &'static str;

    /// The stores that keep users.
    type Users: UserStore;

    /// The store that keeps the metrics' counters.
    type Counters: Counters;

    /// The configuration value `name`, or `None` if nothing sets it.
    ///
    /// # Errors
    ///
    /// The host's words, if it cannot say.
    fn setting(&self, name: &str) -> Result<Option<String>, String>;

    /// The store that `binding` names.
    ///
    /// # Errors
    ///
    /// Those of opening it.
    fn users(&self, binding: Binding) -> Result<Self::Users, StoreError>;

    /// The key-value store with the label or bucket `metrics`, or `None` if the configuration
    /// says that nothing is to be counted.
    ///
    /// # Errors
    ///
    /// Those of opening it.
    fn counters(&self) -> Result<Option<Self::Counters>, StoreError>;
}

/// A host for the length of one request: which store keeps the users is looked up when that is
/// first asked, and once. `/livez` never asks.
pub struct Session<'a, H> {
    host: &'a H,
    binding: OnceCell<Result<Binding, StoreError>>,
}

impl<'a, H: Host> Session<'a, H> {
    /// A session in which nothing has been looked up.
    pub fn new(host: &'a H) -> Self {
        Self {
            host,
            binding: OnceCell::new(),
        }
    }

    /// Which store keeps the users.
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

    /// What logs and metrics call the store that keeps the users.
    pub fn store_name(&self) -> &'static str {
        self.binding().map_or(UNKNOWN_STORE, Binding::name)
    }

    /// The store that keeps the counters, if there is to be one.
    ///
    /// # Errors
    ///
    /// Those of opening it.
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
