//! What people operate the service with: alerts, runbooks, dashboard, backup, and the swap.
//!
//! `cargo xtask test` runs this: it needs programs of Debian's and packages of PyPI's. Every check
//! is made of the tree as it is, and of one in which something is broken, where it has to fail.

mod compose;
mod observability;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use bench::cutover;
use deploy_tests::{
    checker::{succeeded, trial},
    moto::Moto,
    mutation::{Mutations, fails},
};
use harness::{
    postgres::{Postgres, give_to_server},
    process::end_all_on_signal,
};
use hello::{
    metrics::{self, exposition, memory::MemoryCounters, record},
    route::Route,
    store::{Failure, Operation, StoreError},
};
use libtest_mimic::Arguments;
use pollster::block_on;
use tempfile::TempDir;
use tools::root;

type Check = fn(&Path) -> Result<()>;

fn main() -> Result<()> {
    let arguments = Arguments::from_args();
    end_all_on_signal()?;
    let mutations = Mutations::of("operations")?;
    let expressions: Check = |tree| observability::expressions(tree, &exposition());
    let checks: [(&str, Check); 6] = [
        ("rules", observability::rules),
        ("cases", observability::cases),
        ("runbooks", observability::runbooks),
        ("expressions", expressions),
        ("routes", observability::routes),
        ("compose", observability::compose),
    ];
    let mut trials = Vec::new();
    for (name, check) in checks {
        trials.extend(mutations.trials(name, check));
    }
    trials.extend(compose::trials(&mutations));
    mutations.assert_all_used();
    trials.extend([
        trial(
            "backup: every row comes back, from whole backups alone",
            backup,
        ),
        trial("swap: no request fails, and the naive way fails some", swap),
        trial(
            "expressions: an exposition is read",
            observability::reads_an_exposition,
        ),
    ]);
    libtest_mimic::run(&arguments, trials).exit();
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
    let build = exposition::Build {
        host: "spin",
        wasi: "0.2",
        store: "postgres",
    };
    let took = Duration::from_millis(1);
    block_on(record::request(&counters, request, took, Some(&failure))).expect("counted");
    block_on(exposition::encode(Some(&counters), build)).expect("exposed")
}

/// A real Postgres into an S3 server, and back into another database.
fn backup() -> Result<()> {
    const USERS: &str =
        "SELECT username, date_of_birth, created_at, updated_at FROM users ORDER BY username";
    let directory = TempDir::new()?;
    let moto = Moto::start(directory.path())?;
    let full = Postgres::start(&fresh(directory.path(), "full")?)?;
    let empty = Postgres::start(&fresh(directory.path(), "empty")?)?;
    let s3 = |arguments: &[&str]| succeeded(moto.command("aws").arg("s3").args(arguments));
    s3(&["mb", "s3://backups"])?;
    full.psql(
        "INSERT INTO users (username, date_of_birth)
         SELECT 'User' || translate(n::text, '0123456789', 'abcdefghij'), date '1900-01-01' + n
         FROM generate_series(1, 20000) AS n",
    )?;
    let count = |database: &Postgres| -> Result<String> {
        Ok(database
            .psql("SELECT count(*) FROM users")?
            .trim()
            .to_owned())
    };
    let work = directory.path().join("work");
    fs::create_dir_all(&work)?;
    let script = |name: &str, bucket: &str, database: &Postgres, arguments: &[&str]| {
        succeeded(
            moto.command("sh")
                .arg(root().join("deploy/chart/files").join(name))
                .args(arguments)
                .envs(database.owner().environment())
                .env("BACKUP_BUCKET", bucket)
                .env("BACKUP_PREFIX", "nightly/")
                .env("BACKUP_FOLDER", &work),
        )
    };
    let restore = |arguments: &[&str]| script("restore.sh", "backups", &empty, arguments);

    fails(script("backup.sh", "nowhere", &full, &[]), "NoSuchBucket")?;
    fails(restore(&[]), "is empty")?;
    script("backup.sh", "backups", &full, &[])?;
    fails(
        script("restore.sh", "backups", &full, &[]),
        "the database has 20000 users",
    )?;

    // What lies in the directory between the steps may be cut short, or be something else.
    restore(&["download"])?;
    let mut files = fs::read_dir(&work)?.flatten().map(|entry| entry.path());
    let dump = files.find(|path| path.extension().is_some_and(|end| end == "dump"));
    let dump = dump.context("there is no dump")?;
    let whole = fs::read(&dump)?;
    let truncated = whole[..whole.len() - 100].to_vec();
    let mut altered = whole.clone();
    altered[whole.len() / 2] ^= 1;
    for (what, bytes) in [("truncated", truncated), ("altered", altered)] {
        fs::write(&dump, bytes)?;
        fails(restore(&["load"]), "checksum differs").context(what)?;
    }
    // A dump with a right checksum that is none: all or nothing.
    fs::write(&dump, &whole[..whole.len() * 3 / 4])?;
    let mut digest = Command::new("sha256sum");
    digest
        .arg(dump.file_name().unwrap_or_default())
        .current_dir(&work);
    fs::write(dump.with_extension("dump.sha256"), succeeded(&mut digest)?)?;
    fails(restore(&["load"]), "was not restored")?;
    ensure!(count(&empty)? == "0", "users came back of a torn dump");

    // A later dump without its checksum was cut short on its way.
    let from = dump.to_string_lossy();
    s3(&[
        "cp",
        &from,
        "s3://backups/nightly/hello-29991231T000000Z.dump",
    ])?;
    restore(&[])?;
    ensure!(full.psql(USERS)? == empty.psql(USERS)?, "rows differ");
    assert_eq!(count(&empty)?, "20000");
    Ok(())
}

/// A short rehearsal: half a minute at the pace of the slower host.
fn swap() -> Result<()> {
    cutover::hosts::rehearse(&cutover::Options {
        requests: 3000,
        rate: Some(200),
        host: None,
        cluster: false,
    })
}

/// A directory below `directory` that Postgres may go into.
fn fresh(directory: &Path, name: &str) -> Result<PathBuf> {
    give_to_server(directory)?;
    let fresh = directory.join(name);
    fs::create_dir(&fresh)?;
    Ok(fresh)
}
