//! The links in the documents: what a relative one points at is there, its heading too.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Component, Path, PathBuf},
};

use anyhow::{Result, ensure};
use deploy_tests::mutation::{Mutations, fails};
use libtest_mimic::Trial;
use tempfile::TempDir;
use tools::root;

/// Directories of what is fetched and built.
const NOT_OURS: [&str; 3] = ["target", "node_modules", ".git"];

/// A file of Markdown.
pub struct Document {
    /// Its path from the root of the tree.
    pub name: String,
    pub text: String,
}

pub fn trials(mutations: &Mutations) -> Vec<Trial> {
    let mut trials = vec![
        Trial::test("links: each leads somewhere", || Ok(whole(&root())?)),
        Trial::test("links: what leads somewhere passes", || {
            let good = "# A `b`, c\n\n[x](there.md#its-here) [y](#a-b-c) [z](sub/) [w](https://gone.test)\n\
                        ```sh\n[x](gone.md)\n```\nand `[x](gone.md)`";
            Ok(whole(tree(good)?.path())?)
        }),
    ];
    for [name, text, says] in mutations.rows("links") {
        trials.push(Trial::test(format!("links: {name} fails"), move || {
            Ok(fails(whole(tree(&text)?.path()), &says)?)
        }));
    }
    trials
}

fn tree(text: &str) -> Result<TempDir> {
    let tree = TempDir::new()?;
    fs::write(tree.path().join("one.md"), text)?;
    fs::write(tree.path().join("there.md"), "## It's here\n")?;
    fs::create_dir(tree.path().join("sub"))?;
    Ok(tree)
}

/// Every document of the tree, in the order of their names.
pub fn documents(tree: &Path) -> Result<Vec<Document>> {
    let mut found = Vec::new();
    let mut directories = vec![tree.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                if !NOT_OURS.iter().any(|name| entry.file_name() == *name) {
                    directories.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(Document {
                    name: path.strip_prefix(tree)?.to_string_lossy().into_owned(),
                    text: fs::read_to_string(&path)?,
                });
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// Whether every link of the tree's documents leads somewhere.
fn whole(tree: &Path) -> Result<()> {
    let documents = documents(tree)?;
    let headings: BTreeMap<&str, BTreeSet<String>> = documents
        .iter()
        .map(|document| (document.name.as_str(), anchors(&document.text)))
        .collect();
    let mut broken = Vec::new();
    let mut count = 0;
    for document in &documents {
        for (line, link) in links(&document.text) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            count += 1;
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if path.is_empty() {
                Some(PathBuf::from(&document.name))
            } else {
                beside(&document.name, path)
            };
            let there = target.is_some_and(|target| {
                let name = target.to_string_lossy();
                let heading = || {
                    let of = headings.get(name.as_ref());
                    of.is_some_and(|of| of.contains(anchor))
                };
                tree.join(&target).exists() && (anchor.is_empty() || heading())
            });
            if !there {
                broken.push(format!("{}:{line}: {link}", document.name));
            }
        }
    }
    ensure!(
        broken.is_empty(),
        "these lead nowhere:\n{}",
        broken.join("\n")
    );
    ensure!(count > 0, "the documents have no link");
    Ok(())
}

/// `path` as the document `from` says it, from the tree's root, unless it leads out of the tree.
fn beside(from: &str, path: &str) -> Option<PathBuf> {
    let mut result = PathBuf::from(from);
    result.pop();
    for part in Path::new(path).components() {
        match part {
            Component::Normal(part) => result.push(part),
            Component::CurDir => {}
            Component::ParentDir => {
                if !result.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(result)
}

/// What `](…)` names, with its line.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, line) in prose(text).lines().enumerate() {
        for part in line.split("](").skip(1) {
            if let Some((link, _)) = part.split_once(')') {
                found.push((at + 1, link.to_owned()));
            }
        }
    }
    found
}

/// The text with as many lines, and without what is code in it.
fn prose(text: &str) -> String {
    let mut prose = String::new();
    let (mut fenced, mut code) = (false, false);
    for line in text.lines() {
        if is_fence(line) {
            fenced = !fenced;
        } else if line.trim().is_empty() {
            // What a paragraph does not close is no code.
            code = false;
        } else if !fenced {
            for part in line.split_inclusive('`') {
                if !code {
                    prose.push_str(part);
                }
                if part.ends_with('`') {
                    code = !code;
                }
            }
        }
        prose.push('\n');
    }
    prose
}

fn is_fence(line: &str) -> bool {
    line.trim_start_matches(['>', ' ']).starts_with("```")
}

/// The anchors that GitHub gives to the headings: lower case, hyphens for spaces, and of all else
/// only letters, digits, hyphens and underscores.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut fenced = false;
    for line in text.lines() {
        if is_fence(line) {
            fenced = !fenced;
        }
        let heading = line.trim_start_matches('#');
        if fenced || heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let anchor: String = heading
            .trim()
            .to_lowercase()
            .chars()
            .filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect();
        let mut unique = anchor.clone();
        let mut count = 0;
        while !found.insert(unique.clone()) {
            count += 1;
            unique = format!("{anchor}-{count}");
        }
    }
    found
}
