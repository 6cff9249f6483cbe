//! What watches the clusters: the routes of alerts that run are those that are tested, only a
//! cluster that has a password gets past the gateways, and no cluster is forgotten.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::Command,
    sync::{Arc, OnceLock},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use harness::{host::free_port, process::Process};
use libtest_mimic::Trial;
use serde_json::Value;
use tempfile::TempDir;
use tools::find_or_fetch;

use crate::addons::{Rendered, clusters, of_kind, render};
use deploy_tests::checker::{Checker, Object, strings_at};

/// Where an Alertmanager finds its secrets.
const SECRETS: &str = "/etc/alertmanager/secrets";

/// Who is waited for in here starts at once, or not at all.
const PROBE_TIMEOUT: Duration = Duration::from_secs(30);

/// What all clusters get.
type All = Vec<Rendered>;

type Check = fn(&All) -> Result<()>;

pub fn trials(checker: &Checker) -> Vec<Trial> {
    // What is broken, what it becomes, and what the check then says.
    let checks: [(&str, Check, &[[&str; 3]]); 4] = [
        (
            "the tested routes of alerts run",
            routes,
            &[
                [
                    "severity=\\\"ticket",
                    "severity=\\\"tickets",
                    "runs other routes",
                ],
                [
                    "configSecret\":\"alertmanager-routes",
                    "configSecret\":\"alertmanager-other",
                    "no Secret alertmanager-other",
                ],
                [
                    "\"secretKey\":\"slack-url\"",
                    "\"secretKey\":\"slack\"",
                    "slack-url is in no Secret",
                ],
                [
                    "\"mountPath\":\"/etc/alertmanager/secrets\"",
                    "\"mountPath\":\"/etc/secrets\"",
                    "mounts nothing at",
                ],
            ],
        ),
        (
            "each cluster is a tenant",
            tenants,
            &[
                [
                    "\\ncanary:{PLAIN}",
                    "\\ncanari:{PLAIN}",
                    "canary may not push",
                ],
                [
                    "\"httpHeaderValue1\":\"dev\"",
                    "\"httpHeaderValue1\":\"test\"",
                    "no data source for dev alone",
                ],
                [
                    "|production-eu-west-1\"",
                    "\"",
                    "production-eu-west-1 is not among all",
                ],
            ],
        ),
        (
            "what is sent to is there",
            addresses,
            &[
                [
                    "hostname\":\"metrics.",
                    "hostname\":\"metric.",
                    "metrics.platform.example.com is written by no",
                ],
                [
                    "http://loki.loki.svc",
                    "http://loki.logs.svc",
                    "nothing is in the namespace logs",
                ],
            ],
        ),
        (
            "a gateway lets a cluster push as itself, and nothing else",
            gateways,
            &[
                [
                    "X-Scope-OrgID $remote_user",
                    "X-Scope-OrgID $http_x_scope_orgid",
                    "as the tenant mallory",
                ],
                [
                    "auth_basic push;",
                    "auth_basic off;",
                    "without a password: 200",
                ],
                [
                    "return 404;",
                    "return 200;",
                    "/prometheus/api/v1/query: 200",
                ],
                ["$tls/tls", "/etc/nginx/tls/tls", "the old certificate"],
            ],
        ),
    ];
    let rendered = Arc::new(OnceLock::new());
    let mut trials = Vec::new();
    for (name, check, breakages) in checks {
        let (all, with) = (rendered.clone(), checker.clone());
        trials.push(Trial::test(format!("observability: {name}"), move || {
            Ok(check(of_all(&all, &with)?).map_err(|error| format!("{error:#}"))?)
        }));
        for [old, new, says] in breakages {
            let (all, with) = (rendered.clone(), checker.clone());
            let title = format!("observability: {name}: {old:?} as {new:?} is refused");
            trials.push(Trial::test(title, move || {
                let Err(error) = check(&broken(of_all(&all, &with)?, old, new)?) else {
                    return Err("it is accepted".into());
                };
                let error = format!("{error:#}");
                if error.contains(says) {
                    return Ok(());
                }
                Err(format!("it says: {error}").into())
            }));
        }
    }
    trials
}

/// All clusters, rendered once.
fn of_all<'a>(
    cell: &'a OnceLock<Result<All, String>>,
    checker: &Checker,
) -> Result<&'a All, String> {
    let rendered = cell.get_or_init(|| {
        let all = clusters()
            .into_iter()
            .map(|file| render(checker, &file, &[]));
        all.collect::<Result<All>>()
            .map_err(|error| format!("{error:#}"))
    });
    rendered.as_ref().map_err(Clone::clone)
}

/// The same with `new` for each `old` in the objects' JSON.
fn broken(all: &All, old: &str, new: &str) -> Result<All> {
    let mut found = false;
    let mut breaking = |objects: &[Object]| -> Result<Vec<Object>> {
        let broken = objects.iter().map(|object| {
            let json = object.object.to_string();
            found |= json.contains(old);
            Ok(Object {
                object: serde_json::from_str(&json.replace(old, new))?,
                custom: object.custom,
                problem: None,
            })
        });
        broken.collect()
    };
    let mut changed = All::new();
    for one in all {
        let objects = one.objects.iter();
        changed.push(Rendered {
            cluster: one.cluster.clone(),
            applications: breaking(&one.applications)?,
            objects: objects
                .map(|(addon, objects)| Ok((addon.clone(), breaking(objects)?)))
                .collect::<Result<_>>()?,
        });
    }
    ensure!(found, "there is no {old:?} to break");
    Ok(changed)
}

/// Alertmanager of each cluster has deploy/alertmanager.yaml, and the files that it names.
fn routes(all: &All) -> Result<()> {
    let file = tools::root().join("deploy/alertmanager.yaml");
    let tested = fs::read_to_string(&file)?;
    for one in all {
        let values = values(one, "kube-prometheus-stack")?;
        let spec = &values["alertmanager"]["alertmanagerSpec"];
        ensure!(
            spec["useExistingSecret"] == true,
            "the chart makes its own routes"
        );
        let name = text(&spec["configSecret"])?;
        let runs = of_kind(one, "Secret")
            .find(|secret| secret["metadata"]["name"] == name)
            .with_context(|| format!("{} has no Secret {name}", one.cluster))?;
        let runs = text(&runs["stringData"]["alertmanager.yaml"])?;
        ensure!(
            runs.trim() == tested.trim(),
            "{} runs other routes than those of {}",
            one.cluster,
            file.display()
        );
        let mounts = spec["volumeMounts"].as_array().context("no volumeMounts")?;
        let volume = mounts
            .iter()
            .find(|mount| mount["mountPath"] == SECRETS)
            .with_context(|| format!("it mounts nothing at {SECRETS}"))?;
        let volumes = spec["volumes"].as_array().context("no volumes")?;
        let volume = volumes.iter().find(|one| one["name"] == volume["name"]);
        let secret = volume.context("no such volume")?["secret"]["secretName"].clone();
        let keys = of_kind(one, "ExternalSecret").find(|made| made["metadata"]["name"] == secret);
        let keys = keys
            .map(|made| strings_at(made, &["secretKey"]))
            .unwrap_or_default();
        let directory = format!("{SECRETS}/");
        let named = tested.split(&directory).skip(1);
        for key in named.map(|rest| rest.split_whitespace().next().unwrap_or_default()) {
            ensure!(keys.contains(&key), "{key} is in no Secret");
        }
    }
    Ok(())
}

/// Each cluster may push its metrics and its logs, and Grafana asks for them.
fn tenants(all: &All) -> Result<()> {
    let management = management(all)?;
    let sources = values(management, "grafana")?["datasources"]["datasources.yaml"].clone();
    let headers = strings_at(&sources, &["httpHeaderValue1"]);
    for one in all {
        let cluster = &one.cluster;
        for gateway in ["mimir", "loki"] {
            let line = format!("\n{cluster}:{{PLAIN}}");
            ensure!(
                format!("\n{}", tenants_of(management, gateway)?).contains(&line),
                "{cluster} may not push to {gateway}"
            );
        }
        // Of its metrics, and of its logs.
        ensure!(
            headers.iter().filter(|header| *header == cluster).count() == 2,
            "there is no data source for {cluster} alone"
        );
        let all: Vec<_> = headers
            .iter()
            .filter(|header| header.contains('|'))
            .collect();
        ensure!(
            all.len() == 2
                && all
                    .iter()
                    .all(|all| all.split('|').any(|one| one == cluster)),
            "{cluster} is not among all"
        );
    }
    Ok(())
}

/// Each address in values names a host that External-DNS writes on management, or a namespace
/// that an add-on of the same cluster is in.
fn addresses(all: &All) -> Result<()> {
    let management = management(all)?;
    let annotation = "external-dns.alpha.kubernetes.io/hostname";
    let mut written: Vec<&str> = of_kind(management, "Service")
        .filter_map(|service| service["metadata"]["annotations"][annotation].as_str())
        .collect();
    let values_of_all = management.applications.iter();
    written.extend(values_of_all.flat_map(|one| strings_at(&one.object, &[annotation])));
    let mut seen = 0;
    for one in all {
        let namespaces: Vec<&str> = one
            .applications
            .iter()
            .filter_map(|one| one.object["spec"]["destination"]["namespace"].as_str())
            .collect();
        for addon in ["kube-prometheus-stack", "alloy", "grafana", "mimir", "loki"] {
            let Ok(values) = values(one, addon) else {
                continue;
            };
            for host in hosts(&values.to_string()) {
                seen += 1;
                if host.ends_with(".platform.example.com") {
                    ensure!(
                        written.contains(&host.as_str()),
                        "{host} is written by no Service"
                    );
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
    let mimir = values(management, "mimir")?["gateway"]["nginx"]["config"]["file"].clone();
    let loki = values(management, "loki")?["gateway"]["nginxConfig"]["file"].clone();
    for (addon, config, push, ask) in [
        ("mimir", mimir, "/api/v1/push", "/prometheus/api/v1/query"),
        ("loki", loki, "/loki/api/v1/push", "/loki/api/v1/query"),
    ] {
        gateway(text(&config)?, &tenants_of(management, addon)?, push, ask)
            .with_context(|| format!("the gateway of {addon}"))?;
    }
    Ok(())
}

fn gateway(config: &str, tenants: &str, push: &str, ask: &str) -> Result<()> {
    let directory = TempDir::new()?;
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (upstream, tenant) = upstream()?;
    let (port, probe) = (free_port()?, free_port()?);
    fs::create_dir(path("tls"))?;
    certificate(&directory.path().join("tls"))?;
    let tenants: String = tenants
        .lines()
        .filter_map(|line| line.split_once(":{PLAIN}"))
        .map(|(name, _)| format!("{name}:{{PLAIN}}password of {name}\n"))
        .collect();
    fs::write(path("htpasswd"), tenants)?;

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
        Command::new(find_or_fetch("nginx")?)
            .args(["-p", &path(""), "-c", &path("nginx.conf")])
            .args(["-e", "stderr"]),
        Some(&log),
        PROBE_TIMEOUT,
        || TcpStream::connect(("127.0.0.1", port)).is_ok(),
    )?;

    let curl = |arguments: &[&str], target: &str| -> Result<String> {
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--noproxy", "*"])
            .args(["--write-out", "%{http_code}", "--output", "/dev/null"])
            .args(["--cacert", &path("tls/tls.crt")])
            .args(arguments)
            .arg(target)
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            return Ok(text);
        }
        Err(anyhow!(
            "{}",
            String::from_utf8_lossy(&output.stderr).trim().to_owned()
        ))
    };
    let https = |target: &str| format!("https://localhost:{port}{target}");
    let as_dev = ["--user", "dev:password of dev", "--data", "a sample"];
    let lies = [&as_dev[..], &["--header", "X-Scope-OrgID: mallory"]].concat();

    let status = curl(&lies, &https(push))?;
    ensure!(status == "200", "a push: {status}");
    let was = tenant.lock().map_err(|_| anyhow!("poisoned"))?.take();
    let was = was.context("nothing was passed on")?;
    ensure!(was == "dev", "dev pushes as the tenant {was}");
    for (who, arguments) in [
        ("without a password", &["--data", "a sample"][..]),
        (
            "with another's password",
            &["--user", "dev:password of canary"][..],
        ),
    ] {
        let status = curl(arguments, &https(push))?;
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
    let renewed = curl(&as_dev, &https(push));
    ensure!(
        renewed.is_ok_and(|status| status == "200"),
        "it still has the old certificate"
    );
    Ok(())
}

/// A certificate of its own CA for localhost.
fn certificate(directory: &Path) -> Result<()> {
    let output = Command::new(find_or_fetch("openssl")?)
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
        .args(["-keyout", "tls.key", "-out", "tls.crt"])
        .current_dir(directory)
        .output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// What was asked for last, and by which tenant.
type Tenant = Arc<std::sync::Mutex<Option<String>>>;

/// A server that says 200 to all, and who asked it.
fn upstream() -> Result<(u16, Tenant)> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let port = listener.local_addr()?.port();
    let tenant = Tenant::default();
    let seen = tenant.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            // A client that leaves early is no concern of the next one.
            let _ = stream.and_then(|stream| answer(stream, &seen));
        }
    });
    Ok((port, tenant))
}

fn answer(mut stream: TcpStream, seen: &Tenant) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PROBE_TIMEOUT))?;
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        head.extend(&buffer[..read]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let header = head
        .lines()
        .find_map(|line| line.strip_prefix("X-Scope-OrgID: "));
    if let Ok(mut seen) = seen.lock() {
        *seen = Some(header.unwrap_or_default().to_owned());
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
}

fn management(all: &All) -> Result<&Rendered> {
    let mut found = all.iter().filter(|one| one.cluster == "management");
    found.next().context("there is no cluster management")
}

/// What Argo CD gives the chart of an add-on.
fn values(one: &Rendered, addon: &str) -> Result<Value> {
    let name = format!("{}-{addon}", one.cluster);
    let mut applications = one.applications.iter();
    let found = applications.find(|one| one.object["metadata"]["name"] == *name);
    let found = found.with_context(|| format!("there is no Application {name}"))?;
    Ok(found.object["spec"]["sources"][0]["helm"]["valuesObject"].clone())
}

/// The passwords' file of a gateway.
fn tenants_of(management: &Rendered, addon: &str) -> Result<String> {
    let objects = management.objects.get(addon);
    let found = objects.into_iter().flatten().find_map(|object| {
        let data = &object.object["spec"]["target"]["template"]["data"];
        data["htpasswd"].as_str()
    });
    Ok(found
        .with_context(|| format!("{addon} knows no tenants"))?
        .to_owned())
}

fn text(value: &Value) -> Result<&str> {
    value
        .as_str()
        .with_context(|| format!("{value} is no text"))
}
