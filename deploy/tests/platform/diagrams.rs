//! The diagrams in the documents: each is drawn as GitHub does, and measured.
//!
//! The pictures are in target/diagrams afterwards, in both themes.

use std::{fs, path::Path, sync::Arc};

use anyhow::{Result, anyhow, ensure};
use deploy_tests::{
    checker::{input, succeeded},
    mutation::{Mutations, fails},
    once::Once,
};
use libtest_mimic::Trial;
use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag};
use serde_json::{Value, json};
use tempfile::TempDir;
use tools::{find_or_fetch, node, root, target};

use crate::links;

pub fn trials(mutations: &Mutations) -> Vec<Trial> {
    let mut trials = vec![Trial::test("diagrams: each can be read", || {
        let all = diagrams(&root())?;
        if all.is_empty() {
            return Err("there is no diagram".into());
        }
        // A picture is named by its line: none of an earlier run may stay.
        let directory = target().join("diagrams");
        if directory.exists() {
            fs::remove_dir_all(&directory)?;
        }
        Ok(drawn(&all, &directory)?)
    })];
    let rows: Vec<[String; 3]> = mutations.rows("diagrams");
    let broken = rows.iter().map(|[name, text, _]| {
        json!({"name": name, "file": format!("{name}.md"), "line": 1, "text": text})
    });
    let broken = Arc::new(broken.collect::<Vec<_>>());
    for [name, _, says] in rows {
        let broken = Arc::clone(&broken);
        trials.push(Trial::test(format!("diagrams: {name} fails"), move || {
            let problems = problems(&broken)?.lines();
            let its = problems.filter(|line| line.starts_with(&format!("{name}.md:")));
            let its: Vec<&str> = its.collect();
            let outcome = if its.is_empty() {
                Ok(())
            } else {
                Err(anyhow!(its.join("\n")))
            };
            Ok(fails(outcome, &says)?)
        }));
    }
    trials
}

/// What is wrong with these, which are drawn once, in one browser.
fn problems(diagrams: &[Value]) -> Result<&'static String> {
    static PROBLEMS: Once<String> = Once::new();
    PROBLEMS.get("", || {
        let drawn = drawn(diagrams, TempDir::new()?.path());
        Ok(drawn
            .err()
            .map_or_else(String::new, |error| format!("{error:#}")))
    })
}

/// Every block of ```` ```mermaid ```` in the documents.
fn diagrams(tree: &Path) -> Result<Vec<Value>> {
    let mut all = Vec::new();
    for (file, document) in links::documents(tree)? {
        let mut events = Parser::new(&document).into_offset_iter();
        while let Some((event, block)) = events.next() {
            if event != Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced("mermaid".into()))) {
                continue;
            }
            ensure!(
                document[block.clone()].ends_with("```"),
                "{file}: a diagram has no end"
            );
            let parts = events.by_ref().map_while(|(event, _)| match event {
                Event::Text(text) => Some(text.into_string()),
                _ => None,
            });
            let line = links::line_of(&document, block.start) + 1;
            let name = format!("{}-{line}", file.replace(['/', '.'], "-"));
            let text: String = parts.collect();
            all.push(json!({"name": name, "file": file, "line": line, "text": text}));
        }
    }
    Ok(all)
}

/// Draws them into `directory`, and says what is wrong with them.
fn drawn(diagrams: &[Value], directory: &Path) -> Result<()> {
    // Chromium writes to its home, whatever its profile is.
    let home = TempDir::new()?;
    succeeded(
        node::command()?
            .arg(root().join("deploy/tests/platform/diagrams.mjs"))
            .arg(find_or_fetch("chromium")?)
            .arg(node::packages("playwright")?)
            .arg(node::packages("mermaid")?)
            .arg(directory)
            .env("HOME", home.path())
            .stdin(input(&json!(diagrams).to_string())?),
    )
    .map(drop)
}
