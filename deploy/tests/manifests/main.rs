//! deploy/: the chart rendered by Helm for every example, and every object of Kubernetes validated.
//!
//! `cargo xtask test --part manifests` runs this, and `cargo xtask test` does too.

mod delivery;
mod refused;
mod scripts;
mod switch;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use anyhow::{Context, Result, ensure};
use deploy_tests::{
    checker::{Checker, Object, no_problems},
    manifests,
    mutation::Mutations,
    objects::{at, by_kind, named, strings_at, text, title},
    rules::{Rule, rules},
    yaml_files,
};
use libtest_mimic::Arguments;
use toml_edit::{DocumentMut, Item};

/// rules.yaml.
static RULES: LazyLock<BTreeMap<String, Rule>> = LazyLock::new(|| rules("manifests"));

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
    for file in beside() {
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
        assert!(!objects.is_empty(), "{name} has no object");
        let kinds: BTreeSet<bool> = objects.iter().map(|object| object.custom).collect();
        for kind in kinds {
            let mut of_kind = objects.iter().filter(|object| object.custom == kind);
            let is_unchecked = of_kind.all(|object| object.unchecked);
            let file = file.clone();
            let valid = checker.trials_of_valid(&name, &[kind], move |checker| checker.read(&file));
            let valid = valid.into_iter();
            trials.extend(valid.map(|trial| trial.with_ignored_flag(is_unchecked)));
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

/// The manifests beside the chart.
fn beside() -> Vec<PathBuf> {
    let directories = ["deploy/argocd", "deploy/wasmcloud"];
    let files: Vec<PathBuf> = directories.into_iter().flat_map(manifests).collect();
    assert!(files.len() > 6, "the manifests are gone");
    files
}

fn shown(file: &Path) -> String {
    let path = file.strip_prefix(tools::root()).unwrap_or(file);
    path.display().to_string()
}

/// The rule of versions; every image is named by digest; and every Secret and ConfigMap that a pod
/// needs is rendered or named by the values.
fn versions_are_whole(objects: &[Object]) -> Result<()> {
    RULES["every version is whole"].check(&[("objects", &by_kind(objects))])?;
    let is_made = |kinds: &[&str], wanted: &str| {
        let mut kinds = kinds.iter();
        kinds.any(|kind| named(objects, kind, wanted).is_ok())
    };
    let secrets = ["Secret", "ExternalSecret"];
    for object in objects {
        let title = title(object);
        for image in strings_at(object, &["image", "spinImage"]) {
            let digest = image
                .rsplit_once("@sha256:")
                .map_or("", |(_, digest)| digest);
            ensure!(digest.len() == 64, "{title}: {image} has no digest");
        }
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
                    "{title} needs {wanted}, which no template renders"
                );
            }
        }
        for needed in strings_at(object, &["loadFromSecret"]) {
            ensure!(
                is_made(&secrets, needed),
                "{title} needs {needed}, which no template renders"
            );
        }
        for config in strings_at(object, &["runtime-config.toml"]) {
            is_runtime_config(config).with_context(|| title.clone())?;
        }
    }
    Ok(())
}

/// It is TOML, gives each variable of spin.toml a value, and defines each label that is granted.
fn is_runtime_config(config: &str) -> Result<()> {
    // What External Secrets puts there.
    let config = config.replace("{{ .password | toJson }}", r#""x\u0026""#);
    let config: DocumentMut = config.parse()?;
    let manifest: DocumentMut = fs::read_to_string(tools::root().join("spin.toml"))?.parse()?;
    let names = |item: &Item| -> BTreeSet<String> {
        let table = item.as_table_like().into_iter();
        table
            .flat_map(|table| table.iter().map(|(name, _)| name.to_owned()))
            .collect()
    };
    let provider = &config["variables_provider"][0];
    ensure!(
        provider["type"].as_str() == Some("static"),
        "no static provider"
    );
    let (given, wanted) = (names(&provider["values"]), names(&manifest["variables"]));
    ensure!(given == wanted, "variables {given:?}, not {wanted:?}");
    let labels = names(&config["key_value_store"]);
    let granted = ["default", "metrics"].map(str::to_owned);
    ensure!(labels == granted.into(), "labels {labels:?}");
    Ok(())
}

/// CloudNativePG's own, and those that a value names.
const FROM_ELSEWHERE: [&str; 4] = [
    "hello-db-app",
    "hello-db-trust",
    "hello-redis",
    "hello-backup-bucket",
];
