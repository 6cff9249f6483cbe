//! What one object says of another: it has to be there, in the same cluster.
//!
//! Where a reference stands and what it may name is a row of facts.yaml. What looks like a reference
//! and is in no row fails as well: nobody would check it.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};
use deploy_tests::{
    checker::{Checker, none},
    mutation::{Mutations, fails},
};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::{
    facts::{FACTS, Rule},
    world::{self, Thing, World, shown, thing},
};

impl Rule {
    /// The names in a text.
    fn names<'a>(&self, text: &'a str) -> Vec<&'a str> {
        let text = text.strip_prefix(self.prefix.as_str()).unwrap_or(text);
        match &self.separator {
            Some(separator) => text.split(separator.as_str()).map(str::trim).collect(),
            None => vec![text],
        }
    }
}

/// One reference.
struct Reference {
    /// Its row in facts.yaml.
    rule: usize,
    object: usize,
    /// Where in the object.
    at: String,
    /// What it may lead to; one is enough.
    targets: Vec<Thing>,
}

/// Everything in an object, by its JSON Pointer.
type Spots<'a> = Vec<(String, &'a Value)>;

fn references(world: &World) -> Vec<Reference> {
    let mut all = Vec::new();
    for (object, placed) in world.objects.iter().enumerate() {
        let spots = spots(&placed.object);
        let rules = FACTS.references.iter().enumerate();
        for (rule, row) in rules.filter(|(_, row)| placed.is(&row.from)) {
            for (at, text) in matching(&spots, &row.at) {
                let Some(text) = text.as_str().filter(|text| !text.is_empty()) else {
                    continue;
                };
                // Only beside a name; `kind` at the top is the object's own.
                let parent = at.strip_suffix("/name");
                let parent = parent.filter(|_| !at.starts_with("/metadata"));
                let beside = |key: &str| {
                    let pointer = format!("{}/{key}", parent?);
                    placed.object.pointer(&pointer)?.as_str()
                };
                let kind = beside("kind").or(row.unsaid.as_deref());
                let kinds = row
                    .to
                    .iter()
                    .filter(|to| kind.is_none_or(|kind| kind == *to));
                let kinds: Vec<&String> = kinds.collect();
                let namespace = beside("namespace").unwrap_or(&placed.namespace);
                for name in row.names(text) {
                    let targets = kinds.iter().map(|kind| thing(kind, namespace, name));
                    let (at, targets) = (at.clone(), targets.collect());
                    all.push(Reference {
                        rule,
                        object,
                        at,
                        targets,
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
    for Reference {
        rule,
        object,
        at,
        targets,
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
        for (_, pattern) in FACTS
            .no_references
            .iter()
            .filter(|(kind, _)| placed.is(kind))
        {
            known.extend(matching(&spots, pattern).map(|(at, _)| at.as_str()));
        }
        for (at, value) in &spots {
            let key = at.rsplit('/').next().unwrap_or_default();
            let mut endings = FACTS.reference_endings.iter();
            let looks = !value.is_boolean() && endings.any(|ending| key.ends_with(ending));
            let empty = [json!(null), json!(""), json!({}), json!([])].contains(value);
            let below = format!("{at}/");
            let is_known = |known: &&str| known == at || known.starts_with(&below);
            if looks && !empty && !known.iter().any(is_known) {
                problems.insert(format!("{}: nobody checks {at}", placed.shown()));
            }
        }
    }
    problems
}

pub fn trials(checker: &Checker, mutations: &Mutations) -> Vec<Trial> {
    let mut trials = Vec::new();
    for name in world::names() {
        let title = format!("references, {name}: what is named is there");
        trials.push(checker.trial(title, move |checker| {
            none(problems(world::named(checker, &name)?))
        }));
    }
    for (index, Rule { from, at, to, .. }) in FACTS.references.iter().enumerate() {
        let to = to.join(" or ");
        let title = format!("references, {from} {at}: a {to} that is not there is missed");
        trials.push(checker.trial(title, move |checker| missed(world::all(checker)?, index)));
    }
    for [what, world, object, pointer, value, says] in mutations.rows("references") {
        trials.push(
            checker.trial(format!("references: {what} fails"), move |checker| {
                let world = world::named(checker, &world)?.with(&object, &pointer, &value)?;
                assert_eq!(problems(&world).len(), 1, "it says something else as well");
                fails(none(problems(&world)), &says)
            }),
        );
    }
    trials
}

/// Takes a reference of this rule, and has it name what is not there.
fn missed(worlds: &[World], rule: usize) -> Result<()> {
    let mut found = worlds.iter().filter_map(|world| {
        let mut references = references(world).into_iter();
        Some((world, references.find(|found| found.rule == rule)?))
    });
    let found = found.next();
    let (
        world,
        Reference {
            object,
            at,
            targets,
            ..
        },
    ) = found.context("no object has such a reference: the rule checks nothing")?;
    let mut world = world.clone();
    let placed = &mut world.objects[object];
    let Some(Value::String(text)) = placed.object.pointer_mut(&at) else {
        bail!("{}: {at} is no text", placed.shown());
    };
    text.push_str("-gone");
    let from = placed.shown();
    let (.., name) = targets.last().context("it may name nothing")?;
    let says = |problem: &String| {
        problem.starts_with(&format!("{from}: {at} names "))
            && problem.ends_with(&format!("{name}-gone, which nobody makes"))
    };
    let problems = problems(&world);
    ensure!(problems.iter().any(says), "it says {problems:?}");
    Ok(())
}
