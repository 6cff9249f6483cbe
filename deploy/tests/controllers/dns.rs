//! External-DNS itself, which writes into its memory and not into Route 53: the names that it makes of
//! what a cluster has are the cluster's, and none else.
//!
//! Its arguments and its rights are what its own chart makes of our values. There is no load balancer
//! and no gateway's controller, and the charts of others are no Go modules: what these would write,
//! [`Cluster::by_hand`] and [`Cluster::status`] do.

use std::{collections::BTreeSet, fs, path::Path, process::Command, time::Duration};

use anyhow::{Result, ensure};
use cluster::{control_plane::ControlPlane, site::NAMESPACE};
use deploy_tests::{
    checker::{Checker, none, values_file},
    mutation::{Mutations, fails, mutate},
    objects::{at, list, listed, name, only, parsed, strings, text},
    platform::{ADDONS, addon_of},
    yaml,
};
use harness::{process::Process, wait::wait_until};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tools::{fetch::go, root};

use crate::{
    delivered::{Delivered, values},
    on_cluster,
};

const ANNOTATION: &str = "external-dns.alpha.kubernetes.io/hostname";

/// What each cluster is called, and the Service that the name is of.
const NAMES: [(&str, &[(&str, &str)]); 5] = [
    ("canary", &[("hello.canary.example.com", "kong/kong")]),
    ("dev", &[("hello.dev.example.com", "kong/kong")]),
    (
        "management",
        &[
            ("argocd.platform.example.com", "argocd/argocd"),
            ("atlantis.platform.example.com", "atlantis/pages"),
            ("grafana.platform.example.com", "grafana/grafana"),
            ("logs.platform.example.com", "loki/logs"),
            ("mesh.platform.example.com", "kuma-system/kuma-global"),
            ("metrics.platform.example.com", "mimir/metrics"),
            ("webhooks.platform.example.com", "atlantis/events"),
        ],
    ),
    (
        "production-eu-central-1",
        &[("hello.eu-central-1.example.com", "kong/kong")],
    ),
    (
        "production-eu-west-1",
        &[("hello.eu-west-1.example.com", "kong/kong")],
    ),
];

/// A namespace that is not ours.
const FOREIGN: &str = "foreign";

/// With `triggerLoopOnEvent` it notices after five seconds; without, after a minute.
const NOTICED: Duration = Duration::from_secs(30);

type Check = fn(&Cluster) -> Result<()>;

pub fn trials(checker: &Checker, mutations: &Mutations) -> Vec<Trial> {
    let mut trials = Vec::new();
    for (cluster, _) in NAMES {
        let checker = checker.clone();
        let title = format!("dns, {cluster}: its names, and none else");
        trials.push(on_cluster(title, move |plane| {
            Cluster::new(&checker, plane, &root(), cluster)?.makes_its_names()
        }));
    }
    let goes = "dns: a name goes with its Service";
    let given = checker.clone();
    trials.push(on_cluster(goes, move |plane| {
        Cluster::new(&given, plane, &root(), "dev")?.forgets_its_names()
    }));
    let checks: [(_, Check); 2] = [
        ("dns: its names, and none else", |cluster| {
            cluster.makes_its_names()
        }),
        (goes, |cluster| cluster.forgets_its_names()),
    ];
    for (title, check) in checks {
        for [cluster, file, from, to, says] in mutations.rows(title) {
            let checker = checker.clone();
            let title = format!("{title}: {to:?} for {from:?} in {file} fails");
            trials.push(on_cluster(title, move |plane| {
                let tree = mutate(&file, &from, &to)?;
                let cluster = Cluster::new(&checker, plane, tree.path(), &cluster)?;
                fails(check(&cluster), &says)
            }));
        }
    }
    trials
}

/// A cluster, as a tree has it.
struct Cluster<'a> {
    plane: &'a ControlPlane,
    delivered: Delivered<'a>,
    zone: String,
}

impl<'a> Cluster<'a> {
    fn new(
        checker: &'a Checker,
        plane: &'a ControlPlane,
        tree: &'a Path,
        name: &'a str,
    ) -> Result<Self> {
        let facts: Value = yaml(&tree.join(format!("{ADDONS}/clusters/{name}.yaml")))?;
        Ok(Self {
            plane,
            delivered: Delivered::of(checker, tree, name)?,
            zone: text(&facts, "/cluster/zone").to_owned(),
        })
    }

    fn makes_its_names(&self) -> Result<()> {
        let objects = self.objects()?;
        self.with(&objects, || {
            let output = self.external_dns()?.arg("--once").output()?;
            let log = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "it fails: {log}");
            compare(&self.records(), &said(&log, "CREATE: "))
        })
    }

    fn forgets_its_names(&self) -> Result<()> {
        let objects = self.objects()?;
        self.with(&objects, || {
            let log = NamedTempFile::new()?;
            let _process = Process::start(&mut self.external_dns()?, Some(log.path()))?;
            let wait = |what: &str| {
                wait_until(
                    &format!("it to {what} the names"),
                    NOTICED,
                    Duration::from_millis(200),
                    || {
                        let said = said(&fs::read_to_string(log.path())?, &format!("{what}: "));
                        Ok((said == self.records()).then_some(()))
                    },
                )
            };
            wait("CREATE")?;
            self.delete(&objects)?;
            wait("DELETE")
        })
    }

    /// The records that it is to make. A load balancer has a name, so each is a CNAME; of that, and of
    /// the TTL that is not said here, Route 53's provider makes an alias.
    fn records(&self) -> BTreeSet<String> {
        let names = NAMES
            .iter()
            .find(|(cluster, _)| *cluster == self.delivered.cluster);
        let names = names.into_iter().flat_map(|(_, names)| *names);
        let records = names.flat_map(|(name, service)| {
            let owned = format!("external-dns/owner={}", self.delivered.cluster);
            let resource = format!("external-dns/resource=service/{service}");
            [
                format!("{name} 0 IN CNAME  {} []", balancer(service)),
                format!("cname-{name} 0 IN TXT  \"heritage=external-dns,{owned},{resource}\" []"),
            ]
        });
        records.collect()
    }

    /// All that could make a name.
    fn objects(&self) -> Result<Vec<Value>> {
        let mut objects = self.by_hand();
        for application in &self.delivered.applications {
            let namespace = text(application, "/spec/destination/namespace");
            for mut object in self.delivered.objects(application)? {
                if ["Gateway", "Service"].contains(&text(&object, "/kind")) {
                    object["metadata"]["namespace"] = namespace.into();
                    objects.push(object);
                }
            }
        }
        let route = ["--show-only", "templates/route.yaml"];
        let routes = self.delivered.service(NAMESPACE, &route)?;
        for (namespace, hostname) in [(NAMESPACE, ""), (FOREIGN, "route.")] {
            for mut route in routes.clone() {
                route["metadata"]["namespace"] = namespace.into();
                if !hostname.is_empty() {
                    route["spec"]["hostnames"] = json!([format!("{hostname}{}", self.zone)]);
                }
                objects.push(route);
            }
        }
        Ok(objects)
    }

    /// The Services that the charts of others make of our values; and two that ask for names that are
    /// not theirs: Terraform's, and one of another domain.
    fn by_hand(&self) -> Vec<Value> {
        let mut services = Vec::new();
        for application in &self.delivered.applications {
            let namespace = text(application, "/spec/destination/namespace");
            let addon = addon_of(application).unwrap_or_default();
            let annotations = at(values(application), "annotations").into_iter();
            let annotations = annotations.filter(|annotations| annotations[ANNOTATION].is_string());
            services.extend(annotations.map(|annotations| service(namespace, addon, annotations)));
        }
        let foreign = ["hello.example.com", "hello.example.org"];
        services.extend(foreign.map(|hostname| {
            let name = hostname.replace('.', "-");
            service(FOREIGN, &name, &json!({ANNOTATION: hostname}))
        }));
        services
    }

    /// What a load balancer's controller writes into the status of a Service, and a gateway's into
    /// those of Gateways and their routes.
    fn status(object: &Value) -> Value {
        let namespace = text(object, "/metadata/namespace");
        // Of an older generation it would say nothing.
        let accepted = json!([{
            "type": "Accepted",
            "status": "True",
            "reason": "Accepted",
            "message": "written by a test",
            "observedGeneration": object["metadata"]["generation"],
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }]);
        match text(object, "/kind") {
            "Service" => {
                let hostname = balancer(&format!("{namespace}/{}", name(object)));
                json!({"loadBalancer": {"ingress": [{"hostname": hostname}]}})
            }
            // Kong says what its Service says.
            "Gateway" => json!({
                "addresses": [{"type": "Hostname", "value": balancer("kong/kong")}],
                "conditions": accepted,
            }),
            _ => json!({"parents": [{
                "parentRef": object["spec"]["parentRefs"][0],
                "controllerName": "example.com/by-hand",
                "conditions": accepted,
            }]}),
        }
    }

    /// Makes `check` while the API server has `objects`, each with its status.
    fn with(&self, objects: &[Value], check: impl FnOnce() -> Result<()>) -> Result<()> {
        let kubectl = &self.plane.kubectl;
        let namespaces: BTreeSet<&str> = objects
            .iter()
            .map(|object| text(object, "/metadata/namespace"))
            .collect();
        let namespaces: Vec<Value> = namespaces
            .into_iter()
            .map(
                |name| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}),
            )
            .collect();
        kubectl.apply(&listed(&namespaces), &[])?;
        let applied = kubectl.apply(&listed(objects), &["--output=json"])?;
        let applied: Value = serde_json::from_str(&applied)?;
        let mut applied = list(&applied, "/items").iter();
        let outcome = applied.try_for_each(|object| {
            if object["spec"]["type"] == "ClusterIP" {
                return Ok(());
            }
            kubectl.run(&[
                "patch",
                &format!("{}/{}", text(object, "/kind").to_lowercase(), name(object)),
                &format!("--namespace={}", text(object, "/metadata/namespace")),
                "--subresource=status",
                "--type=merge",
                "--patch",
                &json!({"status": Self::status(object)}).to_string(),
            ])?;
            Ok(())
        });
        let outcome = outcome.and_then(|()| check());
        self.delete(objects)?;
        outcome
    }

    fn delete(&self, objects: &[Value]) -> Result<()> {
        let delete = ["delete", "--filename=-", "--ignore-not-found"];
        self.plane.kubectl.run_with(&delete, &listed(objects))?;
        Ok(())
    }

    /// The program, as its chart would start it with our values, in the rights that the chart gives it;
    /// but with a provider that has a zone in its memory. The chart is the one in the program's module.
    fn external_dns(&self) -> Result<Command> {
        let application = self.delivered.application("external-dns")?;
        let values = values_file(values(application))?;
        let namespace = text(application, "/spec/destination/namespace");
        let module = go::pinned_module("external-dns", "sigs.k8s.io/external-dns")?;
        let made = parsed(&self.delivered.checker.template(
            "external-dns",
            namespace,
            module.join("charts/external-dns"),
            &[values.to_path_buf()],
            &["--set", "provider.name=inmemory"],
        )?)?;
        let kubectl = &self.plane.kubectl;
        let there =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        kubectl.apply(&there.to_string(), &[])?;
        let rights = ["ServiceAccount", "ClusterRole", "ClusterRoleBinding"];
        let rights: Vec<Value> = rights
            .into_iter()
            .map(|kind| only(&made, kind).cloned())
            .collect::<Result<_>>()?;
        kubectl.apply(&listed(&rights), &[&format!("--namespace={namespace}")])?;
        let account = format!("system:serviceaccount:{namespace}:{}", name(&rights[0]));
        let kubeconfig = self.plane.kubeconfig(&account, "system:serviceaccounts")?;
        let deployment = only(&made, "Deployment")?;
        let mut command = Command::new(tools::find_or_fetch("external-dns")?);
        command
            .args(strings(deployment, "/spec/template/spec/containers/0/args"))
            .arg(format!("--inmemory-zone={}", self.zone))
            .arg(format!("--kubeconfig={}", kubeconfig.display()));
        Ok(command)
    }
}

fn service(namespace: &str, name: &str, annotations: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace, "annotations": annotations},
        "spec": {
            "type": "LoadBalancer",
            "loadBalancerClass": "service.k8s.aws/nlb",
            "ports": [{"port": 443}],
        },
    })
}

/// The name of a Service's load balancer.
fn balancer(service: &str) -> String {
    format!("{}.elb.example.net", service.replace('/', "-"))
}

/// What follows `prefix` in the messages of a log.
fn said(log: &str, prefix: &str) -> BTreeSet<String> {
    let lines = log.lines().filter_map(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        let record = text(&line, "/msg").strip_prefix(prefix)?;
        Some(record.to_owned())
    });
    lines.collect()
}

fn compare(wanted: &BTreeSet<String>, found: &BTreeSet<String>) -> Result<()> {
    ensure!(!wanted.is_empty(), "there is no name to make");
    let lacking = wanted
        .difference(found)
        .map(|record| format!("it does not make {record}"));
    let others = found
        .difference(wanted)
        .map(|record| format!("it makes {record}"));
    none(lacking.chain(others))
}
