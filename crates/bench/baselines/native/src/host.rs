//! What the host of a component provides: Postgres, and counters in memory.

use std::{error::Error, time::Duration};

use anyhow::Result;
use chrono::{Datelike, NaiveDate};
use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use hello::{
    birthday::DateOfBirth,
    host::Host,
    metrics::memory::MemoryCounters,
    store::{
        StoreError, UserStore,
        binding::Binding,
        postgres::{PING, SELECT, UPSERT},
    },
    username::Username,
};
use tokio::time::timeout;
use tokio_postgres::{Config, NoTls, Row, types::ToSql};

/// A thread's connections, as many as a worker of the FastAPI baseline has.
const CONNECTIONS: usize = 32;

/// How long the store may take.
const STORE_TIMEOUT: Duration = Duration::from_secs(5);

/// A thread's connections, and all threads' counters.
pub struct Native {
    pool: Pool,
    counters: MemoryCounters,
}

impl Native {
    pub fn new(database: Config, counters: MemoryCounters) -> Result<Self> {
        // No session state is ever set: to reset it would be a round trip for nothing.
        let config = ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        };
        let pool = Pool::builder(Manager::from_config(database, NoTls, config))
            .max_size(CONNECTIONS)
            .runtime(Runtime::Tokio1)
            .build()?;
        Ok(Self { pool, counters })
    }
}

impl Host for Native {
    const NAME: &'static str = "native";

    type Users = Users;
    type Counters = MemoryCounters;

    fn setting(&self, name: &str) -> Result<Option<String>, String> {
        Ok((name == "store").then(|| Binding::Postgres.name().to_owned()))
    }

    fn users(&self, _: Binding) -> Result<Users, StoreError> {
        Ok(Users(self.pool.clone()))
    }

    fn counters(&self) -> Result<Option<MemoryCounters>, StoreError> {
        Ok(Some(self.counters.clone()))
    }
}

/// Users in Postgres.
pub struct Users(Pool);

impl Users {
    /// Makes a call with a connection that no other call has meanwhile.
    async fn call<R>(
        &self,
        call: impl AsyncFnOnce(&Object) -> Result<R, tokio_postgres::Error>,
    ) -> Result<R, StoreError> {
        let bounded = timeout(STORE_TIMEOUT, async {
            let connection = self.0.get().await.map_err(unavailable)?;
            call(&connection).await.map_err(unavailable)
        });
        let late = |_| StoreError::Unavailable("it timed out".to_owned());
        bounded.await.map_err(late)?
    }

    /// The one row of `query`, which is prepared once a connection.
    async fn row(
        &self,
        query: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Row, StoreError> {
        self.call(async |connection| {
            let statement = connection.prepare_cached(query).await?;
            connection.query_one(&statement, parameters).await
        })
        .await
    }
}

impl UserStore for Users {
    async fn birthday_of(&self, username: &Username) -> Result<Option<DateOfBirth>, StoreError> {
        let row = self.row(SELECT, &[&username.to_string()]).await?;
        let born: Option<NaiveDate> = row.try_get(0).map_err(unavailable)?;
        let valid = |born: NaiveDate| {
            DateOfBirth::from_ymd(born.year(), born.month(), born.day()).ok_or(StoreError::Corrupt)
        };
        born.map(valid).transpose()
    }

    async fn save(&self, username: &Username, born: DateOfBirth) -> Result<(), StoreError> {
        let (year, month, day) = born.ymd();
        let born = NaiveDate::from_ymd_opt(year, month, day).ok_or(StoreError::Corrupt)?;
        let saved = self.call(async |connection| {
            let statement = connection.prepare_cached(UPSERT).await?;
            connection
                .execute(&statement, &[&username.to_string(), &born])
                .await
        });
        saved.await.map(drop)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.row(PING, &[]).await.map(drop)
    }
}

fn unavailable(error: impl Error) -> StoreError {
    // Its source says why; both repeat no value of a row.
    let source = error.source().map(|source| format!(": {source}"));
    StoreError::Unavailable(format!("{error}{}", source.unwrap_or_default()))
}
