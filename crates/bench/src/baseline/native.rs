//! hello's own API as a native program.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;
use harness::postgres::Address;
use tools::{
    root,
    run::{announce, read, run},
    target,
};

use super::start;
use crate::load::Service;

/// The program, built.
pub struct Native(PathBuf);

impl Native {
    /// Builds it.
    pub fn build() -> Result<Self> {
        announce("building the native baseline");
        run(
            "build the native baseline",
            Command::new("cargo")
                .args(["build", "--locked", "--profile", "native"])
                .args(["--package", "hello-native", "--target-dir"])
                .arg(target())
                .current_dir(root()),
        )?;
        Ok(Self(target().join("native/hello-native")))
    }

    /// Starts it, and waits until it is ready. Its log is in `directory`, which is fresh.
    pub fn start(&self, port: u16, database: &Address, directory: &Path) -> Result<Service> {
        fs::create_dir_all(directory)?;
        let mut command = Command::new(&self.0);
        command
            .arg(port.to_string())
            .env("DATABASE_URL", database.url());
        let name = "native, Postgres";
        start(name, &mut command, port, "/readyz", directory)
    }

    /// The compiler's version.
    pub fn version(&self) -> Result<String> {
        let mut rustc = Command::new("rustc");
        rustc.arg("--version").current_dir(root());
        read("ask rustc for its version", &mut rustc)
    }

    /// The bytes of the program.
    pub fn bytes(&self) -> Result<u64> {
        Ok(fs::metadata(&self.0)?.len())
    }
}
