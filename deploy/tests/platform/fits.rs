//! What is named and there has to fit as well: a listener takes the route, a project the
//! Application, Prometheus the monitor, and some node the label.

use anyhow::{Result, ensure};
use deploy_tests::{
    checker::{Checker, none},
    mutation::{Mutations, fails},
};
use libtest_mimic::Trial;

use crate::{
    facts::RULES,
    world::{self, World},
};

/// A rule, and a kind that it is of.
const FITS: [(&str, &str); 5] = [
    ("a listener takes each route", "HTTPRoute"),
    ("a project takes each Application", "Application"),
    ("Prometheus takes each monitor", "PodMonitor"),
    ("some node has what a shim selects", "Shim"),
    ("Kong lets in what the pods can take", "SpinApp"),
];

pub fn trials(checker: &Checker, mutations: &Mutations) -> Vec<Trial> {
    let mut trials = Vec::new();
    for (name, kind) in FITS {
        trials.push(checker.trial(format!("fits: {name}"), move |checker| {
            let worlds = world::all(checker)?;
            let some = worlds
                .iter()
                .any(|world| world.of_kind(kind).next().is_some());
            ensure!(some, "there is no {kind}");
            let of_world = |world: &World| {
                let found = problems(name, world).into_iter();
                found
                    .map(|found| format!("{}: {found}", world.name))
                    .collect::<Vec<_>>()
            };
            none(worlds.iter().flat_map(of_world))
        }));
        for [world, object, pointer, value, says] in mutations.rows(&format!("fits, {name}")) {
            let title = format!("fits: {value} at {pointer} of {object} fails");
            trials.push(checker.trial(title, move |checker| {
                let world = world::named(checker, &world)?.with(&object, &pointer, &value)?;
                fails(none(problems(name, &world)) as Result<()>, &says)
            }));
        }
    }
    trials
}

fn problems(name: &str, world: &World) -> Vec<String> {
    let (objects, addons, labels) = world.for_rules();
    RULES[&format!("fits: {name}")].problems(&[
        ("objects", &objects),
        ("addons", &addons),
        ("labels", &labels),
    ])
}
