//! What the add-ons take from the secret store: each from a namespace that the store lets in.

use anyhow::Result;
use deploy_tests::{checker::Checker, mutation::Mutations, stem};
use libtest_mimic::Trial;

use crate::{
    addons::{Rendered, cluster, clusters, rendered},
    facts::RULES,
};

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
    RULES["secrets: the store serves who asks"].check(&[("added", &rendered.for_rules()?)])
}
