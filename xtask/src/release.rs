//! `cargo xtask release`: what a tag does, and all of it on this machine alone.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use clap::builder::FalseyValueParser;

use crate::test;
use harness::{
    client::{self, Connection},
    host::free_port,
    process::{Process, end_all_on_signal},
};
use tools::{
    HostKind, root,
    run::{announce, read, run},
    target,
};

/// How long the registry may take to start.
const REGISTRY_TIMEOUT: Duration = Duration::from_secs(30);

/// What runs, in every cluster.
const VALUES: &str = "deploy/argocd/release.yaml";

/// What the command line chooses.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, arg_required_else_help = true)]
pub struct Options {
    /// Do all that a tag does against a registry on this machine, pull it back, and test that
    #[arg(long)]
    dry_run: bool,
    #[command(subcommand)]
    step: Option<Step>,
}

/// A step of a release, as the workflow runs them.
#[derive(Debug, clap::Subcommand)]
pub enum Step {
    /// Build, verify, and collect all that is published, in target/release-files
    Package {
        /// The tag, such as v1.5.0: it has to be the version of the tree
        #[arg(long)]
        tag: String,
    },
    /// Push what was packaged, and print NAME=REPOSITORY@DIGEST and its two halves for each
    Publish {
        /// Where to, such as ghcr.io/example. `docker login` tells who
        #[arg(long)]
        registry: String,
        /// Push the chart too
        #[arg(long, env = "PUBLISH_CHART", value_parser = FalseyValueParser::new())]
        chart: bool,
    },
    /// Add the version to what runs, in deploy/argocd/release.yaml
    Propose {
        /// The tag, such as v1.5.0
        #[arg(long)]
        tag: String,
        /// The Spin application, REPOSITORY@DIGEST
        #[arg(long)]
        image: String,
    },
}

/// Something in a registry.
struct Image {
    name: &'static str,
    repository: String,
    digest: String,
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.repository, self.digest)
    }
}

/// Runs a step, or all of them on this machine.
///
/// # Errors
///
/// One sentence that says which step failed.
pub fn release(options: &Options) -> Result<()> {
    match &options.step {
        None => dry_run(),
        Some(Step::Package { tag }) => {
            let version = version()?;
            ensure!(
                *tag == format!("v{version}"),
                "the tag is {tag}, and the tree is of version {version}: see docs/releasing.md"
            );
            package(&notes(&version)?)
        }
        Some(Step::Publish { registry, chart }) => {
            let spin = tools::find_or_fetch(HostKind::Spin)?;
            for image in publish(registry, Some(&spin), *chart, false)? {
                let Image {
                    name,
                    repository,
                    digest,
                } = &image;
                println!("{name}={image}\n{name}_name={repository}\n{name}_digest={digest}");
            }
            Ok(())
        }
        Some(Step::Propose { tag, image }) => {
            let version = tag.strip_prefix('v').context("a tag begins with v")?;
            let file = root().join(VALUES);
            let values = with_version(&fs::read_to_string(&file)?, version, image)?;
            Ok(fs::write(file, values)?)
        }
    }
}

/// The directory of all that is published.
fn files() -> PathBuf {
    target().join("release-files")
}

/// The version of the tree. The manifests that name it agree.
fn version() -> Result<String> {
    let of = |file: &str, key: &str| {
        fs::read_to_string(root().join(file))?
            .lines()
            .find_map(|line| line.strip_prefix(key))
            .map(|version| version.trim_matches('"').to_owned())
            .with_context(|| format!("{file} has no version"))
    };
    let version = of("Cargo.toml", "version = ")?;
    for (file, key) in [
        ("spin.toml", "version = "),
        ("deploy/chart/Chart.yaml", "version: "),
    ] {
        let other = of(file, key)?;
        ensure!(
            other == version,
            "Cargo.toml is of version {version}, and {file} of {other}: see docs/releasing.md"
        );
    }
    Ok(version)
}

/// What CHANGELOG.md says of a version.
fn notes(version: &str) -> Result<String> {
    let changelog = fs::read_to_string(root().join("CHANGELOG.md"))?;
    section(&changelog, version)
        .with_context(|| format!("CHANGELOG.md says nothing of {version}: see docs/releasing.md"))
}

/// What is below `## VERSION`, or `## VERSION - DATE`, in `changelog`.
fn section(changelog: &str, version: &str) -> Option<String> {
    let mut lines = changelog.lines().skip_while(|line| {
        line.strip_prefix("## ")
            .and_then(|title| title.split(' ').next())
            != Some(version)
    });
    lines.next()?;
    let text: Vec<&str> = lines.take_while(|line| !line.starts_with("## ")).collect();
    Some(text.join("\n").trim().to_owned() + "\n").filter(|text| text.len() > 1)
}

/// `values` with one more version, which does not yet answer.
fn with_version(values: &str, version: &str, image: &str) -> Result<String> {
    let digest = image
        .split_once("@sha256:")
        .map_or("", |(_, digest)| digest);
    ensure!(
        digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{image} is no image by its digest, such as ghcr.io/example/hello@sha256:…"
    );
    let name = format!("v{}", version.replace('.', "-"));
    ensure!(
        !values.contains(&format!("- name: {name}\n")),
        "{VALUES} has {name} already: a version never changes"
    );
    let (versions, active) = values
        .split_once("\nactive: ")
        .with_context(|| format!("{VALUES} names no active version"))?;
    let replicas = versions
        .lines()
        .rev()
        .find_map(|line| line.trim().strip_prefix("replicas: "))
        .with_context(|| format!("{VALUES} has no version with replicas"))?;
    Ok(format!(
        "{versions}\n  - name: {name}\n    image: {image}\n    replicas: {replicas}\nactive: {active}"
    ))
}

/// Builds and verifies the components, and collects all that is published.
fn package(notes: &str) -> Result<()> {
    componentize::build(None)?;
    componentize::verify(None)?;
    if files().exists() {
        fs::remove_dir_all(files())?;
    }
    fs::create_dir_all(files())?;
    let sboms = sboms()?;
    for kind in HostKind::ALL {
        let name = format!("hello_{kind}");
        fs::copy(kind.artifact(), files().join(format!("{name}.wasm")))?;
        let sbom = sboms.join(format!("hosts/{kind}/sbom.json"));
        let sbom = fs::read_to_string(&sbom)
            .with_context(|| format!("cargo-cyclonedx made no {}", sbom.display()))?
            .replace(&sboms.display().to_string(), "/hello");
        fs::write(files().join(format!("{name}.cdx.json")), sbom)?;
    }
    announce("packaging the chart");
    read(
        "package the chart",
        Command::new(tools::find_or_fetch("helm")?)
            .arg("package")
            .arg(root().join("deploy/chart"))
            .args(["--app-version", &version()?, "--destination"])
            .arg(files()),
    )?;
    fs::write(files().join("notes.md"), notes)?;
    Ok(())
}

/// A copy of the sources with a list, `sbom.json`, beside each crate's manifest.
fn sboms() -> Result<PathBuf> {
    let program = tools::find_or_fetch("cargo-cyclonedx")?;
    announce("listing what the components are built from");
    let copy = target().join("sbom");
    if copy.exists() {
        fs::remove_dir_all(&copy)?;
    }
    componentize::copy_tree(&copy)?;
    run(
        "list what the components are built from",
        Command::new(program)
            .args(["cyclonedx", "--quiet", "--format", "json"])
            .args(["--spec-version", "1.5", "--no-build-deps"])
            .args(["--target", tools::wasm_target::TARGET])
            .args(["--override-filename", "sbom"])
            .current_dir(&copy),
    )?;
    Ok(copy)
}

/// Pushes what was packaged; the Spin application only with `spin`. The registry is asked over plain
/// HTTP where it is `insecure`.
fn publish(registry: &str, spin: Option<&Path>, chart: bool, insecure: bool) -> Result<Vec<Image>> {
    let version = version()?;
    let wash = tools::find_or_fetch(HostKind::Wasmcloud)?;
    let mut images = Vec::new();

    // spin.toml names the component where it is built.
    let artifact = HostKind::Spin.artifact();
    fs::create_dir_all(artifact.parent().context("it is in a directory")?)?;
    fs::copy(files().join("hello_spin.wasm"), &artifact)
        .context("nothing is packaged: run `cargo xtask release package`")?;
    if let Some(spin) = spin {
        let repository = format!("{registry}/hello");
        announce(&format!("pushing the Spin application to {repository}"));
        let said = read(
            "push the Spin application",
            Command::new(spin)
                .args(["registry", "push"])
                .args(insecure.then_some("--insecure"))
                .arg("--from")
                .arg(root().join("spin.toml"))
                .arg(format!("{repository}:{version}")),
        )?;
        images.push(Image {
            name: "spin_application",
            repository,
            digest: digest_in(&said)?,
        });
    }

    for (name, kind) in [
        ("spin_component", HostKind::Spin),
        ("wasmcloud_component", HostKind::Wasmcloud),
    ] {
        let repository = format!("{registry}/hello-{kind}");
        announce(&format!("pushing the component to {repository}"));
        let said = read(
            "push the component",
            Command::new(&wash)
                .args(["--output", "json", "oci", "push"])
                .args(insecure.then_some("--insecure"))
                .arg(format!("{repository}:{version}"))
                .arg(files().join(format!("hello_{kind}.wasm"))),
        )?;
        images.push(Image {
            name,
            repository,
            digest: digest_in(&said)?,
        });
    }

    if chart {
        let repository = format!("{registry}/charts");
        announce(&format!("pushing the chart to {repository}"));
        // It tells the digest on stderr.
        let output = Command::new(tools::find_or_fetch("helm")?)
            .arg("push")
            .args(insecure.then_some("--plain-http"))
            .arg(files().join(format!("hello-{version}.tgz")))
            .arg(format!("oci://{repository}"))
            .output()?;
        let said =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "cannot push the chart: {said}");
        images.push(Image {
            name: "chart",
            repository: format!("{repository}/hello"),
            digest: digest_in(&said)?,
        });
    }
    Ok(images)
}

/// The digest that a program names as that of what it has pushed.
fn digest_in(said: &str) -> Result<String> {
    let (_, digest) = said
        .split_once("sha256:")
        .with_context(|| format!("it names no digest: {said}"))?;
    let digest = digest.get(..64).context("its digest is cut off")?;
    Ok(format!("sha256:{digest}"))
}

/// All that a tag does, on this machine.
fn dry_run() -> Result<()> {
    end_all_on_signal()?;
    let version = version()?;
    // Between two releases, what the next one brings.
    let notes = notes(&version).or_else(|_| notes("Unreleased"))?;
    package(&notes)?;
    let (_registry, port) = start_registry()?;
    let spin = tools::find_or_fetch(HostKind::Spin);
    let spin_program = spin.as_ref().ok().map(PathBuf::as_path);
    let images = publish(&format!("127.0.0.1:{port}"), spin_program, true, true)?;
    let pulled = target().join("release-pulled");
    if pulled.exists() {
        fs::remove_dir_all(&pulled)?;
    }
    fs::create_dir_all(&pulled)?;

    println!("\n==> in the registry");
    for image in &images {
        let layers = layers(image, port)?;
        let file = pull_back(image, &pulled, &version)?;
        let packaged = match image.name {
            "chart" => files().join(format!("hello-{version}.tgz")),
            "wasmcloud_component" => files().join("hello_wasmcloud.wasm"),
            _ => files().join("hello_spin.wasm"),
        };
        let digest = format!("sha256:{}", tools::sha256(&packaged)?);
        ensure!(
            layers.contains(&digest),
            "{image} does not hold {}: {layers}",
            packaged.display()
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
                test::table_against(&pulled.join(format!("hello_{kind}.wasm")), kind, &program)?;
            }
            Err(_) if kind == HostKind::Spin => {} // said below
            Err(error) => return Err(error),
        }
    }

    match spin {
        Ok(_) => propose_here(&images[0], &version)?,
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
fn propose_here(application: &Image, version: &str) -> Result<()> {
    let values = fs::read_to_string(root().join(VALUES))?;
    let proposed = with_version(&values, version, &application.to_string())?;
    println!("\n==> what the pull request adds to {VALUES}");
    let same = values
        .lines()
        .zip(proposed.lines())
        .take_while(|(old, new)| old == new)
        .count();
    let added = proposed.lines().count() - values.lines().count();
    for line in proposed.lines().skip(same).take(added) {
        println!("+{line}");
    }
    Ok(())
}

/// Pulls an image into `directory`, by its digest. The application is what Spin itself pulls.
fn pull_back(image: &Image, directory: &Path, version: &str) -> Result<Option<PathBuf>> {
    match image.name {
        "spin_application" => {
            run(
                "pull the Spin application",
                Command::new(tools::find_or_fetch(HostKind::Spin)?)
                    .args(["registry", "pull", "--insecure", "--cache-dir"])
                    .arg(directory.join("spin"))
                    .arg(image.to_string()),
            )?;
            Ok(None)
        }
        "chart" => {
            let output = Command::new(tools::find_or_fetch("helm")?)
                .args(["pull", "--plain-http"])
                .arg(format!("oci://{}", image.repository))
                .args(["--version", version, "--destination"])
                .arg(directory)
                .output()?;
            ensure!(
                output.status.success(),
                "cannot pull the chart: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            Ok(Some(directory.join(format!("hello-{version}.tgz"))))
        }
        component => {
            let kind = match component {
                "spin_component" => HostKind::Spin,
                _ => HostKind::Wasmcloud,
            };
            let file = directory.join(format!("hello_{kind}.wasm"));
            read(
                "pull the component",
                Command::new(tools::find_or_fetch(HostKind::Wasmcloud)?)
                    .args(["oci", "pull", "--insecure"])
                    .arg(image.to_string())
                    .arg(&file),
            )?;
            Ok(Some(file))
        }
    }
}

/// The manifest of an image, which names the digest of each layer.
fn layers(image: &Image, port: u16) -> Result<String> {
    let name = image.repository.split_once('/').context("a registry")?.1;
    let answer = Connection::open(port)?.exchange(
        "GET",
        &format!("/v2/{name}/manifests/{}", image.digest),
        &[("accept", "application/vnd.oci.image.manifest.v1+json")],
        b"",
    )?;
    ensure!(
        answer.status == 200,
        "the registry has no {image}: {}",
        answer.status
    );
    Ok(String::from_utf8(answer.body)?)
}

/// A registry on a free port, empty, and waits until it serves.
fn start_registry() -> Result<(Process, u16)> {
    let program = tools::find_or_fetch("docker-registry")?;
    announce("starting a registry");
    let directory = target().join("release-registry");
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    fs::create_dir_all(&directory)?;
    let port = free_port()?;
    let config = directory.join("config.yml");
    fs::write(
        &config,
        format!(
            "version: 0.1\nlog: {{level: warn}}\nstorage: {{filesystem: {{rootdirectory: {:?}}}}}\n\
             http: {{addr: \"127.0.0.1:{port}\"}}\n",
            directory.join("data").display().to_string()
        ),
    )?;
    let log = directory.join("log");
    let mut command = Command::new(program);
    command.arg("serve").arg(config);
    let registry = Process::start_server(&mut command, Some(&log), REGISTRY_TIMEOUT, || {
        client::is_ok(port, "/v2/")
    })?;
    Ok((registry, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: &str =
        "versions:\n  - name: v1-4-0\n    image: a\n    replicas: 3\nactive: v1-4-0\n";

    fn image() -> String {
        format!("ghcr.io/example/hello@sha256:{}", "0a".repeat(32))
    }

    #[test]
    fn adds_a_version_that_does_not_yet_answer() {
        let image = image();
        assert_eq!(
            with_version(VALUES, "1.5.0", &image).expect("it can be added"),
            format!(
                "versions:\n  - name: v1-4-0\n    image: a\n    replicas: 3\n  - name: v1-5-0\n    \
                 image: {image}\n    replicas: 3\nactive: v1-4-0\n"
            )
        );
    }

    #[test]
    fn refuses_a_version_twice_and_an_image_by_its_tag() {
        let twice = with_version(VALUES, "1.4.0", &image()).expect_err("it is there");
        assert!(twice.to_string().contains("already"), "{twice}");
        let tag = with_version(VALUES, "1.5.0", "ghcr.io/example/hello:1.5.0");
        assert!(tag.is_err());
    }

    #[test]
    fn takes_the_notes_of_one_version() {
        let changelog =
            "# Changelog\n\n## Unreleased\n\n## 1.5.0 - 2026-11-23\n\n- a\n\n## 1.4.0\n\n- b\n";
        assert_eq!(section(changelog, "1.5.0").as_deref(), Some("- a\n"));
        assert_eq!(section(changelog, "1.4.0").as_deref(), Some("- b\n"));
        assert_eq!(section(changelog, "1.5"), None);
        assert_eq!(section(changelog, "Unreleased"), None);
    }
}
