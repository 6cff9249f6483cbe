//! An [`http::Response`] as a `wasi:http` response: head and body leave as one TCP segment.
//!
//! Spin does not set `TCP_NODELAY`. With head and body in two segments, Nagle's algorithm holds the
//! second one until the client's delayed ACK, 40 ms later: docs/decisions/0020-wasi-http-adapter.md.

use wasip2::{
    http::types::{Fields, OutgoingBody, OutgoingResponse, ResponseOutparam},
    io::streams::{OutputStream, StreamError},
};

use crate::api::response::Body;

/// Hands a response to the host: its status, fields and body.
///
/// The body is written before the head is set: a host that has both by then writes both at once.
/// A body that is larger than what the host buffers is streamed after the head.
pub fn send(out: ResponseOutparam, (status, fields, bytes): (u16, Vec<(String, Vec<u8>)>, Body)) {
    let fields = Fields::from_list(&fields).expect("no header here is forbidden");
    let outgoing = OutgoingResponse::new(fields);
    outgoing
        .set_status_code(status)
        .expect("a status is a number of three digits");
    let body = outgoing.body().expect("the body is taken once");
    let stream = body.write().expect("the stream is taken once");

    // Errors below mean that the client has disconnected.
    let mut rest = &bytes[..];
    let fits = |granted: u64| usize::try_from(granted).is_ok_and(|granted| granted >= rest.len());
    if stream.check_write().is_ok_and(fits) && stream.write(rest).is_ok() {
        rest = &[];
    }
    if rest.is_empty() {
        drop(stream);
        let _ = OutgoingBody::finish(body, None);
        ResponseOutparam::set(out, Ok(outgoing));
    } else {
        ResponseOutparam::set(out, Ok(outgoing));
        let written = write_all(&stream, rest);
        drop(stream);
        if written.is_ok() {
            let _ = OutgoingBody::finish(body, None);
        }
    }
}

fn write_all(stream: &OutputStream, mut rest: &[u8]) -> Result<(), StreamError> {
    while !rest.is_empty() {
        let granted = usize::try_from(stream.check_write()?).unwrap_or(usize::MAX);
        if granted == 0 {
            stream.subscribe().block();
            continue;
        }
        let (now, later) = rest.split_at(granted.min(rest.len()));
        stream.write(now)?;
        rest = later;
    }
    stream.blocking_flush()
}
