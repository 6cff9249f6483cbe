//! `cargo xtask check`: formatting and lints, native and wasm, with warnings denied.

use std::process::Command;

use anyhow::{Context, Result};
use cargo_metadata::MetadataCommand;

use tools::{
    root,
    run::{announce, run},
    target,
    wasm_target::{Compiler, TARGET},
};

/// Builds everything native with the oldest Rust that Cargo.toml declares, and the hosts' code.
///
/// # Errors
///
/// One sentence, if rustup cannot fetch that Rust or it does not build.
pub fn msrv() -> Result<()> {
    let metadata = MetadataCommand::new()
        .current_dir(root())
        .no_deps()
        .exec()?;
    let hello = metadata.root_package().context("there is a root package")?;
    let version = hello
        .rust_version
        .as_ref()
        .context("it declares no rust-version")?;
    let toolchain = format!("{}.{}", version.major, version.minor);
    announce(&format!("installing Rust {toolchain} with rustup"));
    run(
        "install the oldest Rust",
        Command::new("rustup")
            .args(["toolchain", "install", &toolchain, "--profile", "minimal"])
            .args(["--target", TARGET]),
    )?;
    announce(&format!("building with Rust {toolchain}"));
    let cargo = |arguments: &[&str]| {
        let mut cargo = Command::new("cargo");
        cargo
            .arg(format!("+{toolchain}"))
            .args(["check", "--locked"])
            .args(arguments)
            .arg("--target-dir")
            .arg(target().join("msrv"))
            .current_dir(root());
        run("build with the oldest Rust", &mut cargo)
    };
    let hosts = ["hello-spin", "hello-wasmcloud"];
    cargo(&[
        "--workspace",
        "--all-targets",
        "--exclude",
        hosts[0],
        "--exclude",
        hosts[1],
    ])?;
    cargo(&[
        "--target",
        TARGET,
        "--package",
        hosts[0],
        "--package",
        hosts[1],
    ])
}

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
            .args(["clippy", "--locked", "--all-targets", "--workspace"])
            .args(["--exclude", "hello-spin", "--exclude", "hello-wasmcloud"])
            .arg("--target-dir")
            .arg(target().join("clippy-native"))
            .args(["--", "--deny", "warnings"])
            .current_dir(root()),
    )?;
    announce("documentation");
    run(
        "document the code without a warning",
        Command::new("cargo")
            .args([
                "doc",
                "--locked",
                "--no-deps",
                "--workspace",
                "--document-private-items",
            ])
            .args(["--exclude", "hello-spin", "--exclude", "hello-wasmcloud"])
            .arg("--target-dir")
            .arg(target().join("clippy-native"))
            .env("RUSTDOCFLAGS", "--deny=warnings")
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
