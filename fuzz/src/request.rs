//! A request out of the bytes of an input, in a form that a person can read and write:
//!
//! ```text
//! PUT /hello/Ada 2026-11-22
//! content-type: application/json
//!
//! {"dateOfBirth":"1990-06-20"}
//! ```
//!
//! The date is today; without one it is [`DAY`]. A line ends with a line feed alone.

use crate::calendar::Date;

/// Today, where an input names none.
pub const DAY: Date = Date::new(2026, 11, 22).expect("a day of the calendar");

/// A request, as a host hands it over: nothing of it need be valid.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: Vec<u8>,
    /// The path, with its query.
    pub path: String,
    /// The UTC date.
    pub today: Date,
    /// Names and values.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// Takes any input.
    #[must_use]
    pub fn parse(input: &[u8]) -> Self {
        let (line, mut rest) = line_of(input);
        let mut words = line.splitn(3, |byte| *byte == b' ');
        let mut word = || words.next().unwrap_or_default();
        let (method, path, today) = (word(), word(), word());
        let mut headers = Vec::new();
        loop {
            let (line, after) = line_of(rest);
            rest = after;
            let Some(colon) = line.iter().position(|byte| *byte == b':') else {
                break;
            };
            let (name, value) = (&line[..colon], &line[colon + 1..]);
            let name = String::from_utf8_lossy(name).into_owned();
            let value = value.strip_prefix(b" ").unwrap_or(value);
            // A server refuses a length that is no number before the component sees it.
            let is_length = name.eq_ignore_ascii_case("content-length");
            if !is_length || !value.is_empty() && value.iter().all(u8::is_ascii_digit) {
                headers.push((name, value.to_vec()));
            }
        }
        Self {
            method: method.to_vec(),
            path: String::from_utf8_lossy(path).into_owned(),
            today: Date::parse(today).flatten().unwrap_or(DAY),
            headers,
            body: rest.to_vec(),
        }
    }

    /// The values of the header `name`, which is in lower case.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let headers = self.headers.iter();
        headers
            .filter(move |(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| &value[..])
    }

    /// Whether it has the header `name`, which is in lower case.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.values(name).next().is_some()
    }
}

/// The first line, without its end, and what comes after it.
fn line_of(text: &[u8]) -> (&[u8], &[u8]) {
    let mut parts = text.splitn(2, |byte| *byte == b'\n');
    let mut part = || parts.next().unwrap_or_default();
    (part(), part())
}
