//! Medians, ratios, and their tables in Markdown.

use std::{
    fmt::{self, Display, Formatter},
    fs,
};

use anyhow::{Context, Result};
use tools::root;

use crate::{
    load::{Method, Sample},
    stats::{median, range},
};

/// What was measured of some services, of which the first is the baseline.
pub struct Results {
    /// The services' names.
    pub services: Vec<String>,
    /// Services, each with its floor.
    pub floors: Vec<(usize, usize)>,
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

const CPU_TIME: Column = Column("CPU time, µs/request", 0, |sample| sample.cpu_time);

const COLUMNS: [Column; 8] = [
    THROUGHPUT,
    Column("p50, ms", 2, |sample| sample.p50),
    Column("p90, ms", 2, |sample| sample.p90),
    Column("p99, ms", 2, |sample| sample.p99),
    STALLED,
    Column("memory, MB", 0, |sample| sample.memory),
    CPU_TIME,
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
        services: &[usize],
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
        let rows = cells.flat_map(|cell| services.iter().map(move |service| (cell, *service)));
        table(
            &["request", "connections", "service"],
            &columns
                .iter()
                .map(|Column(name, ..)| *name)
                .collect::<Vec<_>>(),
            rows.map(|(cell, service)| row(cell, service)),
        )
    }

    /// The services that are no floors.
    fn measured(&self) -> Vec<usize> {
        let is_floor = |at: &usize| self.floors.iter().any(|(_, floor)| floor == at);
        (0..self.services.len())
            .filter(|at| !is_floor(at))
            .collect()
    }

    /// Ratios to the service that `baseline` gives for each.
    fn ratios(
        &self,
        services: &[usize],
        columns: &[Column],
        baseline: impl Fn(usize) -> usize,
    ) -> String {
        self.table(
            services,
            columns,
            |cell, service, Column(name, _, value)| {
                let baseline = baseline(service);
                let ratio = cell.median(service, value) / cell.median(baseline, value);
                if name == THROUGHPUT.0 {
                    let (low, high) = cell.spread(service, baseline);
                    format!("{ratio:.2} ({low:.2} to {high:.2})")
                } else {
                    format!("{ratio:.2}")
                }
            },
        )
    }

    /// hello beside the floors of its hosts, if there are any.
    fn beside_floors(&self) -> String {
        let services: Vec<usize> = self.floors.iter().map(|(service, _)| *service).collect();
        if services.is_empty() {
            return String::new();
        }
        let floor = |of: usize| {
            let mut floors = self.floors.iter();
            let found = floors.find(|(service, _)| *service == of);
            found.expect("each has a floor").1
        };
        format!(
            "### Ratios to the floor of the host\n\n{}\n",
            self.ratios(&services, &[THROUGHPUT, CPU_TIME], floor)
        )
    }

    /// The services' requests a second under one load, if that was measured.
    pub fn throughputs(&self, method: Method, connections: u32) -> Option<Vec<(&str, f64)>> {
        let mut cells = self.cells.iter();
        let cell = cells.find(|cell| cell.method == method && cell.connections == connections)?;
        let Column(_, _, value) = THROUGHPUT;
        let services = self.measured().into_iter();
        Some(
            services
                .map(|service| (&*self.services[service], cell.median(service, value)))
                .collect(),
        )
    }
}

impl Display for Results {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let baseline = 0;
        let with_ratio = COLUMNS
            .into_iter()
            .filter(|Column(name, ..)| *name != STALLED.0);
        let with_ratio: Vec<Column> = with_ratio.collect();
        let ratios = self.ratios(&self.measured()[1..], &with_ratio, |_| baseline);
        let all: Vec<usize> = (0..self.services.len()).collect();
        let medians = self.table(
            &all,
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
             {ratios}\n{}### Results: medians\n\n{medians}",
            self.services[baseline],
            self.beside_floors()
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

/// Puts `text` between the marks of this name in docs/benchmarks.md.
pub fn write(name: &str, text: &str) -> Result<()> {
    let file = root().join("docs/benchmarks.md");
    let old =
        fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let [begin, end] = marks(name);
    let new = replaced(&old, name, text)
        .with_context(|| format!("{} has no `{begin}` with an `{end}`", file.display()))?;
    fs::write(file, new)?;
    Ok(())
}

fn marks(name: &str) -> [String; 2] {
    ["begin", "end"].map(|which| format!("<!-- {name}: {which} -->"))
}

fn replaced(old: &str, name: &str, text: &str) -> Option<String> {
    let [begin, end] = marks(name);
    let (before, rest) = old.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    let text = text.trim();
    Some(format!("{before}{begin}\n\n{text}\n\n{end}{after}"))
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
            services: ["one", "other", "other, floor"].map(str::to_owned).into(),
            floors: vec![(1, 2)],
            cells: vec![Cell {
                method: Method::Get,
                connections: 8,
                samples: [1000.0, 500.0, 625.0]
                    .map(|throughput| vec![sample(throughput)])
                    .into(),
            }],
        };
        let text = results.to_string();
        for row in [
            "### Ratios to one",
            "| GET | 8 | other | 0.50 (0.50 to 0.50) | 1.00 | 1.00 | 1.00 | 1.00 | 1.00 | 1.00 |",
            "### Ratios to the floor of the host",
            "| GET | 8 | other | 0.80 (0.80 to 0.80) | 1.00 |",
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
        let old = "a\n<!-- one: begin -->\nold\n<!-- one: end -->\nb\n";
        let new = replaced(old, "one", "new\n").expect("both marks");
        assert_eq!(
            new,
            "a\n<!-- one: begin -->\n\nnew\n\n<!-- one: end -->\nb\n"
        );
        assert_eq!(replaced(&new, "one", "new\n"), Some(new));
        assert_eq!(replaced(old, "other", "new"), None);
    }
}
