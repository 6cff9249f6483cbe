//! The contract as one table of requests and expected responses.
//!
//! It runs natively, and on every host with every store. Every scenario has its own usernames, so that
//! one store serves the whole table.

use std::borrow::Cow;

use chrono::{Datelike, Days, NaiveDate};
use hello::api::docs;
use serde_json::{Value, json};

use super::rule;

/// Requests in order, with their expected responses.
pub struct Scenario {
    pub name: &'static str,
    pub steps: Vec<Step>,
}

/// A request and its expected response.
pub struct Step {
    pub method: &'static str,
    pub target: String,
    pub headers: Vec<(&'static str, &'static str)>,
    pub body: Vec<u8>,
    pub status: u16,
    pub expected: Expected,
}

/// The expected response, besides its status and the headers that every response has.
pub enum Expected {
    /// No body and no `content-length`, and this `allow`, if any.
    Nothing { allow: Option<&'static str> },
    /// This JSON object.
    Json(Value),
    /// Problem details with this detail, and this header, if any.
    Problem {
        detail: &'static str,
        header: Option<(&'static str, &'static str)>,
    },
    /// Problem details with the name of the dependency.
    #[allow(dead_code, reason = "only the native tests simulate an outage")]
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

/// A response, whatever received it.
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Step {
    /// Compares `response` with the expected one.
    ///
    /// # Errors
    ///
    /// The first difference.
    pub fn check(&self, response: &Response) -> Result<(), String> {
        let header = |name: &str| {
            let mut values = response.headers.iter().filter(|(key, _)| key == name);
            let value = values.next().map(|(_, value)| value.as_str());
            match values.next() {
                None => Ok(value),
                Some(_) => Err(format!("{name} is repeated")),
            }
        };
        let expect = |what: &str, found: Option<&str>, wanted: Option<&str>| {
            if found == wanted {
                Ok(())
            } else {
                Err(format!("{what} is {found:?} and not {wanted:?}"))
            }
        };
        if response.status != self.status {
            let body = String::from_utf8_lossy(&response.body);
            return Err(format!("status {}: {body}", response.status));
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
            let is_there = part.is_empty()
                || response
                    .body
                    .windows(part.len())
                    .any(|found| *part == found);
            return match (self.method, is_there) {
                ("HEAD", _) if response.body.is_empty() => Ok(()),
                ("GET", true) => Ok(()),
                _ => Err(format!("the body has {} bytes", response.body.len())),
            };
        }
        expect("cache-control", header("cache-control")?, Some("no-store"))?;
        let (content_type, wanted) = match &self.expected {
            Expected::Nothing { allow } => {
                expect("allow", header("allow")?, *allow)?;
                expect("content-type", header("content-type")?, None)?;
                // RFC 9110, section 8.6: a 204 has no content-length.
                expect("content-length", header("content-length")?, None)?;
                return if response.body.is_empty() {
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
            Expected::Document { .. } => unreachable!("checked above"),
        };
        expect("content-type", header("content-type")?, Some(content_type))?;
        let length = serde_json::to_vec(&wanted).map_or(0, |bytes| bytes.len());
        expect(
            "content-length",
            header("content-length")?,
            Some(&length.to_string()),
        )?;
        if self.method == "HEAD" {
            return if response.body.is_empty() {
                Ok(())
            } else {
                Err("the response to HEAD has a body".to_owned())
            };
        }
        let found: Value = serde_json::from_slice(&response.body)
            .map_err(|error| format!("the body is not JSON: {error}"))?;
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

const FILE_NOT_FOUND: &str = "file not found";
const NO_ROUTE: &str = "no such route";
const USER_NOT_FOUND: &str = "user not found";
const METHOD_NOT_ALLOWED: &str = "method not allowed for this resource";
const LETTERS: &str = "username must contain only the letters A-Z and a-z";
const LENGTH: &str = "username must be 1 to 64 letters long";
const OBJECT: &str = "request body must be a single JSON object";
const MISSING: &str = "dateOfBirth is missing";
const DUPLICATE: &str = "duplicate member in JSON object";
const STRING: &str = "dateOfBirth must be a string";
const FORMAT: &str = "dateOfBirth must have the format YYYY-MM-DD";
const NOT_A_DATE: &str = "dateOfBirth must be a valid calendar date, 0001-01-01 or later";
const NOT_PAST: &str = "dateOfBirth must be before today (UTC)";
const TOO_LARGE: &str = "request body must not exceed 4096 bytes";
const NOT_JSON: &str = "send content-type: application/json";
const GZIP_ONLY: &str = "only available gzip-encoded";
const CODED: &str = "send no content-encoding";
const EMPTY: &str = "request body is required";
const PARTIAL: &str = "partial PUT is not supported: send no content-range";
const NO_ENTITY_TAG: &str = "if-match is false: no resource has an entity tag";
const WILDCARD: &str = "conditional requests with * are not supported";

const JSON: (&str, &str) = ("content-type", "application/json");

/// The whole table, for the date `today`.
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
    // 2000 is a leap year.
    let born_on = |date: NaiveDate| format!("2000-{:02}-{:02}", date.month(), date.day());
    let is_greeted = |user: &'static str, born: &str| {
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
            is_greeted("Today", &in_days(0)),
        ),
        scenario(
            "a birthday tomorrow is 1 day away",
            is_greeted("Tomorrow", &in_days(1)),
        ),
        scenario(
            "a birthday in 100 days is 100 days away",
            is_greeted("Hundred", &in_days(100)),
        ),
        scenario(
            "a user born yesterday is greeted",
            is_greeted("Newborn", &yesterday),
        ),
        scenario("a leap day is greeted", is_greeted("Leap", "2000-02-29")),
        scenario(
            "the first day of the calendar is greeted",
            is_greeted("Ancient", "0001-01-01"),
        ),
        scenario(
            "an unknown user is 404, for HEAD too",
            vec![
                get("/hello/Unknown", 404, problem(USER_NOT_FOUND)),
                head("/hello/Unknown", 404, problem(USER_NOT_FOUND)),
            ],
        ),
        scenario(
            "a second PUT replaces the first",
            [save("Twice", "1990-06-20")]
                .into_iter()
                .chain(is_greeted("Twice", &in_days(3)))
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
    .map(|path| get(path, 404, problem(NO_ROUTE)))
    .collect();
    steps.push(step("PUT", "/hello/", 404, problem(NO_ROUTE)));
    steps.push(step("OPTIONS", "/nowhere", 404, problem(NO_ROUTE)));
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
    scenario("paths match as a whole, and case-sensitively", steps)
}

fn methods() -> Scenario {
    let allow = |methods| Expected::Nothing {
        allow: Some(methods),
    };
    let refused = |methods| Expected::Problem {
        detail: METHOD_NOT_ALLOWED,
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
    scenario("a method that is not allowed is 405 with Allow", steps)
}

fn usernames(today: NaiveDate) -> Scenario {
    let longest = "x".repeat(64);
    let born = "1990-06-20";
    let days = rule::days_until(born.parse().expect("a date"), today);
    let mut steps = vec![
        save("Decoded", born),
        // Percent-decoded in the greeting, and the query is ignored.
        get("/hello/%44ecoded?lang=de", 200, greets("Decoded", days)),
        get("/hello/decoded", 404, problem(USER_NOT_FOUND)),
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
    steps.push(get("/hello/Media", 404, problem(USER_NOT_FOUND)));
    for json_type in [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        "application/json ;x=y",
    ] {
        steps.push(with(&[("content-type", json_type)], 204, nothing()));
    }
    // RFC 9110, section 8.3: without a type, the recipient may examine the content.
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
    let refused = || put(USER, BODY, 412, problem(NO_ENTITY_TAG));
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
        // RFC 9110, section 13.2.1: after all other checks of path, method and headers, and before
        // the content is processed.
        with(&[TAG], put(USER, "{", 412, problem(NO_ENTITY_TAG))),
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
        with(
            &[TAG],
            step("DELETE", USER, 405, problem(METHOD_NOT_ALLOWED)),
        ),
        with(&[TAG], get(USER, 404, problem(USER_NOT_FOUND))),
        with(&[TAG], head(USER, 404, problem(USER_NOT_FOUND))),
        with(&[TAG], get("/nowhere", 404, problem(NO_ROUTE))),
        with(
            &[("if-none-match", "*")],
            get(USER, 404, problem(USER_NOT_FOUND)),
        ),
        // So far, nothing was saved.
        with(
            &[("if-none-match", "\"x\", W/\"y\"")],
            put(USER, BODY, 204, nothing()),
        ),
        with(
            &[("if-none-match", "\"*\"")],
            put(USER, BODY, 204, nothing()),
        ),
        // Ignored: there is no modification date.
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
            steps.push(with(&[TAG], request(path, 412, problem(NO_ENTITY_TAG))));
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
            DUPLICATE,
        ),
        (
            r#"{"dateOfBirth":"1990-06-20","dateOf\u0042irth":"1991-06-20"}"#,
            DUPLICATE,
        ),
        (r#"{"x":1,"dateOfBirth":"1990-06-20","x":2}"#, DUPLICATE),
    ]
    .into_iter()
    .map(|(body, detail)| put("/hello/Body", body, 400, problem(detail)))
    .collect();
    steps.push(Step {
        body: b"{\"dateOfBirth\":\"1990-06-2\xff\"}".to_vec(),
        ..put("/hello/Body", "", 400, problem(OBJECT))
    });
    // Nested as deep as 4096 bytes allow: the stack of a component is small.
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
    steps.push(get("/hello/Body", 404, problem(USER_NOT_FOUND)));
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
    scenario("a body is a single JSON object with a date", steps)
}

fn sizes() -> Scenario {
    let padded = |length: usize| format!("{:<length$}", r#"{"dateOfBirth":"1990-06-20"}"#);
    scenario(
        "a body must not exceed 4096 bytes",
        vec![
            put("/hello/Size", &padded(4097), 413, problem(TOO_LARGE)),
            put("/hello/Size", &padded(60_000), 413, problem(TOO_LARGE)),
            get("/hello/Size", 404, problem(USER_NOT_FOUND)),
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
        ("0000-01-01", NOT_A_DATE),
        ("1990-00-01", NOT_A_DATE),
        ("1990-13-01", NOT_A_DATE),
        ("1990-01-00", NOT_A_DATE),
        ("1990-06-31", NOT_A_DATE),
        ("1990-02-29", NOT_A_DATE),
        ("1900-02-29", NOT_A_DATE),
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
    steps.push(get("/hello/Date", 404, problem(USER_NOT_FOUND)));
    scenario("a date is a past calendar date, in ten bytes", steps)
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
    scenario("metrics and documentation are served", steps)
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
                    ..ask(&path, 406, problem(GZIP_ONLY))
                });
            }
        }
    }
    for name in ["swagger-ui.css", "..", "index.html", "%2e%2e%2fCargo.toml"] {
        steps.push(get(&format!("/docs/{name}"), 404, problem(FILE_NOT_FOUND)));
        steps.push(head(&format!("/docs/{name}"), 404, problem(FILE_NOT_FOUND)));
    }
    scenario("static files are served gzip-encoded", steps)
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
