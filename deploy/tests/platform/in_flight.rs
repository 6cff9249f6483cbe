//! How many requests at a time Kong lets in: a real nginx with the directives of its values, before a
//! service that holds requests.

use std::{
    io::{BufRead, BufReader, Result as IoResult, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use deploy_tests::{checker::Checker, mutation::Mutations, objects::fields};
use harness::{
    client::{Connection, request},
    host::free_port,
    wait::wait_until,
};
use libtest_mimic::Trial;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    addons::{Rendered, cluster},
    server::nginx,
};

/// The limits of one pod of Kong: docs/reliability.md says why.
const REQUESTS: usize = 100;
const OF_ONE_ADDRESS: usize = 25;

/// A refusal waits for nothing: it takes far less than the 5 s that a pod has for an answer.
const AT_ONCE: Duration = Duration::from_secs(2);

/// The service answers this when it is told to.
const HELD: &str = "/hello/Held";
/// All else at once.
const OTHER: &str = "/hello/Other";

/// In place of what Kong writes in Lua.
const ERROR: &str = r#"{"message":"by the error handler"}"#;

pub fn trials(checker: &Checker, mutations: &Mutations) -> Vec<Trial> {
    let check = "Kong: the requests in flight are limited";
    let production = |checker: &Checker| cluster(checker, "production-eu-west-1").cloned();
    mutations.trials_of(checker, check, production, limited)
}

fn limited(rendered: &Rendered) -> Result<()> {
    let service = Service::start()?;
    let (directory, port, status) = (TempDir::new()?, free_port()?, free_port()?);
    let config = config(rendered.values("kong")?, port, status, service.port);
    let _nginx = nginx(directory.path(), &config, port)?;
    let open = |address: usize| -> Result<Connection> {
        let source = Ipv4Addr::new(127, 0, 0, u8::try_from(address)?);
        Ok(Connection::open_from(source, port)?)
    };
    // The addresses 2 to 5 fill it; 6 is another one.
    let address = |n: usize| 2 + n / OF_ONE_ADDRESS;

    let mut idle = Vec::new();
    for n in 0..=REQUESTS {
        let mut connection = open(address(n))?;
        let status = connection.exchange("GET", OTHER, &[], b"")?.status;
        ensure!(status == 200, "before all: {status}");
        idle.push(connection);
    }
    let mut held = Vec::new();
    for n in 0..REQUESTS {
        if n == OF_ONE_ADDRESS {
            service.wait_for(n)?;
            refused(open(2)?).context("more of one address")?;
        }
        let mut connection = open(address(n))?;
        connection.send(&request("GET", HELD, &[], b""))?;
        held.push(connection);
    }
    let all = service.wait_for(REQUESTS);
    all.context("fewer than the limit are let in")?;
    for _ in 0..10 {
        refused(open(6)?).context("more than the limit")?;
    }
    let probe = Connection::open(status)?.exchange("GET", "/status/ready", &[], b"")?;
    ensure!(probe.status == 200, "the probe: {}", probe.status);

    service.release();
    for mut connection in held {
        let answer = connection.receive(false)?;
        let status = answer.status;
        ensure!(status == 200, "one that was let in: {status}");
        let retry = answer.header("retry-after");
        ensure!(retry.is_none(), "a 200 has retry-after: {retry:?}");
    }
    for mut connection in idle {
        let status = connection.exchange("GET", OTHER, &[], b"")?.status;
        ensure!(status == 200, "afterwards: {status}");
    }
    Ok(())
}

/// Requires the refusal of a request, at once, and by Kong's own error handler.
fn refused(mut connection: Connection) -> Result<()> {
    let asked = Instant::now();
    let answer = connection.exchange("GET", OTHER, &[], b"")?;
    let (status, took) = (answer.status, asked.elapsed());
    ensure!(status == 503, "it is answered with {status}");
    ensure!(took < AT_ONCE, "it is refused after {took:?}");
    ensure!(answer.body == ERROR.as_bytes(), "not by the error handler");
    let retry = answer.header("retry-after");
    ensure!(retry == Some("1"), "retry-after is {retry:?}");
    Ok(())
}

/// What concerns the limits in kong/templates/nginx_kong.lua of Kong 3.9: where it writes the entries of
/// the environment, and its servers for the proxy and for the status.
fn config(values: &Value, port: u16, status: u16, service: u16) -> String {
    let entries = |prefix: &str| {
        let entries = fields(values, "/gateway/env").filter_map(|(name, value)| {
            let value = value.as_str()?;
            Some(format!("{} {value};\n", name.strip_prefix(prefix)?))
        });
        entries.collect::<String>()
    };
    let (http, proxy) = (entries("nginx_http_"), entries("nginx_proxy_"));
    format!(
        r"
events {{ worker_connections 1024; }}
pid nginx.pid;
http {{
    access_log off;
    client_body_temp_path temp1; proxy_temp_path temp2; fastcgi_temp_path temp3;
    uwsgi_temp_path temp4; scgi_temp_path temp5;
    {http}
    server {{
        server_name kong;
        listen 127.0.0.1:{port};
        error_page 400 404 405 408 411 412 413 414 417 /kong_error_handler;
        error_page 500 502 503 504 /kong_error_handler;
        {proxy}
        location / {{
            proxy_http_version 1.1;
            proxy_pass http://127.0.0.1:{service};
        }}
        location = /kong_error_handler {{ internal; return 200 '{ERROR}'; }}
    }}
    server {{
        server_name kong_status;
        listen 127.0.0.1:{status};
        location / {{ return 200; }}
    }}
}}
"
    )
}

/// A service that notes how many requests it holds.
struct Service {
    port: u16,
    held: Arc<Held>,
}

#[derive(Default)]
struct Held {
    requests: Mutex<Requests>,
    changed: Condvar,
}

#[derive(Default)]
struct Requests {
    waiting: usize,
    released: bool,
}

impl Service {
    fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let held = Arc::new(Held::default());
        let shared = Arc::clone(&held);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let held = Arc::clone(&shared);
                // Who goes away needs no answer.
                thread::spawn(move || held.answer(client).ok());
            }
        });
        Ok(Self { port, held })
    }

    /// Until it holds this number of requests.
    fn wait_for(&self, number: usize) -> Result<()> {
        let (limit, interval) = (Duration::from_secs(10), Duration::from_millis(10));
        wait_until("the service's requests", limit, interval, || {
            let found = self.held.requests().waiting;
            Ok((found == number).then_some(()))
        })
    }

    fn release(&self) {
        self.held.requests().released = true;
        self.held.changed.notify_all();
    }
}

impl Held {
    fn requests(&self) -> MutexGuard<'_, Requests> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers one request, and ends the connection.
    fn answer(&self, client: TcpStream) -> IoResult<()> {
        let lines = BufReader::new(&client).lines().map_while(Result::ok);
        let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        if head.first().is_some_and(|line| line.contains(HELD)) {
            let mut requests = self.requests();
            requests.waiting += 1;
            while !requests.released {
                let next = self.changed.wait(requests);
                requests = next.unwrap_or_else(PoisonError::into_inner);
            }
        }
        (&client).write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    }
}
