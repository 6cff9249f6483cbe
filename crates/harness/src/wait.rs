//! Waits for what comes about a moment later.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::anyhow;

/// Calls `look` every `interval` until it gives something, and gives that.
///
/// # Errors
///
/// That of `look`, at once; or, after `limit`, one sentence that names `what` was awaited.
pub fn wait_until<T, E: From<anyhow::Error>>(
    what: &str,
    limit: Duration,
    interval: Duration,
    mut look: impl FnMut() -> Result<Option<T>, E>,
) -> Result<T, E> {
    let started = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if started.elapsed() >= limit {
            return Err(anyhow!("timed out after {limit:?} waiting for {what}").into());
        }
        thread::sleep(interval);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: Duration = Duration::from_millis(1);

    #[test]
    fn gives_what_comes_about() {
        let mut looks = 0;
        let found = wait_until("three looks", Duration::from_secs(60), MOMENT, || {
            looks += 1;
            anyhow::Ok((looks == 3).then_some("here"))
        });
        assert_eq!(found.expect("it comes about"), "here");
    }

    #[test]
    fn says_what_did_not_come_about_and_for_how_long() {
        let waited = wait_until::<(), _>("a star", 10 * MOMENT, MOMENT, || anyhow::Ok(None));
        let error = waited.expect_err("it does not come about").to_string();
        assert_eq!(error, "timed out after 10ms waiting for a star");
    }

    #[test]
    fn fails_at_once_when_looking_fails() {
        let waited = wait_until::<(), _>("a star", Duration::from_secs(60), MOMENT, || {
            Err(anyhow!("a cloud"))
        });
        assert_eq!(waited.expect_err("it fails").to_string(), "a cloud");
    }
}
