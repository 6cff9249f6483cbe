//! Users in Postgres, over a connection that the instance keeps.

use std::rc::Rc;

use hello::{
    birthday::DateOfBirth,
    store::{
        StoreError, UserStore,
        postgres::{PING, SELECT, UPSERT},
    },
    username::Username,
};
use spin_sdk::pg::{Connection, DbValue, Error, ParameterValue, PgError, QueryError};

use crate::kept::Kept;

/// A database.
pub struct PostgresStore {
    /// A libpq connection string.
    pub address: Rc<str>,
    /// The connection that the instance keeps.
    pub connection: Rc<Kept<Connection>>,
}

impl PostgresStore {
    async fn call<R>(
        &self,
        call: impl AsyncFn(&Connection) -> Result<R, Error>,
    ) -> Result<R, StoreError> {
        let open = async || Connection::open(&*self.address).await;
        let called = self.connection.call(open, call).await;
        called.map_err(unavailable)
    }

    /// The one row of `query`.
    async fn row(
        &self,
        query: &str,
        parameters: &[ParameterValue],
    ) -> Result<Vec<DbValue>, StoreError> {
        self.call(async |connection| {
            let mut found = connection.query(query, parameters).await?;
            if let Some(row) = found.rows().next().await {
                // The result of a query that has returned its row says nothing more, and to wait for
                // it costs a tenth of the throughput.
                return Ok(row);
            }
            found.result().await?;
            Ok(Vec::new())
        })
        .await
    }
}

impl UserStore for PostgresStore {
    async fn birthday_of(&self, username: &Username) -> Result<Option<DateOfBirth>, StoreError> {
        let row = self.row(SELECT, &[text(username)]).await?;
        match row[..] {
            [DbValue::DbNull] => Ok(None),
            [DbValue::Date((year, month, day))] => {
                DateOfBirth::from_ymd(year, month.into(), day.into())
                    .map(Some)
                    .ok_or(StoreError::Corrupt)
            }
            _ => Err(StoreError::Corrupt),
        }
    }

    async fn save(&self, username: &Username, born: DateOfBirth) -> Result<(), StoreError> {
        let (year, month, day) = born.ymd();
        let date = |part: u32| u8::try_from(part).map_err(|_| StoreError::Corrupt);
        let born = ParameterValue::Date((year, date(month)?, date(day)?));
        let parameters = [text(username), born];
        let saved = self.call(async |it| it.execute(UPSERT, &parameters[..]).await);
        saved.await.map(drop)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.row(PING, &[]).await.map(drop)
    }
}

fn text(username: &Username) -> ParameterValue {
    ParameterValue::Str(username.to_string())
}

fn unavailable(error: Error) -> StoreError {
    let why = match error {
        Error::PgError(error) => match error {
            // The other fields contain values, such as the key of a row.
            PgError::QueryFailed(QueryError::DbError(error)) => {
                format!("{}: {}", error.code, error.message)
            }
            PgError::QueryFailed(QueryError::Text(why))
            | PgError::ConnectionFailed(why)
            | PgError::BadParameter(why)
            | PgError::ValueConversionFailed(why)
            | PgError::Other(why) => why,
        },
        Error::Decode(why) => why,
    };
    // Spin formats a chain of causes over several lines.
    StoreError::Unavailable(why.split_whitespace().collect::<Vec<_>>().join(" "))
}
