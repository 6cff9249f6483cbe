//! What watches the clusters: the routes of alerts that run are those that are tested, only a
//! cluster that has a password gets past the gateways, and no cluster is forgotten.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use deploy_tests::{
    checker::{Checker, Object, succeeded},
    mutation::{Mutations, replaced},
    objects::{of_kind, strings_at, text},
};
use harness::{host::free_port, wait::wait_until};
use libtest_mimic::Trial;
use regex::Regex;
use serde_json::json;
use tempfile::TempDir;

use crate::{
    addons::{Rendered, clusters, rendered},
    facts::RULES,
    server::nginx,
};

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

fn routes(all: &All) -> Result<()> {
    let tested = fs::read_to_string(tools::root().join("deploy/alertmanager.yaml"))?;
    all.iter().try_for_each(|one| {
        RULES["observability: the tested routes of alerts run"]
            .check(&[("added", &one.for_rules()?), ("tested", &json!(tested))])
    })
}

/// Each cluster may push its metrics and its logs, and Grafana asks for them.
fn tenants(all: &All) -> Result<()> {
    let clusters: Vec<&String> = all.iter().map(|one| &one.cluster).collect();
    RULES["observability: each cluster is a tenant"].check(&[
        ("added", &management(all)?.for_rules()?),
        ("clusters", &json!(clusters)),
    ])
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
    let urls = Regex::new("https?://([[:alnum:].-]*)")?;
    let mut seen = 0;
    for one in all {
        let mut asked = Vec::new();
        for addon in ["kube-prometheus-stack", "alloy", "grafana", "mimir", "loki"] {
            let values = one.values(addon).cloned().unwrap_or_default().to_string();
            let hosts = urls.captures_iter(&values);
            asked.extend(hosts.map(|url| json!({"addon": addon, "host": &url[1]})));
        }
        seen += asked.len();
        RULES["observability: what is sent to is there"].check(&[
            ("asked", &json!(asked)),
            ("written", &json!(written)),
            ("applications", &json!(one.applications)),
        ])?;
    }
    ensure!(seen > all.len() * 2, "only {seen} addresses were found");
    Ok(())
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
    let (port, probe, upstream) = (free_port()?, free_port()?, free_port()?);
    fs::create_dir(path("tls"))?;
    certificate(&directory.path().join("tls"))?;
    let tenants = tenants
        .lines()
        .filter_map(|line| line.split_once(":{PLAIN}"));
    let tenants = tenants.map(|(name, _)| format!("{name}:{{PLAIN}}password of {name}\n"));
    fs::write(path("htpasswd"), tenants.collect::<String>())?;

    // Elsewhere than in its container, before something that notes the tenant, and otherwise as it is.
    let noted = path("tenant");
    let http = format!(
        "http {{\nlog_format tenant $http_x_scope_orgid;\nserver {{ listen 127.0.0.1:{upstream}; \
         access_log {noted} tenant; return 200; }}\n"
    );
    let backend = config.split_once("proxy_pass ");
    let (_, backend) = backend.context("it passes nothing on")?;
    let backend = backend.split(';').next().unwrap_or_default();
    let mut here = config.to_owned();
    for (there, here_is) in [
        // First: what comes after it may be in that directory.
        ("/tmp/", path("")),
        (backend, format!("http://127.0.0.1:{upstream}")),
        ("listen 8443", format!("listen 127.0.0.1:{port}")),
        ("listen 8080", format!("listen 127.0.0.1:{probe}")),
        ("/etc/nginx/tls", path("tls")),
        ("/etc/nginx/tenants/htpasswd", path("htpasswd")),
        ("http {", http),
    ] {
        here = replaced(&here, there, &here_is)?;
    }
    let _nginx = nginx(directory.path(), &here, port)?;

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
    // nginx writes its log after the response.
    let was = wait_until(
        "the gateway's log",
        Duration::from_secs(10),
        Duration::from_millis(20),
        || {
            let was = fs::read_to_string(&noted)?;
            anyhow::Ok(was.ends_with('\n').then_some(was))
        },
    )?;
    let was = was.trim_end();
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
