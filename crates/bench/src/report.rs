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

/// What was measured of some services, of which the last is the baseline.
pub struct Results {
    /// The services' names.
    pub services: Vec<&'static str>,
    /// The loads.
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
    fn median(&self, service: usize, value: fn(&Sample) -> f64) -> f64 {
        median(self.samples[service].iter().map(value))
    }

    /// The lowest and the highest ratio of throughputs within one round.
    fn spread(&self, service: usize, baseline: usize) -> (f64, f64) {
        let rounds = self.samples[service].iter().zip(&self.samples[baseline]);
        range(rounds.map(|(service, baseline)| service.throughput / baseline.throughput))
    }
}

impl Results {
    /// A row for each load and each of the first `services`, with `text` in each column.
    fn table(&self, services: usize, text: impl Fn(&Cell, usize, Column) -> String) -> String {
        let row = |cell: &Cell, service: usize| {
            let labels = [
                cell.method.to_string(),
                cell.connections.to_string(),
                self.services[service].to_owned(),
            ];
            let columns = COLUMNS.map(|column| text(cell, service, column));
            [&labels[..], &columns].concat()
        };
        let cells = self.cells.iter();
        let rows = cells.flat_map(|cell| (0..services).map(move |service| row(cell, service)));
        table(
            &["request", "connections", "service"],
            &COLUMNS.map(|(name, _, _)| name),
            rows,
        )
    }
}

impl Display for Results {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let baseline = self.services.len() - 1;
        let ratios = self.table(baseline, |cell, service, (column, _, value)| {
            let ratio = cell.median(service, value) / cell.median(baseline, value);
            let (low, high) = cell.spread(service, baseline);
            match column {
                "requests/s" => format!("{ratio:.2} ({low:.2} to {high:.2})"),
                _ => format!("{ratio:.2}"),
            }
        });
        let medians = self.table(baseline + 1, |cell, service, (_, decimals, value)| {
            format!("{:.decimals$}", cell.median(service, value))
        });
        write!(
            f,
            "### Ratios to {}\n\n\
             Above 1 is better for requests/s, with the ratios of single rounds in brackets; \
             below 1 is better for all else.\n\n\
             {ratios}\n### Results: medians\n\n{medians}",
            self.services[baseline]
        )
    }
}

/// A table in Markdown, with `labels` to the left and `numbers` to the right.
pub fn table<Row: AsRef<[String]>>(
    labels: &[&str],
    numbers: &[&str],
    rows: impl IntoIterator<Item = Row>,
) -> String {
    let names = [labels, numbers].concat().join(" | ");
    let rules = "| --- ".repeat(labels.len()) + &"| ---: ".repeat(numbers.len());
    let mut table = format!("| {names} |\n{rules}|\n");
    for row in rows {
        table += &format!("| {} |\n", row.as_ref().join(" | "));
    }
    table
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
    let results = results.trim();
    Some(format!("{before}{BEGIN}\n\n{results}\n\n{END}{after}"))
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
