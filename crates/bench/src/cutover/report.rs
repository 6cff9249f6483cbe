//! What a load has seen, second by second and in sum.

use std::{fmt, time::Duration};

use super::{VERSIONS, load::Record};

/// Lines of a time line, about.
const LINES: u32 = 30;

/// Something that was done while the load went on.
#[derive(Debug)]
pub struct Event {
    /// When it began, since the load began.
    pub at: Duration,
    /// What was done.
    pub what: String,
    /// The version that is to end and the one that is to go on, for a switch.
    pub swap: Option<(&'static str, &'static str)>,
}

/// The records of one load.
#[derive(Debug)]
pub struct Report {
    records: Vec<Record>,
    events: Vec<Event>,
}

impl Report {
    /// `records` and `events` in the order of time.
    #[must_use]
    pub fn new(records: Vec<Record>, events: Vec<Event>) -> Self {
        Self { records, events }
    }

    /// How many requests were made.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.records.len() as u64
    }

    /// How many of them failed.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failed().count() as u64
    }

    fn failed(&self) -> impl Iterator<Item = &Record> {
        self.records
            .iter()
            .filter(|record| record.failure.is_some())
    }

    /// From the first answer of `new` to the last of `old`, in the swap that begins with event
    /// `index`; zero, if `old` had none after that.
    fn overlap(&self, index: usize, old: &str, new: &str) -> Duration {
        let at = self.events[index].at;
        let until = self.events[index + 1..]
            .iter()
            .find(|event| event.swap.is_some())
            .map_or(Duration::MAX, |event| event.at);
        let answers = |version: &'_ str| {
            self.records
                .iter()
                .filter(|record| record.version.as_deref() == Some(version))
                .map(|record| record.done)
                .filter(|done| (at..until).contains(done))
                .collect::<Vec<_>>()
        };
        let first = answers(new).into_iter().min();
        let last = answers(old).into_iter().max();
        match (first, last) {
            (Some(first), Some(last)) => last.saturating_sub(first),
            _ => Duration::ZERO,
        }
    }

    /// How many requests had been sent and not been answered at `moment`.
    fn under_way(&self, moment: Duration) -> usize {
        self.records
            .iter()
            .filter(|record| (record.sent..record.done).contains(&moment))
            .count()
    }

    fn time_line(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.records.iter().map(|record| record.done).max();
        let seconds = end.unwrap_or_default().as_secs_f64();
        let step = [0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0]
            .into_iter()
            .find(|step| seconds / step <= f64::from(LINES))
            .unwrap_or(300.0);
        let step = Duration::from_secs_f64(step);
        writeln!(f, "    from      v1      v2  neither  failed")?;
        let mut from = Duration::ZERO;
        while from < end.unwrap_or_default() {
            let span = from..from + step;
            let (mut by, mut neither, mut failed) = ([0; 2], 0, 0);
            for record in self.records.iter().filter(|r| span.contains(&r.done)) {
                match VERSIONS
                    .iter()
                    .position(|name| record.version.as_deref() == Some(name))
                {
                    Some(version) => by[version] += 1,
                    None => neither += 1,
                }
                failed += u32::from(record.failure.is_some());
            }
            let events: Vec<String> = self
                .events
                .iter()
                .filter(|event| span.contains(&event.at))
                .map(|event| format!("{:.1} s: {}", event.at.as_secs_f64(), event.what))
                .collect();
            let line = format!(
                "{:6.1} s  {:6}  {:6}  {neither:7}  {failed:6}  {}",
                from.as_secs_f64(),
                by[0],
                by[1],
                events.join("; ")
            );
            writeln!(f, "{}", line.trim_end())?;
            from += step;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.time_line(f)?;
        writeln!(f)?;
        writeln!(f, "requests  {}", self.requests())?;
        writeln!(f, "failures  {}", self.failures())?;
        if let (Some(first), Some(last)) = (self.failed().next(), self.failed().last()) {
            writeln!(
                f,
                "          over {:.2} s; the first: {}",
                last.done.saturating_sub(first.sent).as_secs_f64(),
                first.failure.as_deref().unwrap_or_default()
            )?;
        }
        for (index, event) in self.events.iter().enumerate() {
            let Some((old, new)) = event.swap else {
                continue;
            };
            writeln!(
                f,
                "{}: both versions answer for {:.1} ms; {} requests were under way",
                event.what,
                self.overlap(index, old, new).as_secs_f64() * 1000.0,
                self.under_way(event.at)
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(done: u64, version: &str) -> Record {
        Record {
            sent: Duration::from_millis(done - 1),
            done: Duration::from_millis(done),
            version: Some(version.to_owned()),
            failure: None,
        }
    }

    fn swap(at: u64, old: &'static str, new: &'static str) -> Event {
        Event {
            at: Duration::from_millis(at),
            what: format!("switch to {new}"),
            swap: Some((old, new)),
        }
    }

    #[test]
    fn both_answer_from_the_first_of_the_new_to_the_last_of_the_old() {
        let records = vec![
            record(5, "v1"),
            record(12, "v2"),
            record(15, "v1"),
            record(18, "v2"),
            record(22, "v1"),
            record(25, "v1"),
        ];
        let events = vec![swap(10, "v1", "v2"), swap(20, "v2", "v1")];
        let report = Report::new(records, events);
        assert_eq!(report.overlap(0, "v1", "v2"), Duration::from_millis(3));
        assert_eq!(report.overlap(1, "v2", "v1"), Duration::ZERO);
        let moment = |ms| report.under_way(Duration::from_millis(ms));
        assert_eq!((moment(11), moment(12)), (1, 0));
    }

    #[test]
    fn a_failure_is_counted_and_told() {
        let mut bad = record(7, "v1");
        bad.failure = Some("GET is answered with 503".to_owned());
        let report = Report::new(vec![record(5, "v1"), bad], Vec::new());
        assert_eq!((report.requests(), report.failures()), (2, 1));
        assert!(report.to_string().contains("answered with 503"), "{report}");
    }
}
