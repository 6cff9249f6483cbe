//! Stages and waves: what Argo CD does in which order, and what it leaves alone.

use anyhow::{Result, ensure};
use deploy_tests::objects::{list, text, title};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::{
    by_hand, on_site,
    site::{CANARY, CLUSTERS, DEV, PRODUCTION, Site},
};

/// What a delivery makes, in its order. Each of them is in a wave of its own.
const WAVES: [&str; 6] = [
    "ExternalSecret hello-database",
    "Cluster hello-db",
    "Job hello-migrations",
    "SpinApp hello-v0-0-0",
    "Job hello-v0-0-0-smoke",
    "HTTPRoute hello",
];

/// The version of the release that fails.
const NEXT: &str = "v0-1-0";

type Check = fn(&Site) -> Result<()>;

pub fn trials() -> Vec<Trial> {
    let trials: [(&str, Check); 8] = [
        ("stages: an Application for each cluster", applications),
        (
            "waves: passwords, database, migrations, version, smoke test, route",
            waves,
        ),
        (
            "stages: canary begins when dev is healthy, and production when canary is",
            stages,
        ),
        (
            "an empty cluster: its kinds come late, and it ends healthy",
            late_kinds,
        ),
        ("in sync: a delivery stays in sync", stays_in_sync),
        (
            "stages: a version that does not become ready changes no route and no other stage",
            version_that_fails,
        ),
        (
            "stages: nor does one whose smoke test fails",
            smoke_test_that_fails,
        ),
        ("stages: the next commit mends it", mended),
    ];
    let trials = trials.into_iter();
    trials.map(|(title, check)| on_site(title, check)).collect()
}

fn applications(site: &Site) -> Result<()> {
    for cluster in CLUSTERS {
        let name = format!("hello-{cluster}");
        let application = site.wait_for(&name, || Ok(site.application(&name).ok()))?;
        let destination = &application["spec"]["destination"];
        let wanted = json!({"name": cluster, "namespace": "hello"});
        ensure!(*destination == wanted, "{name} goes to {destination}");
    }
    Ok(())
}

fn waves(site: &Site) -> Result<()> {
    let dev = site.cluster(DEV);
    let begins = |title: &str, waves: &[&str]| waves.iter().any(|wave| title.starts_with(wave));
    for wave in 0..WAVES.len() {
        let (now, later) = (WAVES[wave], &WAVES[wave + 1..]);
        site.wait_for(now, || {
            let all = by_hand::make_ready(dev, |title| !begins(title, &WAVES[wave..]))?;
            let is_there = all.iter().any(|object| title(object).starts_with(now));
            Ok(is_there.then_some(()))
        })?;
        site.stays(&format!("nothing comes before {now} is ready"), 5, || {
            let all = by_hand::objects(dev)?;
            Ok(!all.iter().any(|object| begins(&title(object), later)))
        })?;
    }
    ensure!(!site.is_delivered(DEV)?, "it is delivered with no route");
    for cluster in [CANARY, PRODUCTION] {
        ensure!(
            site.is_untouched(cluster)?,
            "{cluster} did not wait for dev"
        );
    }
    Ok(())
}

fn stages(site: &Site) -> Result<()> {
    for (stage, next) in [(DEV, CANARY), (CANARY, PRODUCTION)] {
        site.wait_for(&format!("the delivery to {stage}"), || {
            by_hand::make_ready(site.cluster(stage), |_| true)?;
            let began = !site.is_untouched(next)?;
            // Sometimes RollingSync starts a second sync of the same.
            let ended = site.is_delivered(stage)? || began && site.was_delivered(stage)?;
            ensure!(
                ended || !began,
                "{next} did not wait for {stage}\n{}",
                site.report()
            );
            Ok(ended.then_some(()))
        })?;
        site.wait_for(&format!("{next} to begin"), || {
            let application = site.application(&format!("hello-{next}"))?;
            let began = !application["status"]["operationState"].is_null();
            Ok(began.then_some(()))
        })?;
    }
    Ok(())
}

fn late_kinds(site: &Site) -> Result<()> {
    let name = format!("hello-{PRODUCTION}");
    site.wait_for("a sync that fails", || {
        for stage in [DEV, CANARY] {
            by_hand::make_ready(site.cluster(stage), |_| true)?;
        }
        let application = site.application(&name)?;
        let tried = &application["status"]["operationState"]["retryCount"];
        Ok(tried.as_u64().filter(|times| *times > 0))
    })?;
    site.install_kinds(PRODUCTION)?;
    site.wait_for_delivery(PRODUCTION)
}

fn stays_in_sync(site: &Site) -> Result<()> {
    delivered(site)?;
    for cluster in CLUSTERS {
        let name = format!("hello-{cluster}");
        for _ in 0..3 {
            site.refresh(&name)?;
            ensure!(
                site.is_delivered(cluster)?,
                "it was in sync\n{}",
                site.report()
            );
        }
    }
    Ok(())
}

fn version_that_fails(site: &Site) -> Result<()> {
    delivered(site)?;
    release_next(site)?;
    let app = format!("SpinApp hello-{NEXT}");
    site.wait_for(&app, || {
        let all = by_hand::make_ready(site.cluster(DEV), |title| title != app)?;
        Ok(all.iter().any(|object| title(object) == app).then_some(()))
    })?;
    by_hand::mark(site.cluster(DEV), &app, by_hand::rolling)?;
    site.stays("the route and the other stages wait", 20, || {
        others_are_as_before(site)
    })?;
    by_hand::mark(site.cluster(DEV), &app, by_hand::failed)?;
    fails(site, &app)
}

fn smoke_test_that_fails(site: &Site) -> Result<()> {
    delivered_or_failed(site)?;
    let smoke_test = format!("Job hello-{NEXT}-smoke");
    site.wait_for(&smoke_test, || {
        let all = by_hand::make_ready(site.cluster(DEV), |title| !title.starts_with(&smoke_test))?;
        Ok(all
            .iter()
            .any(|object| title(object).starts_with(&smoke_test))
            .then_some(()))
    })?;
    by_hand::mark(site.cluster(DEV), &smoke_test, by_hand::failed)?;
    fails(site, &smoke_test)
}

fn mended(site: &Site) -> Result<()> {
    site.repository.release("release: back", |_| ())?;
    for cluster in CLUSTERS {
        site.wait_for_delivery(cluster)?;
    }
    for cluster in CLUSTERS {
        let is_there = has_next(&by_hand::objects(site.cluster(cluster))?);
        ensure!(!is_there, "{cluster} still has {NEXT}");
    }
    Ok(())
}

/// Delivers what is in the tree to all clusters, unless that was done.
pub fn delivered(site: &Site) -> Result<()> {
    if !CLUSTERS
        .iter()
        .all(|cluster| site.is_delivered(cluster).unwrap_or(false))
    {
        site.install_kinds(PRODUCTION)?;
        for cluster in CLUSTERS {
            site.wait_for_delivery(cluster)?;
        }
    }
    Ok(())
}

fn delivered_or_failed(site: &Site) -> Result<()> {
    if has_next(&by_hand::objects(site.cluster(DEV))?) {
        return Ok(());
    }
    delivered(site)?;
    release_next(site)
}

/// Commits a release, with the cutover to it.
fn release_next(site: &Site) -> Result<()> {
    site.repository
        .release("release: the next version", |release| {
            let mut next = release["versions"][0].clone();
            next["name"] = NEXT.into();
            release["versions"]
                .as_array_mut()
                .expect("a list")
                .push(next);
            release["active"] = NEXT.into();
        })
}

/// Commits the next version, which does not become ready in dev, and waits until its sync has failed.
pub fn next_fails(site: &Site) -> Result<()> {
    release_next(site)?;
    let app = format!("SpinApp hello-{NEXT}");
    site.wait_for(&app, || {
        let all = by_hand::make_ready(site.cluster(DEV), |title| title != app)?;
        Ok(by_hand::contain(&all, &app).then_some(()))
    })?;
    by_hand::mark(site.cluster(DEV), &app, by_hand::failed)?;
    wait_for_failure(site, &app)?;
    Ok(())
}

/// Waits until the sync of dev has failed for the object whose title begins so.
fn wait_for_failure(site: &Site, prefix: &str) -> Result<()> {
    let name = format!("hello-{DEV}");
    site.wait_for("the sync to fail", || {
        by_hand::make_ready(site.cluster(DEV), |title| !title.starts_with(prefix))?;
        let application = site.application(&name)?;
        let results = list(&application, "/status/operationState/syncResult/resources");
        let failed = results.iter().any(|result| {
            let title = format!("{} {}", text(result, "/kind"), text(result, "/name"));
            title.starts_with(prefix) && text(result, "/hookPhase") == "Failed"
        });
        let said = text(&application, "/status/operationState/message");
        Ok((failed && said.contains("unsuccessfully")).then_some(()))
    })
}

/// [`wait_for_failure`], and nothing comes of it.
fn fails(site: &Site, prefix: &str) -> Result<()> {
    wait_for_failure(site, prefix)?;
    site.stays("the route and the other stages wait", 20, || {
        others_are_as_before(site)
    })
}

/// Whether no route and no other stage has anything of the next version.
fn others_are_as_before(site: &Site) -> Result<bool> {
    let dev = by_hand::objects(site.cluster(DEV))?;
    let mut routes = dev.iter().filter(|object| object["kind"] == "HTTPRoute");
    let before = routes.all(|route| !route["spec"].to_string().contains(NEXT));
    let canary = by_hand::objects(site.cluster(CANARY))?;
    let production = by_hand::objects(site.cluster(PRODUCTION))?;
    Ok(before && !has_next(&canary) && !has_next(&production))
}

fn has_next(objects: &[Value]) -> bool {
    objects.iter().any(|object| title(object).contains(NEXT))
}
