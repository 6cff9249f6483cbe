//! Routes: from a request to a response. The only module that knows a status code.
//!
//! A request is refused as early as it can be: path, then method, then the headers, and only
//! then is a body read. No answer echoes its input, and none tells why a store failed; that
//! is for the operator, and travels beside the response as a [`Cause`].

mod body;
mod problem;

use std::borrow::Cow;

use chrono::NaiveDate;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use percent_encoding::percent_decode_str;
use serde::Serialize;

pub use body::{ReadError, RequestBody};
use problem::Problem;

use crate::{
    birthday::DateOfBirth,
    greeting::greeting,
    store::{StoreError, UserStore},
    username::Username,
};

/// The longest request body that is read, in bytes.
pub const MAX_BODY: usize = 4096;

/// The request headers that [`respond`] looks at: a host may keep the others to itself.
pub const READ_HEADERS: [HeaderName; 3] = [
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
];

/// A response body: whole, and small or static.
pub type Body = Cow<'static, [u8]>;

/// Why a response is a 5xx, for the log: an extension of the [`Response`].
#[derive(Clone, Debug)]
pub struct Cause(pub StoreError);

/// Answers `request` from `store`, where `today` is the UTC date.
///
/// The answer to HEAD carries the body that GET would have, so that the server can state its
/// length; the server leaves the body out (RFC 9110, section 9.3.2).
pub async fn respond<B: RequestBody, S: UserStore>(
    request: Request<B>,
    store: &S,
    today: NaiveDate,
) -> Response<Body> {
    let answer = route(request, store, today).await;
    finish(answer.unwrap_or_else(Problem::into_response))
}

/// The answer to a request that a host could not even express.
#[must_use]
pub fn malformed() -> Response<Body> {
    finish(Problem::bad_request("the request is not well-formed HTTP").into_response())
}

/// Adds what every answer has.
fn finish(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn route<B: RequestBody, S: UserStore>(
    request: Request<B>,
    store: &S,
    today: NaiveDate,
) -> Result<Response<Body>, Problem> {
    let path = request.uri().path().to_owned();
    let method = request.method().clone();
    match path.as_str() {
        "/livez" => match method {
            Method::GET | Method::HEAD => Ok(json(&Health { status: "alive" })),
            other => not_a_method(&other, "GET, HEAD, OPTIONS"),
        },
        "/readyz" => match method {
            Method::GET | Method::HEAD => {
                store.ping().await?;
                Ok(json(&Health { status: "ready" }))
            }
            other => not_a_method(&other, "GET, HEAD, OPTIONS"),
        },
        path => match path.strip_prefix("/hello/") {
            Some(segment) if !segment.is_empty() && !segment.contains('/') => match method {
                Method::GET | Method::HEAD => greet(segment, store, today).await,
                Method::PUT => save(segment, request, store, today).await,
                other => not_a_method(&other, "GET, HEAD, PUT, OPTIONS"),
            },
            _ => Err(Problem::not_found("there is nothing at this path")),
        },
    }
}

async fn greet<S: UserStore>(
    segment: &str,
    store: &S,
    today: NaiveDate,
) -> Result<Response<Body>, Problem> {
    let username = username(segment)?;
    let born = store
        .birthday_of(&username)
        .await?
        .ok_or_else(|| Problem::not_found("there is no user of this name"))?;
    Ok(json(&Greeting {
        message: greeting(&username, born.days_until(today)),
    }))
}

async fn save<B: RequestBody, S: UserStore>(
    segment: &str,
    request: Request<B>,
    store: &S,
    today: NaiveDate,
) -> Result<Response<Body>, Problem> {
    let username = username(segment)?;
    body::check_headers(request.headers())?;
    let bytes = request.into_body().read(MAX_BODY).await?;
    let text = body::date_of_birth(&bytes)?;
    let born = DateOfBirth::parse(text.as_bytes())
        .and_then(|born| born.before(today))
        .map_err(|error| Problem::bad_request(error.to_string()))?;
    store.save(&username, born).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

fn username(segment: &str) -> Result<Username, Problem> {
    let bytes: Cow<[u8]> = percent_decode_str(segment).into();
    Username::parse(&bytes).map_err(|error| Problem::bad_request(error.to_string()))
}

/// `OPTIONS` is answered; any other method is not taken here.
fn not_a_method(method: &Method, allow: &'static str) -> Result<Response<Body>, Problem> {
    if *method == Method::OPTIONS {
        let mut response = empty(StatusCode::NO_CONTENT);
        response
            .headers_mut()
            .insert(header::ALLOW, HeaderValue::from_static(allow));
        Ok(response)
    } else {
        Err(Problem::method_not_allowed(allow))
    }
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
    typed("application/json", content)
}

fn typed(content_type: &'static str, content: &impl Serialize) -> Response<Body> {
    let bytes = serde_json::to_vec(content)
        .unwrap_or_else(|_| unreachable!("a struct of strings and numbers is JSON"));
    let mut response = Response::new(Body::from(bytes));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
