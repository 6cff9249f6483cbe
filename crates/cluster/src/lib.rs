//! A real Kubernetes on one machine, for tests and for people.
//!
//! | module | job |
//! | --- | --- |
//! | [`namespace`] | Linux namespaces that everything runs in, and ends with |
//! | [`pki`] | a CA, certificates and kubeconfigs |
//! | [`control_plane`] | etcd, kube-apiserver, kube-controller-manager and kube-scheduler |
//! | [`node`] | nodes: containerd, the kubelet and kube-proxy |
//! | [`image`] | container images of files on this machine |
//! | [`crds`] | custom resource definitions, out of the modules of who wrote them |
//! | [`schemas`] | JSON Schemas, made of those definitions |
//! | [`spinkube`] | SpinKube's operator |
//! | [`cluster_api`] | Cluster API and its provider for AWS |
//! | [`argocd`] | Argo CD, and the clusters that it delivers to |
//! | [`registry`] | a registry of OCI artifacts |
//! | [`monitoring`] | prometheus-operator |
//! | [`gateway`] | Contour and Envoy, for the Gateway API |
//! | [`site`] | all that a release of hello stands on, and its delivery by Helm |
//! | [`dns`] | the names of Services |
//! | [`kubectl`] | what tests ask the API server, and tell it |
//!
//! The programs are compiled from pinned Go modules; no container engine and no registry is needed.
//! Everything is at the address [`ADDRESS`], inside a network namespace: nothing is reachable from
//! outside, and no port of the machine is taken.

pub mod argocd;
pub mod cluster_api;
pub mod control_plane;
pub mod crds;
pub mod dns;
pub mod gateway;
pub mod image;
pub mod kubectl;
pub mod monitoring;
pub mod namespace;
pub mod node;
pub mod pki;
pub mod registry;
pub mod schemas;
pub mod site;
pub mod spinkube;

use std::net::Ipv4Addr;

/// The address of the one machine that the cluster consists of. The API server refuses endpoints
/// on loopback addresses.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

/// The programs of [`control_plane::ControlPlane::start`]: they are compiled or fetched before the
/// cluster's network closes.
pub const API_SERVER: &[&str] = &["etcd", "ip", "kube-apiserver", "kubectl"];

/// Those of controllers, a node, and what runs on it.
pub const NODE: &[&str] = &[
    "busybox",
    "containerd",
    "containerd-shim-runc-v2",
    "contour",
    "coredns",
    "ctr",
    "curl",
    "docker-registry",
    "envoy",
    "helm",
    "host-local",
    "initdb",
    "kube-controller-manager",
    "kube-proxy",
    "kube-scheduler",
    "kubelet",
    "nft",
    "postgres",
    "psql",
    "runc",
    "spin-operator",
];

/// Those of Argo CD.
pub const ARGO_CD: &[&str] = &[
    "argocd-application-controller",
    "helm",
    "kube-controller-manager",
    "redis-server",
];

/// Those of the platform's controllers, and what they are tried with.
pub const CONTROLLERS: &[&str] = &[
    "amtool",
    "atlantis",
    "cluster-api-aws-controller",
    "cluster-api-controller",
    "clusterctl",
    "curl",
    "docker-registry",
    "external-dns",
    "keda-adapter",
    "keda-operator",
    "kube-controller-manager",
    "kyverno",
    "nginx",
    "openssl",
    "otel-collector",
    "prometheus",
    "prometheus-alertmanager",
    "prometheus-operator",
    "promtool",
    "python/backup",
    "sigstore",
    "spin",
    "spin-operator",
    "terragrunt",
    "velero",
    "velero-plugin-for-aws",
    "wash",
];
