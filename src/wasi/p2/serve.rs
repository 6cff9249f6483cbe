//! One request from end to end: respond, send, log, count.

use std::{
    io::{self, Write},
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use wasip2::{
    clocks::{monotonic_clock, wall_clock},
    http::types::{IncomingRequest, ResponseOutparam},
    random::random::get_random_u64,
};

use super::{
    super::exchange::{Exchange, System, log_level},
    incoming, outgoing,
};
use crate::{
    host::{Host, Session},
    log::{Level, Line},
};

/// Serves one request. The response is sent before the request is logged and counted.
pub fn serve<H: Host>(request: IncomingRequest, out: ResponseOutparam, host: &H) {
    let session = Session::new(host);
    let request = incoming::convert(request);
    let (response, exchange) = ready(Exchange::respond::<P2, _, _>(request, &session));
    outgoing::send(out, exchange.message(response));

    let duration = exchange.duration::<P2>();
    let level = log_level(host);
    let log = |line: &Line| {
        if line.level <= level {
            // In one write, so that lines of concurrent instances do not interleave.
            let _ = io::stderr().write_all(&line.to_json());
        }
    };
    let line = exchange.line(duration, &session);
    log(&line);
    let recorded = session.counters().and_then(|counters| match counters {
        Some(counters) => ready(exchange.record(duration, &counters)),
        None => Ok(()),
    });
    if let Err(error) = recorded {
        log(&Line {
            level: Level::Warn,
            message: "failed to record metrics",
            cause: Some(error.to_string()),
            ..line
        });
    }
}

/// WASI 0.2's clocks and random numbers.
struct P2;

impl System for P2 {
    fn uptime() -> Duration {
        Duration::from_nanos(monotonic_clock::now())
    }

    fn wall_clock() -> (i64, u32) {
        let now = wall_clock::now();
        (now.seconds.cast_signed(), now.nanoseconds)
    }

    fn random() -> u64 {
        get_random_u64()
    }
}

/// Polls once: on a WASI 0.2 host every call blocks, so nothing is ever pending.
///
/// # Panics
///
/// If `future` waits for something else than the host.
pub fn ready<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("a WASI 0.2 call is ready when it returns"),
    }
}
