//! The checks themselves: what is wrong makes them fail, and says so in a sentence.

use std::{fs, path::PathBuf};

use libtest_mimic::{Failed, Trial};

use crate::versions_are_whole;
use deploy_tests::{
    checker::{Checker, name_of, no_problems},
    mutation::{Mutations, replaced},
};

pub fn trials(checker: &Checker, mutations: &Mutations) -> Vec<Trial> {
    let mut trials = Vec::new();
    for [what, example, settings, says] in mutations.rows("refused") {
        let checker = checker.clone();
        trials.push(Trial::test(
            format!("the chart refuses {what}"),
            move || {
                let settings: Vec<&str> = settings.split("; ").collect();
                refuses(&checker, &example, &settings, &says)
            },
        ));
    }
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
