//! What a process and its descendants use, by Linux's /proc.

use std::time::Duration;

use anyhow::{Context, Result};
use procfs::{
    WithCurrentSystemInfo,
    process::{Stat, all_processes},
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
    let all = all_processes().context("the measurement needs Linux's /proc")?;
    // What has ended by now has none.
    let stats = all.flatten().flat_map(|process| process.stat());
    let stats: Vec<Stat> = stats.collect();
    let mut usage = Usage::default();
    let mut tree = vec![i32::try_from(root)?];
    while let Some(process) = tree.pop() {
        tree.extend(
            stats
                .iter()
                .filter(|stat| stat.ppid == process)
                .map(|stat| stat.pid),
        );
        let stat = stats.iter().find(|stat| stat.pid == process);
        // A process that has ended, and that nobody has waited for, has no memory.
        let stat = stat.filter(|stat| stat.rss > 0 || usage.memory > 0);
        let stat = stat.with_context(|| format!("process {process} has ended"))?;
        let ticks = stat.utime + stat.stime + u64::try_from(stat.cutime + stat.cstime)?;
        usage.cpu_time += Duration::from_millis(ticks * 1000 / ticks_per_second());
        usage.memory += stat.rss_bytes().get();
    }
    Ok(usage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory() {
        let usage = usage(std::process::id()).expect("this process runs");
        assert!(usage.memory > 100_000, "{usage:?}");
    }
}
