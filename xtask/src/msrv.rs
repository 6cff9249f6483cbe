//! `cargo xtask msrv`: everything builds with the oldest Rust that Cargo.toml declares.

use std::{fs, process::Command};

use anyhow::{Context, Result};
use toml_edit::DocumentMut;
use tools::{
    HostKind, root,
    run::{announce, run as start},
    target,
    wasm_target::TARGET,
};

use crate::check::{native, packages};

pub fn run() -> Result<()> {
    // The workspace's, as every package's but one: the bindings for WASI 0.3 ask for a newer Rust.
    let oldest = env!("CARGO_PKG_RUST_VERSION");
    let (p3, others): (Vec<_>, Vec<_>) = HostKind::ALL.into_iter().partition(|host| host.is_p3());
    let mut native = native("check");
    native.arg("--all-targets");
    build_with(oldest, vec![native, wasm(&others)])?;
    build_with(&declared(HostKind::SpinP3)?, vec![wasm(&p3)])
}

/// The Rust that a host's package declares for itself.
fn declared(host: HostKind) -> Result<String> {
    let manifest = root().join(format!("hosts/{host}/Cargo.toml"));
    let manifest: DocumentMut = fs::read_to_string(manifest)?.parse()?;
    let version = manifest["package"]["rust-version"].as_str();
    Ok(version.context("it declares no rust-version")?.to_owned())
}

fn wasm(hosts: &[HostKind]) -> Command {
    let mut cargo = Command::new("cargo");
    cargo
        .args(["check", "--locked", "--target", TARGET])
        .args(packages("--package", hosts))
        .current_dir(root());
    cargo
}

fn build_with(toolchain: &str, builds: Vec<Command>) -> Result<()> {
    announce(&format!("installing Rust {toolchain} with rustup"));
    start(
        "install the oldest Rust",
        Command::new("rustup")
            .args(["toolchain", "install", toolchain, "--profile", "minimal"])
            .args(["--target", TARGET]),
    )?;
    announce(&format!("building with Rust {toolchain}"));
    for mut cargo in builds {
        cargo
            .arg("--target-dir")
            .arg(target().join("msrv"))
            .env("RUSTUP_TOOLCHAIN", toolchain);
        start("build with the oldest Rust", &mut cargo)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_on_wasi_0_3_declares_a_rust_of_its_own() {
        let version = declared(HostKind::SpinP3).expect("it declares one");
        assert_ne!(version, env!("CARGO_PKG_RUST_VERSION"));
    }
}
