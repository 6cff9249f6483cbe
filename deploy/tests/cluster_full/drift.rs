//! What Argo CD calls in sync, of an HTTPRoute that leaves to its definition what that fills in.

use anyhow::{Result, ensure};
use deploy_tests::objects::text;
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::{
    on_site,
    site::{DEV, Site},
};

/// References without a group and a kind, in lists that belong to one manager.
const TERSE: &str = "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: terse}, \
                     spec: {parentRefs: [{name: public}], rules: [{backendRefs: [{name: hello, port: 80}]}]}}";

/// Applied and compared as `deploy/argocd/applicationset.yaml` has it.
const ON_SERVER: [&str; 2] = ["ServerSideApply=true", "ServerSideDiff=true"];
/// As Argo CD does by itself.
const ON_CLIENT: [&str; 2] = ["ServerSideApply=false", "ServerSideDiff=false"];

pub fn trials() -> Vec<Trial> {
    vec![on_site(
        "in sync: a route whose defaults are left out, and not a change made by hand",
        left_out_or_changed,
    )]
}

/// With Argo CD 3.6.1 the first is in sync by either comparison: argo-cd#22151 is not seen here.
fn left_out_or_changed(site: &Site) -> Result<()> {
    for (name, options) in [("on-client", ON_CLIENT), ("on-server", ON_SERVER)] {
        let found = synced(site, name, TERSE, options)?;
        ensure!(found == "Synced", "{name}, it is {found}");
        site.cluster(DEV).kubectl.run(&[
            "patch",
            "httproute/terse",
            &format!("--namespace={name}"),
            "--type=merge",
            "--patch={\"spec\": {\"parentRefs\": [{\"name\": \"private\"}]}}",
        ])?;
        let changed = site.refresh(name)?;
        let found = text(&changed, "/status/sync/status");
        ensure!(found == "OutOfSync", "{name}, changed, it is {found}");
    }
    Ok(())
}

/// What Argo CD says of the route, as the one object of an Application, after it was synced.
fn synced(site: &Site, name: &str, route: &str, [apply, diff]: [&str; 2]) -> Result<String> {
    site.repository
        .write(&format!("{name}/route.yaml"), route)?;
    site.repository.commit("a route")?;
    let destination = json!({"name": DEV, "namespace": name});
    let project = json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AppProject",
        "metadata": {"name": name, "namespace": "argocd"},
        "spec": {
            "sourceRepos": [site.repository.url()],
            "destinations": [destination],
            "clusterResourceWhitelist": [{"group": "", "kind": "Namespace"}],
        },
    });
    let application = json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {
            "name": name,
            "namespace": "argocd",
            "annotations": {"argocd.argoproj.io/compare-options": diff},
        },
        "spec": {
            "project": name,
            "source": {"repoURL": site.repository.url(), "targetRevision": "main", "path": name},
            "destination": destination,
            "syncPolicy": {
                "automated": {},
                "syncOptions": ["CreateNamespace=true", apply],
            },
        },
    });
    for object in [project, application] {
        site.argo.kubectl.apply(&object.to_string(), &[])?;
    }
    site.wait_for(&format!("a sync of {name}"), || {
        let application = site.application(name)?;
        let phase = text(&application, "/status/operationState/phase");
        Ok((phase == "Succeeded").then_some(()))
    })?;
    let mut found = String::new();
    for _ in 0..3 {
        let application: Value = site.refresh(name)?;
        text(&application, "/status/sync/status").clone_into(&mut found);
    }
    Ok(found)
}
