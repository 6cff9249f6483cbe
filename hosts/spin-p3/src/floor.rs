//! The floor of a benchmark: the calls to the host's stores that a request of hello makes, and no
//! logic but to read a username and a date. No contract, no log, no deadline: what is left is the price of the
//! host.

use hello::{
    birthday::DateOfBirth,
    host::{Host, Session},
    store::UserStore,
    username::Username,
};
use wasip3::{
    http::types::{Fields, Method, Request, Response},
    spawn,
    wit_bindgen::yield_async,
    wit_future, wit_stream,
};

use crate::Spin;

/// As long as a greeting.
const BODY: &[u8] = br#"{"message":"Hello, SeedAAAA! Your birthday is in 123 day(s)"}"#;

/// Where the date is in the benchmark's body.
const DATE: std::ops::Range<usize> = 16..26;

/// Serves one request of the benchmark.
pub async fn serve(request: Request, host: &Spin<'_>) -> Response {
    let path = request.get_path_with_query().unwrap_or_default();
    let Ok(username) = Username::parse(path.rsplit('/').next().unwrap_or_default().as_bytes())
    else {
        return response(400, b"").await;
    };
    if path == "/livez" {
        return response(200, b"").await;
    }
    let is_put = matches!(request.get_method(), Method::Put);
    let binding = Session::new(host).binding().expect("a store is named");
    let users = host.users(binding).expect("its address is there").0;
    let done = if is_put {
        users.save(&username, date(request).await).await
    } else {
        users.birthday_of(&username).await.map(drop)
    };
    match (done.is_ok(), is_put) {
        (false, _) => response(503, b"").await,
        (true, true) => response(204, b"").await,
        (true, false) => response(200, BODY).await,
    }
}

async fn date(request: Request) -> DateOfBirth {
    let (_, processed) = wit_future::new(|| Ok(()));
    let (mut stream, _) = Request::consume_body(request, processed);
    let (_, bytes) = stream.read(Vec::with_capacity(64)).await;
    DateOfBirth::parse(&bytes[DATE]).expect("the benchmark sends a date")
}

async fn response(status: u16, body: &'static [u8]) -> Response {
    let fields = Fields::new();
    let length = body.len().to_string().into_bytes();
    let _ = fields.set("content-length", &[length]);
    let (_, no_trailers) = wit_future::new(|| Ok(None));
    let has_body = !body.is_empty();
    let contents = has_body.then(|| {
        let (mut writer, reader) = wit_stream::new();
        spawn(async move { drop(writer.write_all(body.to_vec()).await) });
        reader
    });
    let (response, _) = Response::new(fields, contents, no_trailers);
    let _ = response.set_status_code(status);
    if has_body {
        // As hello does, for one TCP segment.
        yield_async().await;
        yield_async().await;
    }
    response
}
