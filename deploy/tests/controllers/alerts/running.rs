//! hello, and what runs with the configuration that the operator has written: Prometheus, and
//! Alertmanager.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use cluster::{ADDRESS, control_plane::ControlPlane, kubectl::Kubectl};
use deploy_tests::{
    mutation::replaced,
    objects::list,
    receivers::{Message, Recorder},
};
use harness::{
    client::Connection,
    host::{Host, Setup, Store, free_port},
    postgres::Address,
    process::Process,
};
use serde_json::Value;
use tools::{HostKind, run::run};

use super::{
    discovery::Discovery,
    objects::{Objects, SERVICE, secret},
    written::Written,
};

/// How long a program may take to start.
const START: Duration = Duration::from_secs(60);

/// How long a rule waits before it fires, where it waits for minutes in our own: longer than Prometheus
/// takes to find hello.
const FOR_DURATION: &str = "10s";

/// The user of all requests, whom no message may name.
pub const USER: &str = "Zenobia";

/// hello on wasmCloud. Its store is a Postgres that nothing listens for, and its counters are in memory:
/// it lives, and fails each request of a user.
pub struct Hello {
    host: Host,
}

impl Hello {
    /// Starts it, with its pod and the status of that, which the API server then has.
    pub fn start(plane: &ControlPlane, objects: &Objects, directory: &Path) -> Result<Self> {
        let address = Address {
            host: Ipv4Addr::LOCALHOST.to_string(),
            port: free_port()?,
            database: "hello".to_owned(),
            user: "hello".to_owned(),
            password: secret()?,
            sslmode: "disable".to_owned(),
        };
        let log = directory.join("hello.log");
        let setup = Setup {
            store: Store::Postgres(&address),
            ..Setup::shipped(directory, Some(&log))
        };
        let program = tools::find_or_fetch(HostKind::Wasmcloud)?;
        let host = Host::start(HostKind::Wasmcloud, &program, free_port()?, setup)?;
        let [pod, status] = objects.pod(host.port)?;
        let kubectl = &plane.kubectl;
        let namespace = format!("--namespace={SERVICE}");
        kubectl.run(&["delete", "pods", "--all", "--force", &namespace])?;
        kubectl.apply(&pod.to_string(), &[])?;
        let patch = format!("--patch={status}");
        let pod = format!("pod/{}", deploy_tests::objects::name(&pod));
        let patch = ["patch", &pod, &namespace, "--subresource=status", &patch];
        kubectl.run(&patch)?;
        Ok(Self { host })
    }

    /// A request that the store fails.
    pub fn fail(&self) -> Result<()> {
        let answer = self
            .host
            .connect()?
            .exchange("GET", &format!("/hello/{USER}"), &[], b"")?;
        ensure!(answer.status == 503, "{USER} got {}", answer.status);
        Ok(())
    }
}

/// A Prometheus that runs.
pub struct Prometheus {
    address: SocketAddr,
    user: Kubectl,
    discoveries: Vec<Discovery>,
    _process: Process,
}

impl Prometheus {
    /// Starts it with what is written, but for what a pod would give it: the files of rules are in
    /// `directory`, and what it asks the API server for is found as the user of `kubeconfig`. Rules wait
    /// [`FOR_DURATION`] before they fire.
    pub fn start(
        written: &Written,
        objects: &Objects,
        kubeconfig: &Path,
        directory: &Path,
    ) -> Result<Self> {
        let (config, discoveries) = written.prometheus_in(objects, directory)?;
        fs::write(directory.join("prometheus.yaml"), config)?;
        for file in written.rules.keys() {
            let file = directory.join("rules").join(file);
            let mut rules: Value = yaml_serde::from_str(&fs::read_to_string(&file)?)?;
            let groups = rules["groups"].as_array_mut().into_iter().flatten();
            for rule in groups
                .filter_map(|group| group["rules"].as_array_mut())
                .flatten()
            {
                if rule["for"].is_string() {
                    rule["for"] = FOR_DURATION.into();
                }
            }
            fs::write(file, yaml_serde::to_string(&rules)?)?;
        }
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let mut command = Command::new(tools::find_or_fetch("prometheus")?);
        command
            .args(["--config.file=prometheus.yaml", "--storage.tsdb.path=data"])
            .arg(format!("--web.listen-address={address}"))
            .current_dir(directory);
        let prometheus = Self {
            address,
            user: Kubectl::new(kubeconfig.to_owned())?,
            discoveries,
            _process: server(&mut command, address, &directory.join("prometheus.log"))?,
        };
        prometheus.discover()?;
        Ok(prometheus)
    }

    /// Finds what there is to scrape and to notify, as the user that it is.
    pub fn discover(&self) -> Result<()> {
        let mut all = self.discoveries.iter();
        all.try_for_each(|one| one.find(&self.user))
    }

    /// Where it answers.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What its API says.
    pub fn get(&self, path: &str) -> Result<Value> {
        let answer = Connection::open_at(self.address)?.exchange("GET", path, &[], b"")?;
        ensure!(answer.status == 200, "{path}: {}", answer.status);
        let mut answer: Value = serde_json::from_slice(&answer.body)?;
        Ok(answer["data"].take())
    }

    /// The labels of the series of the metric `name` with the job of hello.
    pub fn series(&self, name: &str) -> Result<Vec<Value>> {
        // {job="hello"}
        let found = self.get(&format!(
            "/api/v1/query?query={name}%7Bjob%3D%22hello%22%7D"
        ))?;
        let series = list(&found, "/result").iter();
        Ok(series.map(|one| one["metric"].clone()).collect())
    }
}

/// An Alertmanager that runs, and who is notified.
pub struct Alertmanager {
    /// Slack, and PagerDuty.
    http: Recorder,
    smtp: Recorder,
    /// Where Prometheus finds it.
    pub port: u16,
    _process: Process,
}

impl Alertmanager {
    /// Starts it with what is written, but for the receivers' addresses. The files of secrets, which
    /// External Secrets would make, are in `directory`.
    pub fn start(written: &Written, objects: &Objects, directory: &Path) -> Result<Self> {
        let (http, smtp) = (Recorder::http()?, Recorder::smtp()?);
        let web = format!("http://127.0.0.1:{}", http.port);
        let (keys, mounted) = objects.keys()?;
        let files = directory.join("keys");
        fs::create_dir_all(&files)?;
        for key in keys {
            let secret = secret()?;
            let secret = match key {
                "slack-url" => format!("{web}/slack/{secret}"),
                _ => secret,
            };
            fs::write(files.join(key), secret)?;
        }
        let config = replaced(&written.alertmanager, mounted, &files.display().to_string())?;
        let mut config: Value = yaml_serde::from_str(&config)?;
        let global = &mut config["global"];
        global["pagerduty_url"] = format!("{web}/pagerduty").into();
        global["smtp_smarthost"] = format!("127.0.0.1:{}", smtp.port).into();
        // The recorder has no certificate.
        global["smtp_require_tls"] = false.into();
        fs::write(
            directory.join("alertmanager.yaml"),
            yaml_serde::to_string(&config)?,
        )?;
        show_templates()?;
        // The API server refuses endpoints on loopback addresses.
        let address = SocketAddr::from((ADDRESS, free_port()?));
        let mut command = Command::new(tools::find_or_fetch("prometheus-alertmanager")?);
        command
            .args(["--config.file=alertmanager.yaml", "--storage.path=notified"])
            .args(["--cluster.listen-address="])
            .arg(format!("--web.listen-address={address}"))
            .current_dir(directory);
        Ok(Self {
            http,
            smtp,
            port: address.port(),
            _process: server(&mut command, address, &directory.join("alertmanager.log"))?,
        })
    }

    /// Who has heard of what.
    pub fn messages(&self) -> Vec<Message> {
        [self.http.messages(), self.smtp.messages()].concat()
    }
}

/// Shows Alertmanager its templates where Debian has them, in this process's own mount namespace: what
/// is unpacked is elsewhere.
fn show_templates() -> Result<()> {
    if Path::new("/usr/share/prometheus/alertmanager/default.tmpl").exists() {
        return Ok(());
    }
    let unpacked = tools::unpacked_usr().join("share");
    let layers = format!("lowerdir={}:/usr/share", unpacked.display());
    run(
        "show Alertmanager its templates",
        Command::new("mount").args(["-t", "overlay", "overlay", "-o", &layers, "/usr/share"]),
    )
}

fn server(command: &mut Command, address: SocketAddr, log: &Path) -> Result<Process> {
    Process::start_server(command, Some(log), START, || {
        let asked = Connection::open_at(address);
        let answer = asked.and_then(|mut it| it.exchange("GET", "/-/ready", &[], b""));
        answer.is_ok_and(|answer| answer.status == 200)
    })
}

/// The version of `program`, as a custom resource has it.
pub fn version(program: &'static str) -> Result<String> {
    let line = tools::version(&tools::find_or_fetch(program)?);
    // "prometheus, version 2.53.3+ds1 (branch: …"
    let mut words = line.split(' ').skip_while(|word| *word != "version");
    let version = words.nth(1).context("it says no version")?;
    let end = version.find(|c: char| c != '.' && !c.is_ascii_digit());
    Ok(format!("v{}", &version[..end.unwrap_or(version.len())]))
}
