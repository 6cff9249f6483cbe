//! Programs out of Go modules, each compiled from the version that its `go.mod` pins.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result};

use super::{debian, directory, fetching, version};
use crate::{
    root,
    run::{announce, require_disk, run},
};

/// The program `name`: the one on PATH if it is of the version that `go/NAME/go.mod` pins, else
/// compiled from there, which takes minutes once. `None` if there is neither it nor `go`.
///
/// # Errors
///
/// One sentence, if it cannot be compiled.
pub fn program(name: &str) -> Result<Option<PathBuf>> {
    let _fetching = fetching();
    let source = root().join("crates/tools/go").join(name);
    let pins = fs::read_to_string(source.join("go.mod")).context("no go.mod")?;
    let mut words = pins.split_whitespace();
    let module = words.find(|word| *word == "tool").and(words.next());
    let module = module.with_context(|| format!("{name}'s go.mod names no tool"))?;
    let pinned = words.skip_while(|word| *word != module).nth(1);
    let pinned = pinned.with_context(|| format!("{name}'s go.mod has no version of {module}"))?;
    let is_pinned = |program: &PathBuf| version(program).ends_with(pinned);
    if let Some(found) = debian::find(name).filter(is_pinned) {
        return Ok(Some(found));
    }
    let program = directory().join(format!("go/{name}@{pinned}"));
    if program.exists() {
        return Ok(Some(program));
    }
    if debian::find("go").is_none() {
        return Ok(None);
    }
    announce(&format!("compiling {name} {pinned} with Go, for minutes"));
    fs::create_dir_all(directory().join("go"))?;
    require_disk(&directory(), 5000)?;
    let stated = format!("-s -w -X {module}/internal/version.Version={pinned}");
    let unfinished = program.with_extension("unfinished");
    run(
        "compile it (is there a network, and is this Go 1.26 or later?)",
        Command::new("go")
            .args(["build", "-mod=readonly", "-ldflags", &stated, "-o"])
            .args([&unfinished.display().to_string(), module])
            .env("CGO_ENABLED", "0")
            .current_dir(source),
    )?;
    fs::rename(unfinished, &program)?;
    Ok(Some(program))
}
