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
    types::{Date, Error, PgValue},
};

/// The database of the workload's interface `wasmcloud:postgres`.
pub struct PostgresStore;

impl UserStore for PostgresStore {
    async fn birthday_of(&self, username: &Username) -> Result<Option<DateOfBirth>, StoreError> {
        let row = row(SELECT, vec![text(username)]).await?;
        match row[..] {
            [PgValue::Null] => Ok(None),
            [PgValue::Date(Date::Ymd((year, month, day)))] => {
                DateOfBirth::from_ymd(year, month, day)
                    .map(Some)
                    .ok_or(StoreError::Corrupt)
            }
            _ => Err(StoreError::Corrupt),
        }
    }

    async fn save(&self, username: &Username, born: DateOfBirth) -> Result<(), StoreError> {
        let born = PgValue::Date(Date::Ymd(born.ymd()));
        row(UPSERT, vec![text(username), born]).await.map(drop)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        row(PING, Vec::new()).await.map(drop)
    }
}

fn text(username: &Username) -> PgValue {
    PgValue::Text(username.to_string())
}

/// The first row of `statement`, or an empty one. A statement without a row has ended well before this
/// returns.
async fn row(statement: &str, parameters: Vec<PgValue>) -> Result<Vec<PgValue>, StoreError> {
    let found = query(statement.to_owned(), parameters).await;
    let (_, mut rows, ended) = found.map_err(unavailable)?;
    if let Some(row) = rows.next().await {
        return Ok(row);
    }
    ended.await.map_err(unavailable)?;
    Ok(Vec::new())
}

fn unavailable(error: Error) -> StoreError {
    StoreError::Unavailable(match error {
        // The other fields contain values, such as the key of a row.
        Error::QueryFailed(error) => format!("{}: {}", error.code, error.message),
        Error::ConnectionFailed(why)
        | Error::InvalidParams(why)
        | Error::InvalidQuery(why)
        | Error::ValueConversionFailed(why)
        | Error::Other(why) => why,
        Error::UnknownPreparedStatement => "it knows no such statement".to_owned(),
        Error::AccessDenied => "the host denies access to it".to_owned(),
        Error::Timeout => "the host has waited too long for it".to_owned(),
    })
}
