//! What the manifests carry is run: Argo CD's health check by a Lua, the migrations' script against
//! a real Postgres, the relabelling of a shared metrics store by a real Prometheus.

use std::{fs, process::Command, time::Duration};

use harness::{client::Connection, host::free_port, postgres::Postgres, process::Process};
use libtest_mimic::{Failed, Trial};
use serde_json::Value;
use tempfile::TempDir;
use tools::{
    find_or_fetch,
    run::{read, run},
};

use deploy_tests::checker::{Checker, at};
use deploy_tests::mutation::Mutations;

pub fn trials(checker: &Checker, mutations: &Mutations) -> Vec<Trial> {
    let mut trials = Vec::new();
    for kind in ["core.spinkube.dev_SpinApp", "argoproj.io_Application"] {
        let name = kind.rsplit_once('_').map_or(kind, |(_, name)| name);
        for [what, object, status, message] in mutations.rows(&format!("health of {name}")) {
            let checker = checker.clone();
            trials.push(Trial::test(
                format!("{name}'s health, {what}: {status}"),
                move || health_is(&checker, kind, &object, &status, &message),
            ));
        }
    }
    trials.push(Trial::test(
        "the migrations' Job: applies them, again too, and gives the role its password",
        the_migrations,
    ));
    for (chart, what) in [(true, "on SpinKube"), (false, "on wasmCloud")] {
        let checker = checker.clone();
        trials.push(Trial::test(
            format!("shared counters are one target for Prometheus, {what}"),
            move || one_target(&checker, chart),
        ));
    }
    trials
}

fn health_is(
    checker: &Checker,
    kind: &str,
    object: &str,
    status: &str,
    message: &str,
) -> Result<(), Failed> {
    let yaml = fs::read_to_string(tools::root().join("deploy/argocd/argocd-cm.yaml"))?;
    let objects = checker.checked(&yaml)?;
    let key = format!("resource.customizations.health.{kind}");
    let found = at(&objects[0].object, &key);
    let script = found.first().and_then(|script| script.as_str());
    let script = script.ok_or("the health check is gone")?;
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
    let lua = find_or_fetch("lua5.1")?;
    let said = read("run the health check", Command::new(lua).arg(&program))?;
    assert_eq!(said.trim_end_matches('\n'), format!("{status}: {message}"));
    Ok(())
}

fn the_migrations() -> Result<(), Failed> {
    let directory = TempDir::new()?;
    let server = Postgres::start_with(directory.path(), &["log_statement=all".to_owned()])?;
    let owner = server.owner();
    // What a shell or SQL would take for its own.
    let password = "it's \"a\" $(test) \\ :password";
    let script = tools::root().join("deploy/chart/files/migrate.sh");
    let client = |command: &mut Command, user: &str, password: &str| {
        command
            .env("PGHOST", &owner.host)
            .env("PGPORT", owner.port.to_string())
            .env("PGDATABASE", &owner.database)
            .env("PGSSLMODE", &owner.sslmode)
            .env("PGUSER", user)
            .env("PGPASSWORD", password);
    };
    // As the Job finds them: through the chart's link.
    let migrations = tools::root().join("deploy/chart/files/migrations");
    server.psql("DROP TABLE users")?;
    // Managed databases give nobody a superuser.
    server.psql(&format!(
        "CREATE ROLE deployer LOGIN CREATEROLE PASSWORD '{}'",
        owner.password
    ))?;
    server.psql(&format!(
        "ALTER DATABASE {} OWNER TO deployer",
        owner.database
    ))?;
    for _ in 0..2 {
        let mut command = Command::new("sh");
        command
            .arg(&script)
            .env("PATH", tools::path())
            .env("MIGRATIONS", &migrations)
            .env("SERVICE_PASSWORD", password);
        client(&mut command, "deployer", &owner.password);
        run("run the migrations' Job", &mut command)?;
    }
    // A role that may not: the script fails, and says why.
    fs::write(directory.path().join("0001_nothing.sql"), "SELECT 1;")?;
    // A role may change its own password, so this is about another one's.
    let told = fs::read_to_string(&script)?.replace("password hello", "password deployer");
    let other = directory.path().join("migrate.sh");
    fs::write(&other, told)?;
    let mut refused = Command::new("sh");
    refused
        .arg(&other)
        .env("PATH", tools::path())
        .env("MIGRATIONS", directory.path())
        .env("SERVICE_PASSWORD", password);
    client(&mut refused, "hello", password);
    let refused = refused.output()?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    if refused.status.success() || !said.contains("permission denied") {
        return Err(format!("it does not say that it may not: {said}").into());
    }
    let mut psql = Command::new(find_or_fetch("psql")?);
    psql.args([
        "--no-psqlrc",
        "--no-password",
        "--tuples-only",
        "--no-align",
    ])
    .args(["--command", "SELECT count(*) FROM users"]);
    client(&mut psql, "hello", password);
    assert_eq!(read("sign in as the service", &mut psql)?.trim(), "0");
    let mut wrong = Command::new(find_or_fetch("psql")?);
    wrong.args(["--no-psqlrc", "--no-password", "--command", "SELECT 1"]);
    client(&mut wrong, "hello", "another");
    if wrong.output()?.status.success() {
        return Err("Postgres takes any password".into());
    }
    let log = fs::read_to_string(directory.path().join("postgres.log"))?;
    assert!(log.contains("GRANT SELECT"), "it logs no statement");
    if log.contains("$(test)") {
        return Err("the password is in the server's log".into());
    }
    Ok(())
}

/// Prometheus with two pods, behind one Service or two, and with the ServiceMonitor's own relabelling.
fn one_target(checker: &Checker, chart: bool) -> Result<(), Failed> {
    let root = tools::root();
    let objects = if chart {
        let values = root.join("deploy/chart/examples/shared-metrics.yaml");
        checker.objects(&[values], &[])?
    } else {
        checker.checked(&fs::read_to_string(
            root.join("deploy/wasmcloud/metrics.yaml"),
        )?)?
    };
    let monitor = objects
        .iter()
        .find(|object| object.object["kind"] == "ServiceMonitor")
        .ok_or("there is no ServiceMonitor")?;
    let relabelings = &monitor.object["spec"]["endpoints"][0]["relabelings"];
    // Prometheus's own names; its YAML takes JSON.
    let relabelings = relabelings
        .to_string()
        .replace("targetLabel", "target_label");
    let services = if chart {
        ["hello-metrics", "hello-metrics"]
    } else {
        ["hello-v1-4-0", "hello-v1-5-0"]
    };
    assert_eq!(targets(&relabelings, services)?, 1);
    assert_eq!(
        targets("[]", services)?,
        2,
        "the two pods are not told apart"
    );
    Ok(())
}

/// How many targets Prometheus has.
fn targets(relabelings: &str, services: [&str; 2]) -> Result<usize, Failed> {
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
    let mut command = Command::new(find_or_fetch("prometheus")?);
    command
        .arg(format!("--config.file={}", config.display()))
        .arg(format!(
            "--storage.tsdb.path={}",
            directory.path().display()
        ))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let log = directory.path().join("log");
    let mut targets = 0;
    // It serves before it has read its configuration, and then has no target.
    let has_targets = || {
        let answer = Connection::open(port).and_then(|mut connection| {
            connection.exchange("GET", "/api/v1/targets?state=active", &[], b"")
        });
        let body = answer.map(|answer| answer.body).unwrap_or_default();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        targets = body["data"]["activeTargets"].as_array().map_or(0, Vec::len);
        targets > 0
    };
    let limit = Duration::from_secs(60);
    let _prometheus = Process::start_server(&mut command, Some(&log), limit, has_targets)?;
    Ok(targets)
}
