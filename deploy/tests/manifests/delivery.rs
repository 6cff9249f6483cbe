//! What Argo CD, Helm and the network make of the chart, and no schema says.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Result, ensure};
use deploy_tests::{
    checker::{CHART, Checker, Object, none},
    mutation::{Mutations, fails, mutate},
    objects::{fields, list, named, of_kind, only, strings_at, text, title},
    once::Once,
};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::{all_values, example};

/// What is wrong with the objects of one rendering.
type Check = fn(&Checker, &[Object]) -> Vec<String>;

pub fn trials(checker: &Checker, mutations: &Mutations) -> Vec<Trial> {
    let checks: [(&str, bool, Check); 4] = [
        ("defaults in atomic lists are written out", true, defaults),
        ("a smoke test reaches the version's Service", false, reach),
        ("Helm's --wait needs no hook", false, hooks),
        (
            "a backup that is gone is missed where there is one",
            false,
            missed,
        ),
    ];
    let mut trials = Vec::new();
    for (name, custom, check) in checks {
        trials.push(checker.trial_of(custom, name, move |checker| {
            none(problems(checker, check, rendered(checker)?)?)
        }));
        for [from, to, says] in mutations.rows(name) {
            let title = format!("{name}: {to:?} for {from:?} fails");
            trials.push(checker.trial_of(custom, title, move |checker| {
                let texts = rendered(checker)?.iter();
                let texts = texts.filter(|text| text.contains(&from));
                let texts: Vec<String> = texts.map(|text| text.replace(&from, &to)).collect();
                fails(none(problems(checker, check, &texts)?), &says)
            }));
        }
    }
    let name = "a Job with other pods has another name";
    for [file, from, to] in mutations.rows(name) {
        let title = format!("{name}: {to:?} in {file}");
        trials.push(checker.trial(title, move |checker| {
            let changed = mutate(&file, &from, &to)?;
            another_job(checker, &changed.path().join(CHART))
        }));
    }
    trials.push(checker.trial(
        "a version may have a least number of pods of its own",
        a_least_number_of_pods,
    ));
    trials.push(checker.trial(
        "Helm migrates its own Postgres before an upgrade",
        migrates_before_an_upgrade,
    ));
    trials
}

/// The chart as Helm renders it for each example and cluster.
fn rendered(checker: &Checker) -> Result<&'static [String]> {
    static RENDERED: Once<Vec<String>> = Once::new();
    let render = |values: Vec<_>| checker.render(&values, &[]);
    Ok(RENDERED.get("", || all_values().into_iter().map(render).collect())?)
}

fn problems(checker: &Checker, check: Check, texts: &[String]) -> Result<Vec<String>> {
    let all = texts.iter().map(|text| checker.checked(text));
    let all: Vec<_> = all.collect::<Result<_>>()?;
    ensure!(!all.is_empty(), "there is nothing to check");
    let mut problems: Vec<String> = all
        .iter()
        .flat_map(|objects| check(checker, objects))
        .collect();
    problems.sort();
    problems.dedup();
    Ok(problems)
}

/// By server-side apply, an atomic list belongs to who applies it, with what the API server fills in:
/// without that, Argo CD compares two lists that are never the same.
fn defaults(checker: &Checker, objects: &[Object]) -> Vec<String> {
    let mut problems = Vec::new();
    for object in objects.iter().filter(|object| object.custom) {
        if let Some(schema) = checker.schema(object) {
            let mut left_out = Vec::new();
            missing(&schema, object, "", false, &mut left_out);
            problems.extend(left_out.iter().map(|at| format!("{}: {at}", title(object))));
        }
    }
    problems
}

/// The fields that have a default and are not in `value`, below a list that is atomic.
fn missing(schema: &Value, value: &Value, at: &str, atomic: bool, found: &mut Vec<String>) {
    for (name, field) in fields(schema, "/properties") {
        let at = format!("{at}/{name}");
        match (value.get(name), field.get("default")) {
            (Some(value), _) => missing(field, value, &at, atomic, found),
            (None, Some(default)) if atomic => found.push(format!("{at} is {default} unsaid")),
            (None, _) => {}
        }
    }
    let atomic = atomic || !["map", "set"].contains(&text(schema, "/x-kubernetes-list-type"));
    for item in list(value, "") {
        missing(&schema["items"], item, &format!("{at}/*"), atomic, found);
    }
}

/// Amazon's VPC CNI sees a request to a Service by the Service's address, and adds that to a rule only
/// where the rule's selector takes the Service's own selector for a pod's labels.
fn reach(_: &Checker, objects: &[Object]) -> Vec<String> {
    let policies: Vec<&Value> = of_kind(objects, "NetworkPolicy").collect();
    let apps = of_kind(objects, "SpinApp").map(|app| text(app, "/metadata/name"));
    // An example without policies, and values without a smoke test.
    let smoke_tests = of_kind(objects, "Job").any(|job| title(job).contains("-smoke-"));
    let apps = apps.filter(|_| smoke_tests && !policies.is_empty());
    let reached = |app: &str| {
        let service = json!({format!("core.spinkube.dev/app.{app}.status"): "ready"});
        policies.iter().any(|policy| {
            let component = "/spec/podSelector/matchLabels/app.kubernetes.io~1component";
            let rules = list(policy, "/spec/egress").iter();
            let mut peers = rules.flat_map(|rule| list(rule, "/to"));
            text(policy, component) == "smoke-test"
                && peers.any(|peer| peer["podSelector"]["matchLabels"] == service)
        })
    };
    let problem = |app| format!("no policy lets a smoke test reach the Service {app}");
    apps.filter(|app| !reached(app)).map(problem).collect()
}

/// Helm runs a post-install hook when all else is ready, Jobs as well with --wait-for-jobs: so nothing
/// may wait for the hook.
fn hooks(_: &Checker, objects: &[Object]) -> Vec<String> {
    let hook = |job: &&Value| text(job, "/metadata/annotations/helm.sh~1hook").to_owned();
    let jobs = of_kind(objects, "Job");
    let mut ordinary = jobs.filter(|job| hook(job).is_empty());
    let Some(ordinary) = ordinary.next().map(title) else {
        return Vec::new();
    };
    let late = of_kind(objects, "Job").filter(|job| hook(job).contains("post-install"));
    let problem = |job| format!("{} begins when {ordinary} has ended", title(job));
    late.map(problem).collect()
}

/// The rules are one file for all clusters, and not every cluster makes backups.
fn missed(_: &Checker, objects: &[Object]) -> Vec<String> {
    let Ok(rule) = only(objects, "PrometheusRule") else {
        return Vec::new();
    };
    let alerts = strings_at(rule, &["alert"]).contains(&"HelloBackupMissing");
    let backs_up = named(objects, "CronJob", "hello-backup").is_ok();
    let differ = alerts != backs_up;
    let problem = format!("a backup: {backs_up}; an alert when it is gone: {alerts}");
    differ.then_some(problem).into_iter().collect()
}

fn migrates_before_an_upgrade(checker: &Checker) -> Result<()> {
    let values = example("cloudnative-pg");
    let yaml = checker.template("hello", "hello", CHART, &values, &["--is-upgrade"])?;
    let objects = checker.checked(&yaml)?;
    let migrations = named(&objects, "Job", "hello-migrations")?;
    let hook = text(migrations, "/metadata/annotations/helm.sh~1hook");
    ensure!(hook.contains("pre-upgrade"), "it is the hook {hook:?}");
    Ok(())
}

/// Before a cutover, the version that nobody asks yet scales up, and the other one stays as it is.
fn a_least_number_of_pods(checker: &Checker) -> Result<()> {
    let settings = ["autoscaling.minReplicas.v1-5-0=8"];
    for (values, kind, field) in [
        ("production", "HorizontalPodAutoscaler", "minReplicas"),
        ("keda", "ScaledObject", "minReplicaCount"),
    ] {
        let objects = checker.objects(&example(values), &settings)?;
        for (name, least) in [("hello-v1-4-0", 3), ("hello-v1-5-0", 8)] {
            let scaler = named(&objects, kind, name)?;
            assert_eq!(scaler["spec"][field], least, "{kind} {name}");
        }
    }
    Ok(())
}

/// A Job's pods are immutable: one that is to have others has to be another Job. A hook is made anew.
fn another_job(checker: &Checker, changed: &Path) -> Result<()> {
    let jobs = |chart: &Path| -> Result<BTreeMap<String, Value>> {
        let yaml = checker.render_chart(chart, &example("production"), &[])?;
        let objects = checker.checked(&yaml)?;
        let jobs = of_kind(&objects, "Job");
        let jobs = jobs.filter(|job| !job["metadata"]["annotations"].to_string().contains("hook"));
        Ok(jobs
            .map(|job| (title(job), job["spec"]["template"].clone()))
            .collect())
    };
    let (before, after) = (jobs(Path::new(CHART))?, jobs(changed)?);
    ensure!(!before.is_empty(), "there is no Job");
    let stays = before.keys().find(|name| after.contains_key(*name));
    none(stays.map(|name| format!("{name} has other pods under the same name")))
}
