//! Finds the programs that tasks and tests run, and fetches those that are missing.
//!
//! | module | job |
//! | --- | --- |
//! | [`find`](mod@find) | a program: on PATH first, if its version fits, else fetched |
//! | [`fetch`] | where each thing comes from, in one table, and how it is fetched |
//! | [`charts`] | Helm charts of others, out of their repositories |
//! | [`llvm`] | coverage, by LLVM's tools |
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
pub mod llvm;
pub mod run;
pub mod wasm_target;

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Result, ensure};
pub use fetch::{
    debian::{library_path, usr as unpacked_usr},
    node, python, sha256,
    spin::VERSION as SPIN_RELEASE,
};
pub use find::{binary, find, find_or_fetch, library, path, plan, version};
use rustix::fs::{FlockOperation, flock};

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

/// Keeps other threads and processes that ask for `name` waiting for as long as it lives.
///
/// # Errors
///
/// Those of the file system.
pub fn lock(name: &str) -> io::Result<fs::File> {
    let locks = target().join("locks");
    fs::create_dir_all(&locks)?;
    let file = fs::File::create(locks.join(name))?;
    // Of threads too: each has opened the file by itself. It ends with the process, however that ends.
    rustix::io::retry_on_intr(|| flock(&file, FlockOperation::LockExclusive))?;
    Ok(file)
}

/// The directory of all that is fetched.
fn directory() -> PathBuf {
    target().join("tools")
}

/// A WebAssembly host that runs the service, and the version of WASI that it runs it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum HostKind {
    /// Spin on WASI 0.2, by `spin up`.
    Spin,
    /// Spin 4.1 or later on WASI 0.3.
    SpinP3,
    /// wasmCloud on WASI 0.2, by `wash dev`.
    Wasmcloud,
    /// wasmCloud on WASI 0.3, by `wash host`.
    WasmcloudP3,
}

impl HostKind {
    /// Every host there is.
    pub const ALL: [Self; 4] = [Self::Spin, Self::SpinP3, Self::Wasmcloud, Self::WasmcloudP3];

    /// The host on any version of WASI, as it is in logs and metrics.
    #[must_use]
    pub fn family(self) -> &'static str {
        if self.is_spin() { "spin" } else { "wasmcloud" }
    }

    /// Whether it is Spin, on any version of WASI.
    #[must_use]
    pub fn is_spin(self) -> bool {
        matches!(self, Self::Spin | Self::SpinP3)
    }

    /// Whether its component is on WASI 0.3.
    #[must_use]
    pub fn is_p3(self) -> bool {
        matches!(self, Self::SpinP3 | Self::WasmcloudP3)
    }

    /// The same host on WASI 0.3.
    #[must_use]
    pub fn on_p3(self) -> Self {
        if self.is_spin() {
            Self::SpinP3
        } else {
            Self::WasmcloudP3
        }
    }

    /// The name of the component, as cargo calls the library: `hello_spin_p3`.
    #[must_use]
    pub fn component(self) -> String {
        format!("hello_{self}").replace('-', "_")
    }

    /// The artifact for this host, below [`root`]. In no directory of cargo's, which keeps the core
    /// module there that this one is made of.
    #[must_use]
    pub fn artifact(self) -> PathBuf {
        root().join(format!("target/components/{}.wasm", self.component()))
    }

    /// Refuses a `program` that does not run this host's component.
    ///
    /// # Errors
    ///
    /// A sentence that says which version does.
    pub fn require(self, program: &Path) -> Result<()> {
        if self != Self::SpinP3 {
            return Ok(());
        }
        let version = version(program);
        ensure!(
            runs_p3(&version),
            "WASI 0.3 takes Spin 4.1 or later, and {} is {version}: install a newer one from \
             https://spinframework.dev, or take WASI 0.2",
            program.display()
        );
        Ok(())
    }
}

impl fmt::Display for HostKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Spin => "spin",
            Self::SpinP3 => "spin-p3",
            Self::Wasmcloud => "wasmcloud",
            Self::WasmcloudP3 => "wasmcloud-p3",
        })
    }
}

/// The name of the host's program, as [`find()`] takes it.
impl From<HostKind> for &'static str {
    fn from(kind: HostKind) -> Self {
        match kind {
            HostKind::Spin | HostKind::SpinP3 => "spin",
            HostKind::Wasmcloud | HostKind::WasmcloudP3 => "wash",
        }
    }
}

/// Whether the Spin that calls itself `version`, as in `spin 4.1.0 (…)`, runs WASI 0.3.
#[must_use]
pub fn runs_p3(version: &str) -> bool {
    let mut numbers = version.split(|c: char| !c.is_ascii_digit());
    let mut next = || numbers.find_map(|number| number.parse::<u32>().ok());
    (next(), next()) >= (Some(4), Some(1))
}

/// The directory of more schemas of custom resources, `GROUP/KIND_VERSION.json`, if `HELLO_SCHEMAS`
/// names one.
#[must_use]
pub fn schemas() -> Option<PathBuf> {
    let named = std::env::var_os("HELLO_SCHEMAS")?;
    Some(root().join(named))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wasi_0_3_takes_spin_4_1() {
        for version in [
            "spin 4.1.0-pre0 (94a8fc8 2026-11-01)",
            "spin 4.12.1",
            "spin 5.0.0",
        ] {
            assert!(runs_p3(version), "{version}");
        }
        for version in ["spin 4.0.2", "spin 3.6.3 (1 2025-01-01)", "unknown"] {
            assert!(!runs_p3(version), "{version}");
        }
    }
}
