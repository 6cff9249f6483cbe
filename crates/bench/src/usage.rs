//! What a process and its descendants use, by Linux's /proc.

use std::{collections::HashMap, fs, time::Duration};

use anyhow::{Context, Result};

/// The unit of CPU time in /proc: USER_HZ, which is 100 on every architecture that Rust
/// has a Linux host for.
const TICK: Duration = Duration::from_millis(10);

/// What a tree of processes uses.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// CPU time since each began, with that of children that have ended.
    pub processor: Duration,
    /// Resident memory in bytes. A page that two processes share counts twice.
    pub memory: u64,
}

/// What `root` and all its descendants use.
///
/// # Errors
///
/// If there is no such process, or no /proc.
pub fn usage(root: u32) -> Result<Usage> {
    let entries = fs::read_dir("/proc").context("the measurement needs Linux's /proc")?;
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    let mut ticks = HashMap::new();
    for entry in entries.flatten() {
        let Some(process) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        // It may have ended by now.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        if let Some((parent, spent)) = parse(&stat) {
            children.entry(parent).or_default().push(process);
            ticks.insert(process, spent);
        }
    }
    // One that has ended and that nobody has waited for is there still, without memory.
    memory(root).with_context(|| format!("process {root} has ended"))?;
    let mut usage = Usage::default();
    let mut tree = vec![root];
    while let Some(process) = tree.pop() {
        usage.processor += TICK * ticks.get(&process).copied().unwrap_or(0);
        usage.memory += memory(process).unwrap_or(0);
        tree.extend(children.remove(&process).unwrap_or_default());
    }
    Ok(usage)
}

/// The parent and the CPU time in a line of /proc/…/stat (proc_pid_stat(5)).
fn parse(stat: &str) -> Option<(u32, u32)> {
    // The second field is the program's name, which may hold blanks and parentheses.
    let (_, rest) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let parent = fields.get(1)?.parse().ok()?;
    // utime, stime, cutime, cstime
    let spent = fields.get(11..15)?.iter().map(|field| field.parse::<u32>());
    Some((parent, spent.sum::<Result<_, _>>().ok()?))
}

fn memory(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_past_a_name_with_parentheses() {
        let stat = "7 (a) (b) c) S 3 7 7 0 -1 4194560 1 2 3 4 10 20 30 40 20 0 1 0 9 8 7";
        assert_eq!(parse(stat), Some((3, 100)));
    }

    #[test]
    fn this_process_uses_memory() {
        let usage = usage(std::process::id()).expect("this process runs");
        assert!(usage.memory > 100_000, "{usage:?}");
    }
}
