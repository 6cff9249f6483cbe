//! What prometheus-operator has written of our objects, and what promtool and amtool say about it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use cluster::kubectl::Kubectl;
use deploy_tests::{
    checker::{input, none, succeeded},
    objects::{fields, list, name, strings_at, text},
};
use serde_json::Value;

use super::{discovery::Discovery, objects::Objects, until};

/// How long the operator may take.
const LIMIT: Duration = Duration::from_secs(20);

/// The operator's own name of what it makes of our PodMonitor.
pub const JOB: &str = "podMonitor/hello/hello/0";

/// What is to run.
pub struct Written {
    /// Prometheus's configuration.
    pub prometheus: String,
    /// The files of rules, by name.
    pub rules: BTreeMap<String, String>,
    /// Alertmanager's configuration.
    pub alertmanager: String,
}

impl Written {
    /// Applies `objects`, and waits until all of them are in what the operator writes.
    pub fn of(kubectl: &Kubectl, objects: &Objects, versions: [&str; 2]) -> Result<Self> {
        objects.apply(kubectl, versions)?;
        until(LIMIT, || Self::read(kubectl, objects))
    }

    fn read(kubectl: &Kubectl, objects: &Objects) -> Result<Self> {
        let namespace = format!("--namespace={}", objects.namespace);
        let secret = |name: &str, key: &str| {
            let secret = kubectl.get(&["secret", name, &namespace])?;
            let packed = secret["data"][key].as_str();
            unpacked(packed.with_context(|| format!("the Secret {name} has no {key}"))?)
        };
        let prometheus = format!("prometheus-{}", objects.name("prometheus"));
        let alertmanager = format!("alertmanager-{}-generated", objects.name("alertmanager"));
        let maps = kubectl.get(&["configmaps", &namespace])?;
        let prefix = format!("{prometheus}-rulefiles-");
        let maps = list(&maps, "/items").iter();
        let maps = maps.filter(|map| name(map).starts_with(&prefix));
        let rules = maps.flat_map(|map| fields(map, "/data"));
        let rules = rules.map(|(file, rules)| {
            let rules = rules.as_str().unwrap_or_default();
            (file.clone(), rules.to_owned())
        });
        let written = Self {
            rules: rules.collect(),
            prometheus: secret(&prometheus, "prometheus.yaml.gz")?,
            alertmanager: secret(&alertmanager, "alertmanager.yaml.gz")?,
        };
        written.complete(objects)?;
        Ok(written)
    }

    /// Each monitor and each alert is in it.
    fn complete(&self, objects: &Objects) -> Result<()> {
        let config: Value = yaml_serde::from_str(&self.prometheus)?;
        let jobs = list(&config, "/scrape_configs").iter();
        let mut jobs = jobs.map(|job| text(job, "/job_name"));
        ensure!(jobs.any(|job| job == JOB), "there is no job {JOB}");
        let rules = self.rules.values().map(|file| yaml_serde::from_str(file));
        let rules: Vec<Value> = rules.collect::<Result<_, _>>()?;
        let rules = rules.iter().flat_map(|file| strings_at(file, &["alert"]));
        let there: BTreeSet<&str> = rules.collect();
        let alerts = objects.alerts().filter(|alert| !there.contains(alert));
        none(alerts.map(|alert| format!("there is no alert {alert}")))
    }

    /// Writes it into `directory`, and has Prometheus's and Alertmanager's own tools judge it.
    pub fn check(&self, objects: &Objects, directory: &Path) -> Result<()> {
        let path = |name: &str| directory.join(name);
        // promtool reads the files of rules, too.
        let (config, _) = self.prometheus_in(objects, directory)?;
        fs::write(path("prometheus.yaml"), config)?;
        fs::write(path("alertmanager.yaml"), &self.alertmanager)?;
        fs::write(path("ours.yaml"), objects.routes()?)?;
        let promtool = || tools::find_or_fetch("promtool").map(Command::new);
        let mut check = promtool()?;
        check.args(["check", "config"]).arg(path("prometheus.yaml"));
        let said = succeeded(&mut check)?;
        eprintln!("{said}");
        let mut check = promtool()?;
        check.args(["check", "rules"]);
        check.args(self.rules.keys().map(|file| path("rules").join(file)));
        eprintln!("{}", succeeded(&mut check)?);
        let amtool = |arguments: &[&str], config: &str| {
            let mut amtool = Command::new(tools::find_or_fetch("amtool")?);
            succeeded(amtool.args(arguments).arg(path(config)))
        };
        eprintln!("{}", amtool(&["check-config"], "alertmanager.yaml")?);
        // The operator writes it anew, by its own idea of the fields that there are.
        let routes = |config: &str| amtool(&["config", "routes", "show", "--config.file"], config);
        let (ours, theirs) = (routes("ours.yaml")?, routes("alertmanager.yaml")?);
        ensure!(ours == theirs, "other routes than ours:\n{theirs}");
        let [ours, theirs] = [objects.routes()?, &self.alertmanager].map(|config| {
            let config: Value = yaml_serde::from_str(config)?;
            anyhow::Ok(config)
        });
        let (ours, theirs) = (ours?, theirs?);
        for part in ["global", "receivers", "inhibit_rules", "route"] {
            kept(&ours[part], &theirs[part], part)?;
        }
        Ok(())
    }

    /// Prometheus's configuration with what the reloader beside it fills in, the rules in
    /// `directory`, where they are written, and what finds its targets.
    pub fn prometheus_in(
        &self,
        objects: &Objects,
        directory: &Path,
    ) -> Result<(String, Vec<Discovery>)> {
        let rules = directory.join("rules");
        fs::create_dir_all(&rules)?;
        for (file, text) in &self.rules {
            fs::write(rules.join(file), text)?;
        }
        let name = format!("prometheus-{}", objects.name("prometheus"));
        let mut config: Value = yaml_serde::from_str(
            &self
                .prometheus
                .replace("$(POD_NAME)", &format!("{name}-0"))
                .replace("$(SHARD)", "0"),
        )?;
        let files = list(&config, "/rule_files");
        let Some([files]) = files.first_chunk::<1>() else {
            bail!("there are no files of rules");
        };
        let there = format!("/etc/prometheus/rules/{name}-rulefiles-0/");
        let pattern = files.as_str().unwrap_or_default().replace(&there, "");
        config["rule_files"] = vec![rules.join(pattern).display().to_string()].into();
        let found = Discovery::take(&mut config, &directory.join("found"))?;
        Ok((yaml_serde::to_string(&config)?, found))
    }
}

/// That `theirs` has all that is in `ours`.
fn kept(ours: &Value, theirs: &Value, at: &str) -> Result<()> {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(_)) => ours
            .iter()
            .try_for_each(|(key, value)| kept(value, &theirs[key], &format!("{at}/{key}"))),
        (Value::Array(ours), Value::Array(others)) if ours.len() == others.len() => ours
            .iter()
            .zip(others)
            .enumerate()
            .try_for_each(|(n, (one, other))| kept(one, other, &format!("{at}/{n}"))),
        _ => {
            ensure!(ours == theirs, "{at}: {ours} became {theirs}");
            Ok(())
        }
    }
}

/// What is in a Secret, packed.
fn unpacked(packed: &str) -> Result<String> {
    let mut unpack = Command::new("sh");
    unpack.args(["-c", "base64 -d | gzip -d"]);
    succeeded(unpack.stdin(input(packed)?))
}
