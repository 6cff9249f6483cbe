//! `cargo xtask check`: formatting, lints and documentation, with warnings denied.

use std::process::Command;

use anyhow::Result;
use tools::{
    HostKind, root,
    run::{announce, run as start},
    target,
    wasm_target::Compiler,
};

/// Checks without changing anything, up to the first thing that is wrong.
pub fn run() -> Result<()> {
    announce("formatting");
    start(
        "accept the formatting (`cargo fmt --all` mends it)",
        Command::new("cargo")
            .args(["fmt", "--all", "--check"])
            .current_dir(root()),
    )?;
    let fuzz = root().join("fuzz/Cargo.toml");
    start(
        "accept the formatting of fuzz/ (`cargo fmt` there mends it)",
        Command::new("cargo")
            .args(["fmt", "--check", "--manifest-path"])
            .arg(&fuzz),
    )?;
    announce("lints, native");
    start(
        "accept the native code",
        native("clippy").args(["--all-targets", "--", "--deny", "warnings"]),
    )?;
    announce("lints, fuzz targets");
    start(
        "accept the fuzz targets",
        Command::new("cargo")
            .args(["clippy", "--locked", "--all-targets"])
            .args(["--no-default-features", "--manifest-path"])
            .arg(&fuzz)
            .arg("--target-dir")
            .arg(target()) // where its dependencies are checked already
            .args(["--", "--deny", "warnings"]),
    )?;
    announce("documentation");
    start(
        "document the code without a warning",
        native("doc")
            .args(["--no-deps", "--document-private-items"])
            .env("RUSTDOCFLAGS", "--deny=warnings"),
    )?;
    announce("lints, wasm32-wasip2");
    start(
        "accept the hosts' code",
        Compiler::find_or_fetch()?
            .clippy()
            .arg("--locked")
            .args(packages("--package", &HostKind::ALL))
            .args([
                "--package",
                "hello-sandbox",
                "--features",
                "hello-sandbox/spin",
            ])
            // For the Debian compiler, there is no `cargo clippy` to pass an option through.
            .env("RUSTFLAGS", "--deny=warnings")
            .current_dir(root()),
    )
}

/// A cargo command for all packages but the hosts', which build for WebAssembly alone.
pub fn native(subcommand: &str) -> Command {
    let mut cargo = Command::new("cargo");
    cargo
        .args([subcommand, "--locked", "--workspace"])
        .args(packages("--exclude", &HostKind::ALL))
        .current_dir(root());
    cargo
}

/// `option` with the package of each of `hosts`.
pub fn packages(option: &str, hosts: &[HostKind]) -> impl Iterator<Item = String> {
    hosts
        .iter()
        .flat_map(move |host| [option.to_owned(), format!("hello-{host}")])
}
