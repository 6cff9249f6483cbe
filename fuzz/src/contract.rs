//! The oracle: what the contract says to a request, written from the README, the OpenAPI document and
//! the RFCs, and not from the code.

use hello::api::docs;
use http::Uri;

use crate::{
    calendar::Date,
    json::{self, Value},
    request::Request,
};

/// The users that there are before a request.
pub const USERS: [(&str, Date); 2] = [
    (
        "Ada",
        Date::new(1990, 6, 20).expect("a day of the calendar"),
    ),
    (
        "Leap",
        Date::new(1992, 2, 29).expect("a day of the calendar"),
    ),
];

/// The id of a request that brings none.
pub const FRESH_ID: &str = "00000000000000000000000000000000";

const EMPTY: &str = "request body is required";
const NO_OBJECT: &str = "request body must be a single JSON object";
const NO_STRING: &str = "dateOfBirth must be a string";
const TOO_LARGE: &str = "request body must not exceed 4096 bytes";

/// The headers that the service reads: an invalid value of another one is none of its business.
const READ: [&str; 9] = [
    "content-type",
    "content-encoding",
    "content-length",
    "content-range",
    "if-match",
    "if-none-match",
    "accept-encoding",
    "x-request-id",
    "traceparent",
];

/// What becomes of a request.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The method in the log and in metrics.
    pub method: &'static str,
    /// The route: its template, and its name in a counter.
    pub route: (&'static str, &'static str),
    /// The id in the response and in the log.
    pub request_id: String,
    /// The trace and the span in the log.
    pub trace: Option<(String, String)>,
    /// The answers that the contract allows: one, but where input is invalid in two ways at once.
    pub answers: Vec<Answer>,
}

/// An answer, and what is saved with it.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers, but for the content's length and the request's id.
    pub headers: Vec<(&'static str, &'static str)>,
    /// The body.
    pub body: Body,
    /// The user that is saved.
    pub saved: Option<(String, Date)>,
}

/// A body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// This one.
    Exact(Vec<u8>),
    /// Metrics, without any counter.
    Metrics,
}

/// What the contract says to `request`.
#[must_use]
pub fn verdict(request: &Request) -> Verdict {
    let Some(path) = valid_path(request) else {
        return Verdict {
            method: "_OTHER",
            route: ("_OTHER", "unknown"),
            request_id: FRESH_ID.to_owned(),
            trace: None,
            answers: vec![problem(400, "malformed HTTP request")],
        };
    };
    let known = [
        "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
    ];
    let method = known
        .into_iter()
        .find(|name| name.as_bytes() == request.method);
    let method = method.unwrap_or("_OTHER");
    let segments: Vec<&str> = path.split('/').collect();
    let (route, answers) = match segments[..] {
        ["", "hello", username] if !username.is_empty() => (
            ("/hello/{username}", "hello"),
            hello(method, username, request),
        ),
        ["", "docs", asset] if !asset.is_empty() => (
            ("/docs/{asset}", "asset"),
            read(method, request, || file(asset, request)),
        ),
        ["", name] => {
            let (route, content): (_, fn() -> Answer) = match name {
                "metrics" => (("/metrics", "metrics"), metrics),
                "docs" => (("/docs", "docs"), page),
                "openapi.json" => (("/openapi.json", "openapi"), openapi),
                "livez" => (("/livez", "livez"), || health("alive")),
                "readyz" => (("/readyz", "readyz"), || health("ready")),
                _ => (("_OTHER", "unknown"), nowhere),
            };
            let answers = match route.1 {
                "unknown" => vec![nowhere()],
                _ => read(method, request, || vec![content()]),
            };
            (route, answers)
        }
        _ => (("_OTHER", "unknown"), vec![nowhere()]),
    };
    Verdict {
        method,
        route,
        request_id: request_id(request.values("x-request-id").next()),
        trace: request.values("traceparent").next().and_then(trace_context),
        answers,
    }
}

/// The path, if method, path and headers are valid HTTP.
fn valid_path(request: &Request) -> Option<String> {
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let is_value = |byte: &u8| *byte == b'\t' || *byte >= b' ' && *byte != 0x7f;
    let mut values = READ
        .into_iter()
        .flat_map(|name| request.values(name))
        .flatten();
    let is_valid =
        !request.method.is_empty() && request.method.iter().all(is_token) && values.all(is_value);
    // The grammar of a URI is the HTTP library's.
    let uri: Uri = request.path.parse().ok().filter(|_| is_valid)?;
    Some(uri.path().to_owned())
}

fn hello(method: &str, segment: &str, request: &Request) -> Vec<Answer> {
    if !["GET", "HEAD", "PUT", "OPTIONS"].contains(&method) {
        return vec![not_allowed("GET, HEAD, PUT, OPTIONS")];
    }
    let username = match username(&percent_decoded(segment)) {
        Ok(username) => username,
        Err(detail) => return vec![problem(400, detail)],
    };
    match method {
        "OPTIONS" => vec![options("GET, HEAD, PUT, OPTIONS")],
        "PUT" => put(username, request),
        _ => match USERS.into_iter().find(|(name, _)| *name == username) {
            None => vec![problem(404, "user not found")],
            Some(_) if precondition(request).is_some() => {
                precondition(request).into_iter().collect()
            }
            Some((_, born)) => {
                let wishes = match born.days_until_birthday(request.today) {
                    0 => "Happy birthday!".to_owned(),
                    days => format!("Your birthday is in {days} day(s)"),
                };
                let json = format!(r#"{{"message":"Hello, {username}! {wishes}"}}"#);
                vec![ok("application/json", "no-store", json)]
            }
        },
    }
}

fn put(username: String, request: &Request) -> Vec<Answer> {
    let length = request.values("content-length").next();
    let length: Option<u64> = length.and_then(|it| std::str::from_utf8(it).ok()?.parse().ok());
    let types: Vec<&[u8]> = request.values("content-type").collect();
    let is_json = match types[..] {
        [] => true,
        [one] => {
            let name = one.split(|byte| *byte == b';').next().unwrap_or_default();
            name.trim_ascii().eq_ignore_ascii_case(b"application/json")
        }
        _ => false,
    };
    let refused = if length == Some(0) {
        Some(problem(400, EMPTY))
    } else if request.has("content-range") {
        Some(problem(
            400,
            "partial PUT is not supported: send no content-range",
        ))
    } else if (!is_json || request.has("content-encoding"))
        && length.is_none()
        && request.body.is_empty()
    {
        Some(problem(400, EMPTY))
    } else if !is_json {
        Some(problem(415, "send content-type: application/json").with("accept", "application/json"))
    } else if request.has("content-encoding") {
        Some(problem(415, "send no content-encoding").with("accept-encoding", "identity"))
    } else if length.is_some_and(|length| length > 4096) {
        Some(problem(413, TOO_LARGE))
    } else if let Some(refused) = precondition(request) {
        Some(refused)
    } else if request.body.len() > 4096 {
        Some(problem(413, TOO_LARGE))
    } else if request.body.is_empty() {
        Some(problem(400, EMPTY))
    } else {
        None
    };
    if let Some(refused) = refused {
        return vec![refused];
    }
    match born(&request.body, request.today) {
        Ok(born) => vec![Answer {
            saved: Some((username, born)),
            ..answer(204, Vec::new())
        }],
        Err(details) => details
            .into_iter()
            .map(|detail| problem(400, detail))
            .collect(),
    }
}

/// The date in a body; else what may be said of it.
fn born(body: &[u8], today: Date) -> Result<Date, Vec<&'static str>> {
    let members = json::members(body, "dateOfBirth").ok_or_else(|| vec![NO_OBJECT])?;
    let mut values = members.iter().filter(|(name, _)| name == "dateOfBirth");
    let value = values.next().map(|(_, value)| value);
    let mut names: Vec<&String> = members.iter().map(|(name, _)| name).collect();
    names.sort_unstable();
    let details = if names.windows(2).any(|pair| pair[0] == pair[1]) {
        vec!["duplicate member in JSON object"]
    } else {
        match value {
            None => vec!["dateOfBirth is missing"],
            Some(Value::Text(text)) => {
                return date_of_birth(text.as_bytes(), today).map_err(|it| vec![it]);
            }
            Some(Value::Literal | Value::Other) => vec![NO_STRING],
        }
    };
    // RFC 8259, section 9: a parser may limit the range of numbers and the depth of nesting.
    let is_limited = members
        .iter()
        .any(|(name, value)| name == "dateOfBirth" && *value == Value::Other);
    Err(if is_limited {
        [details, vec![NO_OBJECT]].concat()
    } else {
        details
    })
}

/// The verdict on a date of birth.
pub fn date_of_birth(text: &[u8], today: Date) -> Result<Date, &'static str> {
    let date = Date::parse(text).ok_or("dateOfBirth must have the format YYYY-MM-DD")?;
    let date = date.ok_or("dateOfBirth must be a valid calendar date, 0001-01-01 or later")?;
    if date < today {
        Ok(date)
    } else {
        Err("dateOfBirth must be before today (UTC)")
    }
}

/// The verdict on a username.
pub fn username(text: &[u8]) -> Result<String, &'static str> {
    let is_letter = |byte: &u8| byte.is_ascii_alphabetic();
    if !text.iter().all(is_letter) {
        return Err("username must contain only the letters A-Z and a-z");
    }
    match text.len() {
        1..=64 => Ok(String::from_utf8_lossy(text).into_owned()),
        _ => Err("username must be 1 to 64 letters long"),
    }
}

/// The trace and the span of a `traceparent`.
#[must_use]
pub fn trace_context(value: &[u8]) -> Option<(String, String)> {
    let is_text = value
        .iter()
        .all(|byte| *byte == b'\t' || (b' '..=b'~').contains(byte));
    let (head, rest) = value.split_at_checked(55).filter(|_| is_text)?;
    let is_hyphen = |at| [2, 35, 52].contains(&at);
    let is_hexadecimal = |byte| b"0123456789abcdef".contains(&byte);
    let has_form = head.iter().enumerate().all(|(at, byte)| {
        if is_hyphen(at) {
            *byte == b'-'
        } else {
            is_hexadecimal(*byte)
        }
    });
    let (version, trace, span) = (&head[..2], &head[3..35], &head[36..52]);
    let is_zero = |id: &[u8]| id.iter().all(|byte| *byte == b'0');
    let may_end_so = match version {
        b"00" => rest.is_empty(),
        b"ff" => false,
        _ => rest.is_empty() || rest[0] == b'-',
    };
    let text = |id| String::from_utf8_lossy(id).into_owned();
    (has_form && may_end_so && !is_zero(trace) && !is_zero(span)).then(|| (text(trace), text(span)))
}

/// The id of a request that has this `x-request-id`.
#[must_use]
pub fn request_id(value: Option<&[u8]>) -> String {
    let is_kept = |id: &&[u8]| {
        let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte);
        !id.is_empty() && id.len() <= 128 && id.iter().all(is_allowed)
    };
    let kept = value.filter(is_kept).map(String::from_utf8_lossy);
    kept.map_or_else(|| FRESH_ID.to_owned(), |id| id.into_owned())
}

/// A route that is only read, with its `content`.
fn read(method: &str, request: &Request, content: impl Fn() -> Vec<Answer>) -> Vec<Answer> {
    match method {
        "OPTIONS" => vec![options("GET, HEAD, OPTIONS")],
        "GET" | "HEAD" => {
            let answers = content().into_iter();
            let evaluated = answers.map(|answer| match precondition(request) {
                Some(refused) if answer.status == 200 => refused,
                _ => answer,
            });
            evaluated.collect()
        }
        _ => vec![not_allowed("GET, HEAD, OPTIONS")],
    }
}

/// The refusal of a request whose preconditions do not hold, or are not supported.
fn precondition(request: &Request) -> Option<Answer> {
    let is_any = |name| request.values(name).any(|value| value.trim_ascii() == b"*");
    if request.has("if-match") && !is_any("if-match") {
        return Some(problem(
            412,
            "if-match is false: no resource has an entity tag",
        ));
    }
    let is_refused = is_any("if-match") || is_any("if-none-match");
    is_refused.then(|| problem(400, "conditional requests with * are not supported"))
}

fn file(name: &str, request: &Request) -> Vec<Answer> {
    let Some(asset) = docs::ASSETS.iter().find(|asset| asset.name == name) else {
        return vec![problem(404, "file not found")];
    };
    let compressed = ok(
        asset.content_type,
        "public, max-age=31536000, immutable",
        asset.gzip().to_vec(),
    )
    .with("content-encoding", "gzip")
    .with("vary", "accept-encoding");
    let refused = problem(406, "only available gzip-encoded");
    match accepts_gzip(request) {
        Some(true) => vec![compressed],
        Some(false) => vec![refused],
        None => vec![compressed, refused],
    }
}

/// Whether gzip is acceptable (RFC 9110, section 12.5.3); `None` where the header is invalid, or names a
/// coding twice.
fn accepts_gzip(request: &Request) -> Option<bool> {
    if !request.has("accept-encoding") {
        return Some(true);
    }
    let joined = request
        .values("accept-encoding")
        .collect::<Vec<_>>()
        .join(&b',');
    let text = std::str::from_utf8(&joined).ok()?;
    let mut weights = std::collections::BTreeMap::new();
    for item in text.split(',').map(|item| item.trim_matches([' ', '\t'])) {
        if item.is_empty() {
            continue;
        }
        let (coding, weight) = item.split_once(';').unwrap_or((item, "q=1"));
        let coding = coding.trim_end_matches([' ', '\t']).to_ascii_lowercase();
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        let weight = weight.trim_start_matches([' ', '\t']);
        let value = weight
            .strip_prefix("q=")
            .or_else(|| weight.strip_prefix("Q="))?;
        let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
        let has_form = !coding.is_empty()
            && coding.chars().all(is_token)
            && fraction.len() <= 3
            && match whole {
                "0" => fraction.bytes().all(|digit| digit.is_ascii_digit()),
                "1" => fraction.bytes().all(|digit| digit == b'0'),
                _ => false,
            };
        let is_wanted = whole == "1" || fraction.bytes().any(|digit| digit != b'0');
        if !has_form || weights.insert(coding, is_wanted).is_some() {
            return None;
        }
    }
    let weight = weights.get("gzip").or_else(|| weights.get("*"));
    Some(weight.copied().unwrap_or_default())
}

fn percent_decoded(segment: &str) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut rest = segment.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            let are_digits = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            u8::from_str_radix(digits, 16).ok().filter(|_| are_digits)
        });
        match digits.filter(|_| *first == b'%') {
            Some(byte) => {
                decoded.push(byte);
                rest = &after[2..];
            }
            None => {
                decoded.push(*first);
                rest = after;
            }
        }
    }
    decoded
}

impl Answer {
    fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }
}

fn answer(status: u16, body: Vec<u8>) -> Answer {
    Answer {
        status,
        headers: vec![
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-store"),
        ],
        body: Body::Exact(body),
        saved: None,
    }
}

fn ok(media_type: &'static str, caching: &'static str, body: impl Into<Vec<u8>>) -> Answer {
    let mut answer = answer(200, body.into()).with("content-type", media_type);
    answer.headers[1].1 = caching;
    answer
}

fn problem(status: u16, detail: &'static str) -> Answer {
    let title = match status {
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        _ => unreachable!("no answer of the oracle has the status {status}"),
    };
    let json = format!(
        r#"{{"type":"about:blank","title":"{title}","status":{status},"detail":"{detail}"}}"#
    );
    answer(status, json.into_bytes()).with("content-type", "application/problem+json")
}

fn not_allowed(allow: &'static str) -> Answer {
    problem(405, "method not allowed for this resource").with("allow", allow)
}

fn options(allow: &'static str) -> Answer {
    answer(204, Vec::new()).with("allow", allow)
}

fn nowhere() -> Answer {
    problem(404, "no such route")
}

fn health(status: &str) -> Answer {
    ok(
        "application/json",
        "no-store",
        format!(r#"{{"status":"{status}"}}"#),
    )
}

fn openapi() -> Answer {
    ok("application/json", "no-cache", docs::OPENAPI)
}

fn page() -> Answer {
    ok("text/html; charset=utf-8", "no-cache", docs::PAGE)
        .with("content-security-policy", docs::CONTENT_SECURITY_POLICY)
}

fn metrics() -> Answer {
    Answer {
        body: Body::Metrics,
        ..ok("text/plain; version=0.0.4; charset=utf-8", "no-store", "")
    }
}
