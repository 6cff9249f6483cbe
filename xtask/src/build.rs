//! Builds the components.

use std::fs;

use anyhow::{Context, Result};

use crate::{
    HostKind,
    run::{announce, run},
    wasm_target::Compiler,
};

/// Builds the artifact of `host`, or of all hosts, and says how large each is.
///
/// # Errors
///
/// One sentence, if there is no compiler or the build fails.
pub fn build(host: Option<HostKind>) -> Result<()> {
    let compiler = Compiler::find_or_fetch()?;
    let hosts = host.map_or_else(|| HostKind::ALL.to_vec(), |host| vec![host]);
    for host in hosts {
        announce(&format!("building the component for {host}"));
        // One package a call: together, they would unify their features and differ from
        // what `spin build` makes.
        run(
            "build the component",
            compiler
                .cargo("build")
                .args(["--release", "--locked", "--package"])
                .arg(format!("hello-{host}"))
                .current_dir(crate::root()),
        )?;
        let artifact = host.artifact();
        let bytes = fs::metadata(&artifact)
            .with_context(|| format!("the build made no {}", artifact.display()))?
            .len();
        eprintln!("{}: {bytes} bytes", artifact.display());
    }
    Ok(())
}
