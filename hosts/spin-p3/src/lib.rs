//! hello on Spin 4.1 and later, on WASI 0.3. It reads the configuration that `hosts/spin` reads.
//!
//! An instance serves many requests, also at the same time. What it keeps between them is in
//! [`Instance`]: nothing there is of a request.

#![cfg(target_family = "wasm")]
#![allow(
    unsafe_code,
    reason = "`export!` expands to the component's entry point"
)]

mod counters;
#[cfg(feature = "floor")]
mod floor;
mod kept;
mod key_value;
mod postgres;
mod settings;

use std::rc::Rc;

use hello::{
    host::Host,
    store::{
        StoreError,
        binding::{Binding, Store},
    },
    wasi::p3::{Bounded, Buffer},
};
use wasip3::{
    exports::http::handler::Guest,
    http::types::{ErrorCode, Request, Response},
};

use counters::OpenCounters;
use kept::Kept;
use key_value::KeyValueStore;
use postgres::PostgresStore;
use settings::Settings;

struct Component;

impl Guest for Component {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let instance = INSTANCE.with(Rc::clone);
        let host = Spin {
            settings: instance.settings.get().await,
            instance: &instance,
        };
        #[cfg(not(feature = "floor"))]
        return Ok(hello::wasi::p3::serve(request, &host, &instance.buffer).await);
        #[cfg(feature = "floor")]
        return Ok(floor::serve(request, &host).await);
    }
}

wasip3::http::service::export!(Component);

thread_local! {
    static INSTANCE: Rc<Instance> = Rc::new(Instance {
        settings: settings::Kept::default(),
        key_value: Rc::default(),
        postgres: Rc::default(),
        buffer: Rc::new(Buffer::new(counters::open)),
    });
}

/// What an instance keeps between requests.
struct Instance {
    settings: settings::Kept,
    key_value: Rc<Kept<spin_sdk::key_value::Store>>,
    postgres: Rc<Kept<spin_sdk::pg::Connection>>,
    buffer: Rc<Buffer<OpenCounters>>,
}

/// The host, as a request sees it.
struct Spin<'a> {
    settings: Rc<Settings>,
    instance: &'a Instance,
}

impl Host for Spin<'_> {
    const NAME: &'static str = "spin";
    const WASI: &'static str = "0.3";

    type Users = Bounded<Store<KeyValueStore, PostgresStore>>;
    type Counters = Rc<Buffer<OpenCounters>>;

    fn setting(&self, name: &str) -> Result<Option<String>, String> {
        self.settings.get(name)
    }

    fn users(&self, binding: Binding) -> Result<Self::Users, StoreError> {
        let store = match binding {
            Binding::KeyValue => Store::KeyValue(KeyValueStore {
                store: Rc::clone(&self.instance.key_value),
            }),
            Binding::Postgres => Store::Postgres(PostgresStore {
                address: self.settings.postgres.clone()?,
                connection: Rc::clone(&self.instance.postgres),
            }),
        };
        Ok(Bounded(store))
    }

    fn counters(&self) -> Result<Option<Self::Counters>, StoreError> {
        Ok(Some(Rc::clone(&self.instance.buffer)))
    }
}
