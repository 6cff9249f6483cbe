//! The disk under the store is full.

use anyhow::{Result, ensure};

use super::{ANY_ONE, Fault, Injection, Need, POSTGRES, Shows};

pub fn faults() -> Vec<Fault> {
    vec![
        Fault {
            name: "disk-full",
            what: "the file system under the key-value store is full, until space is freed",
            costs: "503 for PUT; GET goes on",
            stores: ANY_ONE,
            needs: &[Need::SmallDisk],
            shows: Shows::Failures,
            run: key_value,
        },
        Fault {
            name: "postgres-disk-full",
            what: "the file system under Postgres is full and it needs a new segment of its log; when space \
                   is freed it is started, if it has ended",
            costs: "503: Postgres stops, and recovers once space is freed",
            stores: POSTGRES,
            needs: &[Need::SmallDisk],
            shows: Shows::Failures,
            run: postgres,
        },
    ]
}

fn key_value(it: &mut Injection) -> Result<()> {
    it.world.fill_disk()?;
    it.lasts();
    it.mended();
    it.world.empty_disk()
}

fn postgres(it: &mut Injection) -> Result<()> {
    it.world.fill_disk()?;
    let postgres = it.world.postgres()?;
    let data = "SHOW data_directory";
    ensure!(
        postgres.psql(data).is_ok(),
        "Postgres has ended before its log was full"
    );
    // What is left of the segment takes thousands of saves. This makes the next one begin; on a disk that is
    // full, Postgres ends with it, so that the command fails is no surprise.
    let _ = postgres.psql("SELECT pg_switch_wal()");
    it.lasts();
    it.mended();
    it.world.empty_disk()?;
    let postgres = it.world.postgres()?;
    let is_up = postgres.psql(data).is_ok();
    if !is_up {
        postgres.stop();
        postgres.run(&[])?;
    }
    let ended = if is_up {
        "went on by itself"
    } else {
        "had ended, and was started again"
    };
    it.note(format!("Postgres {ended}"));
    Ok(())
}
