//! Break one thing, and the check must fail: the tables of mutations, and what applies them.
//!
//! `mutations/TEST.yaml` has the mutations of a test by the name of the check, one row each. A row of
//! the tree is `[file, from, to, says]`: in a copy of the tree, each `from` in `file` becomes `to`,
//! and the check's error then contains `says`. Other checks have rows of their own.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::Command,
};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tempfile::TempDir;
use tools::root;

use crate::{
    checker::{Checker, trial},
    objects::title,
    once::Once,
    yaml,
};

/// The mutations of one test, by check.
pub struct Mutations {
    rows: BTreeMap<String, Vec<Vec<String>>>,
    used: RefCell<BTreeSet<String>>,
}

impl Mutations {
    /// Reads `mutations/TEST.yaml`.
    pub fn of(test: &str) -> Result<Self> {
        let file = root().join(format!("deploy/tests/mutations/{test}.yaml"));
        Ok(Self {
            rows: yaml(&file)?,
            used: RefCell::default(),
        })
    }

    /// The rows of `check`, each of which has `N` entries.
    ///
    /// # Panics
    ///
    /// If there are none, or one has more or fewer entries.
    pub fn rows<const N: usize>(&self, check: &str) -> Vec<[String; N]> {
        self.used.borrow_mut().insert(check.to_owned());
        let rows = self.rows.get(check);
        let rows = rows.unwrap_or_else(|| panic!("there are no mutations for {check:?}"));
        let exact = |row: &Vec<String>| {
            <[String; N]>::try_from(row.clone())
                .unwrap_or_else(|row| panic!("{check:?} has a row without {N} entries: {row:?}"))
        };
        rows.iter().map(exact).collect()
    }

    /// A trial of the tree as it is, and one for each of the check's mutations.
    pub fn trials<C>(&self, check: &str, run: C) -> Vec<Trial>
    where
        C: Fn(&Path) -> Result<()> + Clone + Send + 'static,
    {
        self.trials_below("", check, check, run)
    }

    /// [`Mutations::trials`], under the name `title`, with the mutations of files below `prefix`.
    pub fn trials_below<C>(&self, prefix: &str, title: &str, check: &str, run: C) -> Vec<Trial>
    where
        C: Fn(&Path) -> Result<()> + Clone + Send + 'static,
    {
        let unchanged = run.clone();
        let mut trials = vec![trial(
            format!("{title}: passes"),
            move || unchanged(&root()),
        )];
        for [file, from, to, says] in self.rows(check) {
            assert!(root().join(&file).is_file(), "there is no {file}");
            if !file.starts_with(prefix) {
                continue;
            }
            let run = run.clone();
            let (new, old) = (first_line(&to), first_line(&from));
            let title = format!("{title}: {new:?} for {old:?} in {file} fails");
            trials.push(trial(title, move || {
                fails(run(mutate(&file, &from, &to)?.path()), &says)
            }));
        }
        trials
    }

    /// A trial of what `read` gives, and one for each of the check's mutations of its JSON, in rows
    /// `[what, from, to, says]`.
    pub fn trials_of<T>(
        &self,
        checker: &Checker,
        check: &str,
        read: fn(&Checker) -> Result<T>,
        run: fn(&T) -> Result<()>,
    ) -> Vec<Trial>
    where
        T: Serialize + DeserializeOwned + 'static,
    {
        let mut trials = vec![checker.trial(check, move |checker| run(&read(checker)?))];
        for [what, from, to, says] in self.rows(check) {
            trials.push(
                checker.trial(format!("{check}: {what} fails"), move |checker| {
                    fails(run(&rewritten(&read(checker)?, &from, &to)?), &says)
                }),
            );
        }
        trials
    }

    /// Refuses a table with mutations that no check has asked for.
    ///
    /// # Panics
    ///
    /// With their names.
    pub fn assert_all_used(&self) {
        let used = self.used.borrow();
        let unused = self.rows.keys().filter(|name| !used.contains(*name));
        let unused: Vec<_> = unused.collect();
        assert!(
            unused.is_empty(),
            "no check has these mutations: {unused:?}"
        );
    }
}

/// A copy of the tree, as Git has it, with `to` for each `from` in `file`.
pub fn mutate(file: &str, from: &str, to: &str) -> Result<TempDir> {
    let tree = TempDir::new()?;
    for name in tracked()? {
        let (from, to) = (root().join(name), tree.path().join(name));
        fs::create_dir_all(to.parent().context("it is in a directory")?)?;
        if from.is_dir() {
            symlink(fs::read_link(from)?, to)?; // the chart's migrations
        } else {
            fs::copy(from, to)?;
        }
    }
    let path = tree.path().join(file);
    let text = fs::read_to_string(&path).with_context(|| format!("there is no {file}"))?;
    fs::write(
        path,
        replaced(&text, from, to).with_context(|| file.to_owned())?,
    )?;
    Ok(tree)
}

/// `text` with `to` for each `from`, which it has to hold: a mutation that changes nothing is none.
pub fn replaced(text: &str, from: &str, to: &str) -> Result<String> {
    ensure!(text.contains(from), "there is no {from:?} to replace");
    Ok(text.replace(from, to))
}

/// `value` with `to` for each `from` in its JSON.
pub fn rewritten<T: Serialize + DeserializeOwned>(value: &T, from: &str, to: &str) -> Result<T> {
    let json = replaced(&serde_json::to_string(value)?, from, to)?;
    Ok(serde_json::from_str(&json)?)
}

/// Puts `value` (YAML) where `pointer` (RFC 6901) points to in the one of `objects` that is called
/// `Kind name`. A member may be new.
pub fn set<'a>(
    objects: impl IntoIterator<Item = &'a mut Value>,
    called: &str,
    pointer: &str,
    value: &str,
) -> Result<()> {
    let mut found = objects.into_iter().filter(|object| title(object) == called);
    let object = found
        .next()
        .with_context(|| format!("there is no {called}"))?;
    ensure!(found.next().is_none(), "there are two of {called}");
    let (parent, key) = pointer.rsplit_once('/').context("it is a pointer")?;
    let parent = object.pointer_mut(parent);
    let parent = parent.with_context(|| format!("{called} has no {pointer}"))?;
    let key = key.replace("~1", "/").replace("~0", "~");
    let value = yaml_serde::from_str(value)?;
    match parent {
        Value::Array(items) => {
            let index: usize = key.parse()?;
            *items.get_mut(index).context("it has that entry")? = value;
        }
        _ => parent[key] = value,
    }
    Ok(())
}

/// Whether a check failed, and its error contains `says`.
pub fn fails<T, E: Into<anyhow::Error>>(outcome: Result<T, E>, says: &str) -> Result<()> {
    let error = outcome.err().context("it passes")?;
    let said = format!("{:#}", error.into());
    ensure!(said.contains(says), "it does not say {says:?}, but: {said}");
    Ok(())
}

/// The files and links that Git knows, and those that are new and not ignored.
pub fn tracked() -> Result<&'static [String]> {
    static TRACKED: Once<Vec<String>> = Once::new();
    Ok(TRACKED.get("", list)?)
}

fn list() -> Result<Vec<String>> {
    let output = Command::new("git")
        // In a container, the checkout may be somebody else's. Names are all that is asked for.
        .args(["-c", "safe.directory=*"])
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .context("`git` does not start")?;
    let names = String::from_utf8(output.stdout)?;
    // Not what was deleted.
    let names = names.lines().filter(|name| root().join(name).exists());
    let names: Vec<String> = names.map(str::to_owned).collect();
    ensure!(!names.is_empty(), "git knows no file of the project");
    Ok(names)
}

fn first_line(text: &str) -> &str {
    text.trim().lines().next().unwrap_or_default()
}
