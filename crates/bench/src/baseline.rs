//! The baselines of crates/bench/baselines: set up, started and ended.
//!
//! | module | directories |
//! | --- | --- |
//! | [`fastapi`] | `fastapi`, `fastapi-tutorial` |
//! | [`native`] | `native` |

pub mod fastapi;
pub mod native;

use std::{path::Path, process::Command, time::Duration};

use anyhow::Result;
use harness::{client, process::Process};

use crate::load::{Server, Service};

/// How long it may take until it serves.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Starts the baseline `name` by `command`, with its log in `directory`, and waits until a GET of
/// `ready` on `port` is answered with 200.
fn start(
    name: &str,
    command: &mut Command,
    port: u16,
    ready: &str,
    directory: &Path,
) -> Result<Service> {
    let log = directory.join("log");
    let is_ready = || client::is_ok(port, ready);
    let process = Process::start_server(command, Some(&log), START_TIMEOUT, is_ready)?;
    let server = Server::Process(process);
    Ok(Service::of(name.to_owned(), true, port, server))
}
