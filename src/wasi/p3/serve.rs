//! One request from end to end: respond, log, count, hand the response to the host.

use std::{rc::Rc, time::Duration};

use wasip3::{
    clocks::{monotonic_clock, system_clock},
    http::types::{Request, Response},
    random::random::get_random_u64,
};

use super::{
    super::exchange::{Exchange, System, log_level},
    buffer::Buffer,
    incoming, outgoing,
};
use crate::{
    host::{Host, Session},
    metrics::Counters,
};

/// Serves one request. Its log line and its counters are in `buffer` when this returns.
pub async fn serve<H, C>(request: Request, host: &H, buffer: &Rc<Buffer<C>>) -> Response
where
    H: Host,
    C: Counters + 'static,
{
    let session = Session::new(host);
    let request = incoming::convert(request);
    let (response, exchange) = Exchange::respond::<P3, _, _>(request, &session).await;
    let response = outgoing::response(exchange.message(response)).await;

    let duration = exchange.duration::<P3>();
    buffer.log(&exchange.line(duration, &session), log_level(host));
    let recorded = exchange.record(duration, buffer).await;
    recorded.expect("the buffer is in memory");
    buffer.schedule_flush(H::NAME);
    response
}

/// WASI 0.3's clocks and random numbers.
pub(super) struct P3;

impl System for P3 {
    fn uptime() -> Duration {
        Duration::from_nanos(monotonic_clock::now())
    }

    fn wall_clock() -> (i64, u32) {
        let now = system_clock::now();
        (now.seconds, now.nanoseconds)
    }

    fn random() -> u64 {
        get_random_u64()
    }
}
