//! The way in: Kong's names are the cluster's, its logs hold no path, and the route finds what it names.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use crate::addons::{Rendered, clusters, of_kind, render};
use deploy_tests::{
    checker::{Checker, name_of},
    mutation::{Mutations, fails, set},
};

pub fn trials(checker: &Checker, mutations: &Mutations) -> Vec<Trial> {
    let mut trials = Vec::new();
    for cluster in clusters() {
        let name = cluster.file_stem().unwrap_or_default().to_string_lossy();
        if name == "management" {
            continue;
        }
        let (title, checker) = (format!("Kong, {name}: fits"), checker.clone());
        trials.push(Trial::test(title, move || {
            let rendered = render(&checker, &cluster, &[])?;
            Ok(fits(&rendered, &route(&checker)?)?)
        }));
    }
    for [what, object, pointer, value, says] in mutations.rows("traffic") {
        let checker = checker.clone();
        trials.push(Trial::test(format!("Kong: finds {what}"), move || {
            finds(&checker, &object, &pointer, &value, &says)
        }));
    }
    trials
}

/// The HTTPRoute of the chart's example for production.
fn route(checker: &Checker) -> Result<Value> {
    let example = tools::root().join("deploy/chart/examples/production.yaml");
    let objects = checker.objects(&[example], &[])?;
    let mut objects = objects.into_iter().map(|object| object.object);
    let route = objects.find(|object| object["kind"] == "HTTPRoute");
    route.context("the chart renders no HTTPRoute")
}

fn fits(rendered: &Rendered, route: &Value) -> Result<()> {
    let application = rendered
        .applications
        .iter()
        .map(|application| &application.object)
        .find(|object| object["metadata"]["labels"]["app.kubernetes.io/component"] == "kong")
        .with_context(|| format!("{} has no Kong", rendered.cluster))?;
    let sources = &application["spec"]["sources"];
    let gateway = &sources[0]["helm"]["valuesObject"]["gateway"];
    let cluster = &sources[1]["helm"]["valuesObject"]["cluster"];

    // Nginx writes a request line into its error log at `error` and below.
    ensure!(
        gateway["env"]["proxy_access_log"] == "off" && gateway["env"]["log_level"] == "crit",
        "Kong's logs hold paths, and so usernames"
    );

    let own = cluster["hostname"].as_str().context("a hostname")?;
    let zone = cluster["zone"].as_str().context("a zone")?;
    let mut names = BTreeSet::from([own.to_owned()]);
    if cluster["stage"] == "production" {
        names.insert(format!("hello.{zone}"));
    }
    // The name that the regions share is Terraform's: a record of External-DNS would take it away.
    let record = &gateway["proxy"]["annotations"]["external-dns.alpha.kubernetes.io/hostname"];
    ensure!(
        *record == own,
        "External-DNS writes {record}, and not {own}"
    );
    let certificate = named(rendered, "Certificate", "public")?;
    let certified: BTreeSet<_> = strings(&certificate["spec"]["dnsNames"]).collect();
    ensure!(
        certified == names,
        "the certificate is for {certified:?}, and not {names:?}"
    );

    let parent = &route["spec"]["parentRefs"][0];
    let gateway = named(
        rendered,
        "Gateway",
        parent["name"].as_str().unwrap_or_default(),
    )?;
    let listeners = gateway["spec"]["listeners"].as_array();
    let listener = listeners
        .and_then(|all| all.iter().find(|one| one["name"] == parent["sectionName"]))
        .with_context(|| format!("no listener is called {}", parent["sectionName"]))?;
    let admitted = &listener["allowedRoutes"]["namespaces"]["selector"]["matchLabels"];
    ensure!(
        listener["protocol"] == "HTTPS"
            && *admitted == serde_json::json!({"kubernetes.io/metadata.name": "hello"}),
        "the listener of the route is not for namespace hello, by HTTPS"
    );
    let annotations = &route["metadata"]["annotations"];
    let redirect = &annotations["konghq.com/https-redirect-status-code"];
    ensure!(
        *redirect == "301" || *redirect == "308",
        "who comes by HTTP is not sent on: {redirect}"
    );
    let wanted = annotations["konghq.com/plugins"].as_str();
    for plugin in wanted.unwrap_or_default().split(',') {
        named(rendered, "KongClusterPlugin", plugin)?;
    }
    Ok(())
}

fn strings(value: &Value) -> impl Iterator<Item = String> {
    let all = value.as_array().into_iter().flatten();
    all.filter_map(|one| one.as_str().map(str::to_owned))
}

fn named<'a>(rendered: &'a Rendered, kind: &'a str, name: &str) -> Result<&'a Value> {
    of_kind(rendered, kind)
        .find(|object| object["metadata"]["name"] == name)
        .with_context(|| format!("there is no {kind} {name}"))
}

/// Changes one object of the cluster that is the last by its name, or the route.
fn finds(
    checker: &Checker,
    object: &str,
    pointer: &str,
    value: &str,
    says: &str,
) -> Result<(), Failed> {
    let clusters = clusters();
    let cluster = clusters.last().context("there are clusters")?;
    let mut rendered = render(checker, cluster, &[])?;
    let mut route = route(checker)?;
    fits(&rendered, &route)?;
    let applications = rendered.applications.iter_mut();
    let all = applications.chain(rendered.objects.values_mut().flatten());
    let mut found = 0;
    for one in all.map(|one| &mut one.object).chain([&mut route]) {
        if name_of(one) == object {
            set(one, pointer, value.into())?;
            found += 1;
        }
    }
    assert_eq!(found, 1, "{object} is not there once");
    fails(fits(&rendered, &route), says)
}
