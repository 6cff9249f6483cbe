//! A version that is Degraded for a moment fails its sync, which has to be tried again.

use std::path::Path;

use anyhow::{Result, ensure};
use deploy_tests::{mutation::Mutations, objects::text};
use libtest_mimic::Trial;

use crate::{
    by_hand,
    site::{DEV, Site, site},
    stages::{delivered, next_fails},
};

pub fn trials(mutations: &Mutations) -> Vec<Trial> {
    let check = "retry: one moment of Degraded, and the delivery goes on";
    mutations.trials(check, |tree| recovers(site()?, tree))
}

fn recovers(site: &Site, tree: &Path) -> Result<()> {
    delivered(site)?;
    site.take(tree)?;
    let outcome = degraded_for_a_moment(site);
    let restored = site.restore();
    outcome?;
    restored
}

fn degraded_for_a_moment(site: &Site) -> Result<()> {
    next_fails(site)?;
    site.wait_for("the delivery, now that it is well", || {
        by_hand::make_ready(site.cluster(DEV), |_| true)?;
        let operation = &site.application(&format!("hello-{DEV}"))?["status"]["operationState"];
        let phase = text(operation, "/phase");
        ensure!(
            !["Failed", "Error"].contains(&phase),
            "the sync gave up: {}",
            text(operation, "/message")
        );
        Ok(site.has_commit(DEV)?.then_some(()))
    })
}
