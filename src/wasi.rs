//! The service on `wasi:http` 0.2, shared by the hosts.

mod incoming;
mod outgoing;
mod serve;

pub use serve::serve;
