//! Head and body of a response arrive as one TCP segment: docs/decisions/0020-wasi-http-adapter.md.

use std::{
    io::{self, Read, Write},
    mem,
    net::{Ipv4Addr, TcpStream},
    os::fd::AsRawFd,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
/// How often each path is requested, over one keep-alive connection. Often, because wash splits only
/// one response in 200 or so if the head is set before the body is written.
const REQUESTS: usize = 200;

pub fn one_per_response(port: u16) -> Result<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    for path in ["/livez", "/hello/Nobody", "/docs"] {
        for number in 1..=REQUESTS {
            let before = segments_received(&stream)?;
            stream
                .write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes())?;
            let bytes = read_response(&mut stream)?;
            let segments = segments_received(&stream)? - before;
            ensure!(
                segments == 1,
                "request {number} for {path}: {bytes} bytes in {segments} segments"
            );
        }
    }
    Ok(())
}

/// How many segments with data the kernel has received on `stream`.
#[allow(unsafe_code, reason = "std has no getsockopt")]
fn segments_received(stream: &TcpStream) -> io::Result<u32> {
    // SAFETY: `tcp_info` has integers alone, for which zero is valid.
    let mut info: libc::tcp_info = unsafe { mem::zeroed() };
    let mut length = libc::socklen_t::try_from(mem::size_of_val(&info)).expect("a small struct");
    // SAFETY: the descriptor is open, and the kernel writes at most `length` bytes to `info`.
    let status = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut length,
        )
    };
    if status == 0 {
        Ok(info.tcpi_data_segs_in)
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Reads one response with a `content-length`, and returns its size in bytes.
fn read_response(stream: &mut TcpStream) -> Result<usize> {
    let mut response = Vec::new();
    let mut size = None;
    while size.is_none_or(|size| response.len() < size) {
        let mut chunk = [0; 8192];
        let length = stream.read(&mut chunk)?;
        ensure!(length > 0, "the connection was closed");
        response.extend_from_slice(&chunk[..length]);
        let text = String::from_utf8_lossy(&response).to_ascii_lowercase();
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            let (_, rest) = head
                .split_once("content-length: ")
                .with_context(|| format!("no content-length: {head}"))?;
            let body: usize = rest.lines().next().unwrap_or_default().parse()?;
            size = Some(head.len() + "\r\n\r\n".len() + body);
        }
    }
    ensure!(
        size == Some(response.len()),
        "{} bytes and not {size:?}",
        response.len()
    );
    Ok(response.len())
}
