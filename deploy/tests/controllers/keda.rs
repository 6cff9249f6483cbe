//! KEDA itself, with the hello and the Prometheus of the alerts: of the chart's ScaledObject it makes an
//! HPA, which Kubernetes follows, and the metric of that is what hello was asked.
//!
//! The chart of KEDA is no Go module, so its arguments are by hand; its rights are those of its own
//! manifests. Its certificates are of the cluster's CA. SpinKube's operator makes the Deployment, of which there
//! are no pods. The address of Prometheus is the test's, and a version grows by two requests a second.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use cluster::{ADDRESS, control_plane::ControlPlane};
use deploy_tests::{
    checker::Checker,
    mutation::Mutations,
    objects::{list, listed, name, of_kind, only, text},
    once::Once,
};
use harness::process::Process;
use libtest_mimic::Trial;
use serde_json::{Value, json};
use tools::fetch::go;

use crate::{
    alerts::{CLUSTER, Run, SERVICE, until},
    delivered::{Delivered, values},
    plane, spinkube,
};

/// Its namespace and account, by its own manifests.
const KEDA: &str = "keda";
const ACCOUNT: &str = "system:serviceaccount:keda:keda-operator";

/// Where the adapter asks the operator for metrics, and the API server the adapter.
const OPERATOR: u16 = 9666;
const ADAPTER: u16 = 6444;

/// Where the two say how they are.
const HEALTH: u16 = 8086;
const METRICS: u16 = 8087;

/// Requests a second, for each replica.
const THRESHOLD: &str = "2";

/// How long KEDA may take to say what it makes of an object.
const MADE: Duration = Duration::from_secs(30);

/// How long a version may take to grow: Kubernetes looks each 15 seconds, and the rate is of a minute.
const GROWN: Duration = Duration::from_secs(90);

/// How long it stays as it is without Prometheus: Kubernetes looks once more.
const ALONE: Duration = Duration::from_secs(20);

pub fn trials(checker: &Checker, mutations: &Mutations) -> Vec<Trial> {
    let checker = checker.clone();
    mutations.trials("keda: a version grows with its requests", move |tree| {
        let alerts = Run::of(&checker, tree)?;
        grows(&alerts, &Delivered::of(&checker, tree, CLUSTER)?)
    })
}

fn grows(alerts: &Run, delivered: &Delivered) -> Result<()> {
    let plane = plane()?;
    spinkube(plane)?;
    started(plane, delivered)?;
    let (hello, prometheus) = alerts.watched()?;
    let settings = [
        "autoscaling.type=keda",
        &format!("autoscaling.keda.prometheus={}", prometheus.url()),
        &format!("autoscaling.keda.requestsPerSecond={THRESHOLD}"),
    ];
    let settings: Vec<&str> = settings.iter().flat_map(|one| ["--set", one]).collect();
    let objects = delivered.service(SERVICE, &settings)?;
    let scaled = only(&objects, "ScaledObject")?;
    let version = Version { plane, scaled };
    version.forget()?;
    let kinds = [
        "ServiceAccount",
        "SpinAppExecutor",
        "SpinApp",
        "ScaledObject",
    ];
    let given: Vec<Value> = kinds
        .into_iter()
        .flat_map(|kind| of_kind(&objects, kind).cloned())
        .collect();
    let place = format!("--namespace={SERVICE}");
    plane.kubectl.apply(&listed(&given), &[&place])?;

    until(MADE, || version.has_an_hpa())?;
    let least = &scaled["spec"]["minReplicaCount"];
    until(MADE, || version.has(|replicas| replicas == least))?;
    let most = &scaled["spec"]["maxReplicaCount"];
    let grown = until(GROWN, || {
        for _ in 0..10 {
            hello.fail()?;
        }
        version.has(|replicas| replicas.as_u64() > least.as_u64())
    })?;
    ensure!(grown.as_u64() <= most.as_u64(), "{grown} replicas");
    // SpinKube's operator does not undo it, and nothing else does.
    drop(prometheus);
    std::thread::sleep(ALONE);
    version.has(|replicas| replicas.as_u64() >= grown.as_u64())?;
    version.forget()
}

/// A version that KEDA scales.
struct Version<'a> {
    plane: &'a ControlPlane,
    scaled: &'a Value,
}

impl Version<'_> {
    fn get(&self, resource: &str, name: &str) -> Result<Value> {
        let kubectl = &self.plane.kubectl;
        kubectl.get(&[resource, name, "--namespace", SERVICE])
    }

    /// As the ScaledObject says, which is ready.
    fn has_an_hpa(&self) -> Result<()> {
        let title = name(self.scaled);
        let scaled = self.get("scaledobject", title)?;
        let mut conditions = list(&scaled, "/status/conditions").iter();
        let ready = conditions.find(|one| one["type"] == "Ready");
        let ready = ready.context("it says nothing of the ScaledObject")?;
        ensure!(ready["status"] == "True", "{}", text(ready, "/message"));
        let mut found = self.get("hpa", &format!("keda-hpa-{title}"))?["spec"].take();
        found["metrics"][0]["external"]["metric"].take();
        let (wanted, trigger) = (&self.scaled["spec"], &self.scaled["spec"]["triggers"][0]);
        let wanted = json!({
            "scaleTargetRef": wanted["scaleTargetRef"],
            "minReplicas": wanted["minReplicaCount"],
            "maxReplicas": wanted["maxReplicaCount"],
            "metrics": [{"type": "External", "external": {
                "metric": null,
                "target": {"type": "AverageValue", "averageValue": trigger["metadata"]["threshold"]},
            }}],
        });
        ensure!(found == wanted, "the HPA is {found}, and not {wanted}");
        Ok(())
    }

    /// How many replicas its Deployment asks for, if that is as `wanted`.
    fn has(&self, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let target = text(self.scaled, "/spec/scaleTargetRef/name");
        let replicas = self.get("deployment", target)?["spec"]["replicas"].take();
        let hpa = format!("keda-hpa-{}", name(self.scaled));
        let hpa = self.get("hpa", &hpa)?["status"].take();
        ensure!(wanted(&replicas), "{replicas} replicas: {hpa}");
        Ok(replicas)
    }

    /// Takes away what another tree has left.
    fn forget(&self) -> Result<()> {
        for kind in ["scaledobjects", "hpa", "spinapps", "deployments"] {
            let delete = ["delete", kind, "--all", "--namespace", SERVICE];
            self.plane.kubectl.run(&delete)?;
        }
        Ok(())
    }
}

/// KEDA, and what of kube-controller-manager follows it.
fn started(plane: &ControlPlane, delivered: &Delivered) -> Result<()> {
    static STARTED: Once<[Process; 3]> = Once::new();
    STARTED.get("", || start(plane, delivered)).map(drop)
}

fn start(plane: &ControlPlane, delivered: &Delivered) -> Result<[Process; 3]> {
    let kubectl = &plane.kubectl;
    let there = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": KEDA}});
    kubectl.apply(&there.to_string(), &[])?;
    let module = go::pinned_module(KEDA, "github.com/kedacore/keda/v2")?.join("config");
    for file in [
        "service_account/service_account.yaml",
        "rbac/role.yaml",
        "rbac/role_binding.yaml",
        "metrics-server/role.yaml",
        "metrics-server/role_binding.yaml",
    ] {
        let file = module.join(file).display().to_string();
        kubectl.run(&["apply", "--server-side", "--filename", &file])?;
    }
    let certificates = tools::fresh("keda")?;
    let ca = plane.authority.certificate();
    let service = "keda-metrics-apiserver";
    let hosts = [format!("{service}.{KEDA}.svc"), ADDRESS.to_string()];
    let issued = plane.authority.issue(KEDA, "", &hosts)?;
    for (from, to) in [
        (&ca, "ca.crt"),
        (&issued.certificate, "tls.crt"),
        (&issued.key, "tls.key"),
    ] {
        fs::copy(from, certificates.join(to))?;
    }
    kubectl.apply(&listed(&served(service, &fs::read(&ca)?)), &[])?;

    let kubeconfig = plane.kubeconfig(ACCOUNT, "system:serviceaccounts")?;
    // As its chart does it.
    let values = values(delivered.application(KEDA)?);
    let restricted = &values["permissions"]["operator"]["restrict"]["secret"];
    let program = |name: &'static str| -> Result<Command> {
        let mut command = Command::new(tools::find_or_fetch(name)?);
        command
            .arg(flag("kubeconfig", &kubeconfig))
            .arg(flag("cert-dir", &certificates))
            .env("POD_NAMESPACE", KEDA)
            // Else it reads the file that a pod would have.
            .env("KEDA_CLUSTER_OBJECT_NAMESPACE", KEDA)
            .env("KEDA_RESTRICT_SECRET_ACCESS", restricted.to_string())
            .env("WATCH_NAMESPACE", "");
        Ok(command)
    };
    let mut operator = program("keda-operator")?;
    operator
        .arg("--metrics-bind-address=0")
        .arg(format!("--health-probe-bind-address=127.0.0.1:{HEALTH}"))
        .arg(format!(
            "--metrics-service-bind-address={ADDRESS}:{OPERATOR}"
        ));
    let operator = plane.start_controller("keda-operator", &mut operator, || {
        harness::client::is_ok(HEALTH, "/readyz")
            && std::net::TcpStream::connect((ADDRESS, OPERATOR)).is_ok()
    })?;
    let mut adapter = program("keda-adapter")?;
    adapter
        .arg(format!("--secure-port={ADAPTER}"))
        .arg(format!("--port={METRICS}"))
        .arg(format!("--metrics-service-address={ADDRESS}:{OPERATOR}"))
        .arg(flag("client-ca-file", &ca))
        .arg(flag("tls-cert-file", &issued.certificate))
        .arg(flag("tls-private-key-file", &issued.key));
    for of in ["lister", "authentication", "authorization"] {
        adapter.arg(flag(&format!("{of}-kubeconfig"), &kubeconfig));
    }
    let adapter = plane.start_controller("keda-adapter", &mut adapter, || {
        kubectl.raw("/apis/external.metrics.k8s.io/v1beta1").is_ok()
    })?;
    let manager = plane.start_controllers_of(&[
        "horizontal-pod-autoscaler-controller",
        "serviceaccount-controller",
    ])?;
    Ok([operator, adapter, manager])
}

/// The adapter's API, whose Service leads to this machine.
fn served(service: &str, ca: &[u8]) -> [Value; 3] {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let metadata = json!({"name": service, "namespace": KEDA});
    let mut slice = metadata.clone();
    slice["labels"] = json!({"kubernetes.io/service-name": service});
    [
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"ports": [{"name": "https", "port": 443, "targetPort": ADAPTER}]},
        }),
        json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": slice,
            "addressType": "IPv4",
            "ports": [{"name": "https", "port": ADAPTER}],
            "endpoints": [{"addresses": [ADDRESS]}],
        }),
        json!({
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": "v1beta1.external.metrics.k8s.io"},
            "spec": {
                "group": "external.metrics.k8s.io",
                "version": "v1beta1",
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
                "caBundle": STANDARD.encode(ca),
                "service": {"name": service, "namespace": KEDA},
            },
        }),
    ]
}

fn flag(name: &str, file: &Path) -> String {
    format!("--{name}={}", file.display())
}
