//! The service on `wasi:http` 0.2.

mod incoming;
mod outgoing;
mod serve;

pub use serve::{ready, serve};
