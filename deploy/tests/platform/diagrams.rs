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
use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};
use tempfile::TempDir;
use tools::{find_or_fetch, node, root, target};

use crate::links;

/// What is drawn, and what is then said of it; the first line is line 1 of `test.md`.
const BROKEN: [(&str, &str, &str); 9] = [
    (
        "a syntax error",
        "flowchart LR\n  accTitle: Broken\n  a --> --> b\n  b --> c\n",
        "test.md:3: light: Parse error",
    ),
    (
        "lines that cross",
        "flowchart TB\n  accTitle: Broken\n  a & b & c --> d & e & f\n",
        "two lines cross: a to e, and b to d",
    ),
    (
        "nodes that overlap",
        "%%{init: {\"themeCSS\": \".node {transform: none}\"}}%%\n\
         flowchart LR\n  accTitle: Broken\n  a[one] --> b[two]\n",
        "two nodes overlap: \"one\" and \"two\"",
    ),
    (
        "a line through a title",
        "flowchart TB\n  accTitle: Broken\n  a --> b\n  subgraph s [a group of nodes]\n    b\n  end\n",
        "the line a to b goes through the title \"a group of nodes\"",
    ),
    (
        "a text that is larger than its box",
        "sequenceDiagram\n  accTitle: Broken\n  participant a as 1<br>2<br>3<br>4<br>5<br>6\n  a->>b: go\n",
        "the text is outside its box: \"1\"",
    ),
    (
        "a picture that is shrunk too far",
        "flowchart LR\n  accTitle: Broken\n  a[a node] --> b[a node] --> c[a node] --> d[a node] --> e[a node]\n  \
         e --> f[a node] --> g[a node] --> h[a node] --> i[a node] --> j[a node] --> k[a node]\n",
        "px high on GitHub, less than 10",
    ),
    (
        "colours of one theme",
        "flowchart LR\n  accTitle: Broken\n  a[one] --> b[two]\n  style a fill:#ffffff\n",
        "dark: the contrast is",
    ),
    (
        "no title for those who hear it",
        "flowchart LR\n  a --> b\n",
        "it has no accTitle",
    ),
    (
        "a kind that nothing measures",
        "pie\n  accTitle: Broken\n  \"a\": 1\n",
        "nothing measures a diagram of the kind pie",
    ),
];

pub fn trials() -> Vec<Trial> {
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
    for (name, text, expected) in BROKEN {
        trials.push(Trial::test(format!("diagrams: {name} fails"), move || {
            fails(text, expected)
        }));
    }
    trials
}

fn fails(text: &str, expected: &str) -> Result<(), Failed> {
    let tree = TempDir::new()?;
    let diagram = json!({"name": "test", "file": "test.md", "line": 1, "text": text});
    match drawn(&[diagram], tree.path()) {
        Ok(()) => Err("it passes".into()),
        Err(error) if error.to_string().contains(expected) => Ok(()),
        Err(error) => Err(format!("it says something else: {error}").into()),
    }
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
