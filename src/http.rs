//! Routes: from a request to an answer. The only module that knows a status code.
//!
//! A request is refused as early as it can be: path, then method, then the headers, and only
//! then is a body read. No answer echoes its input, and none tells why a store failed; that
//! is for the operator, and travels beside the response as a [`Failure`].

mod body;
mod problem;
mod route;

use std::{borrow::Cow, time::Duration};

use chrono::NaiveDate;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use percent_encoding::percent_decode_str;
use serde::Serialize;

pub use body::{ReadError, RequestBody};
use problem::Problem;
pub use route::{METHOD_NAMES, OTHER, Route, method_name};

use crate::{
    birthday::DateOfBirth,
    correlation::{TRACEPARENT, X_REQUEST_ID},
    docs,
    greeting::greeting,
    host::{Host, Session},
    metrics,
    store::{Binding, Operation, StoreError, UserStore},
    username::Username,
};

/// The longest request body that is read, in bytes.
pub const MAX_BODY: usize = 4096;

/// How long a store may take to answer `/readyz`.
pub const READY_WITHIN: Duration = Duration::from_secs(2);

/// The request headers that the service looks at: a host may keep the others to itself.
pub const READ_HEADERS: [HeaderName; 6] = [
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::ACCEPT_ENCODING,
    X_REQUEST_ID,
    TRACEPARENT,
];

/// A response body: whole.
pub type Body = Cow<'static, [u8]>;

/// A response, and what the log and the metrics have to know of it.
#[derive(Debug)]
pub struct Answer {
    /// What the client gets.
    pub response: Response<Body>,
    /// By which route.
    pub route: Route,
    /// Why it is a 503.
    pub failure: Option<Box<Failure>>,
}

/// A call of a store that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What logs and metrics call the store.
    pub store: &'static str,
    /// What was asked of it.
    pub operation: Operation,
    /// What it said.
    pub error: StoreError,
}

/// Answers `request` on the UTC date `today`; `clock` tells the time since some moment.
///
/// The answer to HEAD carries the body that GET would have, so that the server can state its
/// length; the server leaves the body out (RFC 9110, section 9.3.2).
pub async fn respond<B: RequestBody, H: Host>(
    request: Request<B>,
    session: &Session<'_, H>,
    today: NaiveDate,
    clock: impl Fn() -> Duration,
) -> Answer {
    let path = request.uri().path().to_owned();
    let (route, segment) = Route::of(&path);
    let mut answer = match request.method() {
        &Method::OPTIONS if !matches!(route, Route::Hello | Route::Unknown) => Ok(options(route)),
        _ => match route {
            Route::Hello => hello(segment, request, session, today).await,
            Route::Unknown => Err(Problem::not_found("there is nothing at this path")),
            _ if request.method() != Method::GET && request.method() != Method::HEAD => {
                Err(Problem::method_not_allowed(route.allow()))
            }
            Route::Metrics => expose(session).await,
            Route::Docs => Ok(page()),
            Route::DocsAsset => asset(segment, request.headers()),
            Route::OpenApi => Ok(openapi()),
            Route::Livez => Ok(json(&Health { status: "alive" })),
            Route::Readyz => ready(session, clock).await,
        },
    };
    let failure = answer.as_mut().err().and_then(Problem::take_failure);
    Answer {
        response: finish(answer.unwrap_or_else(Problem::into_response)),
        route,
        failure,
    }
}

/// The answer to a request that a host could not even express.
#[must_use]
pub fn malformed() -> Answer {
    let problem = Problem::bad_request("the request is not well-formed HTTP");
    Answer {
        response: finish(problem.into_response()),
        route: Route::Unknown,
        failure: None,
    }
}

/// Adds what every answer has.
fn finish(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

fn options(route: Route) -> Response<Body> {
    let mut response = empty(StatusCode::NO_CONTENT);
    response
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static(route.allow()));
    response
}

async fn hello<B: RequestBody, H: Host>(
    segment: &str,
    request: Request<B>,
    session: &Session<'_, H>,
    today: NaiveDate,
) -> Result<Response<Body>, Problem> {
    match *request.method() {
        Method::GET | Method::HEAD => greet(segment, session, today).await,
        Method::PUT => save(segment, request, session, today).await,
        Method::OPTIONS => username(segment).map(|_| options(Route::Hello)),
        _ => Err(Problem::method_not_allowed(Route::Hello.allow())),
    }
}

async fn greet<H: Host>(
    segment: &str,
    session: &Session<'_, H>,
    today: NaiveDate,
) -> Result<Response<Body>, Problem> {
    let username = username(segment)?;
    let born = session
        .birthday_of(&username)
        .await
        .map_err(|error| failed(session, Operation::Read, error))?
        .ok_or_else(|| Problem::not_found("there is no user of this name"))?;
    Ok(json(&Greeting {
        message: greeting(&username, born.days_until(today)),
    }))
}

async fn save<B: RequestBody, H: Host>(
    segment: &str,
    request: Request<B>,
    session: &Session<'_, H>,
    today: NaiveDate,
) -> Result<Response<Body>, Problem> {
    let username = username(segment)?;
    body::check_headers(request.headers())?;
    let bytes = request.into_body().read(MAX_BODY).await?;
    let text = body::date_of_birth(&bytes)?;
    let born = DateOfBirth::parse(text.as_bytes())
        .and_then(|born| born.before(today))
        .map_err(|error| Problem::bad_request(error.to_string()))?;
    session
        .save(&username, born)
        .await
        .map_err(|error| failed(session, Operation::Write, error))?;
    Ok(empty(StatusCode::NO_CONTENT))
}

/// A guest cannot end a call of its host; it can refuse to call a store ready that was slow.
async fn ready<H: Host>(
    session: &Session<'_, H>,
    clock: impl Fn() -> Duration,
) -> Result<Response<Body>, Problem> {
    let asked = clock();
    let answer = session.ping().await.and_then(|()| {
        if clock().saturating_sub(asked) > READY_WITHIN {
            let seconds = READY_WITHIN.as_secs();
            let why = format!("it took more than {seconds} s to answer");
            return Err(StoreError::Unavailable(why));
        }
        Ok(())
    });
    answer.map_err(|error| {
        let dependency = session.binding().map_or("configuration", Binding::name);
        failed(session, Operation::Ping, error).naming(dependency)
    })?;
    Ok(json(&Health { status: "ready" }))
}

fn failed<H: Host>(session: &Session<'_, H>, operation: Operation, error: StoreError) -> Problem {
    Problem::failure(Failure {
        store: session.store_name(),
        operation,
        error,
    })
}

async fn expose<H: Host>(session: &Session<'_, H>) -> Result<Response<Body>, Problem> {
    let build = metrics::Build {
        host: H::NAME,
        store: session.store_name(),
    };
    let exposition = match session.counters() {
        Ok(counters) => metrics::expose(counters.as_ref(), build).await,
        Err(error) => Err(error),
    };
    let text = exposition.map_err(|error| {
        Problem::failure(Failure {
            store: metrics::STORE,
            operation: Operation::Read,
            error,
        })
    })?;
    Ok(typed(metrics::CONTENT_TYPE, text.into_bytes()))
}

fn page() -> Response<Body> {
    let mut response = typed("text/html; charset=utf-8", docs::PAGE.as_bytes());
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(docs::CONTENT_SECURITY_POLICY),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

fn openapi() -> Response<Body> {
    let mut response = typed("application/json", docs::OPENAPI);
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

fn asset(name: &str, headers: &HeaderMap) -> Result<Response<Body>, Problem> {
    let asset =
        docs::asset(name).ok_or_else(|| Problem::not_found("there is no file of this name"))?;
    if !takes_gzip(headers) {
        return Err(Problem::not_acceptable("this file is there as gzip alone"));
    }
    let mut response = typed(asset.content_type, asset.gzip());
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_ENCODING, "gzip"),
        (header::VARY, "accept-encoding"),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}

/// Whether `accept-encoding` lets gzip through; without the header anything goes (RFC 9110,
/// section 12.5.3).
fn takes_gzip(headers: &HeaderMap) -> bool {
    if !headers.contains_key(header::ACCEPT_ENCODING) {
        return true;
    }
    let weight_of = |wanted: &str| {
        headers
            .get_all(header::ACCEPT_ENCODING)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(|item| item.split_once(';').unwrap_or((item, "q=1")))
            .find(|(coding, _)| coding.trim().eq_ignore_ascii_case(wanted))
            .map(|(_, weight)| weight)
    };
    // Of a weight, only that it is not zero matters: `q=0`, `q=0.0`.
    let weight = weight_of("gzip").or_else(|| weight_of("*"));
    weight.is_some_and(|weight| weight.contains(|digit| ('1'..='9').contains(&digit)))
}

fn username(segment: &str) -> Result<Username, Problem> {
    let bytes: Cow<[u8]> = percent_decode_str(segment).into();
    Username::parse(&bytes).map_err(|error| Problem::bad_request(error.to_string()))
}

#[derive(Serialize)]
struct Greeting {
    message: String,
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::default());
    *response.status_mut() = status;
    response
}

fn json(content: &impl Serialize) -> Response<Body> {
    typed("application/json", to_json(content))
}

fn to_json(content: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(content)
        .unwrap_or_else(|_| unreachable!("a struct of strings and numbers is JSON"))
}

fn typed(content_type: &'static str, content: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(content.into());
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
