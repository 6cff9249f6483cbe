//! All that a release of hello stands on, and its delivery by Helm.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result};
use harness::{manifest, postgres::Postgres, process::Process, wait::wait_until};
use serde_json::{Value, json};
use tools::{HostKind, root, run::read};

use crate::{
    ADDRESS,
    control_plane::ControlPlane,
    dns,
    gateway::{self, Gateway},
    image::Image,
    node::Node,
    registry, spinkube,
};

/// Where hello is delivered.
pub const NAMESPACE: &str = "hello";

/// How long a version may take to be ready.
pub const READY_TIMEOUT: Duration = Duration::from_secs(180);

/// Nodes, DNS, a registry, SpinKube's operator, a gateway and a Postgres. Dropping it ends them.
pub struct Site<'a> {
    /// The control plane.
    pub plane: &'a ControlPlane,
    /// What requests come in by.
    pub gateway: Gateway,
    /// Where pods run.
    pub nodes: [Node; 2],
    /// What keeps the users.
    pub database: Postgres,
    /// The values of every release.
    values: Value,
    _processes: Vec<Process>,
}

impl<'a> Site<'a> {
    /// Starts everything, with its data in `directory`. Custom resource definitions are to be there
    /// ([`crate::crds`]).
    ///
    /// # Errors
    ///
    /// If a program cannot be had, or does not become ready.
    pub fn start(plane: &'a ControlPlane, directory: &Path) -> Result<Self> {
        let [manager, scheduler] = plane.start_controllers()?;
        let nodes = [
            Node::start(plane, directory, 1)?,
            Node::start(plane, directory, 2)?,
        ];
        let processes = vec![
            dns::start(plane, directory)?,
            registry::start(plane, directory)?,
            spinkube::start(plane)?,
            scheduler,
            manager,
        ];
        let gateway = Gateway::start(plane, directory)?;
        let database = database(&directory.join("postgres"))?;
        // Spin unpacks an application in /tmp.
        let spin = Image::new("hello.test/spin")
            .program("spin")?
            .file("tmp/empty", b"", false)?;
        let spin = spin.entrypoint(&["/usr/bin/spin"]);
        let shell = Image::new("hello.test/tools").shell()?;
        let shell = shell.program("psql")?.program("curl")?;
        let spin = import(&nodes, spin, &directory.join("spin.tar"))?;
        let shell = import(&nodes, shell, &directory.join("tools.tar"))?;
        let authority = fs::read_to_string(plane.authority.certificate())?;
        let kubectl = &plane.kubectl;
        let namespace = json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": NAMESPACE},
        });
        kubectl.apply(&namespace.to_string(), &[])?;
        kubectl.run(&[
            "create",
            "secret",
            "generic",
            "hello-ca",
            &format!("--namespace={NAMESPACE}"),
            &format!("--from-literal=ca-certificates.crt={authority}"),
        ])?;
        let owner = database.owner();
        let everybody = json!([{"namespaceSelector": {}}]);
        let machine = json!([{"ipBlock": {"cidr": "10.0.0.0/24"}}]);
        let values = json!({
            "executor": {"type": "spintainer", "spinImage": spin, "caSecret": "hello-ca"},
            "images": {"postgres": shell, "curl": shell},
            "postgres": {"host": ADDRESS, "port": owner.port, "sslmode": "disable"},
            "secrets": {"source": "plain", "plain": {
                "servicePassword": owner.password,
                "ownerUsername": owner.user,
                "ownerPassword": owner.password,
            }},
            "route": {
                "type": "gateway",
                "gateway": {"name": gateway::NAME, "namespace": gateway::NAMESPACE},
            },
            "networkPolicy": {
                "gateway": everybody,
                "prometheus": everybody,
                "store": machine,
                "registry": machine,
            },
            "resources": {"requests": {"cpu": "50m"}},
        });
        Ok(Self {
            plane,
            gateway,
            nodes,
            database,
            values,
            _processes: processes,
        })
    }

    /// Gives the nodes an image, and returns its name with the digest. `file` is for what it is made of.
    ///
    /// # Errors
    ///
    /// If a node does not take it.
    pub fn import(&self, image: Image, file: &Path) -> Result<String> {
        import(&self.nodes, image, file)
    }

    /// Pushes the application as it is built, and returns its name with the digest, which `tag` makes
    /// another one.
    ///
    /// # Errors
    ///
    /// If there is no Spin, or the registry refuses it.
    pub fn push(&self, tag: &str) -> Result<String> {
        let repository = format!("{}/hello", registry::HOST);
        let said = read(
            "push the application",
            Command::new(tools::find_or_fetch(HostKind::Spin)?)
                .args(["registry", "push", "--from"])
                .arg(manifest::write_beside_component(HostKind::Spin)?)
                .arg(format!("{repository}:{tag}"))
                .arg(format!(
                    "--annotation=org.opencontainers.image.version={tag}"
                ))
                .env("SSL_CERT_FILE", self.plane.authority.certificate()),
        )?;
        let digest = said
            .split_whitespace()
            .find(|word| word.starts_with("sha256:"));
        let digest = digest.with_context(|| format!("`spin` says no digest: {said}"))?;
        Ok(format!("{repository}@{digest}"))
    }

    /// Delivers the chart with Helm, with `values` over those of the site; it waits for its hooks,
    /// which are the migrations.
    ///
    /// # Errors
    ///
    /// What Helm says.
    pub fn deliver(&self, values: &Value) -> Result<()> {
        self.deliver_within("180s", values)
    }

    /// [`Site::deliver`], for so long at most.
    ///
    /// # Errors
    ///
    /// What Helm says.
    pub fn deliver_within(&self, limit: &str, values: &Value) -> Result<()> {
        self.helm(values, &["--timeout", limit])
    }

    /// [`Site::deliver`] without the hooks: for a cutover, which has nothing to migrate.
    ///
    /// # Errors
    ///
    /// What Helm says.
    pub fn cut_over(&self, values: &Value) -> Result<()> {
        self.helm(values, &["--no-hooks"])
    }

    fn helm(&self, values: &Value, options: &[&str]) -> Result<()> {
        let mut all = self.values.clone();
        merge(&mut all, values);
        // What is on a command line is for everybody to read, and these have passwords.
        let file = self
            .plane
            .kubectl
            .kubeconfig()
            .with_file_name("values.json");
        fs::write(&file, all.to_string())?;
        read(
            "deliver the chart",
            Command::new(tools::find_or_fetch("helm")?)
                .args(["upgrade", "--install", "hello"])
                .arg(root().join("deploy/chart"))
                .args(["--namespace", NAMESPACE, "--values"])
                .arg(&file)
                .arg("--kubeconfig")
                .arg(self.plane.kubectl.kubeconfig())
                .args(options),
        )
        .map(drop)
    }

    /// Takes the chart away again, and waits until its pods are gone; the namespace and the users stay.
    ///
    /// # Errors
    ///
    /// What Helm says, or if pods stay.
    pub fn uninstall(&self) -> Result<()> {
        read(
            "uninstall the chart",
            Command::new(tools::find_or_fetch("helm")?)
                .args(["uninstall", "hello", "--namespace", NAMESPACE])
                .arg("--kubeconfig")
                .arg(self.plane.kubectl.kubeconfig()),
        )?;
        self.wait_for_end("core.spinkube.dev/app-name")
    }

    /// Waits until no pod has a label that `selector` selects.
    ///
    /// # Errors
    ///
    /// If one stays.
    pub fn wait_for_end(&self, selector: &str) -> Result<()> {
        let what = format!("the end of pods with {selector}");
        let selector = format!("--selector={selector}");
        wait_until(&what, READY_TIMEOUT, Duration::from_millis(500), || {
            let pods = self.get(&["pods", &selector])?;
            anyhow::Ok((pods["items"] == json!([])).then_some(()))
        })
    }

    /// What `kubectl get` with these arguments finds in hello's namespace.
    ///
    /// # Errors
    ///
    /// What kubectl says.
    pub fn get(&self, arguments: &[&str]) -> Result<Value> {
        let place = ["--namespace", NAMESPACE];
        self.plane.kubectl.get(&[arguments, &place].concat())
    }

    /// Waits until `count` pods of a version are ready.
    ///
    /// # Errors
    ///
    /// If they are not by then, with the pods and events.
    pub fn wait_for(&self, version: &str, count: u64) -> Result<()> {
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

    /// Waits until a version has passed its smoke test.
    ///
    /// # Errors
    ///
    /// If it fails, or has not passed by then.
    pub fn wait_for_smoke_test(&self, version: &str) -> Result<()> {
        let label = format!(
            "--selector=app.kubernetes.io/component=smoke-test,app.kubernetes.io/version={version}"
        );
        let what = format!("the smoke test of {version}");
        wait_until(&what, READY_TIMEOUT, Duration::from_secs(1), || {
            let jobs = self.get(&["jobs", &label])?;
            let status = jobs.pointer("/items/0/status").cloned().unwrap_or_default();
            // Not its first pod, which may ask too early: the Job tries again.
            let failed = status["conditions"]
                .as_array()
                .is_some_and(|conditions| conditions.iter().any(|it| it["type"] == "Failed"));
            anyhow::ensure!(!failed, "it failed: {status}");
            Ok((status["succeeded"] == 1).then_some(()))
        })
    }

    /// The pods of a version.
    ///
    /// # Errors
    ///
    /// What kubectl says.
    pub fn pods(&self, version: &str) -> Result<Vec<Value>> {
        let selector = format!("--selector=core.spinkube.dev/app-name=hello-{version}");
        let pods = self.get(&["pods", &selector])?;
        Ok(pods["items"].as_array().cloned().unwrap_or_default())
    }
}

fn import(nodes: &[Node], image: Image, file: &Path) -> Result<String> {
    let layout = image.write(file)?;
    nodes.iter().try_for_each(|node| node.import(&layout))?;
    Ok(layout.name)
}

/// Puts `values` over what is there, as Helm does.
fn merge(all: &mut Value, values: &Value) {
    match (all, values) {
        (Value::Object(all), Value::Object(values)) => {
            for (key, value) in values {
                merge(all.entry(key).or_insert(Value::Null), value);
            }
        }
        (all, value) => *all = value.clone(),
    }
}

/// A Postgres that pods reach.
fn database(directory: &Path) -> Result<Postgres> {
    fs::create_dir_all(directory)?;
    let server = Postgres::start_with(directory, &["listen_addresses=*".to_owned()])?;
    let rules = directory.join("data/pg_hba.conf");
    let text = fs::read_to_string(&rules)?;
    fs::write(&rules, text + "host all all 10.0.0.0/8 scram-sha-256\n")?;
    // The release's own migrations are to make it.
    server.psql("SELECT pg_reload_conf(); DROP TABLE users")?;
    Ok(server)
}
