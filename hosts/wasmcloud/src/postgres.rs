//! Users in Postgres, over the host's connection pool. Only the host knows the address.

use hello::{
    birthday::DateOfBirth,
    store::{
        StoreError, UserStore,
        postgres::{PING, SELECT, UPSERT},
    },
    username::Username,
};

use crate::bindings::postgres::{
    query::query,
    types::{Date, PgValue, QueryError, ResultRow},
};

/// The database of the workload's interface `wasmcloud:postgres`.
pub struct PostgresStore;

impl UserStore for PostgresStore {
    async fn birthday_of(&self, username: &Username) -> Result<Option<DateOfBirth>, StoreError> {
        let rows = run(SELECT, &[text(username)])?;
        let entry = rows.first().and_then(|row| row.first());
        match entry.map(|entry| &entry.value) {
            Some(PgValue::Null) => Ok(None),
            Some(PgValue::Date(Date::Ymd((year, month, day)))) => {
                DateOfBirth::from_ymd(*year, *month, *day)
                    .map(Some)
                    .ok_or(StoreError::Corrupt)
            }
            _ => Err(StoreError::Corrupt),
        }
    }

    async fn save(&self, username: &Username, born: DateOfBirth) -> Result<(), StoreError> {
        let born = PgValue::Date(Date::Ymd(born.ymd()));
        run(UPSERT, &[text(username), born]).map(drop)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        run(PING, &[]).map(drop)
    }
}

fn text(username: &Username) -> PgValue {
    PgValue::Text(username.to_string())
}

fn run(statement: &str, parameters: &[PgValue]) -> Result<Vec<ResultRow>, StoreError> {
    query(statement, parameters).map_err(|error| {
        let (QueryError::InvalidParams(why)
        | QueryError::InvalidQuery(why)
        | QueryError::Unexpected(why)) = error;
        StoreError::Unavailable(why)
    })
}
