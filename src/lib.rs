//! Stores people's dates of birth and greets them.
//!
//! | request | response | handled in |
//! | --- | --- | --- |
//! | `PUT /hello/{username}` | 204: the date of birth is saved | [`api`] |
//! | `GET /hello/{username}` | 200: a [`greeting`] | [`api`] |
//! | `GET /metrics` | 200: the counters, for Prometheus | [`metrics::exposition`] |
//! | `GET /docs`, `/docs/{asset}`, `/openapi.json` | 200: Swagger UI, the OpenAPI document | [`api::docs`] |
//! | `GET /livez` | 200: the process is alive | [`api`] |
//! | `GET /readyz` | 200: the [`store`] is available | [`api`] |
//! | anything else | problem details (RFC 9457) | [`api`] |
//!
//! The data flow of a request is a straight line: host → `wasi` → [`api`] → [`username`],
//! [`birthday`] → [`store`] → [`greeting`] → [`api`] → `wasi` → host. Nothing below [`api`] knows a
//! status code, nothing above [`store`] knows a backend, and only `wasi` reads a clock.
//!
//! A module uses only those above it in this table:
//!
//! | module | what it is |
//! | --- | --- |
//! | [`username`] | the domain: a valid username |
//! | [`birthday`] | the domain: a date of birth, and the days until the next birthday |
//! | [`greeting`] | the domain: the text of a greeting |
//! | [`route`] | the routes: path templates and allowed methods |
//! | [`request_id`] | the header `x-request-id` |
//! | [`trace_context`] | the header `traceparent` |
//! | [`log`] | the JSON log line of a request |
//! | [`store`] | the port to a user store, and what its adapters share |
//! | [`metrics`] | the port to a store of counters, recording, and exposition |
//! | [`host`] | what a host provides: configuration and stores |
//! | [`api`] | from an HTTP request to a response |
//! | `wasi` | the adapters to `wasi:http` 0.2 and 0.3, for WebAssembly alone |

pub mod api;
pub mod birthday;
pub mod greeting;
pub mod host;
pub mod log;
pub mod metrics;
pub mod request_id;
pub mod route;
pub mod store;
pub mod trace_context;
pub mod username;
#[cfg(target_family = "wasm")]
pub mod wasi;
