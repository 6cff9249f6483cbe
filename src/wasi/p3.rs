//! The service on `wasi:http` 0.3.
//!
//! The host may give an instance a request while it waits for the store's response to another. So
//! what concerns one request is on its stack, and an instance keeps only what concerns none:
//! settings, the open store, and a [`Buffer`] of counters and log lines.

mod buffer;
mod deadline;
mod incoming;
mod outgoing;
mod serve;

pub use buffer::Buffer;
pub use deadline::{Bounded, STORE_TIMEOUT};
pub use serve::serve;
