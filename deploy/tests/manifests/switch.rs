//! What a release and a swap change in the cluster, and in which order Argo CD does it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use anyhow::{Context, Result, ensure};
use deploy_tests::{
    checker::{CHART, Checker, no_problems, values_file},
    mutation::fails,
    objects::{by_kind, list, only, strings, text, title},
    service_values, stage_of, yaml,
};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use tempfile::{TempDir, TempPath};

use crate::{RULES, all_values, example};

type Test = fn(&Checker) -> Result<()>;

pub fn trials(checker: &Checker) -> impl Iterator<Item = Trial> {
    let tests: [(&str, Test); 13] = [
        ("a swap writes the HTTPRoute alone", swaps_the_route),
        (
            "without a gateway, it writes the Service",
            swaps_the_service,
        ),
        (
            "a release adds objects, and a reference of weight 0",
            a_release_only_adds,
        ),
        ("weights are in the route", weights_are_in_the_route),
        ("a closed route is none", a_closed_route),
        ("the gateway's annotations are there", annotations),
        ("Kubernetes before 1.36 needs Kyverno", older_kubernetes),
        ("stages: dev, canary, production", the_stages),
        ("the network: nobody else gets in or out", the_network),
        ("waves: database, service, switch", the_waves),
        ("Argo CD's project allows no more", the_project),
        ("the packaged chart is the same", the_package),
        ("wasmCloud's route names a version", the_route_on_wasmcloud),
    ];
    let trial = |(title, test)| checker.trial(title, test);
    tests.map(trial).into_iter()
}

/// What chooses the version that answers.
const ROUTE: &str = "HTTPRoute hello";

fn swaps_the_route(checker: &Checker) -> Result<()> {
    a_swap_writes_one(checker, "production", ROUTE)
}

fn swaps_the_service(checker: &Checker) -> Result<()> {
    a_swap_writes_one(checker, "dev", "Service hello")
}

/// Objects by their titles.
type Objects = BTreeMap<String, Value>;

fn rendered(checker: &Checker, values: &[PathBuf], settings: &[&str]) -> Result<Objects> {
    let objects = checker.objects(values, settings)?;
    let count = objects.len();
    let objects = objects.into_iter().map(|one| (title(&one), one.object));
    let objects: Objects = objects.collect();
    ensure!(objects.len() == count, "two objects have one title");
    Ok(objects)
}

/// The titles of the objects that are in one of them alone, or are another.
fn differences(before: &Objects, after: &Objects) -> Vec<String> {
    let titles: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let differ = |title: &&String| before.get(*title) != after.get(*title);
    titles.into_iter().filter(differ).cloned().collect()
}

/// The values of an example, with v9-0-0 beside its own versions.
fn with_another(name: &str) -> Result<TempPath> {
    let mut values: Value = yaml(&tools::root().join(&example(name)[0]))?;
    let digest = "0123456789abcdef".repeat(4);
    let image = format!("ghcr.io/example/hello@sha256:{digest}");
    let version = json!({"name": "v9-0-0", "image": image, "replicas": 2});
    let versions = values["versions"].as_array_mut();
    versions.context("it has versions")?.push(version);
    values_file(&values)
}

fn a_swap_writes_one(checker: &Checker, name: &str, only: &str) -> Result<()> {
    let values = with_another(name)?;
    let before = rendered(checker, &[values.to_path_buf()], &[])?;
    let after = rendered(checker, &[values.to_path_buf()], &["active=v9-0-0"])?;
    assert_eq!(differences(&before, &after), [only]);
    let leads = match weights(&after[only]) {
        Some(weights) => weights.iter().all(|(name, weight)| {
            let is_new = *name == "hello-v9-0-0";
            *weight == u64::from(is_new)
        }),
        None => after[only].to_string().contains("hello-v9-0-0"),
    };
    ensure!(leads, "the swap leads to {}", after[only]);
    Ok(())
}

/// The weights of the Services that a route names; `None` for what is no route.
fn weights(route: &Value) -> Option<Vec<(&str, u64)>> {
    let backends = route.pointer("/spec/rules/0/backendRefs")?.as_array()?;
    let weights = backends.iter().map(|backend| {
        let weight = backend["weight"].as_u64().unwrap_or(u64::MAX);
        (text(backend, "/name"), weight)
    });
    Some(weights.collect())
}

fn a_release_only_adds(checker: &Checker) -> Result<()> {
    let before = rendered(checker, &example("production"), &[])?;
    let after = with_another("production")?;
    let after = rendered(checker, &[after.to_path_buf()], &[])?;
    let differences = differences(&before, &after);
    // The smoke test has the digest of what it runs in its name.
    let kept = |title: &String| title.split("-smoke-").next().map(str::to_owned);
    let differences: Vec<String> = differences.iter().filter_map(kept).collect();
    let scaler = "HorizontalPodAutoscaler";
    let added = [
        scaler,
        "Job",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "SpinApp",
    ];
    let added = added.map(|kind| format!("{kind} hello-v9-0-0"));
    let (route, differences): (Vec<_>, Vec<_>) =
        differences.into_iter().partition(|title| title == ROUTE);
    assert_eq!(differences, added);
    assert_eq!(route, [ROUTE]);
    let [before, after] = [&before, &after].map(|objects| weights(&objects[ROUTE]));
    let mut expected = before.context("it is a route")?;
    expected.push(("hello-v9-0-0", 0));
    assert_eq!(after, Some(expected));
    Ok(())
}

fn weights_are_in_the_route(checker: &Checker) -> Result<()> {
    let (old, new) = ("hello-v1-4-0", "hello-v1-5-0");
    for (settings, expected) in [
        (&[][..], &[(old, 95), (new, 5)][..]),
        (&["weights.v1-4-0=0"], &[(old, 0), (new, 5)]),
        (&["weights=null"], &[(old, 1), (new, 0)]),
    ] {
        let objects = checker.objects(&example("canary"), settings)?;
        let backends = expected.iter().map(|(name, weight)| {
            json!({"group": "", "kind": "Service", "name": name, "port": 80, "weight": weight})
        });
        let route = only(&objects, "HTTPRoute")?;
        let route = &route["spec"]["rules"][0];
        assert_eq!(route["backendRefs"], Value::from_iter(backends));
    }
    Ok(())
}

fn a_closed_route(checker: &Checker) -> Result<()> {
    let values = example("production");
    let open = rendered(checker, &values, &[])?;
    let closed = rendered(checker, &values, &["route.type=none"])?;
    assert_eq!(differences(&open, &closed), ["HTTPRoute hello"]);
    assert!(!closed.contains_key("HTTPRoute hello"));
    Ok(())
}

/// Of the route and of each Service, beside the wave.
fn annotations(checker: &Checker) -> Result<()> {
    let objects = rendered(checker, &example("production"), &[])?;
    let route = "HTTPRoute hello";
    let annotations = |objects: &Objects| objects[route]["metadata"]["annotations"].clone();
    let expected = json!({
        "argocd.argoproj.io/sync-wave": "1",
        "konghq.com/https-redirect-status-code": "308",
        "konghq.com/plugins": "rate-limit",
    });
    assert_eq!(annotations(&objects), expected);
    for version in ["v1-4-0", "v1-5-0"] {
        let app = &objects[&format!("SpinApp hello-{version}")]["spec"];
        assert_eq!(
            app["serviceAnnotations"],
            json!({"konghq.com/retries": "1"})
        );
    }
    let without = ["route.annotations=null", "route.serviceAnnotations=null"];
    let objects = rendered(checker, &example("production"), &without)?;
    let wave = json!({"argocd.argoproj.io/sync-wave": "1"});
    assert_eq!(annotations(&objects), wave);
    assert!(objects["SpinApp hello-v1-4-0"]["spec"]["serviceAnnotations"].is_null());
    Ok(())
}

fn older_kubernetes(checker: &Checker) -> Result<()> {
    fails(
        checker.on("1.35").render(&example("canary"), &[]),
        "podPolicy.type admissionpolicy needs Kubernetes 1.36, and this is v1.35",
    )?;
    let objects = checker.on("1.30").objects(&example("kyverno"), &[])?;
    no_problems(&objects, false)
}

fn the_stages(checker: &Checker) -> Result<()> {
    let objects = checker.read("deploy/argocd/applicationset.yaml")?;
    let spec = &objects[0]["spec"];
    let steps = list(spec, "/strategy/rollingSync/steps").iter();
    let stages: Vec<&str> = steps
        .map(|step| text(step, "/matchExpressions/0/values/0"))
        .collect();
    assert_eq!(stages, ["dev", "canary", "production"]);
    let selected = "/generators/0/clusters/selector/matchExpressions/0/values";
    assert_eq!(strings(spec, selected), stages);
    assert_eq!(text(spec, "/template/spec/source/path"), CHART);
    let clusters = service_values();
    assert_eq!(clusters.len(), 4, "clusters are gone, or new");
    for (name, values) in clusters {
        let stage = stage_of(&name);
        ensure!(stages.contains(&stage), "{name} is of no stage");
        ensure!(!values.is_empty(), "there are no values");
        let rendered = checker.render(&values, &[])?;
        let delivered = rendered.contains("argocd.argoproj.io/sync-wave");
        ensure!(delivered, "{name} is not delivered by Argo CD");
        let writes = stage != "production" || rendered.contains("hello.example.eu-central-1");
        ensure!(writes, "{name} does not use the Postgres that writes");
    }
    Ok(())
}

fn the_network(checker: &Checker) -> Result<()> {
    let objects = rendered(checker, &example("production"), &[])?;
    RULES["the network: nobody else gets in or out"].check(&[("objects", &json!(objects))])
}

/// Database, migrations, version, smoke test, switch.
fn the_waves(checker: &Checker) -> Result<()> {
    for cluster in ["dev", "production"] {
        let cluster = format!("deploy/argocd/clusters/{cluster}.yaml");
        let values = ["deploy/argocd/release.yaml", &cluster].map(PathBuf::from);
        let objects = rendered(checker, &values, &[])?;
        RULES["waves: database, service, switch"].check(&[("objects", &json!(objects))])?;
        for (title, object) in &objects {
            let hook = object.to_string().contains("helm.sh/") && title != "Cluster hello-db";
            ensure!(!hook, "{title} is a hook of Helm's as well");
        }
    }
    Ok(())
}

fn the_project(checker: &Checker) -> Result<()> {
    let project = checker.read("deploy/argocd/project.yaml")?;
    let allowed: BTreeSet<String> = ["cluster", "namespace"]
        .iter()
        .flat_map(|what| list(&project[0], &format!("/spec/{what}ResourceWhitelist")))
        .map(|entry| format!("{}/{}", text(entry, "/group"), text(entry, "/kind")))
        .collect();
    let mut rendered = BTreeSet::from(["/Namespace".to_owned()]);
    for values in all_values() {
        for object in checker.objects(&values, &[])? {
            let version = text(&object, "/apiVersion");
            let group = version.rsplit_once('/').map_or("", |(group, _)| group);
            rendered.insert(format!("{group}/{}", text(&object, "/kind")));
        }
    }
    let differences: Vec<_> = allowed.symmetric_difference(&rendered).collect();
    let equal = differences.is_empty();
    ensure!(equal, "allowed or rendered alone: {differences:?}");
    Ok(())
}

fn the_package(checker: &Checker) -> Result<()> {
    let directory = TempDir::new()?;
    let package = checker.package(directory.path())?;
    let from_package = checker.render_chart(&package, &example("production"), &[])?;
    let from_directory = checker.render_chart(CHART, &example("production"), &[])?;
    ensure!(from_package == from_directory, "it renders something else");
    let migrates = from_package.contains("CREATE TABLE IF NOT EXISTS users");
    ensure!(migrates, "the migrations are not in it");
    Ok(())
}

fn the_route_on_wasmcloud(checker: &Checker) -> Result<()> {
    let mut objects = Vec::new();
    for file in crate::beside() {
        objects.extend(checker.read(&file)?);
    }
    RULES["wasmCloud's route names a version"].check(&[("objects", &by_kind(&objects))])
}
