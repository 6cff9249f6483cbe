//! `cargo xtask rehearse-swap`: two versions of the component over one Postgres, swapped while requests
//! come; and what the naive way costs.
//!
//! | module | where |
//! | --- | --- |
//! | [`hosts`] | two host processes behind HAProxy, on any machine |
//! | [`cluster`] | SpinApps behind a gateway, on a Kubernetes of its own |
//! | `load`, `report` | the requests, and what they have seen, in both |

pub mod cluster;
pub mod hosts;
mod load;
mod proxy;
mod report;

use std::fs;

use anyhow::{Result, ensure};
use harness::process::end_all_on_signal;
use load::Load;
use report::{Event, Report};
use tools::{HostKind, run::announce};

/// The versions' names.
const VERSIONS: [&str; 2] = ["v1", "v2"];

/// What can be chosen.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct Options {
    /// How many requests the swaps have to bear, at least; the naive way gets a fourth of it more
    #[arg(long, default_value_t = 24_000, value_parser = clap::value_parser!(u64).range(1000..))]
    pub requests: u64,
    /// Requests a second: the load is constant [default: 500, and 200 on a cluster]
    #[arg(long, value_parser = clap::value_parser!(u32).range(10..))]
    pub rate: Option<u32>,
    /// The host: Spin where it can be had, else wasmCloud
    #[arg(long, conflicts_with = "cluster")]
    pub host: Option<HostKind>,
    /// On a Kubernetes of its own: the chart, SpinKube's operator, nodes and a gateway. It takes root,
    /// Go and Spin
    #[arg(long)]
    pub cluster: bool,
}

/// Rehearses, as a command.
///
/// # Errors
///
/// If it cannot be rehearsed, or a request has failed that should not have.
pub fn command(options: &Options) -> Result<()> {
    end_all_on_signal()?;
    if options.cluster {
        cluster::rehearse_on_one(options)
    } else {
        hosts::rehearse(options)
    }
}

/// Prints what both ways have cost.
///
/// # Errors
///
/// If the swaps have cost a request, or had too few of them to tell.
fn judge(options: &Options, swaps: &Report, naive: (&str, &Report)) -> Result<()> {
    println!("\nSwap by weights\n\n{swaps}");
    let (title, report) = naive;
    println!("\nNaive: {title}\n\n{report}");
    ensure!(
        swaps.requests() >= options.requests,
        "only {} requests were made",
        swaps.requests()
    );
    ensure!(
        swaps.failures() == 0,
        "{} requests failed in the swaps",
        swaps.failures()
    );
    Ok(())
}

/// Something that is done now, while the load goes on.
fn happens(load: &Load, what: &str, swap: Option<(&'static str, &'static str)>) -> Event {
    announce(what);
    Event {
        at: load.elapsed(),
        what: what.to_owned(),
        swap,
    }
}

/// Builds the tree twice, with two revisions, the tree's own as the last, and hands over each version
/// as its artifact is there.
fn build_two(kind: HostKind, mut take: impl FnMut(&str) -> Result<()>) -> Result<()> {
    let revision = componentize::revision();
    let next = format!("{revision}-next");
    let artifacts = [(next, VERSIONS[1]), (revision, VERSIONS[0])].map(|(revision, version)| {
        componentize::build_as(Some(kind), &revision)?;
        take(version)?;
        anyhow::Ok(fs::read(kind.artifact())?)
    });
    let [v2, v1] = artifacts;
    ensure!(v1? != v2?, "both versions are the same artifact");
    Ok(())
}
