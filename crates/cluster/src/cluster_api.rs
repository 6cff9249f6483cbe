//! Cluster API and its provider for AWS: what they release, made of their modules, for clusterctl to
//! install; and the managers of the Deployments that it makes, as processes.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use base64::{Engine, engine::general_purpose::STANDARD};
use harness::{host::free_port, process::Process, wait::wait_until};
use serde_json::{Value, json};
use tools::fetch::go;

use crate::{control_plane::ControlPlane, kubectl::Kubectl};

/// How long clusterctl may take for a provider.
const INSTALLED: Duration = Duration::from_secs(60);
const MOMENT: Duration = Duration::from_millis(200);

/// A provider of Cluster API.
struct Provider {
    name: &'static str,
    kind: &'static str,
    /// As clusterctl labels what is of it, and calls the directory of its releases.
    label: &'static str,
    /// The file of a release, and what is built for it.
    components: &'static str,
    overlay: &'static str,
    /// The module, what pins it, and what is compiled of it.
    module: &'static str,
    pin: &'static str,
    program: &'static str,
    namespace: &'static str,
    deployment: &'static str,
    /// What it is told besides.
    impatience: &'static [&'static str],
}

const PROVIDERS: [Provider; 2] = [
    Provider {
        name: "cluster-api",
        kind: "CoreProvider",
        label: "cluster-api",
        components: "core-components.yaml",
        overlay: "core/config/default",
        module: "sigs.k8s.io/cluster-api",
        pin: "cluster-api",
        program: "cluster-api-controller",
        namespace: "capi-system",
        deployment: "capi-controller-manager",
        impatience: &[],
    },
    Provider {
        name: "aws",
        kind: "InfrastructureProvider",
        label: "infrastructure-aws",
        components: "infrastructure-components.yaml",
        overlay: "config/default",
        module: "sigs.k8s.io/cluster-api-provider-aws/v2",
        pin: "cluster-api-provider-aws",
        program: "cluster-api-aws-controller",
        namespace: "capa-system",
        deployment: "capa-controller-manager",
        impatience: &["--wait-infra-period=1s"],
    },
];

/// Makes what each provider releases, in `directory`, and returns where: the `providers` of
/// clusterctl's configuration.
///
/// # Errors
///
/// If a module cannot be had, or its manifests cannot be built.
pub fn releases(directory: &Path) -> Result<Value> {
    let providers = PROVIDERS.iter().map(|provider| {
        let release = provider.release(directory)?;
        Ok(json!({"name": provider.name, "type": provider.kind, "url": release}))
    });
    providers.collect()
}

/// Runs `init`, which has clusterctl install the providers, and starts their managers meanwhile, as
/// the users that they are and each as a command that `launch` makes: `--wait-providers` waits for
/// them. Their webhooks are at `address`.
///
/// # Errors
///
/// If clusterctl fails, or a manager does not become ready, with the end of its log.
pub fn start(
    plane: &ControlPlane,
    address: Ipv4Addr,
    directory: &Path,
    init: &mut Command,
    launch: impl Fn(&Path) -> Command,
) -> Result<Vec<Process>> {
    let log = directory.join("logs/clusterctl.log");
    let mut clusterctl = Process::start(init, Some(&log))?;
    let mut has_ended = || {
        let status = clusterctl.try_wait()?;
        if status.is_some_and(|status| !status.success()) {
            bail!("clusterctl: {}", fs::read_to_string(&log)?.trim());
        }
        Ok(status.is_some())
    };
    let mut managers = Vec::new();
    for provider in &PROVIDERS {
        provider.is_installed(&plane.kubectl, &mut has_ended)?;
        let endpoint = provider.direct_webhooks(plane, address, directory)?;
        managers.push(provider.start(plane, &endpoint, &launch)?);
    }
    wait_until("clusterctl to end", INSTALLED, MOMENT, || {
        anyhow::Ok(has_ended()?.then_some(()))
    })?;
    Ok(managers)
}

/// Where a manager serves its webhooks, and with which certificate.
struct Endpoint {
    port: u16,
    certificates: PathBuf,
}

impl Provider {
    /// What `make release` of its repository makes: `kustomize build`, and a file.
    fn release(&self, directory: &Path) -> Result<PathBuf> {
        let module = go::pinned_module(self.pin, self.module)?;
        let name = module.to_string_lossy();
        let (_, version) = name.rsplit_once('@').context("a module has a version")?;
        let release = directory.join(self.label).join(version);
        fs::create_dir_all(&release)?;
        let output = Command::new(tools::find_or_fetch("kubectl")?)
            .arg("kustomize")
            .arg(module.join(self.overlay))
            .output()?;
        if !output.status.success() {
            bail!("{name}: {}", String::from_utf8_lossy(&output.stderr));
        }
        let components = release.join(self.components);
        fs::write(&components, output.stdout)?;
        fs::write(
            release.join("metadata.yaml"),
            fs::read(module.join("metadata.yaml"))?,
        )?;
        Ok(components)
    }

    /// The last object of a provider is its entry in clusterctl's inventory.
    fn is_installed(
        &self,
        kubectl: &Kubectl,
        has_ended: &mut impl FnMut() -> Result<bool>,
    ) -> Result<()> {
        let entry = [
            "provider.clusterctl.cluster.x-k8s.io",
            self.label,
            "--namespace",
            self.namespace,
        ];
        wait_until(
            &format!("clusterctl to install {}", self.label),
            INSTALLED,
            MOMENT,
            || {
                has_ended()?;
                Ok(kubectl.get(&entry).ok().map(drop))
            },
        )
    }

    /// Points its webhooks to where its manager is: there is no Service without kube-proxy, and no
    /// certificate without cert-manager.
    fn direct_webhooks(
        &self,
        plane: &ControlPlane,
        address: Ipv4Addr,
        directory: &Path,
    ) -> Result<Endpoint> {
        let endpoint = Endpoint {
            port: free_port()?,
            certificates: directory.join(self.deployment),
        };
        let issued = plane
            .authority
            .issue(self.deployment, "", &[address.to_string()])?;
        fs::create_dir_all(&endpoint.certificates)?;
        fs::copy(issued.certificate, endpoint.certificates.join("tls.crt"))?;
        fs::copy(issued.key, endpoint.certificates.join("tls.key"))?;

        let authority = STANDARD.encode(fs::read(plane.authority.certificate())?);
        let url = format!("https://{address}:{}", endpoint.port);
        let mut calling = plane.kubectl.get(&[
            "customresourcedefinitions,mutatingwebhookconfigurations,validatingwebhookconfigurations",
            &format!("--selector=cluster.x-k8s.io/provider={}", self.label),
        ])?;
        let objects = calling["items"].as_array_mut().context("it is a list")?;
        objects.retain_mut(|object| {
            // kubectl takes the one that is there now.
            object["metadata"]["resourceVersion"].take();
            direct(object, &url, &authority)
        });
        plane
            .kubectl
            .run_with(&["replace", "--filename=-"], &calling.to_string())?;
        Ok(endpoint)
    }

    /// Starts its manager with the arguments of its Deployment, and says there that it is available.
    fn start(
        &self,
        plane: &ControlPlane,
        endpoint: &Endpoint,
        launch: impl Fn(&Path) -> Command,
    ) -> Result<Process> {
        let named = [self.deployment, "--namespace", self.namespace];
        let deployment = plane.kubectl.get(&[&["deployment"], &named[..]].concat())?;
        let pod = &deployment["spec"]["template"]["spec"];
        let arguments = pod["containers"][0]["args"].as_array();
        let arguments = arguments.into_iter().flatten().filter_map(Value::as_str);
        let account = pod["serviceAccountName"].as_str().unwrap_or_default();
        let user = format!("system:serviceaccount:{}:{account}", self.namespace);
        let health = free_port()?;
        let mut command = launch(&tools::find_or_fetch(self.program)?);
        command
            .args(arguments)
            // The last one counts.
            .args(["--leader-elect=false", "--diagnostics-address=127.0.0.1:0"])
            .args(self.impatience)
            .arg(format!("--health-addr=127.0.0.1:{health}"))
            .arg(format!("--webhook-port={}", endpoint.port))
            .arg("--webhook-cert-dir")
            .arg(&endpoint.certificates)
            .env("KUBECONFIG", plane.kubeconfig(&user, "")?);
        let manager = plane.start_controller(self.deployment, &mut command, || {
            harness::client::is_ok(health, "/readyz")
        })?;
        let now = "2026-01-01T00:00:00Z";
        let available = json!({"status": {"conditions": [{
            "type": "Available",
            "status": "True",
            "reason": "MinimumReplicasAvailable",
            "message": "its process is ready",
            "lastTransitionTime": now,
            "lastUpdateTime": now,
        }]}});
        let patch = ["--subresource=status", "--type=merge", "--patch"];
        let available = available.to_string();
        plane.kubectl.run(
            &[
                &["patch", "deployment"],
                &named[..],
                &patch,
                &[available.as_str()],
            ]
            .concat(),
        )?;
        Ok(manager)
    }
}

/// Whether something in there calls a Service, which is then called at `url`.
fn direct(value: &mut Value, url: &str, authority: &str) -> bool {
    match value {
        Value::Object(fields) => {
            let mut is_any = false;
            for (key, field) in fields {
                if key == "clientConfig" && field["service"].is_object() {
                    let path = field["service"]["path"].as_str().unwrap_or_default();
                    let url = format!("{url}{path}");
                    *field = json!({"url": url, "caBundle": authority});
                    is_any = true;
                } else {
                    is_any |= direct(field, url, authority);
                }
            }
            is_any
        }
        Value::Array(items) => {
            let directed = items.iter_mut().map(|item| direct(item, url, authority));
            directed.fold(false, |any, one| any | one)
        }
        _ => false,
    }
}
