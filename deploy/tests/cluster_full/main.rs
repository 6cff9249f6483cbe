//! Argo CD delivers the service to three clusters: stages, waves, and what it calls in sync.
//!
//! Four API servers, and no node: what controllers other than Argo CD's would write into a status,
//! [`by_hand`] writes, when a trial says so.
//!
//! `cargo xtask test --part cluster-full` runs this, as root and with Go.

mod by_hand;
mod drift;
mod repository;
mod site;
mod stages;

use std::{process::ExitCode, sync::OnceLock};

use anyhow::{Result, anyhow};
use cluster::namespace;
use deploy_tests::checker::trial;
use libtest_mimic::{Arguments, Trial};
use site::Site;

fn main() -> Result<ExitCode> {
    let mut arguments = Arguments::from_args();
    let controllers = &["kube-controller-manager"];
    let programs = [cluster::API_SERVER, cluster::ARGO_CD, controllers].concat();
    if !arguments.list
        && let Some(ended) = namespace::enter(&programs)?
    {
        return Ok(ended);
    }
    // Each begins where the one before it ends.
    arguments.test_threads = Some(1);
    let mut trials = stages::trials();
    trials.extend(drift::trials());
    Ok(libtest_mimic::run(&arguments, trials).exit_code())
}

/// A trial that gets the clusters, which start with the first of them.
fn on_site(title: &str, check: fn(&Site) -> Result<()>) -> Trial {
    static SITE: OnceLock<Result<Site, String>> = OnceLock::new();
    trial(title, move || {
        let site = SITE.get_or_init(|| Site::start().map_err(|error| format!("{error:#}")));
        check(site.as_ref().map_err(|error| anyhow!("{error}"))?)
    })
}
