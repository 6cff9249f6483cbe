//! The OpenTelemetry collector itself, as the add-on for Grafana Cloud configures it, between a real Spin
//! with hello and what records in Grafana Cloud's place: a request's spans and its log line arrive, joined by
//! the trace id, and nothing that arrives names the user.
//!
//! The collector's chart is in no registry; it passes our value `alternateConfig` on as it is, and its role
//! is our value too. By hand are hello's pod, as there are no nodes, its log as containerd would write it,
//! and what External Secrets would make. In Grafana Cloud's place is a second collector, which asks for the
//! credentials and writes what arrives as JSON: [`Recorder`].

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use cluster::{control_plane::ControlPlane, site::NAMESPACE};
use deploy_tests::{
    checker::{Checker, none, succeeded},
    mutation::{Mutations, replaced},
    objects::{list, listed, name, named, of_kind, text},
};
use harness::{
    client,
    host::{Host, Setup, free_port},
    process::Process,
};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use tools::HostKind;

use crate::{
    alerts::{secret, until},
    delivered::{Delivered, values},
    plane,
};

const CLUSTER: &str = "production-eu-central-1";

const ADDON: &str = "opentelemetry-collector";

const SUITE: &str = "choices.suite=grafana-cloud";

/// Where the collector listens, which has a network of its own as a pod has.
const OTLP: &str = "http://127.0.0.1:4318";
const HEALTH: u16 = 13133;

/// The node that both pods are on.
const NODE: &str = "node";

/// The user of all requests, and how else a path can have the name.
const USER: &str = "Zenobia";
const ENCODED: &str = "%5A%65%6E%6F%62%69%61";

/// Where the requests are said to come from: RFC 5737, TEST-NET-3.
const CLIENT: &str = "203.0.113.7";

/// The span of who sends the requests.
const CALLER: &str = "00f067aa0ba902b7";

const PUT: &[u8] = br#"{"dateOfBirth":"1990-06-20"}"#;

/// Each is a trace of its own. All of them have the name.
const REQUESTS: [(&str, &str, &[u8]); 8] = [
    ("PUT", "/hello/Zenobia", PUT),
    ("GET", "/hello/Zenobia", b""),
    (
        "GET",
        "/hello/Zenobia?who=Zenobia&again=%5A%65%6E%6F%62%69%61",
        b"",
    ),
    ("GET", "/hello/%5A%65%6E%6F%62%69%61", b""),
    ("GET", "/hello/Zenobia1", b""),
    ("GET", "/Zenobia/..%2FZenobia", b""),
    ("PUT", "/hello/Zenobia", br#"{"dateOfBirth":"Zenobia"}"#),
    ("ZENOBIA", "/hello/Zenobia", b""),
];

/// When each line of the log is said to have been written, which is not when it was said.
const WRITTEN: &str = "2026-01-01T00:00:00.000000000Z";
const WRITTEN_NANOS: &str = "1767225600000000000";

/// How long a program may take to start.
const START: Duration = Duration::from_secs(30);

/// How long it may take until all has arrived.
const ARRIVED: Duration = Duration::from_secs(20);

pub fn trials(checker: &Checker, mutations: &Mutations) -> Vec<Trial> {
    let checker = checker.clone();
    let check = "telemetry: spans and log lines arrive joined, and name nobody";
    mutations.trials(check, move |tree| arrives(&checker, tree))
}

fn arrives(checker: &Checker, tree: &Path) -> Result<()> {
    let directory = tools::fresh("telemetry")?;
    let delivered = Delivered::with(checker, tree, CLUSTER, &[SUITE])?;
    let plane = plane()?;
    let pod = Pod::create(plane, &delivered)?;
    let addon = AddOn::of(&delivered, &directory)?;
    let recorder = Recorder::start(&addon, &directory)?;
    let collector = addon.start(plane, &recorder, &directory)?;
    let requests = pod.serve(&directory)?;
    let joined = until(ARRIVED, || recorder.arrived()?.are_joined(&requests, &pod));
    drop(collector);
    let log = fs::read_to_string(directory.join("collector.log"))?;
    let errors = log.lines().filter(|line| line.contains("\terror\t"));
    let errors: Vec<&str> = errors.collect();
    joined.with_context(|| errors.join("\n"))?;
    ensure!(errors.is_empty(), "{}", errors.join("\n"));
    let arrived = recorder.arrived()?;
    arrived.names_nobody()?;
    eprintln!("{}", arrived.shown(&requests[1]));
    Ok(())
}

/// A request that was answered, as both sides tell it.
struct Request {
    method: &'static str,
    target: &'static str,
    trace: String,
    status: u16,
}

/// hello's pod.
struct Pod {
    name: String,
    container: String,
    uid: String,
    /// Of the service, as its label has it.
    version: String,
}

impl Pod {
    /// The pod of a version, as SpinKube's operator would make it, and its status, as the kubelet would
    /// write it.
    fn create(plane: &ControlPlane, delivered: &Delivered) -> Result<Self> {
        let service = delivered.service(NAMESPACE, &[])?;
        let app = of_kind(&service, "SpinApp").next();
        let app = app.context("there is no version")?;
        let metadata = |name: &str| json!({"name": name, "namespace": NAMESPACE});
        let mut pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": metadata(&format!("{}-0", name(app))),
            "spec": {
                "nodeName": NODE,
                "automountServiceAccountToken": false,
                "containers": [{"name": name(app), "image": app["spec"]["image"]}],
            },
        });
        pod["metadata"]["labels"] = app["spec"]["podLabels"].clone();
        let status = json!({"status": {
            "phase": "Running",
            "podIP": "127.0.0.1",
            "podIPs": [{"ip": "127.0.0.1"}],
        }});
        let kubectl = &plane.kubectl;
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
        // No pod is admitted without it, and the controller that makes it may not run.
        let account =
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata("default")});
        kubectl.apply(&listed(&[namespace, account]), &[])?;
        let within = format!("--namespace={NAMESPACE}");
        kubectl.run(&["delete", "pods", "--all", "--force", &within])?;
        let created = kubectl.apply(&pod.to_string(), &["--output=json"])?;
        let created: Value = serde_json::from_str(&created)?;
        let of = format!("pod/{}", name(&pod));
        let patch = format!("--patch={status}");
        kubectl.run(&["patch", &of, &within, "--subresource=status", &patch])?;
        Ok(Self {
            name: name(&pod).to_owned(),
            container: name(app).to_owned(),
            uid: text(&created, "/metadata/uid").to_owned(),
            version: text(&pod, "/metadata/labels/app.kubernetes.io~1version").to_owned(),
        })
    }

    /// hello on Spin answers all requests, and its output is where the node keeps it.
    fn serve(&self, directory: &Path) -> Result<Vec<Request>> {
        let printed = directory.join("spin.log");
        let often = [("OTEL_METRIC_EXPORT_INTERVAL".to_owned(), "500".to_owned())];
        let setup = Setup {
            telemetry: Some(OTLP),
            environment: &often,
            ..Setup::shipped(directory, Some(&printed))
        };
        let program = tools::find_or_fetch(HostKind::Spin)?;
        let host = Host::start(HostKind::Spin, &program, free_port()?, setup)?;
        let mut requests = Vec::new();
        for (number, (method, target, body)) in (1_u128..).zip(REQUESTS) {
            let trace = format!("{:032x}", (0x4bf9_2f35 << 96) + number);
            let traceparent = format!("00-{trace}-{CALLER}-01");
            let state = format!("caller={USER}");
            let headers = [
                ("traceparent", traceparent.as_str()),
                ("tracestate", &state),
                ("baggage", &state),
                ("user-agent", USER),
                ("x-forwarded-for", CLIENT),
            ];
            let answer = host.connect()?.exchange(method, target, &headers, body)?;
            requests.push(Request {
                method,
                target,
                trace,
                status: answer.status,
            });
        }
        let log = until(ARRIVED, || {
            let log = fs::read_to_string(&printed)?;
            let lacking = requests.iter().find(|one| !log.contains(&one.trace));
            ensure!(
                lacking.is_none(),
                "hello has not logged all requests: {log}"
            );
            Ok(log)
        })?;
        // The metrics of all of them have gone out by then.
        std::thread::sleep(Duration::from_secs(1));
        drop(host);
        self.write_log(&log, directory)?;
        Ok(requests)
    }

    fn write_log(&self, log: &str, directory: &Path) -> Result<()> {
        let Self {
            name,
            container,
            uid,
            ..
        } = self;
        let pods = directory.join(format!("pods/{NAMESPACE}_{name}_{uid}/{container}"));
        fs::create_dir_all(&pods)?;
        let mut lines = String::new();
        for line in log.lines() {
            writeln!(lines, "{WRITTEN} stderr F {line}")?;
        }
        Ok(fs::write(pods.join("0.log"), lines)?)
    }
}

/// The collector's add-on.
struct AddOn<'a> {
    namespace: &'a str,
    values: &'a Value,
    /// The configuration, but for the places of files and how the API server is reached.
    config: String,
    /// What the chart gives the container, and what External Secrets has made.
    environment: BTreeMap<String, String>,
    /// What Secrets Manager has, by property.
    entry: BTreeMap<&'static str, String>,
}

impl<'a> AddOn<'a> {
    fn of(delivered: &'a Delivered, directory: &Path) -> Result<Self> {
        let application = delivered.application(ADDON)?;
        let values = values(application);
        let mut config = values["alternateConfig"].to_string();
        for (from, to) in [("/var/log/pods", "pods"), ("/var/lib/otelcol", "state")] {
            let to = directory.join(to);
            fs::create_dir_all(&to)?;
            config = replaced(&config, from, &to.display().to_string())?;
        }
        let config = replaced(&config, r#""serviceAccount""#, r#""kubeConfig""#)?;
        let mut environment = BTreeMap::from(
            [("MY_POD_IP", "127.0.0.1"), ("OTEL_K8S_NODE_NAME", NODE)]
                .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        let objects = delivered.objects(application)?;
        // The name of an instance is a number.
        let entry = BTreeMap::from([("otlp-id", "1234567".to_owned()), ("token", secret()?)]);
        for variable in list(values, "/extraEnvs") {
            let from = &variable["valueFrom"]["secretKeyRef"];
            let value = match variable["value"].as_str() {
                Some(value) => value,
                None => {
                    let external = named(&objects, "ExternalSecret", text(from, "/name"))?;
                    let mut data = list(external, "/spec/data").iter();
                    let found = data.find(|one| one["secretKey"] == from["key"]);
                    let found = found.with_context(|| format!("{from} is in no Secret"))?;
                    let property = text(found, "/remoteRef/property");
                    let found = entry.get(property);
                    found.with_context(|| format!("the entry has no {property}"))?
                }
            };
            environment.insert(text(variable, "/name").to_owned(), value.to_owned());
        }
        Ok(Self {
            namespace: text(application, "/spec/destination/namespace"),
            values,
            config,
            environment,
            entry,
        })
    }

    /// Starts it, with the rights that the chart gives it, towards `recorder`.
    fn start(
        &self,
        plane: &ControlPlane,
        recorder: &Recorder,
        directory: &Path,
    ) -> Result<Process> {
        let file = directory.join("collector.json");
        fs::write(&file, &self.config)?;
        let kubeconfig = self.rights(plane)?;
        let command = |verb: &[&str]| {
            let mut command = Command::new(tools::find_or_fetch("otel-collector")?);
            command
                .args(verb)
                .arg("--config")
                .arg(&file)
                .envs(&self.environment)
                .env("GRAFANA_CLOUD_OTLP", &recorder.endpoint)
                .env("KUBECONFIG", &kubeconfig);
            anyhow::Ok(command)
        };
        succeeded(&mut command(&["validate"])?)?;
        let log = directory.join("collector.log");
        Process::start_server(&mut command(&[])?, Some(&log), START, || {
            client::is_ok(HEALTH, "/")
        })
    }

    fn rights(&self, plane: &ControlPlane) -> Result<PathBuf> {
        let metadata = json!({"name": ADDON});
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": metadata,
            "rules": self.values["clusterRole"]["rules"],
        });
        let user = format!("system:serviceaccount:{}:{ADDON}", self.namespace);
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": ADDON},
            "subjects": [{"kind": "User", "name": user}],
        });
        plane.kubectl.apply(&listed(&[role, binding]), &[])?;
        plane.kubeconfig(&user, "")
    }
}

/// What is in Grafana Cloud's place, without TLS.
struct Recorder {
    endpoint: String,
    file: PathBuf,
    _process: Process,
}

impl Recorder {
    /// Starts it. Who has not got the credentials of the add-on is refused.
    fn start(addon: &AddOn, directory: &Path) -> Result<Self> {
        let port = free_port()?;
        let file = directory.join("arrived.json");
        let (id, token) = (&addon.entry["otlp-id"], &addon.entry["token"]);
        let pipeline = json!({"receivers": ["otlp"], "exporters": ["file"]});
        let config = json!({
            "extensions": {"basicauth": {"htpasswd": {"inline": format!("{id}:{token}")}}},
            "receivers": {"otlp": {"protocols": {"http": {
                "endpoint": format!("127.0.0.1:{port}"),
                "auth": {"authenticator": "basicauth"},
                "traces_url_path": "/otlp/v1/traces",
                "metrics_url_path": "/otlp/v1/metrics",
                "logs_url_path": "/otlp/v1/logs",
            }}}},
            "exporters": {"file": {"path": file}},
            "service": {
                "extensions": ["basicauth"],
                "telemetry": {"metrics": {"level": "none"}},
                "pipelines": {"traces": pipeline, "metrics": pipeline, "logs": pipeline},
            },
        });
        let of_config = directory.join("recorder.json");
        fs::write(&of_config, config.to_string())?;
        let mut command = Command::new(tools::find_or_fetch("otel-collector")?);
        command.arg("--config").arg(of_config);
        let log = directory.join("recorder.log");
        let process = Process::start_server(&mut command, Some(&log), START, || {
            client::Connection::open(port).is_ok()
        })?;
        Ok(Self {
            endpoint: format!("http://127.0.0.1:{port}/otlp"),
            file,
            _process: process,
        })
    }

    fn arrived(&self) -> Result<Arrived> {
        let text = fs::read_to_string(&self.file)?;
        // The last line may not be whole yet.
        let payloads = text
            .lines()
            .map_while(|line| serde_json::from_str(line).ok());
        let payloads = payloads.collect();
        Ok(Arrived { payloads, text })
    }
}

/// All that has arrived.
struct Arrived {
    /// As OTLP has it in JSON.
    payloads: Vec<Value>,
    text: String,
}

impl Arrived {
    /// Spans, log records or metrics, by the plural of their name, each with its resource.
    fn of<'a>(
        &'a self,
        signal: &'a str,
        items: &'a str,
    ) -> impl Iterator<Item = (&'a Value, &'a Value)> {
        let resources = self.payloads.iter();
        let resources = resources.flat_map(move |one| list(one, &format!("/resource{signal}")));
        resources.flat_map(move |resource| {
            let scopes = list(resource, &format!("/scope{signal}")).iter();
            let items = scopes.flat_map(move |scope| list(scope, &format!("/{items}")));
            items.map(move |item| (&resource["resource"], item))
        })
    }

    fn spans(&self) -> impl Iterator<Item = (&Value, &Value)> {
        self.of("Spans", "spans")
    }

    fn lines(&self) -> impl Iterator<Item = (&Value, &Value)> {
        self.of("Logs", "logRecords")
    }

    /// Each request has its spans and its log line, by the trace of who sent it.
    fn are_joined(&self, requests: &[Request], pod: &Pod) -> Result<()> {
        for request in requests {
            self.is_joined(request, pod)
                .with_context(|| format!("{} {}", request.method, request.target))?;
        }
        let mut metrics = self.of("Metrics", "metrics");
        let counted = metrics.find(|(_, metric)| text(metric, "/name").ends_with("request_count"));
        let (resource, _) = counted.context("Spin's requests are not counted")?;
        pod.is_known(resource).context("Spin's metrics")
    }

    fn is_joined(&self, request: &Request, pod: &Pod) -> Result<()> {
        let spans = self
            .spans()
            .filter(|(_, span)| span["traceId"] == request.trace);
        let spans: Vec<_> = spans.collect();
        let of_caller = spans
            .iter()
            .find(|(_, span)| span["parentSpanId"] == CALLER);
        let (resource, span) = of_caller.context("it has no span")?;
        pod.is_known(resource).context("its span")?;
        let status = attribute(span, "http.response.status_code", "intValue");
        ensure!(
            status == request.status.to_string(),
            "its span says {status}"
        );
        // The component's own, and below it what its host does for it.
        ensure!(spans.len() > 2, "it has {} spans", spans.len());
        let mut lines = self
            .lines()
            .filter(|(_, line)| line["traceId"] == request.trace);
        let (resource, line) = lines.next().context("no log line has its trace id")?;
        ensure!(lines.next().is_none(), "two log lines have its trace id");
        pod.is_known(resource).context("its log line")?;
        ensure!(line["spanId"] == CALLER, "its log line is of another span");
        let said: Value = serde_json::from_str(text(line, "/body/stringValue"))?;
        ensure!(said["status"] == request.status, "its log line says {said}");
        let written = line["timeUnixNano"] == WRITTEN_NANOS;
        ensure!(!written, "its log line has the time of the file");
        let level = text(line, "/severityText");
        ensure!(
            said["level"] == level,
            "its log line has the level {level:?}"
        );
        Ok(())
    }

    /// No payload has the name in any form, nor the client's address.
    fn names_nobody(&self) -> Result<()> {
        let personal = [USER, ENCODED, CLIENT].map(str::to_lowercase);
        let text = self.text.to_lowercase();
        none(personal.iter().filter_map(|personal| {
            let at = text.find(personal)?;
            let context = text.get(at.saturating_sub(80)..at + personal.len());
            Some(format!(
                "what arrives has {personal}: {}",
                context.unwrap_or_default()
            ))
        }))
    }

    /// A request, for people.
    fn shown(&self, request: &Request) -> String {
        let mut shown = format!("{} {}\n", request.method, request.target);
        for (_, span) in self
            .spans()
            .filter(|(_, span)| span["traceId"] == request.trace)
        {
            let time = |of: &str| text(span, of).parse().unwrap_or(0_u64);
            let took = time("/endTimeUnixNano") - time("/startTimeUnixNano");
            let (id, parent) = (text(span, "/spanId"), text(span, "/parentSpanId"));
            let name = text(span, "/name");
            shown += &format!("{id} below {parent}: {name}, {} us\n", took / 1000);
        }
        let ours = |line: &Value| line["traceId"] == request.trace;
        for (resource, line) in self.lines().filter(|(_, line)| ours(line)) {
            shown += &format!("{resource}\n{line}\n");
        }
        shown
    }
}

impl Pod {
    /// Whether what sent it is this pod.
    fn is_known(&self, resource: &Value) -> Result<()> {
        let wanted = [
            ("service.name", "hello"),
            ("service.version", &self.version),
            ("k8s.namespace.name", NAMESPACE),
            ("k8s.pod.name", &self.name),
            ("service.instance.id", &self.name),
            ("k8s.cluster.name", CLUSTER),
            ("deployment.environment.name", "production"),
        ];
        for (key, wanted) in wanted {
            let found = attribute(resource, key, "stringValue");
            if found != wanted {
                bail!("{key} is {found:?}, and not {wanted:?}");
            }
        }
        Ok(())
    }
}

/// An attribute of a resource, a span or a log record; empty, if it has none.
fn attribute<'a>(of: &'a Value, key: &str, kind: &str) -> &'a str {
    let mut all = list(of, "/attributes").iter();
    let found = all.find(|one| one["key"] == key);
    found.map_or("", |one| text(one, &format!("/value/{kind}")))
}
