//! A response as a `wasi:http` response: head and body leave as one TCP segment, nearly always.
//!
//! Spin does not set `TCP_NODELAY`, and sends the head by itself if the body is not there when it
//! first looks: Nagle's algorithm then holds the body until the client's delayed ACK, 40 ms later.
//! Both leave at once if the write of the body has begun some turns of the host's event loop before
//! the response is returned. docs/decisions/0023-wasi-0.3.md has what other orders cost.

use wasip3::{
    http::types::{Fields, Response},
    spawn,
    wit_bindgen::yield_async,
    wit_future, wit_stream,
};

use crate::api::response::Body;

/// Turns of the event loop between the write and the response: with one, most responses are delayed.
const TURNS: usize = 2;

/// The response for the host: its status, fields and body.
pub async fn response((status, fields, body): (u16, Vec<(String, Vec<u8>)>, Body)) -> Response {
    let fields = Fields::from_list(&fields).expect("no header here is forbidden");
    let (_, no_trailers) = wit_future::new(|| Ok(None));
    let has_body = !body.is_empty();
    let contents = has_body.then(|| {
        let (mut writer, reader) = wit_stream::new();
        spawn(async move {
            // What is left over is of a client that has disconnected.
            drop(writer.write_all(body.into_owned()).await);
        });
        reader
    });
    let (response, _) = Response::new(fields, contents, no_trailers);
    response
        .set_status_code(status)
        .expect("a status is a number of three digits");
    if has_body {
        for _ in 0..TURNS {
            yield_async().await;
        }
    }
    response
}
