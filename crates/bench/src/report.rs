//! Medians, ratios, and their tables in Markdown.

use std::{
    fmt::{self, Display, Formatter},
    fs,
    ops::Range,
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

/// What was measured of some services, of which the first is the baseline.
pub struct Results {
    /// The services' names.
    pub services: Vec<String>,
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
#[derive(Clone, Copy)]
struct Column(&'static str, usize, fn(&Sample) -> f64);

const THROUGHPUT: Column = Column("requests/s", 0, |sample| sample.throughput);

/// Often 0, so there is no ratio of it.
const STALLED: Column = Column("over 30 ms, %", 2, |sample| sample.stalled);

const COLUMNS: [Column; 8] = [
    THROUGHPUT,
    Column("p50, ms", 2, |sample| sample.p50),
    Column("p90, ms", 2, |sample| sample.p90),
    Column("p99, ms", 2, |sample| sample.p99),
    STALLED,
    Column("memory, MB", 0, |sample| sample.memory),
    Column("CPU time, µs/request", 0, |sample| sample.cpu_time),
    Column("with Postgres's", 0, |sample| sample.cpu_time_with_database),
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
    /// A row for each load and each of `services`, with `text` in each of `columns`.
    fn table(
        &self,
        services: Range<usize>,
        columns: &[Column],
        text: impl Fn(&Cell, usize, Column) -> String,
    ) -> String {
        let row = |cell: &Cell, service: usize| {
            let mut row = vec![
                cell.method.to_string(),
                cell.connections.to_string(),
                self.services[service].clone(),
            ];
            row.extend(columns.iter().map(|column| text(cell, service, *column)));
            row
        };
        let cells = self.cells.iter();
        let rows = cells.flat_map(|cell| services.clone().map(move |service| (cell, service)));
        table(
            &["request", "connections", "service"],
            &columns
                .iter()
                .map(|Column(name, ..)| *name)
                .collect::<Vec<_>>(),
            rows.map(|(cell, service)| row(cell, service)),
        )
    }

    /// The services' requests a second under one load, if that was measured.
    pub fn throughputs(&self, method: Method, connections: u32) -> Option<Vec<(&str, f64)>> {
        let mut cells = self.cells.iter();
        let cell = cells.find(|cell| cell.method == method && cell.connections == connections)?;
        let Column(_, _, value) = THROUGHPUT;
        let names = self.services.iter().map(String::as_str);
        Some(
            names
                .enumerate()
                .map(|(service, name)| (name, cell.median(service, value)))
                .collect(),
        )
    }
}

impl Display for Results {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (baseline, all) = (0, 0..self.services.len());
        let with_ratio = COLUMNS
            .into_iter()
            .filter(|Column(name, ..)| *name != STALLED.0);
        let with_ratio: Vec<Column> = with_ratio.collect();
        let ratios = self.table(
            1..all.end,
            &with_ratio,
            |cell, service, Column(name, _, value)| {
                let ratio = cell.median(service, value) / cell.median(baseline, value);
                let (low, high) = cell.spread(service, baseline);
                if name == THROUGHPUT.0 {
                    format!("{ratio:.2} ({low:.2} to {high:.2})")
                } else {
                    format!("{ratio:.2}")
                }
            },
        );
        let medians = self.table(
            all,
            &COLUMNS,
            |cell, service, Column(_, decimals, value)| {
                format!("{:.decimals$}", cell.median(service, value))
            },
        );
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

    fn sample(throughput: f64) -> Sample {
        Sample {
            requests: 1000,
            throughput,
            p50: 1.0,
            p90: 2.0,
            p99: 3.0,
            stalled: 0.0,
            memory: 100.0,
            cpu_time: 250.0,
            cpu_time_with_database: 400.0,
        }
    }

    #[test]
    fn ratios_are_to_the_first_service() {
        let results = Results {
            services: vec!["one".to_owned(), "other".to_owned()],
            cells: vec![Cell {
                method: Method::Get,
                connections: 8,
                samples: vec![vec![sample(1000.0)], vec![sample(500.0)]],
            }],
        };
        let text = results.to_string();
        for row in [
            "### Ratios to one",
            "| GET | 8 | other | 0.50 (0.50 to 0.50) | 1.00 | 1.00 | 1.00 | 1.00 | 1.00 | 1.00 |",
            "| GET | 8 | one | 1000 | 1.00 | 2.00 | 3.00 | 0.00 | 100 | 250 | 400 |",
        ] {
            assert!(
                text.lines().any(|line| line == row),
                "{row} is not in {text}"
            );
        }
        let throughputs = vec![("one", 1000.0), ("other", 500.0)];
        assert_eq!(results.throughputs(Method::Get, 8), Some(throughputs));
        assert_eq!(results.throughputs(Method::Put, 8), None);
    }

    #[test]
    fn figures_replace_figures() {
        let old = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        let new = replaced(&old, "new\n").expect("both marks");
        assert_eq!(new, format!("a\n{BEGIN}\n\nnew\n\n{END}\nb\n"));
        assert_eq!(replaced(&new, "new\n"), Some(new));
        assert_eq!(replaced("a", "new"), None);
    }
}
