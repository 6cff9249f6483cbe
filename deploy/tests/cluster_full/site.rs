//! A cluster with Argo CD, and three that it delivers to.

use std::{collections::BTreeMap, net::Ipv4Addr, path::Path, time::Duration};

use anyhow::{Context, Result};
use cluster::{
    argocd::{ArgoCd, in_namespace},
    control_plane::ControlPlane,
    crds,
};
use deploy_tests::{
    moto::ACCOUNT,
    objects::{list, text},
    once::Once,
    stage_of,
};
use harness::{process::Process, wait::wait_until};
use serde_json::Value;
use tools::root;

use crate::{by_hand, repository::Repository};

/// How long Argo CD may take for a step: with all that happens beside it, on two cores.
const TIMEOUT: Duration = Duration::from_secs(400);

/// The clusters, in the order of their stages.
pub const CLUSTERS: [&str; 3] = [DEV, CANARY, PRODUCTION];
pub const DEV: &str = "dev";
pub const CANARY: &str = "canary";
pub const PRODUCTION: &str = "production-eu-central-1";

/// Who defines the kinds of the chart's objects.
const MODULES: [&str; 6] = [
    "github.com/cloudnative-pg/cloudnative-pg",
    "github.com/external-secrets/external-secrets",
    "github.com/kyverno/kyverno",
    "github.com/prometheus-operator/prometheus-operator",
    "github.com/spinkube/spin-operator",
    "sigs.k8s.io/gateway-api",
];

/// The clusters, which start when they are first asked for.
pub fn site() -> Result<&'static Site> {
    static SITE: Once<Site> = Once::new();
    SITE.get("", Site::start)
}

pub struct Site {
    pub repository: Repository,
    pub argo: ArgoCd,
    clusters: BTreeMap<&'static str, ControlPlane>,
    _collectors: Vec<Process>,
    /// Where Argo CD is.
    pub management: ControlPlane,
}

impl Site {
    /// Starts all, and gives Argo CD the project and the ApplicationSet. The last cluster has no
    /// kinds but Kubernetes' own.
    fn start() -> Result<Self> {
        let directory = tools::fresh("cluster-full")?;
        let repository = Repository::new(&directory.join("repository"))?;
        let management = ControlPlane::start(&directory.join("management"))?;
        let argo = ArgoCd::start(&management, &directory)?;
        let mut site = Self {
            repository,
            argo,
            clusters: BTreeMap::new(),
            _collectors: Vec::new(),
            management,
        };
        for (number, name) in (2..).zip(CLUSTERS) {
            let address = Ipv4Addr::new(10, 0, 0, number);
            let plane = ControlPlane::start_at(address, &directory.join(name))?;
            site._collectors.push(plane.start_garbage_collector()?);
            let labels = [("hello.example.com/stage", stage_of(name))];
            let annotations = [("hello.example.com/account", ACCOUNT)];
            site.argo.register(name, &plane, &labels, &annotations)?;
            site.clusters.insert(name, plane);
        }
        for name in [DEV, CANARY] {
            site.install_kinds(name)?;
        }
        site.give("deploy/argocd/project.yaml")?;
        site.give("deploy/argocd/applicationset.yaml")?;
        Ok(site)
    }

    /// Commits what `tree` has, and gives Argo CD its ApplicationSet.
    pub fn take(&self, tree: &Path) -> Result<()> {
        self.repository.take(tree)?;
        self.give("deploy/argocd/applicationset.yaml")
    }

    /// Delivers to all clusters what is in the project.
    pub fn restore(&self) -> Result<()> {
        self.take(&root())?;
        for cluster in CLUSTERS {
            self.wait_for(&format!("the delivery to {cluster}"), || {
                // A later stage may be at it as well.
                for cluster in CLUSTERS {
                    by_hand::make_ready(self.cluster(cluster), |_| true)?;
                }
                Ok(self.has_commit(cluster)?.then_some(()))
            })?;
        }
        Ok(())
    }

    /// Gives Argo CD a file of the repository, as a person does.
    pub fn give(&self, file: &str) -> Result<()> {
        let text = self.repository.read(file)?;
        self.argo.kubectl.apply(&text, &[]).map(drop)
    }

    /// Defines the kinds of the chart's objects in a cluster.
    pub fn install_kinds(&self, cluster: &str) -> Result<()> {
        crds::install_of(&self.cluster(cluster).kubectl, &MODULES)
    }

    pub fn cluster(&self, name: &str) -> &ControlPlane {
        &self.clusters[name]
    }

    pub fn application(&self, name: &str) -> Result<Value> {
        let name = format!("application/{name}");
        self.argo.kubectl.get(&[&name, &in_namespace()])
    }

    /// Has Argo CD compare the Application with Git and the cluster again, with nothing that it
    /// remembers, and returns it as it is then.
    pub fn refresh(&self, name: &str) -> Result<Value> {
        const REFRESH: &str = "argocd.argoproj.io/refresh";
        self.argo.kubectl.run(&[
            "annotate",
            "application",
            name,
            &in_namespace(),
            &format!("{REFRESH}=hard"),
        ])?;
        self.wait_for(&format!("a refresh of {name}"), || {
            let application = self.application(name)?;
            // Argo CD takes it away when that is done.
            let is_done = application["metadata"]["annotations"][REFRESH].is_null();
            Ok(is_done.then_some(application))
        })
    }

    /// Waits until `look` gives something. If it never does, the error says how the Applications are.
    pub fn wait_for<T>(&self, what: &str, look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
        wait_until(what, TIMEOUT, Duration::from_secs(1), look).with_context(|| self.report())
    }

    /// Looks for some seconds whether `is_so` stays true.
    pub fn stays(&self, what: &str, seconds: u32, is_so: impl Fn() -> Result<bool>) -> Result<()> {
        for _ in 0..seconds {
            anyhow::ensure!(is_so()?, "not so for long: {what}\n{}", self.report());
            std::thread::sleep(Duration::from_secs(1));
        }
        Ok(())
    }

    /// Waits until the cluster's Application is synced and healthy, and makes ready meanwhile all that
    /// comes.
    pub fn wait_for_delivery(&self, cluster: &str) -> Result<()> {
        self.wait_for(&format!("the delivery to {cluster}"), || {
            by_hand::make_ready(self.cluster(cluster), |_| true)?;
            Ok(self.is_delivered(cluster)?.then_some(()))
        })
    }

    /// Whether the cluster's Application is synced and healthy, and not about to be synced.
    pub fn is_delivered(&self, cluster: &str) -> Result<bool> {
        let application = self.application(&format!("hello-{cluster}"))?;
        let operation = text(&application, "/status/operationState/phase");
        Ok(text(&application, "/status/sync/status") == "Synced"
            && text(&application, "/status/health/status") == "Healthy"
            && operation == "Succeeded"
            && application["operation"].is_null())
    }

    /// Whether the latest commit is delivered to the cluster.
    pub fn has_commit(&self, cluster: &str) -> Result<bool> {
        let application = self.application(&format!("hello-{cluster}"))?;
        let revision = text(&application, "/status/sync/revision");
        Ok(self.is_delivered(cluster)? && revision == self.repository.head()?)
    }

    /// Whether the cluster's Application was synced before, and is healthy.
    pub fn was_delivered(&self, cluster: &str) -> Result<bool> {
        let application = self.application(&format!("hello-{cluster}"))?;
        let history = list(&application, "/status/history");
        let health = text(&application, "/status/health/status");
        Ok(!history.is_empty() && health == "Healthy")
    }

    /// Whether nothing was ever delivered to the cluster.
    pub fn is_untouched(&self, cluster: &str) -> Result<bool> {
        let namespace = format!("namespace/{}", by_hand::NAMESPACE);
        let get = ["get", &namespace, "--ignore-not-found", "--output=name"];
        Ok(self.cluster(cluster).kubectl.run(&get)?.is_empty())
    }

    /// How the Applications are.
    pub fn report(&self) -> String {
        let Ok(all) = self.argo.kubectl.get(&["applications", &in_namespace()]) else {
            return "there are no Applications".to_owned();
        };
        let line = |application: &Value| {
            let at = |pointer| text(application, pointer);
            let conditions = list(application, "/status/conditions").iter();
            let conditions: Vec<&str> = conditions.map(|one| text(one, "/message")).collect();
            format!(
                "{}: {}, {}; {}, tried again {} times: {}; conditions: {conditions:?}",
                at("/metadata/name"),
                at("/status/sync/status"),
                at("/status/health/status"),
                at("/status/operationState/phase"),
                application["status"]["operationState"]["retryCount"],
                at("/status/operationState/message"),
            )
        };
        let lines: Vec<String> = list(&all, "/items").iter().map(line).collect();
        lines.join("\n")
    }
}
