//! One JSON object for each request, in one line.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};

/// How much is logged: what is at this level, and what is worse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Answers of status 5xx.
    Error,
    /// What went wrong beside a request, such as a counter that was not counted.
    Warn,
    /// Every request.
    #[default]
    Info,
}

impl Level {
    /// Takes the level out of the value of `log_level`. What is no level counts as `info`:
    /// a slip in a configuration must not hide anything.
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

/// A line of the log. None of it is taken from a path, a query or a body.
#[derive(Serialize)]
pub struct Line<'a> {
    /// When the request came in: RFC 3339, UTC, in milliseconds.
    #[serde(serialize_with = "rfc3339")]
    pub timestamp: DateTime<Utc>,
    /// How bad it is.
    pub level: Level,
    /// What happened.
    pub message: &'a str,
    /// The request's method, or what stands for one without a name.
    pub method: &'static str,
    /// The request's route, never its path.
    pub route: &'static str,
    /// The answer's status.
    pub status: u16,
    /// Until the answer was handed to the host.
    #[serde(rename = "duration_ms", serialize_with = "milliseconds")]
    pub duration: Duration,
    /// Of the request, and echoed in the answer.
    pub request_id: &'a str,
    /// Of the caller's trace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<&'a str>,
    /// Of the caller's span.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub span_id: Option<&'a str>,
    /// The WebAssembly host.
    pub host: &'static str,
    /// Where the users are.
    pub store: &'static str,
    /// Why it went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

impl Line<'_> {
    /// As JSON, with the end of the line.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self)
            .unwrap_or_else(|_| unreachable!("a struct of strings and numbers is JSON"));
        line.push(b'\n');
        line
    }
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
    fn a_line_is_one_object_and_names_nobody() {
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
            cause: Some("connection \"refused\"\nby it".to_owned()),
        };
        let expected = concat!(
            r#"{"timestamp":"2026-11-22T22:00:00.042Z","level":"error","message":"request completed","#,
            r#""method":"GET","route":"/hello/{username}","status":503,"duration_ms":0.412,"#,
            r#""request_id":"7b","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","host":"spin","#,
            r#""store":"postgres","cause":"connection \"refused\"\nby it"}"#,
            "\n"
        );
        assert_eq!(String::from_utf8_lossy(&line.to_json()), expected);
    }

    #[test]
    fn a_level_takes_what_is_worse_along() {
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
