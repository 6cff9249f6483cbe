//! Packages from npm, each pinned with its digest.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use super::{directory, fetching};
use crate::{
    root,
    run::{announce, require_disk, run},
};

/// What npm reads.
const FILES: [&str; 2] = ["package.json", "package-lock.json"];

/// What npm reads where it is there.
const SETTINGS: &str = ".npmrc";

/// The directory whose `node_modules` has what `node/NAME/package-lock.json` names. It is
/// made anew when that file has changed. No package runs a script of its own to install itself.
///
/// # Errors
///
/// One sentence, if it cannot be made.
pub fn packages(name: &str) -> Result<PathBuf> {
    let _fetching = fetching();
    let source = root().join("crates/tools/node").join(name);
    let wanted = contents(&source)
        .with_context(|| format!("{} lacks {}", source.display(), FILES.join(" or ")))?;
    let packages = directory().join("node").join(name);
    let complete = packages.join("complete");
    if complete.exists() && contents(&packages).is_ok_and(|installed| installed == wanted) {
        return Ok(packages);
    }
    announce(&format!("installing {name} from npm"));
    if packages.exists() {
        fs::remove_dir_all(&packages)?;
    }
    fs::create_dir_all(&packages)?;
    require_disk(&packages, 300)?;
    for file in FILES {
        fs::copy(source.join(file), packages.join(file))?;
    }
    if source.join(SETTINGS).exists() {
        fs::copy(source.join(SETTINGS), packages.join(SETTINGS))?;
    }
    run(
        "install from npm (is there a network, and is this Node.js 20.19 or later?)",
        Command::new("npm")
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
            .args(["--engine-strict", "--loglevel", "error"])
            .current_dir(&packages),
    )?;
    fs::write(complete, "")?;
    Ok(packages)
}

fn contents(directory: &Path) -> Result<Vec<Vec<u8>>> {
    FILES
        .iter()
        .map(|file| Ok(fs::read(directory.join(file))?))
        .collect()
}
