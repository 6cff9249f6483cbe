//! Clients that are slow, idle, too large, cut short or malicious.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, TcpStream},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use harness::{
    client::{Connection, request},
    process::Process,
};

use super::{ANY_ONE, Fault, Injection, Need, Shows, until};
use crate::processes::descriptors;

/// Connections of each kind of slow client.
const SLOW: usize = 200;

/// Connections that are idle.
const IDLE: usize = 1000;

const PUT: &[u8] = br#"{"dateOfBirth":"1990-06-20"}"#;

pub fn faults() -> Vec<Fault> {
    let fault = |name, what, costs, run| Fault {
        name,
        what,
        costs,
        stores: ANY_ONE,
        needs: &[],
        shows: Shows::Nothing,
        run,
    };
    vec![
        Fault {
            needs: &[Need::SlowClients],
            ..fault(
                "clients-slow",
                "slowhttptest: 200 connections each whose heads, bodies and reads take for ever",
                "nothing to others",
                slow,
            )
        },
        fault(
            "clients-idle",
            "1,000 connections that are open and say nothing, until each asks once",
            "nothing to others",
            idle,
        ),
        fault(
            "clients-oversized",
            "heads, targets and bodies of megabytes",
            "nothing to others; each is 4xx or closed",
            oversized,
        ),
        fault(
            "clients-cut",
            "a PUT that ends after each number of its bytes",
            "nothing to others; none saves",
            cut,
        ),
        fault(
            "clients-smuggling",
            "requests whose end is ambiguous, with another request behind it",
            "nothing to others; what is taken all the same is in the notes",
            smuggling,
        ),
    ]
}

fn slow(it: &mut Injection) -> Result<()> {
    let port = it.world.port;
    let seconds = it.pace.lasts.as_secs().max(5);
    let count = SLOW.to_string();
    let before = descriptors(it.world.host_id()?)?;
    let mut running = Vec::new();
    for (name, mode) in [
        ("heads", "-H -i 1 -u /hello/Slow"),
        (
            "bodies",
            "-B -i 1 -s 4096 -t PUT -f application/json -u /hello/Slow",
        ),
        ("reads", "-X -w 1 -y 8 -n 1 -z 8 -k 3 -u /openapi.json"),
    ] {
        let mode = mode.replace("-u ", &format!("-u http://127.0.0.1:{port}"));
        let mut command = Command::new(tools::find_or_fetch("slowhttptest")?);
        command
            .args(["-c", &count, "-r", &count, "-l", &seconds.to_string()])
            .args(mode.split(' '));
        let log = it.world.path(&format!("slow-{name}.log"));
        running.push(Process::start(&mut command, Some(&log))?);
    }
    let host = it.world.host_id()?;
    let mut most = 0;
    until("the slow clients to be connected", || {
        most = most.max(descriptors(host)?.saturating_sub(before));
        Ok(most >= SLOW)
    })?;
    for process in &mut running {
        process.wait()?;
    }
    it.mended();
    it.note(format!(
        "{most} connections of slow clients and more were open at once"
    ));
    Ok(())
}

fn idle(it: &mut Injection) -> Result<()> {
    let open = || Connection::open(it.world.port);
    let mut connections = (0..IDLE).map(|_| open()).collect::<Result<Vec<_>, _>>()?;
    it.lasts();
    let ask = |connection: &mut Connection| connection.exchange("GET", "/livez", &[], b"");
    let answered = connections.iter_mut().map(ask);
    let answered = answered.filter(|it| it.as_ref().is_ok_and(|it| it.status == 200));
    let answered = answered.count();
    it.mended();
    it.note(format!(
        "{answered} of {IDLE} idle connections were answered afterwards"
    ));
    Ok(())
}

fn oversized(it: &mut Injection) -> Result<()> {
    let megabyte = "x".repeat(1 << 20);
    let large: [(&str, Vec<u8>); 6] = [
        ("a header of 1 MiB", request("GET", "/hello/Large", &[("x", &megabyte)], b"")),
        ("a target of 1 MiB", request("GET", &format!("/hello/{megabyte}"), &[], b"")),
        (
            "10,000 headers",
            format!("GET /hello/Large HTTP/1.1\r\nhost: x\r\n{}\r\n", "x: y\r\n".repeat(10_000)).into(),
        ),
        ("a body of 1 MiB", request("PUT", "/hello/Large", &[], megabyte.as_bytes())),
        (
            "a body that says it has 10 GB",
            b"PUT /hello/Large HTTP/1.1\r\nhost: x\r\ncontent-length: 10000000000\r\n\r\n{".to_vec(),
        ),
        (
            "a chunk of 1 MiB",
            format!(
                "PUT /hello/Large HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n100000\r\n{megabyte}\r\n0\r\n\r\n"
            )
            .into(),
        ),
    ];
    let end = Instant::now() + it.pace.lasts;
    let mut sent = 0;
    while Instant::now() < end {
        for (what, bytes) in &large {
            let statuses = statuses(it.world.port, bytes)?;
            let is_refused = statuses.iter().all(|status| (400..500).contains(status));
            ensure!(is_refused, "{what} is answered with {statuses:?}");
            sent += 1;
        }
    }
    it.mended();
    it.note(format!(
        "{sent} oversized requests, each answered with 4xx or closed"
    ));
    is_unknown(it, "Large")
}

fn cut(it: &mut Injection) -> Result<()> {
    let whole = request(
        "PUT",
        "/hello/CutShort",
        &[("content-type", "application/json")],
        PUT,
    );
    let end = Instant::now() + it.pace.lasts;
    let mut sent = 0;
    while Instant::now() < end {
        for length in 1..whole.len() {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, it.world.port))?;
            stream.write_all(&whole[..length])?;
            sent += 1;
        }
    }
    it.mended();
    it.note(format!("{sent} requests were cut"));
    is_unknown(it, "CutShort")
}

/// What a server should do with a shape that two servers may understand in two ways.
enum Owed {
    /// 400, 501 or no answer, and nothing of what is behind it.
    Refusal,
    /// RFC 9112 lets it be: it is noted.
    Anything,
}

fn smuggling(it: &mut Injection) -> Result<()> {
    use Owed::{Anything, Refusal};
    let json = "content-type: application/json\r\n";
    let chunked = "transfer-encoding: chunked\r\n";
    let put = String::from_utf8_lossy(PUT);
    let chunk = format!("1c\r\n{put}\r\n0\r\n\r\n");
    // Each has its head behind the request line, and its body; `@` is where another request is hidden.
    let shapes = [
        (
            "chunked with content-length",
            Anything,
            format!("{chunked}content-length: 300\r\n\r\n{chunk}@"),
        ),
        (
            "content-length with chunked",
            Anything,
            format!("content-length: 28\r\n{chunked}\r\n{chunk}@"),
        ),
        (
            "two content-lengths",
            Refusal,
            format!("content-length: 28\r\ncontent-length: 0\r\n\r\n{put}@"),
        ),
        (
            "content-lengths in a list",
            Refusal,
            format!("content-length: 28, 0\r\n\r\n{put}@"),
        ),
        (
            "content-length with a sign",
            Refusal,
            format!("content-length: +28\r\n\r\n{put}@"),
        ),
        (
            "a space before the colon",
            Refusal,
            format!("content-length : 28\r\n\r\n{put}@"),
        ),
        (
            "obs-fold in content-length",
            Refusal,
            format!("content-length:\r\n 28\r\n\r\n{put}@"),
        ),
        (
            "obs-fold in transfer-encoding",
            Refusal,
            format!("transfer-encoding:\r\n chunked\r\n\r\n{chunk}@"),
        ),
        (
            "chunked that is not the last coding",
            Refusal,
            format!("transfer-encoding: chunked, identity\r\n\r\n{chunk}@"),
        ),
        (
            "an unknown coding",
            Refusal,
            format!("transfer-encoding: xchunked\r\n\r\n{chunk}@"),
        ),
        (
            "a chunk's size of 2^64 and more",
            Refusal,
            format!("{chunked}\r\n1000000000000001c\r\n{put}\r\n0\r\n\r\n@"),
        ),
        (
            "a chunk's size with a sign",
            Refusal,
            format!("{chunked}\r\n+1c\r\n{put}\r\n0\r\n\r\n@"),
        ),
        (
            "a CR alone in a header",
            Refusal,
            format!("x: y\rcontent-length: 0\r\ncontent-length: 28\r\n\r\n{put}@"),
        ),
        (
            "a NUL in a header",
            Refusal,
            format!("x: \0y\r\ncontent-length: 28\r\n\r\n{put}@"),
        ),
        (
            "LF alone at the end of lines",
            Anything,
            format!("content-length: 28\r\n\r\n{put}").replace("\r\n", "\n"),
        ),
        (
            "LF alone at the end of a chunk's size",
            Anything,
            format!("{chunked}\r\n1c\n{put}\r\n0\r\n\r\n@"),
        ),
    ];
    let mut taken = Vec::new();
    let count = shapes.len();
    for (number, (what, owed, rest)) in shapes.into_iter().enumerate() {
        let letter = char::from(b'a' + u8::try_from(number)?);
        let (outer, hidden) = (format!("Smuggler{letter}"), format!("Smuggled{letter}"));
        let end = if matches!(owed, Anything) && !rest.contains('@') {
            "\n"
        } else {
            "\r\n"
        };
        let inner = request("PUT", &format!("/hello/{hidden}"), &[], PUT);
        let rest = rest.replace('@', &String::from_utf8_lossy(&inner));
        let text = format!("PUT /hello/{outer} HTTP/1.1{end}host: localhost{end}{json}{rest}");
        let statuses = statuses(it.world.port, text.as_bytes())?;
        if matches!(owed, Refusal) {
            let is_refused = statuses
                .iter()
                .all(|status| [400, 413, 501].contains(status));
            ensure!(is_refused, "{what} is answered with {statuses:?}");
            is_unknown(it, &outer)?;
            is_unknown(it, &hidden)?;
        } else {
            taken.push(format!("{what}: {statuses:?}"));
        }
    }
    it.mended();
    it.note(format!(
        "of {count} shapes, those that RFC 9112 leaves open were answered: {}",
        taken.join("; ")
    ));
    Ok(())
}

/// Sends `bytes` and nothing else, and reads the statuses of all answers until the server closes.
fn statuses(port: u16, bytes: &[u8]) -> Result<Vec<u16>> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    // A server may close before it has read all of it.
    if stream.write_all(bytes).is_ok() {
        let _ = stream.shutdown(Shutdown::Write);
    }
    let mut answers = Vec::new();
    let _ = stream.read_to_end(&mut answers);
    let answers = String::from_utf8_lossy(&answers);
    let heads = answers.split("HTTP/1.1 ").skip(1);
    Ok(heads
        .filter_map(|head| head.get(..3)?.parse().ok())
        .collect())
}

fn is_unknown(it: &Injection, user: &str) -> Result<()> {
    let mut connection = Connection::open(it.world.port)?;
    let status = connection
        .exchange("GET", &format!("/hello/{user}"), &[], b"")?
        .status;
    ensure!(
        status == 404,
        "{user} should not be saved, and GET is answered with {status}"
    );
    Ok(())
}
