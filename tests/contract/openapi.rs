//! The OpenAPI document against the router: every route, method, status and header that is in one is
//! in the other.

use std::collections::{BTreeMap, BTreeSet};

use hello::{
    api::{
        Outcome,
        body::{MAX_BODY, ReadError, RequestBody},
        docs::OPENAPI,
    },
    host::{Host, memory::MemoryHost},
    metrics::memory::MemoryCounters,
    route::{METHOD_NAMES, Route},
    store::{StoreError, binding::Binding, memory::MemoryStore},
};
use http::Request;
use libtest_mimic::Trial;
use serde_json::Value;

use crate::{
    a_day, over, request,
    suite::scenarios::{Step, outage, scenarios},
};

/// A route's template, a method in lower case, and a status.
type Key = (String, String, String);

/// The distinct responses under a key: the names of headers, the media type, a problem's detail.
type Seen = BTreeMap<Key, BTreeSet<(BTreeSet<String>, Option<String>, Option<String>)>>;

pub fn trials() -> [Trial; 3] {
    [
        (
            "every response is documented, and every documented response occurs",
            every_response_is_documented_and_every_documented_response_occurs as fn(),
        ),
        (
            "every header, media type and detail is documented",
            every_header_and_type_and_detail_is_documented,
        ),
        (
            "methods and limits are those of the router",
            methods_and_limits_are_those_of_the_router,
        ),
    ]
    .map(|(name, test)| {
        Trial::test(format!("openapi: {name}"), move || {
            test();
            Ok(())
        })
    })
}

fn every_response_is_documented_and_every_documented_response_occurs() {
    let document = document();
    let documented: BTreeSet<Key> = operations(&document)
        .into_iter()
        .flat_map(|(path, method, operation)| {
            let responses = operation["responses"].as_object().expect("responses");
            let key = move |status: &String| (path.clone(), method.clone(), status.clone());
            responses.keys().map(key)
        })
        .collect();
    let actual: BTreeSet<Key> = seen().into_keys().collect();
    let missing: Vec<_> = actual.difference(&documented).collect();
    let unused: Vec<_> = documented.difference(&actual).collect();
    assert!(missing.is_empty(), "not documented: {missing:?}");
    assert!(unused.is_empty(), "never sent: {unused:?}");
}

fn every_header_and_type_and_detail_is_documented() {
    let document = document();
    for ((path, method, status), responses) in seen() {
        let place = format!("{method} {path} {status}");
        let response = &document["paths"][&path][&method]["responses"][&status];
        let response = resolve(&document, response);
        let headers = response["headers"].as_object().expect("headers");
        let is_required = |name: &str| resolve(&document, &headers[name])["required"] == true;
        // `src/wasi/outgoing.rs` adds it to every response, so none here has it.
        assert!(is_required("x-request-id"), "{place}");
        let mut documented: BTreeSet<_> = headers.keys().cloned().collect();
        documented.remove("x-request-id");
        documented.remove("content-type");
        let sent: BTreeSet<_> = responses.iter().flat_map(|(headers, ..)| headers).collect();
        assert_eq!(sent, documented.iter().collect(), "headers of {place}");
        documented.retain(|name| is_required(name));
        let types = response["content"].as_object();
        let types: BTreeSet<_> = types.into_iter().flat_map(|types| types.keys()).collect();
        for (headers, media_type, detail) in responses {
            assert!(headers.is_superset(&documented), "headers of {place}");
            if method != "head" {
                let mut found = media_type.iter();
                let known = found.all(|found| types.contains(found));
                assert!(known, "{place} has the type {media_type:?}");
                assert_eq!(media_type.is_none(), types.is_empty(), "{place}");
            }
            if let Some(detail) = detail.filter(|_| method != "head") {
                let examples = &response["content"]["application/problem+json"]["examples"];
                let mut examples = examples.as_object().expect("examples").values();
                let shown = examples.any(|shown| shown["value"]["detail"] == *detail);
                assert!(shown, "{place} shows no example of {detail:?}");
            }
        }
    }
}

fn methods_and_limits_are_those_of_the_router() {
    let document = document();
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    let known = |route: &Route| *route != Route::Unknown;
    for route in Route::ALL.into_iter().filter(known) {
        let methods: BTreeSet<String> = operations(&document)
            .into_iter()
            .filter(|(path, ..)| path == route.template())
            .map(|(_, method, _)| method.to_uppercase())
            .collect();
        let allowed: BTreeSet<String> = route.allow().split(", ").map(str::to_owned).collect();
        assert_eq!(methods, allowed, "{}", route.template());
    }
    for path in document["paths"].as_object().expect("paths").keys() {
        assert_eq!(Route::match_path(path).0.template(), path);
    }
    let bytes = format!("at most {MAX_BODY} bytes");
    let body = &document["paths"]["/hello/{username}"]["put"]["requestBody"];
    let description = body["description"].as_str().expect("a description");
    assert!(description.contains(&bytes), "{description}");
}

fn document() -> Value {
    serde_json::from_slice(OPENAPI).expect("the document is JSON")
}

/// Path, method and operation of each operation.
fn operations(document: &Value) -> Vec<(String, String, &Value)> {
    let paths = document["paths"].as_object().expect("paths");
    paths
        .iter()
        .flat_map(|(path, item)| {
            METHOD_NAMES.iter().filter_map(move |method| {
                let method = method.to_lowercase();
                let operation = item.get(&method)?;
                Some((path.clone(), method, operation))
            })
        })
        .collect()
}

fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(reference) => document
            .pointer(&reference[1..])
            .unwrap_or_else(|| panic!("{reference} does not resolve")),
        None => value,
    }
}

/// The responses to the scenario table, and those that need a fault.
fn seen() -> Seen {
    let today = a_day();
    let host = MemoryHost::default();
    let send = |step: Step| (step.method.clone(), over(&host, request(&step), today));
    let table = scenarios(today).into_iter();
    let mut outcomes: Vec<(String, Outcome)> = table
        .flat_map(|scenario| scenario.steps)
        .map(send)
        .collect();
    for error in [ReadError::Timeout, ReadError::Truncated] {
        let request = Request::put("/hello/Ada").header("content-type", "application/json");
        let request = request.body(Unreadable(error)).expect("a request");
        outcomes.push(("PUT".to_owned(), over(&host, request, today)));
    }
    for error in [
        StoreError::Unavailable(String::new()),
        StoreError::Misconfigured(String::new()),
    ] {
        host.users.set_outage(Some(error));
        outcomes.extend(outage("", "").into_iter().map(send));
    }
    for method in ["GET", "HEAD"] {
        let request = Request::builder().method(method).uri("/metrics");
        let request = request.body(&b""[..]).expect("a request");
        outcomes.push((method.to_owned(), over(&WithoutCounters, request, today)));
    }

    let mut seen = Seen::new();
    for (method, outcome) in outcomes {
        // A method without an operation is 405, which OpenAPI has no place for.
        let mut allowed = outcome.route.allow().split(", ");
        if !allowed.any(|allowed| allowed == method) {
            continue;
        }
        let response = outcome.response;
        let headers = response.headers().keys().map(ToString::to_string);
        let media_type = response.headers().get("content-type");
        let body: Value = serde_json::from_slice(response.body()).unwrap_or_default();
        seen.entry((
            outcome.route.template().to_owned(),
            method.to_lowercase(),
            response.status().as_u16().to_string(),
        ))
        .or_default()
        .insert((
            headers.filter(|name| name != "content-type").collect(),
            media_type.map(|value| value.to_str().expect("ASCII").to_owned()),
            body["detail"].as_str().map(str::to_owned),
        ));
    }
    seen
}

/// A body that fails.
struct Unreadable(ReadError);

impl RequestBody for Unreadable {
    async fn read(self, _: usize) -> Result<Vec<u8>, ReadError> {
        Err(self.0)
    }
}

/// A host whose store of counters fails.
struct WithoutCounters;

impl Host for WithoutCounters {
    const NAME: &'static str = "without-counters";

    type Users = MemoryStore;
    type Counters = MemoryCounters;

    fn setting(&self, _: &str) -> Result<Option<String>, String> {
        Ok(None)
    }

    fn users(&self, _: Binding) -> Result<MemoryStore, StoreError> {
        Ok(MemoryStore::default())
    }

    fn counters(&self) -> Result<Option<MemoryCounters>, StoreError> {
        Err(StoreError::Unavailable("gone".to_owned()))
    }
}
