//! Birthdays, the greetings that they are owed, and which days it may be.
//!
//! The greeting is computed day by day, not as the service does it: an error in both would stay hidden.

use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Utc};

/// A day of the leap year 2000, as a date of birth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Birthday(NaiveDate);

impl Birthday {
    /// One of the 366, by a number of any size.
    pub fn number(number: usize) -> Self {
        let first = NaiveDate::from_ymd_opt(2000, 1, 1).expect("a date");
        Self(
            first
                .checked_add_days(chrono::Days::new(number as u64 % 366))
                .expect("in 2000"),
        )
    }

    /// Its number, from 0.
    #[cfg(test)]
    pub fn ordinal(self) -> usize {
        self.0.ordinal0() as usize
    }

    /// The birthday of who is born on 29 February.
    pub fn leap_day() -> Self {
        Self(NaiveDate::from_ymd_opt(2000, 2, 29).expect("2000 is a leap year"))
    }

    /// The body of the PUT that saves it.
    pub fn body(self) -> String {
        self.0.format(r#"{"dateOfBirth":"%Y-%m-%d"}"#).to_string()
    }

    /// Whether it is celebrated on `day`.
    fn is_on(self, day: NaiveDate) -> bool {
        let is_same = (self.0.month(), self.0.day()) == (day.month(), day.day());
        // In a common year, 28 February stands in for the day after it.
        let stands_in = self == Self::leap_day()
            && (day.month(), day.day()) == (2, 28)
            && day.succ_opt().is_some_and(|next| next.month() == 3);
        is_same || stands_in
    }
}

/// What the service answers about `user` on the day `today`.
pub fn greeting(user: &str, birthday: Birthday, today: NaiveDate) -> String {
    let days = today
        .iter_days()
        .take_while(|day| !birthday.is_on(*day))
        .count();
    if days == 0 {
        return format!(r#"{{"message":"Hello, {user}! Happy birthday!"}}"#);
    }
    format!(r#"{{"message":"Hello, {user}! Your birthday is in {days} day(s)"}}"#)
}

/// The clock of the host under test: this machine's, or that with an offset, which may be stepped.
#[derive(Debug, Default)]
pub struct Clock(Mutex<Vec<Step>>);

/// An offset in seconds, from the moment on that it is set.
#[derive(Clone, Copy, Debug)]
struct Step {
    set: DateTime<Utc>,
    offset: i64,
}

/// How long the host may take until it uses a new offset.
const DELAY: TimeDelta = TimeDelta::seconds(1);

impl Clock {
    /// Steps it, now.
    pub fn step(&self, offset: i64) {
        let mut steps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        steps.push(Step {
            set: Utc::now(),
            offset,
        });
    }

    /// The days that it may be for the host while this machine's clock goes `from`, `to`.
    pub fn days(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<NaiveDate> {
        let steps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut days = Vec::new();
        let ends = steps.iter().skip(1).map(|next| Some(next.set + DELAY));
        for (step, end) in steps.iter().zip(ends.chain([None])) {
            if step.set <= to && end.is_none_or(|end| from <= end) {
                days.extend([from, to].map(|time| shifted(time, step.offset).date_naive()));
            }
        }
        if steps.is_empty() {
            days.extend([from, to].map(|time| time.date_naive()));
        }
        days.dedup();
        days
    }
}

/// The offset by which this machine's clock shows `time`, in whole seconds.
pub fn offset_to(time: &str) -> i64 {
    let time: DateTime<Utc> = time.parse().expect("a time as in RFC 3339");
    (time - Utc::now()).num_seconds()
}

fn shifted(time: DateTime<Utc>, offset: i64) -> DateTime<Utc> {
    time + TimeDelta::seconds(offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().expect("a date")
    }

    fn days(birthday: Birthday, today: &str) -> String {
        let text = greeting("Ada", birthday, day(today));
        text.replace(r#"{"message":"Hello, Ada! "#, "")
            .replace(r#""}"#, "")
    }

    #[test]
    fn who_is_born_on_29_february_celebrates_on_28_in_common_years() {
        let leap = Birthday::leap_day();
        assert_eq!(days(leap, "2027-02-27"), "Your birthday is in 1 day(s)");
        assert_eq!(days(leap, "2027-02-28"), "Happy birthday!");
        assert_eq!(days(leap, "2027-03-01"), "Your birthday is in 365 day(s)");
        assert_eq!(days(leap, "2028-02-28"), "Your birthday is in 1 day(s)");
        assert_eq!(days(leap, "2028-02-29"), "Happy birthday!");
        assert_eq!(
            days(Birthday::number(0), "2027-12-31"),
            "Your birthday is in 1 day(s)"
        );
    }

    #[test]
    fn around_a_step_it_may_be_either_day_and_later_only_the_new_one() {
        let clock = Clock::default();
        let now = Utc::now();
        clock.step(0);
        clock.step(86_400 * 40);
        let both = clock.days(now, now + DELAY);
        assert!(both.contains(&now.date_naive()), "{both:?}");
        assert!(
            both.contains(&(now + TimeDelta::days(40)).date_naive()),
            "{both:?}"
        );
        let later = now + TimeDelta::hours(1);
        let stepped = (later + TimeDelta::days(40)).date_naive();
        assert_eq!(clock.days(later, later), [stepped]);
    }
}
