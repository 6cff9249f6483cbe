//! The add-ons: an Application for each that a cluster has, and the objects that we give it.

use anyhow::Result;
pub use deploy_tests::platform::{
    OURS, Rendered, addon_of, choices, cluster, clusters, rendered, with,
};
use deploy_tests::{
    checker::Checker,
    mutation::Mutations,
    platform::{ADDONS, ALTERNATIVES},
    stem,
};
use libtest_mimic::Trial;
use tools::root;

use crate::facts::RULES;

pub fn trials(checker: &Checker, mutations: &Mutations) -> Vec<Trial> {
    let mut trials = Vec::new();
    for file in clusters() {
        for settings in choices() {
            let title = format!("add-ons, {}{}", stem(&file), with(&settings));
            let file = file.clone();
            trials.extend(
                checker.trials_of_valid(&title, &[false, true], move |checker| {
                    let rendered = rendered(checker, &file, &settings)?;
                    Ok(rendered
                        .applications
                        .iter()
                        .chain(rendered.made())
                        .cloned()
                        .collect())
                }),
            );
        }
        let title = format!("add-ons, {}: each is pinned", stem(&file));
        trials.push(checker.trial(title, move |checker| pinned(rendered(checker, &file, &[])?)));
    }
    let dev = |checker: &Checker| cluster(checker, "dev").cloned();
    trials.extend(mutations.trials_of(checker, "add-ons: each is pinned", dev, pinned));
    trials
}

/// The add-ons with a chart of somebody else's.
pub fn with_charts() -> Vec<String> {
    let below = |directory: &str| {
        let entries = root().join(directory).read_dir();
        let entries = entries.expect("a directory of the project");
        entries.map(|entry| entry.expect("it can be listed").path())
    };
    let paths = below(ADDONS).chain(below(ALTERNATIVES));
    let addons = paths.filter(|path| path.join("values.yaml").is_file());
    let mut addons: Vec<String> = addons.map(|path| stem(&path)).collect();
    addons.sort();
    addons
}

fn pinned(rendered: &Rendered) -> Result<()> {
    RULES["add-ons: each is pinned"].check(&[("added", &rendered.for_rules()?)])
}
