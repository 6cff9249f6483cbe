//! What came of the faults: tables in Markdown, and docs/reliability.md.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use chrono::Utc;
use tools::HostKind;

use crate::{
    fault::{self, Outcome},
    world::StoreKind,
};

/// What came of the faults on one host with one store.
#[derive(Debug)]
pub struct Section {
    /// The host.
    pub host: HostKind,
    /// The store.
    pub store: StoreKind,
    /// What the host's program says of its version.
    pub version: String,
    /// Requests a second, and how long a fault lasts.
    pub pace: fault::Pace,
    /// Each fault, and what came of it.
    pub rows: Vec<(&'static str, Row)>,
}

/// What came of a fault.
#[derive(Debug)]
pub enum Row {
    /// It was injected.
    Ran(Outcome),
    /// It cannot be injected here, and why.
    NotRun(String),
    /// It went wrong, and how.
    Failed(String),
}

impl Row {
    /// Whether it is a reason to fail.
    pub fn is_failure(&self) -> bool {
        match self {
            Self::Ran(outcome) => !outcome.is_clean(),
            Self::NotRun(_) => false,
            Self::Failed(_) => true,
        }
    }
}

impl Section {
    /// The name of its place in the document.
    pub fn name(&self) -> String {
        format!("{} {}", self.host, self.store)
    }

    /// As Markdown.
    pub fn text(&self) -> String {
        let mut text = format!(
            "{}, {} at {} requests a second, one in three a PUT; a fault lasts {} s\n\n\
             | fault | saved | read | refused | no answer | lost | wrong | late | slowest, ms | recovered, ms |\n\
             | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
            Utc::now().format("%-d %B %Y"),
            self.version,
            self.pace.rate,
            self.pace.lasts.as_secs(),
        );
        let mut notes = Vec::new();
        for (name, row) in &self.rows {
            match row {
                Row::Ran(outcome) => {
                    text += &line(name, outcome);
                    notes.extend(
                        outcome
                            .notes
                            .iter()
                            .map(|note| format!("- {name}: {note}.\n")),
                    );
                }
                Row::NotRun(why) => notes.push(format!("- **{name} was not run**: {why}.\n")),
                Row::Failed(why) => notes.push(format!("- **{name} failed**: {why}.\n")),
            }
        }
        if !notes.is_empty() {
            text += &format!("\n{}", notes.concat());
        }
        text
    }
}

fn line(name: &str, outcome: &Outcome) -> String {
    let load = &outcome.load;
    let refused: Vec<String> = load
        .refused
        .iter()
        .map(|(status, count)| {
            if *status == 503 {
                count.to_string()
            } else {
                format!("{count} × {status}")
            }
        })
        .collect();
    let refused = if refused.is_empty() {
        "0".to_owned()
    } else {
        refused.join(", ")
    };
    let milliseconds = |time: Duration| time.as_millis().to_string();
    format!(
        "| {name} | {} | {} | {refused} | {} | {} | {} | {} | {} | {} |\n",
        load.acknowledged,
        load.read,
        load.unanswered,
        outcome.read_back.lost,
        load.wrong,
        load.late + outcome.read_back.late,
        milliseconds(load.slowest),
        milliseconds(outcome.recovery),
    )
}

/// What each fault does and costs, as Markdown.
pub fn faults() -> String {
    let mut text = "| fault | what is done | what it costs |\n| --- | --- | --- |\n".to_owned();
    for fault in fault::all() {
        text += &format!("| {} | {} | {} |\n", fault.name, fault.what, fault.costs);
    }
    text
}

/// The machine, in one line.
pub fn machine() -> String {
    let read = |file| fs::read_to_string(file).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let models: Vec<&str> = cpus
        .lines()
        .filter_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map(|(_, model)| model)
        .collect();
    let kernel = read("/proc/sys/kernel/osrelease");
    let system = read("/etc/os-release");
    let system = system
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="));
    format!(
        "{} cores of {}; {}, Linux {}",
        models.len(),
        models.first().unwrap_or(&"an unknown model"),
        system.unwrap_or("an unknown system").trim_matches('"'),
        kernel.trim()
    )
}

/// The document.
pub fn document() -> PathBuf {
    tools::root().join("docs/reliability.md")
}

/// Puts `text` between the marks of `name` in `file`.
///
/// # Errors
///
/// If the file has no such marks.
pub fn write(file: &Path, name: &str, text: &str) -> Result<()> {
    let old =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let new = replaced(&old, name, text)
        .with_context(|| format!("{} has no marks of `{name}`", file.display()))?;
    Ok(fs::write(file, new)?)
}

fn replaced(old: &str, name: &str, text: &str) -> Option<String> {
    let (begin, end) = (
        format!("<!-- {name}: begin -->"),
        format!("<!-- {name}: end -->"),
    );
    let (before, rest) = old.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!(
        "{before}{begin}\n\n{}\n\n{end}{after}",
        text.trim()
    ))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::load::{ReadBack, Summary};

    #[test]
    fn a_row_has_what_was_seen_and_fails_for_a_lost_write() {
        let outcome = |lost| Outcome {
            load: Summary {
                acknowledged: 10,
                read: 20,
                refused: BTreeMap::from([(500, 1), (503, 4)]),
                unanswered: 2,
                late: 0,
                wrong: 0,
                slowest: Duration::from_millis(120),
            },
            read_back: ReadBack {
                lost,
                late: 1,
                users: 9,
            },
            recovery: Duration::from_millis(340),
            notes: Vec::new(),
        };
        let expected = "| host-killed | 10 | 20 | 1 × 500, 4 | 2 | 0 | 0 | 1 | 120 | 340 |\n";
        assert_eq!(line("host-killed", &outcome(0)), expected);
        assert!(!Row::Ran(outcome(0)).is_failure());
        assert!(Row::Ran(outcome(1)).is_failure());
    }

    #[test]
    fn a_section_replaces_its_own_and_no_other() {
        let old = "a\n<!-- x y: begin -->\nold\n<!-- x y: end -->\nb";
        let new = replaced(old, "x y", "new\n");
        assert_eq!(
            new.as_deref(),
            Some("a\n<!-- x y: begin -->\n\nnew\n\n<!-- x y: end -->\nb")
        );
        assert_eq!(replaced(old, "x z", "new"), None);
    }
}
