//! Takes the place of hello's component, under the configuration of hello's, and tries what a component that
//! an attacker has taken over would try: GET `/TRY?ARGUMENT` gets `granted: …`, `refused: …`, or
//! `unknown: …` if there is no such try.
//!
//! tests/hosts/sandbox.rs builds on it.

#![cfg(target_family = "wasm")]
#![allow(
    unsafe_code,
    reason = "`export!` expands to the component's entry point"
)]

use std::{
    env, fs,
    net::{TcpStream, ToSocketAddrs},
};

use wasip2::{
    exports::http::incoming_handler::Guest,
    http::{
        outgoing_handler,
        types::{
            Fields, IncomingRequest, OutgoingBody, OutgoingRequest, OutgoingResponse,
            ResponseOutparam, Scheme,
        },
    },
};

struct Sandbox;

impl Guest for Sandbox {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_default();
        let target = target.trim_start_matches('/');
        let (what, argument) = target.split_once('?').unwrap_or((target, ""));
        let text = match attempt(what, argument) {
            Some(Ok(granted)) => format!("granted: {granted}"),
            Some(Err(refused)) => format!("refused: {refused}"),
            None => format!("unknown: {what}"),
        };
        respond(out, text.as_bytes());
    }
}

wasip2::http::proxy::export!(Sandbox);

/// What it got, or how that was refused; `None` if there is no such try.
fn attempt(what: &str, argument: &str) -> Option<Result<String, String>> {
    Some(match what {
        "file" => fs::read(argument)
            .map(|bytes| format!("{} bytes", bytes.len()))
            .map_err(text),
        "create" => fs::write(argument, "written")
            .map(|()| "written".to_owned())
            .map_err(text),
        "directory" => fs::read_dir(argument)
            .map(|entries| format!("{} entries", entries.count()))
            .map_err(text),
        "environment" => {
            let names: Vec<String> = env::vars().map(|(name, _)| name).collect();
            if names.is_empty() {
                Err("it is empty".to_owned())
            } else {
                Ok(names.join(" "))
            }
        }
        "connect" => TcpStream::connect(argument)
            .map(|_| "connected".to_owned())
            .map_err(text),
        "resolve" => (argument, 80)
            .to_socket_addrs()
            .map(|found| format!("{} addresses", found.count()))
            .map_err(text),
        "http" => http(argument),
        #[cfg(feature = "spin")]
        "label" => spin_sdk::key_value::Store::open(argument)
            .map(|_| "opened".to_owned())
            .map_err(text),
        #[cfg(feature = "spin")]
        "postgres" => spin_sdk::pg4::Connection::open(argument)
            .map(|_| "connected".to_owned())
            .map_err(text),
        _ => return None,
    })
}

/// Sends GET / to `authority`.
fn http(authority: &str) -> Result<String, String> {
    let request = OutgoingRequest::new(Fields::new());
    let set = [
        request.set_scheme(Some(&Scheme::Http)),
        request.set_authority(Some(authority)),
        request.set_path_with_query(Some("/")),
    ];
    if set.contains(&Err(())) {
        return Err(format!("{authority} is no authority"));
    }
    let response = outgoing_handler::handle(request, None).map_err(text)?;
    response.subscribe().block();
    match response.get() {
        Some(Ok(Ok(response))) => Ok(response.status().to_string()),
        Some(Ok(Err(error))) => Err(text(error)),
        other => Err(format!("{other:?}")),
    }
}

fn text(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}

fn respond(out: ResponseOutparam, text: &[u8]) {
    let response = OutgoingResponse::new(Fields::new());
    let body = response.body().expect("it is taken once");
    ResponseOutparam::set(out, Ok(response));
    let stream = body.write().expect("it is taken once");
    for chunk in text.chunks(4096) {
        stream
            .blocking_write_and_flush(chunk)
            .expect("the client reads it");
    }
    drop(stream);
    OutgoingBody::finish(body, None).expect("the body is whole");
}
