//! Percentiles, medians and ratios.

use std::time::Duration;

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

#[cfg(test)]
mod tests {
    use super::*;

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
