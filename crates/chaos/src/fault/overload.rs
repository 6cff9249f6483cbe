//! More requests come than the host can answer.

use anyhow::Result;

use super::{Fault, Injection, Need, Shows};
use crate::{vegeta::Vegeta, world::StoreKind};

/// How long the capacity is measured.
const SECONDS: u64 = 5;

pub fn faults() -> Vec<Fault> {
    let fault = |name, what, run| Fault {
        name,
        what,
        costs: "latency for all; what waits for longer than 5 s has no answer, and what is more than 1,000 at a time \
                has Spin's own 500",
        stores: &[StoreKind::KeyValue, StoreKind::Postgres],
        needs: &[Need::Overload],
        shows: Shows::Nothing,
        run,
    };
    vec![
        fault(
            "overload-2",
            "twice the requests that the host can answer",
            |it| overload(it, 2.0),
        ),
        fault(
            "overload-5",
            "five times the requests that the host can answer",
            |it| overload(it, 5.0),
        ),
        fault(
            "overload-10",
            "ten times the requests that the host can answer",
            |it| overload(it, 10.0),
        ),
    ]
}

fn overload(it: &mut Injection, times: f64) -> Result<()> {
    let vegeta = Vegeta::prepare(it.world.path("vegeta"), it.world.port)?;
    let capacity = vegeta.capacity(SECONDS)?;
    let answers = vegeta.offer(capacity * times, it.pace.lasts.as_secs())?;
    it.mended();
    let statuses = answers.statuses.iter().map(|(status, rate)| match status {
        0 => format!("no answer {rate:.0}/s"),
        status => format!("{status} {rate:.0}/s"),
    });
    let [median, p99] = answers.latencies.map(|latency| latency.as_millis());
    it.note(format!(
        "{times:.0} × the capacity of {capacity:.0}/s, of which {:.0}/s were sent; {}; p50 {median} ms, \
         p99 {p99} ms",
        answers.sent,
        statuses.collect::<Vec<_>>().join(", ")
    ));
    Ok(())
}
