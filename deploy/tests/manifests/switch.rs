//! What a release and a swap change in the cluster, and in which order Argo CD does it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use libtest_mimic::{Failed, Trial};
use serde_json::Value;
use tempfile::TempDir;

use crate::all_values;
use deploy_tests::checker::{Checker, at, name_of};

const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

type Test = fn(&Checker) -> Result<(), Failed>;

pub fn trials(checker: &Checker) -> Vec<Trial> {
    let tests: [(&str, Test); 13] = [
        ("a swap writes one object: the HTTPRoute", |checker| {
            a_swap_writes_one(checker, "production", "HTTPRoute hello")
        }),
        (
            "a swap writes one object: the Service, without a gateway",
            |checker| a_swap_writes_one(checker, "dev", "Service hello"),
        ),
        (
            "a release adds objects and changes none",
            a_release_only_adds,
        ),
        (
            "weights name every version that gets requests",
            weights_are_in_the_route,
        ),
        ("a closed route is none", a_closed_route),
        (
            "annotations for the gateway are on the route and on each Service, beside the wave",
            annotations_for_the_gateway,
        ),
        (
            "Kubernetes before 1.36 is pointed to Kyverno, and 1.30 will do for that",
            older_kubernetes,
        ),
        (
            "Argo CD's stages: dev, canary, production, each with its values",
            the_stages,
        ),
        (
            "in come the gateway, Prometheus and the smoke test; out to DNS and the store",
            the_network,
        ),
        (
            "Argo CD's waves: database, migrations, version, smoke test, switch",
            the_waves,
        ),
        (
            "Argo CD's project allows what the chart renders, and no more",
            the_project,
        ),
        (
            "the packaged chart renders the same, migrations included",
            the_package,
        ),
        (
            "wasmCloud's route names a version that there is",
            the_route_on_wasmcloud,
        ),
    ];
    tests
        .into_iter()
        .map(|(name, test)| {
            let checker = checker.clone();
            Trial::test(name, move || test(&checker))
        })
        .collect()
}

fn example(name: &str) -> Vec<PathBuf> {
    vec![tools::root().join(format!("deploy/chart/examples/{name}.yaml"))]
}

/// The objects by their names.
fn rendered(
    checker: &Checker,
    values: &[PathBuf],
    settings: &[&str],
) -> Result<BTreeMap<String, Value>, Failed> {
    let objects = checker.objects(values, settings)?;
    let count = objects.len();
    let named: BTreeMap<_, _> = objects
        .into_iter()
        .map(|object| (name_of(&object.object), object.object))
        .collect();
    if named.len() != count {
        return Err("two objects have the same kind and name".into());
    }
    Ok(named)
}

fn differ(before: &BTreeMap<String, Value>, after: &BTreeMap<String, Value>) -> Vec<String> {
    let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let differs = names
        .into_iter()
        .filter(|name| before.get(*name) != after.get(*name));
    differs.cloned().collect()
}

/// One more version, as `--set` has it.
fn another_version(place: usize) -> [String; 3] {
    [
        format!("versions[{place}].name=v9-0-0"),
        format!("versions[{place}].image=ghcr.io/example/hello@{DIGEST}"),
        format!("versions[{place}].replicas=2"),
    ]
}

fn a_swap_writes_one(checker: &Checker, name: &str, only: &str) -> Result<(), Failed> {
    let place = if name == "dev" { 1 } else { 2 };
    let mut version: Vec<String> = another_version(place).into();
    let values = with_versions(name, &mut version)?;
    let settings: Vec<&str> = version.iter().map(String::as_str).collect();
    let before = rendered(checker, &values, &settings)?;
    let after = rendered(
        checker,
        &values,
        &[&settings[..], &["active=v9-0-0"]].concat(),
    )?;
    let differences = differ(&before, &after);
    if differences != [only] {
        return Err(format!("a swap writes {differences:?}").into());
    }
    let text = after[only].to_string();
    if !text.contains("hello-v9-0-0") || text.contains("hello-v1-4-0") {
        return Err(format!("the swap leads to {text}").into());
    }
    Ok(())
}

/// `--set versions[2]…` would empty the list that a file has, so all of it is set.
fn with_versions(name: &str, settings: &mut Vec<String>) -> Result<Vec<PathBuf>, Failed> {
    let values = example(name);
    let text = fs::read_to_string(&values[0])?;
    let of = |field: &str| -> Vec<String> {
        let lines = text
            .lines()
            .skip_while(|line| !line.starts_with("versions:"));
        let lines = lines.take_while(|line| !line.starts_with("active:"));
        lines
            .filter_map(|line| {
                let line = line.trim_start_matches([' ', '-']);
                Some(line.strip_prefix(field)?.strip_prefix(": ")?.to_owned())
            })
            .collect()
    };
    for field in ["name", "image", "replicas"] {
        for (place, value) in of(field).iter().enumerate() {
            settings.push(format!("versions[{place}].{field}={value}"));
        }
    }
    Ok(values)
}

fn a_release_only_adds(checker: &Checker) -> Result<(), Failed> {
    let mut settings = Vec::new();
    let values = with_versions("production", &mut settings)?;
    let before: Vec<&str> = settings.iter().map(String::as_str).collect();
    let more = another_version(2);
    let after: Vec<&str> = before
        .iter()
        .copied()
        .chain(more.iter().map(String::as_str))
        .collect();
    let before = rendered(checker, &values, &before)?;
    let after = rendered(checker, &values, &after)?;
    let differences = differ(&before, &after);
    // The smoke test has the digest of what it runs in its name.
    let differences: Vec<&str> = differences
        .iter()
        .map(|name| name.split("-smoke-").next().unwrap_or(name))
        .collect();
    let added = [
        "HorizontalPodAutoscaler hello-v9-0-0",
        "Job hello-v9-0-0",
        "PodDisruptionBudget hello-v9-0-0",
        "SpinApp hello-v9-0-0",
    ];
    if differences != added {
        return Err(format!("a release writes {differences:?}").into());
    }
    Ok(())
}

fn weights_are_in_the_route(checker: &Checker) -> Result<(), Failed> {
    let route = |settings: &[&str]| -> Result<Value, Failed> {
        let objects = rendered(checker, &example("canary"), settings)?;
        Ok(objects["HTTPRoute hello"]["spec"]["rules"][0]["backendRefs"].clone())
    };
    let expected = |backends: &[(&str, u32)]| {
        let backends = backends
            .iter()
            .map(|(name, weight)| serde_json::json!({"name": name, "port": 80, "weight": weight}));
        Value::from_iter(backends)
    };
    assert_eq!(
        route(&[])?,
        expected(&[("hello-v1-4-0", 95), ("hello-v1-5-0", 5)])
    );
    assert_eq!(
        route(&["weights.v1-4-0=0"])?,
        expected(&[("hello-v1-5-0", 5)])
    );
    assert_eq!(route(&["weights=null"])?, expected(&[("hello-v1-4-0", 1)]));
    Ok(())
}

fn a_closed_route(checker: &Checker) -> Result<(), Failed> {
    let values = example("production");
    let open = rendered(checker, &values, &[])?;
    let closed = rendered(checker, &values, &["route.type=none"])?;
    assert_eq!(differ(&open, &closed), ["HTTPRoute hello"]);
    assert!(!closed.contains_key("HTTPRoute hello"));
    Ok(())
}

fn annotations_for_the_gateway(checker: &Checker) -> Result<(), Failed> {
    let objects = rendered(checker, &example("production"), &[])?;
    assert_eq!(
        objects["HTTPRoute hello"]["metadata"]["annotations"],
        serde_json::json!({
            "argocd.argoproj.io/sync-wave": "1",
            "konghq.com/https-redirect-status-code": "308",
            "konghq.com/plugins": "rate-limit",
        })
    );
    for version in ["v1-4-0", "v1-5-0"] {
        assert_eq!(
            objects[&format!("SpinApp hello-{version}")]["spec"]["serviceAnnotations"],
            serde_json::json!({"konghq.com/retries": "1"})
        );
    }
    let without = ["route.annotations=null", "route.serviceAnnotations=null"];
    let objects = rendered(checker, &example("production"), &without)?;
    assert_eq!(
        objects["HTTPRoute hello"]["metadata"]["annotations"],
        serde_json::json!({"argocd.argoproj.io/sync-wave": "1"})
    );
    assert!(objects["SpinApp hello-v1-4-0"]["spec"]["serviceAnnotations"].is_null());
    Ok(())
}

fn older_kubernetes(checker: &Checker) -> Result<(), Failed> {
    let Err(refused) = checker.on("1.35").render(&example("canary"), &[]) else {
        return Err("1.35 gets a policy that it does not know".into());
    };
    let sentence = "podPolicy.type admissionpolicy needs Kubernetes 1.36, and this is v1.35";
    if !refused.to_string().contains(sentence) {
        return Err(format!("it says {refused}").into());
    }
    let objects = checker.on("1.30").objects(&example("kyverno"), &[])?;
    crate::no_problems(&objects, false)
}

/// The clusters that serve, by stage.
const CLUSTERS: [(&str, &str); 4] = [
    ("dev", "dev"),
    ("canary", "canary"),
    ("production", "production-eu-central-1"),
    ("production", "production-eu-west-1"),
];

fn the_stages(checker: &Checker) -> Result<(), Failed> {
    let directory = tools::root().join("deploy/argocd");
    let objects = checker.checked(&fs::read_to_string(directory.join("applicationset.yaml"))?)?;
    let spec = &objects[0].object["spec"];
    let steps = spec["strategy"]["rollingSync"]["steps"].as_array();
    let stages: Vec<&str> = steps
        .ok_or("there are no steps")?
        .iter()
        .filter_map(|step| step["matchExpressions"][0]["values"][0].as_str())
        .collect();
    assert_eq!(stages, ["dev", "canary", "production"]);
    let selected = &spec["generators"][0]["clusters"]["selector"]["matchExpressions"][0];
    assert_eq!(selected["values"], serde_json::json!(stages));
    let source = &spec["template"]["spec"]["source"];
    let chart = tools::root().join(source["path"].as_str().ok_or("there is no path")?);
    let files = source["helm"]["valueFiles"].as_array();
    let files = files.ok_or("there are no values")?;
    let of_stage = CLUSTERS.map(|(stage, _)| stage);
    assert!(stages.iter().all(|stage| of_stage.contains(stage)));
    for (stage, name) in CLUSTERS {
        let values: Vec<PathBuf> = files
            .iter()
            .filter_map(|file| file.as_str())
            .map(|file| file.replace("{{ .values.stage }}", stage))
            .map(|file| chart.join(file.replace("{{ .name }}", name)))
            .collect();
        let rendered = checker.render_chart(&chart, &values, &[])?;
        if !rendered.contains("argocd.argoproj.io/sync-wave") {
            return Err(format!("{name} is not delivered by Argo CD").into());
        }
        if stage == "production" && !rendered.contains("hello.example.eu-central-1") {
            return Err(format!("{name} does not use the Postgres that writes").into());
        }
    }
    Ok(())
}

fn the_network(checker: &Checker) -> Result<(), Failed> {
    let objects = rendered(checker, &example("production"), &[])?;
    let policy = objects
        .get("NetworkPolicy hello-service")
        .ok_or("there is no NetworkPolicy")?;
    let namespace = |name: &str| {
        let labels = serde_json::json!({"kubernetes.io/metadata.name": name});
        serde_json::json!({"namespaceSelector": {"matchLabels": labels}})
    };
    let ours = |component: &str| {
        serde_json::json!({"matchLabels": {
            "app.kubernetes.io/name": "hello",
            "app.kubernetes.io/component": component,
        }})
    };
    let mut dns = namespace("kube-system");
    dns["podSelector"] = serde_json::json!({"matchLabels": {"k8s-app": "kube-dns"}});
    let tcp = |port: u16| serde_json::json!({"protocol": "TCP", "port": port});
    assert_eq!(
        policy["spec"],
        serde_json::json!({
            "podSelector": ours("service"),
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{
                "from": [
                    namespace("kong"),
                    namespace("monitoring"),
                    {"podSelector": ours("smoke-test")},
                ],
                "ports": [{"protocol": "TCP", "port": "http-app"}],
            }],
            "egress": [
                {"to": [dns], "ports": [{"protocol": "UDP", "port": 53}, tcp(53)]},
                {"to": [{"ipBlock": {"cidr": "10.0.128.0/20"}}], "ports": [tcp(5432)]},
            ],
        })
    );
    // Each pod that the chart makes is somebody whom a policy is for.
    for name in [
        "Job hello-migrations",
        "CronJob hello-backup",
        "SpinApp hello-v1-5-0",
    ] {
        let labels = at(&objects[name], "app.kubernetes.io/component");
        for label in labels.iter().filter_map(|label| label.as_str()) {
            if !objects.contains_key(&format!("NetworkPolicy hello-{label}")) {
                return Err(format!("no NetworkPolicy is for {name}").into());
            }
        }
    }
    Ok(())
}

fn the_waves(checker: &Checker) -> Result<(), Failed> {
    let values = ["dev", "production"].map(|cluster| {
        let argocd = tools::root().join("deploy/argocd");
        vec![
            argocd.join("release.yaml"),
            argocd.join(format!("clusters/{cluster}.yaml")),
        ]
    });
    for values in values {
        let objects = rendered(checker, &values, &[])?;
        let smoke_test = objects
            .keys()
            .find(|name| name.starts_with("Job hello-v0-0-0-smoke-"))
            .ok_or("there is no smoke test")?;
        let wave = |name: &str| -> Result<i32, Failed> {
            let annotations = &objects.get(name).ok_or(format!("{name} is gone"))?["metadata"];
            let wave = &annotations["annotations"]["argocd.argoproj.io/sync-wave"];
            let wave = wave.as_str().ok_or(format!("{name} has no wave"))?;
            Ok(wave.parse()?)
        };
        let mut order = vec![
            "ExternalSecret hello-database",
            "Job hello-migrations",
            "SpinApp hello-v0-0-0",
            smoke_test.as_str(),
            "HTTPRoute hello",
        ];
        if objects.contains_key("Cluster hello-db") {
            order.insert(1, "Cluster hello-db");
        }
        for pair in order.windows(2) {
            if wave(pair[0])? >= wave(pair[1])? {
                return Err(format!("{} does not come before {}", pair[0], pair[1]).into());
            }
        }
        for (name, object) in &objects {
            wave(name)?;
            if object.to_string().contains("helm.sh/") && name != "Cluster hello-db" {
                return Err(format!("{name} is a hook of Helm's as well").into());
            }
        }
    }
    Ok(())
}

fn the_project(checker: &Checker) -> Result<(), Failed> {
    let project = fs::read_to_string(tools::root().join("deploy/argocd/project.yaml"))?;
    let project = &checker.checked(&project)?[0].object;
    let allowed: BTreeSet<(String, String)> =
        ["clusterResourceWhitelist", "namespaceResourceWhitelist"]
            .iter()
            .flat_map(|list| project["spec"][list].as_array().into_iter().flatten())
            .map(|entry| {
                let text = |field: &str| entry[field].as_str().unwrap_or("?").to_owned();
                (text("group"), text("kind"))
            })
            .collect();
    let mut rendered = BTreeSet::from([(String::new(), "Namespace".to_owned())]);
    for values in all_values() {
        for object in checker.objects(&values, &[])? {
            let version = object.object["apiVersion"].as_str().unwrap_or("?");
            let group = version.rsplit_once('/').map_or("", |(group, _)| group);
            let kind = object.object["kind"].as_str().unwrap_or("?");
            rendered.insert((group.to_owned(), kind.to_owned()));
        }
    }
    if allowed != rendered {
        let differences: Vec<_> = allowed.symmetric_difference(&rendered).collect();
        return Err(format!("allowed or rendered, but not both: {differences:?}").into());
    }
    Ok(())
}

fn the_package(checker: &Checker) -> Result<(), Failed> {
    let directory = TempDir::new()?;
    let package = checker.package(directory.path())?;
    let from_package = checker.render_chart(&package, &example("production"), &[])?;
    let from_directory = checker.render(&example("production"), &[])?;
    if from_package != from_directory {
        return Err("it renders something else".into());
    }
    if !from_package.contains("CREATE TABLE IF NOT EXISTS users") {
        return Err("the migrations are not in it".into());
    }
    Ok(())
}

fn the_route_on_wasmcloud(checker: &Checker) -> Result<(), Failed> {
    let directory = tools::root().join("deploy/wasmcloud");
    let mut versions = BTreeMap::new();
    let mut route = Value::Null;
    for file in crate::yaml_files(&directory) {
        if file.to_string_lossy().ends_with(".values.yaml") {
            continue;
        }
        for object in checker.checked(&fs::read_to_string(&file)?)? {
            let object = object.object;
            let name = object["metadata"]["name"].as_str().unwrap_or("").to_owned();
            match object["kind"].as_str() {
                Some("WorkloadDeployment") => {
                    let host = at(&object["spec"]["template"], "host");
                    versions.insert(name, host.first().map(|host| (*host).clone()));
                }
                Some("HTTPRoute") => route = object,
                _ => {}
            }
        }
    }
    let rule = &route["spec"]["rules"][0];
    let backend = rule["backendRefs"][0]["name"].as_str().unwrap_or("");
    let host = &rule["filters"][0]["urlRewrite"]["hostname"];
    let known = versions
        .get(backend)
        .ok_or(format!("there is no {backend}"))?;
    if known.as_ref() != Some(host) {
        return Err(format!("{backend} is known as {known:?}, not {host}").into());
    }
    if versions.len() < 2 {
        return Err("there are not two versions to switch between".into());
    }
    Ok(())
}
