//! `cargo xtask release`: what a tag does, and all of it on this machine alone.

mod dry_run;
mod package;
mod registry;

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, ensure};
use clap::builder::FalseyValueParser;
use tools::{HostKind, root, target};
use yaml_edit::{Document, MappingBuilder, YamlNode};

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

/// Runs a step, or all of them on this machine.
pub fn run(options: &Options) -> Result<()> {
    match &options.step {
        None => dry_run::run(),
        Some(Step::Package { tag }) => {
            let version = version()?;
            ensure!(
                *tag == format!("v{version}"),
                "the tag is {tag}, and the tree is of version {version}: see docs/releasing.md"
            );
            package::package(&notes(version)?)
        }
        Some(Step::Publish { registry, chart }) => {
            let spin = tools::find_or_fetch(HostKind::Spin)?;
            for image in registry::publish(registry, Some(&spin), *chart, false)? {
                let (name, repository, digest) = (image.name, &image.repository, &image.digest);
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

/// The version of the tree, which is this package's too. The manifests that name it agree.
fn version() -> Result<&'static str> {
    let version = env!("CARGO_PKG_VERSION");
    let read = |file: &str| fs::read_to_string(root().join(file)).context(file.to_owned());
    let spin: toml_edit::DocumentMut = read("spin.toml")?.parse()?;
    let spin = spin["application"]["version"].as_str();
    let chart: yaml_serde::Value = yaml_serde::from_str(&read("deploy/chart/Chart.yaml")?)?;
    let chart = chart["version"].as_str();
    for (file, other) in [("spin.toml", spin), ("deploy/chart/Chart.yaml", chart)] {
        let other = other.with_context(|| format!("{file} has no version"))?;
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
    let mut sections = changelog.split("\n## ").skip(1);
    let section = sections.find(|section| section.split_whitespace().next() == Some(version))?;
    let (_title, text) = section.split_once('\n')?;
    let text = text.trim();
    (!text.is_empty()).then(|| format!("{text}\n"))
}

/// `values` with one more version, which does not yet answer; all else stays, comments too.
fn with_version(values: &str, version: &str, image: &str) -> Result<String> {
    let digest = image.split_once("@sha256:").unwrap_or_default().1;
    ensure!(
        digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{image} is no image by its digest, such as ghcr.io/example/hello@sha256:…"
    );
    let name = format!("v{}", version.replace('.', "-"));
    let values: Document = values.parse()?;
    let root = values.as_mapping().context("it is a mapping")?;
    ensure!(
        root.contains_key("active"),
        "{VALUES} names no active version"
    );
    let versions = root.get_sequence("versions");
    let versions = versions.with_context(|| format!("{VALUES} has no versions"))?;
    let has_name = |version: YamlNode| version.get("name").is_some_and(|other| other == name);
    ensure!(
        !versions.values().any(has_name),
        "{VALUES} has {name} already: a version never changes"
    );
    let replicas = versions
        .last()
        .and_then(|last| last.get("replicas")?.to_i64());
    let replicas = replicas.with_context(|| format!("{VALUES} has no version with replicas"))?;
    let added = MappingBuilder::new()
        .pair("name", name)
        .pair("image", image)
        .pair("replicas", replicas)
        .build_document();
    versions.push(added.as_mapping().context("it is a mapping")?);
    Ok(values.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: &str = "# What runs.\nversions:\n  - name: v1-4-0\n    image: a # first\n    \
                          replicas: 3\n# Who answers.\nactive: v1-4-0\n";

    fn image() -> String {
        format!("ghcr.io/example/hello@sha256:{}", "0a".repeat(32))
    }

    #[test]
    fn adds_a_version_that_does_not_yet_answer() {
        let image = image();
        assert_eq!(
            with_version(VALUES, "1.5.0", &image).expect("it can be added"),
            format!(
                "# What runs.\nversions:\n  - name: v1-4-0\n    image: a # first\n    replicas: 3\n  \
                 - name: v1-5-0\n    image: {image}\n    replicas: 3\n# Who answers.\nactive: v1-4-0\n"
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
