//! The application's variables, read once an instance.

use std::{cell::RefCell, rc::Rc};

use hello::{
    host::setting_in,
    store::{StoreError, binding::Binding, postgres::address},
};
use spin_sdk::variables;

/// The settings of the instance, if they have been read.
#[derive(Default)]
pub struct Kept(RefCell<Option<Rc<Settings>>>);

impl Kept {
    /// Reads them, unless they are there. What a provider of variables failed to return is read
    /// again for the next request.
    pub async fn get(&self) -> Rc<Settings> {
        let kept = self.0.borrow().clone();
        if let Some(kept) = kept {
            return kept;
        }
        let settings = Rc::new(Settings::read().await);
        if settings.service.is_ok() && settings.postgres.is_ok() {
            self.0.replace(Some(Rc::clone(&settings)));
        }
        settings
    }
}

/// Variables of spin.toml.
pub struct Settings {
    /// `store` and `log_level`, a line each.
    service: Result<String, String>,
    /// The address of Postgres, a libpq connection string; empty with another store.
    pub postgres: Result<Rc<str>, StoreError>,
}

impl Settings {
    async fn read() -> Self {
        let service = variables::get("service").await;
        let service = service.map_err(|error| error.to_string());
        let store = service.as_ref().ok().and_then(|it| setting_in(it, "store"));
        let postgres = if store.as_deref() == Some(Binding::Postgres.name()) {
            read_address().await
        } else {
            Ok(Rc::from(""))
        };
        Self { service, postgres }
    }

    /// The variable `name`.
    pub fn get(&self, name: &str) -> Result<Option<String>, String> {
        let service = self.service.as_ref();
        service
            .map(|service| setting_in(service, name))
            .map_err(Clone::clone)
    }
}

async fn read_address() -> Result<Rc<str>, StoreError> {
    let values = variables::get("postgres")
        .await
        .map_err(|error| StoreError::Misconfigured(format!("`postgres_…`: {error}")))?;
    address(&values).map(Rc::from)
}
