//! A release on SpinKube: what its operator, the controllers and a node make of a version.

use std::{net::SocketAddr, ops::Deref, sync::OnceLock, time::Duration};

use anyhow::{Context, Result, anyhow, ensure};
use bench::cutover;
use cluster::{
    control_plane::ControlPlane,
    site::{NAMESPACE, READY_TIMEOUT, Site},
};
use deploy_tests::{
    mutation::fails,
    objects::{at, fields, list, text},
};
use harness::{client::Connection, wait::wait_until};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use tools::HostKind;

use crate::{backup::backup, on_cluster};

type Check = fn(&Release) -> Result<()>;

/// Whether there is a Spin for the pods.
pub fn is_possible() -> bool {
    tools::find(HostKind::Spin).is_some()
}

pub fn trials() -> Vec<Trial> {
    let trials: [(&str, Check); 9] = [
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
            "SpinKube: a wrong address of Postgres ends a release, and changes nothing",
            wrong_address,
        ),
        (
            "SpinKube: the next version comes beside it, its pods as the chart says",
            next_version,
        ),
        (
            "SpinKube: variables reach a pod by a runtime config in a Secret",
            runtime_config,
        ),
        (
            "SpinKube: a backup's Jobs save all users and restore them",
            backup,
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
        self.deliver_with(versions, &json!({}))
    }

    /// [`Release::deliver`], with more values.
    pub fn deliver_with(&self, versions: &[&str], values: &Value) -> Result<()> {
        self.site.deliver(&self.values(versions, values))
    }

    fn values(&self, versions: &[&str], more: &Value) -> Value {
        let all = versions
            .iter()
            .map(|name| json!({"name": name, "image": self.application, "replicas": 2}));
        let mut values = json!({"versions": all.collect::<Value>(), "active": versions[0]});
        for (key, value) in fields(more, "") {
            values[key] = value.clone();
        }
        values
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
    // The operator's Service has the address; kube-proxy leads from it to a pod, and its rules lag
    // behind the endpoints.
    let service = site.get(&["service", "hello-v1"])?;
    let address = SocketAddr::new(text(&service, "/spec/clusterIP").parse()?, 80);
    let (limit, interval) = (Duration::from_secs(30), Duration::from_millis(200));
    let mut client = wait_until("a connection to the Service", limit, interval, || {
        anyhow::Ok(Connection::open_at(address).ok())
    })?;
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
    // Beside those of pods that end.
    let ready = at(&slices, "ready");
    let ready = ready.iter().filter(|ready| **ready == true).count();
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

/// Of the release that would bring a second version, and make it answer.
fn wrong_address(site: &Release) -> Result<()> {
    let seen = || -> Result<[Value; 3]> {
        let [route, app, apps] = [
            ["httproute", "hello"].as_slice(),
            &["spinapp", "hello-v1"],
            &["spinapps"],
        ]
        .map(|what| site.get(what));
        let count = list(&apps?, "/items").len();
        Ok([route?["spec"].take(), app?["spec"].take(), json!(count)])
    };
    let before = seen()?;
    // Nothing is at this address.
    let values = site.values(&["v2", "v1"], &json!({"postgres": {"host": "10.0.0.99"}}));
    fails(site.deliver_within("40s", &values), "deadline exceeded")?;
    let job = site.get(&["job", "hello-migrations"])?;
    let succeeded = &job["status"]["succeeded"];
    ensure!(succeeded.is_null(), "the migrations succeeded: {job}");
    let after = seen()?;
    ensure!(before == after, "it was {before:?}, and is {after:?}");
    // What answered does so still.
    answers(site)
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

/// As the clusters have it: one file, and no variable of the environment.
fn runtime_config(site: &Release) -> Result<()> {
    site.deliver_with(&["v1"], &json!({"variables": "runtimeConfig"}))?;
    site.wait_for("v1", 2)?;
    let mounted = || {
        let pods = site.pods("v1")?;
        let stays = |pod: &&Value| pod["metadata"]["deletionTimestamp"].is_null();
        let pods: Vec<&Value> = pods.iter().filter(stays).collect();
        let is_mounted = |pod: &&Value| {
            let secrets = at(&pod["spec"]["volumes"], "secretName");
            let mut names = secrets.iter().filter_map(|name| name.as_str());
            names.any(|name| name.starts_with("hello-runtime-"))
                && at(&pod["spec"]["containers"], "secretKeyRef").is_empty()
        };
        anyhow::Ok((pods.len() == 2 && pods.iter().all(is_mounted)).then_some(()))
    };
    let second = Duration::from_secs(1);
    wait_until("pods with a runtime config", READY_TIMEOUT, second, mounted)?;
    site.wait_for("v1", 2)?;
    answers(site)
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
