//! Images into a registry, and out of it again.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use harness::client::Connection;
use serde_json::Value;
use tools::{
    HostKind, root,
    run::{announce, read},
};

use super::{files, version};

/// Something in a registry.
pub struct Image {
    pub name: &'static str,
    pub repository: String,
    pub digest: String,
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.repository, self.digest)
    }
}

/// Pushes what was packaged; the Spin application only with `spin`. The registry is asked over plain
/// HTTP where it is `insecure`.
pub fn publish(
    registry: &str,
    spin: Option<&Path>,
    chart: bool,
    insecure: bool,
) -> Result<Vec<Image>> {
    let version = version()?;
    let wash = tools::find_or_fetch(HostKind::Wasmcloud)?;
    let insecure_flag = insecure.then_some("--insecure");
    let mut images = Vec::new();
    let mut push = |name: &'static str, repository: String, command: &mut Command| {
        announce(&format!("pushing to {repository}"));
        let digest = digest_in(&said(command)?)?;
        images.push(Image {
            name,
            repository,
            digest,
        });
        anyhow::Ok(())
    };

    // spin.toml names the component where it is built.
    let artifact = HostKind::Spin.artifact();
    fs::create_dir_all(artifact.parent().context("it is in a directory")?)?;
    fs::copy(files().join("hello_spin.wasm"), &artifact)
        .context("nothing is packaged: run `cargo xtask release package`")?;
    if let Some(spin) = spin {
        let repository = format!("{registry}/hello");
        let mut command = Command::new(spin);
        command
            .args(["registry", "push"])
            .args(insecure_flag)
            .arg("--from")
            .arg(root().join("spin.toml"))
            .arg(format!("{repository}:{version}"));
        push("spin_application", repository, &mut command)?;
    }
    for (name, kind) in [
        ("spin_component", HostKind::Spin),
        ("wasmcloud_component", HostKind::Wasmcloud),
    ] {
        let repository = format!("{registry}/hello-{kind}");
        let mut command = Command::new(&wash);
        command
            .args(["--output", "json", "oci", "push"])
            .args(insecure_flag)
            .arg(format!("{repository}:{version}"))
            .arg(files().join(format!("hello_{kind}.wasm")));
        push(name, repository, &mut command)?;
    }
    if chart {
        let mut command = Command::new(tools::find_or_fetch("helm")?);
        command
            .arg("push")
            .args(insecure.then_some("--plain-http"))
            .arg(files().join(format!("hello-{version}.tgz")))
            .arg(format!("oci://{registry}/charts"));
        push("chart", format!("{registry}/charts/hello"), &mut command)?;
    }
    Ok(images)
}

/// What a program says on stdout and, as Helm does, on stderr.
fn said(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    let program = command.get_program().display();
    ensure!(output.status.success(), "{program} failed: {said}");
    Ok(said.into_owned())
}

/// The digest that a program names as that of what it has pushed.
fn digest_in(said: &str) -> Result<String> {
    let digest = said
        .split_once("sha256:")
        .and_then(|(_, rest)| rest.get(..64));
    let digest = digest.with_context(|| format!("it names no digest: {said}"))?;
    Ok(format!("sha256:{digest}"))
}

/// Pulls an image into `directory`, by its digest. The application is what Spin itself pulls.
pub fn pull_back(image: &Image, directory: &Path, version: &str) -> Result<Option<PathBuf>> {
    let wasm = |kind: HostKind| Some(directory.join(format!("hello_{kind}.wasm")));
    let file = match image.name {
        "spin_application" => None,
        "spin_component" => wasm(HostKind::Spin),
        "wasmcloud_component" => wasm(HostKind::Wasmcloud),
        _chart => Some(directory.join(format!("hello-{version}.tgz"))),
    };
    let program = match image.name {
        "spin_application" => tools::find_or_fetch(HostKind::Spin)?,
        "chart" => tools::find_or_fetch("helm")?,
        _ => tools::find_or_fetch(HostKind::Wasmcloud)?,
    };
    let mut command = Command::new(program);
    match image.name {
        "spin_application" => command
            .args(["registry", "pull", "--insecure", "--cache-dir"])
            .arg(directory.join("spin"))
            .arg(image.to_string()),
        "chart" => command
            .args(["pull", "--plain-http"])
            .arg(format!("oci://{}", image.repository))
            .args(["--version", version, "--destination"])
            .arg(directory),
        _ => command
            .args(["oci", "pull", "--insecure"])
            .arg(image.to_string())
            .args(&file),
    };
    read("pull the image", &mut command)?;
    Ok(file)
}

/// The digest of each layer of an image, by its manifest.
pub fn layers(image: &Image, port: u16) -> Result<Vec<String>> {
    let name = image.repository.split_once('/').context("a registry")?.1;
    let answer = Connection::open(port)?.exchange(
        "GET",
        &format!("/v2/{name}/manifests/{}", image.digest),
        &[("accept", "application/vnd.oci.image.manifest.v1+json")],
        b"",
    )?;
    let status = answer.status;
    ensure!(status == 200, "the registry has no {image}: {status}");
    let manifest: Value = serde_json::from_slice(&answer.body)?;
    let layers = manifest["layers"].as_array().into_iter().flatten();
    let digests = layers.filter_map(|layer| layer["digest"].as_str());
    Ok(digests.map(str::to_owned).collect())
}
