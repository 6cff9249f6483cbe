//! What a process and its descendants use, by Linux's /proc.

use std::time::Duration;

use anyhow::{Context, Result};
use procfs::{
    WithCurrentSystemInfo,
    process::{Process, Stat, all_processes},
    ticks_per_second,
};

/// What a tree of processes uses.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// CPU time since each began, with that of children that have ended.
    pub cpu_time: Duration,
    /// Resident memory in bytes. A page that two processes share counts twice.
    pub memory: u64,
}

/// What `root` and all its descendants use.
pub fn usage(root: u32) -> Result<Usage> {
    let mut usage = Usage::default();
    for stat in tree(root)? {
        let ticks = stat.utime + stat.stime + u64::try_from(stat.cutime + stat.cstime)?;
        usage.cpu_time += Duration::from_millis(ticks * 1000 / ticks_per_second());
        usage.memory += stat.rss_bytes().get();
    }
    Ok(usage)
}

/// The proportional set size (PSS) of `root` and all its descendants, in bytes: of a page that `n` processes
/// share, each has the `n`th part, so the sum over a machine's processes is what they take of it.
pub fn proportional_set_size(root: u32) -> Result<u64> {
    let mut sum = 0;
    for stat in tree(root)? {
        let maps = Process::new(stat.pid)?.smaps_rollup()?.memory_map_rollup;
        let sizes = maps.iter().filter_map(|map| map.extension.map.get("Pss"));
        sum += sizes.sum::<u64>();
    }
    Ok(sum)
}

/// `root` and all its descendants, itself first.
fn tree(root: u32) -> Result<Vec<Stat>> {
    let all = all_processes().context("the measurement needs Linux's /proc")?;
    // What has ended by now has none.
    let stats = all.flatten().flat_map(|process| process.stat());
    let stats: Vec<Stat> = stats.collect();
    let mut tree: Vec<Stat> = Vec::new();
    let mut processes = vec![i32::try_from(root)?];
    while let Some(process) = processes.pop() {
        let children = stats.iter().filter(|stat| stat.ppid == process);
        processes.extend(children.map(|stat| stat.pid));
        let stat = stats.iter().find(|stat| stat.pid == process);
        // A process that has ended, and that nobody has waited for, has no memory.
        let stat = stat.filter(|stat| stat.rss > 0 || !tree.is_empty());
        tree.push(
            stat.with_context(|| format!("process {process} has ended"))?
                .clone(),
        );
    }
    Ok(tree)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory() {
        let usage = usage(std::process::id()).expect("this process runs");
        assert!(usage.memory > 100_000, "{usage:?}");
        let proportional = proportional_set_size(std::process::id()).expect("this process runs");
        assert!(
            proportional > 100_000 && proportional <= usage.memory,
            "{proportional}, {usage:?}"
        );
    }
}
