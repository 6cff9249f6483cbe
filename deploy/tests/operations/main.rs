//! What people operate the service with: alerts, runbooks, dashboard, backup, and the swap.
//!
//! `cargo xtask test` runs this: it needs programs of Debian's and packages of PyPI's. Every check
//! is made of the tree as it is, and of one in which something is broken, where it has to fail.

mod observability;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};

use bench::cutover;
use deploy_tests::mutation::Mutations;
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
    let mut trials = checks().expect("the mutations can be read");
    trials.push(Trial::test(
        "backup: every row comes back, from whole backups alone",
        backup,
    ));
    trials.push(Trial::test(
        "swap: no request fails, and the naive way fails some",
        swap,
    ));
    trials.push(Trial::test("expressions: an exposition is read", || {
        observability::reads_an_exposition();
        Ok(())
    }));
    libtest_mimic::run(&arguments, trials).exit();
}

fn checks() -> anyhow::Result<Vec<Trial>> {
    let mutations = Mutations::of("operations")?;
    let expressions: Check = |tree| observability::expressions(tree, &exposition());
    let all: [(&str, Check); 6] = [
        ("rules", observability::rules),
        ("cases", observability::cases),
        ("runbooks", observability::runbooks),
        ("expressions", expressions),
        ("routes", observability::routes),
        ("compose", observability::compose),
    ];
    let trials = all.map(|(name, check)| mutations.trials(name, check));
    mutations.assert_all_used();
    Ok(trials.into_iter().flatten().collect())
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
        let path = format!(
            "{}:{}",
            programs.display(),
            env::var("PATH").unwrap_or_default()
        );
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
        let process = Process::start(
            Command::new(programs.join("moto_server"))
                .args(["--host", "127.0.0.1", "--port"])
                .arg(port.to_string()),
            Some(&directory.join("moto.log")),
        )?;
        let started = Instant::now();
        while Connection::open(port).is_err() {
            require(started.elapsed() < Duration::from_secs(60), || {
                fs::read_to_string(directory.join("moto.log")).unwrap_or_default()
            })?;
            thread::sleep(Duration::from_millis(100));
        }
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
