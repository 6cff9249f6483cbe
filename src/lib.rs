//! Keeps people's dates of birth and greets them.
//!
//! | request | answer | decided in |
//! | --- | --- | --- |
//! | `PUT /hello/{username}` | 204: the date of birth is saved | [`http`] |
//! | `GET /hello/{username}` | 200: a [`greeting`] | [`http`] |
//! | `GET /livez` | 200: the process answers | [`http`] |
//! | `GET /readyz` | 200: the [`store`] answers too | [`http`] |
//! | anything else | a problem document (RFC 9457) | [`http`] |
//!
//! A request's way through the house is a straight line:
//! host entry → `wasi` → [`http`] → [`username`] and [`birthday`] → [`store`] → [`greeting`]
//! → [`http`] → `wasi`. Nothing below [`http`] knows a status code, nothing above [`store`]
//! knows a backend, and only `wasi` reads a clock, once a request.

pub mod birthday;
pub mod greeting;
pub mod http;
pub mod store;
pub mod username;
#[cfg(target_family = "wasm")]
pub mod wasi;
