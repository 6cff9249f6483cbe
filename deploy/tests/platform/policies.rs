//! Whether images-by-digest fails closed, which no API server shows here. What it lets in, the test `cluster`
//! asks the API server; and images-signed, the test `controllers` asks Kyverno.

use anyhow::Result;
use deploy_tests::{checker::Checker, mutation::Mutations, objects::only};
use libtest_mimic::Trial;
use serde_json::Value;

use crate::{addons, facts::RULES};

pub fn trials(checker: &Checker, mutations: &Mutations) -> Vec<Trial> {
    let closed = |policy: &Value| RULES["policies: digests"].check(&[("policy", policy)]);
    mutations.trials_of(checker, "policies: digests", digests, closed)
}

fn digests(checker: &Checker) -> Result<Value> {
    let objects = &addons::cluster(checker, "canary")?.objects["policies"];
    only(objects, "ValidatingAdmissionPolicy").cloned()
}
