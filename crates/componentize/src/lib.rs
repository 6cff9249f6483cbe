//! Builds the components: cargo, then a core module, then the component with passive assets.

mod component;
mod passive;

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use crate::component::{component, encode};
use tools::{
    HostKind,
    run::{announce, read, run},
    wasm_target::{Compiler, TARGET},
};

/// What `hello_build_info` tells as the revision, see `src/metrics/exposition.rs`.
const REVISION_VARIABLE: &str = "HELLO_REVISION";

/// Builds the artifact of `host`, or of all hosts, and says how large each is.
pub fn build(host: Option<HostKind>) -> Result<()> {
    build_as(host, &revision())
}

/// [`build`] of what will say that it is of `revision`.
pub fn build_as(host: Option<HostKind>, revision: &str) -> Result<()> {
    let compiler = Compiler::find_or_fetch()?;
    for host in host.map_or_else(|| HostKind::ALL.to_vec(), |host| vec![host]) {
        announce(&format!("building the component for {host}"));
        let component = build_in(
            &tools::root(),
            &compiler,
            &package(host),
            &[],
            revision,
            component,
        )?;
        let artifact = host.artifact();
        write_changed(&artifact, &component)
            .with_context(|| format!("cannot write {}", artifact.display()))?;
        eprintln!("{}: {} bytes", artifact.display(), component.len());
    }
    Ok(())
}

/// Builds the floor of `host`, the component that makes hello's calls to its host and has none of its
/// logic, and returns where it is.
pub fn build_floor(host: HostKind) -> Result<PathBuf> {
    build_beside(host, "floor", &package(host), &["--features", "floor"])
}

/// Builds what tries, in the place of the component for `host`, what that may not do.
pub fn build_sandbox(host: HostKind) -> Result<PathBuf> {
    let features: &[&str] = match host {
        HostKind::Spin | HostKind::SpinP3 => &["--features", "spin"],
        HostKind::Wasmcloud | HostKind::WasmcloudP3 => &[],
    };
    build_beside(host, "sandbox", "hello-sandbox", features)
}

/// Builds `package` as `name`, beside the artifact of `host`. It reads no files of the documentation,
/// so there is no import to replace.
fn build_beside(host: HostKind, name: &str, package: &str, features: &[&str]) -> Result<PathBuf> {
    let compiler = Compiler::find_or_fetch()?;
    announce(&format!("building the {name} for {host}"));
    let root = tools::root();
    let component = build_in(&root, &compiler, package, features, &revision(), encode)?;
    let file = host.artifact().with_extension(format!("{name}.wasm"));
    write_changed(&file, &component).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

/// The package of the component for `host`.
fn package(host: HostKind) -> String {
    format!("hello-{host}")
}

/// Builds each component once more, from nothing and in another directory: it has to be the artifact
/// to the byte.
pub fn verify(host: Option<HostKind>) -> Result<()> {
    let compiler = Compiler::find_or_fetch()?;
    // Outside the project, whose .cargo/config.toml would count there too.
    let copy = env::temp_dir().join(format!("hello-built-again-{}", std::process::id()));
    copy_tree(&copy)?;
    for host in host.map_or_else(|| HostKind::ALL.to_vec(), |host| vec![host]) {
        announce(&format!("building the component for {host} once more"));
        let again = build_in(
            &copy,
            &compiler,
            &package(host),
            &[],
            &revision(),
            component,
        )?;
        let artifact = host.artifact();
        let difference = first_difference(&fs::read(&artifact)?, &again);
        if let Some(at) = difference {
            let other = copy.join(format!("{}.wasm", host.component()));
            fs::write(&other, again)?;
            anyhow::bail!(
                "a second build differs: {} and {}, from byte {at} on",
                artifact.display(),
                other.display()
            );
        }
        eprintln!("{}: a second build is the same", artifact.display());
    }
    fs::remove_dir_all(&copy)?;
    Ok(())
}

/// Where two files begin to differ.
fn first_difference(one: &[u8], other: &[u8]) -> Option<usize> {
    let common = one.iter().zip(other).position(|(a, b)| a != b);
    common.or_else(|| (one.len() != other.len()).then(|| one.len().min(other.len())))
}

/// The component of `package`, which `make` makes of the module that is built from the sources in
/// `directory`. It holds no path of this machine:
/// another directory, or another person's cargo, builds the same bytes.
fn build_in(
    directory: &Path,
    compiler: &Compiler,
    package: &str,
    features: &[&str],
    revision: &str,
    make: fn(&[u8]) -> Result<Vec<u8>>,
) -> Result<Vec<u8>> {
    let cargo_home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo_home = cargo_home
        .or_else(|| Some(env::home_dir()?.join(".cargo")))
        .context("there is no home directory, and no CARGO_HOME")?;
    let others = [(directory, "/hello"), (cargo_home.as_path(), "/cargo")];
    let remapped = others.map(|(path, other)| {
        let option = format!("--remap-path-prefix={}={other}", path.display());
        format!("{option:?}")
    });
    let target = directory.join("target");
    // One package a call: together, they would unify their features and differ from
    // what `spin build` makes.
    run(
        "build the component",
        compiler
            .cargo("build")
            .args(["--release", "--locked", "--package", package])
            .args(features)
            // Beside those of .cargo/config.toml, which an environment variable would replace.
            .arg("--config")
            .arg(format!(
                "target.{TARGET}.rustflags=[{}]",
                remapped.join(",")
            ))
            .arg("--target-dir")
            .arg(&target)
            .env(REVISION_VARIABLE, revision)
            .current_dir(directory),
    )?;
    let module = target.join(format!(
        "{TARGET}/release/{}.wasm",
        package.replace('-', "_")
    ));
    let module =
        fs::read(&module).with_context(|| format!("the build made no {}", module.display()))?;
    let component =
        make(&module).with_context(|| format!("cannot make the component of {package}"))?;
    for (path, other) in others {
        let bytes = path.as_os_str().as_encoded_bytes();
        ensure!(
            path == Path::new(other) || !component.windows(bytes.len()).any(|found| found == bytes),
            "the component of {package} holds {}, a path of this machine",
            path.display()
        );
    }
    Ok(component)
}

/// Copies the sources: what git knows, and what is new and not ignored.
pub fn copy_tree(directory: &Path) -> Result<()> {
    let names = read(
        "list the sources",
        Command::new("git")
            .args(["ls-files", "--cached", "--others", "--exclude-standard"])
            .current_dir(tools::root()),
    )?;
    ensure!(!names.is_empty(), "git knows no file of the project");
    for name in names.lines() {
        let source = tools::root().join(name);
        // Not what was deleted; nor a link to a directory, whose files are there by themselves.
        if source.is_file() {
            let copy = directory.join(name);
            fs::create_dir_all(copy.parent().context("it is in a directory")?)?;
            fs::copy(&source, &copy)?;
        }
    }
    Ok(())
}

/// Leaves the file alone if it holds just that, for those who watch it.
fn write_changed(file: &Path, content: &[u8]) -> io::Result<()> {
    if fs::read(file).is_ok_and(|found| found == content) {
        return Ok(());
    }
    if let Some(directory) = file.parent() {
        fs::create_dir_all(directory)?;
    }
    fs::write(file, content)
}

/// The revision that is built: the variable, where a pipeline sets it, else git's commit, with
/// `-dirty` where the tree differs from it.
#[must_use]
pub fn revision() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .args(arguments)
            .current_dir(tools::root())
            .output()
            .ok()
            .filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = || {
        let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
        let is_clean = git(&["status", "--porcelain"])?.is_empty();
        Some(if is_clean { commit } else { commit + "-dirty" })
    };
    env::var(REVISION_VARIABLE)
        .ok()
        .or_else(commit)
        .unwrap_or_else(|| "unknown".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_where_two_builds_differ() {
        assert_eq!(first_difference(b"same", b"same"), None);
        assert_eq!(first_difference(b"same", b"some"), Some(1));
        assert_eq!(first_difference(b"same", b"same and more"), Some(4));
    }
}
