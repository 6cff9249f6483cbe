//! The birthday rule exhaustively, and property tests of the parsers.

#[path = "suite/rule.rs"]
mod rule;

use std::time::Duration;

use chrono::{Datelike, Days, NaiveDate};
use hello::{
    api::respond,
    birthday::DateOfBirth,
    host::{Session, memory::MemoryHost},
    username::Username,
};
use http::Request;
use proptest::prelude::*;

fn date(year: i32, month: u32, day: u32) -> Option<NaiveDate> {
    NaiveDate::from_ymd_opt(year, month, day)
}

/// The status of a PUT; none if `path` is not one.
fn put(path: &str, body: &[u8], host: &MemoryHost) -> Option<u16> {
    let request = Request::put(path).header("content-type", "application/json");
    let request = request.body(body).ok()?;
    let (session, today) = (Session::new(host), date(2026, 11, 22)?);
    let outcome = pollster::block_on(respond(request, &session, today, || Duration::ZERO));
    Some(outcome.response.status().as_u16())
}

/// Every today from 1900 to 2100 with every birthday, 29 February included: 27 million pairs. The
/// year of birth cycles through 1900 to 2100.
#[test]
fn every_day_of_birth_on_every_day_from_1900_to_2100() {
    let first = date(1900, 1, 1).expect("a date");
    let last = date(2100, 12, 31).expect("a date");
    let mut checked = 0u64;
    let leap_year = date(2000, 1, 1).expect("a date").iter_days().take(366);
    for birthday in leap_year {
        let (month, day) = (birthday.month(), birthday.day());
        let of_years = (1900..=2100).filter_map(|year| DateOfBirth::from_ymd(year, month, day));
        let days = last.iter_days().rev().take_while(|day| *day >= first);
        // Walking backwards, the distance to the next anniversary grows by one each day.
        let mut distance = rule::days_until(birthday, last + Days::new(1));
        for (today, born) in days.zip(of_years.cycle()) {
            distance += 1;
            if rule::is_anniversary(month, day, today) {
                distance = 0;
            }
            let days = usize::from(born.days_until(today));
            assert_eq!(days, distance, "born {born}, today {today}");
            checked += 1;
        }
    }
    assert_eq!(checked, 366 * 73_414);
}

proptest! {
    /// Any year of birth, against the oracle.
    #[test]
    fn any_date_of_birth_on_any_day(
        born in (1i32..=9999, 1u32..=12, 1u32..=31),
        today in (1900i32..=2100, 1u32..=12, 1u32..=31),
    ) {
        let (Some(of_calendar), Some(today)) =
            (date(born.0, born.1, born.2), date(today.0, today.1, today.2))
        else {
            return Ok(());
        };
        let parsed = DateOfBirth::from_ymd(born.0, born.1, born.2);
        let days = parsed.map(|born| usize::from(born.days_until(today)));
        prop_assert_eq!(days, Some(rule::days_until(of_calendar, today)));
    }

    /// A date is accepted if and only if the calendar has it, and formats back to its text.
    #[test]
    fn a_date_is_accepted_if_and_only_if_the_calendar_has_it(text in "[0-9]{4}-[0-9]{2}-[0-9]{2}") {
        let expected = text.parse::<NaiveDate>().ok().filter(|date| date.year() > 0);
        let parsed = DateOfBirth::parse(text.as_bytes());
        prop_assert_eq!(parsed.is_ok(), expected.is_some());
        if let Ok(parsed) = parsed {
            prop_assert_eq!(parsed.to_string(), text);
        }
    }

    #[test]
    fn parsers_never_panic_and_round_trip(bytes in any::<Vec<u8>>()) {
        if let Ok(username) = Username::parse(&bytes) {
            prop_assert_eq!(username.as_str().as_bytes(), &bytes[..]);
        }
        if let Ok(born) = DateOfBirth::parse(&bytes) {
            prop_assert_eq!(born.to_string().into_bytes(), bytes);
        }
    }

    /// Any path and any body get one of the documented statuses.
    #[test]
    fn any_request_gets_a_documented_status(path in "/[ -~]{0,80}", body in any::<Vec<u8>>()) {
        if let Some(status) = put(&path, &body, &MemoryHost::default()) {
            prop_assert!([204, 400, 404, 405, 413].contains(&status));
        }
    }

    /// Almost valid JSON: it is saved if and only if it is one object with one valid date.
    #[test]
    fn only_an_object_with_one_date_is_saved(
        keys in prop::collection::vec("dateOfBirth|dateofbirth|x|y", 0..4),
        values in prop::collection::vec(
            "\"1990-06-20\"|\"1990-06-31\"|null|1|\\[\\]|\\{\\}|\"\"",
            4,
        ),
        tail in "|,| |\\{\\}",
    ) {
        let members: Vec<String> = keys
            .iter()
            .zip(&values)
            .map(|(key, value)| format!("{key:?}:{value}"))
            .collect();
        let body = format!("{{{}}}{tail}", members.join(","));
        let distinct: std::collections::HashSet<_> = keys.iter().collect();
        let good = distinct.len() == keys.len()
            && tail.trim().is_empty()
            && keys
                .iter()
                .zip(&values)
                .any(|(key, value)| key == "dateOfBirth" && value == "\"1990-06-20\"");
        let host = MemoryHost::default();
        let status = put("/hello/Ada", body.as_bytes(), &host);
        prop_assert_eq!(status, Some(if good { 204 } else { 400 }), "{}", body);
        prop_assert_eq!(host.users.len(), usize::from(good));
    }
}
