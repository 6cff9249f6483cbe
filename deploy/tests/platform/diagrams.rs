//! The diagrams in the documents: each is drawn as GitHub does, and measured.
//!
//! The pictures are in target/diagrams afterwards, in both themes.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use deploy_tests::mutation::{Mutations, fails};
use libtest_mimic::Trial;
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
    for [name, text, says] in mutations.rows("diagrams") {
        trials.push(Trial::test(format!("diagrams: {name} fails"), move || {
            let tree = TempDir::new()?;
            let diagram = json!({"name": "test", "file": "test.md", "line": 1, "text": text});
            Ok(fails(drawn(&[diagram], tree.path()), &says)?)
        }));
    }
    trials
}

/// Every block of ```` ```mermaid ```` in the documents.
fn diagrams(tree: &Path) -> Result<Vec<Value>> {
    let mut all: Vec<Value> = Vec::new();
    for document in links::documents(tree)? {
        let mut block: Option<(usize, String)> = None;
        for (at, line) in document.text.lines().enumerate() {
            match &mut block {
                None if line.trim() == "```mermaid" => block = Some((at + 2, String::new())),
                Some((first, text)) if line.trim() == "```" => {
                    let stem = document.name.replace(['/', '.'], "-");
                    all.push(json!({
                        "name": format!("{stem}-{first}"),
                        "file": document.name,
                        "line": first,
                        "text": text,
                    }));
                    block = None;
                }
                Some((_, text)) => {
                    text.push_str(line);
                    text.push('\n');
                }
                None => {}
            }
        }
        ensure!(block.is_none(), "{}: a diagram has no end", document.name);
    }
    Ok(all)
}

/// Draws them into `directory`, and says what is wrong with them.
fn drawn(diagrams: &[Value], directory: &Path) -> Result<()> {
    // Chromium writes to its home, whatever its profile is.
    let home = TempDir::new()?;
    let mut child = Command::new("node")
        .arg(root().join("deploy/tests/platform/diagrams.mjs"))
        .arg(find_or_fetch("chromium")?)
        .arg(node::packages("playwright")?)
        .arg(node::packages("mermaid")?)
        .arg(directory)
        .env("HOME", home.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("`node` does not start")?;
    let mut input = child.stdin.take().context("stdin is piped")?;
    input.write_all(&serde_json::to_vec(diagrams)?)?;
    drop(input);
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    ensure!(output.status.success(), "{said}");
    Ok(())
}
