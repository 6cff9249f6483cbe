//! The way in: Kong's names are the cluster's, its logs hold no path, and the route finds what it names.

use anyhow::Result;
use deploy_tests::{
    checker::Checker,
    mutation::{Mutations, fails, set},
    objects::only,
    stem,
};
use libtest_mimic::Trial;
use serde_json::Value;

use crate::{
    addons::{Rendered, cluster, clusters, rendered},
    facts::RULES,
};

pub fn trials(checker: &Checker, mutations: &Mutations) -> Vec<Trial> {
    let mut trials = Vec::new();
    for file in clusters()
        .into_iter()
        .filter(|file| stem(file) != "management")
    {
        let title = format!("Kong, {}: fits", stem(&file));
        trials.push(checker.trial(title, move |checker| {
            fits(rendered(checker, &file, &[])?, &route(checker)?)
        }));
    }
    for [what, object, pointer, value, says] in mutations.rows("traffic") {
        trials.push(
            checker.trial(format!("Kong: {what} fails"), move |checker| {
                let mut rendered = cluster(checker, "production-eu-west-1")?.clone();
                let mut route = route(checker)?;
                let ours = rendered.objects.values_mut().flatten();
                let objects = rendered.applications.iter_mut().chain(ours);
                let objects = objects.map(|one| &mut one.object);
                set(objects.chain([&mut route]), &object, &pointer, &value)?;
                fails(fits(&rendered, &route), &says)
            }),
        );
    }
    trials
}

/// The HTTPRoute of the chart's example for production.
fn route(checker: &Checker) -> Result<Value> {
    let example = "deploy/chart/examples/production.yaml".into();
    Ok(only(&checker.objects(&[example], &[])?, "HTTPRoute")?.clone())
}

fn fits(rendered: &Rendered, route: &Value) -> Result<()> {
    RULES["traffic"].check(&[("added", &rendered.for_rules()?), ("route", route)])
}
