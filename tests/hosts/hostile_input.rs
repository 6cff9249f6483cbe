//! What a client should not send, and clients do.

use std::io::ErrorKind;

use anyhow::{Result, anyhow, ensure};
use harness::client;

use super::{JSON, PUT};

fn refused_put(port: u16, user: &str, head: &str, body: &[u8], status: u16) -> Result<()> {
    let mut connection = client::Connection::open(port)?;
    let head = format!(
        "PUT /hello/{user} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{head}\r\n\r\n"
    );
    connection.send(head.as_bytes())?;
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
    let after = client::Connection::open(port)?.exchange("GET", &target, &[], b"")?;
    ensure!(after.status == 404, "{user} is there: {}", after.status);
    Ok(())
}

pub fn declared_length(port: u16) -> Result<()> {
    refused_put(port, "Giant", "content-length: 10000000000", b"", 413)?;
    // More than a 64-bit number: the host may refuse it before the component sees it.
    let mut connection = client::Connection::open(port)?;
    connection.send(
        b"PUT /hello/Giant HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
          content-length: 99999999999999999999999\r\n\r\n",
    )?;
    let status = connection.receive(false)?.status;
    ensure!([400, 413].contains(&status), "it got {status}");
    is_unknown(port, "Giant")
}

pub fn endless_body(port: u16) -> Result<()> {
    // Above the limit, and the end is not in sight: there has to be an answer all the same.
    let chunk = format!("1388\r\n{}\r\n", " ".repeat(5000));
    refused_put(
        port,
        "Endless",
        "transfer-encoding: chunked",
        chunk.as_bytes(),
        413,
    )?;
    // And if the client goes on regardless, it is cut off before it has sent 64 MB.
    let mut connection = client::Connection::open(port)?;
    connection.send(
        b"PUT /hello/Endless HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
          transfer-encoding: chunked\r\n\r\n",
    )?;
    let cut = (0..13_000).any(|_| connection.send(chunk.as_bytes()).is_err());
    ensure!(cut, "it read 64 MB");
    is_unknown(port, "Endless")
}

pub fn stalled_body(port: u16) -> Result<()> {
    refused_put(
        port,
        "Stalled",
        "content-length: 28",
        b"{\"dateOfBirth\"",
        408,
    )
}

pub fn chunked_body(port: u16) -> Result<()> {
    let mut connection = client::Connection::open(port)?;
    connection.send(
        b"PUT /hello/Chunked HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
          transfer-encoding: chunked\r\n\r\n",
    )?;
    for byte in PUT {
        connection.send(format!("1\r\n{}\r\n", char::from(*byte)).as_bytes())?;
    }
    connection.send(b"0\r\n\r\n")?;
    let answer = connection.receive(false)?;
    ensure!(answer.status == 204, "it got {}", answer.status);
    let after = connection.exchange("GET", "/hello/Chunked", &[], b"")?;
    ensure!(after.status == 200, "and then {}", after.status);
    Ok(())
}

pub fn leaving_client(port: u16) -> Result<()> {
    for _ in 0..20 {
        let mut connection = client::Connection::open(port)?;
        let whole = client::request("PUT", "/hello/Leaving", &JSON, PUT);
        connection.send(&whole[..whole.len() - 1])?;
    }
    is_unknown(port, "Leaving")
}

pub fn pipelined(port: u16) -> Result<()> {
    let mut connection = client::Connection::open(port)?;
    let mut both = client::request("PUT", "/hello/Pipeline", &JSON, PUT);
    both.extend(client::request("GET", "/hello/Pipeline", &[], b""));
    connection.send(&both)?;
    let (put, get) = (connection.receive(false)?, connection.receive(false)?);
    ensure!(
        (put.status, get.status) == (204, 200),
        "they got {} and {}",
        put.status,
        get.status
    );
    Ok(())
}

pub fn malformed(port: u16) -> Result<()> {
    let put = |rest: &str| {
        format!("PUT /hello/Malformed HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{rest}")
            .into_bytes()
    };
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
        format!(
            "GET /hello/{} HTTP/1.1\r\nhost: x\r\n\r\n",
            "x".repeat(70_000)
        )
        .into_bytes(),
    ];
    for (n, request) in requests.iter().cycle().take(1000).enumerate() {
        let mut connection = client::Connection::open(port)?;
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
    let alive = client::Connection::open(port)?.exchange("GET", "/readyz", &[], b"")?;
    ensure!(alive.status == 200, "readyz got {}", alive.status);
    is_unknown(port, "Malformed")
}
