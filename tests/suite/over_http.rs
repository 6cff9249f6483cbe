//! A running service as a [`UserStore`]: the conformance suite over HTTP.

use std::{cell::RefCell, io};

use chrono::{Datelike, Days, NaiveDate};
use harness::client::{Answer, Connection};
use hello::{
    birthday::DateOfBirth,
    store::{StoreError, UserStore},
    username::Username,
};
use serde_json::Value;

/// The store behind a service, over one connection.
///
/// A greeting reveals the day and the month of a birthday and not its year, so this store is
/// for dates in the year 2000, and not for 29 February.
pub struct OverHttp {
    connection: RefCell<Connection>,
    today: NaiveDate,
}

impl OverHttp {
    pub fn connect(port: u16, today: NaiveDate) -> io::Result<Self> {
        Ok(Self {
            connection: RefCell::new(Connection::open(port)?),
            today,
        })
    }

    fn ask(&self, method: &str, target: &str, body: &[u8]) -> Result<Answer, StoreError> {
        let mut connection = self.connection.borrow_mut();
        let answer = connection
            .exchange(method, target, &crate::JSON, body)
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        match answer.status {
            200 | 204 | 404 => Ok(answer),
            other => Err(StoreError::Unavailable(format!("status {other}"))),
        }
    }
}

impl UserStore for OverHttp {
    async fn birthday_of(&self, username: &Username) -> Result<Option<DateOfBirth>, StoreError> {
        let answer = self.ask("GET", &format!("/hello/{username}"), b"")?;
        if answer.status == 404 {
            return Ok(None);
        }
        let message: Value = serde_json::from_slice(&answer.body).expect("a greeting in JSON");
        let message = message["message"].as_str().expect("a message");
        let days = match message.split_once("Your birthday is in ") {
            Some((_, rest)) => rest.split(' ').next().expect("a number").parse(),
            None => Ok(0),
        };
        let birthday = self.today + Days::new(days.expect("a number of days"));
        Ok(DateOfBirth::from_ymd(
            2000,
            birthday.month(),
            birthday.day(),
        ))
    }

    async fn save(&self, username: &Username, born: DateOfBirth) -> Result<(), StoreError> {
        let body = format!(r#"{{"dateOfBirth":"{born}"}}"#);
        self.ask("PUT", &format!("/hello/{username}"), body.as_bytes())
            .map(drop)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.ask("GET", "/readyz", b"").map(drop)
    }
}
