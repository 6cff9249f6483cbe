//! The floor of a benchmark: the calls to the host's stores that a request of hello makes, and no
//! logic but to read a username and a date. No contract, no log: what is left is the price of the host.

use hello::{
    birthday::DateOfBirth,
    host::{Host, Session},
    metrics::Counters,
    store::UserStore,
    username::Username,
    wasi::p2::ready,
};
use wasip2::http::types::{
    Fields, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

use crate::Spin;

/// As long as a greeting.
const BODY: &[u8] = br#"{"message":"Hello, SeedAAAA! Your birthday is in 123 day(s)"}"#;

/// Where the date is in the benchmark's body.
const DATE: std::ops::Range<usize> = 16..26;

/// Serves one request of the benchmark.
pub fn serve(request: IncomingRequest, out: ResponseOutparam, host: &Spin) {
    let path = request.path_with_query().unwrap_or_default();
    let username = Username::parse(path.rsplit('/').next().unwrap_or_default().as_bytes());
    let session = Session::new(host);
    let is_put = matches!(request.method(), Method::Put);
    let Ok(username) = username else {
        return respond(out, 400, b"");
    };
    let is_ok = ready(async {
        if path == "/livez" {
            Ok(())
        } else if is_put {
            session.save(&username, date(request)).await
        } else {
            session.birthday_of(&username).await.map(drop)
        }
    })
    .is_ok();
    match (is_ok, is_put) {
        (false, _) => respond(out, 503, b""),
        (true, true) => respond(out, 204, b""),
        (true, false) => respond(out, 200, BODY),
    }
    if let Ok(Some(counters)) = host.counters() {
        for key in ["floor.requests", "floor.micros"] {
            ready(counters.increment(key, 1)).expect("the store of the counters works");
        }
    }
}

fn date(request: IncomingRequest) -> DateOfBirth {
    let body = request.consume().expect("it has a body");
    let stream = body.stream().expect("it is taken once");
    let bytes = stream.blocking_read(64).expect("it arrives");
    DateOfBirth::parse(&bytes[DATE]).expect("the benchmark sends a date")
}

fn respond(out: ResponseOutparam, status: u16, bytes: &[u8]) {
    let fields = Fields::new();
    let length = bytes.len().to_string().into_bytes();
    let _ = fields.set("content-length", &[length]);
    let response = OutgoingResponse::new(fields);
    let _ = response.set_status_code(status);
    let body = response.body().expect("it is taken once");
    let stream = body.write().expect("it is taken once");
    let _ = stream.check_write().and_then(|_| stream.write(bytes));
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
    ResponseOutparam::set(out, Ok(response));
}
