//! Medians, ratios, and their tables in Markdown.

use std::{
    fmt::{self, Display, Formatter},
    fs,
    path::Path,
};

use anyhow::{Context, Result};

use super::load::{Method, Sample};

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
    ("processor, µs/request", 0, |sample| sample.processor),
    ("with Postgres's", 0, |sample| {
        sample.processor_with_database
    }),
];

impl Cell {
    fn median(&self, contender: usize, value: fn(&Sample) -> f64) -> f64 {
        median(self.samples[contender].iter().map(value).collect())
    }

    /// The lowest and the highest ratio of throughputs within one round.
    fn spread(&self, contender: usize, baseline: usize) -> (f64, f64) {
        let rounds = self.samples[contender].iter().zip(&self.samples[baseline]);
        let ratios = rounds.map(|(hello, baseline)| hello.throughput / baseline.throughput);
        ratios.fold((f64::INFINITY, 0.0), |(low, high), ratio| {
            (f64::min(low, ratio), f64::max(high, ratio))
        })
    }
}

/// The middle one, or the mean of the two in the middle; NaN of none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "```sh\n{}\n```\n", self.command)?;
        writeln!(f, "| what | which |\n| --- | --- |")?;
        for (what, which) in &self.facts {
            writeln!(f, "| {what} | {} |", which.trim())?;
        }
        self.write_ratios(f)?;
        self.write_figures(f)?;
        self.write_sizes(f)
    }
}

impl Report {
    fn write_ratios(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let baseline = self.contenders.len() - 1;
        writeln!(
            f,
            "\n### Ratios: hello / FastAPI\n\n\
             Above 1 is better for requests/s, with the ratios of single rounds in brackets; \
             below 1 is better for all else.\n"
        )?;
        write_head(f, &["request", "connections", "hello's store"])?;
        for (contender, name) in self.contenders[..baseline].iter().enumerate() {
            for cell in &self.cells {
                let store = name.rsplit(", ").next().unwrap_or(name);
                write!(f, "| {} | {} | {store} |", cell.method, cell.connections)?;
                for (index, (_, _, value)) in COLUMNS.into_iter().enumerate() {
                    let ratio = cell.median(contender, value) / cell.median(baseline, value);
                    write!(f, " {ratio:.2}")?;
                    if index == 0 {
                        let (low, high) = cell.spread(contender, baseline);
                        write!(f, " ({low:.2} to {high:.2})")?;
                    }
                    write!(f, " |")?;
                }
                writeln!(f)?;
            }
        }
        Ok(())
    }

    fn write_figures(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n### Results: medians\n")?;
        write_head(f, &["request", "connections", "service"])?;
        for cell in &self.cells {
            for (contender, name) in self.contenders.iter().enumerate() {
                write!(f, "| {} | {} | {name} |", cell.method, cell.connections)?;
                for (_, decimals, value) in COLUMNS {
                    write!(f, " {:.decimals$} |", cell.median(contender, value))?;
                }
                writeln!(f)?;
            }
        }
        Ok(())
    }

    fn write_sizes(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (artifact, packages) = (self.artifact, self.packages);
        writeln!(
            f,
            "\n### Sizes\n\n| what | size |\n| --- | --- |\n\
             | hello's component | {artifact} bytes |\n\
             | the baseline's packages, without Python | {packages} bytes: {} times as much |",
            packages / artifact.max(1)
        )?;
        for (name, idle) in self.contenders.iter().zip(&self.idle) {
            writeln!(
                f,
                "| memory before the load: {name} | {} MB |",
                idle / 1_000_000
            )?;
        }
        Ok(())
    }
}

fn write_head(f: &mut Formatter<'_>, first: &[&str]) -> fmt::Result {
    let names: Vec<&str> = first
        .iter()
        .copied()
        .chain(COLUMNS.iter().map(|(name, _, _)| *name))
        .collect();
    writeln!(f, "| {} |", names.join(" | "))?;
    let rules: Vec<&str> = names
        .iter()
        .enumerate()
        .map(|(index, _)| if index < first.len() { "---" } else { "---:" })
        .collect();
    writeln!(f, "| {} |", rules.join(" | "))
}

/// Puts `results` between the two marks of `file`.
///
/// # Errors
///
/// One sentence, if the file or its marks are missing.
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
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]).to_string(), "2");
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]).to_string(), "2.5");
        assert!(median(Vec::new()).is_nan());
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
