//! What the add-ons take from the secret store: each from a namespace that the store lets in.

use anyhow::{Context, Result, ensure};
use libtest_mimic::{Failed, Trial};

use crate::addons::{Rendered, clusters, of_kind, render};
use deploy_tests::checker::{Checker, name_of};

pub fn trials(checker: &Checker) -> Vec<Trial> {
    let mut trials = Vec::new();
    for cluster in clusters() {
        let also = checker.clone();
        let name = cluster.file_stem().unwrap_or_default().to_string_lossy();
        trials.push(Trial::test(
            format!("secrets, {name}: the store serves who asks it"),
            move || Ok(served(&render(&also, &cluster, &[])?)?),
        ));
    }
    let also = checker.clone();
    trials.push(Trial::test(
        "secrets: the check notices who asks from elsewhere",
        move || notices(&also),
    ));
    trials
}

fn served(rendered: &Rendered) -> Result<()> {
    let store = of_kind(rendered, "ClusterSecretStore").next();
    let store = store.context("there is no secret store")?;
    let namespaces = store["spec"]["conditions"][0]["namespaces"].as_array();
    let namespaces = namespaces.context("the store serves whoever asks")?;
    // The service's own ExternalSecrets: deploy/chart.
    ensure!(
        rendered.cluster == "management" || namespaces.iter().any(|name| name == "hello"),
        "the store does not serve hello"
    );
    for application in &rendered.applications {
        let application = &application.object;
        let addon = &application["metadata"]["labels"]["app.kubernetes.io/component"];
        let objects = rendered.objects.get(addon.as_str().unwrap_or_default());
        for object in objects.into_iter().flatten().map(|object| &object.object) {
            if object["kind"] != "ExternalSecret" {
                continue;
            }
            let spec = &object["spec"]["secretStoreRef"];
            ensure!(
                spec["kind"] == store["kind"] && spec["name"] == store["metadata"]["name"],
                "{} asks another store: {spec}",
                name_of(object)
            );
            let own = &object["metadata"]["namespace"];
            let namespace = match own.is_null() {
                true => &application["spec"]["destination"]["namespace"],
                false => own,
            };
            ensure!(
                namespaces.contains(namespace),
                "{} is in {namespace}, which the store does not serve",
                name_of(object)
            );
        }
    }
    Ok(())
}

fn notices(checker: &Checker) -> Result<(), Failed> {
    let cluster = clusters().into_iter().next().ok_or("there is no cluster")?;
    let mut rendered = render(checker, &cluster, &[])?;
    served(&rendered)?;
    let yaml = "
apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata: {name: elsewhere}
spec:
  secretStoreRef: {kind: ClusterSecretStore, name: secrets-manager}
  data: [{secretKey: key, remoteRef: {key: platform/grafana}}]
";
    let objects = rendered
        .objects
        .get_mut("storage")
        .ok_or("storage is gone")?;
    objects.extend(checker.checked(yaml)?);
    match served(&rendered) {
        Err(error) if error.to_string().contains("which the store does not serve") => Ok(()),
        other => Err(format!("it says {other:?}").into()),
    }
}
