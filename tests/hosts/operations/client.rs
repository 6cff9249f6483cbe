//! A client that openapi-python-client generates from /openapi.json.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    path::Path,
    process::Command,
};

use anyhow::{Context, Result, ensure};
use harness::{client::Answer, host::Store};
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use tools::{fresh, python, root};

use super::HostUnderTest;
use crate::{
    a_day_that_lasts, expect, run_to_end,
    suite::scenarios::{Step, outage, scenarios},
};

/// What the document is without, the name that is there instead, and what the client then says.
const RENAMED: [(&str, &str, &str); 6] = [
    ("dateOfBirth", "birthDate", "argument 'date_of_birth'"),
    ("message", "greeting", "KeyError: 'greeting'"),
    ("detail", "cause", "KeyError: 'cause'"),
    ("dependency", "store", "KeyError: 'store'"),
    ("400", "422", "Unexpected status code: 400"),
    ("404", "410", "Unexpected status code: 404"),
];

/// What client.py says of a response.
#[derive(Deserialize)]
struct Response {
    status: u16,
    headers: Vec<(String, String)>,
    /// The name of the model, if the document has one for the response.
    model: Option<String>,
    /// Its fields.
    holds: Value,
}

/// The scenario table by the client's functions, as far as its types can say it.
pub fn holds(under_test: HostUnderTest) -> Result<()> {
    let (host, _directory) = under_test.start(Store::Shipped)?;
    let (storeless, _other) = under_test.start(Store::Named("cupboard"))?;
    let document = expect(&mut host.connect()?, "GET", "/openapi.json", b"", 200)?;
    let document = String::from_utf8(document.body)?;

    let table = scenarios(a_day_that_lasts()).into_iter();
    let steps = sayable(table.flat_map(|scenario| scenario.steps));
    let outage = sayable(outage("the store is misconfigured", "configuration"));
    let asked: BTreeSet<_> = steps
        .iter()
        .map(|step| (&step.method[..], step.status))
        .collect();
    for one in [("PUT", 204), ("PUT", 400), ("GET", 200), ("GET", 404)] {
        ensure!(asked.contains(&one), "no step is {one:?}");
    }
    let judge = |document: &str, directory: &Path| {
        generate(document, directory)?;
        // The table last: it can be done once in a store.
        calls(directory, storeless.port, &outage)?;
        calls(directory, host.port, &steps)
    };

    let directory = fresh(&format!("clients/{}", under_test.kind))?;
    judge(&document, &directory)?;
    let count = steps.len() + outage.len();
    eprintln!("a generated client on {}: {count} calls", under_test.kind);
    for (name, other, says) in RENAMED {
        let (quoted, other) = (format!("\"{name}\""), format!("\"{other}\""));
        ensure!(document.contains(&quoted), "there is no {name} to rename");
        let directory = TempDir::new()?;
        let outcome = judge(&document.replace(&quoted, &other), directory.path());
        let error = outcome
            .err()
            .with_context(|| format!("it passes without {name}"))?;
        let said = format!("{error:#}");
        ensure!(said.contains(says), "without {name} it says: {said}");
    }
    Ok(())
}

/// The steps that the client's functions can make: they name paths and headers themselves.
fn sayable(steps: impl IntoIterator<Item = Step>) -> Vec<Step> {
    steps.into_iter().filter(is_sayable).collect()
}

fn is_sayable(step: &Step) -> bool {
    let Step {
        method,
        target,
        headers,
        body,
        ..
    } = step;
    if ["/livez", "/readyz"].contains(&&target[..]) {
        return method == "GET" && headers.is_empty();
    }
    let Some(username) = target.strip_prefix("/hello/") else {
        return false;
    };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if username.is_empty() || !username.bytes().all(is_plain) {
        return false;
    }
    match &method[..] {
        "GET" | "HEAD" | "OPTIONS" => headers.is_empty(),
        "PUT" => {
            let json = [("content-type".to_owned(), "application/json".to_owned())];
            // Python writes it without spaces, sends what is shorter then, and no body for `null`.
            let bare = |text: &[u8]| -> Vec<u8> {
                text.iter().copied().filter(|byte| *byte != b' ').collect()
            };
            let is_same =
                |value: Value| !value.is_null() && bare(value.to_string().as_bytes()) == bare(body);
            *headers == json
                && body.len() <= 4096
                && serde_json::from_slice(body).is_ok_and(is_same)
        }
        _ => false,
    }
}

/// Puts the package `hello_client` into `directory`. What the generator cannot express is an error.
fn generate(document: &str, directory: &Path) -> Result<()> {
    let programs = python::environment("openapi")?;
    let file = directory.join("openapi.json");
    fs::write(&file, document)?;
    // It looks for its formatter there.
    let path = [programs.as_os_str(), &tools::path()].join(":".as_ref());
    let (generated, printed) = run_to_end(
        Command::new(programs.join("openapi-python-client"))
            .args(["generate", "--meta", "none", "--fail-on-warning", "--path"])
            .arg(file)
            .arg("--output-path")
            .arg(directory.join("hello_client"))
            .env("PATH", path)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("RUFF_NO_CACHE", "true"),
    )?;
    ensure!(generated, "{printed}");
    Ok(())
}

/// Makes `steps` by the package in `directory`, and checks what its models hold.
fn calls(directory: &Path, port: u16, steps: &[Step]) -> Result<()> {
    let request = |step: &Step| {
        let body: Option<Value> = serde_json::from_slice(&step.body).ok();
        let (method, target) = (&step.method, &step.target);
        format!(
            "{}\n",
            json!({"method": method, "target": target, "body": body})
        )
    };
    let requests = directory.join("requests");
    fs::write(&requests, steps.iter().map(request).collect::<String>())?;
    let output = Command::new(python::environment("openapi")?.join("python"))
        .arg(root().join("tests/hosts/operations/client.py"))
        .arg(directory)
        .arg(format!("http://127.0.0.1:{port}"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(File::open(requests)?)
        .output()?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{complaint}");
    let responses = String::from_utf8(output.stdout)?;
    let responses: Vec<Response> = responses
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    let count = responses.len();
    ensure!(count == steps.len(), "only {count} responses");
    for (step, response) in steps.iter().zip(responses) {
        let Response {
            status,
            headers,
            model,
            holds,
        } = response;
        let body = (!holds.is_null()).then(|| holds.to_string().into_bytes());
        step.check(&Answer {
            status,
            headers,
            body: body.unwrap_or_default(),
        })?;
        let wanted = model_of(step);
        let request = format!("{} {}", step.method, step.target);
        ensure!(
            model.as_deref() == wanted,
            "{request}: {model:?} and not {wanted:?}"
        );
    }
    Ok(())
}

/// The model that the document names for the response.
fn model_of(step: &Step) -> Option<&'static str> {
    match (&step.method[..], &step.target[..], step.status) {
        ("HEAD", ..) | (.., 204) => None,
        ("GET", "/livez", 200) => Some("Alive"),
        ("GET", "/readyz", 200) => Some("Ready"),
        ("GET", "/readyz", 503) => Some("NotReady"),
        (.., 200) => Some("Greeting"),
        _ => Some("Problem"),
    }
}
