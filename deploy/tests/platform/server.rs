//! A server of HTTP, as small as can be.

use std::{
    io::{BufRead, BufReader, Result, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::Duration,
};

/// Answers the head of each request with a status and a body, until the process ends. Returns the port.
pub fn serve<A>(answer: A) -> Result<u16>
where
    A: Fn(&str) -> (&'static str, Vec<u8>) + Send + 'static,
{
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            // A client that leaves early is no concern of the next one.
            let _ = stream.and_then(|stream| exchange(stream, &answer));
        }
    });
    Ok(port)
}

fn exchange(mut stream: TcpStream, answer: impl Fn(&str) -> (&'static str, Vec<u8>)) -> Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    // A handshake of TLS, which has no lines: without an answer, Helm would ask again for a while.
    if reader.fill_buf()?.first() == Some(&0x16) {
        return stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    }
    let mut head = String::new();
    while reader.read_line(&mut head)? > 2 {}
    let (status, body) = answer(&head);
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    stream.write_all(&body)
}
