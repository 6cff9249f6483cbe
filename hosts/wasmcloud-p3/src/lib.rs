//! hello on wasmCloud, on WASI 0.3. It reads the configuration that `hosts/wasmcloud` reads.
//!
//! An instance that the host keeps serves many requests, also at the same time. What it keeps between them is
//! in [`Instance`]: nothing there is of a request. `wasi:keyvalue` has no asynchronous version that the host
//! serves from NATS, so a call of it blocks the instance; calls of Postgres do not.

#![cfg(target_family = "wasm")]
#![allow(
    unsafe_code,
    reason = "`export!` expands to the component's entry point"
)]

mod bindings;
#[path = "../../wasmcloud/src/counters.rs"]
mod counters;
#[path = "../../wasmcloud/src/key_value.rs"]
mod key_value;
mod postgres;

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use hello::{
    host::Host,
    metrics::Counters,
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

use bindings::config::store::{self as config, Error};
use counters::OpenCounters;
use key_value::KeyValueStore;
use postgres::PostgresStore;

struct Component;

impl Guest for Component {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let instance = INSTANCE.with(Rc::clone);
        Ok(hello::wasi::p3::serve(request, &*instance, &instance.buffer).await)
    }
}

wasip3::http::service::export!(Component);

thread_local! {
    static INSTANCE: Rc<Instance> = Rc::new(Instance {
        settings: RefCell::default(),
        buffer: Rc::new(Buffer::new(open_counters)),
    });
}

/// What an instance keeps between requests.
struct Instance {
    /// The host keeps them as they are for as long as the instance lives.
    settings: RefCell<BTreeMap<String, Option<String>>>,
    buffer: Rc<Buffer<Counting>>,
}

impl Host for Instance {
    const NAME: &'static str = "wasmcloud";
    const WASI: &'static str = "0.3";

    type Users = Bounded<Store<KeyValueStore, PostgresStore>>;
    type Counters = Rc<Buffer<Counting>>;

    fn setting(&self, name: &str) -> Result<Option<String>, String> {
        if let Some(value) = self.settings.borrow().get(name) {
            return Ok(value.clone());
        }
        let value = setting(name)?;
        let mut settings = self.settings.borrow_mut();
        Ok(settings.entry(name.to_owned()).or_insert(value).clone())
    }

    fn users(&self, binding: Binding) -> Result<Self::Users, StoreError> {
        Ok(Bounded(match binding {
            Binding::KeyValue => Store::KeyValue(KeyValueStore),
            Binding::Postgres => Store::Postgres(PostgresStore),
        }))
    }

    fn counters(&self) -> Result<Option<Self::Counters>, StoreError> {
        let is_off = self
            .setting("metrics")
            .is_ok_and(|it| is_off(it.as_deref()));
        Ok((!is_off).then(|| Rc::clone(&self.buffer)))
    }
}

fn setting(name: &str) -> Result<Option<String>, String> {
    config::get(name).map_err(|error| match error {
        Error::Upstream(why) | Error::Io(why) => why,
    })
}

fn is_off(metrics: Option<&str>) -> bool {
    metrics == Some("off")
}

/// How often an increment is tried that another write has overtaken. An instance makes them a few times a second.
const ATTEMPTS: usize = 32;

/// The open store of counters, or `None` where the configuration turns metrics off.
struct Counting(Option<OpenCounters>);

fn open_counters() -> Result<Counting, StoreError> {
    if setting("metrics").is_ok_and(|it| is_off(it.as_deref())) {
        return Ok(Counting(None));
    }
    counters::open().map(|open| Counting(Some(open)))
}

impl Counters for Counting {
    async fn increment(&self, key: &str, n: u64) -> Result<u64, StoreError> {
        let Some(open) = &self.0 else {
            return Ok(0);
        };
        let mut result = open.increment(key, n).await;
        for _ in 1..ATTEMPTS {
            let is_overtaken = matches!(&result, Err(StoreError::Unavailable(why))
                if why.contains("wrong last revision"));
            if !is_overtaken {
                break;
            }
            result = open.increment(key, n).await;
        }
        result
    }

    async fn keys(&self) -> Result<Vec<String>, StoreError> {
        match &self.0 {
            Some(open) => open.keys().await,
            None => Ok(Vec::new()),
        }
    }
}
