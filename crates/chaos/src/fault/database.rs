//! Postgres does not do its part.

use std::thread;

use anyhow::{Context, Result, ensure};
use harness::postgres::{Postgres, give_to_server};

use super::{Fault, Injection, Need, POSTGRES, Shows, until};
use crate::processes::Frozen;

pub fn faults() -> Vec<Fault> {
    let fault = |name, what, costs, shows, run| Fault {
        name,
        what,
        costs,
        stores: POSTGRES,
        needs: &[],
        shows,
        run,
    };
    vec![
        fault(
            "postgres-hangs",
            "SIGSTOP for all processes of Postgres, then SIGCONT",
            "on WASI 0.2 requests wait for it; on WASI 0.3 they get 503 after 5 s",
            Shows::Waits,
            hangs,
        ),
        fault(
            "postgres-refuses",
            "an orderly stop of Postgres, and a start later",
            "503 at once, until it is back",
            Shows::Failures,
            refuses,
        ),
        fault(
            "postgres-read-only",
            "`default_transaction_read_only` is on, and off later",
            "503 for PUT; GET goes on",
            Shows::Failures,
            only_reads,
        ),
        fault(
            "postgres-out-of-connections",
            "the role's connection limit is 0 and its connections are ended; back later",
            "503 until there are some again",
            Shows::Failures,
            out_of_connections,
        ),
        fault(
            "postgres-locked",
            "another session holds an exclusive lock of the table",
            "503 after 2 s, by the role's `lock_timeout`",
            Shows::Failures,
            locked,
        ),
        Fault {
            needs: &[Need::Relay],
            ..fault(
                "postgres-fails-over",
                "`kill -9` of the primary; its synchronous standby is promoted, and the address moves there",
                "503 until the address has moved",
                Shows::Failures,
                fails_over,
            )
        },
    ]
}

fn hangs(it: &mut Injection) -> Result<()> {
    let frozen = Frozen::stop(it.world.postgres()?.id()?)?;
    it.lasts();
    it.mended();
    drop(frozen);
    Ok(())
}

fn refuses(it: &mut Injection) -> Result<()> {
    it.world.postgres()?.stop();
    it.lasts();
    it.mended();
    it.world.postgres()?.run(&[])
}

fn only_reads(it: &mut Injection) -> Result<()> {
    set(it.world.postgres()?, "default_transaction_read_only", "on")?;
    it.lasts();
    it.mended();
    set(it.world.postgres()?, "default_transaction_read_only", "off")
}

fn out_of_connections(it: &mut Injection) -> Result<()> {
    let postgres = it.world.postgres()?;
    postgres.psql("ALTER ROLE hello CONNECTION LIMIT 0")?;
    postgres
        .psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'hello'")?;
    it.lasts();
    it.mended();
    let postgres = it.world.postgres()?;
    postgres
        .psql("ALTER ROLE hello CONNECTION LIMIT -1")
        .map(drop)
}

fn locked(it: &mut Injection) -> Result<()> {
    // The role's lock_timeout is 2 s: a lock that is held for less goes unnoticed.
    let seconds = it.pace.lasts.as_secs().max(8);
    let postgres = it.world.postgres()?;
    let lock = format!(
        "BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep({seconds}); COMMIT"
    );
    thread::scope(|scope| {
        let lock = scope.spawn(|| postgres.psql(&lock));
        lock.join().ok().context("psql's thread has panicked")?
    })?;
    it.mended();
    Ok(())
}

fn fails_over(it: &mut Injection) -> Result<()> {
    let directory = it.world.path("standby");
    std::fs::create_dir(&directory)?;
    give_to_server(&directory)?;
    let primary = it.world.postgres()?;
    let standby = primary.standby(&directory)?;
    set(primary, "synchronous_standby_names", "*")?;
    let state = "SELECT sync_state FROM pg_stat_replication";
    until("the standby to be synchronous", || {
        Ok(primary.psql(state)?.trim() == "sync")
    })?;
    let some = u64::from(it.pace.rate);
    it.load.wait_for_answers(some, super::RECOVERY_LIMIT)?;
    it.world.postgres()?.kill()?;
    it.lasts();
    it.mended();
    standby.psql("SELECT pg_promote()")?;
    let in_recovery = standby.psql("SELECT pg_is_in_recovery()")?;
    ensure!(in_recovery.trim() == "f", "the standby is not promoted");
    // It would wait for a standby of its own.
    set(&standby, "synchronous_standby_names", "")?;
    it.world.relay()?.move_to(standby.port);
    *it.world.postgres()? = standby;
    Ok(())
}

/// Changes a setting of the server, in force for every transaction that begins later.
fn set(postgres: &Postgres, name: &str, value: &str) -> Result<()> {
    // ALTER SYSTEM runs alone, and a server that only reads still takes it.
    postgres.psql(&format!("ALTER SYSTEM SET {name} = '{value}'"))?;
    postgres.psql("SELECT pg_reload_conf()").map(drop)
}
