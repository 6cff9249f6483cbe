//! A process is killed, and started again.

use super::{ANY_ONE, Fault, Injection, POSTGRES, REDIS, Shows};
use crate::{processes::Frozen, world::StoreKind};
use anyhow::Result;

pub fn faults() -> Vec<Fault> {
    vec![
        Fault {
            name: "host-killed",
            what: "`kill -9` of the host, and a start on the same port",
            costs: "connections are refused until the next one serves; requests in flight are cut",
            stores: &StoreKind::ALL,
            needs: &[],
            shows: Shows::Failures,
            run: host_killed,
        },
        Fault {
            name: "host-hangs",
            what: "SIGSTOP for all processes of the host, then SIGCONT",
            costs: "requests wait for it",
            stores: ANY_ONE,
            needs: &[],
            shows: Shows::Waits,
            run: host_hangs,
        },
        Fault {
            name: "postgres-killed",
            what: "`kill -9` of all of Postgres, and a start later",
            costs: "503 until it has recovered",
            stores: POSTGRES,
            needs: &[],
            shows: Shows::Failures,
            run: postgres_killed,
        },
        Fault {
            name: "redis-killed",
            what: "`kill -9` of Redis (`appendfsync always`), and a start later",
            costs: "503, or no answer until it is back, by host",
            stores: REDIS,
            needs: &[],
            shows: Shows::Waits,
            run: redis_killed,
        },
        Fault {
            name: "redis-hangs",
            what: "SIGSTOP for Redis, then SIGCONT",
            costs: "requests wait for it on WASI 0.2; 503 after 5 s on WASI 0.3",
            stores: REDIS,
            needs: &[],
            shows: Shows::Waits,
            run: redis_hangs,
        },
    ]
}

fn host_killed(it: &mut Injection) -> Result<()> {
    it.world.kill_host()?;
    it.mended();
    it.world.start_host()
}

fn host_hangs(it: &mut Injection) -> Result<()> {
    let frozen = Frozen::stop(it.world.host_id()?)?;
    it.lasts();
    it.mended();
    drop(frozen);
    Ok(())
}

fn postgres_killed(it: &mut Injection) -> Result<()> {
    it.world.postgres()?.kill()?;
    it.lasts();
    it.mended();
    it.world.postgres()?.run(&[])
}

fn redis_killed(it: &mut Injection) -> Result<()> {
    it.world.redis()?.kill()?;
    it.lasts();
    it.mended();
    it.world.redis()?.run()
}

fn redis_hangs(it: &mut Injection) -> Result<()> {
    let frozen = Frozen::stop(it.world.redis()?.id()?)?;
    it.lasts();
    it.mended();
    drop(frozen);
    Ok(())
}
