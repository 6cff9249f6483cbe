//! What people operate the service with: alerts, runbooks, dashboard, backup, and the swap.
//!
//! `cargo xtask test` runs this: it needs programs of Debian's and packages of PyPI's. Every check
//! is made of the tree as it is, and of one in which something is broken, where it has to fail.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use bench::cutover;
use deploy_tests::observability as observed;
use harness::{
    client::Connection,
    host::free_port,
    postgres::{Postgres, give_to_server},
    process::{Process, end_all_on_signal},
};
use hello::{
    http::{Failure, Route},
    metrics::{self, memory::MemoryCounters},
    store::{Operation, StoreError},
};
use libtest_mimic::{Arguments, Failed, Trial};
use pollster::block_on;
use tempfile::TempDir;
use tools::root;

type Check = fn(&Path) -> anyhow::Result<()>;

fn main() {
    let arguments = Arguments::from_args();
    end_all_on_signal().expect("this is the only place that asks");
    let mut trials = checks();
    trials.push(Trial::test(
        "backup: every row comes back, from whole backups alone",
        backup,
    ));
    trials.push(Trial::test(
        "swap: no request fails, and the naive way fails some",
        swap,
    ));
    libtest_mimic::run(&arguments, trials).exit();
}

/// A check, the tree as it is, and ways to break it: a file, what is in it, what it becomes, and
/// what the check then says.
fn checks() -> Vec<Trial> {
    let expressions: Check = |tree| observed::expressions(tree, &exposition());
    let all: [(&str, Check, &[[&str; 4]]); 6] = [
        (
            "rules",
            observed::rules,
            &[
                [
                    observed::RULES,
                    "14.4 * 0.001",
                    "144 * 0.001",
                    "HelloAvailabilityBudgetBurnsFast",
                ],
                [observed::RULES, "36 * 3600", "3600", "HelloBackupTooOld"],
                [observed::RULES, "absent(up", "absnt(up", "unknown function"],
                [
                    observed::PLATFORM_RULES,
                    "36 * 3600",
                    "3600",
                    "ClusterBackupTooOld",
                ],
                [
                    observed::PLATFORM_RULES,
                    "14 * 86400",
                    "86400",
                    "CertificateExpiresSoon",
                ],
                [
                    observed::PLATFORM_RULES,
                    r#"status="False""#,
                    r#"status="True""#,
                    "SecretNotSynced",
                ],
                [
                    observed::PLATFORM_RULES,
                    "max by (name)",
                    "max by (name, sync_status)",
                    "ApplicationNotAsInGit",
                ],
                [
                    observed::PLATFORM_RULES,
                    "offset 1h)) > 0",
                    "offset 1h)) > 10000",
                    "ClusterIsSilent",
                ],
                [
                    observed::PLATFORM_RULES,
                    "last_successful_upload_timestamp_seconds) > 0",
                    "last_successful_upload_timestamp_seconds) >= 0",
                    "MetricsNotStored",
                ],
                [
                    observed::PLATFORM_RULES,
                    "increase(loki",
                    "sum by (pod, reason) (loki",
                    "parse error",
                ],
                [
                    observed::RULES,
                    "severity: page",
                    "severty: page",
                    "HelloAvailability",
                ],
            ],
        ),
        (
            "cases",
            observed::cases,
            &[
                [
                    "deploy/alerts_test.yaml",
                    "alertname: HelloStoreErrors",
                    "alertname: HelloNoTargetUp",
                    "no case lets HelloStoreErrors fire",
                ],
                [
                    "deploy/alerts_of_days_test.yaml",
                    "HelloBackupFailed\n        eval_time: 28h\n        exp_alerts: []",
                    "HelloBackupFailed\n        exp_alerts: [{}]",
                    "no case keeps HelloBackupFailed quiet",
                ],
                [
                    "deploy/platform_alerts_test.yaml",
                    "alertname: LogsAreLost",
                    "alertname: ClusterIsSilent",
                    "no case lets LogsAreLost fire",
                ],
            ],
        ),
        (
            "runbooks",
            observed::runbooks,
            &[
                [
                    observed::RULES,
                    "runbooks/HelloStoreErrors.md",
                    "runbooks/Other.md",
                    "Other.md",
                ],
                [
                    observed::RULES,
                    "alert: HelloStoreErrors",
                    "alert: HelloOther",
                    "HelloOther",
                ],
                [
                    observed::RULES,
                    "severity: ticket",
                    "severity: urgent",
                    "no severity",
                ],
                [
                    observed::PLATFORM_RULES,
                    "alert: LogsAreLost",
                    "alert: LogsAreGone",
                    "LogsAreGone",
                ],
                [
                    observed::PLATFORM_RULES,
                    "alert: LogsAreLost",
                    "record: logs:are:lost",
                    "LogsAreLost.md is of no alert",
                ],
                [
                    "docs/runbooks/HelloNoTargetUp.md",
                    "```sh",
                    "Think first.\n\n```sh",
                    "does not begin",
                ],
            ],
        ),
        (
            "expressions",
            expressions,
            &[
                [
                    observed::DASHBOARD,
                    "hello_build_info",
                    "hello_built_info",
                    "hello_built_info",
                ],
                [
                    observed::DASHBOARD,
                    "status=~",
                    "code=~",
                    "has no label code",
                ],
                [
                    observed::DASHBOARD,
                    "histogram_quantile(0.5, ",
                    "histogram_quantile(0.5 ",
                    "parse",
                ],
                [
                    observed::RULES,
                    "kube_cronjob_created",
                    "kube_cronjob_made",
                    "kube_cronjob_made",
                ],
                [
                    observed::PLATFORM_RULES,
                    "cortex_distributor_received_samples_total",
                    "cortex_distributor_samples_total",
                    "cortex_distributor_samples_total",
                ],
            ],
        ),
        (
            "routes",
            observed::routes,
            &[
                [
                    observed::ROUTES,
                    r#"severity=~"page|critical""#,
                    r#"severity=~"paged|critical""#,
                    "\"page\" is misrouted",
                ],
                [
                    observed::ROUTES,
                    r#"severity="ticket""#,
                    r#"severity="tick""#,
                    "\"ticket\" is misrouted",
                ],
                [
                    observed::ROUTES,
                    r#"severity=~"page|critical""#,
                    r#"severity=~"page""#,
                    "\"critical\" is misrouted",
                ],
                [
                    observed::ROUTES,
                    r#"cluster="dev""#,
                    r#"cluster="canary""#,
                    "dev is misrouted",
                ],
                [
                    observed::ROUTES,
                    "routing_key_file",
                    "routing_key_path",
                    "routing_key_path",
                ],
            ],
        ),
        (
            "compose",
            observed::compose,
            &[
                [observed::COMPOSE, "depends_on:", "depend_on:", "depend_on"],
                [
                    observed::COMPOSE,
                    "prom/prometheus:v3.5.0",
                    "prom/prometheus:latest",
                    "no exact version",
                ],
                [
                    observed::COMPOSE,
                    "./runtime-config.toml:",
                    "./runtime.toml:",
                    "./runtime.toml",
                ],
                [
                    observed::SCRAPES,
                    "scrape_configs",
                    "scrape_config",
                    "scrape_config",
                ],
            ],
        ),
    ];
    let mut trials = Vec::new();
    for (name, check, breakages) in all {
        trials.push(Trial::test(
            format!("{name}: the tree is right"),
            move || Ok(check(&root()).map_err(|error| format!("{error:#}"))?),
        ));
        for [file, old, new, says] in breakages {
            let title = format!("{name}: {old:?} as {:?} is refused", new.lines().next());
            trials.push(Trial::test(title, move || {
                let tree = broken(file, old, new)?;
                let Err(error) = check(tree.path()) else {
                    return Err("it is accepted".into());
                };
                let error = format!("{error:#}");
                require(error.contains(says), || format!("it says: {error}"))
            }));
        }
    }
    trials
}

/// A copy of what is checked, with `new` for each `old` in `file`.
fn broken(file: &str, old: &str, new: &str) -> Result<TempDir, Failed> {
    let tree = TempDir::new()?;
    let mut paths = vec![PathBuf::from("spin.toml"), "runtime-config.toml".into()];
    paths.extend(["compose.yaml", "deploy", "docs/runbooks", "migrations"].map(PathBuf::from));
    while let Some(path) = paths.pop() {
        let (from, to) = (root().join(&path), tree.path().join(&path));
        if from.is_dir() {
            fs::create_dir_all(to)?;
            for entry in fs::read_dir(from)? {
                paths.push(path.join(entry?.file_name()));
            }
        } else {
            fs::copy(from, to)?;
        }
    }
    let path = tree.path().join(file);
    let text = fs::read_to_string(&path)?;
    require(text.contains(old), || format!("{file} has no {old:?}"))?;
    fs::write(path, text.replace(old, new))?;
    Ok(tree)
}

/// What `/metrics` answers when everything has happened once.
fn exposition() -> String {
    let counters = MemoryCounters::default();
    let request = metrics::Request {
        method: "GET",
        route: Route::Hello,
        status: 503,
    };
    let failure = Failure {
        store: "postgres",
        operation: Operation::Read,
        error: StoreError::Corrupt,
    };
    let build = metrics::Build {
        host: "spin",
        store: "postgres",
    };
    let took = Duration::from_millis(1);
    block_on(metrics::count(&counters, request, took, Some(&failure))).expect("counted");
    block_on(metrics::expose(Some(&counters), build)).expect("exposed")
}

/// A real Postgres into an S3 server, and back into another database.
fn backup() -> Result<(), Failed> {
    const USERS: &str =
        "SELECT username, date_of_birth, created_at, updated_at FROM users ORDER BY username";
    let programs = tools::python::environment("backup")?;
    let directory = TempDir::new()?;
    let server = Moto::start(&programs, directory.path())?;
    let full = Postgres::start(&fresh(directory.path(), "full")?)?;
    let empty = Postgres::start(&fresh(directory.path(), "empty")?)?;
    let made = Command::new(programs.join("aws"))
        .args(["s3", "mb", "s3://backups"])
        .envs(server.account())
        .output()?;
    succeeded(&made)?;
    full.psql(
        "INSERT INTO users (username, date_of_birth)
         SELECT 'User' || translate(n::text, '0123456789', 'abcdefghij'), date '1900-01-01' + n
         FROM generate_series(1, 20000) AS n",
    )?;
    let script = |name: &str, bucket: &str, database: &Postgres, arguments: &[&str]| {
        let work = directory.path().join("work");
        fs::create_dir_all(&work)?;
        let address = database.owner();
        let path = format!("{}:{}", programs.display(), tools::path().to_string_lossy());
        Command::new("sh")
            .arg(root().join("deploy/chart/files").join(name))
            .args(arguments)
            .env("PATH", path)
            .env("PGHOST", &address.host)
            .env("PGPORT", address.port.to_string())
            .env("PGUSER", &address.user)
            .env("PGPASSWORD", &address.password)
            .env("PGDATABASE", &address.database)
            .env("PGSSLMODE", &address.sslmode)
            .envs(server.account())
            .env("BACKUP_BUCKET", bucket)
            .env("BACKUP_PREFIX", "nightly/")
            .env("BACKUP_FOLDER", &work)
            .output()
    };
    let refused = |output: Output, says: &str| {
        let text = said(&output);
        require(!output.status.success() && text.contains(says), || {
            format!("it ends with {}, and says: {text}", output.status)
        })
    };

    refused(script("backup.sh", "nowhere", &full, &[])?, "NoSuchBucket")?;
    refused(script("restore.sh", "backups", &empty, &[])?, "is empty")?;
    succeeded(&script("backup.sh", "backups", &full, &[])?)?;
    refused(
        script("restore.sh", "backups", &full, &[])?,
        "the database has 20000 users",
    )?;

    // What lies in the directory between the steps may be cut short, or be something else.
    succeeded(&script("restore.sh", "backups", &empty, &["download"])?)?;
    let work = directory.path().join("work");
    let dump = fs::read_dir(&work)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|end| end == "dump"))
        .ok_or("there is no dump")?;
    let whole = fs::read(&dump)?;
    for (what, bytes) in [
        ("truncated", whole[..whole.len() - 100].to_vec()),
        ("altered", {
            let mut bytes = whole.clone();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            bytes
        }),
    ] {
        fs::write(&dump, bytes)?;
        let output = script("restore.sh", "backups", &empty, &["load"])?;
        refused(output, "checksum differs").map_err(|error| format!("{what}: {error:?}"))?;
    }
    // A dump with a right checksum that is none: all or nothing.
    fs::write(&dump, &whole[..whole.len() * 3 / 4])?;
    let name = dump.file_name().unwrap_or_default();
    let digest = Command::new("sha256sum")
        .arg(name)
        .current_dir(&work)
        .output()?;
    fs::write(dump.with_extension("dump.sha256"), digest.stdout)?;
    let output = script("restore.sh", "backups", &empty, &["load"])?;
    refused(output, "was not restored")?;
    let users = empty.psql("SELECT count(*) FROM users")?;
    require(users.trim() == "0", || {
        format!("{users} users came back of a torn dump")
    })?;

    // A later dump without its checksum was cut short on its way.
    let torn = Command::new(programs.join("aws"))
        .args(["s3", "cp"])
        .arg(&dump)
        .arg("s3://backups/nightly/hello-29991231T000000Z.dump")
        .envs(server.account())
        .output()?;
    succeeded(&torn)?;
    succeeded(&script("restore.sh", "backups", &empty, &[])?)?;
    require(full.psql(USERS)? == empty.psql(USERS)?, || {
        "rows differ".to_owned()
    })?;
    let users = empty.psql("SELECT count(*) FROM users")?;
    require(users.trim() == "20000", || {
        format!("{users} users came back")
    })
}

/// A short rehearsal: half a minute at the pace of the slower host.
fn swap() -> Result<(), Failed> {
    let options = cutover::Options {
        requests: 3000,
        rate: 200,
        host: None,
    };
    Ok(cutover::rehearse(&options).map_err(|error| format!("{error:#}"))?)
}

/// An S3 server.
struct Moto {
    _process: Process,
    port: u16,
}

impl Moto {
    fn start(programs: &Path, directory: &Path) -> Result<Self, Failed> {
        let port = free_port()?;
        let process = Process::start_server(
            Command::new(programs.join("moto_server"))
                .args(["--host", "127.0.0.1", "--port"])
                .arg(port.to_string()),
            Some(&directory.join("moto.log")),
            Duration::from_secs(60),
            || Connection::open(port).is_ok(),
        )?;
        Ok(Self {
            _process: process,
            port,
        })
    }

    /// Where it is and who asks, as the AWS CLI takes it.
    fn account(&self) -> [(&'static str, String); 4] {
        [
            (
                "AWS_ENDPOINT_URL",
                format!("http://127.0.0.1:{}", self.port),
            ),
            ("AWS_DEFAULT_REGION", "eu-central-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
        ]
    }
}

/// A directory below `directory` that Postgres may go into.
fn fresh(directory: &Path, name: &str) -> Result<PathBuf, Failed> {
    give_to_server(directory)?;
    let fresh = directory.join(name);
    fs::create_dir(&fresh)?;
    Ok(fresh)
}

fn succeeded(output: &Output) -> Result<(), Failed> {
    require(output.status.success(), || said(output))
}

fn said(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

fn require(holds: bool, else_says: impl FnOnce() -> String) -> Result<(), Failed> {
    if holds {
        Ok(())
    } else {
        Err(else_says().into())
    }
}
