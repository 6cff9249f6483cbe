//! What the manifests carry is run: Argo CD's health check by a Lua, the migrations' script against
//! a real Postgres.

use std::{fs, process::Command};

use libtest_mimic::{Failed, Trial};
use tempfile::TempDir;
use xtask::{
    postgres::Postgres,
    run::{read, run},
    tools::debian,
};

use crate::checker::{Checker, at};

pub fn trials(checker: &Checker) -> Vec<Trial> {
    let mut trials: Vec<Trial> = HEALTH
        .iter()
        .map(|(what, object, status, message)| {
            let checker = checker.clone();
            Trial::test(format!("a SpinApp's health, {what}: {status}"), move || {
                health_is(&checker, object, status, message)
            })
        })
        .collect();
    trials.push(Trial::test(
        "the migrations' Job: applies them, again too, and gives the role its password",
        the_migrations,
    ));
    trials
}

/// What, the SpinApp as a table of Lua's, and its health.
const HEALTH: [(&str, &str, &str, &str); 8] = [
    (
        "new",
        "{spec = {replicas = 2}}",
        "Progressing",
        "waiting for the operator",
    ),
    (
        "no condition yet",
        "{spec = {replicas = 2}, status = {readyReplicas = 0}}",
        "Progressing",
        "waiting for the operator",
    ),
    (
        "available, one of two ready",
        "{spec = {replicas = 2}, status = {readyReplicas = 1, conditions = {{type = 'Available', status = 'True'}}}}",
        "Progressing",
        "1 of 2 ready",
    ),
    (
        "all ready",
        "{spec = {replicas = 2}, status = {readyReplicas = 2, conditions = {{type = 'Available', status = 'True'}, {type = 'Progressing', status = 'True'}}}}",
        "Healthy",
        "2 of 2 ready",
    ),
    (
        "all ready, not available",
        "{spec = {replicas = 2}, status = {readyReplicas = 2, conditions = {{type = 'Available', status = 'False'}}}}",
        "Progressing",
        "2 of 2 ready",
    ),
    (
        "scales by itself",
        "{spec = {enableAutoscaling = true, replicas = 0}, status = {readyReplicas = 4, conditions = {{type = 'Available', status = 'True'}}}}",
        "Healthy",
        "4 of 1 ready",
    ),
    (
        "scales by itself, none ready",
        "{spec = {enableAutoscaling = true, replicas = 0}, status = {readyReplicas = 0, conditions = {{type = 'Available', status = 'True'}}}}",
        "Progressing",
        "0 of 1 ready",
    ),
    (
        "out of time",
        "{spec = {replicas = 2}, status = {readyReplicas = 0, conditions = {{type = 'Progressing', status = 'False', message = 'exceeded its deadline'}}}}",
        "Degraded",
        "exceeded its deadline",
    ),
];

fn health_is(checker: &Checker, object: &str, status: &str, message: &str) -> Result<(), Failed> {
    let yaml = fs::read_to_string(xtask::root().join("deploy/argocd/argocd-cm.yaml"))?;
    let objects = checker.checked(&yaml)?;
    let key = "resource.customizations.health.core.spinkube.dev_SpinApp";
    let found = at(&objects[0].object, key);
    let script = found.first().and_then(|script| script.as_str());
    let script = script.ok_or("the health check is gone")?;
    let folder = TempDir::new()?;
    let program = folder.path().join("health.lua");
    fs::write(
        &program,
        format!(
            "local function check(obj)\n{script}\nend\nlocal health = check({object})\n\
             print(health.status .. ': ' .. health.message)\n"
        ),
    )?;
    // Argo CD's own, gopher-lua, speaks Lua 5.1.
    let lua = debian::program("lua5.1", "lua5.1")?;
    let said = read("run the health check", Command::new(lua).arg(&program))?;
    assert_eq!(said.trim(), format!("{status}: {message}"));
    Ok(())
}

fn the_migrations() -> Result<(), Failed> {
    let folder = TempDir::new()?;
    let server = Postgres::start(folder.path())?;
    let owner = server.owner();
    // What a shell or SQL would take for its own.
    let password = "it's \"a\" $(test) \\ :password";
    let script = xtask::root().join("deploy/chart/files/migrate.sh");
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
    let migrations = xtask::root().join("deploy/chart/files/migrations");
    server.psql("DROP TABLE users")?;
    for _ in 0..2 {
        let mut command = Command::new("sh");
        command
            .arg(&script)
            .env("MIGRATIONS", &migrations)
            .env("SERVICE_PASSWORD", password);
        client(&mut command, &owner.user, &owner.password);
        run("run the migrations' Job", &mut command)?;
    }
    let mut psql = Command::new("psql");
    psql.args([
        "--no-psqlrc",
        "--no-password",
        "--tuples-only",
        "--no-align",
    ])
    .args(["--command", "SELECT count(*) FROM users"]);
    client(&mut psql, "hello", password);
    assert_eq!(read("sign in as the service", &mut psql)?.trim(), "0");
    let mut wrong = Command::new("psql");
    wrong.args(["--no-psqlrc", "--no-password", "--command", "SELECT 1"]);
    client(&mut wrong, "hello", "another");
    if wrong.output()?.status.success() {
        return Err("Postgres takes any password".into());
    }
    let log = fs::read_to_string(folder.path().join("postgres.log"))?;
    if log.contains("$(test)") {
        return Err("the password is in the server's log".into());
    }
    Ok(())
}
