//! What the manifests carry is run: Argo CD's health check by a Lua, the migrations' script against
//! a real Postgres, the relabelling of a shared metrics store by a real Prometheus.

use std::{collections::BTreeMap, fs, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use harness::{client::Connection, host::free_port, postgres::Postgres, process::Process};
use libtest_mimic::Trial;
use serde_json::Value;
use tempfile::TempDir;
use tools::run::{read, run};

use crate::example;
use deploy_tests::{
    checker::{Checker, succeeded},
    facts,
    mutation::{fails, replaced},
    objects::{list, only, strings_at},
};

pub fn trials(checker: &Checker) -> Vec<Trial> {
    let mut trials = Vec::new();
    for (kind, cases) in facts::<BTreeMap<String, Vec<[String; 4]>>>("manifests") {
        for [what, object, status, message] in cases {
            let title = format!("health of {kind}, {what}: {status}");
            let (kind, says) = (kind.clone(), format!("{status}: {message}"));
            trials.push(checker.trial(title, move |checker| {
                assert_eq!(health(checker, &kind, &object)?, says);
                Ok(())
            }));
        }
    }
    trials.push(checker.trial(
        "the migrations' Job: applies them, again too, and gives the role its password",
        |_| the_migrations(),
    ));
    for (chart, what) in [(true, "on SpinKube"), (false, "on wasmCloud")] {
        let title = format!("shared counters are one target for Prometheus, {what}");
        trials.push(checker.trial(title, move |checker| one_target(checker, chart)));
    }
    trials
}

/// The status and the message that Argo CD's health check has for an object.
fn health(checker: &Checker, kind: &str, object: &str) -> Result<String> {
    let objects = checker.read("deploy/argocd/argocd-cm.yaml")?;
    let key = format!("resource.customizations.health.{kind}");
    let scripts = strings_at(&objects[0], &[&key]);
    let script = scripts.first().context("the health check is gone")?;
    let directory = TempDir::new()?;
    let program = directory.path().join("health.lua");
    fs::write(
        &program,
        format!(
            "local function check(obj)\n{script}\nend\nlocal health = check({object})\n\
             print(health.status .. ': ' .. health.message)\n"
        ),
    )?;
    // Argo CD's own, gopher-lua, speaks Lua 5.1.
    let lua = tools::find_or_fetch("lua5.1")?;
    let said = read("run the health check", Command::new(lua).arg(&program))?;
    Ok(said.trim_end_matches('\n').to_owned())
}

/// What a shell or SQL would take for its own.
const SERVICE_PASSWORD: &str = "it's \"a\" $(test) \\ :password";

fn the_migrations() -> Result<()> {
    let directory = TempDir::new()?;
    let server = Postgres::start_with(directory.path(), &["log_statement=all".to_owned()])?;
    let owner = server.owner();
    let files = tools::root().join("deploy/chart/files");
    let client = |program: &str, user: &str, password: &str| {
        let mut command = Command::new(program);
        command
            .envs(owner.environment())
            .env("PATH", tools::path())
            .env("PGUSER", user)
            .env("PGPASSWORD", password)
            .env("SERVICE_PASSWORD", SERVICE_PASSWORD);
        command
    };
    server.psql("DROP TABLE users")?;
    // Managed databases give nobody a superuser.
    let role = &owner.password;
    server.psql(&format!(
        "CREATE ROLE deployer LOGIN CREATEROLE PASSWORD '{role}'"
    ))?;
    server.psql(&format!(
        "ALTER DATABASE {} OWNER TO deployer",
        owner.database
    ))?;
    for _ in 0..2 {
        let mut command = client("sh", "deployer", role);
        // As the Job finds them: through the chart's link.
        command
            .arg(files.join("migrate.sh"))
            .env("MIGRATIONS", files.join("migrations"));
        run("run the migrations' Job", &mut command)?;
    }
    // A role that may not: the script fails, and says why.
    fs::write(directory.path().join("0001_nothing.sql"), "SELECT 1;")?;
    // A role may change its own password, so this is about another one's.
    let script = fs::read_to_string(files.join("migrate.sh"))?;
    let other = directory.path().join("migrate.sh");
    fs::write(
        &other,
        replaced(&script, "password hello", "password deployer")?,
    )?;
    let mut refused = client("sh", "hello", SERVICE_PASSWORD);
    refused.arg(&other).env("MIGRATIONS", directory.path());
    fails(succeeded(&mut refused), "permission denied")?;

    let mut psql = client("psql", "hello", SERVICE_PASSWORD);
    psql.args([
        "--no-psqlrc",
        "--no-password",
        "--tuples-only",
        "--no-align",
    ])
    .args(["--command", "SELECT count(*) FROM users"]);
    assert_eq!(read("sign in as the service", &mut psql)?.trim(), "0");
    let mut wrong = client("psql", "hello", "another");
    wrong.args(["--no-psqlrc", "--no-password", "--command", "SELECT 1"]);
    ensure!(
        !wrong.output()?.status.success(),
        "Postgres takes any password"
    );
    let log = fs::read_to_string(directory.path().join("postgres.log"))?;
    assert!(log.contains("GRANT SELECT"), "it logs no statement");
    ensure!(
        !log.contains("$(test)"),
        "the password is in the server's log"
    );
    Ok(())
}

/// Prometheus with two pods, behind one Service or two, and with the ServiceMonitor's own relabelling.
fn one_target(checker: &Checker, chart: bool) -> Result<()> {
    let (objects, services) = if chart {
        let objects = checker.objects(&example("shared-metrics"), &[])?;
        (objects, ["hello-metrics", "hello-metrics"])
    } else {
        let objects = checker.read("deploy/wasmcloud/metrics.yaml")?;
        (objects, ["hello-v1-4-0", "hello-v1-5-0"])
    };
    let monitor = only(&objects, "ServiceMonitor")?;
    // Prometheus's own names; its YAML takes JSON.
    let relabelings = &monitor["spec"]["endpoints"][0]["relabelings"];
    let relabelings = replaced(&relabelings.to_string(), "targetLabel", "target_label")?;
    assert_eq!(targets(&relabelings, services)?, 1);
    assert_eq!(
        targets("[]", services)?,
        2,
        "the two pods are not told apart"
    );
    Ok(())
}

/// How many targets Prometheus has.
fn targets(relabelings: &str, services: [&str; 2]) -> Result<usize> {
    let directory = TempDir::new()?;
    let config = directory.path().join("prometheus.yaml");
    let pod = |name: &str, service: &str| {
        format!(
            "{{targets: ['{name}:80'], labels: {{pod: {name}, container: hello, endpoint: http, \
             namespace: hello, service: {service}}}}}"
        )
    };
    fs::write(
        &config,
        format!(
            "scrape_configs:\n- job_name: hello\n  static_configs: [{}, {}]\n  \
             relabel_configs: {relabelings}\n",
            pod("one.invalid", services[0]),
            pod("two.invalid", services[1]),
        ),
    )?;
    let port = free_port()?;
    let mut command = Command::new(tools::find_or_fetch("prometheus")?);
    command
        .arg(format!("--config.file={}", config.display()))
        .arg(format!(
            "--storage.tsdb.path={}",
            directory.path().display()
        ))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let log = directory.path().join("log");
    // It serves before it has read its configuration, and then has no target.
    let mut targets = 0;
    let has_targets = || {
        let answer = Connection::open(port).and_then(|mut connection| {
            connection.exchange("GET", "/api/v1/targets?state=active", &[], b"")
        });
        let body = answer.map(|answer| serde_json::from_slice(&answer.body).unwrap_or_default());
        targets = body.map_or(0, |body: Value| list(&body, "/data/activeTargets").len());
        targets > 0
    };
    let limit = Duration::from_secs(60);
    let _prometheus = Process::start_server(&mut command, Some(&log), limit, has_targets)?;
    Ok(targets)
}
