//! What `wit/world.wit` imports, made by wit-bindgen.

#![allow(missing_docs, reason = "generated; the WIT files have the words")]

wit_bindgen::generate!({
    path: "../../wit",
    world: "wasmcloud",
    generate_all,
});

pub use wasi::{config, keyvalue};
pub use wasmcloud::postgres;
