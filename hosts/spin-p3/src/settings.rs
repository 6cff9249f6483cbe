//! The application's variables, read once an instance.

use std::{cell::RefCell, rc::Rc};

use hello::store::{
    StoreError,
    binding::Binding,
    postgres::{VARIABLES, address},
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
        if settings.store.is_ok() && settings.log_level.is_ok() && settings.postgres.is_ok() {
            self.0.replace(Some(Rc::clone(&settings)));
        }
        settings
    }
}

type Setting = Result<Option<String>, String>;

/// Variables of spin.toml.
pub struct Settings {
    store: Setting,
    log_level: Setting,
    /// The address of Postgres, a libpq connection string; empty with another store.
    pub postgres: Result<Rc<str>, StoreError>,
}

impl Settings {
    async fn read() -> Self {
        let store = read("store").await;
        let is_postgres =
            store.as_ref().ok().and_then(Option::as_deref) == Some(Binding::Postgres.name());
        let postgres = if is_postgres {
            let mut values = Vec::new();
            for (name, _) in VARIABLES {
                values.push(variables::get(name).await.unwrap_or_default());
            }
            let mut values = values.into_iter();
            address(|_| values.next().unwrap_or_default()).map(Rc::from)
        } else {
            Ok(Rc::from(""))
        };
        Self {
            store,
            log_level: read("log_level").await,
            postgres,
        }
    }

    /// The variable `name`.
    pub fn get(&self, name: &str) -> Setting {
        match name {
            "store" => self.store.clone(),
            "log_level" => self.log_level.clone(),
            _ => Ok(None),
        }
    }
}

async fn read(name: &str) -> Setting {
    match variables::get(name).await {
        Ok(value) => Ok(Some(value)),
        Err(variables::Error::Undefined(_)) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}
