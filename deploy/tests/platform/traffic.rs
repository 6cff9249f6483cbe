//! The way in: Kong's names are the cluster's, its logs hold no path, and the route finds what it names.

use anyhow::{Context, Result, ensure};
use deploy_tests::{
    checker::Checker,
    mutation::{Mutations, fails, set},
    objects::{list, named, only, strings, text},
    stem,
};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::addons::{Rendered, cluster, clusters, rendered};

pub fn trials(checker: &Checker, mutations: &Mutations) -> Vec<Trial> {
    let mut trials = Vec::new();
    for file in clusters()
        .into_iter()
        .filter(|file| stem(file) != "management")
    {
        let title = format!("Kong, {}: fits", stem(&file));
        trials.push(checker.trial(title, move |checker| {
            fits(rendered(checker, &file, &[])?, &route(checker)?)
        }));
    }
    for [what, object, pointer, value, says] in mutations.rows("traffic") {
        trials.push(
            checker.trial(format!("Kong: {what} fails"), move |checker| {
                let mut rendered = cluster(checker, "production-eu-west-1")?.clone();
                let mut route = route(checker)?;
                let ours = rendered.objects.values_mut().flatten();
                let objects = rendered.applications.iter_mut().chain(ours);
                let objects = objects.map(|one| &mut one.object);
                set(objects.chain([&mut route]), &object, &pointer, &value)?;
                fails(fits(&rendered, &route), &says)
            }),
        );
    }
    trials
}

/// The HTTPRoute of the chart's example for production.
fn route(checker: &Checker) -> Result<Value> {
    let example = "deploy/chart/examples/production.yaml".into();
    Ok(only(&checker.objects(&[example], &[])?, "HTTPRoute")?.clone())
}

fn fits(rendered: &Rendered, route: &Value) -> Result<()> {
    let sources = &rendered.application("kong")?["spec"]["sources"];
    let gateway = &sources[0]["helm"]["valuesObject"]["gateway"];
    let cluster = &sources[1]["helm"]["valuesObject"]["cluster"];

    // Nginx writes a request line into its error log at `error` and below.
    ensure!(
        gateway["env"]["proxy_access_log"] == "off" && gateway["env"]["log_level"] == "crit",
        "Kong's logs hold paths, and so usernames"
    );

    let own = cluster["hostname"].as_str().context("a hostname")?;
    let shared = format!("hello.{}", cluster["zone"].as_str().context("a zone")?);
    let mut names = vec![own];
    if cluster["stage"] == "production" {
        names.push(&shared);
    }
    // The name that the regions share is Terraform's: a record of External-DNS would take it away.
    let record = &gateway["proxy"]["annotations"]["external-dns.alpha.kubernetes.io/hostname"];
    ensure!(record == own, "External-DNS writes {record}, and not {own}");
    let certificate = named(rendered.made(), "Certificate", "public")?;
    let mut certified = strings(certificate, "/spec/dnsNames");
    certified.sort_unstable();
    names.sort_unstable();
    ensure!(
        certified == names,
        "the certificate is for {certified:?}, and not {names:?}"
    );

    let parent = &route["spec"]["parentRefs"][0];
    let gateway = named(rendered.made(), "Gateway", text(parent, "/name"))?;
    let mut listeners = list(gateway, "/spec/listeners").iter();
    let listener = listeners.find(|one| one["name"] == parent["sectionName"]);
    let listener =
        listener.with_context(|| format!("no listener is called {}", parent["sectionName"]))?;
    let admitted = &listener["allowedRoutes"]["namespaces"]["selector"]["matchLabels"];
    ensure!(
        listener["protocol"] == "HTTPS"
            && *admitted == json!({"kubernetes.io/metadata.name": "hello"}),
        "the listener of the route is not for namespace hello, by HTTPS"
    );
    let annotations = &route["metadata"]["annotations"];
    let redirect = &annotations["konghq.com/https-redirect-status-code"];
    ensure!(
        *redirect == "301" || *redirect == "308",
        "who comes by HTTP is not sent on: {redirect}"
    );
    for plugin in text(annotations, "/konghq.com~1plugins").split(',') {
        named(rendered.made(), "KongClusterPlugin", plugin)?;
    }
    Ok(())
}
