//! All that a tag does, against a registry on this machine.

use std::{fs, path::PathBuf};

use anyhow::{Result, ensure};
use harness::{process::end_all_on_signal, registry};
use tools::{HostKind, root};

use super::{
    VALUES, notes, package,
    registry::{Image, layers, publish, pull_back},
    version, with_version,
};
use crate::test;

pub fn run() -> Result<()> {
    end_all_on_signal()?;
    let version = version()?;
    // Between two releases, what the next one brings.
    let notes = notes(version).or_else(|_| notes("Unreleased"))?;
    package::package(&notes)?;
    let (_registry, port) = registry::start(&tools::fresh("release-registry")?)?;
    let spin = tools::find_or_fetch(HostKind::Spin);
    let spin_program = spin.as_ref().ok().map(PathBuf::as_path);
    let images = publish(&format!("127.0.0.1:{port}"), spin_program, true, true)?;
    let pulled = tools::fresh("release-pulled")?;

    println!("\n==> in the registry");
    for image in &images {
        let layers = layers(image, port)?;
        let file = pull_back(image, &pulled, version)?;
        let digest = format!("sha256:{}", tools::sha256(&image.file)?);
        ensure!(
            layers.contains(&digest),
            "{image} does not hold {}: {layers:?}",
            image.file.display()
        );
        println!("{}: {image}", image.name);
        println!("  packaged {digest}, in the registry the same");
        if let Some(file) = file {
            let back = format!("sha256:{}", tools::sha256(&file)?);
            ensure!(back == digest, "{} came back as {back}", image.name);
            println!("  pulled   {back}");
        }
    }
    for kind in HostKind::ALL {
        match tools::find_or_fetch(kind) {
            Ok(program) => {
                if let Err(why) = kind.require(&program) {
                    println!("\n==> SKIPPED: the tests of what was pulled for {kind}: {why:#}");
                    continue;
                }
                test::table_against(
                    &pulled.join(format!("{}.wasm", kind.component())),
                    kind,
                    &program,
                )?;
            }
            Err(_) if kind.is_spin() => {} // said below
            Err(error) => return Err(error),
        }
    }

    match spin {
        Ok(_) => propose(&images[0], version)?,
        Err(error) => println!(
            "\n==> SKIPPED: the Spin application, its tests, and the pull request that names it: \
             {error:#}"
        ),
    }
    println!("\n==> the release notes\n{notes}");
    println!(
        "==> not done here: to sign, and to attest to how it was built, takes an identity that the \
         workflow gets from GitHub, and Sigstore's servers, which write down who signed what"
    );
    Ok(())
}

/// Shows what the pull request adds, and changes no file.
fn propose(application: &Image, version: &str) -> Result<()> {
    let values = fs::read_to_string(root().join(VALUES))?;
    let proposed = with_version(&values, version, &application.to_string())?;
    println!("\n==> what the pull request adds to {VALUES}");
    let both = values.lines().zip(proposed.lines());
    let same = both.take_while(|(old, new)| old == new).count();
    let added = proposed.lines().count() - values.lines().count();
    for line in proposed.lines().skip(same).take(added) {
        println!("+{line}");
    }
    Ok(())
}
