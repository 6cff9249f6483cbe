//! Parts that are yet to run, and how they do: two at a time.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::Instant,
};

use anyhow::Result;
use tools::run::announce;

use super::part::Part;

/// How many run at a time: where one waits, the other computes.
const AT_A_TIME: usize = 2;

/// A part, or several in a row, that are yet to run.
pub struct Job {
    name: &'static str,
    run: Box<dyn FnOnce() -> Result<Vec<Part>> + Send>,
}

impl Job {
    /// One that is several parts.
    pub fn new<F>(name: &'static str, run: F) -> Self
    where
        F: FnOnce() -> Result<Vec<Part>> + Send + 'static,
    {
        let run = Box::new(run);
        Self { name, run }
    }

    /// One that is a part.
    pub fn of<F>(name: &'static str, run: F) -> Self
    where
        F: FnOnce() -> Result<Part> + Send + 'static,
    {
        Self::new(name, || Ok(vec![run()?]))
    }

    /// Runs it. Where it cannot run at all, that is a part that fails: the others go on.
    fn run(self) -> Vec<Part> {
        let started = Instant::now();
        (self.run)().unwrap_or_else(|error| {
            let why = format!(": {error:#}");
            vec![Part::measured(self.name, started.elapsed(), &why, false)]
        })
    }
}

/// Runs all, and returns the parts in their order.
pub fn run_all(jobs: Vec<Job>) -> Vec<Part> {
    let queue = Mutex::new(jobs.into_iter().enumerate());
    let parts = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let Some((place, job)) = lock(&queue).next() else {
                        break;
                    };
                    let done = job.run();
                    done.iter().for_each(|part| announce(&part.to_string()));
                    lock(&parts).insert(place, done);
                }
            });
        }
    });
    let parts = parts.into_inner().unwrap_or_else(PoisonError::into_inner);
    parts.into_values().flatten().collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::{sync::Barrier, time::Duration};

    use anyhow::bail;

    use super::*;

    #[test]
    fn two_run_at_a_time_and_keep_their_order() {
        static BOTH: Barrier = Barrier::new(2);
        let passes = |name| {
            Job::of(name, move || {
                BOTH.wait(); // for ever, if they ran one by one
                Ok(Part::measured(name, Duration::ZERO, "", true))
            })
        };
        let cannot = Job::of("broken", || bail!("there is no `wash`"));
        let parts = run_all(vec![passes("first"), passes("second"), cannot]);
        let lines: Vec<String> = parts.iter().map(Part::to_string).collect();
        let begins = |at: usize, with| lines[at].starts_with(with);
        assert!(begins(0, "first: 1 passed") && begins(1, "second: 1 passed"));
        assert!(begins(2, "broken: 0 passed, 1 failed") && lines[2].ends_with("no `wash`"));
    }
}
