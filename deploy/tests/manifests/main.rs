//! deploy/: the chart rendered by Helm for every example, and every object of Kubernetes validated.
//!
//! `cargo xtask test --part manifests` runs this, and `cargo xtask test` does too.

mod refused;
mod scripts;
mod switch;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use deploy_tests::checker::{Checker, Object, at, name_of, no_problems, strings_at};
use deploy_tests::mutation::Mutations;
use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    let arguments = Arguments::from_args();
    harness::process::end_all_on_signal().expect("this is the only place that asks");
    let checker = Checker::new().unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        std::process::exit(1);
    });
    let mut trials = Vec::new();
    for values in all_values() {
        let name = shown(values.last().expect("each has a file"));
        let also = (checker.clone(), values.clone());
        trials.push(Trial::test(
            format!("chart, {name}: passes lint, and renders valid objects"),
            move || renders_valid_objects(&also.0, &also.1, false),
        ));
        let also = (checker.clone(), values.clone());
        trials.push(
            Trial::test(
                format!("chart, {name}: its custom resources are valid"),
                move || renders_valid_objects(&also.0, &also.1, true),
            )
            .with_ignored_flag(checker.schemas.is_none()),
        );
        let also = (checker.clone(), values);
        trials.push(Trial::test(
            format!("chart, {name}: every version is whole"),
            move || Ok(versions_are_whole(&also.0.objects(&also.1, &[])?)?),
        ));
    }
    for file in manifests() {
        let name = shown(&file);
        let objects = fs::read_to_string(&file)
            .map_err(anyhow::Error::from)
            .and_then(|yaml| checker.checked(&yaml));
        let kinds: BTreeSet<bool> = match objects {
            Ok(objects) => objects.iter().map(|object| object.custom).collect(),
            Err(error) => {
                trials.push(Trial::test(format!("{name}: valid objects"), move || {
                    Err(format!("{error:#}").into())
                }));
                continue;
            }
        };
        assert!(!kinds.is_empty(), "{name} has no object");
        for custom in kinds {
            let what = if custom {
                "custom resources"
            } else {
                "objects"
            };
            let also = (checker.clone(), file.clone());
            trials.push(
                Trial::test(format!("{name}: valid {what}"), move || {
                    no_problems(&also.0.checked(&fs::read_to_string(&also.1)?)?, custom)
                })
                .with_ignored_flag(custom && checker.schemas.is_none()),
            );
        }
    }
    trials.extend(switch::trials(&checker));
    let mutations = Mutations::of("manifests").expect("the mutations can be read");
    trials.extend(refused::trials(&checker, &mutations));
    trials.extend(scripts::trials(&checker, &mutations));
    mutations.assert_all_used();
    libtest_mimic::run(&arguments, trials).exit();
}

/// The values to render the chart with: each example, and what Argo CD gives to each cluster.
fn all_values() -> Vec<Vec<PathBuf>> {
    let deploy = tools::root().join("deploy");
    let mut all: Vec<_> = yaml_files(&deploy.join("chart/examples"))
        .into_iter()
        .map(|example| vec![example])
        .collect();
    let clusters = deploy_tests::service_values().expect("a directory of the project");
    all.extend(clusters.into_values());
    assert!(all.len() > 10, "the examples are gone");
    all
}

/// The manifests beside the chart. What is named `….values.yaml` or is no object is for a chart.
fn manifests() -> Vec<PathBuf> {
    let deploy = tools::root().join("deploy");
    let mut files = yaml_files(&deploy.join("argocd"));
    files.extend(yaml_files(&deploy.join("wasmcloud")));
    files.retain(|file| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        !name.ends_with(".values.yaml") && name != "release.yaml"
    });
    assert!(files.len() > 6, "the manifests are gone");
    files
}

fn yaml_files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(directory)
        .expect("a directory of the project")
        .map(|entry| entry.expect("it can be listed").path())
        .filter(|file| {
            file.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    files.sort();
    files
}

fn shown(file: &Path) -> String {
    let path = file.strip_prefix(tools::root()).unwrap_or(file);
    path.display().to_string()
}

fn renders_valid_objects(
    checker: &Checker,
    values: &[PathBuf],
    custom: bool,
) -> Result<(), Failed> {
    if !custom {
        checker.lint(values)?;
    }
    no_problems(&checker.checked(&checker.render(values, &[])?)?, custom)
}

/// What no schema says: a version has a budget for disruptions, a smoke test, and a scale where it
/// scales by itself; every image is named by digest; every Secret and ConfigMap that a pod needs is
/// rendered or named by the values; and only the project's components may reach anything.
fn versions_are_whole(objects: &[Object]) -> Result<(), String> {
    let of_kind = |kind: &str| -> Vec<&Object> {
        let is = |object: &&Object| object.object["kind"] == kind;
        objects.iter().filter(is).collect()
    };
    let names_of = |kind: &str| -> BTreeSet<&str> {
        let objects = of_kind(kind).into_iter();
        objects
            .filter_map(|object| object.object["metadata"]["name"].as_str())
            .collect()
    };
    let apps = of_kind("SpinApp");
    if apps.is_empty() {
        return Err("there is no SpinApp".to_owned());
    }
    let executors = names_of("SpinAppExecutor");
    for app in &apps {
        let app = &app.object;
        let name = app["metadata"]["name"].as_str().unwrap_or("");
        if name.len() > 52 {
            return Err(format!(
                "{name} has more than the 52 characters of a SpinApp"
            ));
        }
        if !executors.contains(app["spec"]["executor"].as_str().unwrap_or("")) {
            return Err(format!("{name} has an executor that is not there"));
        }
        let budget = of_kind("PodDisruptionBudget")
            .into_iter()
            .find(|budget| budget.object["metadata"]["name"] == *name)
            .ok_or_else(|| format!("{name} has no PodDisruptionBudget"))?;
        let selects = &budget.object["spec"]["selector"]["matchLabels"];
        if selects["core.spinkube.dev/app-name"] != *name {
            return Err(format!(
                "the PodDisruptionBudget of {name} selects {selects}"
            ));
        }
        let smoke_test = of_kind("Job").into_iter().find(|job| {
            let urls = strings_at(&job.object, &["value"]);
            urls.contains(&format!("http://{name}").as_str())
        });
        let smoke_test = smoke_test.ok_or_else(|| format!("{name} has no smoke test"))?;
        // A hook would run again before a rollback, and hold it up where the version is broken.
        let annotations = &smoke_test.object["metadata"]["annotations"];
        if annotations.to_string().contains("hook") {
            return Err(format!("the smoke test of {name} is a hook: {annotations}"));
        }
        let scales = app["spec"]["enableAutoscaling"] == true;
        if scales == app["spec"]["replicas"].is_number() {
            return Err(format!(
                "{name} needs replicas, or something that scales it"
            ));
        }
        let scaled = ["HorizontalPodAutoscaler", "ScaledObject"]
            .iter()
            .any(|kind| {
                of_kind(kind)
                    .iter()
                    .any(|object| object.object["spec"]["scaleTargetRef"]["name"] == *name)
            });
        if scales != scaled {
            return Err(format!(
                "{name} scales by itself: {scales}; by an object: {scaled}"
            ));
        }
        for check in ["readiness", "liveness"] {
            if !app["spec"]["checks"][check]["timeoutSeconds"].is_number() {
                return Err(format!("{name} has no time-out for its {check}"));
            }
        }
    }
    for object in objects {
        for image in strings_at(&object.object, &["image", "spinImage"]) {
            let digest = image
                .rsplit_once("@sha256:")
                .map_or("", |(_, digest)| digest);
            if digest.len() != 64 {
                return Err(format!(
                    "{}: {image} has no digest",
                    name_of(&object.object)
                ));
            }
        }
        let needs = [
            ("secretKeyRef", vec!["Secret", "ExternalSecret"]),
            ("secret", vec!["Secret", "ExternalSecret"]),
            ("configMap", vec!["ConfigMap"]),
        ];
        for (field, kinds) in needs {
            for needed in at(&object.object, field) {
                // A volume says it in another word.
                let name = needed["name"].as_str().or(needed["secretName"].as_str());
                let name = name.unwrap_or("");
                let made = kinds.iter().any(|kind| names_of(kind).contains(name));
                // These come from elsewhere: CloudNativePG's own, and those that a value names.
                let named = [
                    "hello-db-app",
                    "hello-db-trust",
                    "hello-redis",
                    "hello-backup-bucket",
                ];
                if !made && !named.contains(&name) {
                    return Err(format!(
                        "{} needs {name}, which nobody makes",
                        name_of(&object.object)
                    ));
                }
            }
        }
    }
    Ok(())
}
