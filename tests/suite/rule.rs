//! The birthday rule as a test oracle, implemented in another way: by walking the calendar.

use chrono::{Datelike, NaiveDate};

/// Whether `date` is an anniversary of `month`/`day`.
pub fn is_anniversary(month: u32, day: u32, date: NaiveDate) -> bool {
    let (month, day) = if (month, day) == (2, 29) && !date.leap_year() {
        (2, 28)
    } else {
        (month, day)
    };
    (date.month(), date.day()) == (month, day)
}

/// Days from `today` to the next anniversary of `born`.
pub fn days_until(born: NaiveDate, today: NaiveDate) -> usize {
    today
        .iter_days()
        .position(|date| is_anniversary(born.month(), born.day(), date))
        .expect("every anniversary occurs within a year")
}
