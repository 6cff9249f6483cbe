//! Finds the programs that tasks and tests run, and fetches those that are missing.
//!
//! | module | job |
//! | --- | --- |
//! | [`find`](mod@find) | a program: on PATH first, if its version fits, else fetched |
//! | [`fetch`] | where each thing comes from, in one table, and how it is fetched |
//! | [`charts`] | Helm charts of others, out of their repositories |
//! | [`wasm_target`] | a compiler for wasm32-wasip2 |
//! | [`run`] | runs a program, and says in one sentence what went wrong |
//!
//! An error is one sentence: what cannot be had, why, and what to do.
//!
//! Nothing is installed: what is fetched goes into `target/tools`, and no service, no setting and no
//! package of the machine changes. What is fetched is pinned with its digest. Debian's packages carry
//! Debian's signature instead, and charts no more than a version, as Argo CD takes them.

pub mod charts;
pub mod fetch;
pub mod find;
pub mod run;
pub mod wasm_target;

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

pub use fetch::{debian::library_path, node, python, sha256};
pub use find::{binary, find, find_or_fetch, path, plan, version};

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

/// A directory below [`target`] with nothing in it.
///
/// # Errors
///
/// Those of the file system.
pub fn fresh(name: &str) -> io::Result<PathBuf> {
    let directory = target().join(name);
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    fs::create_dir_all(&directory)?;
    Ok(directory)
}

/// The directory of all that is fetched.
fn directory() -> PathBuf {
    target().join("tools")
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

/// The name of the host's program, as [`find()`] takes it.
impl From<HostKind> for &'static str {
    fn from(kind: HostKind) -> Self {
        match kind {
            HostKind::Spin => "spin",
            HostKind::Wasmcloud => "wash",
        }
    }
}

/// The directory of more schemas of custom resources, `GROUP/KIND_VERSION.json`, if `HELLO_SCHEMAS`
/// names one.
#[must_use]
pub fn schemas() -> Option<PathBuf> {
    let named = std::env::var_os("HELLO_SCHEMAS")?;
    Some(root().join(named))
}
