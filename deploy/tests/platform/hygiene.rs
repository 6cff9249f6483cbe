//! No secret, no account's number and no loose version in what Git keeps.
//!
//! Every check is made of the tree as it is, and of files in which something is wrong. Those are put
//! together here when they are needed: as a whole, they would be found in this file.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, bail, ensure};
use deploy_tests::mutation::{fails, tracked};
use libtest_mimic::{Failed, Trial};
use serde_json::Value;
use tempfile::TempDir;
use tools::{python, root};

/// Looks at these files of a tree.
type Check = fn(&Path, &[String]) -> Result<()>;

/// A file, what is in it, and what a check says of that.
type Planted = (&'static str, String, &'static str);

/// What looks like a secret and is none: the file, what its line says, and why it may.
const NO_SECRETS: &[(&str, &str, &str)] = &[
    (
        ".wash/config.yaml",
        "hello:password@127.0.0.1",
        "a database of one's own machine",
    ),
    (
        "deploy/chart/examples/dev.yaml",
        "only-for-this-machine",
        "a database of one's own machine",
    ),
    (
        "deploy/chart/examples/plain-secret.yaml",
        "for-a-trial",
        "an example",
    ),
    (
        "deploy/platform/terraform/modules/database/tests/database.tftest.hcl",
        "of-a-test",
        "nobody's",
    ),
    (
        "deploy/platform/terraform/modules/postgres/tests/postgres.tftest.hcl",
        "of-a-test",
        "nobody's",
    ),
    (
        "deploy/tests/mutations/manifests.yaml",
        "automountServiceAccountToken",
        "a switch",
    ),
    (
        "deploy/tests/mutations/platform.yaml",
        "password_wo",
        "an expression",
    ),
    (
        "docs/postgres.md",
        "USER:PASSWORD@HOST",
        "the form of a URL",
    ),
    (
        "tests/hosts/postgres.rs",
        "password: \"none\"",
        "there is none",
    ),
    ("tests/hosts/postgres.rs", "not-the-password", "a wrong one"),
    (
        "deploy/tests/manifests/scripts.rs",
        "it's",
        "signs that a shell might take for its own",
    ),
    (
        "deploy/tests/platform/terraform/provider.mjs",
        "stand-in",
        "what it says it is",
    ),
    (
        "xtask/src/main.rs",
        "USER:PASSWORD@HOST",
        "the form of a URL",
    ),
    (
        "crates/harness/src/postgres.rs",
        "user:password@host",
        "the form of a URL",
    ),
    (
        "crates/harness/src/postgres.rs",
        "USER:PASSWORD@HOST",
        "the form of a URL",
    ),
    (
        "crates/harness/src/postgres.rs",
        "hello:secret@db.test",
        "a URL to read",
    ),
    (
        "crates/harness/src/postgres.rs",
        "hello:sec%20ret@db.test",
        "a URL to read",
    ),
    ("xtask/src/up.rs", "USER:PASSWORD@HOST", "the form of a URL"),
];

/// Images whose versions have two numbers: `postgres:17.6`.
const TWO_NUMBERS: [&str; 1] = ["postgres"];

pub fn trials() -> Vec<Trial> {
    let mix = |alphabet: &str, count: usize| -> String {
        let letters: Vec<char> = alphabet.chars().collect();
        let at = |index: usize| letters[(index * 7 + 3) % letters.len()];
        (0..count).map(at).collect()
    };
    let alphanumeric: String = ('a'..='z').chain('A'..='Z').chain('0'..='9').collect();
    let letters = |count| mix(&alphanumeric, count);
    let capitals = |count| letters(count).to_uppercase();
    let digits: String = ('0'..='9').chain('a'..='f').collect();
    let hex = |count| mix(&digits, count);
    let begin = ["-----BEGIN RSA", "PRIVATE KEY-----"].join(" ");
    // {"alg":"HS256"}, {"sub":"a"} and a signature.
    let token = ["eyJhbGci", "OiJIUzI1", "NiJ9.eyJ", "zdWIiOiJ", "hIn0."].concat() + &letters(43);
    let secrets = vec![
        (
            "a.yaml",
            format!("id: {}{}", "AKIA", capitals(16)),
            "AWS Access Key",
        ),
        (
            "a.pem",
            format!("{begin}\n{}\n", letters(64)),
            "Private Key",
        ),
        (
            "a.tf",
            format!("t = \"{}{}\"", "ghp_", letters(36)),
            "GitHub Token",
        ),
        (
            "a.yaml",
            format!(
                "url: https://hooks.{}/services/T{}/B{}/{}",
                "slack.com",
                capitals(8),
                capitals(8),
                letters(24)
            ),
            "Slack Token",
        ),
        (
            "a.yaml",
            format!("pagerduty-key: {}", hex(32)),
            "Hex High Entropy String",
        ),
        (
            "a.yaml",
            format!("{}: hunter-two", "adminPassword"),
            "a literal password",
        ),
        (
            "a.tf",
            format!("{} = \"hunter-two\"", "password"),
            "a literal password",
        ),
        (
            "a.hcl",
            format!("{} = \"hunter-two\" # pragma: allowlist secret", "password"),
            "a literal password",
        ),
        ("a.yaml", format!("t: {token}"), "JSON Web Token"),
        (
            "a.yaml",
            format!("url: postgres://hello:{}@db.test/hello", letters(9)),
            "Basic Auth Credentials",
        ),
        (
            "a.yaml",
            format!("key: {}", letters(40)),
            "Base64 High Entropy String",
        ),
    ];
    let account = "1234".repeat(3);
    let accounts = vec![
        (
            "a.yaml",
            format!("role: arn:aws:iam::{account}:role/a"),
            "an account's number: ",
        ),
        (
            "a.hcl",
            format!("image = \"{account}.dkr.ecr.eu-west-1.amazonaws.com/a\""),
            "an account's number: ",
        ),
        (
            "a.tf",
            format!("bucket = \"hello-{account}\""),
            "an account's number: ",
        ),
    ];
    let image = |image: &str| format!("image: {image}");
    let images = vec![
        ("a.yaml", image("curl"), "not pinned: curl"),
        ("a.yaml", image("curl:latest"), "not pinned: curl:latest"),
        ("a.yaml", image("curl:8"), "not pinned: curl:8"),
        (
            "a.yaml",
            image("\"registry.test:5000/curl:8.1\""),
            "not pinned: registry.test:5000/curl:8.1",
        ),
        (
            "a.yaml",
            image("postgres:17-bookworm"),
            "not pinned: postgres:17-bookworm",
        ),
        (
            "a.yaml",
            image("curl@sha256:0123"),
            "not pinned: curl@sha256:0123",
        ),
        ("a.yaml", "    tag: latest".to_owned(), "not pinned: latest"),
        ("a.yaml", "    tag: \"1.2\"".to_owned(), "not pinned: 1.2"),
    ];
    let charts = vec![
        (
            "a/addon.yaml",
            "chart: {name: a, version: 1.x}".to_owned(),
            "not exact: 1.x",
        ),
        (
            "a/addon.yaml",
            "  version: \"^1.2.3\"".to_owned(),
            "not exact: ^1.2.3",
        ),
        (
            "a/addon.yaml",
            "  version: \">=1.2.3\"".to_owned(),
            "not exact: >=1.2.3",
        ),
        (
            "a/Chart.yaml",
            "dependencies:\n  - name: b\n    version: ~1.2.3".to_owned(),
            "not exact: ~1.2.3",
        ),
        (
            "a.yaml",
            "  repoURL: https://charts.test\n  targetRevision: HEAD".to_owned(),
            "not exact: HEAD",
        ),
        (
            "a.yaml",
            "  targetRevision: main\n  repoURL: https://github.com/other/hello.git".to_owned(),
            "not exact: main",
        ),
        (
            "a.yaml",
            "  targetRevision: 1.2.*".to_owned(),
            "not exact: 1.2.*",
        ),
    ];
    let packages = vec![
        (
            "crates/tools/python/a.txt",
            "a>=1.2\n".to_owned(),
            "not exact: a>=1.2",
        ),
        (
            "crates/tools/python/a.txt",
            "a==1.2\n".to_owned(),
            "no digest: a==1.2",
        ),
        (
            "crates/tools/node/a/package.json",
            "{\"dependencies\": {\"a\": \"^1.2.3\"}}".to_owned(),
            "not exact: a ^1.2.3",
        ),
    ];
    let all: [(&str, Check, Vec<Planted>); 5] = [
        ("no secret", no_secret, secrets),
        ("no account's number", no_account, accounts),
        ("images are pinned", images_pinned, images),
        ("charts and revisions are exact", charts_exact, charts),
        ("packages are exact", packages_exact, packages),
    ];
    let mut trials = Vec::new();
    for (name, check, planted) in all {
        trials.push(Trial::test(format!("hygiene: {name}"), move || {
            Ok(check(&root(), tracked()?)?)
        }));
        for (index, (file, text, says)) in planted.into_iter().enumerate() {
            trials.push(Trial::test(
                format!("hygiene: {name}: {says:?} is found, {index}"),
                move || found(check, file, &text, says),
            ));
        }
    }
    trials.push(Trial::test("hygiene: every exception is needed", || {
        Ok(exceptions(&root(), tracked()?)?)
    }));
    trials
}

fn found(check: Check, file: &str, text: &str, says: &str) -> Result<(), Failed> {
    let tree = TempDir::new()?;
    let path = tree.path().join(file);
    fs::create_dir_all(path.parent().context("it is in a directory")?)?;
    fs::write(path, text)?;
    Ok(fails(check(tree.path(), &[file.to_owned()]), says)?)
}

/// Each line of the text files whose name is wanted, and where it is.
fn lines(
    tree: &Path,
    files: &[String],
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<(String, String)>> {
    let mut lines = Vec::new();
    let is_file = |file: &&String| wanted(file) && tree.join(file).is_file();
    for file in files.iter().filter(is_file) {
        // A picture has no lines.
        let Ok(text) = String::from_utf8(fs::read(tree.join(file))?) else {
            continue;
        };
        for (index, line) in text.lines().enumerate() {
            lines.push((format!("{file}:{}", index + 1), line.to_owned()));
        }
    }
    ensure!(!lines.is_empty(), "there is nothing to look at");
    Ok(lines)
}

fn none(problems: &[String]) -> Result<()> {
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    Ok(())
}

fn no_secret(tree: &Path, files: &[String]) -> Result<()> {
    let suspects = suspects(tree, files)?;
    let problems: Vec<String> = suspects
        .iter()
        .filter(|suspect| {
            !suspect.is_name() && !NO_SECRETS.iter().any(|exception| suspect.is(exception))
        })
        .map(
            |Suspect {
                 file, number, what, ..
             }| format!("{file}:{number}: {what}"),
        )
        .collect();
    none(&problems)
}

fn exceptions(tree: &Path, files: &[String]) -> Result<()> {
    let suspects = suspects(tree, files)?;
    for exception in NO_SECRETS {
        let needed = suspects.iter().any(|suspect| suspect.is(exception));
        ensure!(needed, "nothing is found that {exception:?} would allow");
    }
    Ok(())
}

struct Suspect {
    file: String,
    number: u64,
    line: String,
    what: String,
}

/// How the keys end whose value is a secret. `caSecret` and its like are not among them: in Kubernetes,
/// they have a Secret's name.
const KEYS: [&str; 10] = [
    "password",
    "passwd",
    "passphrase",
    "token",
    "api_key",
    "apikey",
    "access_key",
    "accesskey",
    "private_key",
    "client_secret",
];

/// Whether a line gives a key of [`KEYS`] a value that stands there as it is: not a place where it comes
/// from, such as `{{ … }}`, `$NAME`, a block or a call.
///
/// detect-secrets has a rule for that, which takes each mention of a Secret for one, and counts YAML's
/// lines otherwise than people do.
fn has_literal_password(file: &str, line: &str) -> bool {
    let bare = [".yaml", ".yml", ".sh", ".env", ".toml", ".txt"];
    let bare = bare.iter().any(|extension| file.ends_with(extension));
    let signs = line.match_indices([':', '=']);
    signs
        .map(|(at, _)| line.split_at(at))
        .any(|(before, after)| {
            let is_key =
                |character: char| character.is_ascii_alphanumeric() || "_-".contains(character);
            let before = before.trim_end().trim_end_matches(['"', '\'']);
            let start = before.rfind(|character| !is_key(character));
            let key = &before[start.map_or(0, |at| at + 1)..];
            let key = key.to_ascii_lowercase().replace('-', "_");
            // `KEY := …`, `KEY == …` and `KEY::path` are none.
            let value = after[1..].trim_start();
            let quoted = value.starts_with(['"', '\'']);
            let value = value.trim_start_matches(['"', '\'']);
            let end = value
                .find(|character: char| character.is_whitespace() || "\"'},".contains(character));
            let value = &value[..end.unwrap_or(value.len())];
            let literal = value.starts_with(|character: char| character.is_ascii_alphanumeric())
                && !["true", "false", "null", "write"].contains(&value)
                && !value.contains(['$', '{', '(', '<', '…']);
            KEYS.iter().any(|secret| key.ends_with(secret)) && literal && (quoted || bare)
        })
}

impl Suspect {
    /// Whether it is the digest or commit that pins something.
    fn is_name(&self) -> bool {
        self.what == "Hex High Entropy String"
            && ["evision: ", "sha256: ", "@sha256:"]
                .iter()
                .any(|key| self.line.contains(key))
    }

    fn is(&self, (file, says, _): &(&str, &str, &str)) -> bool {
        self.file == *file && self.line.contains(says)
    }
}

fn suspects(tree: &Path, files: &[String]) -> Result<Vec<Suspect>> {
    let output = Command::new(python::environment("secrets")?.join("detect-secrets"))
        .args(["scan", "--no-verify", "--all-files"])
        // A comment beside a secret makes it none for others; here NO_SECRETS does.
        .args([
            "--disable-filter",
            "detect_secrets.filters.allowlist.is_line_allowlisted",
        ])
        // has_literal_password instead.
        .args(["--disable-plugin", "KeywordDetector"])
        .args(files)
        .current_dir(tree)
        .output()?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr));
    }
    let report: Value = serde_json::from_slice(&output.stdout)?;
    let results = report["results"]
        .as_object()
        .context("it reports results")?;
    let mut suspects = Vec::new();
    for (file, found) in results {
        let text = fs::read_to_string(tree.join(file))?;
        for suspect in found.as_array().into_iter().flatten() {
            let number = suspect["line_number"]
                .as_u64()
                .context("it says the line")?;
            let line = text.lines().nth(usize::try_from(number)? - 1);
            suspects.push(Suspect {
                file: file.clone(),
                number,
                // It counts what it makes of YAML's braces as lines of their own.
                line: line.unwrap_or(&text).to_owned(),
                what: suspect["type"].as_str().unwrap_or_default().to_owned(),
            });
        }
    }
    for file in files {
        let Ok(text) = fs::read_to_string(tree.join(file)) else {
            continue;
        };
        for (number, line) in (1..).zip(text.lines()) {
            if has_literal_password(file, line) {
                suspects.push(Suspect {
                    file: file.clone(),
                    number,
                    line: line.to_owned(),
                    what: "a literal password".to_owned(),
                });
            }
        }
    }
    Ok(suspects)
}

fn no_account(tree: &Path, files: &[String]) -> Result<()> {
    let mut problems = Vec::new();
    for (place, line) in lines(tree, files, |_| true)? {
        let words = line.split(|character: char| !character.is_ascii_alphanumeric());
        for word in words {
            let account = word.len() == 12 && word.bytes().all(|byte| byte.is_ascii_digit());
            if account && word != "0".repeat(12) {
                problems.push(format!("{place}: an account's number: {word}"));
            }
        }
    }
    none(&problems)
}

/// `1.2.3`, and what may come after it: `v1.2.3-distroless`.
fn exact(version: &str, numbers: usize) -> bool {
    let version = version.strip_prefix('v').unwrap_or(version);
    let core = version.split(['-', '+']).next().unwrap_or_default();
    let parts: Vec<&str> = core.split('.').collect();
    let number = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    parts.len() >= numbers && parts.iter().all(number)
}

pub fn image_pinned(image: &str) -> bool {
    if let Some((_, digest)) = image.split_once("@sha256:") {
        return digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
    }
    let name = image.rsplit('/').next().unwrap_or_default();
    let Some((name, tag)) = name.split_once(':') else {
        return false;
    };
    exact(tag, if TWO_NUMBERS.contains(&name) { 2 } else { 3 })
}

/// What stands after a key on a line of YAML, also in braces.
pub fn after<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let line = line.split(" #").next().unwrap_or_default();
    let (before, value) = line.split_once(&format!("{key}: "))?;
    if !before.trim_end_matches(['-', ' ', '{']).is_empty() && !before.ends_with(", ") {
        return None;
    }
    let value = value.split([',', '}']).next().unwrap_or_default();
    let value = value.trim().trim_matches(['"', '\'']);
    if value.starts_with('{') {
        return None;
    }
    // What a template says is seen where it is rendered.
    (!value.is_empty() && !value.contains("{{") && !line.contains("{{")).then_some(value)
}

fn is_yaml(file: &str) -> bool {
    Path::new(file)
        .extension()
        .is_some_and(|extension| extension == "yaml" || extension == "yml")
}

fn images_pinned(tree: &Path, files: &[String]) -> Result<()> {
    let mut problems = Vec::new();
    // Those of .github are the workflows' (tests/workflows).
    let wanted = |file: &str| is_yaml(file) && !file.starts_with(".github/");
    for (place, line) in lines(tree, files, wanted)? {
        for key in ["image", "spinImage", "imageName"] {
            if let Some(image) = after(&line, key).filter(|image| !image_pinned(image)) {
                problems.push(format!("{place}: not pinned: {image}"));
            }
        }
        let tag = after(&line, "tag").filter(|tag| !tag.contains("@sha256:") && !exact(tag, 3));
        if let Some(tag) = tag {
            problems.push(format!("{place}: not pinned: {tag}"));
        }
    }
    none(&problems)
}

/// Our own repository is the one thing that Argo CD follows.
fn charts_exact(tree: &Path, files: &[String]) -> Result<()> {
    let mut problems = Vec::new();
    let lines = lines(tree, files, is_yaml)?;
    for (index, (place, line)) in lines.iter().enumerate() {
        let file = place.rsplit_once(':').map_or("", |(file, _)| file);
        let of_chart = file.ends_with("/addon.yaml") || file.ends_with("/Chart.yaml");
        let version = after(line, "version").filter(|version| of_chart && !exact(version, 3));
        if let Some(version) = version {
            problems.push(format!("{place}: not exact: {version}"));
        }
        let Some(revision) = after(line, "targetRevision") else {
            continue;
        };
        let around = &lines[index.saturating_sub(1)..lines.len().min(index + 2)];
        let own = |(_, line): &(String, String)| {
            line.contains("repoURL: https://github.com/example/hello.git")
        };
        let commit = revision.len() == 40 && revision.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !around.iter().any(own) && !commit && !exact(revision, 3) {
            problems.push(format!("{place}: not exact: {revision}"));
        }
    }
    none(&problems)
}

fn packages_exact(tree: &Path, files: &[String]) -> Result<()> {
    let mut problems = Vec::new();
    for file in files
        .iter()
        .filter(|file| file.starts_with("crates/tools/"))
    {
        let text = fs::read_to_string(tree.join(file))?;
        if file.ends_with(".txt") {
            let text = text.replace("\\\n", "");
            for line in text.lines().filter(|line| !line.starts_with('#')) {
                let package = line.split(" ").next().unwrap_or_default();
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
                let version = version.as_str().unwrap_or_default();
                if !exact(version, 3) {
                    problems.push(format!("{file}: not exact: {name} {version}"));
                }
            }
        }
    }
    none(&problems)
}
