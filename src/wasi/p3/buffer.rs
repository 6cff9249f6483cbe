//! Counters and log lines in an instance's memory, until a timer writes them.
//!
//! A call to the host for each would cost more than the rest of a request. What is in the buffer is
//! lost with an instance that is killed: at most [`FLUSH_INTERVAL`] of log lines below `error` and of
//! counters, never a user.

use std::{
    cell::{Cell, OnceCell, RefCell},
    collections::BTreeMap,
    io::{self, Write},
    mem,
    rc::Rc,
    time::Duration,
};

use wasip3::{clocks::monotonic_clock, spawn};

use super::{super::exchange::now, serve::P3};
use crate::{
    log::{Event, Level, Line},
    metrics::Counters,
    store::StoreError,
};

/// How long a counter or a log line may stay in the buffer.
pub const FLUSH_INTERVAL: Duration = Duration::from_millis(100);

/// Counters and log lines that are not written yet.
///
/// As [`Counters`], it increments in memory; a read flushes first.
pub struct Buffer<C> {
    open: fn() -> Result<C, StoreError>,
    counters: OnceCell<C>,
    increments: RefCell<BTreeMap<String, u64>>,
    lines: RefCell<Vec<u8>>,
    level: Cell<Level>,
    is_scheduled: Cell<bool>,
}

impl<C> Buffer<C> {
    /// An empty buffer, before the store of counters that `open` opens.
    pub fn new(open: fn() -> Result<C, StoreError>) -> Self {
        Self {
            open,
            counters: OnceCell::new(),
            increments: RefCell::default(),
            lines: RefCell::default(),
            level: Cell::default(),
            is_scheduled: Cell::default(),
        }
    }
}

impl<C: Counters + 'static> Buffer<C> {
    /// Adds `line`, unless it is below the threshold `level`. An error is written at once.
    pub(super) fn log(&self, line: &Line, level: Level) {
        self.level.set(level);
        if line.level <= level {
            self.lines.borrow_mut().extend(line.to_json());
        }
        if line.level == Level::Error {
            self.write_lines();
        }
    }

    /// Has the buffer flushed after [`FLUSH_INTERVAL`], unless that is to come already.
    pub(super) fn schedule_flush(self: &Rc<Self>, host: &'static str) {
        if self.is_scheduled.replace(true) {
            return;
        }
        let buffer = Rc::clone(self);
        spawn(async move {
            let nanoseconds = u64::try_from(FLUSH_INTERVAL.as_nanos()).unwrap_or(u64::MAX);
            monotonic_clock::wait_for(nanoseconds).await;
            buffer.is_scheduled.set(false);
            let flushed = buffer.flush().await;
            if let Err(error) = flushed
                && Level::Warn <= buffer.level.get()
            {
                let event = Event {
                    timestamp: now::<P3>(),
                    level: Level::Warn,
                    message: "failed to record metrics",
                    host,
                    cause: error.to_string(),
                };
                buffer.lines.borrow_mut().extend(event.to_json());
                buffer.write_lines();
            }
        });
    }

    /// Writes what is there. Counters that cannot be written stay, for the next flush.
    async fn flush(&self) -> Result<(), StoreError> {
        self.write_lines();
        let mut increments = self.increments.take();
        let flushed = self.flush_counters(&mut increments).await;
        for (key, n) in increments {
            *self.increments.borrow_mut().entry(key).or_default() += n;
        }
        flushed
    }

    async fn flush_counters(
        &self,
        increments: &mut BTreeMap<String, u64>,
    ) -> Result<(), StoreError> {
        if increments.is_empty() {
            return Ok(());
        }
        let counters = self.counters()?;
        while let Some(first) = increments.first_entry() {
            counters.increment(first.key(), *first.get()).await?;
            first.remove();
        }
        Ok(())
    }

    /// In one write, so that lines of concurrent instances do not interleave.
    fn write_lines(&self) {
        let lines = mem::take(&mut *self.lines.borrow_mut());
        let _ = io::stderr().write_all(&lines);
    }

    fn counters(&self) -> Result<&C, StoreError> {
        if let Some(counters) = self.counters.get() {
            return Ok(counters);
        }
        let opened = (self.open)()?;
        Ok(self.counters.get_or_init(|| opened))
    }
}

impl<C: Counters + 'static> Counters for Rc<Buffer<C>> {
    async fn increment(&self, key: &str, n: u64) -> Result<u64, StoreError> {
        if n == 0 {
            return self.counters()?.increment(key, 0).await;
        }
        let mut increments = self.increments.borrow_mut();
        let sum = increments.entry(key.to_owned()).or_default();
        *sum += n;
        Ok(*sum)
    }

    async fn keys(&self) -> Result<Vec<String>, StoreError> {
        self.flush().await?;
        self.counters()?.keys().await
    }
}
