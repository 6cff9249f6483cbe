//! wasmCloud's `wash host`, as a cluster runs it: it pulls components out of a registry, and learns from
//! NATS which workloads to run. wasmCloud's operator is what tells it there; here it is this module.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tools::{
    root,
    run::{announce, run},
};

use crate::{client, host::free_port, nats::Nats, postgres::Address, process::Process, registry};

/// How long a host may take to be ready for workloads.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// The workloads that production runs: on WASI 0.2, and on 0.3.
const WORKLOADS: [&str; 2] = [
    "deploy/wasmcloud/v1-4-0.yaml",
    "deploy/wasmcloud/v1-5-0.yaml",
];

/// A host that runs, with its NATS and its registry. Dropping it ends them.
#[derive(Debug)]
pub struct WashHost {
    // In the order of their end.
    host: Process,
    registry: (Process, u16),
    nats: Nats,
    program: PathBuf,
    /// What the host calls itself.
    name: String,
}

/// What differs from the workload of deploy/wasmcloud.
#[derive(Clone, Copy, Debug)]
pub struct Workload<'a> {
    /// What it is called.
    pub name: &'a str,
    /// The component, as [`WashHost::push`] names it.
    pub image: &'a str,
    /// What a request has to name as its `host` for this workload: one of these.
    pub hosts: &'a [&'a str],
    /// Other values for what `wasi:config` tells it, such as `store`.
    pub settings: &'a [(&'a str, &'a str)],
    /// Its database.
    pub database: &'a str,
    /// Whether the component is on WASI 0.3.
    pub is_p3: bool,
}

impl WashHost {
    /// Starts one that keeps its files in `directory`, without a workload.
    ///
    /// # Errors
    ///
    /// One sentence: what cannot be had, or does not start.
    pub fn start(
        program: &Path,
        port: u16,
        directory: &Path,
        postgres: Option<&Address>,
    ) -> Result<Self> {
        let log = directory.join("log");
        let environment = |_: &mut Command| {};
        Self::start_with(program, port, directory, postgres, Some(&log), environment)
    }

    /// [`WashHost::start`] with another log, and what `prepare` does to the command.
    pub(crate) fn start_with(
        program: &Path,
        port: u16,
        directory: &Path,
        postgres: Option<&Address>,
        log: Option<&Path>,
        prepare: impl FnOnce(&mut Command),
    ) -> Result<Self> {
        let directory = &directory.join(".wash/host");
        fs::create_dir_all(directory)?;
        let nats = Nats::start(&directory.join("nats"))?;
        let registry = registry::start(directory)?;
        let mut operator = nats.connect()?;
        operator.subscribe("runtime.operator.heartbeat.*")?;

        let probes = free_port()?;
        let mut command = Command::new(program);
        command
            .args(["host", "--non-interactive", "--log-level", "warn"])
            .args(["--http-addr", &format!("127.0.0.1:{port}")])
            .args(["--probe-addr", &format!("127.0.0.1:{probes}")])
            .args(["--scheduler-nats-url", &nats.url()])
            .args(["--data-nats-url", &nats.url()])
            .arg("--allow-insecure-registries")
            .arg("--oci-cache-dir")
            .arg(directory.join("cache"))
            .current_dir(directory);
        if let Some(address) = postgres {
            command.env("WASH_POSTGRES_URL", address.url_for_wash()?);
        }
        prepare(&mut command);
        let host = Process::start_server(&mut command, log, START_TIMEOUT, || {
            client::is_ok(probes, "/readyz")
        })?;
        let heartbeat = operator.message()?;
        let name = heartbeat.subject.rsplit('.').next().unwrap_or_default();
        Ok(Self {
            host,
            registry,
            nats,
            program: program.to_owned(),
            name: name.to_owned(),
        })
    }

    /// Pushes a component to the registry, and returns the name of its image.
    pub fn push(&self, artifact: &Path) -> Result<String> {
        let name = artifact.file_stem().context("it has a name")?;
        let name = name.display().to_string().to_lowercase();
        let image = format!("127.0.0.1:{}/{name}:latest", self.registry.1);
        run(
            "push the component",
            Command::new(&self.program)
                .args(["oci", "push", "--non-interactive", "--insecure", &image])
                .arg(artifact),
        )?;
        Ok(image)
    }

    /// Starts a workload, and returns once it serves.
    ///
    /// # Errors
    ///
    /// What the host says: it cannot pull the image, or has not what the component imports.
    pub fn start_workload(&self, workload: &Workload) -> Result<()> {
        announce(&format!("starting the workload {}", workload.name));
        let request = json!({
            "workloadId": workload.name,
            "workload": {
                "namespace": "hello",
                "name": workload.name,
                "witWorld": world(workload)?,
            },
        });
        let subject = format!("runtime.host.{}.workload.start", self.name);
        let request = serde_json::to_vec(&request)?;
        let response = self.nats.connect()?.request(&subject, &request)?;
        let response: Value = serde_json::from_slice(&response)?;
        let status = &response["workloadStatus"];
        let is_running = status["workloadState"] == "WORKLOAD_STATE_RUNNING";
        ensure!(is_running, "wash does not run {}: {status}", workload.name);
        Ok(())
    }

    /// The host's process.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.host
    }

    /// The same, to wait for its end.
    pub fn process_mut(&mut self) -> &mut Process {
        &mut self.host
    }

    /// Ends the host without a warning.
    pub fn kill(self) -> Result<()> {
        self.host.kill()
    }
}

/// What the operator would make of the workload of deploy/wasmcloud.
fn world(workload: &Workload) -> Result<Value> {
    let file = WORKLOADS[usize::from(workload.is_p3)];
    let text = fs::read_to_string(root().join(file)).context(file)?;
    let spec = text
        .split("\n---\n")
        .map(yaml_serde::from_str::<Value>)
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .find_map(|object| Some(object.pointer("/spec/template/spec")?.clone()))
        .with_context(|| format!("{file} has no workload"))?;
    let mut interfaces = spec["hostInterfaces"].clone();
    for interface in interfaces.as_array_mut().into_iter().flatten() {
        let package = interface["package"].as_str().unwrap_or_default().to_owned();
        let config = &mut interface["config"];
        match package.as_str() {
            "http" => {
                let (first, others) = workload.hosts.split_first().context("it has a host")?;
                config["host"] = (*first).into();
                config["host-aliases"] = others.join(",").into();
            }
            "config" => {
                for (name, value) in workload.settings {
                    config[*name] = (*value).into();
                }
            }
            "postgres" => config["database"] = workload.database.into(),
            _ => {}
        }
        if config.is_null() {
            *config = json!({});
        }
    }
    let component = &spec["components"][0];
    Ok(json!({
        "components": [{
            "name": component["name"],
            "image": workload.image,
            "poolSize": component["poolSize"],
            "maxInvocations": component["maxInvocations"].as_i64().unwrap_or(0),
            "maxConcurrency": component["maxConcurrency"].as_i64().unwrap_or(0),
        }],
        "hostInterfaces": interfaces,
    }))
}
