//! Who hears of a delivery: Argo CD's notifications, as `deploy/platform` configures them, to what
//! records in the place of Slack.

use anyhow::{Context, Result, ensure};
use cluster::argocd::in_namespace;
use deploy_tests::{
    receivers::{Message, Recorder, SLACK_API},
    yaml,
};
use libtest_mimic::Trial;
use serde_json::{Map, Value, json};
use tools::root;

use crate::{
    on_site,
    site::{CLUSTERS, DEV, Site},
    stages::{delivered, next_fails},
};

const VALUES: &str = "deploy/platform/addons/argocd/notifications.yaml";
const TOKEN: &str = "xoxb-of-a-test";

/// How long something has to be so before it is an incident: seconds here.
const PATIENCE: (&str, &str) = ("Minutes() > 15", "Seconds() > 15");

pub fn trials() -> Vec<Trial> {
    let title = "notifications: Slack hears of a stage that is stuck, once, and of each delivery";
    vec![on_site(title, stuck_and_delivered)]
}

fn stuck_and_delivered(site: &Site) -> Result<()> {
    delivered(site)?;
    let slack = Recorder::http()?;
    configure(site, slack.port)?;
    let directory = tools::fresh("notifications")?;
    let _controller = site
        .argo
        .start_notifications(&site.management, &directory)?;
    let heard = |what: &str| site.wait_for(what, || Ok(about(&slack, what).first().cloned()));
    for cluster in CLUSTERS {
        heard(&format!("hello-{cluster} is delivered"))?;
    }

    next_fails(site)?;
    let stuck = format!("hello-{DEV} is not delivered");
    let message = heard(&stuck)?;
    let runbook = "docs/runbooks/ApplicationNotAsInGit.md";
    ensure!(
        message.contains(runbook) && root().join(runbook).is_file(),
        "it does not say what to do: {message}"
    );
    // Each minute all of it is evaluated again.
    site.stays("it is said once", 70, || {
        Ok(about(&slack, &stuck).len() == 1)
    })?;

    // The other stages are as they were, so there is nothing to deliver to them.
    site.repository.release("release: back", |_| ())?;
    site.wait_for_delivery(DEV)?;
    let head = site.repository.head()?;
    heard(&format!("hello-{DEV} is delivered: {head}"))?;
    let others = slack.messages();
    let others = others.iter().find(|message| message.to != POST);
    ensure!(others.is_none(), "something else was asked for: {others:?}");
    Ok(())
}

/// Where Slack's API takes a message.
const POST: &str = "/api/chat.postMessage";

/// The texts with this in them.
fn about(slack: &Recorder, what: &str) -> Vec<String> {
    let all = slack.messages();
    let texts = all.iter().map(form);
    texts.filter(|text| text.contains(what)).collect()
}

/// A message's text, out of the form that Slack's client sends.
fn form(message: &Message) -> String {
    let fields = url::form_urlencoded::parse(message.text.as_bytes());
    let text = fields
        .filter(|(key, _)| key == "text")
        .map(|(_, text)| text);
    text.collect()
}

/// As the chart does: every entry but the subscriptions is one of the ConfigMap.
fn configure(site: &Site, port: u16) -> Result<()> {
    let values: Value = yaml(&root().join(VALUES))?;
    let mut data = Map::new();
    for part in ["notifiers", "templates", "triggers"] {
        let entries = values[part].as_object().context("it has no such part")?;
        data.extend(entries.clone());
    }
    let address = format!("http://127.0.0.1:{port}{SLACK_API}");
    let slack = data["service.slack"].as_str().context("no Slack")?;
    data["service.slack"] = format!("{slack}apiURL: {address}\n").into();
    for (_, text) in &mut data {
        *text = text
            .as_str()
            .unwrap_or_default()
            .replace(PATIENCE.0, PATIENCE.1)
            .into();
    }
    data.insert(
        "subscriptions".to_owned(),
        values["subscriptions"].to_string().into(),
    );
    let context = json!({"argocdUrl": "https://argocd.example.com"});
    data.insert("context".to_owned(), context.to_string().into());
    let metadata = |name| json!({"name": name, "namespace": cluster::argocd::NAMESPACE});
    let config = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata("argocd-notifications-cm"),
        "data": data,
    });
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata("argocd-notifications-secret"),
        "stringData": {"slack-token": TOKEN},
    });
    for object in [config, secret] {
        site.argo
            .kubectl
            .apply(&object.to_string(), &[&in_namespace()])?;
    }
    Ok(())
}
