//! All that is published, built and collected.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result};
use tools::{
    HostKind, root,
    run::{announce, read, run},
};

use super::version;

/// Builds and verifies the components, and collects all that is published.
pub fn package(notes: &str) -> Result<()> {
    componentize::build(None)?;
    componentize::verify(None)?;
    let files = tools::fresh("release-files")?;
    let sboms = sboms()?;
    for kind in HostKind::ALL {
        let name = kind.component();
        fs::copy(kind.artifact(), files.join(format!("{name}.wasm")))?;
        let sbom = sboms.join(format!("hosts/{kind}/sbom.json"));
        let sbom = fs::read_to_string(&sbom)
            .with_context(|| format!("cargo-cyclonedx made no {}", sbom.display()))?
            .replace(&sboms.display().to_string(), "/hello");
        fs::write(files.join(format!("{name}.cdx.json")), sbom)?;
    }
    announce("packaging the chart");
    read(
        "package the chart",
        Command::new(tools::find_or_fetch("helm")?)
            .arg("package")
            .arg(root().join("deploy/chart"))
            .args(["--app-version", version()?, "--destination"])
            .arg(&files),
    )?;
    Ok(fs::write(files.join("notes.md"), notes)?)
}

/// A copy of the sources with a list, `sbom.json`, beside each crate's manifest.
fn sboms() -> Result<PathBuf> {
    let program = tools::find_or_fetch("cargo-cyclonedx")?;
    announce("listing what the components are built from");
    let copy = tools::fresh("sbom")?;
    componentize::copy_tree(&copy)?;
    run(
        "list what the components are built from",
        Command::new(program)
            .args(["cyclonedx", "--quiet", "--format", "json"])
            .args(["--spec-version", "1.5", "--no-build-deps"])
            .args(["--target", tools::wasm_target::TARGET])
            .args(["--override-filename", "sbom"])
            .current_dir(&copy),
    )?;
    Ok(copy)
}
