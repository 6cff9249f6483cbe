//! Namespaces of its own, in which a fault harms nothing but what runs inside.
//!
//! A network to drop packets in, mounts for disks to fill, and process numbers, so that all that was
//! started ends with it.

use std::{
    env,
    process::{Command, ExitCode},
};

use anyhow::Result;
use harness::namespace::{can_be_made, run_again};
use tools::run::run;

/// Says that this process runs inside already.
const INSIDE: &str = "HELLO_CHAOS_INSIDE";

/// Where this process runs.
#[derive(Debug)]
pub enum Place {
    /// In namespaces of its own.
    Inside,
    /// On the machine; it ran again inside, and ended so.
    Ran(ExitCode),
    /// On the machine, and why it has no namespaces.
    Outside(&'static str),
}

/// Whether this is the run inside.
pub fn is_inside() -> bool {
    env::var_os(INSIDE).is_some()
}

/// Runs this program again in namespaces of its own, where that can be.
///
/// There is no other network inside: what is fetched is fetched before.
pub fn enter() -> Result<Place> {
    if is_inside() {
        run(
            "set up a network of its own",
            Command::new(tools::find_or_fetch("ip")?).args(["link", "set", "lo", "up"]),
        )?;
        return Ok(Place::Inside);
    }
    if !rustix::process::geteuid().is_root() {
        return Ok(Place::Outside("it takes root, for namespaces of its own"));
    }
    if !can_be_made() {
        return Ok(Place::Outside(
            "`unshare` makes no namespaces here: in a container, that takes privileges",
        ));
    }
    run_again(INSIDE, "1").map(Place::Ran)
}
