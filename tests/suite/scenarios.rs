//! The contract as one table: requests in order, and what each is answered.
//!
//! Hosts and stores are columns of this table, not copies of it. Every scenario has usernames
//! of its own, so that one store serves the whole table.

use std::borrow::Cow;

use chrono::{Datelike, Days, NaiveDate};
use hello::api::docs;
use serde_json::{Value, json};

use super::rule;

/// Requests in order, with their answers.
pub struct Scenario {
    pub name: &'static str,
    pub steps: Vec<Step>,
}

/// A request and its answer.
pub struct Step {
    pub method: &'static str,
    pub target: String,
    pub headers: Vec<(&'static str, &'static str)>,
    pub body: Vec<u8>,
    pub status: u16,
    pub expected: Expected,
}

/// What an answer holds, beside its status and what every answer has.
pub enum Expected {
    /// No body and no `content-length`, and this `allow` if any.
    Nothing { allow: Option<&'static str> },
    /// This JSON object, of this type.
    Json(Value),
    /// A problem document with this detail, and this header if any.
    Problem {
        detail: &'static str,
        header: Option<(&'static str, &'static str)>,
    },
    /// A problem document that names the dependency.
    #[allow(dead_code, reason = "only the native column takes the store away")]
    NotReady {
        detail: &'static str,
        dependency: &'static str,
    },
    /// A document with these headers that contains this.
    Document {
        headers: Vec<(&'static str, &'static str)>,
        part: Cow<'static, [u8]>,
    },
}

/// An answer, as a column of the table got it.
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Step {
    /// Says what is wrong with `answer`, if anything.
    pub fn check(&self, answer: &Answer) -> Result<(), String> {
        let header = |name: &str| {
            let mut values = answer.headers.iter().filter(|(key, _)| key == name);
            let value = values.next().map(|(_, value)| value.as_str());
            match values.next() {
                None => Ok(value),
                Some(_) => Err(format!("{name} stands there twice")),
            }
        };
        let expect = |what: &str, found: Option<&str>, wanted: Option<&str>| {
            if found == wanted {
                Ok(())
            } else {
                Err(format!("{what} is {found:?} and not {wanted:?}"))
            }
        };
        if answer.status != self.status {
            let body = String::from_utf8_lossy(&answer.body);
            return Err(format!("status {}: {body}", answer.status));
        }
        expect(
            "x-content-type-options",
            header("x-content-type-options")?,
            Some("nosniff"),
        )?;
        if let Expected::Document { headers, part } = &self.expected {
            for (name, value) in headers {
                expect(name, header(name)?, Some(value))?;
            }
            let is_there =
                part.is_empty() || answer.body.windows(part.len()).any(|found| *part == found);
            return match (self.method, is_there) {
                ("HEAD", _) if answer.body.is_empty() => Ok(()),
                ("GET", true) => Ok(()),
                _ => Err(format!("the body has {} bytes", answer.body.len())),
            };
        }
        expect("cache-control", header("cache-control")?, Some("no-store"))?;
        let (content_type, wanted) = match &self.expected {
            Expected::Nothing { allow } => {
                expect("allow", header("allow")?, *allow)?;
                expect("content-type", header("content-type")?, None)?;
                // RFC 9110, section 8.6: a 204 states no length.
                expect("content-length", header("content-length")?, None)?;
                return if answer.body.is_empty() {
                    Ok(())
                } else {
                    Err("there is a body".to_owned())
                };
            }
            Expected::Json(value) => ("application/json", value.clone()),
            Expected::Problem {
                detail,
                header: extra,
            } => {
                if let Some((name, value)) = extra {
                    expect(name, header(name)?, Some(value))?;
                }
                let document = json!({
                    "type": "about:blank",
                    "title": title(self.status),
                    "status": self.status,
                    "detail": detail,
                });
                ("application/problem+json", document)
            }
            Expected::NotReady { detail, dependency } => {
                let document = json!({
                    "type": "about:blank",
                    "title": title(self.status),
                    "status": self.status,
                    "detail": detail,
                    "dependency": dependency,
                });
                ("application/problem+json", document)
            }
            Expected::Document { .. } => unreachable!("it is checked above"),
        };
        expect("content-type", header("content-type")?, Some(content_type))?;
        let length = serde_json::to_vec(&wanted).map_or(0, |bytes| bytes.len());
        expect(
            "content-length",
            header("content-length")?,
            Some(&length.to_string()),
        )?;
        if self.method == "HEAD" {
            return if answer.body.is_empty() {
                Ok(())
            } else {
                Err("HEAD was answered with a body".to_owned())
            };
        }
        let found: Value = serde_json::from_slice(&answer.body)
            .map_err(|error| format!("the body is no JSON: {error}"))?;
        if found == wanted {
            Ok(())
        } else {
            Err(format!("the body is {found} and not {wanted}"))
        }
    }
}

fn title(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        503 => "Service Unavailable",
        other => panic!("the contract has no problem of status {other}"),
    }
}

const USER_METHODS: &str = "GET, HEAD, PUT, OPTIONS";
const READ_METHODS: &str = "GET, HEAD, OPTIONS";

const NO_FILE: &str = "there is no file of this name";
const NO_PATH: &str = "there is nothing at this path";
const NO_USER: &str = "there is no user of this name";
const NO_METHOD: &str = "this path does not take this method";
const LETTERS: &str = "the username may hold only the letters A-Z and a-z";
const LENGTH: &str = "the username must have 1 to 64 letters";
const OBJECT: &str = "the body must be one JSON object";
const MISSING: &str = "dateOfBirth is missing";
const REPEATED: &str = "the body repeats a member";
const STRING: &str = "dateOfBirth must be a string";
const FORMAT: &str = "dateOfBirth must be written YYYY-MM-DD";
const NO_DAY: &str = "dateOfBirth must be a day of the calendar, from 0001-01-01 on";
const NOT_PAST: &str = "dateOfBirth must be before today (UTC)";
const TOO_LARGE: &str = "the body must have 4096 bytes at most";
const NOT_JSON: &str = "send content-type: application/json";
const GZIP_ALONE: &str = "this file is there as gzip alone";
const CODED: &str = "send no content-encoding";
const EMPTY: &str = "request body is required";
const PARTIAL: &str = "partial PUT is not supported: send no content-range";
const NO_MATCH: &str = "if-match is false: no resource has an entity tag";
const WILDCARD: &str = "conditional requests with * are not supported";

const JSON: (&str, &str) = ("content-type", "application/json");

/// The whole table, on the day that `today` is.
pub fn scenarios(today: NaiveDate) -> Vec<Scenario> {
    let mut all = greetings(today);
    all.extend([
        paths(),
        methods(),
        usernames(today),
        headers(),
        preconditions(),
        bodies(),
        sizes(),
        operations(),
        assets(),
    ]);
    all.push(dates(today));
    all
}

fn greetings(today: NaiveDate) -> Vec<Scenario> {
    // The year 2000 has every day that a year can have.
    let born_on = |date: NaiveDate| format!("2000-{:02}-{:02}", date.month(), date.day());
    let greeted = |user: &'static str, born: &str| {
        let date: NaiveDate = born.parse().expect("a date");
        let days = rule::days_until(date, today);
        vec![
            save(user, born),
            get(&format!("/hello/{user}"), 200, greets(user, days)),
            head(&format!("/hello/{user}"), 200, greets(user, days)),
        ]
    };
    let in_days = |days| born_on(today + Days::new(days));
    let yesterday = (today - Days::new(1)).to_string();
    vec![
        scenario(
            "a birthday today is congratulated",
            greeted("Today", &in_days(0)),
        ),
        scenario(
            "a birthday tomorrow is 1 day away",
            greeted("Tomorrow", &in_days(1)),
        ),
        scenario(
            "a birthday in 100 days is 100 days away",
            greeted("Hundred", &in_days(100)),
        ),
        scenario(
            "somebody born yesterday is greeted",
            greeted("Newborn", &yesterday),
        ),
        scenario("a leap day is greeted", greeted("Leap", "2000-02-29")),
        scenario(
            "the first day of the calendar is greeted",
            greeted("Ancient", "0001-01-01"),
        ),
        scenario(
            "an unknown user is 404, for HEAD too",
            vec![
                get("/hello/Unknown", 404, problem(NO_USER)),
                head("/hello/Unknown", 404, problem(NO_USER)),
            ],
        ),
        scenario(
            "a second PUT replaces the first",
            [save("Twice", "1990-06-20")]
                .into_iter()
                .chain(greeted("Twice", &in_days(3)))
                .collect(),
        ),
    ]
}

fn paths() -> Scenario {
    let mut steps: Vec<_> = [
        "/",
        "/hello",
        "/hello/",
        "/Hello/Ada",
        "/HELLO/Ada",
        "/hello/Ada/",
        "/hello/Ada/Bob",
        "/hello//Ada",
        "//hello/Ada",
        "/%68ello/Ada",
        "/hellox/Ada",
        "/livez/",
        "/readyz/x",
        "/favicon.ico",
        "/docs/",
        "/metrics/",
        "/openapi.yaml",
    ]
    .into_iter()
    .map(|path| get(path, 404, problem(NO_PATH)))
    .collect();
    steps.push(step("PUT", "/hello/", 404, problem(NO_PATH)));
    steps.push(step("OPTIONS", "/nowhere", 404, problem(NO_PATH)));
    steps.push(get(
        "/livez",
        200,
        Expected::Json(json!({"status": "alive"})),
    ));
    steps.push(head(
        "/livez",
        200,
        Expected::Json(json!({"status": "alive"})),
    ));
    steps.push(get(
        "/readyz",
        200,
        Expected::Json(json!({"status": "ready"})),
    ));
    steps.push(head(
        "/readyz?x=1",
        200,
        Expected::Json(json!({"status": "ready"})),
    ));
    scenario("a path is exactly its path", steps)
}

fn methods() -> Scenario {
    let allow = |methods| Expected::Nothing {
        allow: Some(methods),
    };
    let refused = |methods| Expected::Problem {
        detail: NO_METHOD,
        header: Some(("allow", methods)),
    };
    let mut steps = vec![step("OPTIONS", "/hello/Ada", 204, allow(USER_METHODS))];
    for path in [
        "/metrics",
        "/docs",
        "/docs/any",
        "/openapi.json",
        "/livez",
        "/readyz",
    ] {
        steps.push(step("OPTIONS", path, 204, allow(READ_METHODS)));
        for method in ["PUT", "POST", "DELETE", "BREW"] {
            steps.push(step(method, path, 405, refused(READ_METHODS)));
        }
    }
    for method in [
        "POST", "DELETE", "PATCH", "TRACE", "BREW", "get", "PROPFIND",
    ] {
        steps.push(step(method, "/hello/Ada", 405, refused(USER_METHODS)));
    }
    scenario(
        "a method that a path does not take is 405 with Allow",
        steps,
    )
}

fn usernames(today: NaiveDate) -> Scenario {
    let longest = "x".repeat(64);
    let born = "1990-06-20";
    let days = rule::days_until(born.parse().expect("a date"), today);
    let mut steps = vec![
        save("Decoded", born),
        // Echoed as decoded, and the query is none of its business.
        get("/hello/%44ecoded?lang=de", 200, greets("Decoded", days)),
        get("/hello/decoded", 404, problem(NO_USER)),
        save(&longest, born),
        get(&format!("/hello/{longest}"), 200, greets(&longest, days)),
    ];
    for (segment, detail) in [
        ("%44ecode%64%31", LETTERS),
        ("Ada1", LETTERS),
        ("Ada-Lovelace", LETTERS),
        ("Ada_", LETTERS),
        ("a+b", LETTERS),
        (".", LETTERS),
        ("..", LETTERS),
        ("%2F", LETTERS),
        ("%2e%2e", LETTERS),
        ("Ada%20", LETTERS),
        ("Ada%00", LETTERS),
        ("Ada%0d%0aX", LETTERS),
        ("%", LETTERS),
        ("Ada%4", LETTERS),
        ("Ada%zz", LETTERS),
        ("%ff%fe", LETTERS),
        ("%C3%85sa", LETTERS),
        ("%D0%90da", LETTERS),
        ("'%20OR%201=1", LETTERS),
        (&format!("{longest}x"), LENGTH),
        (&"x".repeat(2000), LENGTH),
    ] {
        let target = format!("/hello/{segment}");
        steps.push(get(&target, 400, problem(detail)));
        steps.push(head(&target, 400, problem(detail)));
        steps.push(step("OPTIONS", &target, 400, problem(detail)));
        steps.push(put(
            &target,
            r#"{"dateOfBirth":"1990-06-20"}"#,
            400,
            problem(detail),
        ));
    }
    scenario("a username is 1 to 64 ASCII letters", steps)
}

fn headers() -> Scenario {
    const BODY: &str = r#"{"dateOfBirth":"1990-06-20"}"#;
    let with = |headers: &[(&'static str, &'static str)], status, expected| Step {
        headers: headers.to_vec(),
        ..put("/hello/Media", BODY, status, expected)
    };
    let not_json = || Expected::Problem {
        detail: NOT_JSON,
        header: Some(("accept", "application/json")),
    };
    let coded = || Expected::Problem {
        detail: CODED,
        header: Some(("accept-encoding", "identity")),
    };
    let mut steps = Vec::new();
    for refused_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonp",
        "application/json, text/plain",
        "text/json",
        "json",
        "",
    ] {
        let content_type = ("content-type", refused_type);
        steps.push(with(&[content_type], 415, not_json()));
        steps.push(Step {
            body: Vec::new(),
            ..with(&[content_type], 400, problem(EMPTY))
        });
    }
    for content_type in ["text/plain", "application/json"] {
        let two = [JSON, ("content-type", content_type)];
        steps.push(with(&two, 415, not_json()));
    }
    for coding in ["gzip", "identity"] {
        let coding = ("content-encoding", coding);
        steps.push(with(&[JSON, coding], 415, coded()));
        steps.push(with(&[coding], 415, coded()));
        steps.push(Step {
            body: Vec::new(),
            ..with(&[coding], 400, problem(EMPTY))
        });
    }
    let range = ("content-range", "bytes 0-27/28");
    steps.push(with(&[JSON, range], 400, problem(PARTIAL)));
    steps.push(with(&[range], 400, problem(PARTIAL)));
    steps.push(get("/hello/Media", 404, problem(NO_USER)));
    for json_type in [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        "application/json ;x=y",
    ] {
        steps.push(with(&[("content-type", json_type)], 204, nothing()));
    }
    // RFC 9110, section 8.3: without it, the recipient may look at the content.
    steps.push(with(&[], 204, nothing()));
    scenario("a PUT is JSON, unless its headers say otherwise", steps)
}

fn preconditions() -> Scenario {
    const BODY: &str = r#"{"dateOfBirth":"1990-06-20"}"#;
    const USER: &str = "/hello/Conditional";
    const TAG: (&str, &str) = ("if-match", "\"x\"");
    let with = |headers: &[(&'static str, &'static str)], step: Step| Step {
        headers: [&step.headers, headers].concat(),
        ..step
    };
    let refused = || put(USER, BODY, 412, problem(NO_MATCH));
    let unsupported = || put(USER, BODY, 400, problem(WILDCARD));
    let mut steps = vec![
        with(&[TAG], refused()),
        with(&[("if-match", "W/\"x\", \"y\"")], refused()),
        with(&[("if-match", "\"*\"")], refused()),
        with(&[("if-match", "x")], refused()),
        with(&[("if-match", "")], refused()),
        with(&[TAG, ("if-none-match", "*")], refused()),
        with(&[("if-match", "*")], unsupported()),
        with(&[("if-none-match", "*")], unsupported()),
        with(
            &[("if-none-match", "\"x\""), ("if-none-match", " * ")],
            unsupported(),
        ),
        // The content comes after them, and whatever refuses a request unread before them.
        with(&[TAG], put(USER, "{", 412, problem(NO_MATCH))),
        with(&[TAG], put("/hello/Ada1", BODY, 400, problem(LETTERS))),
        with(
            &[TAG, ("content-range", "bytes 0-27/28")],
            put(USER, BODY, 400, problem(PARTIAL)),
        ),
        with(
            &[TAG, ("content-encoding", "gzip")],
            put(USER, BODY, 415, problem(CODED)),
        ),
        with(
            &[TAG],
            put(USER, &" ".repeat(4097), 413, problem(TOO_LARGE)),
        ),
        with(&[TAG], step("DELETE", USER, 405, problem(NO_METHOD))),
        with(&[TAG], get(USER, 404, problem(NO_USER))),
        with(&[TAG], head(USER, 404, problem(NO_USER))),
        with(&[TAG], get("/nowhere", 404, problem(NO_PATH))),
        with(&[("if-none-match", "*")], get(USER, 404, problem(NO_USER))),
        // Nobody was saved until here.
        with(
            &[("if-none-match", "\"x\", W/\"y\"")],
            put(USER, BODY, 204, nothing()),
        ),
        with(
            &[("if-none-match", "\"*\"")],
            put(USER, BODY, 204, nothing()),
        ),
        // There is no date that these could be compared with.
        with(
            &[
                ("if-unmodified-since", "Thu, 01 Jan 1970 00:00:00 GMT"),
                ("if-modified-since", "Fri, 31 Dec 9999 23:59:59 GMT"),
            ],
            put(USER, BODY, 204, nothing()),
        ),
        with(
            &[TAG],
            step(
                "OPTIONS",
                USER,
                204,
                Expected::Nothing {
                    allow: Some(USER_METHODS),
                },
            ),
        ),
    ];
    let asset = format!("/docs/{}", docs::ASSETS[0].name);
    for path in [
        USER,
        "/metrics",
        "/docs",
        &asset,
        "/openapi.json",
        "/livez",
        "/readyz",
    ] {
        for request in [get, head] {
            steps.push(with(&[TAG], request(path, 412, problem(NO_MATCH))));
            for name in ["if-match", "if-none-match"] {
                steps.push(with(&[(name, "*")], request(path, 400, problem(WILDCARD))));
            }
            let found = Expected::Document {
                headers: Vec::new(),
                part: Cow::default(),
            };
            steps.push(with(
                &[("if-none-match", "\"x\"")],
                request(path, 200, found),
            ));
        }
    }
    scenario("preconditions are evaluated, or refused", steps)
}

fn bodies() -> Scenario {
    let mut steps: Vec<_> = [
        ("", EMPTY),
        (" ", OBJECT),
        ("{", OBJECT),
        ("null", OBJECT),
        ("[]", OBJECT),
        (r#"["1990-06-20"]"#, OBJECT),
        (r#""1990-06-20""#, OBJECT),
        ("dateOfBirth=1990-06-20", OBJECT),
        (r#"{"dateOfBirth":"1990-06-20"} x"#, OBJECT),
        (r#"{"dateOfBirth":"1990-06-20"}{}"#, OBJECT),
        (r#"{"dateOfBirth":"1990-06-20",}"#, OBJECT),
        (r#"{'dateOfBirth':'1990-06-20'}"#, OBJECT),
        (r#"{"dateOfBirth":"1990-06-20"} // born"#, OBJECT),
        (r#"{"dateOfBirth":NaN}"#, OBJECT),
        (r#"{"dateOfBirth":"\ud800"}"#, OBJECT),
        ("\u{feff}{\"dateOfBirth\":\"1990-06-20\"}", OBJECT),
        ("{}", MISSING),
        (r#"{"dateofbirth":"1990-06-20"}"#, MISSING),
        (r#"{"user":{"dateOfBirth":"1990-06-20"}}"#, MISSING),
        (r#"{"dateOfBirth":null}"#, STRING),
        (r#"{"dateOfBirth":19900620}"#, STRING),
        (r#"{"dateOfBirth":true}"#, STRING),
        (r#"{"dateOfBirth":["1990-06-20"]}"#, STRING),
        (r#"{"dateOfBirth":{"$gt":""}}"#, STRING),
        (
            r#"{"dateOfBirth":"1990-06-20","dateOfBirth":"1990-06-20"}"#,
            REPEATED,
        ),
        (
            r#"{"dateOfBirth":"1990-06-20","dateOf\u0042irth":"1991-06-20"}"#,
            REPEATED,
        ),
        (r#"{"x":1,"dateOfBirth":"1990-06-20","x":2}"#, REPEATED),
    ]
    .into_iter()
    .map(|(body, detail)| put("/hello/Body", body, 400, problem(detail)))
    .collect();
    steps.push(Step {
        body: b"{\"dateOfBirth\":\"1990-06-2\xff\"}".to_vec(),
        ..put("/hello/Body", "", 400, problem(OBJECT))
    });
    // As deep as 4096 bytes go: the stack of a component is small.
    let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    for (value, detail) in [
        (nested(120), STRING),
        (nested(2000), OBJECT),
        ("[".repeat(4000), OBJECT),
        (r#"{"a":"#.repeat(700), OBJECT),
    ] {
        let body = format!(r#"{{"dateOfBirth":{value}}}"#);
        steps.push(put("/hello/Body", &body, 400, problem(detail)));
    }
    steps.push(get("/hello/Body", 404, problem(NO_USER)));
    let deep = format!(r#"{{"x":{},"dateOfBirth":"1990-06-20"}}"#, nested(2000));
    steps.push(put("/hello/Body", &deep, 204, nothing()));
    for body in [
        r#"{"dateOfBirth":"1990-06-20"}"#,
        "\r\n\t { \"dateOfBirth\" : \"1990-06-20\" } \n",
        r#"{"name":"Ada","dateOfBirth":"1990-06-20","x":[{"dateOfBirth":1},1e9,null]}"#,
        r#"{"date\u004ffBirth":"\u0031990-06-20"}"#,
    ] {
        steps.push(put("/hello/Body", body, 204, nothing()));
    }
    scenario("a body is one JSON object with one date", steps)
}

fn sizes() -> Scenario {
    let padded = |length: usize| format!("{:<length$}", r#"{"dateOfBirth":"1990-06-20"}"#);
    scenario(
        "a body has 4096 bytes at most",
        vec![
            put("/hello/Size", &padded(4097), 413, problem(TOO_LARGE)),
            put("/hello/Size", &padded(60_000), 413, problem(TOO_LARGE)),
            get("/hello/Size", 404, problem(NO_USER)),
            put("/hello/Size", &padded(4096), 204, nothing()),
        ],
    )
}

fn dates(today: NaiveDate) -> Scenario {
    let tomorrow = (today + Days::new(1)).to_string();
    let today = today.to_string();
    let mut steps: Vec<_> = [
        ("", FORMAT),
        ("1990-6-20", FORMAT),
        ("1990-06-20 ", FORMAT),
        (" 1990-06-20", FORMAT),
        ("1990-06-20T00:00:00Z", FORMAT),
        ("+1990-06-20", FORMAT),
        ("+990-06-20", FORMAT),
        ("-990-06-20", FORMAT),
        ("12026-01-01", FORMAT),
        ("90-06-20", FORMAT),
        ("20.06.1990", FORMAT),
        ("06/20/1990", FORMAT),
        ("19900620", FORMAT),
        ("1990-W25-3", FORMAT),
        ("1990-06-2o", FORMAT),
        ("1990‐06‐20", FORMAT),
        ("１９９０-06-20", FORMAT),
        ("1990-06-20\\u0000", FORMAT),
        ("0000-01-01", NO_DAY),
        ("1990-00-01", NO_DAY),
        ("1990-13-01", NO_DAY),
        ("1990-01-00", NO_DAY),
        ("1990-06-31", NO_DAY),
        ("1990-02-29", NO_DAY),
        ("1900-02-29", NO_DAY),
        (today.as_str(), NOT_PAST),
        (tomorrow.as_str(), NOT_PAST),
        ("9999-12-31", NOT_PAST),
    ]
    .into_iter()
    .map(|(date, detail)| {
        let body = format!(r#"{{"dateOfBirth":"{date}"}}"#);
        put("/hello/Date", &body, 400, problem(detail))
    })
    .collect();
    steps.push(get("/hello/Date", 404, problem(NO_USER)));
    scenario("a date is a past day of the calendar, in ten bytes", steps)
}

fn operations() -> Scenario {
    let document = |headers: &[_], part: &'static [u8]| Expected::Document {
        headers: headers.to_vec(),
        part: part.into(),
    };
    let metrics = || {
        document(
            &[
                ("content-type", "text/plain; version=0.0.4; charset=utf-8"),
                ("cache-control", "no-store"),
            ],
            b"# TYPE hello_build_info gauge\nhello_build_info{version=\"",
        )
    };
    let openapi = || {
        document(
            &[
                ("content-type", "application/json"),
                ("cache-control", "no-cache"),
            ],
            b"\"openapi\": \"3.1",
        )
    };
    let page = || {
        document(
            &[
                ("content-type", "text/html; charset=utf-8"),
                ("content-security-policy", docs::CONTENT_SECURITY_POLICY),
                ("cache-control", "no-cache"),
            ],
            b"<div id=\"swagger-ui\"></div>",
        )
    };
    let mut steps = Vec::new();
    for (path, expected) in [
        ("/metrics", &metrics as &dyn Fn() -> Expected),
        ("/openapi.json", &openapi),
        ("/docs", &page),
    ] {
        steps.push(get(path, 200, expected()));
        steps.push(head(path, 200, expected()));
        steps.push(get(&format!("{path}?x=1"), 200, expected()));
    }
    scenario("metrics and documentation are there", steps)
}

fn assets() -> Scenario {
    let mut steps = Vec::new();
    for asset in docs::ASSETS {
        let path = format!("/docs/{}", asset.name);
        let whole = || Expected::Document {
            headers: vec![
                ("content-type", asset.content_type),
                ("content-encoding", "gzip"),
                ("vary", "accept-encoding"),
                ("cache-control", "public, max-age=31536000, immutable"),
            ],
            part: asset.gzip(),
        };
        steps.push(get(&path, 200, whole()));
        steps.push(head(&path, 200, whole()));
        for accepted in [
            "gzip, br",
            "GZIP;q=0.5",
            "br, *",
            "identity;q=0, gzip;q=1.0",
        ] {
            steps.push(Step {
                headers: vec![("accept-encoding", accepted)],
                ..get(&path, 200, whole())
            });
        }
        for refused in ["br", "", "gzip;q=0", "gzip;q=0.000, *", "identity"] {
            for ask in [get, head] {
                steps.push(Step {
                    headers: vec![("accept-encoding", refused)],
                    ..ask(&path, 406, problem(GZIP_ALONE))
                });
            }
        }
    }
    for name in ["swagger-ui.css", "..", "index.html", "%2e%2e%2fCargo.toml"] {
        steps.push(get(&format!("/docs/{name}"), 404, problem(NO_FILE)));
        steps.push(head(&format!("/docs/{name}"), 404, problem(NO_FILE)));
    }
    scenario("the documentation's files are there as gzip", steps)
}

fn scenario(name: &'static str, steps: Vec<Step>) -> Scenario {
    Scenario { name, steps }
}

fn step(method: &'static str, target: &str, status: u16, expected: Expected) -> Step {
    Step {
        method,
        target: target.to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
        status,
        expected,
    }
}

fn get(target: &str, status: u16, expected: Expected) -> Step {
    step("GET", target, status, expected)
}

fn head(target: &str, status: u16, expected: Expected) -> Step {
    step("HEAD", target, status, expected)
}

fn put(target: &str, body: &str, status: u16, expected: Expected) -> Step {
    Step {
        headers: vec![JSON],
        body: body.as_bytes().to_vec(),
        ..step("PUT", target, status, expected)
    }
}

fn save(user: &str, born: &str) -> Step {
    let body = format!(r#"{{"dateOfBirth":"{born}"}}"#);
    put(&format!("/hello/{user}"), &body, 204, nothing())
}

fn nothing() -> Expected {
    Expected::Nothing { allow: None }
}

fn problem(detail: &'static str) -> Expected {
    Expected::Problem {
        detail,
        header: None,
    }
}

fn greets(user: &str, days: usize) -> Expected {
    Expected::Json(json!({"message": match days {
        0 => format!("Hello, {user}! Happy birthday!"),
        _ => format!("Hello, {user}! Your birthday is in {days} day(s)"),
    }}))
}
