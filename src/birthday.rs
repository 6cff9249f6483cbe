//! A date of birth, and the days until its next anniversary.

use std::fmt;

use chrono::{Datelike, NaiveDate};

/// A valid date of the Gregorian calendar, in the years 0001 to 9999.
///
/// Whether it is in the past depends on the day of the check: see [`DateOfBirth::before`].
///
/// ```
/// use hello::birthday::{DateOfBirth, DateOfBirthError};
///
/// let today = "2027-02-27".parse().expect("a date");
/// let born = DateOfBirth::parse(b"1992-02-29")?.before(today)?;
/// // 2027 is a common year, so the birthday is on 28 February.
/// assert_eq!(born.days_until(today), 1);
///
/// assert_eq!(
///     DateOfBirth::parse(b"1990-02-29"),
///     Err(DateOfBirthError::NoSuchDay)
/// );
/// # Ok::<_, DateOfBirthError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DateOfBirth(NaiveDate);

/// Why a text is not a valid date of birth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateOfBirthError {
    /// It is not four digits, a hyphen, two digits, a hyphen and two digits.
    Format,
    /// It is not in the calendar, or the year is 0000.
    NoSuchDay,
    /// It is today or later.
    NotPast,
}

impl DateOfBirth {
    /// Parses exactly ten ASCII bytes, `YYYY-MM-DD`.
    ///
    /// # Errors
    ///
    /// [`DateOfBirthError::Format`] or [`DateOfBirthError::NoSuchDay`].
    pub fn parse(text: &[u8]) -> Result<Self, DateOfBirthError> {
        // Not chrono's parser: that one accepts signs, spaces, one-digit months and long years.
        let &[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = text else {
            return Err(DateOfBirthError::Format);
        };
        let number = |digits: &[u8]| {
            digits.iter().try_fold(0u16, |n, digit| match digit {
                b'0'..=b'9' => Ok(n * 10 + u16::from(digit - b'0')),
                _ => Err(DateOfBirthError::Format),
            })
        };
        let (year, month, day) = (
            number(&[y1, y2, y3, y4])?,
            number(&[m1, m2])?,
            number(&[d1, d2])?,
        );
        Self::from_ymd(year.into(), month.into(), day.into()).ok_or(DateOfBirthError::NoSuchDay)
    }

    /// The date, or `None` if it is not in the calendar or the year is not 0001 to 9999.
    #[must_use]
    pub fn from_ymd(year: i32, month: u32, day: u32) -> Option<Self> {
        // chrono has a year 0 (1 BC), Postgres has none.
        (1..=9999)
            .contains(&year)
            .then(|| NaiveDate::from_ymd_opt(year, month, day).map(Self))?
    }

    /// Returns the date if it is before `today`.
    ///
    /// # Errors
    ///
    /// [`DateOfBirthError::NotPast`] on `today` and after.
    pub fn before(self, today: NaiveDate) -> Result<Self, DateOfBirthError> {
        if self.0 < today {
            Ok(self)
        } else {
            Err(DateOfBirthError::NotPast)
        }
    }

    /// Days from `today` to the next anniversary: 0 on the anniversary, and at most 365.
    ///
    /// The anniversary of 29 February is 28 February in common years.
    ///
    /// # Panics
    ///
    /// In the year 262142, where chrono's calendar ends.
    #[must_use]
    pub fn days_until(self, today: NaiveDate) -> u16 {
        let this_year = self.anniversary(today.year());
        let next = if this_year < today {
            self.anniversary(today.year() + 1)
        } else {
            this_year
        };
        u16::try_from((next - today).num_days()).expect("the next anniversary is within a year")
    }

    /// Computed from the date of birth each time: an anniversary that moved to 28 February must not
    /// move the following ones.
    fn anniversary(self, year: i32) -> NaiveDate {
        NaiveDate::from_ymd_opt(year, self.0.month(), self.0.day())
            .or_else(|| NaiveDate::from_ymd_opt(year, 2, 28))
            .expect("every year of the calendar has a 28 February")
    }

    /// The year, the month from 1 and the day of the month from 1.
    #[must_use]
    pub fn ymd(self) -> (i32, u32, u32) {
        (self.0.year(), self.0.month(), self.0.day())
    }
}

/// `YYYY-MM-DD`, the format of [`DateOfBirth::parse`].
impl fmt::Display for DateOfBirth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.ymd();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl fmt::Display for DateOfBirthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Format => "dateOfBirth must have the format YYYY-MM-DD",
            Self::NoSuchDay => "dateOfBirth must be a valid calendar date, 0001-01-01 or later",
            Self::NotPast => "dateOfBirth must be before today (UTC)",
        })
    }
}

impl std::error::Error for DateOfBirthError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().expect("a date")
    }

    fn days(born: &str, today: &str) -> u16 {
        DateOfBirth::parse(born.as_bytes())
            .expect("a date of birth")
            .days_until(day(today))
    }

    #[test]
    fn counts_days_to_the_next_anniversary() {
        for (born, today, expected) in [
            ("1990-06-20", "2026-06-20", 0),
            ("1990-06-20", "2026-06-19", 1),
            ("1990-06-20", "2026-06-21", 364),
            ("1990-01-01", "2026-12-31", 1),
            ("1990-12-31", "2026-01-01", 364),
            ("1990-12-31", "2028-01-01", 365),
            // Across a leap day: from 1 March 2027 a year is 366 days long.
            ("1990-03-01", "2027-03-02", 365),
            ("1990-03-01", "2028-02-28", 2),
            ("1990-03-01", "2027-02-28", 1),
            ("0001-01-01", "9999-12-31", 1),
        ] {
            assert_eq!(days(born, today), expected, "born {born}, today {today}");
        }
    }

    #[test]
    fn the_anniversary_of_a_leap_day_is_28_february_in_common_years() {
        for (today, expected) in [
            ("2027-02-27", 1),
            ("2027-02-28", 0),
            ("2027-03-01", 365), // to 29 February 2028, not to the 28th
            ("2028-02-28", 1),
            ("2028-02-29", 0),
            ("2028-03-01", 364),
            ("2100-02-28", 0), // a common year
            ("2000-02-28", 1), // a leap year
        ] {
            assert_eq!(days("1992-02-29", today), expected, "today {today}");
        }
        assert_eq!(days("1992-02-28", "2028-02-29"), 365);
    }

    #[test]
    fn a_date_in_the_future_has_an_anniversary_too() {
        // The clock of the replica that saved it was ahead of this one's.
        assert_eq!(days("2026-06-21", "2026-06-20"), 1);
    }

    #[test]
    fn only_ten_bytes_of_a_calendar_date_are_valid() {
        use DateOfBirthError::{Format, NoSuchDay};
        for (text, error) in [
            ("", Format),
            ("1990-6-20", Format),
            ("1990-06-20 ", Format),
            (" 1990-06-20", Format),
            ("+1990-06-2", Format),
            ("-199-06-20", Format),
            ("1990/06/20", Format),
            ("19900620", Format),
            ("20-06-1990", Format),
            ("1990-06-20T00:00:00Z", Format),
            ("10000-01-01", Format),
            ("1990-0６-2", Format), // a fullwidth six, ten bytes in all
            ("1990-00-20", NoSuchDay),
            ("1990-13-20", NoSuchDay),
            ("1990-06-00", NoSuchDay),
            ("1990-06-31", NoSuchDay),
            ("1990-02-29", NoSuchDay),
            ("1900-02-29", NoSuchDay),
            ("0000-01-01", NoSuchDay),
        ] {
            assert_eq!(DateOfBirth::parse(text.as_bytes()), Err(error), "{text:?}");
        }
        for text in ["0001-01-01", "2000-02-29", "9999-12-31"] {
            let parsed = DateOfBirth::parse(text.as_bytes()).expect("a date of birth");
            assert_eq!(parsed.to_string(), text);
        }
    }

    #[test]
    fn today_is_not_a_date_of_birth() {
        let today = day("2026-06-20");
        let check = |text: &str| {
            DateOfBirth::parse(text.as_bytes())
                .expect("a date of birth")
                .before(today)
                .map(|date| date.to_string())
        };
        assert_eq!(check("2026-06-19"), Ok("2026-06-19".to_owned()));
        assert_eq!(check("2026-06-20"), Err(DateOfBirthError::NotPast));
        assert_eq!(check("2026-06-21"), Err(DateOfBirthError::NotPast));
    }

    #[test]
    fn errors_say_what_is_expected() {
        for (error, text) in [
            (
                DateOfBirthError::Format,
                "dateOfBirth must have the format YYYY-MM-DD",
            ),
            (
                DateOfBirthError::NoSuchDay,
                "dateOfBirth must be a valid calendar date, 0001-01-01 or later",
            ),
            (
                DateOfBirthError::NotPast,
                "dateOfBirth must be before today (UTC)",
            ),
        ] {
            assert_eq!(error.to_string(), text);
        }
    }
}
