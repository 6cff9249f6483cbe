//! `cargo xtask msrv`: everything builds with the oldest Rust that Cargo.toml declares.

use std::process::Command;

use anyhow::{Context, Result};
use cargo_metadata::MetadataCommand;
use tools::{
    root,
    run::{announce, run as start},
    target,
    wasm_target::TARGET,
};

use crate::check::{hosts, native};

/// # Errors
///
/// One sentence, if rustup cannot fetch that Rust, or something does not build with it.
pub fn run() -> Result<()> {
    let metadata = MetadataCommand::new()
        .current_dir(root())
        .no_deps()
        .exec()?;
    let hello = metadata.root_package().context("there is a root package")?;
    let oldest = hello.rust_version.as_ref();
    let oldest = oldest.context("Cargo.toml declares no rust-version")?;
    let toolchain = format!("{}.{}", oldest.major, oldest.minor);
    announce(&format!("installing Rust {toolchain} with rustup"));
    start(
        "install the oldest Rust",
        Command::new("rustup")
            .args(["toolchain", "install", &toolchain, "--profile", "minimal"])
            .args(["--target", TARGET]),
    )?;
    announce(&format!("building with Rust {toolchain}"));
    let mut native = native("check");
    let mut wasm = Command::new("cargo");
    native.arg("--all-targets");
    wasm.args(["check", "--locked", "--target", TARGET])
        .args(hosts("--package"))
        .current_dir(root());
    for cargo in [&mut native, &mut wasm] {
        cargo
            .arg("--target-dir")
            .arg(target().join("msrv"))
            .env("RUSTUP_TOOLCHAIN", &toolchain);
        start("build with the oldest Rust", cargo)?;
    }
    Ok(())
}
