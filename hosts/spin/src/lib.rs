//! hello on Spin: the application variable `store` selects the user store. The runtime config
//! defines the backends of the key-value labels `default` and, if the manifest grants it, `metrics`;
//! the variables `postgres_…` are the address of Postgres.

#![cfg(target_family = "wasm")]
#![allow(
    unsafe_code,
    reason = "`export!` expands to the component's entry point"
)]

mod counters;
#[cfg(feature = "floor")]
mod floor;
mod key_value;
mod postgres;

use std::cell::OnceCell;

use hello::{
    host::{Host, setting_in},
    store::{
        StoreError,
        binding::{Binding, Store},
    },
};
use spin_sdk::variables;
use wasip2::{
    exports::http::incoming_handler::Guest,
    http::types::{IncomingRequest, ResponseOutparam},
};

use counters::OpenCounters;
use key_value::KeyValueStore;
use postgres::PostgresStore;

struct Component;

impl Guest for Component {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        #[cfg(not(feature = "floor"))]
        hello::wasi::p2::serve(request, out, &Spin::default());
        #[cfg(feature = "floor")]
        floor::serve(request, out, &Spin::default());
    }
}

wasip2::http::proxy::export!(Component);

/// Spin, during one request.
#[derive(Default)]
struct Spin {
    /// The variable `service`, once it has been read.
    service: OnceCell<Result<String, String>>,
}

impl Host for Spin {
    const NAME: &'static str = "spin";

    type Users = Store<KeyValueStore, PostgresStore>;
    type Counters = OpenCounters;

    fn setting(&self, name: &str) -> Result<Option<String>, String> {
        let read = || variables::get("service").map_err(|error| error.to_string());
        let service = self.service.get_or_init(read).as_ref();
        service
            .map(|service| setting_in(service, name))
            .map_err(Clone::clone)
    }

    fn users(&self, binding: Binding) -> Result<Self::Users, StoreError> {
        match binding {
            Binding::KeyValue => Ok(Store::KeyValue(KeyValueStore)),
            Binding::Postgres => PostgresStore::from_variables().map(Store::Postgres),
        }
    }

    fn counters(&self) -> Result<Option<OpenCounters>, StoreError> {
        counters::open().map(Some)
    }
}
