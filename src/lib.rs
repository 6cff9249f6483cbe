//! Keeps people's dates of birth and greets them.
//!
//! | request | answer | decided in |
//! | --- | --- | --- |
//! | `PUT /hello/{username}` | 204: the date of birth is saved | [`http`] |
//! | `GET /hello/{username}` | 200: a [`greeting`] | [`http`] |
//! | `GET /metrics` | 200: counters, in Prometheus' text | [`metrics`] |
//! | `GET /docs`, `/docs/{asset}`, `/openapi.json` | 200: Swagger UI and what it shows | [`docs`] |
//! | `GET /livez` | 200: the process answers | [`http`] |
//! | `GET /readyz` | 200: the [`store`] answers too | [`http`] |
//! | anything else | a problem document (RFC 9457) | [`http`] |
//!
//! A request's way through the house is a straight line:
//! host entry → `wasi` → [`http`] → [`username`] and [`birthday`] → [`store`] → [`greeting`]
//! → [`http`] → `wasi`. Nothing below [`http`] knows a status code, nothing above [`store`]
//! knows a backend, and only `wasi` reads a clock. What a request is told apart by, it gets from
//! [`correlation`]; once the client has its answer, `wasi` writes the [`log`] and has the request
//! counted by [`metrics`]. What all that needs of a host is [`host::Host`].

pub mod birthday;
pub mod correlation;
pub mod docs;
pub mod greeting;
pub mod host;
pub mod http;
pub mod log;
pub mod metrics;
pub mod store;
pub mod username;
#[cfg(target_family = "wasm")]
pub mod wasi;
