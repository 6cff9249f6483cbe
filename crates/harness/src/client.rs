//! HTTP/1.1 over one connection, to the byte: what goes out is what the caller wrote.
//!
//! Errors are the socket's, and [`ErrorKind::InvalidData`] for an answer that is not HTTP/1.1.

use std::{
    io::{Error, ErrorKind, Read, Result, Write},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream},
    os::fd::{AsRawFd, RawFd},
    time::Duration,
};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};

/// A keep-alive connection to a server.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// What has been read and not been used yet.
    buffer: Vec<u8>,
}

/// An answer, whole.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Names in lower case, in the order of arrival.
    pub headers: Vec<(String, String)>,
    /// The body, without its transfer coding.
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of the header `name`, which is in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

/// The bytes of a request. A body makes a `content-length`.
#[must_use]
pub fn request(method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{method} {target} HTTP/1.1\r\nhost: localhost\r\n").into_bytes();
    for (name, value) in headers {
        bytes.extend(format!("{name}: {value}\r\n").bytes());
    }
    if !body.is_empty() {
        bytes.extend(format!("content-length: {}\r\n", body.len()).bytes());
    }
    bytes.extend(b"\r\n");
    bytes.extend(body);
    bytes
}

/// Whether a server on `port` of this machine answers GET `target` with 200.
#[must_use]
pub fn is_ok(port: u16, target: &str) -> bool {
    let answer = Connection::open(port).and_then(|mut it| it.exchange("GET", target, &[], b""));
    answer.is_ok_and(|answer| answer.status == 200)
}

impl Connection {
    /// Connects to `port` on the loopback address. Nothing waits longer than 30 seconds.
    pub fn open(port: u16) -> Result<Self> {
        Self::open_at((Ipv4Addr::LOCALHOST, port).into())
    }

    /// [`Connection::open`] at an address.
    pub fn open_at(address: SocketAddr) -> Result<Self> {
        Self::over(TcpStream::connect(address)?)
    }

    /// [`Connection::open`] from an address of this machine, such as another one of 127.0.0.0/8.
    pub fn open_from(source: Ipv4Addr, port: u16) -> Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        bind(&socket, &SocketAddrV4::new(source, 0))?;
        connect(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))?;
        Self::over(socket.into())
    }

    fn over(stream: TcpStream) -> Result<Self> {
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.set_write_timeout(Some(Duration::from_secs(30)))?;
        Ok(Self {
            stream,
            buffer: Vec::new(),
        })
    }

    /// Writes `bytes`, whatever they are.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends a request and reads its answer.
    pub fn exchange(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer> {
        self.send(&request(method, target, headers, body))?;
        self.receive(method == "HEAD")
    }

    /// Reads one final answer; `to_head` says that it answers HEAD and so has no body.
    pub fn receive(&mut self, to_head: bool) -> Result<Answer> {
        loop {
            let mut answer = self.receive_head()?;
            if answer.status == 100 {
                continue;
            }
            let length = answer.header("content-length").map(str::to_owned);
            if to_head || answer.status == 204 || answer.status == 304 {
            } else if answer.header("transfer-encoding") == Some("chunked") {
                answer.body = self.receive_chunks()?;
            } else if let Some(length) = length {
                let length = length.parse().map_err(|_| invalid("content-length"))?;
                answer.body = self.take(length)?;
            } else {
                while self.fill()? {}
                answer.body = std::mem::take(&mut self.buffer);
            }
            return Ok(answer);
        }
    }

    /// Whether the server has closed the connection and left nothing to read.
    ///
    /// # Errors
    ///
    /// Those of the socket: a timeout says that it is open.
    pub fn is_closed(&mut self) -> Result<bool> {
        Ok(self.buffer.is_empty() && !self.fill()?)
    }

    fn receive_head(&mut self) -> Result<Answer> {
        loop {
            let mut headers = [httparse::EMPTY_HEADER; 64];
            let mut head = httparse::Response::new(&mut headers);
            match head.parse(&self.buffer) {
                Ok(httparse::Status::Complete(length)) => {
                    let answer = Answer {
                        status: head.code.ok_or_else(|| invalid("status"))?,
                        headers: head
                            .headers
                            .iter()
                            .map(|header| {
                                (
                                    header.name.to_ascii_lowercase(),
                                    String::from_utf8_lossy(header.value).into_owned(),
                                )
                            })
                            .collect(),
                        body: Vec::new(),
                    };
                    self.buffer.drain(..length);
                    return Ok(answer);
                }
                Ok(httparse::Status::Partial) => self.fill_or_fail()?,
                Err(_) => return Err(invalid("head")),
            }
        }
    }

    fn receive_chunks(&mut self) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            match httparse::parse_chunk_size(&self.buffer) {
                Ok(httparse::Status::Complete((start, size))) => {
                    self.buffer.drain(..start);
                    let size = usize::try_from(size).map_err(|_| invalid("chunk"))?;
                    let chunk = self.take(size + 2)?;
                    body.extend(&chunk[..size]);
                    if size == 0 {
                        return Ok(body);
                    }
                }
                Ok(httparse::Status::Partial) => self.fill_or_fail()?,
                Err(_) => return Err(invalid("chunk")),
            }
        }
    }

    fn take(&mut self, length: usize) -> Result<Vec<u8>> {
        while self.buffer.len() < length {
            self.fill_or_fail()?;
        }
        Ok(self.buffer.drain(..length).collect())
    }

    fn fill_or_fail(&mut self) -> Result<()> {
        if self.fill()? {
            Ok(())
        } else {
            Err(Error::new(
                ErrorKind::UnexpectedEof,
                "the server closed the connection",
            ))
        }
    }

    /// Reads more; `false` at the end.
    fn fill(&mut self) -> Result<bool> {
        let mut chunk = [0; 8192];
        let length = self.stream.read(&mut chunk)?;
        self.buffer.extend(&chunk[..length]);
        Ok(length > 0)
    }
}

impl AsRawFd for Connection {
    fn as_raw_fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }
}

fn invalid(what: &str) -> Error {
    Error::new(
        ErrorKind::InvalidData,
        format!("the answer has an invalid {what}"),
    )
}
