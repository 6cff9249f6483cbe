//! etcd and kube-apiserver; kube-controller-manager and kube-scheduler where something is to happen.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::Duration,
};

use anyhow::{Result, anyhow};
use harness::process::Process;

use crate::{ADDRESS, crds, kubectl::Kubectl, namespace, pki::Authority};

/// The addresses of Services. The first is the API server's own.
pub(crate) const SERVICES: &str = "10.96.0.0/16";
const API_SERVICE: &str = "10.96.0.1";

/// The addresses of pods.
pub(crate) const PODS: &str = "10.244.0.0/16";

/// How long a program may take to be ready: on two busy cores the API server takes a while.
const READY_TIMEOUT: Duration = Duration::from_secs(120);

/// The API server and its etcd. Dropping it ends both.
pub struct ControlPlane {
    /// The CA of all its certificates.
    pub authority: Authority,
    /// As a cluster's administrator.
    pub kubectl: Kubectl,
    address: Ipv4Addr,
    directory: PathBuf,
    // In the order in which they end.
    _processes: [Process; 2],
}

/// The one that all tests of this program share, with every definition of custom resources. It starts
/// when it is first asked for, with its files in `target/NAME`, and ends with its namespaces.
///
/// # Errors
///
/// As [`ControlPlane::start`] and [`crds::install`], and the same for who asks again.
pub fn shared(name: &str) -> Result<&'static ControlPlane> {
    static SHARED: OnceLock<Result<ControlPlane, String>> = OnceLock::new();
    let start = || {
        let plane = ControlPlane::start(&tools::fresh(name)?)?;
        crds::install(&plane.kubectl)?;
        anyhow::Ok(plane)
    };
    let started = SHARED.get_or_init(|| start().map_err(|error| format!("{error:#}")));
    started.as_ref().map_err(|error| anyhow!("{error}"))
}

impl ControlPlane {
    /// Starts it, with its data, certificates and logs in `directory`.
    ///
    /// # Errors
    ///
    /// If a program cannot be had or does not become ready, with the end of its log.
    pub fn start(directory: &Path) -> Result<Self> {
        Self::start_at(ADDRESS, directory)
    }

    /// [`ControlPlane::start`] at an address of its own, beside others.
    ///
    /// # Errors
    ///
    /// As [`ControlPlane::start`].
    pub fn start_at(address: Ipv4Addr, directory: &Path) -> Result<Self> {
        namespace::add_address(address)?;
        let [pki, logs] = ["pki", "logs"].map(|name| directory.join(name));
        fs::create_dir_all(&logs)?;
        let authority = Authority::new(&pki)?;
        let admin = authority.kubeconfig(&server(address), "admin", "system:masters")?;
        let kubectl = Kubectl::new(admin)?;

        let etcd = etcd(address, directory, &logs)?;
        let api_server = api_server(address, &authority, &logs, &kubectl)?;
        Ok(Self {
            authority,
            kubectl,
            address,
            directory: directory.to_owned(),
            _processes: [api_server, etcd],
        })
    }

    /// Starts kube-controller-manager and kube-scheduler.
    ///
    /// # Errors
    ///
    /// As [`ControlPlane::start`].
    pub fn start_controllers(&self) -> Result<[Process; 2]> {
        let manager = self.controller_manager(&[
            "--allocate-node-cidrs",
            // A horizontal autoscaler that never hears of a metric looks again soon.
            "--horizontal-pod-autoscaler-sync-period=2s",
        ])?;
        Ok([manager, self.scheduler()?])
    }

    /// Starts of kube-controller-manager what deletes: what has lost its owner, and namespaces. No
    /// Job runs then, and nothing becomes ready.
    ///
    /// # Errors
    ///
    /// As [`ControlPlane::start`].
    pub fn start_garbage_collector(&self) -> Result<Process> {
        self.start_controllers_of(&[
            "garbage-collector-controller",
            "namespace-controller",
            "serviceaccount-controller",
        ])
    }

    /// Starts these of kube-controller-manager alone.
    ///
    /// # Errors
    ///
    /// As [`ControlPlane::start`].
    pub fn start_controllers_of(&self, names: &[&str]) -> Result<Process> {
        self.controller_manager(&[
            &format!("--controllers={}", names.join(",")),
            // It has nothing to say, and may run several times.
            "--secure-port=0",
        ])
    }

    /// A kubeconfig for the user `name` in `group`.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn kubeconfig(&self, name: &str, group: &str) -> Result<PathBuf> {
        self.authority
            .kubeconfig(&server(self.address), name, group)
    }

    /// Starts a controller, and waits until it `is_ready`.
    ///
    /// # Errors
    ///
    /// If it does not become ready, with the end of its log.
    pub fn start_controller(
        &self,
        name: &str,
        command: &mut Command,
        is_ready: impl FnMut() -> bool,
    ) -> Result<Process> {
        let log = self.directory.join(format!("logs/{name}.log"));
        Process::start_server(command, Some(&log), READY_TIMEOUT, is_ready)
    }

    fn controller_manager(&self, arguments: &[&str]) -> Result<Process> {
        let config = self.kubeconfig("system:kube-controller-manager", "")?;
        let authority = &self.authority;
        let mut command = Command::new(tools::find_or_fetch("kube-controller-manager")?);
        command
            .arg(flag("kubeconfig", &config))
            .arg(flag("authentication-kubeconfig", &config))
            .arg(flag("authorization-kubeconfig", &config))
            .arg(flag("root-ca-file", &authority.certificate()))
            .arg(flag("cluster-signing-cert-file", &authority.certificate()))
            .arg(flag("cluster-signing-key-file", &authority.key()))
            .arg(flag(
                "service-account-private-key-file",
                &self.directory.join("pki/service-accounts.key"),
            ))
            .arg(format!("--cluster-cidr={PODS}"))
            .args(["--use-service-account-credentials", "--leader-elect=false"])
            .args(arguments);
        self.start_controller("kube-controller-manager", &mut command, || {
            // It makes each namespace's service account: without that no pod is admitted.
            self.kubectl
                .run(&["get", "serviceaccount/default", "--namespace=default"])
                .is_ok()
        })
    }

    fn scheduler(&self) -> Result<Process> {
        let config = self.kubeconfig("system:kube-scheduler", "")?;
        let mut command = Command::new(tools::find_or_fetch("kube-scheduler")?);
        command
            .arg(flag("kubeconfig", &config))
            .arg(flag("authentication-kubeconfig", &config))
            .arg(flag("authorization-kubeconfig", &config))
            .arg("--leader-elect=false");
        self.start_controller("kube-scheduler", &mut command, || true)
    }
}

fn etcd(address: Ipv4Addr, directory: &Path, logs: &Path) -> Result<Process> {
    let etcd = tools::find_or_fetch("etcd")?;
    let mut command = Command::new(etcd);
    let [clients, peers] = [2379, 2380].map(|port| format!("http://{address}:{port}"));
    command
        .arg(flag("data-dir", &directory.join("etcd")))
        .arg(format!("--listen-client-urls={clients}"))
        .arg(format!("--advertise-client-urls={clients}"))
        .arg(format!("--listen-peer-urls={peers}"))
        .arg(format!("--initial-advertise-peer-urls={peers}"))
        .arg(format!("--initial-cluster=default={peers}"))
        // What is in it ends with the cluster: it need not survive the machine.
        .arg("--unsafe-no-fsync")
        .arg("--log-level=warn");
    let ready = || std::net::TcpStream::connect((address, 2379)).is_ok();
    Process::start_server(
        &mut command,
        Some(&logs.join("etcd.log")),
        READY_TIMEOUT,
        ready,
    )
}

fn api_server(
    address: Ipv4Addr,
    authority: &Authority,
    logs: &Path,
    kubectl: &Kubectl,
) -> Result<Process> {
    let hosts = [
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        API_SERVICE,
        &address.to_string(),
    ];
    let serving = authority.issue("kube-apiserver", "", &hosts.map(str::to_owned))?;
    let kubelet = authority.issue("kube-apiserver-kubelet-client", "system:masters", &[])?;
    let proxy = authority.issue("front-proxy-client", "", &[])?;
    let accounts = authority.issue("service-accounts", "", &[])?;
    let mut command = Command::new(tools::find_or_fetch("kube-apiserver")?);
    command
        // It starts in less time where its garbage collector runs less often, and memory is there.
        .env("GOGC", "400")
        .args([
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-username-headers=X-Remote-User",
            "--enable-aggregator-routing",
            "--kubelet-preferred-address-types=InternalIP",
        ])
        .arg(format!("--etcd-servers=http://{address}:2379"))
        .arg(format!("--bind-address={address}"))
        .arg(format!("--service-cluster-ip-range={SERVICES}"))
        .arg(flag("client-ca-file", &authority.certificate()))
        .arg(flag(
            "requestheader-client-ca-file",
            &authority.certificate(),
        ))
        .arg(flag("tls-cert-file", &serving.certificate))
        .arg(flag("tls-private-key-file", &serving.key))
        .arg(flag("kubelet-client-certificate", &kubelet.certificate))
        .arg(flag("kubelet-client-key", &kubelet.key))
        .arg(flag(
            "kubelet-certificate-authority",
            &authority.certificate(),
        ))
        .arg(flag("proxy-client-cert-file", &proxy.certificate))
        .arg(flag("proxy-client-key-file", &proxy.key))
        .arg(flag("service-account-key-file", &accounts.certificate))
        .arg(flag("service-account-signing-key-file", &accounts.key));
    let log = logs.join("kube-apiserver.log");
    Process::start_server(&mut command, Some(&log), READY_TIMEOUT, || {
        kubectl.run(&["get", "--raw=/readyz"]).is_ok()
    })
}

/// The URL of the API server at this address.
fn server(address: Ipv4Addr) -> String {
    format!("https://{address}:6443")
}

fn flag(name: &str, file: &Path) -> String {
    format!("--{name}={}", file.display())
}
