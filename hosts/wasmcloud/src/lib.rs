//! hello on wasmCloud: the configuration value `store` says which store keeps the users, and
//! the host says what backs `wasi:keyvalue` and `wasmcloud:postgres`.

#![cfg(target_family = "wasm")]
#![allow(
    unsafe_code,
    reason = "`export!` expands to the component's entry point"
)]

mod bindings;
mod key_value;
mod postgres;

use hello::store::{
    StoreError,
    configured::{Binding, Configured, Store},
};
use wasip2::{
    exports::http::incoming_handler::Guest,
    http::types::{IncomingRequest, ResponseOutparam},
};

use bindings::config::store as config;
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
    let name = config::get("store")
        .map_err(|error| StoreError::Misconfigured(format!("the variable `store`: {error:?}")))?;
    match Binding::parse(name.as_deref().unwrap_or("key-value"))? {
        Binding::KeyValue => Ok(Store::KeyValue(KeyValueStore)),
        Binding::Postgres => Ok(Store::Postgres(PostgresStore)),
    }
}
