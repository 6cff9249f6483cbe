//! hello on Spin: the application variable `store` says which store keeps the users. What backs
//! the key-value label `default` is in the runtime configuration, and where Postgres is, in the
//! variables `postgres_…`.

#![cfg(target_family = "wasm")]
#![allow(
    unsafe_code,
    reason = "`export!` expands to the component's entry point"
)]

mod key_value;
mod postgres;

use hello::store::{
    StoreError,
    configured::{Binding, Configured, Store},
};
use spin_sdk::variables;
use wasip2::{
    exports::http::incoming_handler::Guest,
    http::types::{IncomingRequest, ResponseOutparam},
};

use key_value::KeyValueStore;
use postgres::PostgresStore;

struct Component;

impl Guest for Component {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        hello::wasi::serve(request, out, &Configured(store));
    }
}

wasip2::http::proxy::export!(Component);

fn store() -> Result<Store<KeyValueStore, PostgresStore>, StoreError> {
    let name = variables::get("store")
        .map_err(|error| StoreError::Misconfigured(format!("the variable `store`: {error}")))?;
    match Binding::parse(&name)? {
        Binding::KeyValue => Ok(Store::KeyValue(KeyValueStore)),
        Binding::Postgres => PostgresStore::from_variables().map(Store::Postgres),
    }
}
