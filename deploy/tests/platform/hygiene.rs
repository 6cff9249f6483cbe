//! No secret, no account's number and no loose version in what Git keeps.
//!
//! Every check is made of the tree as it is, and of files in which something is wrong:
//! mutations/platform.yaml. What would be found there as a whole has placeholders in it, see
//! [`expanded`].

use std::{fs, path::Path, process::Command, sync::LazyLock};

use anyhow::{Context, Result, ensure};
use deploy_tests::mutation::{Mutations, fails, tracked};
use libtest_mimic::Trial;
use regex::{Captures, Regex};
use serde_json::Value;
use tempfile::TempDir;
use tools::{python, root};

use crate::tree::succeeded;

/// What looks like a secret and is none: the file, what its line says, and why it may.
type Exceptions = [[String; 3]];

/// Looks at these files of a tree.
type Check = fn(&Path, &[String], &Exceptions) -> Result<()>;

/// Images whose versions have two numbers: `postgres:17.6`.
const TWO_NUMBERS: [&str; 1] = ["postgres"];

/// Our own repository is the one thing that Argo CD follows.
const OURS: &str = "repoURL: https://github.com/example/hello.git";

pub fn trials(mutations: &Mutations) -> Vec<Trial> {
    let checks: [(&str, Check); 5] = [
        ("no secret", no_secret),
        ("no account's number", no_account),
        ("images are pinned", images_pinned),
        ("charts and revisions are exact", charts_exact),
        ("packages are exact", packages_exact),
    ];
    let allowed = mutations.rows::<3>("hygiene, no secrets");
    let mut trials = Vec::new();
    for (name, check) in checks {
        let exceptions = allowed.clone();
        trials.push(Trial::test(format!("hygiene: {name}"), move || {
            Ok(check(&root(), tracked()?, &exceptions)?)
        }));
        let planted = mutations.rows(&format!("hygiene, {name}"));
        for (index, [file, text, says]) in planted.into_iter().enumerate() {
            let exceptions = allowed.clone();
            trials.push(Trial::test(
                format!("hygiene: {name}: {says:?} is found, {index}"),
                move || {
                    let tree = TempDir::new()?;
                    let path = tree.path().join(&file);
                    fs::create_dir_all(path.parent().ok_or("it is in a directory")?)?;
                    fs::write(path, expanded(&text)?)?;
                    Ok(fails(check(tree.path(), &[file], &exceptions), &says)?)
                },
            ));
        }
    }
    trials.push(Trial::test(
        "hygiene: every exception is needed",
        move || Ok(all_needed(&root(), tracked()?, &allowed)?),
    ));
    trials
}

/// A text with so many letters for `{letters:8}`, and capitals, digits and hexadecimal digits likewise.
fn expanded(text: &str) -> Result<String> {
    let placeholder = Regex::new(r"\{(letters|capitals|digits|hex):(\d+)\}")?;
    let expanded = placeholder.replace_all(text, |found: &Captures| {
        let alphabet: Vec<char> = match &found[1] {
            "digits" => ('1'..='4').collect(),
            "hex" => ('0'..='9').chain('a'..='f').collect(),
            "capitals" => ('A'..='Z').chain('0'..='9').collect(),
            _ => ('a'..='z').chain('A'..='Z').chain('0'..='9').collect(),
        };
        let count = found[2].parse().unwrap_or(0);
        let letter = |index: usize| alphabet[(index * 7 + 3) % alphabet.len()];
        (0..count).map(letter).collect::<String>()
    });
    Ok(expanded.into_owned())
}

/// Each line of the text files whose name is wanted, with its file and number.
fn lines(
    tree: &Path,
    files: &[String],
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<(String, usize, String)>> {
    let mut lines = Vec::new();
    for file in files
        .iter()
        .filter(|file| wanted(file) && tree.join(file).is_file())
    {
        // A picture has no lines.
        let text = String::from_utf8(fs::read(tree.join(file))?).unwrap_or_default();
        let numbered = (1..).zip(text.lines());
        lines.extend(numbered.map(|(number, line)| (file.clone(), number, line.to_owned())));
    }
    ensure!(!lines.is_empty(), "there is nothing to look at");
    Ok(lines)
}

fn none(problems: &[String]) -> Result<()> {
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    Ok(())
}

struct Suspect {
    file: String,
    number: usize,
    line: String,
    what: String,
}

fn no_secret(tree: &Path, files: &[String], exceptions: &Exceptions) -> Result<()> {
    let mut suspects = suspects(tree, files)?;
    suspects.retain(|suspect| {
        !suspect.is_pin() && !exceptions.iter().any(|exception| suspect.is(exception))
    });
    let problems = suspects.iter();
    let problems = problems.map(
        |Suspect {
             file, number, what, ..
         }| format!("{file}:{number}: {what}"),
    );
    none(&problems.collect::<Vec<_>>())
}

fn all_needed(tree: &Path, files: &[String], exceptions: &Exceptions) -> Result<()> {
    let suspects = suspects(tree, files)?;
    for exception in exceptions {
        let needed = suspects.iter().any(|suspect| suspect.is(exception));
        ensure!(needed, "nothing is found that {exception:?} would allow");
    }
    Ok(())
}

impl Suspect {
    /// Whether it is the digest or commit that pins something.
    fn is_pin(&self) -> bool {
        self.what == "Hex High Entropy String"
            && ["evision: ", "sha256: ", "@sha256:"]
                .iter()
                .any(|key| self.line.contains(key))
    }

    fn is(&self, [file, says, _]: &[String; 3]) -> bool {
        self.file == *file && self.line.contains(says)
    }
}

fn suspects(tree: &Path, files: &[String]) -> Result<Vec<Suspect>> {
    let output = Command::new(python::environment("secrets")?.join("detect-secrets"))
        .args(["scan", "--no-verify", "--all-files"])
        // A comment beside a secret makes it none for others; here the exceptions do.
        .arg("--disable-filter")
        .arg("detect_secrets.filters.allowlist.is_line_allowlisted")
        // has_literal_password instead.
        .args(["--disable-plugin", "KeywordDetector"])
        .args(files)
        .current_dir(tree)
        .output()?;
    let report: Value = serde_json::from_str(&succeeded(&output)?)?;
    let results = report["results"].as_object();
    let mut suspects = Vec::new();
    for (file, found) in results.context("it reports results")? {
        let text = fs::read_to_string(tree.join(file))?;
        for suspect in found.as_array().into_iter().flatten() {
            let number = suspect["line_number"]
                .as_u64()
                .context("it says the line")?;
            let number = usize::try_from(number)?;
            suspects.push(Suspect {
                file: file.clone(),
                number,
                // It counts what it makes of YAML's braces as lines of their own.
                line: text.lines().nth(number - 1).unwrap_or(&text).to_owned(),
                what: suspect["type"].as_str().unwrap_or_default().to_owned(),
            });
        }
    }
    let lines = lines(tree, files, |_| true)?.into_iter();
    suspects.extend(
        lines
            .filter(|(file, _, line)| has_literal_password(file, line))
            .map(|(file, number, line)| Suspect {
                file,
                number,
                line,
                what: "a literal password".to_owned(),
            }),
    );
    Ok(suspects)
}

/// Whether a line gives a key whose value is a secret one that stands there as it is: not a place where
/// it comes from, such as `{{ … }}`, `$NAME`, a block or a call. `caSecret` and its like are no such
/// keys: in Kubernetes, they have a Secret's name.
///
/// detect-secrets has a rule for that, which takes each mention of a Secret for one, and counts YAML's
/// lines otherwise than people do.
fn has_literal_password(file: &str, line: &str) -> bool {
    static GIVEN: LazyLock<Regex> = LazyLock::new(|| {
        let given = r#"(?ix)(?:password|passwd|passphrase|token|(?:api|access)[_-]?key|private[_-]key|client[_-]secret)
            ["']?\s*[:=]\s*(["']*)([a-z0-9][^\s"'},${(<…]*)(?:[\s"'},]|$)"#;
        Regex::new(given).expect("a regular expression")
    });
    let bare = [".yaml", ".yml", ".sh", ".env", ".toml", ".txt"];
    let bare = bare.iter().any(|extension| file.ends_with(extension));
    GIVEN.captures_iter(line).any(|found| {
        let is_value = !["true", "false", "null", "write"].contains(&&found[2]);
        is_value && (bare || !found[1].is_empty())
    })
}

fn no_account(tree: &Path, files: &[String], _: &Exceptions) -> Result<()> {
    let mut problems = Vec::new();
    // A version of a Go module may end with digits of a commit.
    let wanted = |file: &str| !file.starts_with("crates/tools/go/");
    for (file, number, line) in lines(tree, files, wanted)? {
        for word in line.split(|character: char| !character.is_ascii_alphanumeric()) {
            let account = word.len() == 12 && word.bytes().all(|byte| byte.is_ascii_digit());
            if account && word != "0".repeat(12) {
                problems.push(format!("{file}:{number}: an account's number: {word}"));
            }
        }
    }
    none(&problems)
}

/// `1.2.3`, and what may come after it: `v1.2.3-distroless`.
fn exact(version: &str, numbers: usize) -> bool {
    let exact = Regex::new(&format!(r"^v?\d+(\.\d+){{{},}}([-+]|$)", numbers - 1));
    exact.is_ok_and(|exact| exact.is_match(version))
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

pub fn image_pinned(image: &str) -> bool {
    if let Some((_, digest)) = image.split_once("@sha256:") {
        return is_hex(digest, 64);
    }
    let name = image.rsplit('/').next().unwrap_or_default();
    name.split_once(':')
        .is_some_and(|(name, tag)| exact(tag, if TWO_NUMBERS.contains(&name) { 2 } else { 3 }))
}

/// What stands after one of the keys (`a|b`) on a line of YAML, also in braces. What a template says is
/// seen where it is rendered.
fn after<'a>(line: &'a str, keys: &str) -> Result<Option<&'a str>> {
    let line = line.split(" #").next().unwrap_or_default();
    let given = format!(r#"^(?:[-{{ ]*|.*, )(?:{keys}): +["']?([^"',{{}}]+)"#);
    let found = Regex::new(&given)?
        .captures(line)
        .filter(|_| !line.contains("{{"));
    Ok(found.and_then(|found| Some(found.get(1)?.as_str().trim())))
}

fn is_yaml(file: &str) -> bool {
    [".yaml", ".yml"].iter().any(|end| file.ends_with(end))
}

fn images_pinned(tree: &Path, files: &[String], _: &Exceptions) -> Result<()> {
    let mut problems = Vec::new();
    // Those of .github are the workflows' (tests/workflows).
    let wanted = |file: &str| is_yaml(file) && !file.starts_with(".github/");
    for (file, number, line) in lines(tree, files, wanted)? {
        let image = after(&line, "image|spinImage|imageName")?.filter(|image| !image_pinned(image));
        let tag = after(&line, "tag")?.filter(|tag| !tag.contains("@sha256:") && !exact(tag, 3));
        let found = image.or(tag).into_iter();
        problems.extend(found.map(|found| format!("{file}:{number}: not pinned: {found}")));
    }
    none(&problems)
}

fn charts_exact(tree: &Path, files: &[String], _: &Exceptions) -> Result<()> {
    let mut problems = Vec::new();
    let lines = lines(tree, files, is_yaml)?;
    for (index, (file, number, line)) in lines.iter().enumerate() {
        let of_chart = file.ends_with("/addon.yaml") || file.ends_with("/Chart.yaml");
        let version = after(line, "version")?.filter(|version| of_chart && !exact(version, 3));
        let around = &lines[index.saturating_sub(1)..lines.len().min(index + 2)];
        let ours = || around.iter().any(|(_, _, line)| line.contains(OURS));
        let revision = after(line, "targetRevision")?
            .filter(|revision| !ours() && !is_hex(revision, 40) && !exact(revision, 3));
        let found = version.or(revision).into_iter();
        problems.extend(found.map(|found| format!("{file}:{number}: not exact: {found}")));
    }
    none(&problems)
}

fn packages_exact(tree: &Path, files: &[String], _: &Exceptions) -> Result<()> {
    let mut problems = Vec::new();
    for file in files
        .iter()
        .filter(|file| file.starts_with("crates/tools/"))
    {
        let text = fs::read_to_string(tree.join(file))?;
        if file.ends_with(".txt") {
            let text = text.replace("\\\n", "");
            for line in text.lines().filter(|line| !line.starts_with('#')) {
                let package = line.split(' ').next().unwrap_or_default();
                if !package.contains("==") {
                    problems.push(format!("{file}: not exact: {package}"));
                } else if !line.contains("--hash=sha256:") {
                    problems.push(format!("{file}: no digest: {package}"));
                }
            }
        }
        if file.ends_with("/package.json") {
            let said: Value = serde_json::from_str(&text)?;
            for (name, version) in said["dependencies"].as_object().into_iter().flatten() {
                if !version.as_str().is_some_and(|version| exact(version, 3)) {
                    problems.push(format!("{file}: not exact: {name} {version}"));
                }
            }
        }
    }
    none(&problems)
}
