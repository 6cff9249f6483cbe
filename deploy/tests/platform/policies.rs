//! The admission policies, evaluated: the very text that a cluster gets, on pods that it would see.

use std::fs;

use anyhow::{Result, ensure};
use deploy_tests::{
    checker::{Checker, Object},
    mutation::Mutations,
    objects::{list, only, strings, text, title},
    rules::Rule,
};
use libtest_mimic::Trial;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::facts::{FACTS, RULES};

const DIGEST: &str = "sha256:dd4058945cb02a5fe9c0f6b403b809342d7d436022364de4b84ea10b04fbbcb8";

pub fn trials(checker: &Checker, mutations: &Mutations) -> Vec<Trial> {
    let mut trials = Vec::new();
    for cluster in ["dev", "production-eu-west-1"] {
        let title = format!("policies, {cluster}: images by digest alone");
        trials.push(checker.trial(title, move |checker| {
            by_digest(&digests(&rendered(checker, cluster)?)?, cluster == "dev")
        }));
        let title = format!("policies, {cluster}: they let in what deploy/chart makes");
        trials.push(checker.trial(title, move |checker| {
            lets_in_the_service(checker, &rendered(checker, cluster)?)
        }));
    }
    let canary = |checker: &Checker| digests(&rendered(checker, "canary")?);
    let check = |policy: &Value| by_digest(policy, false);
    trials.extend(mutations.trials_of(checker, "policies: digests", canary, check));
    let canary = |checker: &Checker| signatures(&rendered(checker, "canary")?);
    trials.extend(mutations.trials_of(checker, "policies: signatures", canary, signed));
    trials
}

/// What the add-on makes in a cluster.
fn rendered(checker: &Checker, cluster: &str) -> Result<Vec<Object>> {
    let values = ["values".to_owned(), format!("clusters/{cluster}")];
    let values = values.map(|file| format!("deploy/platform/addons/{file}.yaml").into());
    let chart = "deploy/platform/addons/policies/objects";
    checker.checked(&checker.render_chart(chart, &values, &[])?)
}

/// The ValidatingAdmissionPolicy, which is bound to the namespace of the service.
fn digests(objects: &[Object]) -> Result<Value> {
    let policy = only(objects, "ValidatingAdmissionPolicy")?;
    let binding = only(objects, "ValidatingAdmissionPolicyBinding")?;
    let bound = json!({
        "policyName": policy["metadata"]["name"],
        "validationActions": ["Deny"],
        "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "hello"}}},
    });
    ensure!(binding["spec"] == bound, "it is bound as {binding}");
    Ok(policy.clone())
}

fn signatures(objects: &[Object]) -> Result<Value> {
    only(objects, "ClusterPolicy").cloned()
}

/// What the API server does with a pod: true, if the policy lets it in.
fn admits(policy: &Value, pod: &Value) -> Result<bool> {
    let rule = Rule::deserialize(&policy["spec"])?;
    Ok(rule.problems(&[("object", pod)]).is_empty())
}

/// Where there is a Postgres in the namespace, its operator chooses the images of its pods.
fn by_digest(policy: &Value, with_postgres: bool) -> Result<()> {
    ensure!(policy["spec"]["failurePolicy"] == "Fail", "it fails open");
    let validates = !list(policy, "/spec/validations").is_empty();
    ensure!(validates, "it validates nothing");
    for (what, beside, image, wanted) in &FACTS.images {
        let image = image.replace("DIGEST", DIGEST);
        let mut pod = pod(&image);
        if !beside.is_empty() {
            let ours = json!({"image": format!("ghcr.io/example/hello@{DIGEST}")});
            pod["spec"]["containers"] = json!([ours]);
            pod["spec"][beside] = json!([ours, {"image": image}]);
        }
        decides(what, admits(policy, &pod)?, *wanted)?;
    }
    for (label, wanted) in [
        ("cnpg.io/cluster", with_postgres),
        ("cnpg.io/clusters", false),
    ] {
        let mut pod = pod("ghcr.io/cloudnative-pg/postgresql:18.1");
        pod["metadata"]["labels"] = json!({label: "hello-db"});
        decides(
            &format!("a pod labelled {label}"),
            admits(policy, &pod)?,
            wanted,
        )?;
    }
    Ok(())
}

fn pod(image: &str) -> Value {
    json!({"metadata": {}, "spec": {"containers": [{"image": image}]}})
}

fn decides(what: &str, lets_in: bool, wanted: bool) -> Result<()> {
    ensure!(!lets_in || wanted, "it lets in {what}");
    ensure!(lets_in || !wanted, "it refuses {what}");
    Ok(())
}

/// The pods of deploy/chart, with the values of each cluster: images-by-digest lets them in, and
/// images-signed looks at the service.
fn lets_in_the_service(checker: &Checker, policies: &[Object]) -> Result<()> {
    let (digests, signatures) = (digests(policies)?, only(policies, "ClusterPolicy")?);
    // What an image begins with that has to be signed.
    let covered = strings(signatures, "/spec/rules/0/verifyImages/0/imageReferences");
    ensure!(!covered.is_empty(), "it names no image");
    let stars = covered.iter().all(|pattern| pattern.ends_with('*'));
    ensure!(stars, "one of {covered:?} does not end in a star");
    let mut seen = 0;
    for values in deploy_tests::service_values().into_values() {
        for object in checker.objects(&values, &[])? {
            let pod = match text(&object, "/kind") {
                "SpinApp" => {
                    let image = text(&object, "/spec/image");
                    let mut covered = covered.iter().map(|pattern| pattern.trim_end_matches('*'));
                    let signed = covered.any(|start| image.starts_with(start));
                    ensure!(signed, "no signature is asked for of {image}");
                    pod(image)
                }
                "Job" => object["spec"]["template"].clone(),
                "CronJob" => object["spec"]["jobTemplate"]["spec"]["template"].clone(),
                _ => continue,
            };
            ensure!(
                admits(&digests, &pod)?,
                "the pods of {} are refused",
                title(&object)
            );
            seen += 1;
        }
    }
    ensure!(seen > 8, "deploy/chart makes {seen} kinds of pods");
    Ok(())
}

fn signed(policy: &Value) -> Result<()> {
    let workflow = fs::read_to_string(tools::root().join(".github/workflows/release.yml"))?;
    RULES["policies: signatures"].check(&[
        ("policy", policy),
        ("workflow", &json!(workflow)),
        ("identities", &json!(FACTS.identities)),
    ])
}
