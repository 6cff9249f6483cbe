//! The backup's Jobs on a node: out of the real Postgres into an S3 server, and back.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use cluster::{
    ADDRESS,
    image::Image,
    site::{NAMESPACE, READY_TIMEOUT},
};
use deploy_tests::{checker::succeeded, moto::Moto, objects::text};
use harness::wait::wait_until;
use serde_json::json;
use tools::{python, run::read};

use crate::release::Release;

const USERS: &str =
    "SELECT username, date_of_birth, created_at, updated_at FROM users ORDER BY username";

/// The CronJobs as the chart has them, and Jobs made of them as docs/operations.md says.
pub fn backup(site: &Release) -> Result<()> {
    let directory = tools::fresh("cluster-backup")?;
    let moto = Moto::start_at(ADDRESS.into(), &directory)?;
    let s3 = |arguments: &[&str]| succeeded(moto.command("aws").arg("s3").args(arguments));
    s3(&["mb", "s3://backups"])?;
    site.plane.kubectl.run(&[
        "create",
        "secret",
        "generic",
        "hello-s3",
        &format!("--namespace={NAMESPACE}"),
        "--from-literal=AWS_ACCESS_KEY_ID=test",
        "--from-literal=AWS_SECRET_ACCESS_KEY=test",
    ])?;
    let postgres = Image::new("hello.test/postgres").shell()?;
    let postgres = ["pg_dump", "pg_restore", "psql"]
        .into_iter()
        .try_fold(postgres, Image::program)?;
    site.deliver_with(
        &["v1"],
        &json!({
            "variables": "runtimeConfig", // as before: no version changes
            "images": {
                "postgres": site.import(postgres, &directory.join("postgres.tar"))?,
                "awsCli": site.import(aws_cli()?, &directory.join("aws-cli.tar"))?,
            },
            "networkPolicy": {"s3": [{"ipBlock": {"cidr": "10.0.0.0/24"}}]},
            "backup": {
                "enabled": true,
                "bucket": "backups",
                "prefix": "cluster/",
                "region": "eu-central-1",
                "endpoint": moto.endpoint(),
                "credentialsSecret": "hello-s3",
            },
        }),
    )?;
    site.database.psql(
        "INSERT INTO users (username, date_of_birth)
         SELECT 'Backup' || translate(n::text, '0123456789', 'abcdefghij'), date '1900-01-01' + n
         FROM generate_series(1, 1000) AS n",
    )?;
    let users = site.database.psql(USERS)?;

    ended(site, "backup", "backup-now", "Complete")?;
    let stored = s3(&["ls", "--recursive", "s3://backups"])?;
    let objects: Vec<&str> = stored
        .split_whitespace()
        .filter(|it| it.contains(".dump"))
        .collect();
    ensure!(
        objects.len() == 2
            && objects
                .iter()
                .all(|name| name.starts_with("cluster/hello-")),
        "the bucket has {objects:?}"
    );

    // Into a database with users, it restores nothing.
    ended(site, "restore", "restore-refused", "Failed")?;
    let said = logs(site, "restore-refused")?;
    ensure!(said.contains("the database has 1"), "it says {said:?}");
    ensure!(
        site.database.psql(USERS)? == users,
        "a refused restore changed users"
    );

    site.database.psql("DELETE FROM users")?;
    ended(site, "restore", "restore-now", "Complete")?;
    ensure!(site.database.psql(USERS)? == users, "rows differ");
    Ok(())
}

/// Makes the Job `name` of a CronJob, and waits for the condition in which it is to end.
fn ended(site: &Release, cronjob: &str, name: &str, wanted: &str) -> Result<()> {
    site.plane.kubectl.run(&[
        "create",
        "job",
        name,
        &format!("--from=cronjob/hello-{cronjob}"),
        &format!("--namespace={NAMESPACE}"),
    ])?;
    let what = format!("the end of the Job {name}");
    let condition = wait_until(&what, READY_TIMEOUT, Duration::from_secs(1), || {
        let job = site.get(&["job", name])?;
        let conditions = job["status"]["conditions"].as_array();
        let ends = conditions.into_iter().flatten().find(|condition| {
            condition["status"] == "True"
                && ["Complete", "Failed"].contains(&text(condition, "/type"))
        });
        anyhow::Ok(ends.map(|condition| text(condition, "/type").to_owned()))
    })
    .with_context(|| logs(site, name).unwrap_or_default())?;
    ensure!(
        condition == wanted,
        "{name} is {condition}: {}",
        logs(site, name)?
    );
    Ok(())
}

/// What the containers of a Job's pods have printed.
fn logs(site: &Release, job: &str) -> Result<String> {
    site.plane.kubectl.run(&[
        "logs",
        &format!("--namespace={NAMESPACE}"),
        &format!("--selector=batch.kubernetes.io/job-name={job}"),
        "--all-containers",
        "--tail=20",
    ])
}

/// Python's AWS CLI at the paths that it has here, with what it loads, and a shell.
fn aws_cli() -> Result<Image> {
    let programs = python::environment("backup")?;
    let python = programs.join("python");
    let said = read(
        "ask Python for its libraries",
        Command::new(&python).args([
            "-c",
            "import sysconfig; print(sysconfig.get_path('stdlib'))",
        ]),
    )?;
    let library = Path::new(said.trim());
    let wanted = |path: &Path| !is_spared(path, library);
    let environment = programs.parent().context("it is in an environment")?;
    let mut image = Image::new("hello.test/aws-cli")
        .shell()?
        .copy(library, &wanted)?
        .copy(environment, &wanted)?
        .link("usr/bin/aws", &programs.join("aws").display().to_string())?;
    // The environment has a link to the machine's Python, and that may be one as well.
    let mut place = python;
    while let Ok(to) = fs::read_link(&place) {
        place.pop();
        place.push(to);
        if !place.starts_with(environment) {
            image = image.copy(&place, &wanted)?;
        }
    }
    Ok(image)
}

/// What the CLI does without: tests, caches, other packages, and most of AWS's other services, of which
/// it only wants to find the definition.
fn is_spared(path: &Path, library: &Path) -> bool {
    const SPARED: [&str; 11] = [
        "__pycache__",
        "boto3",
        "botocore",
        "cryptography",
        "ensurepip",
        "examples",
        "idlelib",
        "lib2to3",
        "moto",
        "test",
        "topics",
    ];
    let name = |path: &Path| {
        path.file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    let parent = path.parent().unwrap_or(path);
    // In botocore/data/SERVICE/VERSION.
    if let Some(service) = parent.parent()
        && service
            .parent()
            .is_some_and(|data| data.ends_with("botocore/data"))
        && !["s3", "sso", "sts"].contains(&name(service).as_str())
    {
        return name(path) != "service-2.json";
    }
    let spared = SPARED.contains(&name(path).as_str()) && !parent.ends_with("awscli");
    let others = name(path) == "site-packages" && parent == library;
    spared || others || name(path).starts_with("config-3")
}
