//! What the tasks, the tests and the benchmark share.
//!
//! | module | job |
//! | --- | --- |
//! | [`run`] | runs a program, and says in one sentence what went wrong |
//! | [`wasm_target`] | finds or fetches a compiler for wasm32-wasip2 |
//! | [`build`] | builds the components |
//! | [`component`] | makes a component of what the linker leaves, its assets outside the memory |
//! | [`tools`] | finds or fetches the hosts' programs, and those of the checks |
//! | [`process`] | a process with all that it starts, and their end |
//! | [`postgres`] | a real Postgres of one's own, and the migrations |
//! | [`host`] | starts a host with a component, and ends it |
//! | [`client`] | HTTP/1.1 over one connection, to the byte |
//! | [`observability`] | checks the alerts, the dashboard and compose.yaml |
//! | [`supply_chain`] | has the tools that look at dependencies |
//! | [`up`], [`check`], [`test`], [`manifests`], [`bench`], [`rehearse`], [`release`] | the commands of `cargo xtask` |

pub mod bench;
pub mod build;
pub mod check;
pub mod client;
pub mod component;
pub mod host;
pub mod manifests;
pub mod observability;
pub mod postgres;
pub mod process;
pub mod rehearse;
pub mod release;
pub mod run;
pub mod supply_chain;
pub mod test;
pub mod tools;
pub mod up;
pub mod wasm_target;

use std::{
    fmt,
    path::{Path, PathBuf},
};

/// The project's folder.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask is a folder of the project")
        .to_owned()
}

/// The folder for all that is built or fetched. Cargo deletes it with `cargo clean`.
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

    /// The artifact for this host, below [`root`]. In no folder of cargo's, which keeps the core
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
