//! Controllers of the platform on a real Kubernetes without nodes: what they make of our objects.
//!
//! `cargo xtask test --part controllers` runs this, as root and with Go.

mod alerts;
mod atlantis;
mod backups;
mod clusters;
mod delivered;
mod dns;
mod keda;
mod kyverno;
mod telemetry;

use std::process::ExitCode;

use anyhow::Result;
use cluster::{
    control_plane::{ControlPlane, shared},
    namespace,
};
use deploy_tests::{
    checker::{Checker, trial},
    mutation::Mutations,
    once::Once,
};
use harness::process::Process;
use libtest_mimic::{Arguments, Trial};
use tools::HostKind;

fn main() -> Result<ExitCode> {
    let mut arguments = Arguments::from_args();
    let mine = &["helm", "python/manifests"];
    let programs = [cluster::API_SERVER, cluster::CONTROLLERS, mine].concat();
    if !arguments.list && !namespace::is_inside() {
        // What is scraped, and what is traced.
        componentize::build(Some(HostKind::Wasmcloud))?;
        componentize::build(Some(HostKind::Spin))?;
    }
    if !arguments.list
        && let Some(ended) = namespace::enter(&programs)?
    {
        return Ok(ended);
    }
    // One cluster serves all trials, in their order.
    arguments.test_threads = Some(1);
    let checker = Checker::new()?;
    let mutations = Mutations::of("controllers")?;
    let mut trials = Vec::new();
    trials.extend(alerts::trials(&checker, &mutations));
    trials.extend(atlantis::trials(&checker, &mutations));
    trials.extend(dns::trials(&checker, &mutations));
    trials.extend(backups::trials(&checker, &mutations));
    trials.extend(clusters::trials(&checker, &mutations));
    trials.extend(telemetry::trials(&checker, &mutations));
    trials.extend(keda::trials(&checker, &mutations));
    trials.extend(kyverno::trials(&checker, &mutations));
    mutations.assert_all_used();
    Ok(libtest_mimic::run(&arguments, trials).exit_code())
}

/// A trial that gets the cluster.
fn on_cluster<C>(title: impl Into<String>, check: C) -> Trial
where
    C: FnOnce(&'static ControlPlane) -> Result<()> + Send + 'static,
{
    trial(title, move || check(plane()?))
}

/// SpinKube's operator, which runs from then on.
fn spinkube(plane: &ControlPlane) -> Result<()> {
    static OPERATOR: Once<Process> = Once::new();
    OPERATOR
        .get("", || cluster::spinkube::start(plane))
        .map(drop)
}

/// The cluster of all trials.
fn plane() -> Result<&'static ControlPlane> {
    shared("controllers")
}
