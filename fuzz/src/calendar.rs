//! The Gregorian calendar by arithmetic: the civil calendar's algorithms of Howard Hinnant
//! (<https://howardhinnant.github.io/date_algorithms.html>), so that nothing here is chrono's.

use chrono::NaiveDate;

/// A day of the years 0001 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    year: i64,
    month: i64,
    day: i64,
}

impl Date {
    /// How many days there are.
    pub const DAYS: i64 = 3_652_059;

    /// The date, if the calendar has it.
    #[must_use]
    pub const fn new(year: i64, month: i64, day: i64) -> Option<Self> {
        let longest = match month {
            2 if is_leap(year) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            _ => return None,
        };
        if year >= 1 && year <= 9999 && day >= 1 && day <= longest {
            Some(Self { year, month, day })
        } else {
            None
        }
    }

    /// The date in ten bytes, if they have the format: `None` inside, if the calendar has no such day.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Option<Self>> {
        let is_digit = |at: usize| text[at].is_ascii_digit();
        let has_format = text.len() == 10
            && [0, 1, 2, 3, 5, 6, 8, 9].into_iter().all(is_digit)
            && [text[4], text[7]] == [b'-'; 2];
        if !has_format {
            return None;
        }
        let number = |from: usize, to: usize| {
            text[from..to]
                .iter()
                .fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'))
        };
        Some(Self::new(number(0, 4), number(5, 7), number(8, 10)))
    }

    /// The day with this number; 1 is 0001-01-01.
    #[must_use]
    pub fn of_day(number: i64) -> Self {
        let z = number + 305; // days since 0000-03-01
        let era = z.div_euclid(146_097);
        let day_of_era = z.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let (year, month) = match month {
            0..=9 => (year_of_era + era * 400, month + 3),
            _ => (year_of_era + era * 400 + 1, month - 9),
        };
        Self { year, month, day }
    }

    /// The number of the day; 1 is 0001-01-01.
    #[must_use]
    pub fn number(self) -> i64 {
        let year = self.year - i64::from(self.month <= 2);
        let month = (self.month + 9) % 12; // from March
        let day_of_year = (153 * month + 2) / 5 + self.day - 1;
        365 * year + year / 4 - year / 100 + year / 400 + day_of_year - 305
    }

    /// The seconds from 1970-01-01T00:00:00Z to noon.
    #[must_use]
    pub fn noon(self) -> i64 {
        (self.number() - 719_163) * 86_400 + 43_200
    }

    /// Days from `today` to the next birthday of who was born on this day.
    #[must_use]
    pub fn days_until_birthday(self, today: Self) -> i64 {
        let birthday = |year| {
            let is_moved = (self.month, self.day) == (2, 29) && !is_leap(year);
            let day = if is_moved { 28 } else { self.day };
            Self { year, day, ..self }.number() - today.number()
        };
        let this_year = birthday(today.year);
        if this_year >= 0 {
            this_year
        } else {
            birthday(today.year + 1)
        }
    }

    /// The same day as chrono has it.
    #[must_use]
    pub fn to_chrono(self) -> NaiveDate {
        let [year, month, day] = [self.year, self.month, self.day].map(|n| n.to_string());
        NaiveDate::from_ymd_opt(
            year.parse().expect("four digits"),
            month.parse().expect("two digits"),
            day.parse().expect("two digits"),
        )
        .expect("chrono has the day")
    }
}

/// `YYYY-MM-DD`
impl std::fmt::Display for Date {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

const fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

#[cfg(test)]
mod tests {
    use chrono::Datelike;

    use super::*;

    #[test]
    fn counts_every_day_as_chrono_does() {
        for number in 1..=Date::DAYS {
            let date = Date::of_day(number);
            assert_eq!(date.number(), number, "{date}");
            assert_eq!(Date::new(date.year, date.month, date.day), Some(date));
            assert_eq!(i64::from(date.to_chrono().num_days_from_ce()), number);
        }
    }

    #[test]
    fn a_leap_day_is_celebrated_on_28_february_in_common_years() {
        let days = |born: &str, today: &str| {
            let date = |text: &str| Date::parse(text.as_bytes()).flatten().expect("a date");
            date(born).days_until_birthday(date(today))
        };
        assert_eq!(days("1992-02-29", "2027-02-28"), 0);
        assert_eq!(days("1992-02-29", "2027-03-01"), 365);
        assert_eq!(days("1992-02-29", "2028-02-28"), 1);
        assert_eq!(days("1990-12-31", "2028-01-01"), 365);
    }
}
