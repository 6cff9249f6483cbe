//! What records who was notified, in the place of Slack, PagerDuty and a mail server.

use std::{
    io::{BufRead, BufReader, Read, Result, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// How long a client may be silent.
const FOR_DURATION: Duration = Duration::from_secs(10);

/// Where a recorder is Slack's Web API; anywhere else it is a webhook.
pub const SLACK_API: &str = "/api/";

/// A message, as it came.
#[derive(Clone, Debug)]
pub struct Message {
    /// The path of the request, or who the e-mail is for.
    pub to: String,
    pub text: String,
}

/// A server that records what it is sent, on a port of the loopback address. It serves until the
/// process ends.
pub struct Recorder {
    pub port: u16,
    messages: Arc<Mutex<Vec<Message>>>,
}

impl Message {
    /// Whether `who` is part of where it went.
    pub fn is_to(&self, who: &str) -> bool {
        self.to.contains(who)
    }
}

type Serve = fn(TcpStream) -> Result<Vec<Message>>;

impl Recorder {
    /// One that takes every request over HTTP, and answers as Slack does.
    pub fn http() -> Result<Self> {
        Self::start(request)
    }

    /// One that takes every e-mail. It offers no TLS.
    pub fn smtp() -> Result<Self> {
        Self::start(mail)
    }

    /// What has come so far.
    pub fn messages(&self) -> Vec<Message> {
        lock(&self.messages).clone()
    }

    fn start(serve: Serve) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let messages = Arc::new(Mutex::new(Vec::new()));
        let recorded = Arc::clone(&messages);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // Who does not speak the protocol, or stays silent, has sent nothing.
                let in_time = client.set_read_timeout(Some(FOR_DURATION));
                if let Ok(new) = in_time.and_then(|()| serve(client)) {
                    lock(&recorded).extend(new);
                }
            }
        });
        Ok(Self { port, messages })
    }
}

fn lock(messages: &Mutex<Vec<Message>>) -> MutexGuard<'_, Vec<Message>> {
    messages.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One request of a connection.
fn request(client: TcpStream) -> Result<Vec<Message>> {
    let mut reader = BufReader::new(client);
    let line = line(&mut reader)?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut length = 0;
    loop {
        let header = self::line(&mut reader)?.to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or_default();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    // A webhook of Slack answers nothing but "ok" for a success; its Web API, an object.
    let (kind, answer) = match path.starts_with(SLACK_API) {
        true => (
            "application/json",
            r#"{"ok": true, "channel": "C1", "ts": "1"}"#,
        ),
        false => ("text/plain", "ok"),
    };
    let length = answer.len();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {length}");
    let answer = format!("{head}\r\nconnection: close\r\n\r\n{answer}");
    reader.get_mut().write_all(answer.as_bytes())?;
    let text = String::from_utf8_lossy(&body).into_owned();
    Ok(vec![Message { to: path, text }])
}

/// The e-mails of a connection (RFC 5321), whose clients have to say who they are (RFC 4954).
fn mail(mut client: TcpStream) -> Result<Vec<Message>> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut messages = Vec::new();
    let (mut is_known, mut to) = (false, String::new());
    client.write_all(b"220 recorder\r\n")?;
    loop {
        let line = line(&mut reader)?;
        let verb = line.split([' ', ':']).next().unwrap_or_default();
        let answer = match verb.to_ascii_uppercase().as_str() {
            "EHLO" => "250-recorder\r\n250 AUTH PLAIN",
            "AUTH" => {
                is_known = true;
                "235 welcome"
            }
            "MAIL" if !is_known => "530 who are you",
            "RCPT" => {
                line.clone_into(&mut to);
                "250 ok"
            }
            "DATA" => {
                client.write_all(b"354 go on\r\n")?;
                messages.push(Message {
                    to: to.clone(),
                    text: data(&mut reader)?,
                });
                "250 ok"
            }
            "QUIT" => {
                client.write_all(b"221 bye\r\n")?;
                return Ok(messages);
            }
            _ => "250 ok",
        };
        client.write_all(format!("{answer}\r\n").as_bytes())?;
    }
}

/// What comes up to a dot by itself, its quoted-printable lines (RFC 2045) put together again.
fn data(reader: &mut impl BufRead) -> Result<String> {
    let mut text = String::new();
    loop {
        let line = line(reader)?;
        if line == "." {
            return Ok(text.replace("=3D", "="));
        }
        match line.strip_suffix('=') {
            Some(begun) => text.push_str(begun),
            None => {
                text.push_str(&line);
                text.push('\n');
            }
        }
    }
}

/// A line without its end.
fn line(reader: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
