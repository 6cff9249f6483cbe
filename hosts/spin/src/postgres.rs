//! Users in Postgres, over Spin's connection pool for an address.

use hello::{
    birthday::DateOfBirth,
    store::{
        StoreError, UserStore,
        postgres::{self, PING, SELECT, UPSERT},
    },
    username::Username,
};
use spin_sdk::{
    pg4::{Connection, DbValue, ParameterValue, PgError, QueryError},
    variables,
};

/// A database.
pub struct PostgresStore {
    /// A libpq connection string.
    address: String,
}

impl PostgresStore {
    /// Reads the address from the variable `postgres`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Misconfigured`], with the name of the variable that is not set.
    pub fn from_variables() -> Result<Self, StoreError> {
        let values = variables::get("postgres")
            .map_err(|error| StoreError::Misconfigured(format!("`postgres_…`: {error}")))?;
        let address = postgres::address(&values)?;
        Ok(Self { address })
    }

    fn open(&self) -> Result<Connection, StoreError> {
        Connection::open(&self.address).map_err(unavailable)
    }
}

impl UserStore for PostgresStore {
    async fn birthday_of(&self, username: &Username) -> Result<Option<DateOfBirth>, StoreError> {
        let found = self
            .open()?
            .query(SELECT, &[text(username)])
            .map_err(unavailable)?;
        match found.rows.first().map(Vec::as_slice) {
            Some([DbValue::DbNull]) => Ok(None),
            Some([DbValue::Date((year, month, day))]) => {
                DateOfBirth::from_ymd(*year, (*month).into(), (*day).into())
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
        self.open()?
            .execute(UPSERT, &[text(username), born])
            .map(drop)
            .map_err(unavailable)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.open()?.query(PING, &[]).map(drop).map_err(unavailable)
    }
}

fn text(username: &Username) -> ParameterValue {
    ParameterValue::Str(username.to_string())
}

fn unavailable(error: PgError) -> StoreError {
    let why = match error {
        // The other fields contain values, such as the key of a row.
        PgError::QueryFailed(QueryError::DbError(error)) => {
            format!("{}: {}", error.code, error.message)
        }
        PgError::QueryFailed(QueryError::Text(why))
        | PgError::ConnectionFailed(why)
        | PgError::BadParameter(why)
        | PgError::ValueConversionFailed(why)
        | PgError::Other(why) => why,
    };
    // Spin formats a chain of causes over several lines.
    StoreError::Unavailable(why.split_whitespace().collect::<Vec<_>>().join(" "))
}
