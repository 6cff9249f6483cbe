//! The HTTP API: from a request to a response. The only module that knows a status code.
//!
//! A request is refused as early as possible: by its path, its method, its headers, its
//! preconditions, and only then is a body read. No response echoes its input or contains the cause of a store's failure; that is
//! for the operator, and is returned beside the response as a [`Failure`].

pub mod body;
pub mod docs;
mod preconditions;
mod problem;
pub mod response;

use std::{borrow::Cow, time::Duration};

use chrono::NaiveDate;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header,
    request::Parts,
};
use percent_encoding::percent_decode_str;
use serde::Serialize;

use body::{MAX_BODY, RequestBody};
use problem::Problem;
use response::{Body, empty, json, typed};

use crate::{
    birthday::DateOfBirth,
    greeting::greeting,
    host::{Host, Session},
    metrics::{self, exposition},
    request_id::X_REQUEST_ID,
    route::Route,
    store::{Failure, Operation, StoreError, UserStore, binding::Binding},
    trace_context::TRACEPARENT,
    username::Username,
};

/// How long the store may take to respond to `/readyz`.
pub const READINESS_TIMEOUT: Duration = Duration::from_secs(2);

/// The request headers that the service reads; a host need not pass on any other.
pub const READ_HEADERS: [HeaderName; 9] = [
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::ACCEPT_ENCODING,
    X_REQUEST_ID,
    TRACEPARENT,
];

/// A response, and what the log and the metrics need to know of it.
#[derive(Debug)]
pub struct Outcome {
    /// What the client gets.
    pub response: Response<Body>,
    /// The route of the request.
    pub route: Route,
    /// The cause of a 503.
    pub failure: Option<Box<Failure>>,
}

/// Responds to `request` on the UTC date `today`; `clock` is monotonic, from an arbitrary moment.
///
/// The response to HEAD carries the body that GET would have, so that the server can state its
/// length; the server omits the body (RFC 9110, section 9.3.2).
///
/// ```
/// use std::time::Duration;
///
/// use hello::{
///     api::respond,
///     host::{Session, memory::MemoryHost},
/// };
/// use http::Request;
/// use pollster::block_on;
///
/// let host = MemoryHost::default();
/// let today = "2026-11-22".parse().expect("a date");
/// let send = |method: &str, body: &'static str| {
///     let request = Request::builder()
///         .method(method)
///         .uri("/hello/Ada")
///         .header("content-type", "application/json")
///         .body(body.as_bytes())
///         .expect("a request");
///     block_on(respond(request, &Session::new(&host), today, || {
///         Duration::ZERO
///     }))
///     .response
/// };
/// assert_eq!(send("PUT", r#"{"dateOfBirth":"1990-11-23"}"#).status(), 204);
/// assert_eq!(
///     send("GET", "").body().as_ref(),
///     br#"{"message":"Hello, Ada! Your birthday is in 1 day(s)"}"#
/// );
/// ```
pub async fn respond<B: RequestBody, H: Host>(
    request: Request<B>,
    session: &Session<'_, H>,
    today: NaiveDate,
    clock: impl Fn() -> Duration,
) -> Outcome {
    let (head, body) = request.into_parts();
    let (route, parameter) = Route::match_path(head.uri.path());
    let mut result = match head.method {
        Method::OPTIONS if !matches!(route, Route::Hello | Route::Unknown) => Ok(options(route)),
        _ => match route {
            Route::Hello => hello(parameter, &head, body, session, today).await,
            Route::Unknown => Err(Problem::not_found("no such route")),
            _ if !matches!(head.method, Method::GET | Method::HEAD) => {
                Err(Problem::method_not_allowed(route.allow()))
            }
            Route::Metrics => metrics(session).await,
            Route::Docs => Ok(docs_page()),
            Route::DocsAsset => asset(parameter, &head.headers),
            Route::OpenApi => Ok(openapi()),
            Route::Livez => Ok(json(&Health { status: "alive" })),
            Route::Readyz => ready(session, clock).await,
        },
    };
    if result.is_ok()
        && matches!(head.method, Method::GET | Method::HEAD)
        && let Err(problem) = preconditions::evaluate(&head.headers)
    {
        result = Err(problem);
    }
    let failure = result.as_mut().err().and_then(Problem::take_failure);
    Outcome {
        response: finish(result.unwrap_or_else(Problem::into_response)),
        route,
        failure,
    }
}

/// The response to a request that is not valid HTTP: like all errors, problem details.
///
/// ```
/// let response = hello::api::malformed().response;
/// assert_eq!(response.status(), 400);
/// assert_eq!(
///     response.headers()["content-type"],
///     "application/problem+json"
/// );
/// assert_eq!(
///     response.body().as_ref(),
///     br#"{"type":"about:blank","title":"Bad Request","status":400,"detail":"malformed HTTP request"}"#
/// );
/// ```
#[must_use]
pub fn malformed() -> Outcome {
    let problem = Problem::bad_request("malformed HTTP request");
    Outcome {
        response: finish(problem.into_response()),
        route: Route::Unknown,
        failure: None,
    }
}

/// Adds the headers of every response.
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
    username: &str,
    head: &Parts,
    body: B,
    session: &Session<'_, H>,
    today: NaiveDate,
) -> Result<Response<Body>, Problem> {
    let username = || parse_username(username);
    match head.method {
        Method::GET | Method::HEAD => greet(&username()?, session, today).await,
        Method::PUT => save(&username()?, &head.headers, body, session, today).await,
        Method::OPTIONS => username().map(|_| options(Route::Hello)),
        _ => Err(Problem::method_not_allowed(Route::Hello.allow())),
    }
}

async fn greet<H: Host>(
    username: &Username,
    session: &Session<'_, H>,
    today: NaiveDate,
) -> Result<Response<Body>, Problem> {
    let born = session
        .birthday_of(username)
        .await
        .map_err(|error| failed(session, Operation::Read, error))?
        .ok_or_else(|| Problem::not_found("user not found"))?;
    Ok(json(&Greeting {
        message: greeting(username, born.days_until(today)),
    }))
}

async fn save<B: RequestBody, H: Host>(
    username: &Username,
    headers: &HeaderMap,
    body: B,
    session: &Session<'_, H>,
    today: NaiveDate,
) -> Result<Response<Body>, Problem> {
    let body = body::accept(headers, body).await?;
    preconditions::evaluate(headers)?;
    let bytes = body.read(MAX_BODY).await?;
    let text = body::date_of_birth(&bytes)?;
    let born = DateOfBirth::parse(text.as_bytes())
        .and_then(|born| born.before(today))
        .map_err(|error| Problem::bad_request(error.to_string()))?;
    session
        .save(username, born)
        .await
        .map_err(|error| failed(session, Operation::Write, error))?;
    Ok(empty(StatusCode::NO_CONTENT))
}

/// A guest cannot cancel a call to its host, but it can report a slow store as not ready.
async fn ready<H: Host>(
    session: &Session<'_, H>,
    clock: impl Fn() -> Duration,
) -> Result<Response<Body>, Problem> {
    let started = clock();
    let pinged = session.ping().await.and_then(|()| {
        if clock().saturating_sub(started) > READINESS_TIMEOUT {
            let seconds = READINESS_TIMEOUT.as_secs();
            let why = format!("timed out after {seconds} s");
            return Err(StoreError::Unavailable(why));
        }
        Ok(())
    });
    pinged.map_err(|error| {
        let dependency = session.binding().map_or("configuration", Binding::name);
        failed(session, Operation::Ping, error).with_dependency(dependency)
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

async fn metrics<H: Host>(session: &Session<'_, H>) -> Result<Response<Body>, Problem> {
    let build = exposition::Build {
        host: H::NAME,
        wasi: H::WASI,
        store: session.store_name(),
    };
    let text = match session.counters() {
        Ok(counters) => exposition::encode(counters.as_ref(), build).await,
        Err(error) => Err(error),
    };
    let text = text.map_err(|error| {
        Problem::failure(Failure {
            store: metrics::STORE,
            operation: Operation::Read,
            error,
        })
    })?;
    Ok(typed(exposition::CONTENT_TYPE, text.into_bytes()))
}

fn docs_page() -> Response<Body> {
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
    let asset = docs::asset(name).ok_or_else(|| Problem::not_found("file not found"))?;
    if !accepts_gzip(headers) {
        return Err(Problem::not_acceptable("only available gzip-encoded"));
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

/// Whether `accept-encoding` allows gzip; without the header any coding is acceptable (RFC 9110,
/// section 12.5.3).
fn accepts_gzip(headers: &HeaderMap) -> bool {
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

fn parse_username(segment: &str) -> Result<Username, Problem> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_malformed_request_is_a_problem_without_a_route() {
        let Outcome {
            response,
            route,
            failure,
        } = malformed();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
        assert_eq!((route, failure), (Route::Unknown, None));
    }
}
