//! `cargo xtask msrv`: everything builds with the oldest Rust that Cargo.toml declares.

use std::process::Command;

use anyhow::Result;
use tools::{
    root,
    run::{announce, run as start},
    target,
    wasm_target::TARGET,
};

use crate::check::{hosts, native};

pub fn run() -> Result<()> {
    // The workspace's, as every package's.
    let toolchain = env!("CARGO_PKG_RUST_VERSION");
    announce(&format!("installing Rust {toolchain} with rustup"));
    start(
        "install the oldest Rust",
        Command::new("rustup")
            .args(["toolchain", "install", toolchain, "--profile", "minimal"])
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
            .env("RUSTUP_TOOLCHAIN", toolchain);
        start("build with the oldest Rust", cargo)?;
    }
    Ok(())
}
