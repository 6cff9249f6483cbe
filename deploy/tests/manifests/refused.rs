//! The checks themselves: what is wrong makes them fail, and says so in a sentence.

use std::{fs, path::PathBuf};

use libtest_mimic::{Failed, Trial};

use crate::versions_are_whole;
use deploy_tests::{
    checker::{Checker, name_of, no_problems},
    mutation::{Mutations, replaced},
};

pub fn trials(checker: &Checker, mutations: &Mutations) -> Vec<Trial> {
    let mut trials: Vec<Trial> = REFUSED
        .iter()
        .map(|(what, example, settings, sentence)| {
            let checker = checker.clone();
            Trial::test(format!("the chart refuses {what}"), move || {
                refuses(&checker, example, settings, sentence)
            })
        })
        .collect();
    for [what, from, to, problem] in mutations.rows("chart") {
        let also = checker.clone();
        // A problem with the metadata shows without the schemas, too.
        let needs_schemas = !problem.starts_with("metadata:") && to.contains("custom");
        trials.push(
            Trial::test(format!("the checks find {what}"), move || {
                finds(&also, &from, to.trim_end_matches(" # custom"), &problem)
            })
            .with_ignored_flag(needs_schemas && checker.schemas.is_none()),
        );
    }
    for [dropped, problem] in mutations.rows("dropped") {
        let also = checker.clone();
        trials.push(Trial::test(
            format!("the checks miss {dropped}, when it is dropped"),
            move || misses(&also, &dropped, &problem),
        ));
    }
    let also = checker.clone();
    trials.push(Trial::test(
        "without schemas, a custom resource is not called valid",
        move || without_schemas(&also),
    ));
    trials
}

/// What, in which example, by which settings, and what Helm says.
const REFUSED: [(&str, &str, &[&str], &str); 16] = [
    (
        "an active that names no version",
        "canary",
        &["active=v9"],
        "active is \"v9\", which names no version: choose one of v1-4-0, v1-5-0",
    ),
    (
        "a tag where a digest belongs",
        "canary",
        &["versions[0].image=ghcr.io/example/hello:1.4.0"],
        "value must be 'an image by its digest, registry/name@sha256:<64 hex digits>",
    ),
    (
        "a tag for an image of the Jobs",
        "canary",
        &["images.curl=curl:latest"],
        "value must be 'an image by its digest, registry/name@sha256:<64 hex digits>",
    ),
    (
        "the sentence itself as an image",
        "canary",
        &[
            "versions[0].name=v1-4-0",
            "versions[0].replicas=1",
            "versions[0].image=an image by its digest\\, registry/name@sha256:<64 hex digits>: a tag can come to mean something else",
        ],
        "names no image by its digest",
    ),
    (
        "a name that Kubernetes would not take",
        "canary",
        &["versions[0].name=v1.4.0"],
        "the name of a version, such as v1-4-0",
    ),
    (
        "a value that nothing reads",
        "canary",
        &["activ=v1-4-0"],
        "additional properties 'activ' not allowed",
    ),
    (
        "weights for a version that is not there",
        "canary",
        &["weights.v9=5"],
        "weights names \"v9\", which is no version",
    ),
    (
        "weights that add up to nothing",
        "canary",
        &["weights.v1-4-0=0", "weights.v1-5-0=0"],
        "weights adds up to 0",
    ),
    (
        "weights without a gateway",
        "dev",
        &["weights.v1-4-0=1"],
        "a Service has no weights",
    ),
    (
        "users in the memory of one pod",
        "key-value",
        &["keyValue.type=spin"],
        "its users are gone with it",
    ),
    (
        "a NetworkPolicy that no request gets through",
        "canary",
        &["networkPolicy.gateway=null"],
        "networkPolicy.gateway is empty",
    ),
    (
        "no Postgres",
        "canary",
        &["postgres.host="],
        "postgres.host is empty",
    ),
    (
        "an annotation that is a number, which no object can have",
        "canary",
        &["route.serviceAnnotations.retries=1"],
        "at '/route/serviceAnnotations/retries': got number, want string",
    ),
    (
        "certificates without the name of their Secret",
        "canary",
        &["secrets.external.ca.key=hello/postgres-ca"],
        "executor.caSecret is empty: give the Secret",
    ),
    (
        "a backup without a bucket",
        "production",
        &["backup.bucket="],
        "backup.enabled needs backup.bucket",
    ),
    (
        "a sleep that is longer than the grace period",
        "canary",
        &["podPolicy.preStopSeconds=60"],
        "podPolicy.terminationGracePeriodSeconds includes preStopSeconds",
    ),
];

fn example(name: &str) -> Vec<PathBuf> {
    vec![tools::root().join(format!("deploy/chart/examples/{name}.yaml"))]
}

fn refuses(
    checker: &Checker,
    example_name: &str,
    settings: &[&str],
    sentence: &str,
) -> Result<(), Failed> {
    // Otherwise it might refuse something else.
    checker.render(&example(example_name), &[])?;
    match checker.render(&example(example_name), settings) {
        Ok(_) => Err("it renders that".into()),
        Err(error) if error.to_string().contains(sentence) => Ok(()),
        Err(error) => Err(format!("it does not say {sentence:?}, but: {error}").into()),
    }
}

fn finds(checker: &Checker, from: &str, to: &str, problem: &str) -> Result<(), Failed> {
    let whole = checker.render(&example("canary"), &[])?;
    let broken = replaced(&whole, from, to)?;
    let objects = checker.checked(&broken)?;
    let found = objects.iter().filter_map(|object| object.problem.as_ref());
    let found: Vec<_> = found.collect();
    if found.is_empty() || !found.iter().all(|found| found.contains(problem)) {
        return Err(format!("it says {found:?}").into());
    }
    Ok(())
}

fn misses(checker: &Checker, dropped: &str, problem: &str) -> Result<(), Failed> {
    let mut objects = checker.objects(&example("production"), &[])?;
    versions_are_whole(&objects)?;
    let count = objects.len();
    objects.retain(|object| !name_of(&object.object).starts_with(dropped));
    assert_eq!(objects.len(), count - 1, "there is not one {dropped}");
    match versions_are_whole(&objects) {
        Err(found) if found.starts_with(problem) => Ok(()),
        other => Err(format!("it says {other:?}").into()),
    }
}

/// That a misspelt field passes there is why the part is called SKIPPED, and not passed.
fn without_schemas(checker: &Checker) -> Result<(), Failed> {
    let checker = checker.without_schemas();
    let rendered = checker.render(&example("canary"), &[])?;
    let broken = rendered.replace("replicas: 3", "replics: 3");
    no_problems(&checker.checked(&broken)?, true)?;
    let yaml = fs::read_to_string(tools::root().join("deploy/argocd/project.yaml"))?;
    let objects = checker.checked(&yaml)?;
    assert!(objects.iter().all(|object| object.custom));
    Ok(())
}
