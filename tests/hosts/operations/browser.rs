//! /docs in a real browser.

use std::{fs, process::Command};

use libtest_mimic::Failed;
use tempfile::TempDir;
use xtask::{
    host::Store,
    root, target,
    tools::{debian, node},
};

use super::{Column, check};

pub fn tries_it_out(column: Column) -> Result<(), Failed> {
    let (host, _folder) = column.start(Store::Shipped)?;
    let chromium = debian::program("chromium", "chromium")?;
    let packages = node::packages("playwright")?;
    let pictures = target().join("screenshots");
    fs::create_dir_all(&pictures)?;
    // Chromium writes to its home, whatever its profile is.
    let home = TempDir::new()?;
    let output = Command::new("node")
        .arg(root().join("tests/browser/docs.mjs"))
        .arg(format!("http://127.0.0.1:{}", host.port))
        .arg(pictures.join(format!("docs-{}.png", column.kind)))
        .arg(chromium)
        .arg(packages)
        .env("HOME", home.path())
        .output()?;
    check(output.status.success(), || {
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    })
}
