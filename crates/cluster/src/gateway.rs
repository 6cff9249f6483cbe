//! A gateway: Contour, which makes of Gateway API objects what Envoy, the proxy, does.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use harness::process::Process;
use serde_json::Value;

use crate::control_plane::ControlPlane;

/// The Gateway's namespace.
pub const NAMESPACE: &str = "gateway";

/// The Gateway's name.
pub const NAME: &str = "public";

/// Where Envoy takes requests: Contour adds 8000 to the listener's port.
pub const PORT: u16 = 8080;

/// The user that Contour is, with the rights that its own manifests give it.
const USER: &str = "contour";

/// Where Envoy asks Contour for its configuration.
const XDS_PORT: u16 = 8001;

/// What Contour would watch beside HTTPRoutes, and this cluster has not.
const ABSENT: [&str; 5] = [
    "extensionservices",
    "tlsroutes",
    "grpcroutes",
    "tcproutes",
    "backendtlspolicies",
];

/// A gateway that runs. Dropping it ends it.
pub struct Gateway {
    log: PathBuf,
    // In the order in which they end.
    _processes: [Process; 2],
}

/// A request that Envoy has answered, as its access log has it.
pub struct Access {
    /// The Service that its backend belongs to: `NAMESPACE_NAME_PORT`.
    pub service: String,
    /// The address and port of the pod.
    pub pod: String,
}

impl Gateway {
    /// Starts both, with their files in `directory`. The definitions of the Gateway API and Contour's
    /// are to be there ([`crate::crds`]).
    ///
    /// # Errors
    ///
    /// If a program cannot be had, or does not become ready.
    pub fn start(plane: &ControlPlane, directory: &Path) -> Result<Self> {
        let directory = directory.join("gateway");
        fs::create_dir_all(&directory)?;
        let module = crate::crds::module("github.com/projectcontour/contour")?;
        let role = module.join("examples/contour/02-role-contour.yaml");
        let kubectl = &plane.kubectl;
        for namespace in ["projectcontour", NAMESPACE] {
            kubectl.run(&["create", "namespace", namespace])?;
        }
        kubectl.run(&["apply", "--filename", &role.display().to_string()])?;
        kubectl.run(&[
            "create",
            "clusterrolebinding",
            USER,
            "--clusterrole=contour",
            &format!("--user={USER}"),
        ])?;
        kubectl.apply(
            &format!(
                "{{apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass, \
                   metadata: {{name: contour}}, \
                   spec: {{controllerName: projectcontour.io/gateway-controller}}}}\n---\n\
                 {{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, \
                   metadata: {{name: {NAME}, namespace: {NAMESPACE}}}, \
                   spec: {{gatewayClassName: contour, listeners: [\
                     {{name: http, protocol: HTTP, port: 80, \
                       allowedRoutes: {{namespaces: {{from: All}}}}}}]}}}}\n"
            ),
            &[],
        )?;
        let contour = contour(plane, &directory)?;
        let log = directory.join("access.log");
        let envoy = envoy(plane, &directory)?;
        Ok(Self {
            log,
            _processes: [envoy, contour],
        })
    }

    /// Who has answered each request, by the request's user-agent.
    ///
    /// # Errors
    ///
    /// If the log cannot be read.
    pub fn accesses(&self) -> Result<HashMap<String, Access>> {
        let log = fs::read_to_string(&self.log).context("Envoy has no access log")?;
        // Its last line may be cut short.
        let lines = log
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let text = |line: &Value, key: &str| line[key].as_str().unwrap_or_default().to_owned();
        let accesses = lines.map(|line| {
            let access = Access {
                service: text(&line, "upstream_cluster"),
                pod: text(&line, "upstream_host"),
            };
            (text(&line, "user_agent"), access)
        });
        Ok(accesses.collect())
    }
}

fn contour(plane: &ControlPlane, directory: &Path) -> Result<Process> {
    let config = directory.join("contour.yaml");
    let text = serde_json::json!({
        "gateway": {"gatewayRef": {"namespace": NAMESPACE, "name": NAME}},
        "accesslog-format": "json",
        "json-fields": ["user_agent", "upstream_cluster", "upstream_host"],
    });
    fs::write(&config, text.to_string())?;
    let kubeconfig = plane.kubeconfig(USER, "")?;
    let mut command = Command::new(tools::find_or_fetch("contour")?);
    command
        .arg("serve")
        .arg(format!("--config-path={}", config.display()))
        .arg(format!("--kubeconfig={}", kubeconfig.display()))
        .arg(format!(
            "--envoy-http-access-log={}",
            directory.join("access.log").display()
        ))
        .args([
            "--no-incluster",
            "--disable-leader-election",
            // Both are on this machine, in a network namespace of their own.
            "--insecure",
            "--xds-address=127.0.0.1",
            "--http-address=127.0.0.1",
            "--health-address=127.0.0.1",
            "--debug-http-address=127.0.0.1",
        ])
        .arg(format!("--xds-port={XDS_PORT}"))
        .args(ABSENT.map(|feature| format!("--disable-feature={feature}")));
    plane.start_controller("contour", &mut command, || {
        std::net::TcpStream::connect(("127.0.0.1", XDS_PORT)).is_ok()
    })
}

fn envoy(plane: &ControlPlane, directory: &Path) -> Result<Process> {
    let bootstrap = directory.join("envoy.json");
    tools::run::read(
        "write Envoy's bootstrap configuration",
        Command::new(tools::find_or_fetch("contour")?)
            .arg("bootstrap")
            .arg(&bootstrap)
            .args(["--xds-address=127.0.0.1", &format!("--xds-port={XDS_PORT}")])
            .arg(format!(
                "--admin-address={}",
                directory.join("admin.sock").display()
            )),
    )?;
    let mut command = Command::new(tools::find_or_fetch("envoy")?);
    command
        .arg("--config-path")
        .arg(bootstrap)
        // It takes no `=`.
        .args("--service-cluster gateway --service-node envoy".split(' '))
        .args("--log-level warn --file-flush-interval-msec 200".split(' '))
        .args("--concurrency 2 --use-dynamic-base-id".split(' '));
    // It listens once the first route is there: of a Gateway alone, Contour makes no listener.
    let address = directory.join("admin.sock");
    plane.start_controller("envoy", &mut command, move || address.exists())
}
