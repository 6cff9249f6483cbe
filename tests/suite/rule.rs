//! The birthday rule a second time, on purpose by another way: by walking the calendar.

use chrono::{Datelike, NaiveDate};

/// Whether somebody born on `month`/`day` celebrates on `date`.
pub fn celebrates(month: u32, day: u32, date: NaiveDate) -> bool {
    let (month, day) = if (month, day) == (2, 29) && !date.leap_year() {
        (2, 28)
    } else {
        (month, day)
    };
    (date.month(), date.day()) == (month, day)
}

/// Days from `today` to the next day on which somebody born on `born` celebrates.
pub fn days_until(born: NaiveDate, today: NaiveDate) -> usize {
    today
        .iter_days()
        .position(|date| celebrates(born.month(), born.day(), date))
        .expect("a year holds every anniversary")
}
