//! `cargo xtask check`: formatting and lints, native and wasm, with warnings denied.

use std::process::Command;

use anyhow::Result;

use tools::{
    root,
    run::{announce, run},
    wasm_target::Compiler,
};

/// Checks without changing anything.
///
/// # Errors
///
/// One sentence on the first thing that is wrong; what it is stands above it.
pub fn check() -> Result<()> {
    announce("formatting");
    run(
        "accept the formatting (`cargo fmt --all` mends it)",
        Command::new("cargo")
            .args(["fmt", "--all", "--check"])
            .current_dir(root()),
    )?;
    announce("lints, native");
    run(
        "accept the native code",
        Command::new("cargo")
            .args(["clippy", "--locked", "--all-targets"])
            .arg("--target-dir")
            .arg(tools::target().join("clippy-native"))
            .args(["--", "--deny", "warnings"])
            .current_dir(root()),
    )?;
    announce("lints, wasm32-wasip2");
    let mut clippy = Compiler::find_or_fetch()?.clippy();
    run(
        "accept the hosts' code",
        clippy
            .args([
                "--locked",
                "--package",
                "hello-spin",
                "--package",
                "hello-wasmcloud",
            ])
            // For the Debian compiler, there is no `cargo clippy` to pass an option through.
            .env("RUSTFLAGS", "--deny=warnings")
            .current_dir(root()),
    )
}
