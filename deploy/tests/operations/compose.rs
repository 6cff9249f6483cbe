//! compose.yaml without a container engine: each service runs as the file says, with the program that the
//! tests have, in namespaces of its own.
//!
//! Grafana is not run: no package registry has its server. In its place, the files that it would read are
//! read, and the address that it would ask is asked. Nor is hello, which takes Spin and its component.

mod container;
mod project;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::Ipv4Addr,
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use container::{Container, Network};
use deploy_tests::{
    mutation::Mutations,
    objects::{list, strings_at, text},
    yaml,
};
use harness::{namespace, process::Process, wait::wait_until};
use libtest_mimic::Trial;
use project::{Place, Project};
use regex::Regex;
use serde_json::Value;
use tempfile::TempDir;

/// How long Prometheus may take to find Alertmanager.
const FOUND: Duration = Duration::from_secs(60);

/// How long to wait between two looks.
const MOMENT: Duration = Duration::from_millis(500);

/// Alertmanager's secrets, as compose.yaml names them.
const SECRETS: [&str; 3] = ["slack-url", "smtp-password", "pagerduty-key"];

/// The service that is not started.
const NOT_RUN: &str = "hello";

/// The trials, which are ignored where there are no namespaces.
pub fn trials(mutations: &Mutations) -> Vec<Trial> {
    let is_possible = namespace::can_be_made();
    let trials = mutations.trials("services but hello", services).into_iter();
    trials
        .map(|trial| trial.with_ignored_flag(!is_possible))
        .collect()
}

/// Every service of the tree but hello starts, and does its part.
fn services(tree: &Path) -> Result<()> {
    let directory = TempDir::new()?;
    let directory = directory.path();
    let secrets = directory.join("secrets");
    fs::create_dir(&secrets)?;
    for secret in SECRETS {
        fs::write(secrets.join(secret), password()?)?;
    }
    let service_password = password()?;
    let variables = BTreeMap::from([
        ("OWNER_PASSWORD", password()?),
        ("HELLO_PASSWORD", service_password.clone()),
        ("ALERTMANAGER_SECRETS", secrets.display().to_string()),
    ]);
    let project = Project::read(&tree.join("compose.yaml"), &variables)?;
    let mut names = project.order()?;
    names.retain(|name| *name != NOT_RUN);
    let addresses = (2..).map(|number| Ipv4Addr::new(172, 20, 0, number));
    let addresses: BTreeMap<&str, Ipv4Addr> = names.iter().copied().zip(addresses).collect();
    let hosts = addresses
        .iter()
        .map(|(name, address)| format!("{address} {name}\n"));
    fs::write(directory.join("hosts"), hosts.collect::<String>())?;
    let network = Network::start(directory, Ipv4Addr::new(172, 20, 0, 1))?;
    let place = Place { tree, directory };
    let mut running = Running {
        tree,
        project: &project,
        network: &network,
        curl: tools::find_or_fetch("curl")?.display().to_string(),
        service_password,
        containers: BTreeMap::new(),
        processes: Vec::new(),
    };
    for name in names {
        running.start(project.container(name, &network, addresses[name], &place)?)?;
    }
    migrated(&running)?;
    notified(&running)?;
    shown(&running)?;
    watched(&running)
}

/// The services that run. They end in the reverse order.
struct Running<'a> {
    tree: &'a Path,
    project: &'a Project,
    network: &'a Network,
    curl: String,
    service_password: String,
    containers: BTreeMap<&'a str, Container<'a>>,
    processes: Vec<Process>,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        while self.processes.pop().is_some() {}
    }
}

impl<'a> Running<'a> {
    /// Starts a service, and waits until it is ready; or until it ends, if others wait for that.
    fn start(&mut self, container: Container<'a>) -> Result<()> {
        let name = container.name;
        self.containers.insert(name, container);
        let container = &self.containers[name];
        if self.project.ends(name) {
            container.run()?;
            return Ok(());
        }
        let service = self.project.service(name)?;
        let health = service.health()?;
        let ready = service.ready()?;
        let is_ready = || {
            health.as_ref().is_none_or(|it| container.exec(it).is_ok())
                && ready.is_none_or(|(_, path)| self.get(name, path).is_ok())
        };
        let process = container.start(is_ready)?;
        self.processes.push(process);
        Ok(())
    }

    fn container(&self, name: &str) -> Result<&Container<'a>> {
        let container = self.containers.get(name);
        container.with_context(|| format!("there is no service {name}"))
    }

    /// What the service `name` answers at the port that it publishes.
    fn get(&self, name: &str, path: &str) -> Result<String> {
        self.request(name, path, &[])
    }

    /// [`Running::get`] with arguments for curl.
    fn request(&self, name: &str, path: &str, arguments: &[&str]) -> Result<String> {
        let address = self.container(name)?.address;
        let ready = self.project.service(name)?.ready()?;
        let (port, _) = ready.with_context(|| format!("{name} answers nothing"))?;
        let url = format!("http://{address}:{port}{path}");
        let command = [self.curl().as_slice(), arguments, &[url.as_str()]].concat();
        let answer = self.network.read(&command);
        answer.with_context(|| format!("{name} does not answer {path}"))
    }

    /// Whether the service that `url` names is ready, asked from the container of another.
    fn asks(&self, container: &Container, url: &str) -> Result<()> {
        let url = format!("{url}/-/ready");
        let command = [self.curl().as_slice(), &[url.as_str()]].concat();
        container.exec(&command).map(drop)
    }

    fn curl(&self) -> Vec<&str> {
        let mut curl = vec![self.curl.as_str(), "--fail", "--silent", "--show-error"];
        curl.extend(["--max-time", "10", "--noproxy", "*"]);
        curl
    }

    /// What Prometheus's API says.
    fn prometheus(&self, path: &str) -> Result<Value> {
        let mut answer: Value = serde_json::from_str(&self.get("prometheus", path)?)?;
        Ok(answer["data"].take())
    }

    /// How many users the service's role finds in Postgres.
    fn users(&self) -> Result<String> {
        let mut psql = vec![
            "psql",
            "--host=postgres",
            "--username=hello",
            "--dbname=hello",
        ];
        psql.extend([
            "--no-psqlrc",
            "--no-password",
            "--tuples-only",
            "--no-align",
        ]);
        psql.extend(["--command", "SELECT count(*) FROM users"]);
        let password = [("PGPASSWORD", self.service_password.as_str())];
        self.container("postgres")?.exec_with(&psql, &password)
    }
}

/// The service's role signs in with its password, and finds an empty table.
fn migrated(running: &Running) -> Result<()> {
    let users = running.users()?;
    ensure!(users == "0", "a new database has {users} users");
    Ok(())
}

/// Alertmanager has the receivers of its file, and can read each secret.
fn notified(running: &Running) -> Result<()> {
    let file = running.tree.join("deploy/alertmanager.yaml");
    let status: Value = serde_json::from_str(&running.get("alertmanager", "/api/v2/status")?)?;
    let taken: Value = yaml_serde::from_str(text(&status, "/config/original"))?;
    let names = |config: &Value| -> Vec<String> {
        let receivers = list(config, "/receivers").iter();
        receivers
            .map(|receiver| text(receiver, "/name").to_owned())
            .collect()
    };
    let (taken, ours) = (names(&taken), names(&yaml(&file)?));
    ensure!(taken == ours, "Alertmanager has the receivers {taken:?}");
    let alertmanager = running.container("alertmanager")?;
    let secret = Regex::new(r"/etc/alertmanager/\S+")?;
    for secret in secret.find_iter(&fs::read_to_string(file)?) {
        let secret = secret.as_str();
        let read = alertmanager.exec(&["test", "-r", secret]);
        read.with_context(|| format!("Alertmanager cannot read {secret}"))?;
    }
    Ok(())
}

/// Grafana would find its dashboards, and Prometheus.
fn shown(running: &Running) -> Result<()> {
    let grafana = running.container("grafana")?;
    let provisioned = |what: &str| -> Result<Value> {
        let files = format!("cat /etc/grafana/provisioning/{what}/*.yaml");
        Ok(yaml_serde::from_str(&grafana.exec(&["sh", "-c", &files])?)?)
    };
    let home = "test -r \"$GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH\"";
    let home = grafana.exec(&["sh", "-c", home]);
    home.context("Grafana's home dashboard is not there")?;
    let dashboards = provisioned("dashboards")?;
    for directory in strings_at(&dashboards, &["path"]) {
        grafana.exec(&["sh", "-c", "ls \"$0\"/*.json", directory])?;
    }
    let sources = provisioned("datasources")?;
    let urls = strings_at(&sources, &["url"]);
    ensure!(!urls.is_empty(), "Grafana has no data source");
    urls.into_iter()
        .try_for_each(|url| running.asks(grafana, url))
}

/// Prometheus has every rule, and an Alertmanager that answers.
fn watched(running: &Running) -> Result<()> {
    let rules: Value = yaml(&running.tree.join("deploy/chart/files/alerts.yaml"))?;
    let ours: BTreeSet<&str> = strings_at(&rules, &["alert", "record"])
        .into_iter()
        .collect();
    let loaded = running.prometheus("/api/v1/rules")?;
    let groups = list(&loaded, "/groups").iter();
    let loaded = groups.flat_map(|group| list(group, "/rules"));
    let loaded: BTreeSet<&str> = loaded.map(|rule| text(rule, "/name")).collect();
    ensure!(
        !ours.is_empty() && loaded == ours,
        "Prometheus has the rules {loaded:?}"
    );
    // It is ready before it has found whom to notify.
    let found = wait_until("an Alertmanager", FOUND, MOMENT, || {
        let found = running.prometheus("/api/v1/alertmanagers")?;
        let some = !list(&found, "/activeAlertmanagers").is_empty();
        anyhow::Ok(some.then_some(found))
    })?;
    let prometheus = running.container("prometheus")?;
    for alertmanager in list(&found, "/activeAlertmanagers") {
        let url = text(alertmanager, "/url");
        let url = url.strip_suffix("/api/v2/alerts").unwrap_or(url);
        running.asks(prometheus, url)?;
    }
    Ok(())
}

fn password() -> Result<String> {
    let random = fs::read_to_string("/proc/sys/kernel/random/uuid")?;
    Ok(random.trim().to_owned())
}
