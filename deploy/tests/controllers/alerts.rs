//! Alerts, from what we write to who hears of them: prometheus-operator makes our monitors, rules and
//! routes what Prometheus and Alertmanager run; those scrape hello, and notify.
//!
//! By hand are: the custom resources of Prometheus and Alertmanager, which a chart would make that is
//! in no registry; hello's pod, as there are no nodes, and what Kubernetes would make of Alertmanager's
//! Service; and the Secrets of External Secrets. [`discovery`] finds what Debian's Prometheus cannot.

mod discovery;
mod objects;
mod running;
mod written;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
    time::Duration,
};

use anyhow::{Result, anyhow, ensure};
use cluster::{control_plane::ControlPlane, monitoring};
use deploy_tests::{
    checker::{Checker, none},
    mutation::Mutations,
    objects::{list, text},
    receivers::Message,
};
use harness::{process::Process, wait::wait_until};
use libtest_mimic::Trial;
use objects::Objects;
pub use objects::{CLUSTER, SERVICE, secret};
use running::{Alertmanager, Hello, Prometheus, USER};
use serde_json::{Value, json};
use written::{JOB, Written};

use crate::{on_cluster, plane};

type Check = fn(&Run) -> Result<()>;

/// How long Prometheus may take to find hello and to evaluate every rule.
const SCRAPED: Duration = Duration::from_secs(45);

/// How long a notification may take: the routes hold a ticket back for 30 seconds.
const NOTIFIED: Duration = Duration::from_secs(75);

pub fn trials(checker: &Checker, mutations: &Mutations) -> Vec<Trial> {
    let checks: [(&str, Check); 3] = [
        ("alerts: prometheus-operator makes what runs of it", made),
        ("alerts: hello is scraped, and no rule fires", scraped),
        ("alerts: who is to hear of an alert does", notified),
    ];
    let trials = checks.map(|(name, check)| {
        let checker = checker.clone();
        mutations.trials(name, move |tree| check(&Run::of(&checker, tree)?))
    });
    let trials = trials.into_iter().flatten();
    let checker = checker.clone();
    let lacks = on_cluster("alerts: prometheus-operator lacks no right", move |_| {
        Run::of(&checker, &tools::root())?;
        lacks_no_right()
    });
    trials.chain([lacks]).collect()
}

/// The operator, with the namespaces that it has something to do in.
struct Operator {
    plane: &'static ControlPlane,
    /// The kubeconfig of Prometheus.
    discovery: PathBuf,
    /// Those of the Prometheus and the Alertmanager that run here: the operator writes what they know.
    versions: [String; 2],
    _process: Process,
}

impl Operator {
    fn start(objects: &Objects) -> Result<Self> {
        let plane = plane()?;
        for namespace in [SERVICE, &objects.namespace] {
            let metadata = json!({"name": namespace});
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata});
            plane.kubectl.apply(&namespace.to_string(), &[])?;
        }
        // No pod is admitted without it, and the controller that makes it does not run.
        let metadata = json!({"name": "default", "namespace": SERVICE});
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata});
        plane.kubectl.apply(&account.to_string(), &[])?;
        let account = objects.name("prometheus");
        Ok(Self {
            plane,
            discovery: monitoring::discovery(plane, &objects.namespace, &account)?,
            versions: [
                running::version("prometheus")?,
                running::version("prometheus-alertmanager")?,
            ],
            _process: monitoring::start(plane)?,
        })
    }
}

/// What the operator has written of a tree.
pub struct Run {
    operator: &'static Operator,
    objects: Objects,
    written: Written,
    /// For files of this run.
    directory: PathBuf,
}

impl Run {
    pub fn of(checker: &Checker, tree: &Path) -> Result<Self> {
        static OPERATOR: OnceLock<Result<Operator, String>> = OnceLock::new();
        let objects = Objects::of(checker, tree)?;
        let operator = OPERATOR
            .get_or_init(|| Operator::start(&objects).map_err(|error| format!("{error:#}")));
        let operator = operator.as_ref().map_err(|error| anyhow!("{error}"))?;
        let [prometheus, alertmanager] = &operator.versions;
        let kubectl = &operator.plane.kubectl;
        Ok(Self {
            written: Written::of(kubectl, &objects, [prometheus, alertmanager])?,
            operator,
            objects,
            directory: tools::fresh("alerts")?,
        })
    }

    /// A hello, and a Prometheus that scrapes it and has nothing to say.
    pub fn watched(&self) -> Result<(Hello, Prometheus)> {
        let hello = Hello::start(self.operator.plane, &self.objects, &self.directory)?;
        let prometheus = Prometheus::start(
            &self.written,
            &self.objects,
            &self.operator.discovery,
            &self.directory,
        )?;
        until(SCRAPED, || self.is_scraped(&prometheus))?;
        until(SCRAPED, || self.is_silent(&prometheus))?;
        Ok((hello, prometheus))
    }

    /// hello's pod is the one target, with the labels and the metrics that our rules ask for.
    fn is_scraped(&self, prometheus: &Prometheus) -> Result<()> {
        let targets = prometheus.get("/api/v1/targets?state=active")?;
        let targets = list(&targets, "/activeTargets").iter();
        let targets: Vec<_> = targets
            .filter(|target| target["scrapePool"] == JOB)
            .collect();
        ensure!(!targets.is_empty(), "nothing is scraped");
        for target in targets {
            ensure!(target["health"] == "up", "{target}");
        }
        let up = prometheus.series("up")?;
        ensure!(up.len() == 1, "{} targets have the job hello", up.len());
        let [pod, _] = self.objects.pod(0)?;
        for (label, at) in [
            ("namespace", "/metadata/namespace"),
            ("pod", "/metadata/name"),
            ("container", "/spec/containers/0/name"),
            ("endpoint", "/spec/containers/0/ports/0/name"),
            ("release", "/metadata/labels/app.kubernetes.io~1version"),
        ] {
            let (label, wanted) = (text(&up[0], &format!("/{label}")), text(&pod, at));
            ensure!(label == wanted, "{}: it has no {wanted}", up[0]);
        }
        for metric in [
            "http_requests_total",
            "http_request_duration_seconds_bucket",
            "hello_build_info",
        ] {
            ensure!(
                !prometheus.series(metric)?.is_empty(),
                "there is no {metric}"
            );
        }
        Ok(())
    }

    /// Each of our alerts is evaluated, and none has begun.
    fn is_silent(&self, prometheus: &Prometheus) -> Result<()> {
        let groups = prometheus.get("/api/v1/rules?type=alert")?;
        let groups = list(&groups, "/groups").iter();
        let rules: Vec<&Value> = groups.flat_map(|group| list(group, "/rules")).collect();
        none(self.objects.alerts().filter_map(|alert| {
            let rule = rules.iter().find(|rule| rule["name"] == alert);
            let [health, state] =
                ["/health", "/state"].map(|at| rule.map(|rule| text(rule, at)).unwrap_or_default());
            let is_silent = (health, state) == ("ok", "inactive");
            (!is_silent).then(|| format!("{alert} is {state:?}, its evaluation {health:?}"))
        }))
    }
}

/// All of it, by the tools of Prometheus and Alertmanager, and as ours is.
fn made(run: &Run) -> Result<()> {
    run.written.check(&run.objects, &run.directory)
}

fn scraped(run: &Run) -> Result<()> {
    run.watched().map(drop)
}

/// The store of hello fails, and then hello is gone: two pages and a ticket.
fn notified(run: &Run) -> Result<()> {
    let (hello, prometheus) = run.watched()?;
    let notified = Alertmanager::start(&run.written, &run.objects, &run.directory)?;
    let service = run.objects.service_of_alertmanager(notified.port);
    run.operator.plane.kubectl.apply(&service, &[])?;
    prometheus.discover()?;
    let hears = |who: &str, alert: &str| {
        let mut all = notified.messages().into_iter();
        let heard = all.any(|message| message.is_to(who) && message.text.contains(alert));
        ensure!(heard, "{who} has not heard of {alert}");
        Ok(())
    };
    until(NOTIFIED, || {
        hello.fail()?;
        hears("slack", "HelloAvailabilityBudgetBurnsFast")?;
        hears("slack", "HelloStoreErrors")?;
        hears("pagerduty", "HelloAvailabilityBudgetBurnsFast")?;
        hears("hello@example.org", "HelloStoreErrors")
    })?;
    drop(hello);
    until(NOTIFIED, || {
        hears("slack", "HelloNoTargetUp")?;
        hears("pagerduty", "HelloNoTargetUp")
    })?;
    let messages = notified.messages();
    for message in &messages {
        let to = message.to.split('/').nth(1).unwrap_or(&message.to);
        eprintln!("{to}: {} bytes", message.text.len());
    }
    none(messages.iter().filter_map(wrong))
}

/// What is wrong with a message.
fn wrong(message: &Message) -> Option<String> {
    let Message { to, text } = message;
    let pages = ["HelloAvailabilityBudgetBurnsFast", "HelloNoTargetUp"];
    let mut alerts = pages.to_vec();
    if message.is_to("slack") {
        alerts.push("HelloStoreErrors");
    } else if message.is_to("hello@example.org") {
        alerts = vec!["HelloStoreErrors"];
    }
    let runbook = |alert: &&&str| {
        text.contains(&format!(
            "https://github.com/example/hello/blob/main/docs/runbooks/{alert}.md"
        ))
    };
    let says = match alerts.iter().find(runbook) {
        _ if text.contains(USER) => "it names a user",
        None => "it names the runbook of no alert that is for it",
        Some(_) if !text.contains(CLUSTER) => "it does not name the cluster",
        Some(_) => return None,
    };
    Some(format!("{to}: {says}: {text}"))
}

/// Its own manifests give it all rights that it asks for.
fn lacks_no_right() -> Result<()> {
    let log = tools::target().join("controllers/logs/prometheus-operator.log");
    let log = fs::read_to_string(log)?;
    ensure!(log.contains("connection established"), "it has not begun");
    let lacking = |line: &&str| line.contains("missing permission") || line.contains("forbidden");
    none(log.lines().filter(lacking).map(str::to_owned))
}

/// What `look` gives, as soon as it fails no more; or, after `limit`, its last error.
pub fn until<T>(limit: Duration, mut look: impl FnMut() -> Result<T>) -> Result<T> {
    let mut last = None;
    let interval = Duration::from_millis(500);
    let found = wait_until("what is so at last", limit, interval, || match look() {
        Ok(found) => Ok(Some(found)),
        Err(error) => {
            last = Some(error);
            Ok(None)
        }
    });
    found.map_err(|late: anyhow::Error| last.unwrap_or(late))
}
