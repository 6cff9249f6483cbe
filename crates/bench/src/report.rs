//! Medians, ratios, and their tables in Markdown.

use std::{
    fmt::{self, Display, Formatter},
    fs,
    path::Path,
};

use anyhow::{Context, Result};

use crate::{
    load::{Method, Sample},
    stats::{median, range},
};

/// What stands around the results in docs/benchmarks.md.
const BEGIN: &str = "<!-- results: begin -->";
const END: &str = "<!-- results: end -->";

/// All that a comparison found. Of the three services, the last is the baseline.
pub struct Report {
    /// The command that made it.
    pub command: String,
    /// What ran, and where.
    pub facts: Vec<(&'static str, String)>,
    /// The bytes of the component.
    pub artifact: u64,
    /// The bytes of the baseline's packages.
    pub packages: u64,
    /// The services' names.
    pub contenders: [&'static str; 3],
    /// The services' memory before the load, in bytes.
    pub idle: Vec<u64>,
    /// What was measured.
    pub cells: Vec<Cell>,
}

/// One load, with the samples of each service, one for each round.
pub struct Cell {
    /// What was asked.
    pub method: Method,
    /// Over how many connections.
    pub connections: u32,
    /// For each service, for each round.
    pub samples: Vec<Vec<Sample>>,
}

/// A column: its name, its decimals, and where it is in a sample.
type Column = (&'static str, usize, fn(&Sample) -> f64);

const COLUMNS: [Column; 6] = [
    ("requests/s", 0, |sample| sample.throughput),
    ("p50, ms", 2, |sample| sample.p50),
    ("p99, ms", 2, |sample| sample.p99),
    ("memory, MB", 0, |sample| sample.memory),
    ("CPU time, µs/request", 0, |sample| sample.cpu_time),
    ("with Postgres's", 0, |sample| sample.cpu_time_with_database),
];

impl Cell {
    fn median(&self, contender: usize, value: fn(&Sample) -> f64) -> f64 {
        median(self.samples[contender].iter().map(value))
    }

    /// The lowest and the highest ratio of throughputs within one round.
    fn spread(&self, contender: usize, baseline: usize) -> (f64, f64) {
        let rounds = self.samples[contender].iter().zip(&self.samples[baseline]);
        range(rounds.map(|(hello, baseline)| hello.throughput / baseline.throughput))
    }

    /// A row: the cell, the contender's `name`, and `text` for each column.
    fn row(&self, name: &str, text: impl Fn(Column) -> String) -> Vec<String> {
        let mut row = vec![
            self.method.to_string(),
            self.connections.to_string(),
            name.to_owned(),
        ];
        row.extend(COLUMNS.map(text));
        row
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "```sh\n{}\n```\n", self.command)?;
        let facts = self.facts.iter();
        let facts = facts.map(|(what, which)| vec![(*what).to_owned(), which.trim().to_owned()]);
        write_table(f, &["what", "which"], facts)?;

        let baseline = self.contenders.len() - 1;
        writeln!(
            f,
            "\n### Ratios: hello / FastAPI\n\n\
             Above 1 is better for requests/s, with the ratios of single rounds in brackets; \
             below 1 is better for all else.\n"
        )?;
        let ratios = (0..baseline).flat_map(|contender| {
            let name = self.contenders[contender];
            let store = name.rsplit(", ").next().unwrap_or(name);
            self.cells.iter().map(move |cell| {
                cell.row(store, |(column, _, value)| {
                    let ratio = cell.median(contender, value) / cell.median(baseline, value);
                    let (low, high) = cell.spread(contender, baseline);
                    match column {
                        "requests/s" => format!("{ratio:.2} ({low:.2} to {high:.2})"),
                        _ => format!("{ratio:.2}"),
                    }
                })
            })
        });
        write_table(f, &["request", "connections", "hello's store"], ratios)?;

        writeln!(f, "\n### Results: medians\n")?;
        let medians = self.cells.iter().flat_map(|cell| {
            self.contenders.iter().enumerate().map(|(contender, name)| {
                cell.row(name, |(_, decimals, value)| {
                    format!("{:.decimals$}", cell.median(contender, value))
                })
            })
        });
        write_table(f, &["request", "connections", "service"], medians)?;

        writeln!(f, "\n### Sizes\n")?;
        let (artifact, packages) = (self.artifact, self.packages);
        let times = packages / artifact.max(1);
        let mut sizes = vec![
            ("hello's component".to_owned(), format!("{artifact} bytes")),
            (
                "the baseline's packages, without Python".to_owned(),
                format!("{packages} bytes: {times} times as much"),
            ),
        ];
        sizes.extend(self.contenders.iter().zip(&self.idle).map(|(name, idle)| {
            (
                format!("memory before the load: {name}"),
                format!("{} MB", idle / 1_000_000),
            )
        }));
        let sizes = sizes.into_iter().map(|(what, size)| vec![what, size]);
        write_table(f, &["what", "size"], sizes)
    }
}

/// A table in Markdown. One of three labels has the results' columns behind them.
fn write_table(
    f: &mut Formatter<'_>,
    labels: &[&str],
    rows: impl Iterator<Item = Vec<String>>,
) -> fmt::Result {
    let results = COLUMNS.iter().filter(|_| labels.len() == 3);
    let names = results.clone().map(|(name, _, _)| *name);
    let names: Vec<&str> = labels.iter().copied().chain(names).collect();
    let rules = labels.iter().map(|_| "---").chain(results.map(|_| "---:"));
    writeln!(f, "| {} |", names.join(" | "))?;
    writeln!(f, "| {} |", rules.collect::<Vec<_>>().join(" | "))?;
    for row in rows {
        writeln!(f, "| {} |", row.join(" | "))?;
    }
    Ok(())
}

/// Puts `results` between the two marks of `file`.
pub fn write(file: &Path, results: &str) -> Result<()> {
    let old =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let new = replaced(&old, results)
        .with_context(|| format!("{} has no `{BEGIN}` with an `{END}`", file.display()))?;
    fs::write(file, new)?;
    Ok(())
}

fn replaced(old: &str, results: &str) -> Option<String> {
    let (before, rest) = old.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!(
        "{before}{BEGIN}\n\n{}\n\n{END}{after}",
        results.trim()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_replace_figures() {
        let old = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        let new = replaced(&old, "new\n").expect("both marks");
        assert_eq!(new, format!("a\n{BEGIN}\n\nnew\n\n{END}\nb\n"));
        assert_eq!(replaced(&new, "new\n"), Some(new));
        assert_eq!(replaced("a", "new"), None);
    }
}
