//! A release on SpinKube: what its operator, the controllers and a node make of a version.

use std::{fs, net::SocketAddr, process::Command, sync::OnceLock, time::Duration};

use anyhow::{Context, Result, anyhow, ensure};
use cluster::{
    ADDRESS, control_plane::ControlPlane, dns, image::Image, node::Node, registry, spinkube,
};
use deploy_tests::{
    checker::{CHART, succeeded},
    objects::{at, list, text},
};
use harness::{client::Connection, postgres::Postgres, process::Process, wait::wait_until};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use tools::{HostKind, root};

use crate::on_cluster;

/// How long a version may take to be ready.
const READY_TIMEOUT: Duration = Duration::from_secs(180);

const NAMESPACE: &str = "hello";

type Check = fn(&Site) -> Result<()>;

/// Whether there is a Spin for the pods.
pub fn is_possible() -> bool {
    tools::find(HostKind::Spin).is_some()
}

pub fn trials() -> Vec<Trial> {
    let trials: [(&str, Check); 5] = [
        (
            "SpinKube: a release is ready, and answers at its Service",
            answers,
        ),
        (
            "SpinKube: the migrations ran before it, as the owner",
            migrations,
        ),
        (
            "SpinKube: its smoke test passes at its own Service",
            smoke_test,
        ),
        ("SpinKube: its budget refuses a second eviction", evictions),
        (
            "SpinKube: the next version comes beside it, its pods as the chart says",
            next_version,
        ),
    ];
    let trials = trials.into_iter().map(|(title, check)| {
        let trial = on_cluster(title, move |plane| check(site(plane)?));
        trial.with_ignored_flag(!is_possible())
    });
    trials.collect()
}

/// A cluster with what a release stands on.
struct Site {
    plane: &'static ControlPlane,
    _node: Node,
    database: Postgres,
    /// The values of every release.
    values: Value,
    /// The application in the registry, by digest.
    application: String,
    _processes: Vec<Process>,
}

fn site(plane: &'static ControlPlane) -> Result<&'static Site> {
    static SITE: OnceLock<Result<Site, String>> = OnceLock::new();
    let site = SITE.get_or_init(|| Site::start(plane).map_err(|error| format!("{error:#}")));
    site.as_ref().map_err(|error| anyhow!("{error}"))
}

impl Site {
    fn start(plane: &'static ControlPlane) -> Result<Self> {
        let directory = tools::target().join("cluster");
        let [manager, scheduler] = plane.start_controllers()?;
        let node = Node::start(plane, &directory)?;
        let processes = vec![
            dns::start(plane, &directory)?,
            registry::start(plane, &directory)?,
            spinkube::start(plane)?,
            scheduler,
            manager,
        ];
        let database = database(&directory.join("postgres"))?;
        let authority = fs::read_to_string(plane.authority.certificate())?;
        // Spin unpacks an application in /tmp.
        let spin = Image::new("hello.test/spin")
            .program("spin")?
            .file("tmp/empty", b"", false)?;
        let spin = node.images.import(spin.entrypoint(&["/usr/bin/spin"]))?;
        let shell = Image::new("hello.test/tools").shell()?;
        let shell = node
            .images
            .import(shell.program("psql")?.program("curl")?)?;
        let application = push(plane)?;
        let kubectl = &plane.kubectl;
        kubectl.run(&["create", "namespace", NAMESPACE])?;
        kubectl.run(&[
            "create",
            "secret",
            "generic",
            "hello-ca",
            "--namespace=hello",
            &format!("--from-literal=ca-certificates.crt={authority}"),
        ])?;
        let owner = database.owner();
        let values = json!({
            "executor": {"type": "spintainer", "spinImage": spin, "caSecret": "hello-ca"},
            "images": {"postgres": shell, "curl": shell},
            "postgres": {"host": ADDRESS, "port": owner.port, "sslmode": "disable"},
            "secrets": {"source": "plain", "plain": {
                "servicePassword": owner.password,
                "ownerUsername": owner.user,
                "ownerPassword": owner.password,
            }},
            "route": {"type": "gateway", "gateway": {"name": "public", "namespace": "gateway"}},
            "networkPolicy": {
                "gateway": [{"namespaceSelector": {}}],
                "prometheus": [{"namespaceSelector": {}}],
                "store": [{"ipBlock": {"cidr": "10.0.0.0/24"}}],
                "registry": [{"ipBlock": {"cidr": "10.0.0.0/24"}}],
            },
            "resources": {"requests": {"cpu": "50m"}},
        });
        let site = Self {
            plane,
            _node: node,
            database,
            values,
            application,
            _processes: processes,
        };
        site.deliver(&["v1"], "v1")?;
        Ok(site)
    }

    /// Delivers these versions with Helm.
    fn deliver(&self, versions: &[&str], active: &str) -> Result<()> {
        let mut values = self.values.clone();
        let versions = versions
            .iter()
            .map(|name| json!({"name": name, "image": self.application, "replicas": 2}));
        values["versions"] = versions.collect();
        values["active"] = active.into();
        let file = deploy_tests::checker::values_file(&values)?;
        let mut helm = Command::new(tools::find_or_fetch("helm")?);
        helm.args(["upgrade", "--install", "hello", "--timeout=180s"])
            .arg(root().join(CHART))
            .args(["--namespace", NAMESPACE, "--values"])
            .arg(&file)
            .arg("--kubeconfig")
            .arg(self.plane.kubectl.kubeconfig());
        succeeded(&mut helm).map(drop)
    }

    fn get(&self, arguments: &[&str]) -> Result<Value> {
        let place = ["--namespace", NAMESPACE];
        self.plane.kubectl.get(&[arguments, &place].concat())
    }
}

/// A Postgres that pods reach.
fn database(directory: &std::path::Path) -> Result<Postgres> {
    fs::create_dir_all(directory)?;
    let server = Postgres::start_with(directory, &["listen_addresses=*".to_owned()])?;
    let rules = directory.join("data/pg_hba.conf");
    let text = fs::read_to_string(&rules)?;
    fs::write(&rules, text + "host all all 10.0.0.0/8 scram-sha-256\n")?;
    // The release's own migrations are to make it.
    server.psql("SELECT pg_reload_conf(); DROP TABLE users")?;
    Ok(server)
}

/// Pushes the application, and returns its name with the digest.
fn push(plane: &ControlPlane) -> Result<String> {
    let repository = format!("{}/hello", registry::HOST);
    let spin = tools::find_or_fetch(HostKind::Spin)?;
    let said = succeeded(
        Command::new(spin)
            .args(["registry", "push", "--from"])
            .arg(root().join("spin.toml"))
            .arg(format!("{repository}:1"))
            .env("SSL_CERT_FILE", plane.authority.certificate()),
    )?;
    let digest = said
        .split_whitespace()
        .find(|word| word.starts_with("sha256:"));
    let digest = digest.with_context(|| format!("`spin` says no digest: {said}"))?;
    Ok(format!("{repository}@{digest}"))
}

impl Site {
    /// Waits until `count` pods of a version are ready.
    fn wait_for(&self, version: &str, count: u64) -> Result<()> {
        let name = format!("hello-{version}");
        let what = format!("{count} ready pods of {name}");
        wait_until(&what, READY_TIMEOUT, Duration::from_secs(1), || {
            let deployment = self.get(&["deployment", &name]).unwrap_or_default();
            anyhow::Ok((deployment["status"]["readyReplicas"] == count).then_some(()))
        })
        .with_context(|| {
            let seen = ["get", "pods,events", "--namespace=hello", "--output=wide"];
            self.plane.kubectl.run(&seen).unwrap_or_default()
        })
    }

    fn pods(&self, version: &str) -> Result<Vec<Value>> {
        let selector = format!("--selector=core.spinkube.dev/app-name=hello-{version}");
        let pods = self.get(&["pods", &selector])?;
        Ok(list(&pods, "/items").to_vec())
    }
}

fn answers(site: &Site) -> Result<()> {
    site.wait_for("v1", 2)?;
    // The operator's Service has the address; kube-proxy leads from it to a pod.
    let service = site.get(&["service", "hello-v1"])?;
    let address = text(&service, "/spec/clusterIP").to_owned();
    let mut client = Connection::open_at(SocketAddr::new(address.parse()?, 80))?;
    let json = [("content-type", "application/json")];
    let body = br#"{"dateOfBirth":"1990-06-20"}"#;
    let saved = client.exchange("PUT", "/hello/Cluster", &json, body)?;
    ensure!(saved.status == 204, "PUT is {}", saved.status);
    let read = client.exchange("GET", "/hello/Cluster", &[], b"")?;
    let body = String::from_utf8_lossy(&read.body).into_owned();
    ensure!(
        body.starts_with(r#"{"message":"Hello, Cluster! "#),
        "{body}"
    );
    let slices = site.get(&[
        "endpointslices",
        "--selector=kubernetes.io/service-name=hello-v1",
    ])?;
    let ready = at(&slices, "ready").len();
    ensure!(ready == 2, "{ready} endpoints");
    Ok(())
}

fn migrations(site: &Site) -> Result<()> {
    let tables = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'";
    let owners = site.database.psql(tables)?;
    ensure!(owners.trim() == "owner", "the tables are of {owners}");
    let job = site.get(&["job", "hello-migrations"])?;
    ensure!(
        job["status"]["succeeded"] == 1,
        "the Job is {}",
        job["status"]
    );
    let done = text(&job, "/status/completionTime");
    let app = site.get(&["spinapp", "hello-v1"])?;
    let made = text(&app, "/metadata/creationTimestamp");
    // RFC 3339 in UTC: their order is that of their text.
    ensure!(
        done <= made,
        "it ended at {done}, and the version was made at {made}"
    );
    Ok(())
}

fn smoke_test(site: &Site) -> Result<()> {
    let label = "--selector=app.kubernetes.io/component=smoke-test";
    wait_until(
        "the smoke test",
        READY_TIMEOUT,
        Duration::from_secs(1),
        || {
            let jobs = site.get(&["jobs", label])?;
            let job = jobs.pointer("/items/0/status").cloned().unwrap_or_default();
            ensure!(job["failed"].is_null() || job["failed"] == 0, "{job}");
            Ok((job["succeeded"] == 1).then_some(()))
        },
    )
}

fn next_version(site: &Site) -> Result<()> {
    let before = site.get(&["spinapp", "hello-v1"])?;
    site.deliver(&["v1", "v2"], "v1")?;
    site.wait_for("v2", 2)?;
    let after = site.get(&["spinapp", "hello-v1"])?;
    ensure!(before["spec"] == after["spec"], "the first version changed");
    let pods = site.pods("v2")?;
    ensure!(pods.len() == 2, "{} pods", pods.len());
    for pod in &pods {
        let container = &pod["spec"]["containers"][0];
        for (pointer, wanted) in [
            ("/lifecycle/preStop/sleep/seconds", json!(20)),
            ("/resources/requests/memory", json!("128Mi")),
            ("/resources/limits/memory", json!("256Mi")),
            ("/readinessProbe/httpGet/path", json!("/readyz")),
            ("/livenessProbe/httpGet/path", json!("/livez")),
        ] {
            let found = container.pointer(pointer).unwrap_or(&Value::Null);
            ensure!(*found == wanted, "{pointer} is {found}: {container}");
        }
        let grace = &pod["spec"]["terminationGracePeriodSeconds"];
        ensure!(*grace == 40, "the grace period is {grace}");
        let account = &pod["spec"]["serviceAccountName"];
        ensure!(*account == "hello", "the service account is {account}");
    }
    Ok(())
}

fn evictions(site: &Site) -> Result<()> {
    let budget = site.get(&["poddisruptionbudget", "hello-v1"])?;
    ensure!(
        budget["status"]["currentHealthy"] == 2,
        "{}",
        budget["status"]
    );
    ensure!(
        budget["status"]["disruptionsAllowed"] == 1,
        "{}",
        budget["status"]
    );
    let pods = site.pods("v1")?;
    let evict = |pod: &Value| {
        let name = text(pod, "/metadata/name");
        let eviction = json!({
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": NAMESPACE},
        });
        let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{name}/eviction");
        let arguments = ["create", "--raw", &path, "--filename=-"];
        site.plane
            .kubectl
            .run_with(&arguments, &eviction.to_string())
    };
    evict(&pods[0])?;
    let refused = evict(&pods[1])
        .err()
        .context("the second eviction was allowed")?;
    let refused = format!("{refused:#}");
    ensure!(refused.contains("disruption budget"), "{refused}");
    // The other one is replaced, and serves.
    site.wait_for("v1", 2)
}
