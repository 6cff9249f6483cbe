//! What watches the clusters: the routes of alerts that run are those that are tested, only a
//! cluster that has a password gets past the gateways, and no cluster is forgotten.

use std::{
    fs,
    net::TcpStream,
    path::Path,
    process::Command,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use deploy_tests::{
    checker::{Checker, Object, succeeded},
    mutation::Mutations,
    objects::{list, named, of_kind, strings_at, text},
};
use harness::{host::free_port, process::Process};
use libtest_mimic::Trial;
use tempfile::TempDir;

use crate::{
    addons::{Rendered, clusters, rendered},
    server::serve,
};

/// Where an Alertmanager finds its secrets.
const SECRETS: &str = "/etc/alertmanager/secrets";

/// Who is waited for in here starts at once, or not at all.
const PROBE_TIMEOUT: Duration = Duration::from_secs(30);

/// What all clusters get.
type All = Vec<Rendered>;

type Check = fn(&All) -> Result<()>;

pub fn trials(checker: &Checker, mutations: &Mutations) -> Vec<Trial> {
    let checks: [(&str, Check); 4] = [
        ("observability: the tested routes of alerts run", routes),
        ("observability: each cluster is a tenant", tenants),
        ("observability: what is sent to is there", addresses),
        ("observability: a cluster pushes as itself alone", gateways),
    ];
    let trials = checks.map(|(name, check)| mutations.trials_of(checker, name, all, check));
    trials.into_iter().flatten().collect()
}

fn all(checker: &Checker) -> Result<All> {
    let clusters = clusters().into_iter();
    clusters
        .map(|file| Ok(rendered(checker, &file, &[])?.clone()))
        .collect()
}

/// Alertmanager of each cluster has deploy/alertmanager.yaml, and the files that it names.
fn routes(all: &All) -> Result<()> {
    let tested = fs::read_to_string(tools::root().join("deploy/alertmanager.yaml"))?;
    for one in all {
        let spec = &one.values("kube-prometheus-stack")?["alertmanager"]["alertmanagerSpec"];
        let ours = spec["useExistingSecret"] == true;
        ensure!(ours, "the chart makes its own routes");
        let name = text(spec, "/configSecret");
        let runs = named(one.made(), "Secret", name);
        let runs = runs.with_context(|| format!("{} has no Secret {name}", one.cluster))?;
        let runs = text(runs, "/stringData/alertmanager.yaml").trim();
        ensure!(
            runs == tested.trim(),
            "{} runs other routes than those tested",
            one.cluster
        );
        let mut mounts = list(spec, "/volumeMounts").iter();
        let volume = mounts.find(|mount| mount["mountPath"] == SECRETS);
        let volume = volume.with_context(|| format!("it mounts nothing at {SECRETS}"))?;
        let mut volumes = list(spec, "/volumes").iter();
        let volume = volumes
            .find(|one| one["name"] == volume["name"])
            .context("no such volume")?;
        let made = named(
            one.made(),
            "ExternalSecret",
            text(volume, "/secret/secretName"),
        );
        let keys = made
            .map(|made| strings_at(made, &["secretKey"]))
            .unwrap_or_default();
        let directory = format!("{SECRETS}/");
        for rest in tested.split(&directory).skip(1) {
            let key = rest.split_whitespace().next().unwrap_or_default();
            ensure!(keys.contains(&key), "{key} is in no Secret");
        }
    }
    Ok(())
}

/// Each cluster may push its metrics and its logs, and Grafana asks for them.
fn tenants(all: &All) -> Result<()> {
    let management = management(all)?;
    let sources = &management.values("grafana")?["datasources"]["datasources.yaml"];
    let headers = strings_at(sources, &["httpHeaderValue1"]);
    for Rendered { cluster, .. } in all {
        for gateway in ["mimir", "loki"] {
            let tenant = format!("{cluster}:{{PLAIN}}");
            let mut may = tenants_of(management, gateway)?.lines();
            let may = may.any(|line| line.starts_with(&tenant));
            ensure!(may, "{cluster} may not push to {gateway}");
        }
        // Of its metrics, and of its logs.
        let own = headers.iter().filter(|header| *header == cluster).count();
        ensure!(own == 2, "there is no data source for {cluster} alone");
        let every = headers.iter().filter(|header| header.contains('|'));
        let with = |every: &&&str| every.split('|').any(|one| one == cluster);
        let (count, with) = (every.clone().count(), every.filter(with).count());
        ensure!(count == 2 && with == 2, "{cluster} is not among all");
    }
    Ok(())
}

/// Each address in values names a host that External-DNS writes on management, or a namespace
/// that an add-on of the same cluster is in.
fn addresses(all: &All) -> Result<()> {
    let management = management(all)?;
    let annotation = "external-dns.alpha.kubernetes.io/hostname";
    let services = of_kind(management.made(), "Service");
    let mut written: Vec<&str> = services
        .filter_map(|service| service["metadata"]["annotations"][annotation].as_str())
        .collect();
    let applications = management.applications.iter();
    written.extend(applications.flat_map(|one| strings_at(one, &[annotation])));
    let mut seen = 0;
    for one in all {
        let applications = one.applications.iter();
        let namespaces = applications.map(|one| text(one, "/spec/destination/namespace"));
        let namespaces: Vec<&str> = namespaces.collect();
        for addon in ["kube-prometheus-stack", "alloy", "grafana", "mimir", "loki"] {
            let Ok(values) = one.values(addon) else {
                continue;
            };
            for host in hosts(&values.to_string()) {
                seen += 1;
                if host.ends_with(".platform.example.com") {
                    let is_written = written.contains(&host.as_str());
                    ensure!(is_written, "{host} is written by no Service");
                } else if let Some((_, rest)) = host.split_once('.')
                    && let Some((namespace, _)) = rest.split_once(".svc")
                {
                    ensure!(
                        namespaces.contains(&namespace),
                        "{addon} asks {host}, and nothing is in the namespace {namespace}"
                    );
                } else {
                    bail!("{addon} asks {host}, which nobody knows");
                }
            }
        }
    }
    ensure!(seen > all.len() * 2, "only {seen} addresses were found");
    Ok(())
}

/// The hosts of the URLs in a text.
fn hosts(text: &str) -> Vec<String> {
    let urls = ["http://", "https://"]
        .iter()
        .flat_map(|scheme| text.split(scheme).skip(1));
    urls.map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '-');
        rest[..end.unwrap_or(rest.len())].to_owned()
    })
    .collect()
}

/// A real nginx with the configuration of each gateway.
fn gateways(all: &All) -> Result<()> {
    let management = management(all)?;
    for (addon, config, push, ask) in [
        (
            "mimir",
            "/gateway/nginx/config/file",
            "/api/v1/push",
            "/prometheus/api/v1/query",
        ),
        (
            "loki",
            "/gateway/nginxConfig/file",
            "/loki/api/v1/push",
            "/loki/api/v1/query",
        ),
    ] {
        let config = text(management.values(addon)?, config);
        gateway(config, tenants_of(management, addon)?, push, ask)
            .with_context(|| format!("the gateway of {addon}"))?;
    }
    Ok(())
}

fn gateway(config: &str, tenants: &str, push: &str, ask: &str) -> Result<()> {
    let directory = TempDir::new()?;
    let path = |name: &str| directory.path().join(name).display().to_string();
    // Which tenant asked last.
    let tenant = Arc::new(Mutex::new(None));
    let seen = tenant.clone();
    let upstream = serve(move |head| {
        let header = head
            .lines()
            .find_map(|line| line.strip_prefix("X-Scope-OrgID: "));
        let header = header.unwrap_or_default().to_owned();
        *seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(header);
        ("200 OK", Vec::new())
    })?;
    let (port, probe) = (free_port()?, free_port()?);
    fs::create_dir(path("tls"))?;
    certificate(&directory.path().join("tls"))?;
    let tenants = tenants
        .lines()
        .filter_map(|line| line.split_once(":{PLAIN}"));
    let tenants = tenants.map(|(name, _)| format!("{name}:{{PLAIN}}password of {name}\n"));
    fs::write(path("htpasswd"), tenants.collect::<String>())?;

    // Elsewhere than in its container, and otherwise as it is.
    let mut here = format!("daemon off;\nmaster_process off;\n{config}");
    let backend = config
        .split("proxy_pass ")
        .nth(1)
        .context("it passes nothing on")?;
    let backend = backend.split(';').next().unwrap_or_default();
    for (there, here_is) in [
        // First: what comes after it may be in that directory.
        ("/tmp/", format!("{}/", directory.path().display())),
        (backend, format!("http://127.0.0.1:{upstream}")),
        ("listen 8443", format!("listen 127.0.0.1:{port}")),
        ("listen 8080", format!("listen 127.0.0.1:{probe}")),
        ("/etc/nginx/tls", path("tls")),
        ("/etc/nginx/tenants/htpasswd", path("htpasswd")),
    ] {
        ensure!(here.contains(there), "the configuration has no {there}");
        here = here.replace(there, &here_is);
    }
    fs::write(path("nginx.conf"), here)?;
    let log = directory.path().join("log");
    let _nginx = Process::start_server(
        Command::new(tools::find_or_fetch("nginx")?)
            .args(["-p", &path(""), "-c", &path("nginx.conf")])
            .args(["-e", "stderr"]),
        Some(&log),
        PROBE_TIMEOUT,
        || TcpStream::connect(("127.0.0.1", port)).is_ok(),
    )?;

    let curl = |arguments: &[&str], target: &str| {
        succeeded(
            Command::new("curl")
                .args(["--silent", "--show-error", "--noproxy", "*"])
                .args(["--write-out", "%{http_code}", "--output", "/dev/null"])
                .args(["--cacert", &path("tls/tls.crt")])
                .args(arguments)
                .arg(target),
        )
    };
    let https = |target: &str| format!("https://localhost:{port}{target}");
    let as_dev = ["--user", "dev:password of dev", "--data", "a sample"];
    let lies = [&as_dev[..], &["--header", "X-Scope-OrgID: mallory"]].concat();

    let status = curl(&lies, &https(push))?;
    ensure!(status == "200", "a push: {status}");
    let was = tenant.lock().unwrap_or_else(PoisonError::into_inner).take();
    let was = was.context("nothing was passed on")?;
    ensure!(was == "dev", "dev pushes as the tenant {was}");
    for (who, argument, value) in [
        ("without a password", "--data", "a sample"),
        (
            "with another's password",
            "--user",
            "dev:password of canary",
        ),
    ] {
        let status = curl(&[argument, value], &https(push))?;
        ensure!(status == "401", "{who}: {status}");
    }
    for target in [ask, "/", "/config"] {
        let status = curl(&as_dev, &https(target))?;
        ensure!(status == "404", "{target}: {status}");
    }
    let status = curl(&[], &format!("http://127.0.0.1:{probe}/"))?;
    ensure!(status == "200", "the probe: {status}");
    // cert-manager renews it, and nginx is told nothing.
    certificate(&directory.path().join("tls"))?;
    let renewed = curl(&as_dev, &https(push)).is_ok_and(|status| status == "200");
    ensure!(renewed, "it still has the old certificate");
    Ok(())
}

/// A certificate of its own CA for localhost.
fn certificate(directory: &Path) -> Result<()> {
    let mut openssl = Command::new(tools::find_or_fetch("openssl")?);
    openssl
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ])
        .args(["-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost"])
        .args(["-keyout", "tls.key", "-out", "tls.crt"]);
    succeeded(openssl.current_dir(directory))?;
    Ok(())
}

fn management(all: &All) -> Result<&Rendered> {
    let mut found = all.iter().filter(|one| one.cluster == "management");
    found.next().context("there is no cluster management")
}

/// The passwords' file of a gateway.
fn tenants_of<'a>(management: &'a Rendered, addon: &str) -> Result<&'a str> {
    let mut objects = management.objects.get(addon).into_iter().flatten();
    let data = |of: &'a Object| of.pointer("/spec/target/template/data/htpasswd")?.as_str();
    objects
        .find_map(data)
        .with_context(|| format!("{addon} knows no tenants"))
}
