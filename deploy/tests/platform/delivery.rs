//! What delivers: how Argo CD syncs its Applications, and what a backup needs besides its bucket.

use std::{collections::BTreeSet, fs, net::Ipv4Addr, path::Path};

use anyhow::{Context, Result, ensure};
use deploy_tests::{
    checker::{Checker, none},
    mutation::{Mutations, fails, tracked},
    objects::{at, list, strings, text},
};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use tools::root;

use crate::{
    terragrunt::COMMON,
    world::{self, World},
};

/// How much a check looked at, and what is wrong with it.
type Check = fn(&World) -> Result<(usize, Vec<String>)>;

const CHECKS: [(&str, Check); 5] = [
    ("an Application is compared by the API server", compared),
    ("a sync is tried until it succeeds", tried),
    ("root waits for no ApplicationSet", waited_for),
    ("a backup reaches STS", sts),
    ("each cluster is backed up", backed_up),
];

pub fn trials(checker: &Checker, mutations: &Mutations) -> Vec<Trial> {
    let mut trials = Vec::new();
    for (name, check) in CHECKS {
        trials.push(checker.trial(format!("delivery: {name}"), move |checker| {
            let (mut count, mut problems) = (0, Vec::new());
            for world in world::all(checker)? {
                let (of_world, found) = check(world)?;
                count += of_world;
                problems.extend(found.iter().map(|found| format!("{}: {found}", world.name)));
            }
            ensure!(count > 0, "there is nothing of that kind");
            none(problems)
        }));
        for [world, object, pointer, value, says] in mutations.rows(&format!("delivery, {name}")) {
            let title = format!("delivery: {value} at {pointer} of {object} fails");
            trials.push(checker.trial(title, move |checker| {
                let world = world::named(checker, &world)?.with(&object, &pointer, &value)?;
                fails(none(check(&world)?.1), &says)
            }));
        }
    }
    trials.extend(mutations.trials("delivery, a person is told of each entry", entries));
    trials
}

/// Terraform makes the entries of Secrets Manager empty, and add-ons wait for what a person writes.
fn entries(tree: &Path) -> Result<()> {
    let readme = fs::read_to_string(tree.join("deploy/platform/terraform/README.md"))?;
    let units = tracked()?.iter();
    let common = format!("/{COMMON}secrets.hcl");
    let units =
        units.filter(|file| file.ends_with("/secrets/terragrunt.hcl") || file.ends_with(&common));
    let mut problems = BTreeSet::new();
    for unit in units {
        let unit = fs::read_to_string(tree.join(unit))?;
        let words = unit.split('"');
        let entries =
            words.filter(|word| word.starts_with("hello/") || word.starts_with("platform/"));
        let untold = entries.filter(|entry| !readme.contains(&format!("`{entry}`")));
        problems.extend(untold.map(|entry| format!("README.md does not say what is in {entry}")));
    }
    none(problems)
}

/// Without the first option, what the API server fills in is a difference; without the second, Argo CD
/// 3.4 misses changes below fields that keep whatever is in them.
fn compared(world: &World) -> Result<(usize, Vec<String>)> {
    applications(world, |application| {
        let options = text(
            application,
            "/metadata/annotations/argocd.argoproj.io~1compare-options",
        );
        let mut wanted = ["ServerSideDiff=true", "IncludeMutationWebhook=true"].into_iter();
        let all = wanted.all(|option| options.split(',').any(|one| one == option));
        (!all).then(|| format!("is compared with {options:?}"))
    })
}

/// Neither RollingSync nor an automated sync repeats what has failed for a commit. Whoever repeats it
/// takes the commit that may mend it, except after the first stage: there it would overtake the others.
fn tried(world: &World) -> Result<(usize, Vec<String>)> {
    let (count, mut problems) = applications(world, |application| {
        let retry = &application["spec"]["syncPolicy"]["retry"];
        let staged = application["metadata"]["labels"]["stage"].is_string();
        let endless = retry["limit"] == -1 && (staged || retry["refresh"] == true);
        (!endless).then(|| format!("gives up, or misses the commit that mends it: {retry}"))
    })?;
    for set in world.of_kind("ApplicationSet") {
        let first = "/spec/strategy/rollingSync/steps/0/matchExpressions/0/values/0";
        let first = text(&set.object, first);
        let patch = format!(
            "spec: {{syncPolicy: {{retry: {{refresh: {{{{ eq .values.stage \"{first}\" }}}}}}}}}}\n"
        );
        if !first.is_empty() && text(&set.object, "/spec/templatePatch") != patch {
            problems.push(format!("{} lets a commit overtake {first}", set.shown()));
        }
    }
    Ok((count, problems))
}

fn applications(
    world: &World,
    problem: fn(&Value) -> Option<String>,
) -> Result<(usize, Vec<String>)> {
    let all: Vec<_> = world.of_kind("Application").collect();
    let problems = all.iter().filter_map(|placed| {
        let problem = problem(&placed.object)?;
        Some(format!("{} {problem}", placed.shown()))
    });
    Ok((all.len(), problems.collect()))
}

/// What `root` brings has no wave, and so no sync of it waits for an ApplicationSet, which is unwell for as
/// long as one Application of any stage is.
fn waited_for(world: &World) -> Result<(usize, Vec<String>)> {
    // Argo CD's own objects, and in management's world what is of other kinds.
    let kinds = ["AppProject", "ApplicationSet", "SecretStore"];
    let all: Vec<_> = kinds.iter().flat_map(|kind| world.of_kind(kind)).collect();
    let wave = |object| {
        text(
            object,
            "/metadata/annotations/argocd.argoproj.io~1sync-wave",
        )
    };
    let waiting = all.iter().filter(|placed| !wave(&placed.object).is_empty());
    let problems = waiting.map(|placed| format!("{} has a wave", placed.shown()));
    Ok((all.len(), problems.collect()))
}

/// Terraform may give a network an endpoint for STS: an address in each private subnet.
fn sts(world: &World) -> Result<(usize, Vec<String>)> {
    let (mut count, mut problems) = (0, Vec::new());
    let policies = world.of_kind("NetworkPolicy");
    for policy in policies.filter(|policy| policy.name() == "hello-backup") {
        let rendered = world.rendered.context("it is a cluster's")?;
        let mut facts = rendered
            .applications
            .iter()
            .flat_map(|one| at(one, "cluster"));
        let facts = facts.next().context("no Application knows its cluster")?;
        let place = format!("{}/{}", text(facts, "/stage"), text(facts, "/region"));
        let place = root().join("deploy/platform/terraform/live").join(place);
        let network = fs::read_to_string(place.join("network/terragrunt.hcl"))?;
        if !network.contains("\"sts\"") {
            continue;
        }
        count += 1;
        let region = fs::read_to_string(place.join("region.hcl"))?;
        let cidr = region.split('"').find(|word| word.contains(".0.0/16"));
        let first = cidr.and_then(|cidr| cidr.strip_suffix(".0.0/16"));
        let first = first.context("the network is no 10.N.0.0/16")?;
        let to_https =
            |rule: &&Value| list(rule, "/ports").contains(&json!({"protocol": "TCP", "port": 443}));
        let rules = list(&policy.object, "/spec/egress").iter().filter(to_https);
        let blocks: Vec<&Value> = rules.flat_map(|rule| list(rule, "/to")).collect();
        // modules/network/main.tf: three /19.
        for third in [0, 32, 64] {
            let address: Ipv4Addr = format!("{first}.{third}.10").parse()?;
            let mut taken = blocks.iter().map(|block| takes(&block["ipBlock"], address));
            if !taken.any(|taken| taken) {
                problems.push(format!("{} keeps STS out, at {address}", policy.shown()));
            }
        }
    }
    Ok((count, problems))
}

/// By Velero, for what a cluster has and Git has not: management too, which knows all the others.
fn backed_up(world: &World) -> Result<(usize, Vec<String>)> {
    if world.rendered.is_none() {
        return Ok((0, Vec::new()));
    }
    let mut schedules = world.of_kind("Schedule.velero.io");
    let daily = schedules.any(|schedule| schedule.name() == "cluster");
    let problem = format!("nobody backs {} up", world.cluster);
    Ok((1, (!daily).then_some(problem).into_iter().collect()))
}

/// Whether an ipBlock has this address.
fn takes(block: &Value, address: Ipv4Addr) -> bool {
    let within = |cidr: &str| {
        let (network, bits) = cidr.split_once('/')?;
        let network: Ipv4Addr = network.parse().ok()?;
        let mask = u32::MAX
            .checked_shl(32 - bits.parse::<u32>().ok()?)
            .unwrap_or(0);
        Some((u32::from(network) ^ u32::from(address)) & mask == 0)
    };
    let within = |cidr: &str| within(cidr) == Some(true);
    within(text(block, "/cidr")) && !strings(block, "/except").into_iter().any(within)
}
