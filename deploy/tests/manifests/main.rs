//! deploy/: the chart rendered by Helm for every example, and every object of Kubernetes validated.
//!
//! `cargo xtask test --part manifests` runs this, and `cargo xtask test` does too.

mod delivery;
mod refused;
mod scripts;
mod switch;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use deploy_tests::{
    checker::{Checker, Object, no_problems},
    mutation::Mutations,
    objects::{at, name, named, of_kind, strings_at, text, title},
    yaml_files,
};
use libtest_mimic::Arguments;
use serde_json::Value;

fn main() -> Result<()> {
    let arguments = Arguments::from_args();
    harness::process::end_all_on_signal()?;
    let checker = Checker::new()?;
    let mutations = Mutations::of("manifests")?;
    let mut trials = Vec::new();
    for values in all_values() {
        let chart = format!(
            "chart, {}",
            shown(values.last().context("each has a file")?)
        );
        let also = values.clone();
        let title = format!("{chart}: passes lint, and renders valid objects");
        trials.push(checker.trial(title, move |checker| {
            checker.lint(&also)?;
            no_problems(&checker.objects(&also, &[])?, false)
        }));
        let also = values.clone();
        let title = format!("{chart}: its custom resources are valid");
        trials.push(checker.trial_of(true, title, move |checker| {
            no_problems(&checker.objects(&also, &[])?, true)
        }));
        let title = format!("{chart}: every version is whole");
        trials.push(checker.trial(title, move |checker| {
            versions_are_whole(&checker.objects(&values, &[])?)
        }));
    }
    for file in manifests() {
        let name = shown(&file);
        let objects = match checker.read(&file) {
            Ok(objects) => objects,
            // One that cannot be read fails by itself, and the others run.
            Err(error) => {
                let title = format!("{name}: valid objects");
                trials.push(checker.trial(title, move |_| Err(error)));
                continue;
            }
        };
        let kinds: BTreeSet<bool> = objects.iter().map(|object| object.custom).collect();
        assert!(!kinds.is_empty(), "{name} has no object");
        for custom in kinds {
            let kind = if custom {
                "custom resources"
            } else {
                "objects"
            };
            let file = file.clone();
            trials.push(checker.trial_of(
                custom,
                format!("{name}: valid {kind}"),
                move |checker| no_problems(&checker.read(file)?, custom),
            ));
        }
    }
    trials.extend(switch::trials(&checker));
    trials.extend(refused::trials(&checker, &mutations));
    trials.extend(scripts::trials(&checker));
    trials.extend(delivery::trials(&checker, &mutations));
    mutations.assert_all_used();
    libtest_mimic::run(&arguments, trials).exit();
}

/// The values to render the chart with: each example, and what Argo CD gives to each cluster.
fn all_values() -> Vec<Vec<PathBuf>> {
    let examples = yaml_files("deploy/chart/examples")
        .into_iter()
        .map(|file| vec![file]);
    let clusters = deploy_tests::service_values().into_values();
    let all: Vec<Vec<PathBuf>> = examples.chain(clusters).collect();
    assert!(all.len() > 10, "the examples are gone");
    all
}

fn example(name: &str) -> Vec<PathBuf> {
    vec![format!("deploy/chart/examples/{name}.yaml").into()]
}

/// The manifests beside the chart. What is named `….values.yaml` or is no object is for a chart.
fn manifests() -> Vec<PathBuf> {
    let mut files = yaml_files("deploy/argocd");
    files.extend(yaml_files("deploy/wasmcloud"));
    files.retain(|file| {
        let name = file.to_string_lossy();
        !name.ends_with(".values.yaml") && !name.ends_with("/release.yaml")
    });
    assert!(files.len() > 6, "the manifests are gone");
    files
}

fn shown(file: &Path) -> String {
    let path = file.strip_prefix(tools::root()).unwrap_or(file);
    path.display().to_string()
}

/// What no schema says: a version has a budget for disruptions, a smoke test, and a scale where it
/// scales by itself; every image is named by digest; every Secret and ConfigMap that a pod needs is
/// rendered or named by the values; and only the project's components may reach anything.
fn versions_are_whole(objects: &[Object]) -> Result<()> {
    let mut apps = of_kind(objects, "SpinApp").peekable();
    ensure!(apps.peek().is_some(), "there is no SpinApp");
    apps.try_for_each(|app| is_whole(app, objects))?;
    let is_made = |kinds: &[&str], wanted: &str| {
        let mut kinds = kinds.iter();
        kinds.any(|kind| named(objects, kind, wanted).is_ok())
    };
    for object in objects {
        let title = title(object);
        for image in strings_at(object, &["image", "spinImage"]) {
            let digest = image
                .rsplit_once("@sha256:")
                .map_or("", |(_, digest)| digest);
            ensure!(digest.len() == 64, "{title}: {image} has no digest");
        }
        let secrets = ["Secret", "ExternalSecret"];
        for (field, kinds) in [
            ("secretKeyRef", &secrets[..]),
            ("secret", &secrets),
            ("configMap", &["ConfigMap"]),
        ] {
            for needed in at(object, field) {
                // A volume says it in another word.
                let wanted = needed["name"]
                    .as_str()
                    .unwrap_or(text(needed, "/secretName"));
                ensure!(
                    is_made(kinds, wanted) || FROM_ELSEWHERE.contains(&wanted),
                    "{title} needs {wanted}, which nobody makes"
                );
            }
        }
    }
    Ok(())
}

/// CloudNativePG's own, and those that a value names.
const FROM_ELSEWHERE: [&str; 4] = [
    "hello-db-app",
    "hello-db-trust",
    "hello-redis",
    "hello-backup-bucket",
];

/// [`versions_are_whole`], for one version.
fn is_whole(app: &Value, objects: &[Object]) -> Result<()> {
    let (name, spec) = (name(app), &app["spec"]);
    let short = name.len() <= 52;
    ensure!(short, "{name} has more than the 52 characters of a SpinApp");
    let executor = text(spec, "/executor");
    named(objects, "SpinAppExecutor", executor)
        .with_context(|| format!("{name} has an executor that is not there"))?;
    let budget = named(objects, "PodDisruptionBudget", name);
    let budget = budget.with_context(|| format!("{name} has no PodDisruptionBudget"))?;
    let selects = &budget["spec"]["selector"]["matchLabels"];
    ensure!(
        selects["core.spinkube.dev/app-name"] == name,
        "the PodDisruptionBudget of {name} selects {selects}"
    );
    let url = format!("http://{name}");
    let smoke_test =
        of_kind(objects, "Job").find(|job| strings_at(job, &["value"]).contains(&url.as_str()));
    let smoke_test = smoke_test.with_context(|| format!("{name} has no smoke test"))?;
    // A hook would run again before a rollback, and hold it up where the version is broken.
    let annotations = smoke_test["metadata"]["annotations"].to_string();
    let no_hook = !annotations.contains("hook");
    ensure!(no_hook, "the smoke test of {name} is a hook: {annotations}");
    let scales = spec["enableAutoscaling"] == true;
    let either = scales != spec["replicas"].is_number();
    ensure!(either, "{name} needs replicas, or something that scales it");
    let scalers = ["HorizontalPodAutoscaler", "ScaledObject"];
    let mut scalers = scalers.iter().flat_map(|kind| of_kind(objects, kind));
    let scaled = scalers.any(|object| text(object, "/spec/scaleTargetRef/name") == name);
    ensure!(
        scales == scaled,
        "{name} scales by itself: {scales}; by an object: {scaled}"
    );
    for check in ["readiness", "liveness"] {
        let timed = spec["checks"][check]["timeoutSeconds"].is_number();
        ensure!(timed, "{name} has no time-out for its {check}");
    }
    Ok(())
}
