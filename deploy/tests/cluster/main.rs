//! deploy/ on a real Kubernetes: what its API server, its controllers and SpinKube's operator make
//! of what is rendered.
//!
//! `cargo xtask test --part cluster` runs this, as root and with Go.

mod accepted;
mod backup;
mod everything;
mod policies;
mod release;

use std::process::ExitCode;

use anyhow::{Result, ensure};
use cluster::{
    control_plane::{ControlPlane, shared},
    namespace,
};
use deploy_tests::{
    checker::{Checker, trial},
    mutation::Mutations,
};
use libtest_mimic::{Arguments, Trial};

fn main() -> Result<ExitCode> {
    let mut arguments = Arguments::from_args();
    let mut programs = [cluster::API_SERVER, &["helm", "python/manifests"]].concat();
    if release::is_possible() {
        programs.extend(cluster::NODE);
        programs.extend(["pg_dump", "pg_restore", "python/backup"]);
    }
    if !arguments.list
        && let Some(ended) = namespace::enter(&programs)?
    {
        return Ok(ended);
    }
    // One cluster serves all trials, in their order.
    arguments.test_threads = Some(1);
    let checker = Checker::new()?;
    let mutations = Mutations::of("cluster")?;
    let mut trials = vec![on_cluster(
        "the API server is the pinned one",
        says_its_version,
    )];
    trials.extend(accepted::trials(&checker));
    trials.extend(everything::trials(&checker));
    trials.extend(policies::trials(&checker, &mutations));
    trials.extend(release::trials());
    mutations.assert_all_used();
    Ok(libtest_mimic::run(&arguments, trials).exit_code())
}

/// A trial that gets the cluster.
fn on_cluster<C>(title: impl Into<String>, check: C) -> Trial
where
    C: FnOnce(&'static ControlPlane) -> Result<()> + Send + 'static,
{
    trial(title, move || check(shared("cluster")?))
}

fn says_its_version(plane: &ControlPlane) -> Result<()> {
    let version = plane.kubectl.raw("/version")?;
    let version = version["gitVersion"].as_str().unwrap_or_default();
    ensure!(version.starts_with("v1.36."), "it is {version}");
    Ok(())
}
