//! Argo CD, and the clusters that it delivers to.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use harness::process::Process;
use serde_json::{Value, json};
use tools::root;

use crate::{control_plane::ControlPlane, crds, kubectl::Kubectl};

/// Where it is, with its Applications.
pub const NAMESPACE: &str = "argocd";

/// Its controllers, as the users that its own manifests give rights to.
const APPLICATIONS: &str = "argocd-application-controller";
const APPLICATION_SETS: &str = "argocd-applicationset-controller";
const NOTIFICATIONS: &str = "argocd-notifications-controller";

/// How often Argo CD polls the repository: there is no webhook.
const RECONCILIATION: &str = "10s";

/// What its parts are started with, of ours.
const PARAMETERS: &str = "argocd-cmd-params-cm.yaml";

/// In its module.
const MANIFESTS: &str = "manifests/base";

const REDIS: &str = "--redis=127.0.0.1:6379";

/// Argo CD without its server, which only people ask. Dropping it ends it.
pub struct ArgoCd {
    /// As an administrator of the cluster that it is in.
    pub kubectl: Kubectl,
    _processes: [Process; 4],
}

impl ArgoCd {
    /// Starts it in the cluster of `plane`, configured as `deploy/argocd` says, with its data in
    /// `directory`.
    ///
    /// # Errors
    ///
    /// If it cannot be had, or does not become ready, with the end of its log.
    pub fn start(plane: &ControlPlane, directory: &Path) -> Result<Self> {
        let it = Starting::new(plane, directory)?;
        let kubectl = plane.kubectl.clone();
        let mut definitions = Vec::new();
        crds::collect(&it.module.join("manifests/crds"), &mut definitions)?;
        crds::apply(&kubectl, &definitions)?;
        kubectl.run(&["create", "namespace", NAMESPACE])?;
        for file in ["argocd-cm.yaml", PARAMETERS] {
            kubectl.apply(&ours(file)?, &[])?;
        }
        // Its server would fill it in.
        let secret = it.manifest("config/argocd-secret.yaml")?;
        kubectl.apply(&secret, &[&in_namespace()])?;
        kubectl.run(&[
            "patch",
            "secret/argocd-secret",
            &in_namespace(),
            "--patch={\"stringData\": {\"server.secretkey\": \"for-no-session\"}}",
        ])?;

        let (redis, repositories) = (it.redis()?, it.repositories()?);
        Ok(Self {
            kubectl,
            _processes: [
                it.application_sets()?,
                it.applications()?,
                repositories,
                redis,
            ],
        })
    }

    /// Starts its notifications' controller in the cluster of `plane`, for the ConfigMap and the Secret
    /// of its own names.
    ///
    /// # Errors
    ///
    /// If it does not become ready, with the end of its log.
    pub fn start_notifications(&self, plane: &ControlPlane, directory: &Path) -> Result<Process> {
        Starting::new(plane, directory)?.notifications()
    }

    /// Registers `plane` as the cluster `name`, with these labels and annotations. Argo CD may do
    /// all there, as `argocd cluster add` has it.
    ///
    /// # Errors
    ///
    /// If its Secret cannot be made.
    pub fn register(
        &self,
        name: &str,
        plane: &ControlPlane,
        labels: &[(&str, &str)],
        annotations: &[(&str, &str)],
    ) -> Result<()> {
        let user = Kubectl::new(plane.kubeconfig("argocd-manager", "system:masters")?)?;
        let config = user.run(&["config", "view", "--flatten", "--output=json"])?;
        let config: Value = serde_json::from_str(&config)?;
        let (cluster, user) = (
            &config["clusters"][0]["cluster"],
            &config["users"][0]["user"],
        );
        let access = json!({"tlsClientConfig": {
            "caData": cluster["certificate-authority-data"],
            "certData": user["client-certificate-data"],
            "keyData": user["client-key-data"],
        }});
        let mut secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": format!("cluster-{name}"),
                "namespace": NAMESPACE,
                "labels": {"argocd.argoproj.io/secret-type": "cluster"},
                "annotations": {},
            },
            "stringData": {"name": name, "server": cluster["server"], "config": access.to_string()},
        });
        for (kind, entries) in [("labels", labels), ("annotations", annotations)] {
            for (key, value) in entries {
                secret["metadata"][kind][key] = (*value).into();
            }
        }
        self.kubectl.apply(&secret.to_string(), &[]).map(drop)
    }
}

/// `--namespace` of Argo CD.
#[must_use]
pub fn in_namespace() -> String {
    format!("--namespace={NAMESPACE}")
}

/// A file of `deploy/argocd`.
fn ours(file: &str) -> Result<String> {
    let file = root().join("deploy/argocd").join(file);
    fs::read_to_string(&file).with_context(|| file.display().to_string())
}

/// What its parts are started with.
struct Starting<'a> {
    plane: &'a ControlPlane,
    directory: &'a Path,
    /// Argo CD's own.
    module: PathBuf,
    /// argocd-cmd-params-cm.
    parameters: Value,
}

impl<'a> Starting<'a> {
    fn new(plane: &'a ControlPlane, directory: &'a Path) -> Result<Self> {
        Ok(Self {
            plane,
            directory,
            module: tools::fetch::go::pinned_module("argocd", "github.com/argoproj/argo-cd/v3")?,
            parameters: yaml_serde::from_str(&ours(PARAMETERS)?)?,
        })
    }

    fn redis(&self) -> Result<Process> {
        let mut redis = Command::new(tools::find_or_fetch("redis-server")?);
        redis
            .args(["--bind", "127.0.0.1", "--save", "", "--dir"])
            .arg(self.directory);
        self.plane.start_controller("redis", &mut redis, || {
            std::net::TcpStream::connect(("127.0.0.1", 6379)).is_ok()
        })
    }

    fn repositories(&self) -> Result<Process> {
        let [temporary, programs] = ["repositories", "bin"].map(|name| self.directory.join(name));
        fs::create_dir_all(&temporary)?;
        fs::create_dir_all(&programs)?;
        let helm = tools::find_or_fetch("helm")?;
        let helm = helm.parent().context("helm has a directory")?.to_owned();
        // It runs this of every commit, whether signatures count or not.
        let wrapper = programs.join("git-verify-wrapper.sh");
        fs::copy(self.module.join("hack/git-verify-wrapper.sh"), &wrapper)?;
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755))?;
        let path = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths([helm, programs].into_iter().chain(env::split_paths(&path)))?;
        let deployment = "repo-server/argocd-repo-server-deployment.yaml";
        let mut server = self.component("argocd-repo-server", deployment)?;
        server
            .args(["--address=127.0.0.1", REDIS])
            .env("PATH", path)
            .env("TMPDIR", temporary)
            .env("ARGOCD_ASK_PASS_SOCK", self.directory.join("ask-pass"));
        self.plane
            .start_controller("argocd-repo-server", &mut server, || {
                harness::client::is_ok(8084, "/healthz?full=true")
            })
    }

    fn applications(&self) -> Result<Process> {
        self.allow(APPLICATIONS, "application-controller-roles")?;
        let stateful_set = "application-controller/argocd-application-controller-statefulset.yaml";
        let mut controller = self.component(APPLICATIONS, stateful_set)?;
        controller.args(["--repo-server=127.0.0.1:8081", REDIS]);
        self.run(APPLICATIONS, &mut controller, 8082, "/healthz")
    }

    fn application_sets(&self) -> Result<Process> {
        self.allow(APPLICATION_SETS, "applicationset-controller")?;
        let deployment =
            "applicationset-controller/argocd-applicationset-controller-deployment.yaml";
        let mut controller = self.component(APPLICATION_SETS, deployment)?;
        controller.args([
            "--argocd-repo-server=127.0.0.1:8081",
            "--metrics-addr=127.0.0.1:8085",
            "--probe-addr=127.0.0.1:8086",
            "--webhook-addr=127.0.0.1:8087",
        ]);
        self.run(APPLICATION_SETS, &mut controller, 8085, "/metrics")
    }

    fn notifications(&self) -> Result<Process> {
        self.allow(NOTIFICATIONS, "notification")?;
        let deployment = "notification/argocd-notifications-controller-deployment.yaml";
        let mut controller = self.component("argocd-notifications", deployment)?;
        controller.arg("--argocd-repo-server=127.0.0.1:8081");
        self.run(NOTIFICATIONS, &mut controller, 9001, "/metrics")
    }

    /// One of its own manifests.
    fn manifest(&self, name: &str) -> Result<String> {
        let file = self.module.join(MANIFESTS).join(name);
        fs::read_to_string(&file).with_context(|| file.display().to_string())
    }

    /// Gives the user of this name the role of this name.
    fn allow(&self, name: &str, directory: &str) -> Result<()> {
        let role = self.manifest(&format!("{directory}/{name}-role.yaml"))?;
        let kubectl = &self.plane.kubectl;
        kubectl.apply(&role, &[&in_namespace()])?;
        kubectl.run(&[
            "create",
            "rolebinding",
            name,
            &format!("--role={name}"),
            &format!("--user={name}"),
            &in_namespace(),
        ])?;
        Ok(())
    }

    /// A command of its program, in the environment that `manifest` makes of the parameters.
    fn component(&self, name: &str, manifest: &str) -> Result<Command> {
        let mut command = Command::new(tools::find_or_fetch("argocd-application-controller")?);
        command
            .env("ARGOCD_BINARY_NAME", name)
            .env("ARGOCD_RECONCILIATION_TIMEOUT", RECONCILIATION)
            .env("ARGOCD_RECONCILIATION_JITTER", "0s")
            .env("ARGOCD_GPG_ENABLED", "false");
        let workload: Value = yaml_serde::from_str(&self.manifest(manifest)?)?;
        let variables = workload.pointer("/spec/template/spec/containers/0/env");
        for variable in variables.and_then(Value::as_array).into_iter().flatten() {
            let source = &variable["valueFrom"]["configMapKeyRef"];
            let key = source["key"].as_str().unwrap_or_default();
            if source["name"] == "argocd-cmd-params-cm"
                && let Some(value) = self.parameters["data"][key].as_str()
            {
                command.env(variable["name"].as_str().unwrap_or_default(), value);
            }
        }
        Ok(command)
    }

    /// Starts a controller, as the user of its name.
    fn run(&self, name: &str, command: &mut Command, port: u16, path: &str) -> Result<Process> {
        command
            .arg(in_namespace())
            .env("KUBECONFIG", self.plane.kubeconfig(name, "")?);
        self.plane
            .start_controller(name, command, || harness::client::is_ok(port, path))
    }
}
