//! The service on `wasi:http`, shared by the hosts.
//!
//! | module | what it is |
//! | --- | --- |
//! | `exchange` | one request and its response, whatever the version of WASI |
//! | `p2` | WASI 0.2: an instance serves one request, and every call of it blocks |
//! | `p3` | WASI 0.3: an instance serves many requests, also at the same time |

mod exchange;
#[cfg(feature = "p2")]
pub mod p2;
#[cfg(feature = "p3")]
pub mod p3;
