//! Starts what tests, benchmarks and `cargo xtask up` need, and ends it with them.
//!
//! | module | job |
//! | --- | --- |
//! | [`host`] | a host with a component |
//! | [`wash_host`] | wasmCloud's `wash host`, to which workloads come over NATS |
//! | [`manifest`] | spin.toml with a label for the counters |
//! | [`postgres`] | a real Postgres of one's own, and the migrations |
//! | [`nats`] | a real NATS, and a client |
//! | [`redis`] | a real Redis, whose every write is on the disk |
//! | [`registry`] | a registry of OCI artifacts |
//! | [`namespace`] | what runs a program in namespaces that end with it |
//! | [`relay`] | a TCP relay that delays, and that moves |
//! | `runtime_config` | runtime-config.toml with the variables in it |
//! | [`process`] | a process with all that it starts, and their end |
//! | [`wait`] | waits for what comes about a moment later |
//! | [`client`] | HTTP/1.1 over one connection, to the byte |
//!
//! An error is one sentence, or that of the socket; where there is a log, it says where.

pub mod client;
pub mod host;
pub mod manifest;
pub mod namespace;
pub mod nats;
pub mod postgres;
pub mod process;
pub mod redis;
pub mod registry;
pub mod relay;
mod runtime_config;
pub mod wait;
pub mod wash_host;
