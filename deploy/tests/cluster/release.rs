//! A release on SpinKube: what its operator, the controllers and a node make of a version.

use std::{net::SocketAddr, ops::Deref, sync::OnceLock};

use anyhow::{Context, Result, anyhow, ensure};
use bench::cutover;
use cluster::{
    control_plane::ControlPlane,
    site::{NAMESPACE, Site},
};
use deploy_tests::objects::{at, text};
use harness::client::Connection;
use libtest_mimic::Trial;
use serde_json::{Value, json};
use tools::HostKind;

use crate::on_cluster;

type Check = fn(&Release) -> Result<()>;

/// Whether there is a Spin for the pods.
pub fn is_possible() -> bool {
    tools::find(HostKind::Spin).is_some()
}

pub fn trials() -> Vec<Trial> {
    let trials: [(&str, Check); 6] = [
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
        // The last: it takes away what is released.
        (
            "SpinKube: swaps, a canary and a drained node cost no request",
            swaps,
        ),
    ];
    let trials = trials.into_iter().map(|(title, check)| {
        let trial = on_cluster(title, move |plane| check(site(plane)?));
        trial.with_ignored_flag(!is_possible())
    });
    trials.collect()
}

fn site(plane: &'static ControlPlane) -> Result<&'static Release> {
    static SITE: OnceLock<Result<Release, String>> = OnceLock::new();
    let site = SITE.get_or_init(|| Release::start(plane).map_err(|error| format!("{error:#}")));
    site.as_ref().map_err(|error| anyhow!("{error}"))
}

/// A site, and what is released there.
pub struct Release {
    site: Site<'static>,
    /// The application in the registry, by digest.
    application: String,
}

impl Release {
    fn start(plane: &'static ControlPlane) -> Result<Self> {
        let site = Site::start(plane, &tools::target().join("cluster"))?;
        let application = site.push("1")?;
        let release = Self { site, application };
        release.deliver(&["v1"])?;
        Ok(release)
    }

    /// Delivers these versions, of which the first answers.
    fn deliver(&self, versions: &[&str]) -> Result<()> {
        let all = versions
            .iter()
            .map(|name| json!({"name": name, "image": self.application, "replicas": 2}));
        let all: Value = all.collect();
        self.site
            .deliver(&json!({"versions": all, "active": versions[0]}))
    }
}

impl Deref for Release {
    type Target = Site<'static>;

    fn deref(&self) -> &Self::Target {
        &self.site
    }
}

fn answers(site: &Release) -> Result<()> {
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

fn migrations(site: &Release) -> Result<()> {
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

fn smoke_test(site: &Release) -> Result<()> {
    site.wait_for_smoke_test("v1")
}

fn next_version(site: &Release) -> Result<()> {
    let before = site.get(&["spinapp", "hello-v1"])?;
    site.deliver(&["v1", "v2"])?;
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

fn evictions(site: &Release) -> Result<()> {
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

/// A shorter rehearsal than `cargo xtask rehearse-swap --cluster`, of two versions of the same build.
fn swaps(site: &Release) -> Result<()> {
    site.uninstall()?;
    let [v1, v2] = [&site.application, &site.push("2")?];
    let options = cutover::Options {
        requests: 3000,
        rate: Some(100),
        host: None,
        cluster: true,
    };
    cutover::cluster::rehearse(site, [v1, v2], &options)
}
