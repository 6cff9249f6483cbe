//! What Kyverno is tried with: a registry with images that are signed or not, and controllers that make pods.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result};
use cluster::{control_plane::ControlPlane, registry, site::NAMESPACE};
use deploy_tests::{
    checker::{input, succeeded},
    facts,
    objects::listed,
    once::Once,
    pods,
};
use harness::process::Process;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::ELSEWHERE;
use crate::{plane, spinkube};

/// The repository of our images.
const REPOSITORY: &str = "ghcr.io/example/hello";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Facts {
    signatures: Vec<Image>,
}

/// An image, as crates/tools/go/sigstore is asked for it.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    pub what: String,
    /// Who signed it; nobody, if empty.
    #[serde(default)]
    identity: String,
    #[serde(default = "github")]
    issuer: String,
    /// Whether that is by a CA that nobody trusts.
    #[serde(default)]
    foreign: bool,
    /// Whether the signature is another image's.
    #[serde(default)]
    another: bool,
    /// Whether the policy lets it in.
    #[serde(default)]
    pub lets_in: bool,
}

fn github() -> String {
    "https://token.actions.githubusercontent.com".to_owned()
}

pub struct Site {
    pub plane: &'static ControlPlane,
    /// Those in the registry, each with its name and digest.
    pub images: Vec<(Image, String)>,
    /// The mirror of the roots that vouch for who signed them.
    pub roots: PathBuf,
    _processes: [Process; 2],
}

impl Site {
    pub fn shared() -> Result<&'static Self> {
        static SITE: Once<Site> = Once::new();
        SITE.get("", || Self::start(plane()?))
    }

    fn start(plane: &'static ControlPlane) -> Result<Self> {
        let directory = tools::fresh("kyverno")?;
        spinkube(plane)?;
        let there = [NAMESPACE, ELSEWHERE].map(pods::namespace);
        plane.kubectl.apply(&listed(there.as_flattened()), &[])?;
        // What pods of the shim name.
        let class = json!({
            "apiVersion": "node.k8s.io/v1",
            "kind": "RuntimeClass",
            "metadata": {"name": "wasmtime-spin-v2"},
            "handler": "spin-v2",
        });
        plane.kubectl.apply(&class.to_string(), &[])?;
        let (host, _) = REPOSITORY.split_once('/').context("it names a registry")?;
        let registry = registry::start_in_place_of(host, plane, &directory)?;
        let roots = directory.join("roots");
        fs::create_dir(&roots)?;
        let images = facts::<Facts>("controllers").signatures;
        let asked: String = images
            .iter()
            .map(|image| format!("{}\n", json!(image)))
            .collect();
        let mut sigstore = Command::new(tools::find_or_fetch("sigstore")?);
        let pushed = succeeded(
            sigstore
                .arg(REPOSITORY)
                .arg(&roots)
                .env("SSL_CERT_FILE", plane.authority.certificate())
                .stdin(input(&asked)?),
        )?;
        Ok(Self {
            plane,
            images: images
                .into_iter()
                .zip(pushed.lines().map(str::to_owned))
                .collect(),
            roots: roots.join("repository"),
            _processes: [
                registry,
                plane.start_controllers_of(&[
                    // Of Kyverno's roles.
                    "clusterrole-aggregation-controller",
                    "deployment-controller",
                    "replicaset-controller",
                    "serviceaccount-controller",
                ])?,
            ],
        })
    }

    /// The image that the release has signed.
    pub fn release(&self) -> Result<&str> {
        self.image(|image| image.lets_in)
    }

    pub fn unsigned(&self) -> Result<&str> {
        self.image(|image| image.identity.is_empty())
    }

    fn image(&self, wanted: impl Fn(&Image) -> bool) -> Result<&str> {
        let mut images = self.images.iter();
        let found = images.find(|(image, _)| wanted(image));
        Ok(&found.context("facts.yaml has no such image")?.1)
    }

    /// Takes away what the controllers have made in the service's namespace, and what they made it of.
    pub fn clean(&self) -> Result<()> {
        // There is no garbage collector.
        for kinds in ["spinapps", "deployments", "replicasets", "pods"] {
            let namespace = format!("--namespace={NAMESPACE}");
            let delete = ["delete", kinds, "--all", "--force", &namespace];
            self.plane.kubectl.run(&delete)?;
        }
        Ok(())
    }
}

/// The image by its tag, which it has as well.
pub fn tag(reference: &str) -> Result<String> {
    let (name, digest) = reference.split_once("@sha256:").context("a digest")?;
    Ok(format!("{name}:{}", &digest[..12]))
}
