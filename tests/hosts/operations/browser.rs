//! /docs in a real browser.

use std::fs;

use anyhow::{Result, ensure};
use harness::host::Store;
use tempfile::TempDir;
use tools::{find_or_fetch, node, root, target};

use super::HostUnderTest;
use crate::run_to_end;

pub fn tries_it_out(under_test: HostUnderTest) -> Result<()> {
    let (host, _directory) = under_test.start(Store::Shipped)?;
    let chromium = find_or_fetch("chromium")?;
    let packages = node::packages("playwright")?;
    let pictures = target().join("screenshots");
    fs::create_dir_all(&pictures)?;
    // Chromium writes to its home, whatever its profile is.
    let home = TempDir::new()?;
    let (passes, printed) = run_to_end(
        node::command()?
            .arg(root().join("tests/browser/docs.mjs"))
            .arg(format!("http://127.0.0.1:{}", host.port))
            .arg(pictures.join(format!("docs-{}.png", under_test.kind)))
            .arg(chromium)
            .arg(packages)
            .env("HOME", home.path()),
    )?;
    ensure!(passes, "{printed}");
    Ok(())
}
