//! Spin's release for this machine.

use std::{
    env::consts::{ARCH, OS},
    fs,
    process::Command,
};

use anyhow::{Result, bail, ensure};

use super::sha256;
use crate::{directory, run::run};

/// The release that is fetched.
pub const VERSION: &str = "v4.0.2";

pub(super) fn fetch() -> Result<()> {
    let machine = match (OS, ARCH) {
        ("linux" | "macos", "x86_64") => "amd64",
        ("linux" | "macos", "aarch64") => "aarch64",
        _ => bail!("Spin has no release for {OS} on {ARCH}"),
    };
    let archive = format!("spin-{VERSION}-{OS}-{machine}.tar.gz");
    let checksums = format!("checksums-{VERSION}.txt");
    for file in [&checksums, &archive] {
        run(
            "fetch Spin's release (install it from https://spinframework.dev, or take wasmCloud)",
            Command::new("curl")
                .args(["--fail", "--location", "--proto", "=https", "--show-error"])
                .args(["--connect-timeout", "4", "--max-time", "300"])
                .args(["--progress-bar", "--output"])
                .arg(directory().join(file))
                .arg(format!(
                    "https://github.com/spinframework/spin/releases/download/{VERSION}/{file}"
                )),
        )?;
    }
    let digest = sha256(&directory().join(&archive))?;
    let expected = fs::read_to_string(directory().join(checksums))?;
    let expected = expected.lines().map(str::split_whitespace);
    ensure!(
        expected
            .into_iter()
            .any(|words| words.eq([digest.as_str(), archive.as_str()])),
        "the digest of {archive} is not the one that its release states"
    );
    run(
        "unpack Spin",
        Command::new("tar")
            .args(["--extract", "--gzip", "--file", &archive, "spin"])
            .current_dir(directory()),
    )?;
    Ok(fs::remove_file(directory().join(archive))?)
}
