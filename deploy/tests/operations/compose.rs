//! compose.yaml without a container engine: each service runs as the file says, with the program that the
//! tests have, in namespaces of its own.
//!
//! Grafana is not run: no package registry has its server. In its place, the files that it would read are
//! read, and the address that it would ask is asked.

mod container;
mod project;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use container::{Container, Network};
use deploy_tests::{
    mutation::Mutations,
    objects::{list, strings_at, text},
    once::Once,
    yaml,
};
use harness::{manifest, namespace, process::Process, wait::wait_until};
use libtest_mimic::Trial;
use project::{Place, Project};
use regex::Regex;
use serde_json::Value;
use tempfile::TempDir;
use tools::HostKind;

/// How long Prometheus may take for its first scrape: its interval is 15 seconds.
const SCRAPED: Duration = Duration::from_secs(60);

/// How long to wait between two looks.
const MOMENT: Duration = Duration::from_millis(500);

/// Alertmanager's secrets, as compose.yaml names them.
const SECRETS: [&str; 3] = ["slack-url", "smtp-password", "pagerduty-key"];

/// Trials of all services but hello; and where there is Spin, of all of them.
pub fn trials(mutations: &Mutations) -> Vec<Trial> {
    let is_possible = namespace::can_be_made();
    let has_spin = tools::find(HostKind::Spin).is_some();
    let others = mutations.trials("services but hello", |tree| services(tree, None));
    let all = mutations.trials("services", |tree| services(tree, Some(components()?)));
    let others = others
        .into_iter()
        .map(|trial| trial.with_ignored_flag(!is_possible));
    let all = all
        .into_iter()
        .map(|trial| trial.with_ignored_flag(!is_possible || !has_spin));
    others.chain(all).collect()
}

/// What `cargo xtask build --host spin` makes, in a directory of its own.
fn components() -> Result<&'static Path> {
    static MADE: Once<PathBuf> = Once::new();
    let directory = MADE.get("", || {
        componentize::build(Some(HostKind::Spin))?;
        let directory = tools::fresh("compose")?;
        for file in [
            HostKind::Spin.artifact(),
            manifest::write_beside_component(HostKind::Spin)?,
        ] {
            let name = file.file_name().context("it is a file")?;
            fs::copy(&file, directory.join(name))?;
        }
        Ok(directory)
    });
    directory.map(PathBuf::as_path)
}

/// Every service of the tree starts, and does its part; hello if there are its `components`.
fn services(tree: &Path, components: Option<&Path>) -> Result<()> {
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
    names.retain(|name| components.is_some() || *name != "hello");
    let addresses = (2..).map(|number| Ipv4Addr::new(172, 20, 0, number));
    let addresses: BTreeMap<&str, Ipv4Addr> = names.iter().copied().zip(addresses).collect();
    let hosts = addresses
        .iter()
        .map(|(name, address)| format!("{address} {name}\n"));
    fs::write(directory.join("hosts"), hosts.collect::<String>())?;
    let network = Network::start(directory, Ipv4Addr::new(172, 20, 0, 1))?;
    let place = Place {
        tree,
        components: components.unwrap_or(directory),
        directory,
    };
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
    if components.is_some() {
        answered(&running)?;
        scraped(&running)?;
    }
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
        // The first process of a container does not end at a signal that it has no handler for.
        while let Some(process) = self.processes.pop() {
            let _ = process.kill();
        }
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
                && ready.is_none_or(|(port, path)| {
                    let url = format!("http://127.0.0.1:{port}{path}");
                    self.asks(container, &url).is_ok()
                })
        };
        let process = container.start(is_ready)?;
        if let Some((_, path)) = ready {
            // It may answer in its container alone.
            self.get(name, path)?;
        }
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

    /// Whether `url` answers in the container.
    fn asks(&self, container: &Container, url: &str) -> Result<()> {
        let command = [self.curl().as_slice(), &[url]].concat();
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
        .try_for_each(|url| running.asks(grafana, &format!("{url}/-/ready")))
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
    let found = wait_until("an Alertmanager", SCRAPED, MOMENT, || {
        let found = running.prometheus("/api/v1/alertmanagers")?;
        let some = !list(&found, "/activeAlertmanagers").is_empty();
        anyhow::Ok(some.then_some(found))
    })?;
    let prometheus = running.container("prometheus")?;
    for alertmanager in list(&found, "/activeAlertmanagers") {
        let url = text(alertmanager, "/url");
        let url = url.strip_suffix("/api/v2/alerts").unwrap_or(url);
        running.asks(prometheus, &format!("{url}/-/ready"))?;
    }
    Ok(())
}

/// hello is ready; a user is saved and greeted, and is in Postgres.
fn answered(running: &Running) -> Result<()> {
    running.get("hello", "/readyz")?;
    let save = [
        "--request",
        "PUT",
        "--json",
        r#"{"dateOfBirth": "1990-02-28"}"#,
    ];
    running.request("hello", "/hello/Ada", &save)?;
    let greeting = running.get("hello", "/hello/Ada")?;
    ensure!(greeting.contains("Hello, Ada!"), "hello says {greeting}");
    let users = running.users()?;
    ensure!(users == "1", "Postgres has {users} users");
    Ok(())
}

/// Prometheus has scraped hello, which was ready before.
fn scraped(running: &Running) -> Result<()> {
    wait_until("Prometheus to scrape hello", SCRAPED, MOMENT, || {
        let targets = running.prometheus("/api/v1/targets")?;
        let mut targets = list(&targets, "/activeTargets").iter();
        let Some(target) = targets.find(|target| text(target, "/labels/job") == "hello") else {
            return Ok(None);
        };
        match text(target, "/health") {
            "up" => Ok(Some(())),
            "unknown" => Ok(None),
            health => bail!("hello is {health}: {}", text(target, "/lastError")),
        }
    })
}

fn password() -> Result<String> {
    let random = fs::read_to_string("/proc/sys/kernel/random/uuid")?;
    Ok(random.trim().to_owned())
}
