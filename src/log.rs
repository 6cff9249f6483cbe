//! The structured log: one JSON object per line, one line per request.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};

/// The severity of a line, and the threshold of the log: a threshold includes all that is more
/// severe.
///
/// ```
/// use hello::log::Level;
///
/// assert_eq!(Level::for_status(503), Level::Error);
/// assert_eq!(Level::for_status(404), Level::Info);
/// let threshold = Level::parse("warn");
/// assert!(Level::Error <= threshold && Level::Info > threshold);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Responses with a status of 5xx.
    Error,
    /// Failures that the client does not see, such as metrics that were not recorded.
    Warn,
    /// Every request.
    #[default]
    Info,
}

impl Level {
    /// Parses the value of `log_level`. Anything invalid is `info`: a typo in a configuration must
    /// not hide anything.
    #[must_use]
    pub fn parse(name: &str) -> Self {
        match name {
            "error" => Self::Error,
            "warn" => Self::Warn,
            _ => Self::Info,
        }
    }

    /// The level of a response with this status.
    #[must_use]
    pub fn for_status(status: u16) -> Self {
        if status >= 500 {
            Self::Error
        } else {
            Self::Info
        }
    }
}

/// A line of the log. Nothing in it comes from a path, a query or a body.
#[derive(Serialize)]
pub struct Line<'a> {
    /// When the request was received: RFC 3339, UTC, with milliseconds.
    #[serde(serialize_with = "rfc3339")]
    pub timestamp: DateTime<Utc>,
    /// The severity.
    pub level: Level,
    /// The event.
    pub message: &'a str,
    /// The method, or `_OTHER`.
    pub method: &'static str,
    /// The route, never the path.
    pub route: &'static str,
    /// The status of the response.
    pub status: u16,
    /// The time from receiving the request to handing its response to the host.
    #[serde(rename = "duration_ms", serialize_with = "milliseconds")]
    pub duration: Duration,
    /// The `x-request-id` of request and response.
    pub request_id: &'a str,
    /// The trace of the caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<&'a str>,
    /// The span of the caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub span_id: Option<&'a str>,
    /// The WebAssembly host.
    pub host: &'static str,
    /// The user store.
    pub store: &'static str,
    /// The cause of a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

impl Line<'_> {
    /// The line as JSON, with a line feed.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        to_json(self)
    }
}

/// A line about no request.
#[derive(Serialize)]
pub struct Event {
    /// When it happened: RFC 3339, UTC, with milliseconds.
    #[serde(serialize_with = "rfc3339")]
    pub timestamp: DateTime<Utc>,
    /// The severity.
    pub level: Level,
    /// The event.
    pub message: &'static str,
    /// The WebAssembly host.
    pub host: &'static str,
    /// The cause.
    pub cause: String,
}

impl Event {
    /// The line as JSON, with a line feed.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        to_json(self)
    }
}

fn to_json(line: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(line)
        .unwrap_or_else(|_| unreachable!("a struct of strings and numbers is JSON"));
    line.push(b'\n');
    line
}

fn rfc3339<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

#[allow(clippy::cast_precision_loss, reason = "2^53 µs are 285 years")]
fn milliseconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_micros() as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_json_object() {
        let line = Line {
            timestamp: DateTime::from_timestamp_millis(1_795_384_800_042).expect("a time"),
            level: Level::for_status(503),
            message: "request completed",
            method: "GET",
            route: "/hello/{username}",
            status: 503,
            duration: Duration::from_micros(412),
            request_id: "7b",
            trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736"),
            span_id: None,
            host: "spin",
            store: "postgres",
            cause: Some("connection \"refused\"\nby server".to_owned()),
        };
        let expected = concat!(
            r#"{"timestamp":"2026-11-22T22:00:00.042Z","level":"error","message":"request completed","#,
            r#""method":"GET","route":"/hello/{username}","status":503,"duration_ms":0.412,"#,
            r#""request_id":"7b","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","host":"spin","#,
            r#""store":"postgres","cause":"connection \"refused\"\nby server"}"#,
            "\n"
        );
        assert_eq!(String::from_utf8_lossy(&line.to_json()), expected);
    }

    #[test]
    fn an_event_is_one_json_object() {
        let event = Event {
            timestamp: DateTime::from_timestamp_millis(1_795_384_800_042).expect("a time"),
            level: Level::Warn,
            message: "failed to record metrics",
            host: "spin",
            cause: "no \"store\"".to_owned(),
        };
        let expected = concat!(
            r#"{"timestamp":"2026-11-22T22:00:00.042Z","level":"warn","#,
            r#""message":"failed to record metrics","host":"spin","cause":"no \"store\""}"#,
            "\n"
        );
        assert_eq!(String::from_utf8_lossy(&event.to_json()), expected);
    }

    #[test]
    fn a_level_includes_what_is_more_severe() {
        assert!(Level::Error < Level::Warn && Level::Warn < Level::Info);
        assert_eq!(Level::parse("error"), Level::Error);
        assert_eq!(Level::parse("warn"), Level::Warn);
        for name in ["info", "", "INFO", "verbose"] {
            assert_eq!(Level::parse(name), Level::Info, "{name}");
        }
        assert_eq!(
            (Level::for_status(499), Level::for_status(500)),
            (Level::Info, Level::Error)
        );
    }
}
