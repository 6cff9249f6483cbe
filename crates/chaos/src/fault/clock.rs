//! The host's wall clock is stepped, by libfaketime; its monotonic clock goes on.

use anyhow::{Result, ensure};
use chrono::NaiveDate;
use harness::client::{Answer, Connection};

use super::{ANY_ONE, Fault, Injection, Need, Shows, until};
use crate::calendar::{Birthday, greeting, offset_to};

/// A user of this file's own, born on 29 February.
const LEAPER: &str = "LeapDay";

pub fn faults() -> Vec<Fault> {
    let fault = |name, what, run| Fault {
        name,
        what,
        costs: "nothing: each greeting is right for the day that the clock shows",
        stores: ANY_ONE,
        needs: &[Need::Clock],
        shows: Shows::Nothing,
        run,
    };
    vec![
        fault(
            "clock-midnight",
            "the clock is stepped to shortly before midnight UTC, New Year's too, and goes over it",
            midnight,
        ),
        fault(
            "clock-february",
            "the clock is stepped over 28 and 29 February, of a leap year and of a common one",
            february,
        ),
        fault(
            "clock-backwards",
            "the clock is stepped back by an hour, over midnight, and by a year",
            backwards,
        ),
    ]
}

fn midnight(it: &mut Injection) -> Result<()> {
    passes(it, "2027-06-19T23:59:58Z", "2027-06-20")?;
    passes(it, "2027-12-31T23:59:58Z", "2028-01-01")?;
    it.world.step_clock(0)
}

fn february(it: &mut Injection) -> Result<()> {
    passes(it, "2028-02-27T23:59:58Z", "2028-02-28")?;
    passes(it, "2028-02-28T23:59:58Z", "2028-02-29")?;
    passes(it, "2028-02-29T23:59:58Z", "2028-03-01")?;
    passes(it, "2027-02-26T23:59:58Z", "2027-02-27")?;
    passes(it, "2027-02-27T23:59:58Z", "2027-02-28")?;
    passes(it, "2027-02-28T23:59:58Z", "2027-03-01")?;
    it.world.step_clock(0)
}

fn backwards(it: &mut Injection) -> Result<()> {
    is(it, "2027-06-20T00:30:00Z", "2027-06-20")?;
    is(it, "2027-06-19T23:30:00Z", "2027-06-19")?;
    is(it, "2026-06-19T23:30:00Z", "2026-06-19")?;
    it.world.step_clock(0)
}

/// Steps the clock to `time`, and lets it come to the day `next` by itself.
fn passes(it: &mut Injection, time: &str, next: &str) -> Result<()> {
    let (before, after) = (time[..10].parse()?, next.parse()?);
    it.world.step_clock(offset_to(time))?;
    let from = owed(before);
    until(&format!("the host's clock to show {before}"), || {
        Ok(greets(it)? == from)
    })?;
    let to = owed(after);
    until(&format!("the host's clock to show {after}"), || {
        let greeting = greets(it)?;
        ensure!(
            greeting == from || greeting == to,
            "on {before} or {after}, it says {greeting}"
        );
        Ok(greeting == to)
    })?;
    // And some load on the new day.
    it.load
        .wait_for_answers(u64::from(it.pace.rate), super::RECOVERY_LIMIT)
}

/// Steps the clock to `time`, which is on `day`.
fn is(it: &mut Injection, time: &str, day: &str) -> Result<()> {
    it.world.step_clock(offset_to(time))?;
    let owed = owed(day.parse()?);
    until(&format!("the host's clock to show {day}"), || {
        Ok(greets(it)? == owed)
    })?;
    it.load
        .wait_for_answers(u64::from(it.pace.rate), super::RECOVERY_LIMIT)
}

fn owed(today: NaiveDate) -> String {
    greeting(LEAPER, Birthday::leap_day(), today)
}

/// Saves and reads who is born on 29 February.
fn greets(it: &Injection) -> Result<String> {
    let target = format!("/hello/{LEAPER}");
    let mut connection = Connection::open(it.world.port)?;
    let body = Birthday::leap_day().body();
    let saved = connection.exchange("PUT", &target, &[], body.as_bytes())?;
    ensure!(saved.status == 204, "PUT is answered with {}", saved.status);
    let Answer { status, body, .. } = connection.exchange("GET", &target, &[], b"")?;
    ensure!(status == 200, "GET is answered with {status}");
    Ok(String::from_utf8_lossy(&body).into_owned())
}
