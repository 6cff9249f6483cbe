//! docs/platform.md: one row for each system, its files there and its version the tree's.

use std::{fmt::Write, fs};

use anyhow::{Context, Result, bail, ensure};
use deploy_tests::mutation::{Mutations, fails, replaced};
use libtest_mimic::Trial;
use tools::root;

use crate::{addons, hygiene};

const OVERVIEW: &str = "docs/platform.md";

const HEADER: &str = "| system | where | version | how it was checked | what remains unproved |";

/// What the platform is made of. There may be more rows.
const SYSTEMS: [&str; 35] = [
    "Terraform",
    "Terragrunt",
    "Atlantis",
    "VPC",
    "Route 53",
    "RDS",
    "CloudNativePG",
    "S3 backups",
    "IAM roles for service accounts",
    "KMS",
    "Cluster API",
    "CAPA",
    "EKS",
    "Spin shim",
    "SpinKube operator",
    "Argo CD",
    "cert-manager",
    "External-DNS",
    "Kong",
    "Kuma",
    "kube-prometheus-stack",
    "Grafana",
    "Mimir",
    "InfluxDB",
    "Loki",
    "Elasticsearch",
    "Filebeat",
    "Logstash",
    "Datadog",
    "Velero",
    "pg_dump to S3",
    "Alertmanager",
    "External Secrets",
    "KEDA",
    "Kyverno",
];

pub fn trials(mutations: &Mutations) -> Vec<Trial> {
    let mut trials = vec![Trial::test("overview: docs/platform.md is whole", || {
        let text = fs::read_to_string(root().join(OVERVIEW));
        Ok(whole(
            &text.with_context(|| format!("there is no {OVERVIEW}"))?,
        )?)
    })];
    trials.push(Trial::test("overview: a right table passes", || {
        Ok(whole(&right()?)?)
    }));
    for [what, from, to, says] in mutations.rows("overview") {
        trials.push(Trial::test(
            format!("overview: {what} is found"),
            move || Ok(fails(whole(&replaced(&right()?, &from, &to)?), &says)?),
        ));
    }
    trials
}

fn whole(text: &str) -> Result<()> {
    let lines = text.lines().skip_while(|line| *line != HEADER).skip(2);
    let lines = lines.take_while(|line| line.starts_with('|'));
    let rows: Vec<Vec<&str>> = lines
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    ensure!(!rows.is_empty(), "there is no table under {HEADER}");
    for system in SYSTEMS {
        let count = rows.iter().filter(|row| row[0] == system).count();
        ensure!(count == 1, "there are {count} rows for {system}");
    }
    for row in &rows {
        let [system, places, version, ..] = row[..] else {
            bail!("a row has too few cells: {row:?}");
        };
        let filled = row.len() == 5 && row.iter().all(|cell| !cell.is_empty());
        ensure!(filled, "a cell of {system} is empty, or too many");
        let places = places_in(places);
        ensure!(!places.is_empty(), "{system} names no file");
        for place in places {
            ensure!(root().join(&place).exists(), "there is no {place}");
            if let Some(chart) = addon_of(&place).map(version_of).transpose()?.flatten() {
                let versions: Vec<&str> = version.split([' ', ',', '`']).collect();
                ensure!(
                    versions.contains(&chart.as_str()),
                    "{system} has the version {version}, and its add-on {chart}"
                );
            }
        }
    }
    for addon in addons::with_charts() {
        let directory = format!("deploy/platform/addons/{addon}");
        let named = |row: &Vec<&str>| {
            let places = places_in(row[1]);
            places.iter().any(|place| addon_of(place) == Some(&addon))
        };
        ensure!(rows.iter().any(named), "no row names {directory}");
    }
    Ok(())
}

/// The files and directories in a cell: from the root in `code`, from the document in a [link](…).
fn places_in(cell: &str) -> Vec<String> {
    let mut places = Vec::new();
    for (index, part) in cell.split('`').enumerate() {
        if index % 2 == 1 && !cell.contains(&format!("[`{part}`](")) {
            places.push(part.to_owned());
        }
    }
    for link in cell.split("](").skip(1) {
        let target = link.split([')', '#']).next().unwrap_or_default();
        places.push(match target.strip_prefix("../") {
            Some(target) => target.to_owned(),
            None => format!("docs/{target}"),
        });
    }
    places
}

fn addon_of(place: &str) -> Option<&str> {
    let below = place.strip_prefix("deploy/platform/addons/")?;
    let addon = below.split('/').next()?;
    (addon != "clusters" && addon != "templates").then_some(addon)
}

/// The version of an add-on's chart, if it has one.
fn version_of(addon: &str) -> Result<Option<String>> {
    let file = root()
        .join("deploy/platform/addons")
        .join(addon)
        .join("addon.yaml");
    let Ok(text) = fs::read_to_string(file) else {
        return Ok(None);
    };
    let version = text
        .lines()
        .find_map(|line| hygiene::after(line, "version"));
    Ok(version.map(str::to_owned))
}

/// A table in which nothing is wrong.
fn right() -> Result<String> {
    let mut text = format!("# A title\n\n{HEADER}\n| --- | --- | --- | --- | --- |\n");
    let mut row = |system: &str, place: &str, version: &str| -> Result<()> {
        writeln!(
            text,
            "| {system} | {place} | {version} | by a test | the rest |"
        )?;
        Ok(())
    };
    for addon in addons::with_charts() {
        let version = version_of(&addon)?.context("it has a chart")?;
        let place = format!("`deploy/platform/addons/{addon}/addon.yaml`, [it](../README.md)");
        let system = if addon == "cert-manager" {
            addon.clone()
        } else {
            format!("add-on {addon}")
        };
        row(&system, &place, &version)?;
    }
    for system in SYSTEMS
        .into_iter()
        .filter(|system| *system != "cert-manager")
    {
        row(system, "`spin.toml`", "none")?;
    }
    Ok(text)
}
