//! A node: containerd, the kubelet and kube-proxy, as on any machine of a cluster.
//!
//! It differs from one in what it stands on: cgroups without systemd, and disks, memory and a kernel
//! that it shares with whoever runs the tests.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result};
use harness::{process::Process, wait::wait_until};
use serde_json::json;
use tools::run::run;

use crate::{
    ADDRESS,
    control_plane::{ControlPlane, PODS},
    image, namespace,
};

/// The node's name.
pub const NAME: &str = "node-1";

/// How long it may take until the node is ready.
const READY_TIMEOUT: Duration = Duration::from_secs(120);

/// Where containerd listens: in a /run of the namespace's own.
const CONTAINERD: &str = "/run/containerd/containerd.sock";

/// A node, ready for pods. Dropping it ends it.
pub struct Node {
    // In the order in which they end.
    _processes: Vec<Process>,
    /// Its images.
    pub images: image::Store,
}

impl Node {
    /// Starts it, with its data in `directory`.
    ///
    /// # Errors
    ///
    /// If a program cannot be had, or the node does not become ready.
    pub fn start(plane: &ControlPlane, directory: &Path) -> Result<Self> {
        run(
            "give the cluster a /run of its own",
            Command::new("mount").args(["-t", "tmpfs", "tmpfs", "/run"]),
        )?;
        let containerd = containerd(plane, directory)?;
        let images = image::Store::new(directory.join("images"), CONTAINERD)?;
        let sleeper = tools::binary("busybox")?;
        let pause = image::Image::new(image::PAUSE).entrypoint(&["/sleep", "infinity"]);
        images.import(pause.file("sleep", &fs::read(sleeper)?, true)?)?;
        let kubelet = kubelet(plane, directory)?;
        let proxy = proxy(plane, directory)?;
        wait_until(
            "a ready node",
            READY_TIMEOUT,
            Duration::from_millis(500),
            || {
                let nodes = plane.kubectl.get(&["nodes"])?;
                let conditions = nodes.pointer("/items/0/status/conditions");
                let conditions = conditions.and_then(serde_json::Value::as_array);
                let is_ready = conditions.is_some_and(|conditions| {
                    let ready =
                        |one: &serde_json::Value| one["type"] == "Ready" && one["status"] == "True";
                    conditions.iter().any(ready)
                });
                anyhow::Ok(is_ready.then_some(()))
            },
        )?;
        Ok(Self {
            _processes: vec![proxy, kubelet, containerd],
            images,
        })
    }
}

fn containerd(plane: &ControlPlane, directory: &Path) -> Result<Process> {
    let plugins = tools::find_or_fetch("host-local")?;
    let plugins = plugins.parent().context("it is in a directory")?;
    let networks = directory.join("networks");
    fs::create_dir_all(&networks)?;
    let network = json!({
        "cniVersion": "1.0.0",
        "name": "hello",
        "plugins": [{
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": true,
            "ipMasq": false,
            "hairpinMode": true,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": PODS}]],
                "routes": [{"dst": "0.0.0.0/0"}],
                "dataDir": directory.join("addresses"),
            },
        }],
    });
    fs::write(networks.join("hello.conflist"), network.to_string())?;
    let config = directory.join("containerd.toml");
    let text = format!(
        r#"version = 2
root = "{root}"
state = "/run/containerd"
[grpc]
address = "{CONTAINERD}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause}"
# A container of a test machine may not lower it.
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{plugins}"
conf_dir = "{networks}"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
BinaryName = "{runc}"
"#,
        root = directory.join("containerd").display(),
        pause = image::PAUSE,
        plugins = plugins.display(),
        networks = networks.display(),
        runc = tools::find_or_fetch("runc")?.display(),
    );
    fs::write(&config, text)?;
    tools::find_or_fetch("containerd-shim-runc-v2")?;
    let ctr = tools::find_or_fetch("ctr")?;
    let mut command = Command::new(tools::find_or_fetch("containerd")?);
    command
        .arg("--config")
        .arg(config)
        .env("PATH", tools::path());
    plane.start_controller("containerd", &mut command, || {
        let mut ctr = Command::new(&ctr);
        let answer = ctr.args(["--address", CONTAINERD, "version"]).output();
        answer.is_ok_and(|answer| answer.status.success())
    })
}

fn kubelet(plane: &ControlPlane, directory: &Path) -> Result<Process> {
    let user = format!("system:node:{NAME}");
    let kubeconfig = plane.kubeconfig(&user, "system:nodes")?;
    let hosts = [NAME.to_owned(), ADDRESS.to_string()];
    let serving = plane.authority.issue("kubelet", "", &hosts)?;
    let resolv = directory.join("resolv.conf");
    fs::write(&resolv, "")?;
    let config = directory.join("kubelet.yaml");
    let text = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {"x509": {"clientCAFile": plane.authority.certificate()}},
        "containerRuntimeEndpoint": format!("unix://{CONTAINERD}"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": namespace::cgroup()?,
        "failCgroupV1": false,
        "failSwapOn": false,
        "oomScoreAdj": 0,
        "clusterDNS": [ADDRESS],
        "clusterDomain": "cluster.local",
        "resolvConf": resolv,
        "tlsCertFile": serving.certificate,
        "tlsPrivateKeyFile": serving.key,
        // The machine's disk and memory are not the node's to defend.
        "evictionHard": {"memory.available": "0%", "nodefs.available": "0%",
            "nodefs.inodesFree": "0%", "imagefs.available": "0%", "imagefs.inodesFree": "0%"},
        "imageGCHighThresholdPercent": 100,
        "enforceNodeAllocatable": [],
        "protectKernelDefaults": false,
        // Seen at once rather than after a minute.
        "syncFrequency": "5s",
        "nodeStatusUpdateFrequency": "2s",
        "volumePluginDir": directory.join("volume-plugins"),
        "podLogsDir": directory.join("pod-logs"),
    });
    fs::write(&config, text.to_string())?;
    let mut command = Command::new(tools::find_or_fetch("kubelet")?);
    command
        .arg(format!("--config={}", config.display()))
        .arg(format!("--kubeconfig={}", kubeconfig.display()))
        .arg(format!(
            "--root-dir={}",
            directory.join("kubelet").display()
        ))
        .arg(format!(
            "--cert-dir={}",
            directory.join("kubelet-pki").display()
        ))
        .arg(format!("--hostname-override={NAME}"))
        .arg(format!("--node-ip={ADDRESS}"))
        .env("PATH", tools::path());
    plane.start_controller("kubelet", &mut command, || {
        plane.kubectl.run(&["get", "node", NAME]).is_ok()
    })
}

fn proxy(plane: &ControlPlane, directory: &Path) -> Result<Process> {
    let kubeconfig = plane.kubeconfig("system:kube-proxy", "")?;
    let config = directory.join("kube-proxy.yaml");
    let text = json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": kubeconfig},
        "hostnameOverride": NAME,
        "mode": "nftables",
        "clusterCIDR": PODS,
        // The kernel's own limits stay as they are.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "healthzBindAddress": format!("{ADDRESS}:10256"),
    });
    fs::write(&config, text.to_string())?;
    tools::find_or_fetch("nft")?;
    let mut command = Command::new(tools::find_or_fetch("kube-proxy")?);
    command
        .arg(format!("--config={}", config.display()))
        .env("PATH", tools::path());
    plane.start_controller("kube-proxy", &mut command, || {
        std::net::TcpStream::connect((ADDRESS, 10256)).is_ok()
    })
}
