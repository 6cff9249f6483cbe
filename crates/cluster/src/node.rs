//! A node: containerd, the kubelet and kube-proxy, as on any machine of a cluster.
//!
//! It differs from one in what it stands on: cgroups without systemd, and disks, memory and a kernel
//! that it shares with whoever runs the tests.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};
use harness::{process::Process, wait::wait_until};
use serde_json::json;
use tools::run::run;

use crate::{
    control_plane::{ControlPlane, PODS},
    image::{self, Image, Layout},
    namespace,
};

/// How long it may take until a node is ready.
const READY_TIMEOUT: Duration = Duration::from_secs(120);

/// A node, ready for pods. Dropping it ends it.
pub struct Node {
    /// Its name in the cluster.
    pub name: String,
    address: Ipv4Addr,
    /// Its own data.
    directory: PathBuf,
    // In the order in which they end.
    processes: Vec<Process>,
}

impl Node {
    /// Starts node `number`, from 1 to 2, with its data in `directory`. All nodes share the machine's
    /// network, and so the kube-proxy of the first and the addresses of pods.
    ///
    /// # Errors
    ///
    /// If a program cannot be had, or the node does not become ready.
    pub fn start(plane: &ControlPlane, directory: &Path, number: u8) -> Result<Self> {
        let name = format!("node-{number}");
        let mut node = Self {
            address: Ipv4Addr::new(10, 0, 0, number),
            directory: directory.join(&name),
            name,
            processes: Vec::new(),
        };
        fs::create_dir_all(&node.directory)?;
        namespace::add_address(node.address)?;
        let containerd = node.containerd(plane, directory)?;
        let sleeper = tools::binary("busybox")?;
        let pause = Image::new(image::PAUSE).entrypoint(&["/sleep", "infinity"]);
        let pause = pause.file("sleep", &fs::read(sleeper)?, true)?;
        node.import(&pause.write(&node.directory.join("pause.tar"))?)?;
        let kubelet = node.kubelet(plane)?;
        node.processes = vec![kubelet, containerd];
        if number == 1 {
            node.processes.insert(0, node.proxy(plane)?);
        }
        let ready = format!("--for=condition=Ready node/{}", node.name);
        let what = format!("a ready {}", node.name);
        wait_until(&what, READY_TIMEOUT, Duration::from_millis(500), || {
            let mut arguments = vec!["wait", "--timeout=1s"];
            arguments.extend(ready.split(' '));
            anyhow::Ok(plane.kubectl.run(&arguments).ok().map(drop))
        })?;
        Ok(node)
    }

    /// Gives it an image.
    ///
    /// # Errors
    ///
    /// If containerd refuses it.
    pub fn import(&self, image: &Layout) -> Result<()> {
        run(
            "import an image",
            Command::new(tools::find_or_fetch("ctr")?)
                .args(["--address", &self.socket(), "--namespace", "k8s.io"])
                .args(["images", "import", "--no-unpack"])
                .arg(&image.file)
                .stdout(Stdio::null()),
        )
    }

    /// Where containerd listens: in a /run of the namespace's own.
    fn socket(&self) -> String {
        format!("/run/containerd-{}/containerd.sock", self.name)
    }

    /// With the addresses of all nodes' pods in `shared`.
    fn containerd(&self, plane: &ControlPlane, shared: &Path) -> Result<Process> {
        let plugins = tools::find_or_fetch("host-local")?;
        let plugins = plugins.parent().context("it is in a directory")?;
        let networks = self.directory.join("networks");
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
                    "dataDir": shared.join("addresses"),
                },
            }],
        });
        fs::write(networks.join("hello.conflist"), network.to_string())?;
        let config = self.directory.join("containerd.toml");
        let socket = self.socket();
        let text = format!(
            r#"version = 2
root = "{root}"
state = "/run/containerd-{name}"
[grpc]
address = "{socket}"
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
            name = self.name,
            root = self.directory.join("containerd").display(),
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
        plane.start_controller(&format!("containerd-{}", self.name), &mut command, || {
            let mut ctr = Command::new(&ctr);
            let answer = ctr.args(["--address", &socket, "version"]).output();
            answer.is_ok_and(|answer| answer.status.success())
        })
    }

    fn kubelet(&self, plane: &ControlPlane) -> Result<Process> {
        let Self {
            name,
            address,
            directory,
            ..
        } = self;
        let user = format!("system:node:{name}");
        let kubeconfig = plane.kubeconfig(&user, "system:nodes")?;
        let hosts = [name.clone(), address.to_string()];
        let serving = plane
            .authority
            .issue(&format!("kubelet-{name}"), "", &hosts)?;
        let resolv = directory.join("resolv.conf");
        fs::write(&resolv, "")?;
        let config = directory.join("kubelet.yaml");
        let text = json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {"x509": {"clientCAFile": plane.authority.certificate()}},
            "address": address,
            "healthzPort": 0,
            "containerRuntimeEndpoint": format!("unix://{}", self.socket()),
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": namespace::cgroup(name)?,
            "failCgroupV1": false,
            "failSwapOn": false,
            "oomScoreAdj": 0,
            "clusterDNS": [crate::ADDRESS],
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
            .arg(format!("--hostname-override={name}"))
            .arg(format!("--node-ip={address}"))
            .env("PATH", tools::path());
        plane.start_controller(&format!("kubelet-{name}"), &mut command, || {
            plane.kubectl.run(&["get", "node", name]).is_ok()
        })
    }

    fn proxy(&self, plane: &ControlPlane) -> Result<Process> {
        let Self {
            name,
            address,
            directory,
            ..
        } = self;
        let kubeconfig = plane.kubeconfig("system:kube-proxy", "")?;
        let config = directory.join("kube-proxy.yaml");
        let text = json!({
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "clientConnection": {"kubeconfig": kubeconfig},
            "hostnameOverride": name,
            "mode": "nftables",
            "clusterCIDR": PODS,
            // The kernel's own limits stay as they are.
            "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
            "healthzBindAddress": format!("{address}:10256"),
        });
        fs::write(&config, text.to_string())?;
        tools::find_or_fetch("nft")?;
        let mut command = Command::new(tools::find_or_fetch("kube-proxy")?);
        command
            .arg(format!("--config={}", config.display()))
            .env("PATH", tools::path());
        plane.start_controller("kube-proxy", &mut command, || {
            std::net::TcpStream::connect((*address, 10256)).is_ok()
        })
    }
}
