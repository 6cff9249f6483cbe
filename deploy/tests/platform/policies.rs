//! The admission policies, in what no API server shows: whether they fail closed, and whose signature
//! counts. What images-by-digest lets in, the test `cluster` asks the API server.

use std::fs;

use anyhow::Result;
use deploy_tests::{
    checker::Checker,
    mutation::Mutations,
    objects::{of_kind, only, parsed, text},
    service_values,
};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::{
    addons,
    facts::{FACTS, RULES},
};

pub fn trials(checker: &Checker, mutations: &Mutations) -> Vec<Trial> {
    let closed = |policy: &Value| RULES["policies: digests"].check(&[("policy", policy)]);
    let digests = |checker: &Checker| of_canary(checker, "ValidatingAdmissionPolicy");
    let mut trials = mutations.trials_of(checker, "policies: digests", digests, closed);
    trials.extend(mutations.trials_of(checker, "policies: signatures", signatures, signed));
    trials
}

fn of_canary(checker: &Checker, kind: &str) -> Result<Value> {
    let objects = &addons::cluster(checker, "canary")?.objects["policies"];
    only(objects, kind).cloned()
}

/// The policy, and the images that the service has in all clusters.
fn signatures(checker: &Checker) -> Result<(Value, Vec<String>)> {
    let mut images = Vec::new();
    for values in service_values().into_values() {
        let objects = parsed(&checker.render(&values, &[])?)?;
        let apps = of_kind(&objects, "SpinApp");
        images.extend(apps.map(|app| text(app, "/spec/image").to_owned()));
    }
    Ok((of_canary(checker, "ClusterPolicy")?, images))
}

fn signed((policy, images): &(Value, Vec<String>)) -> Result<()> {
    let workflow = fs::read_to_string(tools::root().join(".github/workflows/release.yml"))?;
    RULES["policies: signatures"].check(&[
        ("policy", policy),
        ("images", &json!(images)),
        ("workflow", &json!(workflow)),
        ("identities", &json!(FACTS.identities)),
    ])
}
