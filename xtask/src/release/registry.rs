//! Images into a registry, and out of it again.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use harness::{client::Connection, manifest};
use serde_json::Value;
use tools::{
    HostKind,
    run::{announce, read},
};

use super::{files, version};

/// Something in a registry.
pub struct Image {
    pub name: &'static str,
    /// What was packaged.
    pub file: PathBuf,
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
    let insecure_flag = insecure.then_some("--insecure");
    let mut images = Vec::new();
    let mut push = |name, repository: &str, file: &Path, command: &mut Command| {
        announce(&format!("pushing to {repository}"));
        images.push(Image {
            name,
            file: file.to_owned(),
            repository: repository.to_owned(),
            digest: digest_in(&said(command)?)?,
        });
        anyhow::Ok(())
    };

    for (name, application, kind) in [
        ("spin_application", "hello", HostKind::Spin),
        ("spin_p3_application", "hello-p3", HostKind::SpinP3),
    ] {
        // The manifest names the component where it is built.
        let artifact = kind.artifact();
        let file = files().join(format!("{}.wasm", kind.component()));
        fs::create_dir_all(artifact.parent().context("it is in a directory")?)?;
        fs::copy(&file, &artifact)
            .context("nothing is packaged: run `cargo xtask release package`")?;
        let Some(spin) = spin else {
            continue;
        };
        let repository = format!("{registry}/{application}");
        let mut command = Command::new(spin);
        command
            .args(["registry", "push"])
            .args(insecure_flag)
            .arg("--from")
            .arg(manifest::write_beside_component(kind)?)
            .arg(format!("{repository}:{version}"));
        push(name, &repository, &file, &mut command)?;
    }
    for (name, kind) in [
        ("spin_component", HostKind::Spin),
        ("spin_p3_component", HostKind::SpinP3),
        ("wasmcloud_component", HostKind::Wasmcloud),
        ("wasmcloud_p3_component", HostKind::WasmcloudP3),
    ] {
        let repository = format!("{registry}/hello-{kind}");
        let file = files().join(format!("{}.wasm", kind.component()));
        let mut command = Command::new(tools::find_or_fetch(HostKind::Wasmcloud)?);
        command
            .args(["--output", "json", "oci", "push"])
            .args(insecure_flag)
            .arg(format!("{repository}:{version}"))
            .arg(&file);
        push(name, &repository, &file, &mut command)?;
    }
    if chart {
        let repository = format!("{registry}/charts");
        let file = files().join(format!("hello-{version}.tgz"));
        let mut command = Command::new(tools::find_or_fetch("helm")?);
        command
            .arg("push")
            .args(insecure.then_some("--plain-http"))
            .arg(&file)
            .arg(format!("oci://{repository}"));
        push("chart", &format!("{repository}/hello"), &file, &mut command)?;
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

/// Pulls an image into `directory`, by its digest. The application is what Spin itself pulls, and
/// keeps in a cache of its own.
pub fn pull_back(image: &Image, directory: &Path, version: &str) -> Result<Option<PathBuf>> {
    let file = directory.join(image.file.file_name().context("it is a file")?);
    let mut command = Command::new(tools::find_or_fetch(match image.name {
        "spin_application" | "spin_p3_application" => "spin",
        "chart" => "helm",
        _component => "wash",
    })?);
    match image.name {
        "spin_application" | "spin_p3_application" => command
            .args(["registry", "pull", "--insecure", "--cache-dir"])
            .arg(directory.join("spin"))
            .arg(image.to_string()),
        "chart" => command
            .args(["pull", "--plain-http", "--version", version])
            .arg(format!("oci://{}", image.repository))
            .arg("--destination")
            .arg(directory),
        _component => command
            .args(["oci", "pull", "--insecure"])
            .arg(image.to_string())
            .arg(&file),
    };
    read("pull the image", &mut command)?;
    Ok((!image.name.ends_with("_application")).then_some(file))
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
