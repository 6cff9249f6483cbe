//! Percentiles, medians and ratios.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Result, ensure};

/// The smallest time that `percent` of the sorted `times` do not exceed (nearest rank).
pub fn percentile(times: &[Duration], percent: usize) -> Duration {
    let rank = (times.len() * percent).div_ceil(100);
    times[rank.max(1) - 1]
}

/// The middle one, or the mean of the two in the middle; NaN of none.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    let Some(last) = values.len().checked_sub(1) else {
        return f64::NAN;
    };
    f64::midpoint(values[last / 2], values[last.div_ceil(2)])
}

/// The lowest and the highest.
pub fn range(values: impl IntoIterator<Item = f64>) -> (f64, f64) {
    let widen = |(low, high): (f64, f64), value: f64| (low.min(value), high.max(value));
    values.into_iter().fold((f64::INFINITY, 0.0), widen)
}

/// How often each latency occurred, in microseconds.
#[derive(Debug, PartialEq)]
pub struct Histogram(BTreeMap<u64, u64>);

impl Histogram {
    /// The latencies of the `requests` that were made, out of those that wrk says.
    ///
    /// wrk adds some for requests that were not made: a connection that waits for `n` microseconds,
    /// instead of the mean `interval` between two requests of a connection, counts also as `n - interval`,
    /// `n - 2 * interval` and so on, down to `interval`. So behind each answer that took 40 ms where
    /// others take 1 ms, there would be 38 more of which none was seen.
    pub fn observed(said: BTreeMap<u64, u64>, interval: u64, requests: u64) -> Result<Self> {
        let count = |latency| said.get(&latency).copied().unwrap_or(0);
        let made = |(&latency, &all): (&u64, &u64)| {
            // What was added here was added to that one too, or was made there.
            let added = if latency > interval {
                count(latency + interval)
            } else {
                0
            };
            (latency, all.saturating_sub(added))
        };
        let observed = Self(
            said.iter()
                .map(made)
                .filter(|(_, count)| *count > 0)
                .collect(),
        );
        let total: u64 = observed.0.values().sum();
        ensure!(
            total == requests,
            "this wrk corrects latencies in another way than version 4: of {requests} requests, \
             {total} latencies remain; take Debian's package of wrk"
        );
        Ok(observed)
    }

    /// The smallest latency that `percent` of all do not exceed (nearest rank), in microseconds.
    pub fn percentile(&self, percent: u64) -> u64 {
        let total: u64 = self.0.values().sum();
        let rank = (total * percent).div_ceil(100).max(1);
        let mut seen = 0;
        let mut reached = self.0.iter().skip_while(|(_, count)| {
            seen += **count;
            seen < rank
        });
        reached.next().map_or(0, |(latency, _)| *latency)
    }

    /// How many latencies exceed `limit`.
    pub fn over(&self, limit: Duration) -> u64 {
        let over = |latency: &u64| Duration::from_micros(*latency) > limit;
        let counts = self.0.iter().filter(|(latency, _)| over(latency));
        counts.map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What wrk 4 does to its counts before a script sees them: `stats_correct`.
    fn corrected(mut counts: BTreeMap<u64, u64>, interval: u64) -> BTreeMap<u64, u64> {
        let longest = *counts.keys().last().expect("a latency");
        for latency in interval * 2..=longest {
            let count = counts.get(&latency).copied().unwrap_or(0);
            let mut added = latency - interval;
            while count > 0 && added > interval {
                *counts.entry(added).or_default() += count;
                added -= interval;
            }
        }
        counts
    }

    #[test]
    fn what_wrk_adds_is_taken_away() {
        let made = BTreeMap::from([
            (1, 50),
            (9, 7),
            (10, 1),
            (11, 2),
            (20, 3),
            (21, 5),
            (43, 2),
            (63, 1),
        ]);
        let requests = made.values().sum();
        let said = corrected(made.clone(), 10);
        assert!(said.values().sum::<u64>() > requests);
        let observed = Histogram::observed(said, 10, requests).expect("all are there");
        assert_eq!(observed, Histogram(made));
        assert!(Histogram::observed(BTreeMap::from([(1, 2)]), 10, 3).is_err());
    }

    #[test]
    fn a_histogram_has_percentiles() {
        let histogram = Histogram(BTreeMap::from([(100, 50), (200, 40), (40_000, 10)]));
        let percentiles = [0, 50, 51, 90, 91, 100].map(|percent| histogram.percentile(percent));
        assert_eq!(percentiles, [100, 100, 200, 200, 40_000, 40_000]);
        assert_eq!(histogram.over(Duration::from_micros(200)), 10);
        assert_eq!(histogram.over(Duration::from_millis(40)), 0);
    }

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let times: Vec<_> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&times, 50), Duration::from_millis(100));
        assert_eq!(percentile(&times, 99), Duration::from_millis(198));
        assert_eq!(percentile(&times, 100), Duration::from_millis(200));
        assert_eq!(percentile(&times[..1], 50), Duration::from_millis(1));
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median([4.0, 1.0, 2.0]).to_string(), "2");
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]).to_string(), "2.5");
        assert!(median([]).is_nan());
        assert_eq!(range([2.0, 0.5, 1.0]), (0.5, 2.0));
    }
}
