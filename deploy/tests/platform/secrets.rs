//! What the add-ons take from the secret store: each from a namespace that the store lets in.

use anyhow::{Result, ensure};
use deploy_tests::{
    checker::Checker,
    mutation::Mutations,
    objects::{of_kind, only, strings, text, title},
    stem,
};
use libtest_mimic::Trial;

use crate::addons::{Rendered, addon_of, cluster, clusters, rendered};

pub fn trials(checker: &Checker, mutations: &Mutations) -> Vec<Trial> {
    let mut trials = Vec::new();
    for file in clusters() {
        let title = format!("secrets, {}: the store serves who asks it", stem(&file));
        trials.push(checker.trial(title, move |checker| served(rendered(checker, &file, &[])?)));
    }
    let canary = |checker: &Checker| cluster(checker, "canary").cloned();
    trials.extend(mutations.trials_of(
        checker,
        "secrets: the store serves who asks",
        canary,
        served,
    ));
    trials
}

fn served(rendered: &Rendered) -> Result<()> {
    let store = only(rendered.made(), "ClusterSecretStore")?;
    let namespaces = strings(store, "/spec/conditions/0/namespaces");
    ensure!(!namespaces.is_empty(), "the store serves whoever asks");
    // The service's own ExternalSecrets: deploy/chart.
    let serves_hello = rendered.cluster == "management" || namespaces.contains(&"hello");
    ensure!(serves_hello, "the store does not serve hello");
    for application in &rendered.applications {
        let objects = rendered.objects.get(addon_of(application)?);
        for secret in of_kind(objects.into_iter().flatten(), "ExternalSecret") {
            let (asks, title) = (&secret["spec"]["secretStoreRef"], title(secret));
            let is_ours =
                asks["kind"] == store["kind"] && asks["name"] == store["metadata"]["name"];
            ensure!(is_ours, "{title} asks another store: {asks}");
            let destination = text(application, "/spec/destination/namespace");
            let namespace = secret["metadata"]["namespace"]
                .as_str()
                .unwrap_or(destination);
            ensure!(
                namespaces.contains(&namespace),
                "{title} is in {namespace}, which the store does not serve"
            );
        }
    }
    Ok(())
}
