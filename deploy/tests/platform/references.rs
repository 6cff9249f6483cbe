//! What one object says of another: it has to be there, in the same cluster.
//!
//! Where a reference stands and what it may name is a row of facts.yaml. What looks like a reference
//! and is in no row fails as well: nobody would check it.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};

use crate::world::{self, Thing, World, shown, thing};
use deploy_tests::{
    checker::Checker,
    facts::{FACTS, Reference},
};

/// One reference.
struct Found {
    rule: usize,
    object: usize,
    /// Where in the object.
    at: String,
    /// What it may lead to; one is enough.
    targets: Vec<Thing>,
}

/// Everything in an object, by its JSON Pointer.
type Spots<'a> = Vec<(String, &'a Value)>;

fn references(world: &World) -> Vec<Found> {
    let mut all = Vec::new();
    for (object, placed) in world.objects.iter().enumerate() {
        let spots = spots(&placed.object);
        for (rule, row) in FACTS
            .references
            .iter()
            .enumerate()
            .filter(|(_, row)| placed.is(&row.from))
        {
            for (at, text) in matching(&spots, &row.at) {
                let Some(text) = text.as_str().filter(|text| !text.is_empty()) else {
                    continue;
                };
                // Only beside a name; `kind` at the top is the object's own.
                let parent = at
                    .strip_suffix("/name")
                    .filter(|_| !at.starts_with("/metadata"));
                let beside = |key: &str| {
                    let pointer = format!("{}/{key}", parent?);
                    placed.object.pointer(&pointer)?.as_str()
                };
                let kind = beside("kind").or(row.unsaid.as_deref());
                let kinds = row.to.iter().map(String::as_str);
                let kinds: Vec<&str> = kinds
                    .filter(|to| kind.is_none_or(|kind| kind == *to))
                    .collect();
                let namespace = beside("namespace").unwrap_or(&placed.namespace);
                for name in row.names.of(text) {
                    let targets = kinds.iter().map(|kind| thing(kind, namespace, &name));
                    all.push(Found {
                        rule,
                        object,
                        at: at.clone(),
                        targets: targets.collect(),
                    });
                }
            }
        }
    }
    all
}

fn spots(object: &Value) -> Spots<'_> {
    fn walk<'a>(value: &'a Value, at: &str, spots: &mut Spots<'a>) {
        spots.push((at.to_owned(), value));
        match value {
            // A subchart's values, where it is not taken.
            Value::Object(fields) if fields.get("enabled") == Some(&json!(false)) => {}
            Value::Object(fields) => {
                for (key, field) in fields {
                    let key = key.replace('~', "~0").replace('/', "~1");
                    walk(field, &format!("{at}/{key}"), spots);
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    walk(item, &format!("{at}/{index}"), spots);
                }
            }
            _ => {}
        }
    }
    let mut spots = Vec::new();
    walk(object, "", &mut spots);
    spots
}

fn matching<'s, 'a>(
    spots: &'s Spots<'a>,
    pattern: &str,
) -> impl Iterator<Item = &'s (String, &'a Value)> {
    let pattern: Vec<&str> = pattern.split('/').collect();
    spots.iter().filter(move |(at, _)| {
        let words: Vec<&str> = at.split('/').collect();
        matches(&pattern, &words)
    })
}

fn matches(pattern: &[&str], words: &[&str]) -> bool {
    match (pattern, words) {
        ([], []) => true,
        (["**", rest @ ..], _) => (0..=words.len()).any(|skip| matches(rest, &words[skip..])),
        ([first, pattern @ ..], [word, words @ ..]) => {
            (*first == "*" || first == word) && matches(pattern, words)
        }
        _ => false,
    }
}

/// A sentence for each reference that leads nowhere, or that no rule knows.
fn problems(world: &World) -> BTreeSet<String> {
    let there = world.things();
    let references = references(world);
    let mut problems = BTreeSet::new();
    for Found {
        rule,
        object,
        at,
        targets,
        ..
    } in &references
    {
        let from = world.objects[*object].shown();
        if targets.is_empty() {
            let may = FACTS.references[*rule].to.join(" or ");
            problems.insert(format!("{from}: {at} is to name a {may}"));
        } else if !targets.iter().any(|target| there.contains(target)) {
            let targets: Vec<String> = targets.iter().map(shown).collect();
            let targets = targets.join(" or ");
            problems.insert(format!("{from}: {at} names {targets}, which nobody makes"));
        }
    }
    for (index, placed) in world.objects.iter().enumerate() {
        let spots = spots(&placed.object);
        let followed = references
            .iter()
            .filter(|reference| reference.object == index);
        let mut known: Vec<&str> = followed.map(|reference| reference.at.as_str()).collect();
        for [_, pattern, _] in FACTS
            .not_references
            .iter()
            .filter(|[kind, ..]| placed.is(kind))
        {
            known.extend(matching(&spots, pattern).map(|(at, _)| at.as_str()));
        }
        for (at, value) in &spots {
            let key = at.rsplit('/').next().unwrap_or_default();
            let flag = value.is_boolean();
            let looks = !flag
                && FACTS
                    .reference_endings
                    .iter()
                    .any(|ending| key.ends_with(ending));
            let empty = [json!(null), json!(""), json!({}), json!([])].contains(value);
            let below = format!("{at}/");
            if looks
                && !empty
                && !known
                    .iter()
                    .any(|known| known == at || known.starts_with(&below))
            {
                problems.insert(format!("{}: nobody checks {at}", placed.shown()));
            }
        }
    }
    problems
}

pub fn trials(checker: &Checker) -> Vec<Trial> {
    let mut trials = Vec::new();
    for name in world::names() {
        let checker = checker.clone();
        trials.push(Trial::test(
            format!("references, {name}: what is named is there"),
            move || none(&problems(world::named(&checker, &name)?)),
        ));
    }
    for (index, row) in FACTS.references.iter().enumerate() {
        let Reference { from, at, to, .. } = row;
        let to = to.join(" or ");
        let checker = checker.clone();
        trials.push(Trial::test(
            format!("references, {from} {at}: a {to} that is not there is missed"),
            move || missed(world::all(&checker)?, index),
        ));
    }
    let also = checker.clone();
    trials.push(Trial::test(
        "references: one that no rule knows is found",
        move || {
            let mut world = of_kind(world::all(&also)?, "HTTPRoute")?;
            let before = problems(&world);
            let route = world
                .objects
                .iter_mut()
                .find(|placed| placed.is("HTTPRoute"));
            let route = route.context("it is there")?;
            route.object["spec"]["cacheRef"] = json!({"name": "cache"});
            let from = route.shown();
            only(
                &(&problems(&world) - &before),
                &format!("{from}: nobody checks /spec/cacheRef"),
            )
        },
    ));
    let also = checker.clone();
    trials.push(Trial::test(
        "references: one to a kind that cannot be there is found",
        move || {
            let mut world = of_kind(world::all(&also)?, "HTTPRoute")?;
            let before = problems(&world);
            let route = world
                .objects
                .iter_mut()
                .find(|placed| placed.is("HTTPRoute"));
            let route = route.context("it is there")?;
            route.object["spec"]["parentRefs"][0]["kind"] = json!("Ingress");
            let from = route.shown();
            only(
                &(&problems(&world) - &before),
                &format!("{from}: /spec/parentRefs/0/name is to name a Gateway"),
            )
        },
    ));
    trials
}

/// A world with an object of this kind, to be broken.
fn of_kind(worlds: &[World], kind: &str) -> Result<World> {
    let world = worlds
        .iter()
        .find(|world| world.of_kind(kind).next().is_some());
    world
        .cloned()
        .with_context(|| format!("nothing is of kind {kind}"))
}

/// Takes a reference of this rule, and has it name what is not there.
fn missed(worlds: &[World], rule: usize) -> Result<(), Failed> {
    let first = |world: &World| {
        references(world)
            .into_iter()
            .find(|found| found.rule == rule)
    };
    let mut found = worlds
        .iter()
        .filter_map(|world| Some((world, first(world)?)));
    let Some((world, reference)) = found.next() else {
        return Err("no object has such a reference: the rule checks nothing".into());
    };
    let mut world = world.clone();
    let placed = &mut world.objects[reference.object];
    let Some(Value::String(text)) = placed.object.pointer_mut(&reference.at) else {
        return Err(format!("{}: {} is no text", placed.shown(), reference.at).into());
    };
    text.push_str("-gone");
    let from = placed.shown();
    let (.., name) = reference.targets.last().ok_or("it may name nothing")?;
    let sentence = format!("{from}: {} names ", reference.at);
    let problems = problems(&world);
    let said = |problem: &&String| {
        problem.starts_with(&sentence)
            && problem.ends_with(&format!("{name}-gone, which nobody makes"))
    };
    if problems.iter().find(said).is_none() {
        return Err(format!("it says {problems:?}").into());
    }
    Ok(())
}

fn none(problems: &BTreeSet<String>) -> Result<(), Failed> {
    if problems.is_empty() {
        return Ok(());
    }
    let problems: Vec<&str> = problems.iter().map(String::as_str).collect();
    Err(problems.join("\n").into())
}

pub fn only(problems: &BTreeSet<String>, sentence: &str) -> Result<(), Failed> {
    if problems.iter().ne([sentence]) {
        return Err(format!("it does not say {sentence:?} alone, but {problems:#?}").into());
    }
    Ok(())
}
