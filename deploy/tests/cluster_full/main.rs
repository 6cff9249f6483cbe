//! Argo CD delivers the service to three clusters: stages, waves, and what it calls in sync.
//!
//! Four API servers, and no node: what controllers other than Argo CD's would write into a status,
//! [`by_hand`] writes, when a trial says so.
//!
//! `cargo xtask test --part cluster-full` runs this, as root and with Go.

mod by_hand;
mod drift;
mod notified;
mod repository;
mod retried;
mod root;
mod site;
mod stages;

use std::process::ExitCode;

use anyhow::Result;
use cluster::namespace;
use deploy_tests::{checker::trial, mutation::Mutations};
use libtest_mimic::{Arguments, Trial};
use site::Site;

fn main() -> Result<ExitCode> {
    let mut arguments = Arguments::from_args();
    let programs = [cluster::API_SERVER, cluster::ARGO_CD].concat();
    if !arguments.list
        && let Some(ended) = namespace::enter(&programs)?
    {
        return Ok(ended);
    }
    // Each begins where the one before it ends.
    arguments.test_threads = Some(1);
    let mutations = Mutations::of("cluster_full")?;
    let mut trials = stages::trials();
    trials.extend(drift::trials());
    trials.extend(retried::trials(&mutations));
    trials.extend(notified::trials());
    trials.extend(root::trials(&mutations));
    mutations.assert_all_used();
    Ok(libtest_mimic::run(&arguments, trials).exit_code())
}

/// A trial that gets the clusters.
fn on_site(title: &str, check: fn(&Site) -> Result<()>) -> Trial {
    trial(title, move || check(site::site()?))
}
