//! hello on wasmCloud: the configuration variable `store` selects the user store. The host defines
//! the backends of `wasi:keyvalue` and `wasmcloud:postgres`.

#![cfg(target_family = "wasm")]
#![allow(
    unsafe_code,
    reason = "`export!` expands to the component's entry point"
)]

mod bindings;
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
use wasip2::{
    exports::http::incoming_handler::Guest,
    http::types::{IncomingRequest, ResponseOutparam},
};

use bindings::config::store::{self as config, Error};
use counters::OpenCounters;
use key_value::KeyValueStore;
use postgres::PostgresStore;

struct Component;

impl Guest for Component {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        hello::wasi::p2::serve(request, out, &WasmCloud);
    }
}

wasip2::http::proxy::export!(Component);

struct WasmCloud;

impl Host for WasmCloud {
    const NAME: &'static str = "wasmcloud";

    type Users = Store<KeyValueStore, PostgresStore>;
    type Counters = OpenCounters;

    fn setting(&self, name: &str) -> Result<Option<String>, String> {
        config::get(name).map_err(|error| match error {
            Error::Upstream(why) | Error::Io(why) => why,
        })
    }

    fn users(&self, binding: Binding) -> Result<Self::Users, StoreError> {
        Ok(match binding {
            Binding::KeyValue => Store::KeyValue(KeyValueStore),
            Binding::Postgres => Store::Postgres(PostgresStore),
        })
    }

    fn counters(&self) -> Result<Option<OpenCounters>, StoreError> {
        match self.setting("metrics") {
            Ok(Some(value)) if value == "off" => Ok(None),
            _ => counters::open().map(Some),
        }
    }
}
