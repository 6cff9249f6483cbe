//! A real NATS with JetStream, and as much of a client as takes a host's heartbeat and asks it something.
//!
//! Its protocol is text over TCP (<https://docs.nats.io/reference/reference-protocols/nats-protocol>); the
//! library for Rust would bring an asynchronous runtime and a TLS stack with it.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpStream},
    path::Path,
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use tools::find_or_fetch;

use crate::{host::free_port, process::Process};

/// How long it may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a message may take: a host pulls and compiles a component before it answers.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A server that runs. Dropping it ends it.
#[derive(Debug)]
pub struct Nats {
    _server: Process,
    port: u16,
}

impl Nats {
    /// Starts a server that keeps its streams in `directory`, and buckets of key-value with them; with a file
    /// in the place of that directory, one that has no streams.
    pub fn start(directory: &Path) -> Result<Self> {
        let has_streams = !directory.is_file();
        if has_streams {
            fs::create_dir_all(directory)?;
        }
        let port = free_port()?;
        let mut command = Command::new(find_or_fetch("nats-server")?);
        command.args(["--addr", "127.0.0.1", "--port", &port.to_string()]);
        if has_streams {
            command.args(["--jetstream", "--store_dir"]).arg(directory);
        }
        let log = directory.with_extension("log");
        let is_ready = || Client::connect(port).is_ok();
        let server = Process::start_server(&mut command, Some(&log), START_TIMEOUT, is_ready)?;
        Ok(Self {
            _server: server,
            port,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// A new connection to it.
    pub fn connect(&self) -> Result<Client> {
        Client::connect(self.port)
    }
}

/// A connection.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<TcpStream>,
    /// How many subscriptions it has had.
    subscriptions: u32,
}

/// A published message.
#[derive(Debug)]
pub struct Message {
    /// Its subject.
    pub subject: String,
    /// Its payload.
    pub payload: Vec<u8>,
}

impl Client {
    fn connect(port: u16) -> Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        let mut client = Self {
            stream: BufReader::new(stream),
            subscriptions: 0,
        };
        let greeting = client.line()?;
        if !greeting.starts_with("INFO ") {
            bail!("a NATS server does not begin with {greeting:?}");
        }
        client.write(b"CONNECT {\"verbose\":false}\r\nPING\r\n")?;
        while client.line()? != "PONG" {}
        Ok(client)
    }

    /// Asks for every message whose subject matches `subject`.
    pub fn subscribe(&mut self, subject: &str) -> Result<()> {
        self.subscriptions += 1;
        self.write(format!("SUB {subject} {}\r\n", self.subscriptions).as_bytes())
    }

    /// Publishes a request, and waits for its response.
    ///
    /// # Errors
    ///
    /// If none comes within a minute, or the subject has no subscriber.
    pub fn request(&mut self, subject: &str, payload: &[u8]) -> Result<Vec<u8>> {
        let inbox = format!("_INBOX.{}.{}", std::process::id(), self.subscriptions);
        self.subscribe(&inbox)?;
        let head = format!("PUB {subject} {inbox} {}\r\n", payload.len());
        self.write(&[head.as_bytes(), payload, b"\r\n"].concat())?;
        loop {
            let message = self
                .message()
                .with_context(|| format!("no response on the subject {subject}"))?;
            if message.subject == inbox {
                return Ok(message.payload);
            }
        }
    }

    /// Waits for the next message.
    pub fn message(&mut self) -> Result<Message> {
        loop {
            let line = self.line()?;
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["PING"] => self.write(b"PONG\r\n")?,
                ["MSG", subject, .., length] => {
                    let mut payload = vec![0; length.parse::<usize>()? + 2];
                    self.stream.read_exact(&mut payload)?;
                    payload.truncate(payload.len() - 2);
                    return Ok(Message {
                        subject: subject.to_owned(),
                        payload,
                    });
                }
                ["-ERR", ..] => bail!("NATS says {line}"),
                _ => {}
            }
        }
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            bail!("NATS has closed the connection");
        }
        Ok(line.trim_end().to_owned())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.get_mut().write_all(bytes)?)
    }
}
