//! What plays GitHub: of its REST API, its GraphQL API and its repositories, what Atlantis asks for. It
//! records what Atlantis says.
//!
//! The forms are those of docs.github.com/rest and docs.github.com/webhooks.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Result as IoResult, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use anyhow::Result;
use deploy_tests::objects::text;
use serde_json::{Value, json};

use super::repository;

pub const REPOSITORY: &str = "example/hello";

/// Whoever asks with this is the App, as GitHub sees it.
const TOKEN: &str = "of-an-installation";

/// The team that may apply, and one of it.
pub const PLATFORM: &str = "somebody-of-the-platform";

/// Somebody of no team.
pub const OTHER: &str = "somebody-else";

/// A pull request.
#[derive(Clone)]
pub struct Pull {
    pub number: u64,
    pub head: String,
    /// Where the branch is.
    pub from: &'static str,
    pub base: &'static str,
    pub files: Vec<String>,
    pub approved: bool,
    /// Whether GitHub would merge it: `clean`, `blocked`.
    pub mergeable: &'static str,
}

pub struct GitHub {
    pub port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Where git's repositories are.
    served: PathBuf,
    pulls: BTreeMap<u64, Pull>,
    /// Of which pull request, and what.
    comments: Vec<(u64, String)>,
    /// Of which commit, which check, and how it is.
    statuses: Vec<(String, String, String)>,
    /// What was asked that nothing here answers.
    unknown: Vec<String>,
}

struct Request {
    method: String,
    path: String,
    query: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

struct Answer {
    status: u16,
    headers: String,
    body: Vec<u8>,
}

impl Pull {
    /// As the API has it, and a webhook.
    pub fn shown(&self) -> Value {
        let repository = |name: &str| {
            let (owner, short) = name.split_once('/').unwrap_or_default();
            json!({
                "name": short,
                "full_name": name,
                "owner": {"login": owner},
                "clone_url": format!("https://github.com/{name}.git"),
            })
        };
        json!({
            "number": self.number,
            "state": "open",
            "draft": false,
            "html_url": format!("https://github.com/{REPOSITORY}/pull/{}", self.number),
            "user": {"login": OTHER},
            "mergeable_state": self.mergeable,
            "head": {
                "ref": format!("change-{}", self.number),
                "sha": self.head,
                "repo": repository(self.from),
            },
            "base": {"ref": self.base, "repo": repository(REPOSITORY)},
        })
    }

    /// What a webhook says of it: it was `opened`, or `closed`.
    pub fn event(&self, action: &str) -> Value {
        let shown = self.shown();
        json!({
            "action": action,
            "number": self.number,
            "repository": shown["base"]["repo"],
            "sender": shown["user"],
            "pull_request": shown,
        })
    }
}

impl GitHub {
    /// Serves on a port of the loopback address until the process ends, without TLS.
    pub fn start(served: PathBuf) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let state = Arc::new(Mutex::new(State {
            served,
            ..State::default()
        }));
        let known = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let known = Arc::clone(&known);
                // Whoever goes away has no answer.
                thread::spawn(move || serve(client, &known));
            }
        });
        Ok(Self { port, state })
    }

    /// Opens a pull request, or changes one.
    pub fn put(&self, pull: &Pull) {
        lock(&self.state).pulls.insert(pull.number, pull.clone());
    }

    /// What has been said of a pull request.
    pub fn comments(&self, pull: &Pull) -> Vec<String> {
        let state = lock(&self.state);
        let comments = state.comments.iter();
        let of_pull = comments.filter(|(number, _)| *number == pull.number);
        of_pull.map(|(_, comment)| comment.clone()).collect()
    }

    /// How a check of a pull request is.
    pub fn status(&self, pull: &Pull, check: &str) -> String {
        let state = lock(&self.state);
        let mut statuses = state.statuses.iter().rev();
        let last = statuses.find(|(head, of, _)| *head == pull.head && of == check);
        last.map(|(.., status)| status.clone()).unwrap_or_default()
    }

    /// Forgets how the checks of a pull request were.
    pub fn forget(&self, pull: &Pull) {
        lock(&self.state)
            .statuses
            .retain(|(head, ..)| *head != pull.head);
    }

    /// What was asked that nothing here answers.
    pub fn unknown(&self) -> Vec<String> {
        lock(&self.state).unknown.clone()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(client: TcpStream, state: &Mutex<State>) -> IoResult<()> {
    let mut reader = BufReader::new(client);
    let request = read(&mut reader)?;
    let answer = request.answer(state).unwrap_or_else(|error| {
        let (method, path) = (&request.method, &request.path);
        let unknown = format!("{method} {path}: {error:#}");
        lock(state).unknown.push(unknown);
        Answer::json(404, &json!({"message": "Not Found"}))
    });
    let (status, headers, length) = (answer.status, answer.headers, answer.body.len());
    let head = format!("HTTP/1.1 {status} -\r\n{headers}content-length: {length}\r\n");
    let client = reader.get_mut();
    client.write_all(format!("{head}connection: close\r\n\r\n").as_bytes())?;
    client.write_all(&answer.body)
}

fn read(reader: &mut impl BufRead) -> IoResult<Request> {
    let mut line = || {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        IoResult::Ok(line.trim_end().to_owned())
    };
    let first = line()?;
    let mut words = first.split(' ').map(str::to_owned);
    let method = words.next().unwrap_or_default();
    let target = words.next().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let (path, query) = (path.to_owned(), query.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let header = line()?;
        let Some((name, value)) = header.split_once(": ") else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").map(|length| length.parse());
    let mut body = vec![0; length.and_then(Result::ok).unwrap_or_default()];
    reader.read_exact(&mut body)?;
    Ok(Request {
        method,
        path,
        query,
        headers,
        body,
    })
}

impl Answer {
    fn json(status: u16, body: &Value) -> Self {
        Self {
            status,
            headers: "content-type: application/json\r\n".to_owned(),
            body: body.to_string().into_bytes(),
        }
    }

    fn refused(how: &str) -> Self {
        Self {
            status: 401,
            headers: format!("www-authenticate: {how}\r\n"),
            body: Vec::new(),
        }
    }

    /// What a program behind a web server printed: headers, one of which may be `Status`, and a body.
    fn printed(printed: &[u8]) -> Self {
        let end = printed.windows(4).position(|four| four == b"\r\n\r\n");
        let (head, body) = printed.split_at(end.map_or(printed.len(), |end| end + 4));
        let head = String::from_utf8_lossy(head);
        let (mut status, mut headers) = (200, String::new());
        for line in head.lines().filter(|line| !line.is_empty()) {
            match line.strip_prefix("Status: ") {
                Some(says) => status = says[..3].parse().unwrap_or(500),
                None => headers += &format!("{line}\r\n"),
            }
        }
        Self {
            status,
            headers,
            body: body.to_vec(),
        }
    }
}

impl Request {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    fn answer(&self, state: &Mutex<State>) -> Result<Answer> {
        let path: Vec<&str> = self.path.split('/').skip(1).collect();
        let authorization = self.header("authorization");
        if path.get(1) == Some(&"hello.git") {
            // As git says `x-access-token:TOKEN`.
            let known = authorization.starts_with("Basic ");
            return if known {
                self.git(state)
            } else {
                Ok(Answer::refused("Basic realm=\"GitHub\""))
            };
        }
        // The App says who it is by its key, and with that gets a token.
        let app = authorization.starts_with("Bearer ey");
        let installation = authorization.ends_with(&format!(" {TOKEN}"));
        if !(if path[0] == "app" { app } else { installation }) {
            return Ok(Answer::refused("Bearer"));
        }
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let mut state = lock(state);
        Ok(match (self.method.as_str(), path.as_slice()) {
            ("GET", ["app", "installations"]) => Answer::json(200, &json!([{"id": 1}])),
            ("POST", ["app", "installations", "1", "access_tokens"]) => {
                let token = json!({"token": TOKEN, "expires_at": "2099-01-01T00:00:00Z"});
                Answer::json(201, &token)
            }
            ("GET", ["apps", slug]) => Answer::json(200, &json!({"slug": slug})),
            ("POST", ["graphql"]) => {
                let page = json!({"endCursor": null, "hasNextPage": false});
                // No team is below another.
                let organization = if text(&body, "/query").contains("childTeams") {
                    json!({"team": {"childTeams": {"nodes": [], "pageInfo": page}}})
                } else {
                    let is_in = text(&body, "/variables/userLogins/0") == PLATFORM;
                    let team = json!({"node": {"name": "platform", "slug": "platform"}});
                    let edges = if is_in { vec![team] } else { Vec::new() };
                    json!({"teams": {"edges": edges, "pageInfo": page}})
                };
                Answer::json(200, &json!({"data": {"organization": organization}}))
            }
            (_, ["repos", owner, name, rest @ ..]) if format!("{owner}/{name}") == REPOSITORY => {
                state.of_repository(&self.method, rest, &body)?
            }
            // Where the App is not installed.
            (_, ["repos", ..]) => Answer::json(404, &json!({"message": "Not Found"})),
            _ => anyhow::bail!("nobody asks that"),
        })
    }

    fn git(&self, state: &Mutex<State>) -> Result<Answer> {
        let served = lock(state).served.clone();
        let variables = [
            ("REQUEST_METHOD", self.method.as_str()),
            ("PATH_INFO", &self.path),
            ("QUERY_STRING", &self.query),
            ("CONTENT_TYPE", self.header("content-type")),
            ("HTTP_CONTENT_ENCODING", self.header("content-encoding")),
            ("GIT_PROTOCOL", self.header("git-protocol")),
        ];
        let printed = repository::serve(&served, &variables, &self.body)?;
        Ok(Answer::printed(&printed))
    }
}

impl State {
    fn pull(&self, number: &str) -> Result<&Pull> {
        let pull = number
            .parse()
            .ok()
            .and_then(|number| self.pulls.get(&number));
        pull.ok_or_else(|| anyhow::anyhow!("there is no such pull request"))
    }

    fn of_repository(&mut self, method: &str, path: &[&str], body: &Value) -> Result<Answer> {
        Ok(match (method, path) {
            ("GET", ["pulls", number]) => Answer::json(200, &self.pull(number)?.shown()),
            ("GET", ["pulls", number, "files"]) => {
                let files = self.pull(number)?.files.iter();
                let files = files.map(|file| json!({"filename": file, "status": "modified"}));
                Answer::json(200, &files.collect())
            }
            ("GET", ["pulls", number, "reviews"]) => {
                let approved = self.pull(number)?.approved;
                let review = json!({
                    "state": if approved { "APPROVED" } else { "COMMENTED" },
                    "user": {"login": PLATFORM},
                    "submitted_at": "2026-01-01T00:00:00Z",
                });
                Answer::json(200, &json!([review]))
            }
            ("POST", ["statuses", head]) => {
                let [check, status] = ["/context", "/state"].map(|at| text(body, at).to_owned());
                self.statuses.push(((*head).to_owned(), check, status));
                Answer::json(201, body)
            }
            ("POST", ["issues", number, "comments"]) => {
                let comment = text(body, "/body").to_owned();
                self.comments.push((number.parse()?, comment));
                Answer::json(201, body)
            }
            ("POST", ["issues", "comments", _, "reactions"]) => Answer::json(201, body),
            _ => anyhow::bail!("nobody asks that"),
        })
    }
}
