//! What a load has seen, second by second and in sum.

use std::{fmt, time::Duration};

use super::{VERSIONS, load::Record};

/// Lines of a time line, at most about.
const LINES: u64 = 30;

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

/// The records of one load, and the events, in the order of time.
#[derive(Debug)]
pub struct Report {
    pub records: Vec<Record>,
    pub events: Vec<Event>,
}

impl Report {
    /// How many requests were made.
    pub fn requests(&self) -> u64 {
        self.records.len() as u64
    }

    /// How many of them failed.
    pub fn failures(&self) -> u64 {
        self.failed().count() as u64
    }

    fn failed(&self) -> impl Iterator<Item = &Record> {
        let records = self.records.iter();
        records.filter(|record| record.failure.is_some())
    }

    /// From the first answer of `new` to the last of `old`, in the swap that begins with event
    /// `index`; zero, if `old` had none after that.
    fn overlap(&self, index: usize, old: &'static str, new: &'static str) -> Duration {
        let at = self.events[index].at;
        // A canary, for one, would have both answer again.
        let next = self.events.get(index + 1);
        let until = next.map_or(Duration::MAX, |event| event.at);
        let answers = |version| {
            let records = self.records.iter();
            let its = records.filter(move |record| record.version.as_deref() == Some(version));
            its.map(|record| record.done)
                .filter(move |done| (at..until).contains(done))
        };
        let both = answers(new).min().zip(answers(old).max());
        both.map_or(Duration::ZERO, |(first, last)| last.saturating_sub(first))
    }

    /// How many requests had been sent and not been answered at `moment`.
    fn under_way(&self, moment: Duration) -> usize {
        let is_under_way = |record: &&Record| (record.sent..record.done).contains(&moment);
        self.records.iter().filter(is_under_way).count()
    }

    fn time_line(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.records.iter().map(|record| record.done).max();
        let seconds = end.unwrap_or_default().as_secs();
        let step = seconds / LINES + 1;
        writeln!(f, "    from      v1      v2  neither  failed")?;
        for from in (0..=seconds).step_by(usize::try_from(step).unwrap_or(1)) {
            let span = Duration::from_secs(from)..Duration::from_secs(from + step);
            let records = self.records.iter();
            let records: Vec<_> = records.filter(|it| span.contains(&it.done)).collect();
            let count = |is: &dyn Fn(&Record) -> bool| records.iter().filter(|it| is(it)).count();
            let by = |version| count(&|record| record.version.as_deref() == version);
            let events = self.events.iter().filter(|event| span.contains(&event.at));
            let events =
                events.map(|event| format!("{:.1} s: {}", event.at.as_secs_f64(), event.what));
            let line = format!(
                "{from:6} s  {:6}  {:6}  {:7}  {:6}  {}",
                by(Some(VERSIONS[0])),
                by(Some(VERSIONS[1])),
                by(None),
                count(&|record| record.failure.is_some()),
                events.collect::<Vec<_>>().join("; ")
            );
            writeln!(f, "{}", line.trim_end())?;
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
            name: "Rehearsala/1".to_owned(),
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
        let report = Report { records, events };
        assert_eq!(report.overlap(0, "v1", "v2"), Duration::from_millis(3));
        assert_eq!(report.overlap(1, "v2", "v1"), Duration::ZERO);
        let moment = |ms| report.under_way(Duration::from_millis(ms));
        assert_eq!((moment(11), moment(12)), (1, 0));
    }

    #[test]
    fn a_failure_is_counted_and_told() {
        let mut bad = record(7, "v1");
        bad.failure = Some("GET is answered with 503".to_owned());
        let report = Report {
            records: vec![record(5, "v1"), bad],
            events: Vec::new(),
        };
        assert_eq!((report.requests(), report.failures()), (2, 1));
        assert!(report.to_string().contains("answered with 503"), "{report}");
    }
}
