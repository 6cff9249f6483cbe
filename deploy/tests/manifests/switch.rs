//! What a release and a swap change in the cluster, and in which order Argo CD does it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use anyhow::{Context, Result, ensure};
use deploy_tests::{
    checker::{CHART, Checker, no_problems},
    mutation::fails,
    objects::{at, list, name, of_kind, only, strings, strings_at, text, title},
};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{all_values, example};

type Test = fn(&Checker) -> Result<()>;

pub fn trials(checker: &Checker) -> impl Iterator<Item = Trial> {
    let tests: [(&str, Test); 13] = [
        ("a swap writes the HTTPRoute alone", swaps_the_route),
        (
            "without a gateway, it writes the Service",
            swaps_the_service,
        ),
        ("a release changes no object", a_release_only_adds),
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

fn swaps_the_route(checker: &Checker) -> Result<()> {
    a_swap_writes_one(checker, "production", "HTTPRoute hello")
}

fn swaps_the_service(checker: &Checker) -> Result<()> {
    a_swap_writes_one(checker, "dev", "Service hello")
}

/// Objects by their titles.
type Objects = BTreeMap<String, Value>;

fn rendered(checker: &Checker, values: &[PathBuf], settings: &[String]) -> Result<Objects> {
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let objects = checker.objects(values, &settings)?;
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

/// The settings that give an example its own versions, and v9-0-0 beside them: to set an entry of a
/// list empties what the list has in the file.
fn versions(example_name: &str) -> Result<(Vec<String>, Vec<String>)> {
    let file = tools::root().join(&example(example_name)[0]);
    let values: Value = yaml_serde::from_str(&fs::read_to_string(file)?)?;
    let mut versions = list(&values, "/versions").to_vec();
    let digest = "0123456789abcdef".repeat(4);
    let image = format!("ghcr.io/example/hello@sha256:{digest}");
    versions.push(json!({"name": "v9-0-0", "image": image, "replicas": 2}));
    let mut settings = Vec::new();
    for (place, version) in versions.iter().enumerate() {
        let fields = ["name", "image", "replicas"].into_iter();
        let fields = fields.filter_map(|field| Some((field, version.get(field)?.to_string())));
        let set = |(field, value): (&str, String)| {
            format!("versions[{place}].{field}={}", value.trim_matches('"'))
        };
        settings.push(fields.map(set).collect::<Vec<_>>());
    }
    let before = settings[..settings.len() - 1].concat();
    Ok((before, settings.concat()))
}

fn a_swap_writes_one(checker: &Checker, name: &str, only: &str) -> Result<()> {
    let (_, mut settings) = versions(name)?;
    let before = rendered(checker, &example(name), &settings)?;
    settings.push("active=v9-0-0".to_owned());
    let after = rendered(checker, &example(name), &settings)?;
    assert_eq!(differences(&before, &after), [only]);
    let text = after[only].to_string();
    let leads = text.contains("hello-v9-0-0") && !text.contains("hello-v1-4-0");
    ensure!(leads, "the swap leads to {text}");
    Ok(())
}

fn a_release_only_adds(checker: &Checker) -> Result<()> {
    let (before, after) = versions("production")?;
    let before = rendered(checker, &example("production"), &before)?;
    let after = rendered(checker, &example("production"), &after)?;
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
    assert_eq!(differences, added);
    Ok(())
}

fn weights_are_in_the_route(checker: &Checker) -> Result<()> {
    let (old, new) = ("hello-v1-4-0", "hello-v1-5-0");
    for (settings, expected) in [
        (&[][..], &[(old, 95), (new, 5)][..]),
        (&["weights.v1-4-0=0"], &[(new, 5)]),
        (&["weights=null"], &[(old, 1)]),
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
    let closed = rendered(checker, &values, &["route.type=none".to_owned()])?;
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
    let without = ["route.annotations=null", "route.serviceAnnotations=null"].map(str::to_owned);
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

/// The clusters that serve, by stage.
const CLUSTERS: [(&str, &str); 4] = [
    ("dev", "dev"),
    ("canary", "canary"),
    ("production", "production-eu-central-1"),
    ("production", "production-eu-west-1"),
];

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
    let source = &spec["template"]["spec"]["source"];
    let chart = tools::root().join(text(source, "/path"));
    let files = strings(source, "/helm/valueFiles");
    ensure!(!files.is_empty(), "there are no values");
    for (stage, name) in CLUSTERS {
        assert!(stages.contains(&stage));
        let files = files
            .iter()
            .map(|file| file.replace("{{ .values.stage }}", stage));
        let values = files.map(|file| chart.join(file.replace("{{ .name }}", name)));
        let rendered = checker.render_chart(&chart, &values.collect::<Vec<_>>(), &[])?;
        let delivered = rendered.contains("argocd.argoproj.io/sync-wave");
        ensure!(delivered, "{name} is not delivered by Argo CD");
        let writes = stage != "production" || rendered.contains("hello.example.eu-central-1");
        ensure!(writes, "{name} does not use the Postgres that writes");
    }
    Ok(())
}

fn the_network(checker: &Checker) -> Result<()> {
    let objects = rendered(checker, &example("production"), &[])?;
    let policy = objects.get("NetworkPolicy hello-service");
    let policy = policy.context("there is no NetworkPolicy")?;
    let namespace = |name: &str| {
        let labels = json!({"kubernetes.io/metadata.name": name});
        json!({"namespaceSelector": {"matchLabels": labels}})
    };
    let ours = |component: &str| {
        json!({"matchLabels": {
            "app.kubernetes.io/name": "hello",
            "app.kubernetes.io/component": component,
        }})
    };
    let mut dns = namespace("kube-system");
    dns["podSelector"] = json!({"matchLabels": {"k8s-app": "kube-dns"}});
    let tcp = |port: u16| json!({"protocol": "TCP", "port": port});
    let smoke_test = json!({"podSelector": ours("smoke-test")});
    let expected = json!({
        "podSelector": ours("service"),
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{
            "from": [namespace("kong"), namespace("monitoring"), smoke_test],
            "ports": [{"protocol": "TCP", "port": "http-app"}],
        }],
        "egress": [
            {"to": [dns], "ports": [{"protocol": "UDP", "port": 53}, tcp(53)]},
            {"to": [{"ipBlock": {"cidr": "10.0.128.0/20"}}], "ports": [tcp(5432)]},
        ],
    });
    assert_eq!(policy["spec"], expected);
    // Each pod that the chart makes is somebody whom a policy is for.
    for title in [
        "Job hello-migrations",
        "CronJob hello-backup",
        "SpinApp hello-v1-5-0",
    ] {
        for label in strings_at(&objects[title], &["app.kubernetes.io/component"]) {
            let has_one = objects.contains_key(&format!("NetworkPolicy hello-{label}"));
            ensure!(has_one, "no NetworkPolicy is for {title}");
        }
    }
    Ok(())
}

/// Database, migrations, version, smoke test, switch.
fn the_waves(checker: &Checker) -> Result<()> {
    for cluster in ["dev", "production"] {
        let cluster = format!("deploy/argocd/clusters/{cluster}.yaml");
        let values = ["deploy/argocd/release.yaml", &cluster].map(PathBuf::from);
        let objects = rendered(checker, &values, &[])?;
        let smoke_test = objects
            .keys()
            .find(|title| title.starts_with("Job hello-v0-0-0-smoke-"));
        let mut order = vec![
            "ExternalSecret hello-database",
            "Job hello-migrations",
            "SpinApp hello-v0-0-0",
            smoke_test.context("there is no smoke test")?,
            "HTTPRoute hello",
        ];
        if objects.contains_key("Cluster hello-db") {
            order.insert(1, "Cluster hello-db");
        }
        let wave = |title: &str| -> Result<i32> {
            let object = objects.get(title);
            let object = object.with_context(|| format!("{title} is gone"))?;
            let wave = text(
                object,
                "/metadata/annotations/argocd.argoproj.io~1sync-wave",
            );
            wave.parse().with_context(|| format!("{title} has no wave"))
        };
        for pair in order.windows(2) {
            let (before, after) = (pair[0], pair[1]);
            let ordered = wave(before)? < wave(after)?;
            ensure!(ordered, "{before} does not come before {after}");
        }
        for (title, object) in &objects {
            wave(title)?;
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
    for file in crate::manifests() {
        objects.extend(checker.read(&file)?);
    }
    let versions: Vec<&Value> = of_kind(&objects, "WorkloadDeployment").collect();
    ensure!(versions.len() > 1, "there are not two versions");
    let rule = &only(&objects, "HTTPRoute")?["spec"]["rules"][0];
    let backend = text(rule, "/backendRefs/0/name");
    let version = versions.iter().find(|version| name(version) == backend);
    let version = version.with_context(|| format!("there is no {backend}"))?;
    let host = &rule["filters"][0]["urlRewrite"]["hostname"];
    let known = at(&version["spec"]["template"], "host");
    let knows = known.first() == Some(&host);
    ensure!(knows, "{backend} is known as {known:?}, not {host}");
    Ok(())
}
