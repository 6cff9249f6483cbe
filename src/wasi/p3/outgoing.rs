//! A response as a `wasi:http` response.
//!
//! Spin does not set `TCP_NODELAY`, and sends the head by itself if the body is not there when it
//! first looks. No order of returning and writing makes both leave as one TCP segment each time; the
//! one here comes closest: return at once, yield once, write. docs/decisions/0023-wasi-0.3.md has
//! what the others cost.

use wasip3::{
    http::types::{Fields, Response},
    spawn, wit_bindgen, wit_future, wit_stream,
};

use crate::api::response::Body;

/// The response for the host: its status, fields and body.
pub fn response((status, fields, body): (u16, Vec<(String, Vec<u8>)>, Body)) -> Response {
    let fields = Fields::from_list(&fields).expect("no header here is forbidden");
    let (_, no_trailers) = wit_future::new(|| Ok(None));
    let contents = (!body.is_empty()).then(|| {
        let (mut writer, reader) = wit_stream::new();
        spawn(async move {
            wit_bindgen::yield_async().await;
            // What is left over is of a client that has disconnected.
            drop(writer.write_all(body.into_owned()).await);
        });
        reader
    });
    let (response, _) = Response::new(fields, contents, no_trailers);
    response
        .set_status_code(status)
        .expect("a status is a number of three digits");
    response
}
