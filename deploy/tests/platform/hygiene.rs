//! No secret, no account's number and no loose version in what Git keeps.
//!
//! Every check is made of the tree as it is, and of files in which something is wrong:
//! mutations/platform.yaml. What would be found there as a whole has placeholders in it, see
//! [`expanded`].

use std::{
    fs,
    path::Path,
    process::Command,
    sync::{LazyLock, OnceLock},
};

use anyhow::{Context, Result, ensure};
use deploy_tests::{
    checker::succeeded,
    mutation::{Mutations, fails, tracked},
    objects::{fields, list, text},
    once::Once,
};
use libtest_mimic::Trial;
use regex::{Captures, Regex};
use serde_json::Value;
use tempfile::TempDir;
use tools::{python, root};

/// Looks at these files of a tree.
type Check = fn(&Path, &[String]) -> Result<()>;

/// What looks like a secret and is none: the file, what its line says, and why it may.
static EXCEPTIONS: OnceLock<Vec<[String; 3]>> = OnceLock::new();

/// The one thing that Argo CD follows.
const OURS: &str = "repoURL: https://github.com/example/hello.git";

pub fn trials(mutations: &Mutations) -> Vec<Trial> {
    EXCEPTIONS.get_or_init(|| mutations.rows("hygiene, no secrets"));
    let checks: [(&str, Check); 5] = [
        ("no secret", no_secret),
        ("no account's number", no_account),
        ("images are pinned", images_pinned),
        ("charts and revisions are exact", charts_exact),
        ("packages are exact", packages_exact),
    ];
    let of_project = |name: &str, check: Check| {
        let name = format!("hygiene: {name}");
        Trial::test(name, move || Ok(check(&root(), tracked()?)?))
    };
    let mut trials = vec![of_project("every exception is needed", exceptions_needed)];
    for (name, check) in checks {
        trials.push(of_project(name, check));
        let planted = mutations.rows(&format!("hygiene, {name}"));
        for (index, [file, text, says]) in planted.into_iter().enumerate() {
            let name = format!("hygiene: {name}: {says:?} is found, {index}");
            trials.push(Trial::test(name, move || {
                let tree = TempDir::new()?;
                let path = tree.path().join(&file);
                fs::create_dir_all(path.parent().ok_or("it is in a directory")?)?;
                fs::write(path, expanded(&text)?)?;
                Ok(fails(check(tree.path(), &[file]), &says)?)
            }));
        }
    }
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

/// A file, the number of a line, and what the line says.
#[derive(Clone)]
struct Line(String, usize, String);

/// Each line of the text files whose name is wanted.
fn lines(tree: &Path, files: &[String], wanted: impl Fn(&str) -> bool) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    let is_file = |file: &&String| wanted(file) && tree.join(file).is_file();
    for file in files.iter().filter(is_file) {
        // A picture has no lines.
        let text = String::from_utf8(fs::read(tree.join(file))?).unwrap_or_default();
        let numbered = (1..).zip(text.lines());
        lines.extend(numbered.map(|(number, line)| Line(file.clone(), number, line.to_owned())));
    }
    ensure!(!lines.is_empty(), "there is nothing to look at");
    Ok(lines)
}

/// Fails with what is found on a line: of all lines, the one at an index.
fn none(lines: &[Line], found: impl Fn(&[Line], usize) -> Option<String>) -> Result<()> {
    let problem = |(index, Line(file, number, _)): (usize, &Line)| {
        Some(format!("{file}:{number}: {}", found(lines, index)?))
    };
    let problems: Vec<String> = lines.iter().enumerate().filter_map(problem).collect();
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    Ok(())
}

fn no_secret(tree: &Path, files: &[String]) -> Result<()> {
    let (lines, kinds): (Vec<Line>, Vec<String>) = suspects(tree, files)?.iter().cloned().unzip();
    none(&lines, |lines, index| {
        let (line, kind) = (&lines[index], &kinds[index]);
        // The digest or commit that pins something.
        let mut pins = ["evision: ", "sha256: ", "@sha256:"].iter();
        let pin = kind == "Hex High Entropy String" && pins.any(|key| line.2.contains(key));
        let mut exceptions = EXCEPTIONS.get().into_iter().flatten();
        let allowed = exceptions.any(|exception| is_allowed(line, exception));
        (!pin && !allowed).then(|| kind.clone())
    })
}

fn is_allowed(line: &Line, [file, says, _]: &[String; 3]) -> bool {
    line.0 == *file && line.2.contains(says)
}

fn exceptions_needed(tree: &Path, files: &[String]) -> Result<()> {
    let suspects = suspects(tree, files)?;
    for exception in EXCEPTIONS.get().into_iter().flatten() {
        let needed = suspects.iter().any(|(line, _)| is_allowed(line, exception));
        ensure!(needed, "nothing is found that {exception:?} would allow");
    }
    Ok(())
}

/// The lines with what looks like a secret, and of what kind. A tree is scanned once: for the project's,
/// that takes a minute.
fn suspects(tree: &Path, files: &[String]) -> Result<&'static Vec<(Line, String)>> {
    static SUSPECTS: Once<Vec<(Line, String)>> = Once::new();
    SUSPECTS.get(&tree.display().to_string(), || scan(tree, files))
}

fn scan(tree: &Path, files: &[String]) -> Result<Vec<(Line, String)>> {
    let mut scan = Command::new(python::environment("secrets")?.join("detect-secrets"));
    scan.args(["scan", "--no-verify", "--all-files"])
        // A comment beside a secret makes it none for others; here the exceptions do.
        .arg("--disable-filter")
        .arg("detect_secrets.filters.allowlist.is_line_allowlisted")
        // has_literal_password instead.
        .args(["--disable-plugin", "KeywordDetector"])
        .args(files)
        .current_dir(tree);
    let report: Value = serde_json::from_str(&succeeded(&mut scan)?)?;
    ensure!(report["results"].is_object(), "it reports no results");
    let mut suspects = Vec::new();
    for (file, found) in fields(&report, "/results") {
        let whole = fs::read_to_string(tree.join(file))?;
        for suspect in list(found, "") {
            let number = suspect["line_number"].as_u64();
            let number = usize::try_from(number.context("it says the line")?)?;
            // It counts what it makes of YAML's braces as lines of their own.
            let line = whole.lines().nth(number - 1).unwrap_or(&whole);
            let kind = text(suspect, "/type").to_owned();
            suspects.push((Line(file.clone(), number, line.to_owned()), kind));
        }
    }
    let mut lines = lines(tree, files, |_| true)?;
    lines.retain(|Line(file, _, text)| has_literal_password(file, text));
    let kind = || "a literal password".to_owned();
    suspects.extend(lines.into_iter().map(|line| (line, kind())));
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
        regex(given)
    });
    let bare = [".yaml", ".yml", ".sh", ".env", ".toml", ".txt"];
    let bare = bare.iter().any(|extension| file.ends_with(extension));
    GIVEN.captures_iter(line).any(|found| {
        let is_value = !["true", "false", "null", "write"].contains(&&found[2]);
        is_value && (bare || !found[1].is_empty())
    })
}

fn no_account(tree: &Path, files: &[String]) -> Result<()> {
    // A version of a Go module may end with digits of a commit.
    let wanted = |file: &str| !file.starts_with("crates/tools/go/");
    none(&lines(tree, files, wanted)?, |lines, index| {
        let mut words = lines[index].2.split(|c: char| !c.is_ascii_alphanumeric());
        let digits = |word: &str| word.len() == 12 && word.bytes().all(|c| c.is_ascii_digit());
        let account = words.find(|word| digits(word) && *word != "000000000000")?;
        Some(format!("an account's number: {account}"))
    })
}

/// `1.2.3`, and what may come after it: `v1.2.3-distroless`.
static EXACT: LazyLock<Regex> = LazyLock::new(|| regex(r"^v?\d+(\.\d+){2,}([-+]|$)"));

/// By a digest or an exact version; that of Postgres has two numbers.
static PINNED: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?x) @sha256:[[:xdigit:]]{64}$
        | ^ ([^@]*/)? ([^:@/]*:v?\d+(\.\d+){2,} | postgres:\d+\.\d+(\.\d+)*) ([-+]|$)",
    )
});

static COMMIT: LazyLock<Regex> = LazyLock::new(|| regex("^[[:xdigit:]]{40}$"));

fn regex(text: &str) -> Regex {
    Regex::new(text).expect("a regular expression")
}

pub fn image_pinned(image: &str) -> bool {
    PINNED.is_match(image)
}

/// What stands after one of the keys (`a|b`) on a line of YAML, also in braces. What a template says is
/// seen where it is rendered.
fn after<'a>(line: &'a str, keys: &str) -> Option<&'a str> {
    static GIVEN: Once<Regex> = Once::new();
    let line = line.split(" #").next().unwrap_or_default();
    let given = GIVEN.get(keys, || {
        let given = format!(r#"^(?:[-{{ ]*|.*, )(?:{keys}): +["']?([^"',{{}}]+)"#);
        Ok(Regex::new(&given)?)
    });
    let found = given.expect("a regular expression").captures(line);
    let found = found.filter(|_| !line.contains("{{"))?;
    Some(found.get(1)?.as_str().trim())
}

fn is_yaml(file: &str) -> bool {
    [".yaml", ".yml"].iter().any(|end| file.ends_with(end))
}

fn images_pinned(tree: &Path, files: &[String]) -> Result<()> {
    // Those of .github are the workflows' (tests/workflows).
    let wanted = |file: &str| is_yaml(file) && !file.starts_with(".github/");
    none(&lines(tree, files, wanted)?, |lines, index| {
        let line = &lines[index].2;
        let image = after(line, "image|spinImage|imageName").filter(|image| !image_pinned(image));
        let tag =
            after(line, "tag").filter(|tag| !tag.contains("@sha256:") && !EXACT.is_match(tag));
        Some(format!("not pinned: {}", image.or(tag)?))
    })
}

fn charts_exact(tree: &Path, files: &[String]) -> Result<()> {
    none(&lines(tree, files, is_yaml)?, |lines, index| {
        let Line(file, _, text) = &lines[index];
        let of_chart = file.ends_with("/addon.yaml") || file.ends_with("/Chart.yaml");
        let version = after(text, "version").filter(|version| of_chart && !EXACT.is_match(version));
        let mut around = lines[index.saturating_sub(1)..].iter().take(3);
        let ours = around.any(|line| line.2.contains(OURS));
        let revision = after(text, "targetRevision")
            .filter(|revision| !ours && !COMMIT.is_match(revision) && !EXACT.is_match(revision));
        Some(format!("not exact: {}", version.or(revision)?))
    })
}

fn packages_exact(tree: &Path, files: &[String]) -> Result<()> {
    let python = |file: &str| file.starts_with("crates/tools/python/");
    let node =
        |file: &&String| file.starts_with("crates/tools/node/") && file.ends_with("/package.json");
    for file in files.iter().filter(|file| python(file)) {
        let text = fs::read_to_string(tree.join(file))?.replace("\\\n", "");
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let package = line.split(' ').next().unwrap_or_default();
            ensure!(package.contains("=="), "{file}: not exact: {package}");
            ensure!(
                line.contains("--hash=sha256:"),
                "{file}: no digest: {package}"
            );
        }
    }
    for file in files.iter().filter(node) {
        let said: Value = serde_json::from_str(&fs::read_to_string(tree.join(file))?)?;
        for (name, version) in fields(&said, "/dependencies") {
            let exact = EXACT.is_match(text(version, ""));
            ensure!(exact, "{file}: not exact: {name} {version}");
        }
    }
    Ok(())
}
