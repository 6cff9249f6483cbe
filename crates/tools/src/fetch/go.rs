//! Out of Go modules: programs, each compiled from the version that `go/NAME/go.mod` pins, by go.sum;
//! and the files of a module that nothing is compiled of, by its checksum.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

use crate::{
    directory, root,
    run::{read, run},
};

/// The version of the module that has `package`, as `go/NAME/go.mod` requires it.
fn pinned(name: &str, package: &str) -> Result<String> {
    let pins = fs::read_to_string(source(name).join("go.mod")).context("no go.mod")?;
    let requirement = pins.lines().find_map(|line| {
        let line = line.trim().trim_start_matches("require ");
        let (module, version) = line.split_once(" v")?;
        let within = package.strip_prefix(module)?;
        (within.is_empty() || within.starts_with('/')).then_some(version)
    });
    let version = requirement.and_then(|version| version.split_whitespace().next());
    let version = version.with_context(|| format!("{name}'s go.mod requires no {package}"))?;
    Ok(format!("v{version}"))
}

fn source(name: &str) -> PathBuf {
    root().join("crates/tools/go").join(name)
}

/// Where `program` is, compiled or not: another one with each change of its sources here.
pub(super) fn program(program: &str, name: &str, package: &str) -> Result<PathBuf> {
    let version = pinned(name, package)?;
    let mut sources = Sha256::new();
    for file in ["go.mod", "go.sum", "main.go"] {
        sources.update(fs::read(source(name).join(file)).unwrap_or_default());
    }
    let digest = sources.finalize();
    let digest: String = (digest.iter().take(4))
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Ok(directory().join(format!("go/{program}@{version}-{digest}")))
}

/// Compiles `package` as `program`, for minutes.
pub(super) fn compile(program: &str, name: &str, package: &str) -> Result<()> {
    let version = pinned(name, package)?;
    let file = self::program(program, name, package)?;
    fs::create_dir_all(directory().join("go"))?;
    let unfinished = file.with_extension("unfinished");
    // A program that is put together here has a main of its own.
    let own = source(name).join("main.go").exists();
    let main = if own { "." } else { package };
    run(
        "compile it (is there a network, and is this Go 1.26 or later?)",
        Command::new("go")
            .args(["build", "-mod=readonly", "-trimpath"])
            // The linker strips debug information: not to make it saves a tenth of the time, and not to
            // inline a sixth. Tests wait for these programs more than these compute.
            .arg("-gcflags=all=-dwarf=false -l")
            .arg("-ldflags")
            .arg(format!("-s -w {}", stamps(package, &version)))
            .arg("-o")
            .args([&unfinished.display().to_string(), main])
            .env("CGO_ENABLED", "0")
            // Some need a newer Go than the machine's, which Go then fetches like any module.
            .env("GOTOOLCHAIN", "auto")
            .current_dir(source(name)),
    )?;
    Ok(fs::rename(unfinished, file)?)
}

/// What makes a program say its version: a release's own build sets these variables too. The linker
/// passes over one that a program does not have.
fn stamps(package: &str, version: &str) -> String {
    let mut numbers = version.trim_start_matches('v').split('.');
    let mut next = || numbers.next().unwrap_or_default();
    let (major, minor) = (next(), next());
    let kubernetes = "k8s.io/component-base/version";
    [
        (format!("{package}/internal/version.Version"), version),
        (format!("{kubernetes}.gitVersion"), version),
        (format!("{kubernetes}.gitMajor"), major),
        (format!("{kubernetes}.gitMinor"), minor),
    ]
    .map(|(variable, value)| format!("-X {variable}={value}"))
    .join(" ")
}

/// The directory of the module `module` in this version, downloaded if need be.
///
/// # Errors
///
/// If it cannot be had, or its checksum is not `sum` (an `h1:` line of a go.sum).
pub fn module(module: &str, version: &str, sum: &str) -> Result<PathBuf> {
    let name = format!("{module}@{version}");
    let (path, found) = download(&name, directory())?;
    ensure!(
        found == sum,
        "{name} has the checksum {found}, and not {sum}"
    );
    Ok(path)
}

/// The directory of `module` in the version that `go/NAME` pins, downloaded if need be.
///
/// # Errors
///
/// If it cannot be had, or its checksum is not that of go.sum.
pub fn pinned_module(name: &str, module: &str) -> Result<PathBuf> {
    Ok(download(module, source(name))?.0)
}

/// The directory of a module, and its checksum.
fn download(module: &str, within: PathBuf) -> Result<(PathBuf, String)> {
    let answer = read(
        &format!("download {module}"),
        Command::new("go")
            .args(["mod", "download", "-json", module])
            .env("GOTOOLCHAIN", "auto")
            .stderr(Stdio::null())
            .current_dir(within),
    )?;
    let answer: serde_json::Value = serde_json::from_str(&answer)?;
    let sum = answer["Sum"].as_str().unwrap_or_default().to_owned();
    match answer["Dir"].as_str() {
        Some(path) => Ok((path.into(), sum)),
        None => bail!("{module} was not unpacked"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_that_of_the_module_that_has_the_package() {
        let version = |name, package| pinned(name, package).expect("it is pinned");
        let kubelet = version("kubernetes", "k8s.io/kubernetes/cmd/kubelet");
        assert!(kubelet.starts_with("v1."), "{kubelet}");
        let etcd = version("kubernetes", "go.etcd.io/etcd/server/v3");
        assert!(etcd.starts_with("v3."), "{etcd}");
        // Its engine is a module below its own name.
        let argocd = version("argocd", "github.com/argoproj/argo-cd/v3/cmd");
        assert!(argocd.starts_with("v3."), "{argocd}");
        assert!(pinned("kubernetes", "go.etcd.io/etcd").is_err());
    }

    #[test]
    fn stamps_say_a_version_as_kubernetes_does() {
        let stamps = stamps("k8s.io/kubernetes/cmd/kubelet", "v1.36.3");
        assert!(stamps.ends_with(
            "-X k8s.io/component-base/version.gitVersion=v1.36.3 \
             -X k8s.io/component-base/version.gitMajor=1 \
             -X k8s.io/component-base/version.gitMinor=36"
        ));
    }
}
