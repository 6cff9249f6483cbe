//! docs/platform.md: one row for each system, its files there and its version the tree's.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail, ensure};
use deploy_tests::{
    mutation::Mutations,
    platform::{ADDONS, ALTERNATIVES},
    yaml,
};
use libtest_mimic::Trial;
use pulldown_cmark::{Event, Parser, Tag, TagEnd};
use serde_json::Value;

use crate::{addons, facts::FACTS};

const OVERVIEW: &str = "docs/platform.md";

const HEADER: &str = "| system | where | version | how it was checked | what remains unproved |";

pub fn trials(mutations: &Mutations) -> Vec<Trial> {
    mutations.trials("overview", whole)
}

fn whole(tree: &Path) -> Result<()> {
    let text = fs::read_to_string(tree.join(OVERVIEW));
    let text = text.with_context(|| format!("there is no {OVERVIEW}"))?;
    let lines = text.lines().skip_while(|line| *line != HEADER).skip(2);
    let rows: Vec<Vec<&str>> = lines
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    ensure!(!rows.is_empty(), "there is no table under {HEADER}");
    for system in &FACTS.systems {
        let count = rows.iter().filter(|row| row[0] == *system).count();
        ensure!(count == 1, "there are {count} rows for {system}");
    }
    let mut addons = addons::with_charts();
    for row in &rows {
        let [system, places, version, ..] = row[..] else {
            bail!("a row has too few cells: {row:?}");
        };
        let filled = row.len() == 5 && row.iter().all(|cell| !cell.is_empty());
        ensure!(filled, "a cell of {system} is empty, or too many");
        let places = places_in(places);
        ensure!(!places.is_empty(), "{system} names no file");
        for place in places {
            ensure!(tree.join(&place).exists(), "there is no {place}");
            let in_directory = |all| Some((all, place.strip_prefix(all)?.split('/').nth(1)?));
            let Some((all, addon)) = in_directory(ALTERNATIVES).or_else(|| in_directory(ADDONS))
            else {
                continue;
            };
            addons.retain(|with_chart| with_chart != addon);
            if let Some(chart) = version_of(tree, &format!("{all}/{addon}"))? {
                let same = version.split([' ', ',']).any(|version| version == chart);
                ensure!(
                    same,
                    "{system} has the version {version}, and its add-on {chart}"
                );
            }
        }
    }
    ensure!(addons.is_empty(), "no row names {addons:?}");
    Ok(())
}

/// The files and directories in a cell: from the root in `code`, from the document in a [link](…).
fn places_in(cell: &str) -> Vec<String> {
    let mut places = Vec::new();
    let mut linked = false;
    for event in Parser::new(cell) {
        match event {
            Event::Start(Tag::Link { dest_url, .. }) => {
                let target = dest_url.split('#').next().unwrap_or_default();
                let above = target.strip_prefix("../").map(str::to_owned);
                places.push(above.unwrap_or_else(|| format!("docs/{target}")));
                linked = true;
            }
            Event::End(TagEnd::Link) => linked = false,
            Event::Code(code) if !linked => places.push(code.into_string()),
            _ => {}
        }
    }
    places
}

/// The version of the chart of the add-on in this directory, if it has one.
fn version_of(tree: &Path, directory: &str) -> Result<Option<String>> {
    let file = tree.join(directory).join("addon.yaml");
    if !file.exists() {
        return Ok(None); // such as templates/
    }
    let said: Value = yaml(&file)?;
    Ok(said["chart"]["version"].as_str().map(str::to_owned))
}
