//! The checks themselves: what is wrong makes them fail, and says so in a sentence.

use anyhow::{Result, bail, ensure};
use deploy_tests::{
    checker::{Checker, no_problems, valid},
    mutation::{Mutations, fails, replaced},
    objects,
};
use libtest_mimic::Trial;

use crate::{example, versions_are_whole};

pub fn trials(checker: &Checker, mutations: &Mutations) -> Vec<Trial> {
    let mut trials = Vec::new();
    for [what, of, settings, says] in mutations.rows("refused") {
        let title = format!("the chart refuses {what}");
        trials.push(checker.trial(title, move |checker| {
            // Otherwise it might refuse something else.
            checker.render(&example(&of), &[])?;
            let settings: Vec<&str> = settings.lines().collect();
            fails(checker.render(&example(&of), &settings), &says)
        }));
    }
    for [what, from, to, problem] in mutations.rows("chart") {
        // A problem with the metadata shows without the schemas, too.
        let custom = !problem.starts_with("metadata:") && to.contains("custom");
        let title = format!("the checks find {what}");
        trials.push(checker.trial_of(custom, title, move |checker| {
            let whole = checker.render(&example("canary"), &[])?;
            let broken = replaced(&whole, &from, to.trim_end_matches(" # custom"))?;
            let objects = checker.checked(&broken)?;
            let found: Vec<_> = objects
                .iter()
                .filter_map(|object| object.problem.as_ref())
                .collect();
            let all_say = found.iter().all(|found| found.contains(&problem));
            ensure!(!found.is_empty() && all_say, "it says {found:?}");
            Ok(())
        }));
    }
    for [dropped, says] in mutations.rows("dropped") {
        let title = format!("the checks miss {dropped}, when it is dropped");
        trials.push(checker.trial(title, move |checker| {
            let mut objects = checker.objects(&example("production"), &[])?;
            versions_are_whole(&objects)?;
            let count = objects.len();
            objects.retain(|object| !objects::title(object).starts_with(&dropped));
            assert_eq!(objects.len(), count - 1, "there is not one {dropped}");
            fails(versions_are_whole(&objects), &says)
        }));
    }
    trials.push(checker.trial(
        "without schemas, a custom resource is not called valid",
        without_schemas,
    ));
    trials.push(checker.trial(
        "a custom resource without a definition is not called valid",
        undefined,
    ));
    trials
}

/// That a misspelt field passes there is why the part is called SKIPPED, and not passed.
fn without_schemas(checker: &Checker) -> Result<()> {
    let checker = checker.without_schemas();
    let rendered = checker.render(&example("canary"), &[])?;
    let broken = replaced(&rendered, "replicas: 3", "replics: 3")?;
    no_problems(&checker.checked(&broken)?, true)?;
    let objects = checker.read("deploy/argocd/project.yaml")?;
    assert!(objects.iter().all(|object| object.unchecked));
    Ok(())
}

/// Of a group that has no definition. One that has a kind is in "chart" of the mutations.
fn undefined(checker: &Checker) -> Result<()> {
    let objects = checker.checked("{apiVersion: kuma.io/v7, kind: Mesch, metadata: {name: a}}")?;
    let [object] = &objects[..] else {
        bail!("{} objects", objects.len());
    };
    let has_problem = object.problem.is_some();
    // HELLO_SCHEMAS may have the group.
    ensure!(object.unchecked != has_problem, "it says {object:?}");
    ensure!(valid(&objects, true).is_err(), "it is called valid");
    Ok(())
}
