//! The links in the documents: what a relative one points at is there, its heading too.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::{Result, ensure};
use deploy_tests::mutation::{Mutations, mutate, tracked};
use libtest_mimic::Trial;
use pulldown_cmark::{Event, Parser, Tag, TagEnd};

/// What a document links to, each with its line, and what can be linked to in it.
#[derive(Default)]
struct Links {
    to: Vec<(usize, String)>,
    anchors: BTreeSet<String>,
}

pub fn trials(mutations: &Mutations) -> Vec<Trial> {
    let mut trials = mutations.trials("links", whole);
    trials.push(Trial::test("links: what leads somewhere passes", || {
        let good = "# A `b`, c\n\n[x](architecture.md#architecture) [y](#a-b-c) [z](../deploy/)\n\
                    [w](https://gone.test)\n```sh\n[x](gone.md)\n```\nand `[x](gone.md)`\n";
        Ok(whole(
            mutate("docs/platform.md", "# Platform\n", good)?.path(),
        )?)
    }));
    trials
}

/// Every document of the tree, by its path from the root.
pub fn documents(tree: &Path) -> Result<BTreeMap<String, String>> {
    let names = tracked()?.iter().filter(|name| name.ends_with(".md"));
    names
        .map(|name| Ok((name.clone(), fs::read_to_string(tree.join(name))?)))
        .collect()
}

/// The line, from 1, of the byte at `offset`.
pub fn line_of(text: &str, offset: usize) -> usize {
    text[..offset].matches('\n').count() + 1
}

/// Whether every link of the tree's documents leads somewhere.
fn whole(tree: &Path) -> Result<()> {
    let documents = documents(tree)?;
    let links: BTreeMap<&str, Links> = (documents.iter())
        .map(|(name, text)| (name.as_str(), Links::of(text)))
        .collect();
    let root = tree.canonicalize()?;
    let mut broken = Vec::new();
    let mut count = 0;
    for (name, of) in &links {
        let directory = Path::new(name).parent().unwrap_or(Path::new(""));
        for (line, link) in &of.to {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            count += 1;
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match path {
                "" => root.join(name),
                path => root.join(directory).join(path),
            };
            let there = target.canonicalize().is_ok_and(|target| {
                let of = target.strip_prefix(&root).ok().and_then(Path::to_str);
                let heading = |name| {
                    links
                        .get(name)
                        .is_some_and(|of| of.anchors.contains(anchor))
                };
                of.is_some_and(|name| anchor.is_empty() || heading(name))
            });
            if !there {
                broken.push(format!("{name}:{line}: {link}"));
            }
        }
    }
    ensure!(broken.is_empty(), "broken links:\n{}", broken.join("\n"));
    ensure!(count > 0, "the documents have no link");
    Ok(())
}

impl Links {
    fn of(text: &str) -> Self {
        let mut links = Self::default();
        let mut heading = None;
        for (event, range) in Parser::new(text).into_offset_iter() {
            match event {
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    links
                        .to
                        .push((line_of(text, range.start), dest_url.into_string()));
                }
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::Text(part) | Event::Code(part) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&part);
                    }
                }
                Event::End(TagEnd::Heading(_)) => links.add(&heading.take().unwrap_or_default()),
                _ => {}
            }
        }
        links
    }

    /// Adds the anchor that GitHub gives to a heading: lower case, hyphens for spaces, and of all else
    /// only letters, digits, hyphens and underscores. The second of one name has a number.
    fn add(&mut self, heading: &str) {
        let kept = |c: &char| c.is_alphanumeric() || [' ', '-', '_'].contains(c);
        let anchor: String = heading.to_lowercase().chars().filter(kept).collect();
        let anchor = anchor.replace(' ', "-");
        let numbered = (1..).map(|number| format!("{anchor}-{number}"));
        for anchor in std::iter::once(anchor.clone()).chain(numbered) {
            if self.anchors.insert(anchor) {
                break;
            }
        }
    }
}
