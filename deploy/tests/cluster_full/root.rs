//! `root`, and what comes of it when something fails: the kinds that it needs, or an add-on.
//!
//! There is no network to the add-ons' chart repositories, so their Applications are never healthy, and
//! neither is the ApplicationSet that they are of.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use cluster::{argocd::in_namespace, crds};
use deploy_tests::{
    moto::ACCOUNT,
    mutation::Mutations,
    objects::{list, text},
};
use libtest_mimic::Trial;
use serde_json::Value;

use crate::site::{Site, site};

const ROOT: &str = "deploy/platform/argocd/root.yaml";
const PROJECT: &str = "deploy/platform/argocd/project.yaml";
const DESCRIPTION: &str = "Clusters, add-ons, and Argo CD";

/// Who defines SecretStores.
const EXTERNAL_SECRETS: &str = "github.com/external-secrets/external-secrets";

pub fn trials(mutations: &Mutations) -> Vec<Trial> {
    let late = "root: External Secrets comes late, and a commit that came meanwhile is taken";
    let unwell =
        "root: with an add-on that is unwell clusters are registered, and the next commit is taken";
    let mut trials = mutations.trials(late, |tree| on_root(tree, is_taken_by_what_fails));
    trials.extend(mutations.trials(unwell, |tree| on_root(tree, registers_meanwhile)));
    trials
}

/// Does that with `root` as it is in `tree`, begun anew, and takes it away again.
fn on_root(tree: &Path, check: fn(&Site) -> Result<()>) -> Result<()> {
    let site = site()?;
    site.repository.take(tree)?;
    let stages = ["management", "dev", "canary", "production"];
    let accounts = stages.map(|stage| format!("hello.example.com/account-{stage}"));
    let accounts = accounts.iter().map(|name| (name.as_str(), ACCOUNT));
    let annotations: Vec<_> = [("hello.example.com/account", ACCOUNT)]
        .into_iter()
        .chain(accounts)
        .collect();
    let labels = [
        ("hello.example.com/role", "management"),
        ("hello.example.com/stage", "management"),
    ];
    site.argo
        .register("management", &site.management, &labels, &annotations)?;
    site.give(PROJECT)?; // as bootstrap does
    site.give(ROOT)?;
    let outcome = check(site);
    end(site)?;
    outcome
}

/// Leaves the Applications of hello alone.
fn end(site: &Site) -> Result<()> {
    let place = in_namespace();
    for name in [
        "application/root",
        "applicationset/platform",
        "applicationset/clusters",
        "secret/cluster-management",
    ] {
        // No garbage collector runs there, so what they own stays.
        let delete = ["delete", name, "--ignore-not-found"];
        site.argo.kubectl.run(&[&delete[..], &[&place]].concat())?;
    }
    // Until the last is gone, `platform-management` may make others.
    site.wait_for("the Applications to go", || {
        let all = site.argo.kubectl.get(&["applications", &place])?;
        let names = list(&all, "/items").iter();
        let names = names.map(|application| text(application, "/metadata/name"));
        let names: Vec<_> = names.filter(|name| !name.starts_with("hello-")).collect();
        for name in &names {
            let delete = ["delete", "application", name, "--ignore-not-found", &place];
            site.argo.kubectl.run(&delete)?;
        }
        Ok(names.is_empty().then_some(()))
    })?;
    for name in [
        "appproject/platform",
        "customresourcedefinition/secretstores.external-secrets.io",
    ] {
        let delete = ["delete", name, "--ignore-not-found", &place];
        site.argo.kubectl.run(&delete)?;
    }
    Ok(())
}

fn is_taken_by_what_fails(site: &Site) -> Result<()> {
    let mut progress = Progress(None);
    unwell(site, &mut progress)?;
    site.wait_for("a sync of root that fails", || {
        progress.check(site)?;
        Ok((attempts(site)? > 0).then_some(()))
    })?;
    let before = attempts(site)?;
    describe(site, "mended while the sync failed")?;
    site.wait_for("the next attempt", || {
        progress.check(site)?;
        Ok((attempts(site)? > before).then_some(()))
    })?;
    let found = description(site)?;
    ensure!(
        found == "mended while the sync failed",
        "it tries again, with the commit of before: {found:?}\n{}",
        site.report()
    );
    crds::install_of(&site.argo.kubectl, &[EXTERNAL_SECRETS])?;
    registered(site)
}

fn registers_meanwhile(site: &Site) -> Result<()> {
    crds::install_of(&site.argo.kubectl, &[EXTERNAL_SECRETS])?;
    registered(site)?;
    let mut progress = Progress(None);
    unwell(site, &mut progress)?;
    describe(site, "committed while an add-on was unwell")?;
    let head = site.repository.head()?;
    site.wait_for("a sync of the commit", || {
        progress.check(site)?;
        let operation = &site.application("root")?["status"]["operationState"];
        let is_head = operation["syncResult"]["revisions"][0] == head.as_str();
        Ok((is_head && operation["phase"] == "Succeeded").then_some(()))
    })?;
    let found = description(site)?;
    ensure!(
        found == "committed while an add-on was unwell",
        "it is synced, and the project is as before: {found:?}"
    );
    // Nothing of theirs is there: their charts cannot be had.
    ensure!(
        is_unwell(site)?,
        "the add-ons count as delivered\n{}",
        site.report()
    );
    Ok(())
}

/// Waits until the ApplicationSet of the add-ons is as unwell as one of them.
fn unwell(site: &Site, progress: &mut Progress) -> Result<()> {
    site.wait_for("an add-on that is unwell", || {
        progress.check(site)?;
        Ok(is_unwell(site)?.then_some(()))
    })
}

fn is_unwell(site: &Site) -> Result<bool> {
    let place = in_namespace();
    let set = ["applicationset/platform", &place, "--ignore-not-found"];
    let get = ["get", "--output=json"];
    let set = site.argo.kubectl.run(&[&get[..], &set].concat())?;
    let set: Value = serde_json::from_str(&set).unwrap_or_default();
    Ok(list(&set, "/status/conditions").iter().any(|condition| {
        text(condition, "/type") == "RolloutProgressing" && text(condition, "/status") == "True"
    }))
}

/// Waits until there is what a cluster is registered by.
fn registered(site: &Site) -> Result<()> {
    let mut progress = Progress(None);
    site.wait_for("the SecretStore that clusters are registered by", || {
        progress.check(site)?;
        let store = ["secretstore/clusters", &in_namespace(), "--output=name"];
        Ok(site.argo.kubectl.run(&[&["get"], &store[..]].concat()).ok())
    })?;
    Ok(())
}

/// Refuses a sync that waits for what is only as well as the last add-on of the last cluster. For a
/// moment it says so of whatever it has applied.
struct Progress(Option<Instant>);

impl Progress {
    fn check(&mut self, site: &Site) -> Result<()> {
        let root = site.application("root")?;
        let said = text(&root, "/status/operationState/message");
        if !said.contains("healthy state of argoproj.io/ApplicationSet") {
            self.0 = None;
            return Ok(());
        }
        let since = self.0.get_or_insert_with(Instant::now).elapsed();
        ensure!(
            since < Duration::from_secs(30),
            "root waits for the ApplicationSets: {said}"
        );
        Ok(())
    }
}

fn attempts(site: &Site) -> Result<u64> {
    let root = site.application("root")?;
    let count = &root["status"]["operationState"]["retryCount"];
    Ok(count.as_u64().unwrap_or(0))
}

/// Commits another description of the project.
fn describe(site: &Site, text: &str) -> Result<()> {
    let project = site.repository.read(PROJECT)?;
    ensure!(project.contains(DESCRIPTION), "{PROJECT} says otherwise");
    site.repository
        .write(PROJECT, &project.replace(DESCRIPTION, text))?;
    site.repository.commit("a description")
}

fn description(site: &Site) -> Result<String> {
    let project = site
        .argo
        .kubectl
        .get(&["appproject/platform", &in_namespace()])?;
    Ok(text(&project, "/spec/description").to_owned())
}
