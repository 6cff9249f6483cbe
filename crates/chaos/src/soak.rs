//! A load of half of the capacity, for long: what the host uses has to stay as it is.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use tools::{HostKind, run::announce};

use crate::{
    load::{Load, Record, Summary},
    plot,
    processes::{descriptors, memory},
    report,
    vegeta::Vegeta,
    world::{StoreKind, World},
};

/// How often it is looked at.
const LOOKS: u32 = 120;

/// What is used by the last quarter may exceed what the second used by a tenth, and by this.
const SLACK: [f64; 3] = [16.0, 16.0, 4.0];

/// What was looked at, at one moment.
#[derive(Clone, Copy, Debug)]
struct Look {
    at: Instant,
    /// Resident memory of the host in MB, its file descriptors, and connections to Postgres.
    used: [f64; 3],
}

/// Names of what is looked at.
const USED: [&str; 3] = [
    "memory of the host, MB",
    "file descriptors",
    "connections to Postgres",
];

/// Loads a fresh host of `kind` for `lasts`, prints what it used, and writes it down if asked to.
///
/// # Errors
///
/// If what it uses grows, or if something is lost or wrong.
pub fn soak(
    kind: HostKind,
    program: &Path,
    store: StoreKind,
    lasts: Duration,
    write: bool,
) -> Result<()> {
    announce(&format!("{kind}, {store}: a soak of {} s", lasts.as_secs()));
    let mut world = World::start(kind, program, store, &[])?;
    let capacity = Vegeta::prepare(world.path("vegeta"), world.port)?.capacity(5)?;
    // Both are small numbers above 0.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "see above"
    )]
    let rate = (capacity / 2.0).max(16.0) as u32;
    announce(&format!(
        "the capacity is {capacity:.0} requests a second, and the load {rate}"
    ));
    let began = Instant::now();
    let load = Load::start(world.port, rate, world.clock.clone());
    let mut looks = Vec::new();
    for turn in 1..=LOOKS {
        let due = began + lasts * turn / LOOKS;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        looks.push(look(&mut world, store)?);
    }
    let (records, read_back) = load.finish()?;
    let sum = Summary::of(&records);
    let latencies = [50, 99].map(|percent| latencies(&records, &looks, began, percent));
    let titles = ["latency p50, ms", "latency p99, ms"].into_iter();
    let at = |look: &Look| look.at.duration_since(began).as_secs_f64() / 60.0;
    let used = (0..USED.len()).map(|n| {
        let points = looks.iter().map(|look| (at(look), look.used[n]));
        (USED[n], points.collect::<Vec<_>>())
    });
    let waits = titles.zip(latencies).map(|(title, values)| {
        let points = looks
            .iter()
            .zip(values)
            .map(|(look, value)| (at(look), value));
        (title, points.collect())
    });
    let panels: Vec<(&str, Vec<(f64, f64)>)> = used.chain(waits).collect();
    let name = format!("soak {kind} {store}");
    let mut text = format!(
        "{} minutes at {rate} requests a second, half of the capacity of {capacity:.0}/s: {} saved, {} read, \
         {} failed, {} lost, {} wrong.\n\n| | second quarter | last quarter |\n| --- | ---: | ---: |\n",
        lasts.as_secs() / 60,
        sum.acknowledged,
        sum.read,
        sum.failed(),
        read_back.lost,
        sum.wrong,
    );
    let mut grown = Vec::new();
    for (n, (title, points)) in panels.iter().enumerate() {
        let [second, last] = [1, 3].map(|quarter| median_of(points, quarter));
        text += &format!("| {title} | {second:.1} | {last:.1} |\n");
        // Latency is shown and not judged: this machine may have other work.
        if SLACK
            .get(n)
            .is_some_and(|slack| last > second * 1.1 + slack)
        {
            grown.push(format!("{title} from {second:.1} to {last:.1}"));
        }
    }
    println!("\n## {name}\n\n{text}");
    if write {
        let file = format!("{}.svg", name.replace(' ', "-"));
        let directory = tools::root().join("docs/reliability");
        fs::create_dir_all(&directory)?;
        fs::write(
            directory.join(&file),
            plot::lines(&name, "minutes", &panels),
        )?;
        let text = format!(
            "{text}\n![{name}: memory, descriptors, connections, latency](reliability/{file})\n"
        );
        report::write(&report::document(), &name, &text)?;
    }
    ensure!(grown.is_empty(), "{name} grows: {}", grown.join(", "));
    ensure!(
        read_back.lost == 0 && sum.wrong == 0,
        "{name} has lost or wrong answers, see above"
    );
    Ok(())
}

fn look(world: &mut World, store: StoreKind) -> Result<Look> {
    let host = world.host_id()?;
    let connections = match store {
        StoreKind::Postgres => {
            let count = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'hello'";
            world.postgres()?.psql(count)?.trim().parse()?
        }
        StoreKind::KeyValue | StoreKind::Redis => 0.0,
    };
    // Neither comes near the 52 bits from which on this would round.
    #[allow(clippy::cast_precision_loss, reason = "see above")]
    let used = [
        memory(host)? as f64 / 1e6,
        descriptors(host)? as f64,
        connections,
    ];
    Ok(Look {
        at: Instant::now(),
        used,
    })
}

/// In milliseconds, the latency between each look and the one before it that `percent` do not exceed.
fn latencies(records: &[Record], looks: &[Look], began: Instant, percent: usize) -> Vec<f64> {
    let mut from = began;
    let between = |look: &Look| {
        let span = from..look.at;
        from = look.at;
        let mut times: Vec<Duration> = records
            .iter()
            .filter(|record| span.contains(&record.sent))
            .map(|record| record.took)
            .collect();
        times.sort_unstable();
        let rank = (times.len() * percent).div_ceil(100).saturating_sub(1);
        times.get(rank).map_or(0.0, |time| time.as_secs_f64() * 1e3)
    };
    looks.iter().map(between).collect()
}

/// The median of the values in one quarter of the points, from 0.
fn median_of(points: &[(f64, f64)], quarter: usize) -> f64 {
    let span = points.len() * quarter / 4..points.len() * (quarter + 1) / 4;
    let mut values: Vec<f64> = points[span].iter().map(|(_, value)| *value).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// How long a soak of so many minutes lasts.
pub fn minutes(text: &str) -> Result<Duration> {
    let minutes: u64 = text
        .parse()
        .context("a soak lasts a whole number of minutes")?;
    ensure!(
        (1..=1440).contains(&minutes),
        "a soak lasts 1 to 1440 minutes"
    );
    Ok(Duration::from_secs(minutes * 60))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::End;

    #[test]
    fn quarters_and_spans_have_their_own_values() {
        let points: Vec<_> = (0..8u32)
            .map(|n| (f64::from(n), f64::from(n * 10)))
            .collect();
        assert!((median_of(&points, 1) - 30.0).abs() < 0.1);
        assert!((median_of(&points, 3) - 70.0).abs() < 0.1);
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let record = |sent, took| Record {
            sent: at(sent),
            took: Duration::from_millis(took),
            is_write: false,
            end: End::Answered,
        };
        let looks = [10, 20].map(|seconds| Look {
            at: at(seconds),
            used: [0.0; 3],
        });
        let records = [record(1, 5), record(2, 7), record(12, 9)];
        assert_eq!(latencies(&records, &looks, began, 99), [7.0, 9.0]);
    }

    #[test]
    fn a_soak_lasts_minutes() {
        assert_eq!(minutes("30").ok(), Some(Duration::from_secs(1800)));
        for wrong in ["0", "x", "2000"] {
            assert!(minutes(wrong).is_err(), "{wrong}");
        }
    }
}
