//! The loss of the region that has the writing Postgres, rehearsed: docs/runbooks/RegionFailover.md
//! with two hosts for two regions, and a real primary with a real asynchronous standby.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use harness::{
    host::{Host, Store},
    postgres::Postgres,
};
use libtest_mimic::Trial;
use tempfile::TempDir;

use super::{
    HostUnderTest, PUT, assert_no_sensitive_data, logs_of,
    postgres::{BOUND, UNAVAILABLE, expect, wait_for},
    refuses_service, until,
};

/// Saved while the standby followed; `SignedTwo` changes after it lost touch, and `SignedThree` once
/// it is promoted.
const REPLICATED: [&str; 3] = ["SignedOne", "SignedTwo", "SignedThree"];

/// Saved while the line to the standby was cut.
const LAGGING: [&str; 2] = ["SignedFour", "SignedFive"];

const CHANGED: &[u8] = br#"{"dateOfBirth":"2001-02-03"}"#;

pub fn trials(under_test: &HostUnderTest) -> Vec<Trial> {
    vec![under_test.trial(
        "postgres: the writing region is lost, and its replica promoted",
        lost,
    )]
}

fn lost(under_test: HostUnderTest) -> Result<()> {
    let directories = [TempDir::new()?, TempDir::new()?, TempDir::new()?];
    let mut primary = Postgres::start(directories[0].path())?;
    let standby = primary.standby(directories[1].path())?;
    let region = |postgres: &Postgres| under_test.start(Store::Postgres(&postgres.service()));

    // Both regions have the one writer, so what one acknowledges, the other one greets at once.
    let (here, here_logs) = region(&primary)?;
    let (there, there_logs) = region(&primary)?;
    for user in REPLICATED {
        save(&here, user, PUT, 204)?;
        greets(&there, user, 200)?;
    }
    until("the standby to catch up", BOUND, || {
        Ok(users(&standby)? == users(&primary)?)
    })?;

    // The standby loses touch. Saves go on, and are acknowledged: it is asynchronous.
    standby.psql("ALTER SYSTEM SET primary_conninfo = ''")?;
    standby.psql("SELECT pg_reload_conf()")?;
    let receivers = "SELECT count(*) FROM pg_stat_wal_receiver";
    until("the standby to lose touch", BOUND, || {
        Ok(standby.psql(receivers)?.trim() == "0")
    })?;
    for user in LAGGING {
        save(&here, user, PUT, 204)?;
    }
    for user in &REPLICATED[1..] {
        save(&here, user, CHANGED, 204)?;
    }

    // The region is gone. The other one says so to its clients, and to Route 53.
    primary.kill()?;
    drop(here);
    refuses_service(&there, UNAVAILABLE, "postgres")?;
    drop(there);

    // A commit that names the replica too early does no harm: it only reads.
    let (host, host_logs) = region(&standby)?;
    greets(&host, REPLICATED[0], 200)?;
    save(&host, REPLICATED[0], PUT, 503)?;

    // Promoted, it takes saves, and nothing has to be started again.
    standby.psql("SELECT pg_promote()")?;
    wait_for(&host, "PUT", "/hello/SignedThree", PUT, 204)?;
    for user in REPLICATED {
        greets(&host, user, 200)?;
    }
    // What the replica had not got is not there: the price of an asynchronous one.
    for user in LAGGING {
        greets(&host, user, 404)?;
    }

    // The old writer comes back, behind its fence.
    primary.run(&["default_transaction_read_only=on".to_owned()])?;
    let error = primary.psql("DELETE FROM users").expect_err("it is fenced");
    let error = error.to_string();
    ensure!(error.contains("read-only transaction"), "{error}");

    // What it has, and the new one has not or from an earlier time, was lost, and is saved again.
    // What was saved since stays.
    let (old, new) = (users(&primary)?, users(&standby)?);
    let mut lost = Vec::new();
    for (user, (updated_at, date_of_birth)) in &old {
        if new.get(user).is_none_or(|(newer, _)| newer < updated_at) {
            let body = format!(r#"{{"dateOfBirth":"{date_of_birth}"}}"#);
            save(&host, user, body.as_bytes(), 204)?;
            lost.push(user.as_str());
        }
    }
    let expected = ["SignedFive", "SignedFour", "SignedTwo"];
    ensure!(lost == expected, "{lost:?} were lost");
    // SignedTwo is the last by name, and SignedThree was saved again.
    let dates: Vec<String> = users(&standby)?
        .into_values()
        .map(|(_, date)| date)
        .collect();
    let (changed, others) = dates.split_last().context("no user is there")?;
    let is_last = changed == "2001-02-03" && others == ["1990-06-20"; 4];
    ensure!(is_last, "not what was acknowledged last: {dates:?}");

    // The region that was lost gets a replica of the new writer.
    primary.stop();
    let replica = standby.standby(directories[2].path())?;
    save(&host, "SignedLast", PUT, 204)?;
    until("the new replica to catch up", BOUND, || {
        Ok(users(&replica)?.contains_key("SignedLast"))
    })?;

    drop(host);
    for logs in [here_logs, there_logs, host_logs] {
        assert_no_sensitive_data(&logs_of(logs.path())?, &standby.password)?;
    }
    Ok(())
}

fn save(host: &Host, user: &str, body: &[u8], status: u16) -> Result<()> {
    expect(host, "PUT", &format!("/hello/{user}"), body, status)
}

fn greets(host: &Host, user: &str, status: u16) -> Result<()> {
    expect(host, "GET", &format!("/hello/{user}"), b"", status)
}

/// Each user's time of the last save, and date of birth.
fn users(postgres: &Postgres) -> Result<BTreeMap<String, (String, String)>> {
    let rows = postgres.psql(
        "SELECT username, to_char(updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US'), \
         date_of_birth FROM users",
    )?;
    let user = |row: &str| {
        let mut fields = row.split('|').map(str::to_owned);
        Some((fields.next()?, (fields.next()?, fields.next()?)))
    };
    Ok(rows.lines().filter_map(user).collect())
}
