//! The contract as one table of requests and expected responses: scenarios.yaml says what its rows
//! mean, and this reads and checks them.

use std::{borrow::Cow, collections::BTreeMap};

use anyhow::{Context, Result, bail, ensure};
use chrono::{Datelike, Days, NaiveDate};
use harness::client::Answer;
use hello::api::docs;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;
use yaml_serde::{Mapping, Value};

use super::rule;

const SCENARIOS: &str = include_str!("scenarios.yaml");
const OUTAGE: &str = include_str!("outage.yaml");

/// Requests in order, with their expected responses.
pub struct Scenario {
    pub name: String,
    pub steps: Vec<Step>,
}

/// A request and its expected response.
pub struct Step {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub status: u16,
    pub expected: Expected,
}

/// The expected response, besides its status.
#[derive(Clone)]
pub struct Expected {
    /// The values of headers; `None` is for one that must not be there.
    headers: BTreeMap<String, Option<String>>,
    body: Body,
}

/// The expected body. A response to HEAD has none, whatever it is.
#[derive(Clone)]
enum Body {
    Nothing,
    Json(serde_json::Value),
    Containing(Cow<'static, [u8]>),
}

impl Step {
    /// Compares `answer` with the expected one.
    ///
    /// # Errors
    ///
    /// The request, and the first difference.
    pub fn check(&self, answer: &Answer) -> Result<()> {
        let request = format!("{} {}", self.method, self.target);
        let body = String::from_utf8_lossy(&answer.body);
        ensure!(
            answer.status == self.status,
            "{request}: status {}: {body}",
            answer.status
        );
        for (name, wanted) in &self.expected.headers {
            let values = answer.headers.iter().filter(|(key, _)| key == name);
            let found: Vec<&String> = values.map(|(_, value)| value).collect();
            ensure!(
                found == Vec::from_iter(wanted),
                "{request}: {name} is {found:?} and not {wanted:?}"
            );
        }
        match &self.expected.body {
            Body::Json(wanted) if self.method != "HEAD" => {
                let found: Option<serde_json::Value> = serde_json::from_slice(&answer.body).ok();
                let is_wanted = found.as_ref() == Some(wanted);
                ensure!(is_wanted, "{request}: the body is {body} and not {wanted}");
            }
            Body::Containing(part) if self.method != "HEAD" => {
                let mut windows = answer.body.windows(part.len().max(1));
                let is_there = part.is_empty() || windows.any(|found| *part == found);
                let length = answer.body.len();
                ensure!(is_there, "{request}: other {length} bytes in the body");
            }
            _ => ensure!(answer.body.is_empty(), "{request}: there is a body: {body}"),
        }
        Ok(())
    }
}

/// The whole table, for the date `today`.
///
/// # Panics
///
/// If a row is malformed, with the name of its scenario.
pub fn scenarios(today: NaiveDate) -> Vec<Scenario> {
    let table: Mapping = yaml_serde::from_str(SCENARIOS).expect("a mapping of scenarios");
    let placeholders = Placeholders::of(today);
    let read = |(name, rows): (&Value, &Value)| {
        let name = name.as_str().expect("a scenario has a name");
        let steps = placeholders.steps(rows);
        Scenario {
            steps: steps.unwrap_or_else(|error| panic!("scenario {name:?}: {error:#}")),
            name: name.to_owned(),
        }
    };
    table.iter().map(read).collect()
}

/// What is expected while the store `dependency` does not answer, for the reason `detail`.
pub fn outage(detail: &str, dependency: &str) -> Vec<Step> {
    let rows = yaml_serde::from_str(OUTAGE).expect("a list of rows");
    Placeholders::of(NaiveDate::default())
        .with("detail", detail)
        .with("dependency", dependency)
        .steps(&rows)
        .unwrap_or_else(|error| panic!("outage: {error:#}"))
}

/// A row that repeats `steps`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Loop {
    #[serde(rename = "for")]
    name: String,
    #[serde(rename = "in")]
    items: Value,
    steps: Value,
}

/// Any other row.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    request: String,
    #[serde(rename = "type", default = "json")]
    content_type: Option<String>,
    born: Option<String>,
    body: Option<String>,
    #[serde(default)]
    latin1: bool,
    #[serde(default)]
    length: usize,
    /// Not a mapping: a name may be there twice.
    #[serde(default)]
    headers: Vec<BTreeMap<String, String>>,
    status: u16,
    #[serde(default)]
    has: BTreeMap<String, Option<String>>,
    problem: Option<String>,
    dependency: Option<String>,
    json: Option<serde_json::Value>,
    contains: Option<String>,
    asset: Option<String>,
}

#[allow(clippy::unnecessary_wraps, reason = "serde's default for an option")]
fn json() -> Option<String> {
    Some("application/json".to_owned())
}

impl Row {
    /// A step for each method.
    fn steps(self) -> Result<Vec<Step>> {
        let expected = self.expected()?;
        let request = self.request.rsplit_once(' ');
        let (methods, target) = request.context("`request` is methods and a target")?;
        let body = match (self.body, self.born) {
            (Some(_), Some(_)) => bail!("a row has `body` or `born`"),
            (Some(body), None) => body,
            (None, Some(born)) => format!(r#"{{"dateOfBirth":"{born}"}}"#),
            (None, None) => r#"{"dateOfBirth":"1990-06-20"}"#.to_owned(),
        };
        let body = format!("{body:<0$}", self.length);
        let body = if self.latin1 {
            body.chars().map(u8::try_from).collect::<Result<_, _>>()?
        } else {
            body.into_bytes()
        };
        let content_type = self
            .content_type
            .map(|value| ("content-type".to_owned(), value));
        let further: Vec<_> = self.headers.into_iter().flatten().collect();
        let step = |method: &str| {
            let of_put = (method == "PUT").then(|| (content_type.clone(), body.clone()));
            let (content_type, body) = of_put.unwrap_or_default();
            Step {
                method: method.to_owned(),
                target: target.to_owned(),
                headers: content_type.into_iter().chain(further.clone()).collect(),
                body,
                status: self.status,
                expected: expected.clone(),
            }
        };
        Ok(methods.split(' ').map(step).collect())
    }

    fn expected(&self) -> Result<Expected> {
        let mut headers = self.has.clone();
        let mut default = |name: &str, value: Option<&str>| {
            let value = value.map(str::to_owned);
            headers.entry(name.to_owned()).or_insert(value);
        };
        default("x-content-type-options", Some("nosniff"));
        let body = match (&self.problem, &self.json, &self.contains, &self.asset) {
            (Some(detail), None, None, None) => {
                let mut document = json!({
                    "type": "about:blank",
                    "title": title(self.status)?,
                    "status": self.status,
                    "detail": detail,
                });
                if let Some(name) = &self.dependency {
                    document["dependency"] = json!(name);
                }
                default("content-type", Some("application/problem+json"));
                Body::Json(document)
            }
            (None, Some(value), None, None) => {
                default("content-type", Some("application/json"));
                Body::Json(value.clone())
            }
            (None, None, Some(part), None) => Body::Containing(part.clone().into_bytes().into()),
            (None, None, None, Some(name)) => {
                let asset = docs::asset(name).context("there is no such asset")?;
                default("content-type", Some(asset.content_type));
                Body::Containing(asset.gzip())
            }
            (None, None, None, None) => {
                default("allow", None);
                default("content-type", None);
                // RFC 9110, section 8.6: a 204 has no content-length.
                default("content-length", None);
                Body::Nothing
            }
            _ => bail!("a row has one of `problem`, `json`, `contains` and `asset`"),
        };
        if let Body::Json(value) = &body {
            default("content-length", Some(&value.to_string().len().to_string()));
        }
        if !matches!(body, Body::Containing(_)) {
            default("cache-control", Some("no-store"));
        }
        Ok(Expected { headers, body })
    }
}

/// The title of a problem.
fn title(status: u16) -> Result<&'static str> {
    Ok(match status {
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        503 => "Service Unavailable",
        other => bail!("the contract has no problem of status {other}"),
    })
}

/// What stands for the placeholders `$(NAME)` in a row.
#[derive(Clone)]
struct Placeholders {
    today: NaiveDate,
    named: BTreeMap<String, String>,
}

impl Placeholders {
    fn of(today: NaiveDate) -> Self {
        let named = BTreeMap::new();
        Self { today, named }
            .with("today", &today.to_string())
            .with("yesterday", &(today - Days::new(1)).to_string())
            .with("tomorrow", &(today + Days::new(1)).to_string())
            .with("an asset", docs::ASSETS[0].name)
            .with("content-security-policy", docs::CONTENT_SECURITY_POLICY)
    }

    fn with(&self, name: &str, value: &str) -> Self {
        let mut with = self.clone();
        with.named.insert(name.to_owned(), value.to_owned());
        with
    }

    /// The steps of each row in `rows`.
    fn steps(&self, rows: &Value) -> Result<Vec<Step>> {
        let rows = rows.as_sequence().context("it is not a list of rows")?;
        let mut steps = Vec::new();
        for (number, row) in (1..).zip(rows) {
            steps.extend(self.expand(row).with_context(|| format!("row {number}"))?);
        }
        Ok(steps)
    }

    fn expand(&self, row: &Value) -> Result<Vec<Step>> {
        if row.get("for").is_none() {
            return self.fill::<Row>(row)?.steps();
        }
        let Loop { name, items, steps } = yaml_serde::from_value(row.clone())?;
        let items: Vec<String> = if items == "$(assets)" {
            docs::ASSETS.iter().map(|asset| asset.name.into()).collect()
        } else {
            self.fill(&items)?
        };
        let mut all = Vec::new();
        for item in items {
            all.extend(self.with(&name, &item).steps(&steps)?);
        }
        Ok(all)
    }

    fn fill<T: DeserializeOwned>(&self, value: &Value) -> Result<T> {
        let mut value = value.clone();
        self.fill_in(&mut value)?;
        Ok(yaml_serde::from_value(value)?)
    }

    fn fill_in(&self, value: &mut Value) -> Result<()> {
        match value {
            Value::Sequence(values) => values.iter_mut().try_for_each(|it| self.fill_in(it))?,
            Value::Mapping(values) => values.values_mut().try_for_each(|it| self.fill_in(it))?,
            Value::String(text) => {
                while let Some((before, rest)) = text.split_once("$(") {
                    let (name, after) = rest.split_once(')').context("there is no )")?;
                    let value = self.get(name);
                    let value = value.with_context(|| format!("there is no $({name})"))?;
                    *text = format!("{before}{value}{after}");
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn get(&self, name: &str) -> Option<String> {
        if let Some(value) = self.named.get(name) {
            return Some(value.clone());
        }
        if let Some((count, text)) = name.split_once(" * ") {
            return Some(text.repeat(count.parse().ok()?));
        }
        if let Some(days) = name.strip_prefix("birthday in ") {
            let days = days.strip_suffix(" days")?.parse().ok()?;
            let birthday = self.today + Days::new(days);
            // 2000 is a leap year.
            return Some(birthday.with_year(2000)?.to_string());
        }
        let born = name.strip_prefix("wishes for ")?;
        let born = self.named.get(born).map_or(born, |date| date);
        Some(match rule::days_until(born.parse().ok()?, self.today) {
            0 => "Happy birthday!".to_owned(),
            days => format!("Your birthday is in {days} day(s)"),
        })
    }
}
