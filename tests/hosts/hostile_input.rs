//! What a client should not send, and clients do.

use std::io::ErrorKind;

use anyhow::{Result, anyhow, ensure};
use harness::client::{self, Connection};
use libtest_mimic::Trial;

use super::{HostUnderTest, JSON, PUT, expect};

const CHUNKED: &str = "transfer-encoding: chunked";

pub fn trials(under_test: &HostUnderTest, port: u16) -> [Trial; 7] {
    [
        (
            "a body of 10 GB is refused unread",
            declared_length as fn(u16) -> Result<()>,
        ),
        ("a body without an end is refused", endless_body),
        ("a body that stalls is refused after 5 s", stalled_body),
        ("a body in chunks is taken", chunked_body),
        ("a client that leaves saves nothing", leaving_client),
        ("two requests in one segment get two answers", pipelined),
        ("1000 malformed requests leave it answering", malformed),
    ]
    .map(|(name, test)| under_test.trial(name, move |_| test(port)))
}

/// A PUT for `user`; `rest` is the end of its head, and its body.
fn put(user: &str, rest: &str) -> Vec<u8> {
    format!(
        "PUT /hello/{user} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{rest}"
    )
    .into_bytes()
}

fn refused_put(port: u16, user: &str, head: &str, body: &[u8], status: u16) -> Result<()> {
    let mut connection = Connection::open(port)?;
    connection.send(&put(user, &format!("{head}\r\n\r\n")))?;
    connection.send(body)?;
    let answer = connection.receive(false)?;
    ensure!(answer.status == status, "it got {}", answer.status);
    ensure!(
        answer.header("content-type") == Some("application/problem+json"),
        "no problem document"
    );
    is_unknown(port, user)
}

fn is_unknown(port: u16, user: &str) -> Result<()> {
    let target = format!("/hello/{user}");
    expect(&mut Connection::open(port)?, "GET", &target, b"", 404).map(drop)
}

pub fn declared_length(port: u16) -> Result<()> {
    refused_put(port, "Giant", "content-length: 10000000000", b"", 413)?;
    // More than a 64-bit number: the host may refuse it before the component sees it.
    let mut connection = Connection::open(port)?;
    connection.send(&put(
        "Giant",
        "content-length: 99999999999999999999999\r\n\r\n",
    ))?;
    let status = connection.receive(false)?.status;
    ensure!([400, 413].contains(&status), "it got {status}");
    is_unknown(port, "Giant")
}

pub fn endless_body(port: u16) -> Result<()> {
    // Above the limit, and the end is not in sight: there has to be an answer all the same.
    let chunk = format!("1388\r\n{}\r\n", " ".repeat(5000)).into_bytes();
    refused_put(port, "Endless", CHUNKED, &chunk, 413)?;
    // And if the client goes on regardless, it is cut off before it has sent 64 MB.
    let mut connection = Connection::open(port)?;
    connection.send(&put("Endless", &format!("{CHUNKED}\r\n\r\n")))?;
    let cut = (0..13_000).any(|_| connection.send(&chunk).is_err());
    ensure!(cut, "it read 64 MB");
    is_unknown(port, "Endless")
}

pub fn stalled_body(port: u16) -> Result<()> {
    let start = b"{\"dateOfBirth\"";
    refused_put(port, "Stalled", "content-length: 28", start, 408)
}

pub fn chunked_body(port: u16) -> Result<()> {
    let mut connection = Connection::open(port)?;
    connection.send(&put("Chunked", &format!("{CHUNKED}\r\n\r\n")))?;
    for byte in PUT {
        connection.send(format!("1\r\n{}\r\n", char::from(*byte)).as_bytes())?;
    }
    connection.send(b"0\r\n\r\n")?;
    let answer = connection.receive(false)?;
    ensure!(answer.status == 204, "it got {}", answer.status);
    expect(&mut connection, "GET", "/hello/Chunked", b"", 200).map(drop)
}

pub fn leaving_client(port: u16) -> Result<()> {
    for _ in 0..20 {
        let mut connection = Connection::open(port)?;
        let whole = client::request("PUT", "/hello/Leaving", &JSON, PUT);
        connection.send(&whole[..whole.len() - 1])?;
    }
    is_unknown(port, "Leaving")
}

pub fn pipelined(port: u16) -> Result<()> {
    let mut connection = Connection::open(port)?;
    let mut both = client::request("PUT", "/hello/Pipeline", &JSON, PUT);
    both.extend(client::request("GET", "/hello/Pipeline", &[], b""));
    connection.send(&both)?;
    let got = [connection.receive(false)?, connection.receive(false)?].map(|answer| answer.status);
    ensure!(got == [204, 200], "they got {got:?}");
    Ok(())
}

pub fn malformed(port: u16) -> Result<()> {
    let put = |rest| put("Malformed", rest);
    let long = "x".repeat(70_000);
    let requests = [
        b"\r\n\r\nnonsense\r\n\r\n".to_vec(),
        b"GET\r\n\r\n".to_vec(),
        b"GET /livez HTTP/9.9\r\n\r\n".to_vec(),
        b"GET /livez HTTP/1.1\r\nbad header\r\n\r\n".to_vec(),
        b"GET /livez HTTP/1.1\r\nb\xc3\xa4d: x\r\n\r\n".to_vec(),
        b"G\0T /livez HTTP/1.1\r\n\r\n".to_vec(),
        b"GET /hello/\x01 HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(), // TLS
        b"* HTTP/1.1 OK LOGIN\r\n\r\n".to_vec(),
        put("content-length: -1\r\n\r\n"),
        put("content-length: 5, 6\r\n\r\n{}   "),
        put("content-length: five\r\n\r\n"),
        put("transfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"),
        format!("GET /livez HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(500)).into_bytes(),
        format!("GET /hello/{long} HTTP/1.1\r\nhost: x\r\n\r\n").into_bytes(),
    ];
    for (n, request) in requests.iter().cycle().take(1000).enumerate() {
        let mut connection = Connection::open(port)?;
        // A server may close before it has read all of it.
        if connection.send(request).is_err() {
            continue;
        }
        let status = match connection.receive(false) {
            Ok(answer) => answer.status,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                return Err(anyhow!("request {n} is left without an answer"));
            }
            Err(_) => continue, // closed: an answer too
        };
        let request = String::from_utf8_lossy(&request[..request.len().min(60)]);
        ensure!((400..500).contains(&status), "{request:?} got {status}");
    }
    expect(&mut Connection::open(port)?, "GET", "/readyz", b"", 200)?;
    is_unknown(port, "Malformed")
}
