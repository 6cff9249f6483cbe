//! What Linux's /proc knows of a process and its descendants, and signals to all of them.

use anyhow::{Context, Result};
use procfs::{
    WithCurrentSystemInfo,
    process::{Process, all_processes},
};
use rustix::process::{Pid, Signal, kill_process};

/// `root` and all its descendants.
pub fn tree(root: u32) -> Result<Vec<Process>> {
    let all = all_processes().context("this needs Linux's /proc")?;
    let mut all: Vec<_> = all
        .flatten()
        .filter_map(|process| Some((process.stat().ok()?.ppid, process)))
        .collect();
    let mut tree = Vec::new();
    let mut next = vec![i32::try_from(root)?];
    while let Some(pid) = next.pop() {
        next.extend(
            all.iter()
                .filter(|(parent, _)| *parent == pid)
                .map(|(_, it)| it.pid),
        );
        if let Some(at) = all.iter().position(|(_, it)| it.pid == pid) {
            tree.push(all.swap_remove(at).1);
        }
    }
    Ok(tree)
}

/// Processes that are stopped until this is dropped: they hold their connections and say nothing.
#[derive(Debug)]
pub struct Frozen(Vec<Pid>);

impl Frozen {
    /// Stops `root` and all its descendants.
    pub fn stop(root: u32) -> Result<Self> {
        let mut frozen = Self(Vec::new());
        // The parent first: it makes no more of them.
        for process in tree(root)? {
            let pid = Pid::from_raw(process.pid).context("a process has a number")?;
            kill_process(pid, Signal::STOP).context("a process cannot be stopped")?;
            frozen.0.push(pid);
        }
        Ok(frozen)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        for pid in &self.0 {
            let _ = kill_process(*pid, Signal::CONT);
        }
    }
}

/// How many file descriptors `root` and its descendants have open.
pub fn descriptors(root: u32) -> Result<usize> {
    let counts = tree(root)?.into_iter().map(|process| process.fd_count());
    // What has ended by now has none.
    Ok(counts.flatten().sum())
}

/// How many bytes of memory `root` and its descendants have. A page that two share counts twice.
pub fn memory(root: u32) -> Result<u64> {
    let stats = tree(root)?.into_iter().map(|process| process.stat());
    Ok(stats.flatten().map(|stat| stat.rss_bytes().get()).sum())
}
