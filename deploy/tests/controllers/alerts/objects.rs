//! Our objects of one cluster, out of a tree, and what kube-prometheus-stack's chart makes beside them.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use cluster::{ADDRESS, kubectl::Kubectl};
use deploy_tests::{
    checker::Checker,
    objects::{list, name, named, of_kind, text},
};
use serde_json::{Value, json};

use crate::delivered::{Delivered, values};

/// A cluster whose alerts wake people.
pub const CLUSTER: &str = "production-eu-central-1";

/// The namespace of the service, by deploy/argocd.
pub const SERVICE: &str = "hello";

/// How often hello is scraped here, and the rules are evaluated.
const INTERVAL: &str = "1s";

/// The port of Prometheus and Alertmanager, by the chart's default.
const PORT: &str = "http-web";

/// What the cluster gets, as far as it is about alerts.
pub struct Objects {
    /// The name of kube-prometheus-stack's release.
    pub release: String,
    /// Its namespace.
    pub namespace: String,
    /// What our chart of the service makes.
    pub service: Vec<Value>,
    /// What the add-on's objects/ makes, and storage's.
    platform: Vec<Value>,
    /// The values of kube-prometheus-stack's chart.
    values: Value,
}

impl Objects {
    /// Those of `tree`.
    pub fn of(checker: &Checker, tree: &Path) -> Result<Self> {
        let delivered = Delivered::of(checker, tree, CLUSTER)?;
        let stack = delivered.application("kube-prometheus-stack")?;
        let mut platform = delivered.objects(stack)?;
        platform.extend(delivered.objects(delivered.application("storage")?)?);
        let interval = format!("monitoring.interval={INTERVAL}");
        let service = delivered.service(SERVICE, &["--set", &interval])?;
        Ok(Self {
            release: text(stack, "/spec/sources/0/helm/releaseName").to_owned(),
            namespace: text(stack, "/spec/destination/namespace").to_owned(),
            service,
            platform,
            values: values(stack).clone(),
        })
    }

    /// The names of Prometheus and of Alertmanager.
    pub fn name(&self, of: &str) -> String {
        format!("{}-{of}", self.release)
    }

    /// The alerts of all rules.
    pub fn alerts(&self) -> impl Iterator<Item = &str> {
        let rules = of_kind(self.service.iter().chain(&self.platform), "PrometheusRule");
        let groups = rules.flat_map(|rule| list(rule, "/spec/groups"));
        let rules = groups.flat_map(|group| list(group, "/rules"));
        rules.filter_map(|rule| rule["alert"].as_str())
    }

    /// Alertmanager's configuration, as it is given to the operator.
    pub fn routes(&self) -> Result<&str> {
        let secret = named(&self.platform, "Secret", self.config_secret())?;
        Ok(text(secret, "/stringData/alertmanager.yaml"))
    }

    fn config_secret(&self) -> &str {
        text(&self.values, "/alertmanager/alertmanagerSpec/configSecret")
    }

    /// The keys of the Secret of which `volumes` makes Alertmanager's files, and the directory.
    pub fn keys(&self) -> Result<(Vec<&str>, &str)> {
        let spec = &self.values["alertmanager"]["alertmanagerSpec"];
        let secret = text(spec, "/volumes/0/secret/secretName");
        let external = named(&self.platform, "ExternalSecret", secret)?;
        let keys = list(external, "/spec/data").iter();
        let keys = keys.map(|one| text(one, "/secretKey")).collect();
        Ok((keys, text(spec, "/volumeMounts/0/mountPath")))
    }

    /// Takes away what an earlier tree has left, and gives the API server what is of alerts.
    ///
    /// The last are the custom resources of Prometheus and Alertmanager, for these `versions` of
    /// them. The chart that makes them is in no registry: what it makes of our values and of the
    /// release's name, by its templates, is here. It has nothing to do with affinity, as there are no
    /// nodes.
    pub fn apply(&self, kubectl: &Kubectl, versions: [&str; 2]) -> Result<()> {
        // What the operator makes something of, and then what it has made: there is no garbage collector.
        for kinds in [
            "prometheuses,alertmanagers,podmonitors,servicemonitors,prometheusrules",
            "statefulsets,services,endpointslices,secrets,configmaps",
        ] {
            for namespace in [SERVICE, &self.namespace] {
                kubectl.run(&["delete", kinds, "--all", "--namespace", namespace])?;
            }
        }
        let monitors = ["PodMonitor", "ServiceMonitor", "PrometheusRule"];
        let monitors = monitors
            .map(|kind| of_kind(&self.service, kind))
            .into_iter();
        let mut objects: Vec<Value> = monitors.flatten().cloned().collect();
        for object in &mut objects {
            object["metadata"]["namespace"] = SERVICE.into();
        }
        let mut platform = self.platform.clone();
        platform.extend([
            self.remote_write()?,
            self.prometheus(versions[0]),
            self.alertmanager(versions[1]),
        ]);
        for object in &mut platform {
            if object["kind"] != "StorageClass" {
                object["metadata"]["namespace"] = self.namespace.as_str().into();
            }
        }
        objects.extend(platform);
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        kubectl.apply(&list.to_string(), &[]).map(drop)
    }

    /// What External Secrets would make of the ExternalSecret.
    fn remote_write(&self) -> Result<Value> {
        let refs = &self.values["prometheus"]["prometheusSpec"]["remoteWrite"][0]["basicAuth"];
        let mut made = json!({"apiVersion": "v1", "kind": "Secret", "stringData": {}});
        made["metadata"]["name"] = refs["password"]["name"].clone();
        for of in ["username", "password"] {
            made["stringData"][text(refs, &format!("/{of}/key"))] = secret()?.into();
        }
        Ok(made)
    }

    fn prometheus(&self, version: &str) -> Value {
        let mut spec = self.values["prometheus"]["prometheusSpec"].clone();
        spec["storage"] = spec["storageSpec"].take();
        if spec["prometheusExternalLabelNameClear"].take() == json!(true) {
            spec["prometheusExternalLabelName"] = "".into();
        }
        for of in [
            "serviceMonitor",
            "podMonitor",
            "probe",
            "scrapeConfig",
            "rule",
        ] {
            let selector = format!("{of}Selector");
            if spec[&selector].is_null() {
                let all = spec[format!("{selector}NilUsesHelmValues")].take() == json!(false);
                let ours = json!({"matchLabels": {"release": self.release}});
                spec[selector] = if all { json!({}) } else { ours };
            }
            let namespaces = &mut spec[format!("{of}NamespaceSelector")];
            if namespaces.is_null() {
                *namespaces = json!({});
            }
        }
        spec["alerting"] = json!({"alertmanagers": [{
            "namespace": self.namespace,
            "name": self.name("alertmanager"),
            "port": PORT,
            "pathPrefix": "/",
            "apiVersion": "v2",
        }]});
        spec["evaluationInterval"] = INTERVAL.into();
        spec["serviceAccountName"] = self.name("prometheus").into();
        self.resource("Prometheus", spec, version)
    }

    fn alertmanager(&self, version: &str) -> Value {
        let mut spec = self.values["alertmanager"]["alertmanagerSpec"].clone();
        spec["useExistingSecret"].take();
        spec["alertmanagerConfigSelector"] = json!({});
        self.resource("Alertmanager", spec, version)
    }

    fn resource(&self, kind: &str, mut spec: Value, version: &str) -> Value {
        spec["version"] = version.into();
        spec["portName"] = PORT.into();
        for of in ["podAntiAffinity", "podAntiAffinityTopologyKey"] {
            spec[of].take();
        }
        if let Some(fields) = spec.as_object_mut() {
            fields.retain(|_, value| !value.is_null());
        }
        json!({
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": kind,
            "metadata": {"name": self.name(&kind.to_lowercase())},
            "spec": spec,
        })
    }

    /// What the chart makes for Prometheus to find Alertmanager by, and what Kubernetes would make of
    /// it, with an Alertmanager at `port`: there are no pods, and no controllers beside the operator.
    pub fn service_of_alertmanager(&self, port: u16) -> String {
        let metadata = json!({"name": self.name("alertmanager"), "namespace": self.namespace});
        let ports = json!([{"name": PORT, "port": port}]);
        let service = json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"ports": ports},
        });
        let mut slice = json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": metadata,
            "addressType": "IPv4",
            "endpoints": [{"addresses": [ADDRESS], "conditions": {"ready": true}}],
            "ports": ports,
        });
        slice["metadata"]["labels"] = json!({"kubernetes.io/service-name": metadata["name"]});
        json!({"apiVersion": "v1", "kind": "List", "items": [service, slice]}).to_string()
    }

    /// What SpinKube's operator makes of the version: a pod with the labels that our SpinApp gives it,
    /// without a node; and its status, as the kubelet would write it, with hello at `port` of the
    /// loopback address.
    pub fn pod(&self, port: u16) -> Result<[Value; 2]> {
        let app = of_kind(&self.service, "SpinApp").next();
        let app = app.context("there is no version")?;
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": format!("{}-0", name(app)),
                "namespace": SERVICE,
                "labels": app["spec"]["podLabels"],
            },
            "spec": {
                "automountServiceAccountToken": false,
                "containers": [{
                    "name": name(app),
                    "image": app["spec"]["image"],
                    "ports": [{"name": "http-app", "containerPort": port}],
                }],
            },
        });
        let status = json!({"status": {
            "phase": "Running",
            "podIP": "127.0.0.1",
            "podIPs": [{"ip": "127.0.0.1"}],
            "conditions": [{"type": "Ready", "status": "True"}],
        }});
        Ok([pod, status])
    }
}

/// A secret of this run, which no file of the project has.
pub fn secret() -> Result<String> {
    let random = fs::read_to_string("/proc/sys/kernel/random/uuid")?;
    Ok(random.trim().to_owned())
}
