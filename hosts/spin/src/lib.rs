//! hello on Spin: the application variable `store` selects the user store. The runtime config
//! defines the backends of the key-value labels `default` and, if the manifest grants it, `metrics`;
//! the variables `postgres_…` are the address of Postgres.

#![cfg(target_family = "wasm")]
#![allow(
    unsafe_code,
    reason = "`export!` expands to the component's entry point"
)]

mod counters;
mod key_value;
mod postgres;

use hello::{
    host::Host,
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
        hello::wasi::p2::serve(request, out, &Spin);
    }
}

wasip2::http::proxy::export!(Component);

struct Spin;

impl Host for Spin {
    const NAME: &'static str = "spin";

    type Users = Store<KeyValueStore, PostgresStore>;
    type Counters = OpenCounters;

    fn setting(&self, name: &str) -> Result<Option<String>, String> {
        match variables::get(name) {
            Ok(value) => Ok(Some(value)),
            Err(variables::Error::Undefined(_)) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
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
