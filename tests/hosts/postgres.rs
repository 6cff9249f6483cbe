//! Postgres as the store: what a host does when the database does not do its part.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail, ensure};
use harness::{
    client::{self, Answer, Connection},
    host::{Host, Setup, Store, free_port},
    postgres::{Address, Postgres, give_to_server, migrate},
};
use libtest_mimic::Trial;
use tempfile::TempDir;
use tools::{HostKind, run};

use super::{
    HostUnderTest, JSON, PUT, assert_no_sensitive_data, letters, logs_of, refuses_service, until,
};

/// How long a request may go without an answer while a database is at fault.
pub const BOUND: Duration = Duration::from_secs(5);

pub const UNAVAILABLE: &str = "the store is unavailable";

pub fn trials(under_test: &HostUnderTest) -> Vec<Trial> {
    let trial = |name: &str, test: fn(HostUnderTest) -> Result<()>| {
        under_test.trial(&format!("postgres: {name}"), test)
    };
    vec![
        trial("a server that is not there is 503", not_there),
        trial("a server that comes back is used again", comes_back),
        trial("a wrong password is 503", wrong_password),
        trial(
            "an address that is missing is 503 and named in the log",
            no_address,
        ),
        trial("no connection left is 503", no_connection_left),
        trial(
            "a table that is missing or not readable is not ready",
            not_readable,
        ),
        trial(
            "a server that only reads greets and refuses to save",
            only_reads,
        ),
        trial("a lock that is held is 503 within 5 s", locked),
        match under_test.kind {
            HostKind::SpinP3 | HostKind::WasmcloudP3 => {
                trial("a server that never answers is 503 within 5 s", timed_out)
            }
            HostKind::Spin | HostKind::Wasmcloud => trial(
                "a server that never answers holds up no other request",
                never_answers,
            ),
        },
        trial(
            "kill -9 of the server under load loses no acknowledged save",
            killed_under_load,
        ),
        trial("migrations can be applied again, under load", migrated),
        trial("the service's role can do nothing else", least_privilege),
        trial("TLS with a private CA", tls),
    ]
}

/// A database and a host that keeps its users there.
pub struct Pair {
    pub host: Host,
    pub server: Postgres,
    directory: TempDir,
    database: TempDir,
}

impl Pair {
    pub fn start(under_test: &HostUnderTest) -> Result<Self> {
        let database = TempDir::new()?;
        let server = Postgres::start(database.path())?;
        let (host, directory) = under_test.start(Store::Postgres(&server.service()))?;
        Ok(Self {
            host,
            server,
            directory,
            database,
        })
    }

    /// What the host has printed.
    pub fn log(&self) -> Result<String> {
        Ok(fs::read_to_string(self.directory.path().join("log"))?)
    }

    /// Ends both, and sees to it that no log tells what it should not.
    pub fn end(self) -> Result<()> {
        drop(self.host);
        assert_no_sensitive_data(&logs_of(self.directory.path())?, &self.server.password)?;
        let log = fs::read_to_string(self.database.path().join("postgres.log"))?;
        assert_no_sensitive_data(&log, &self.server.password)
    }
}

/// Sends one request and requires an answer within [`BOUND`].
pub fn ask(host: &Host, method: &str, target: &str, body: &[u8]) -> Result<Answer> {
    let started = Instant::now();
    let answer = host.connect()?.exchange(method, target, &JSON, body)?;
    let took = started.elapsed();
    ensure!(took < BOUND, "{method} {target} took {took:?}");
    Ok(answer)
}

pub fn expect(host: &Host, method: &str, target: &str, body: &[u8], status: u16) -> Result<()> {
    let answer = ask(host, method, target, body)?;
    let (found, text) = (answer.status, String::from_utf8_lossy(&answer.body));
    ensure!(found == status, "{method} {target} got {found}: {text}");
    Ok(())
}

/// Sends one request again and again, until its answer is [`expect`]ed, for [`BOUND`] at most.
pub fn wait_for(host: &Host, method: &str, target: &str, body: &[u8], status: u16) -> Result<()> {
    until(&format!("{method} {target} to be {status}"), BOUND, || {
        Ok(ask(host, method, target, body)?.status == status)
    })
}

/// The address of a Postgres that is not one.
fn no_postgres(port: u16) -> Address {
    Address {
        host: "127.0.0.1".to_owned(),
        port,
        database: "hello".to_owned(),
        user: "hello".to_owned(),
        password: "none".to_owned(),
        sslmode: "disable".to_owned(),
    }
}

fn not_there(under_test: HostUnderTest) -> Result<()> {
    let nowhere = no_postgres(free_port()?);
    let (host, _directory) = under_test.start(Store::Postgres(&nowhere))?;
    let started = Instant::now();
    refuses_service(&host, UNAVAILABLE, "postgres")?;
    let took = started.elapsed();
    ensure!(took < BOUND, "they took {took:?}");
    Ok(())
}

fn comes_back(under_test: HostUnderTest) -> Result<()> {
    let mut pair = Pair::start(&under_test)?;
    expect(&pair.host, "PUT", "/hello/Signed", PUT, 204)?;
    pair.server.stop();
    refuses_service(&pair.host, UNAVAILABLE, "postgres")?;
    pair.server.run(&[])?;
    // A pool may hold a few dead connections; it must not take longer to find out.
    wait_for(&pair.host, "GET", "/readyz", b"", 200)?;
    expect(&pair.host, "GET", "/hello/Signed", b"", 200)?;
    pair.end()
}

fn wrong_password(under_test: HostUnderTest) -> Result<()> {
    let database = TempDir::new()?;
    let server = Postgres::start(database.path())?;
    let wrong = Address {
        password: "not-the-password".to_owned(),
        ..server.service()
    };
    let (host, directory) = under_test.start(Store::Postgres(&wrong))?;
    refuses_service(&host, UNAVAILABLE, "postgres")?;
    drop(host);
    let log = logs_of(directory.path())?;
    assert_no_sensitive_data(&log, &wrong.password)?;
    let told = log.contains(UNAVAILABLE);
    ensure!(told, "the log does not say why: {log}");
    Ok(())
}

fn no_address(under_test: HostUnderTest) -> Result<()> {
    // wasmCloud's guest has no address to miss: its host has one, or none that answers.
    let (detail, reason) = match under_test.kind {
        HostKind::Spin | HostKind::SpinP3 => (
            "the store is misconfigured",
            "the variable `postgres_host` is not set",
        ),
        HostKind::Wasmcloud | HostKind::WasmcloudP3 => (UNAVAILABLE, "failed to get connection"),
    };
    let (host, directory) = under_test.start(Store::Named("postgres"))?;
    refuses_service(&host, detail, "postgres")?;
    drop(host);
    let log = logs_of(directory.path())?;
    ensure!(log.contains(reason), "the log does not say why: {log}");
    Ok(())
}

fn no_connection_left(under_test: HostUnderTest) -> Result<()> {
    // Before the first request: a connection in the host's pool would be left.
    let pair = Pair::start(&under_test)?;
    pair.server.psql("ALTER ROLE hello CONNECTION LIMIT 0")?;
    refuses_service(&pair.host, UNAVAILABLE, "postgres")?;
    pair.server.psql("ALTER ROLE hello CONNECTION LIMIT -1")?;
    expect(&pair.host, "GET", "/readyz", b"", 200)?;
    pair.end()
}

fn not_readable(under_test: HostUnderTest) -> Result<()> {
    let pair = Pair::start(&under_test)?;
    expect(&pair.host, "PUT", "/hello/Signed", PUT, 204)?;
    for (harm, mend) in [
        (
            "ALTER TABLE users RENAME TO elsewhere",
            "ALTER TABLE elsewhere RENAME TO users",
        ),
        (
            "REVOKE SELECT ON users FROM hello",
            "GRANT SELECT ON users TO hello",
        ),
    ] {
        pair.server.psql(harm)?;
        refuses_service(&pair.host, UNAVAILABLE, "postgres")?;
        pair.server.psql(mend)?;
        expect(&pair.host, "GET", "/readyz", b"", 200)?;
        expect(&pair.host, "GET", "/hello/Signed", b"", 200)?;
    }
    pair.end()
}

fn only_reads(under_test: HostUnderTest) -> Result<()> {
    let pair = Pair::start(&under_test)?;
    expect(&pair.host, "PUT", "/hello/Signed", PUT, 204)?;
    let set = |value: &str| -> Result<()> {
        let setting = format!("ALTER SYSTEM SET default_transaction_read_only = {value}");
        // ALTER SYSTEM runs alone, and a server that only reads still takes it.
        pair.server.psql(&setting)?;
        pair.server.psql("SELECT pg_reload_conf()")?;
        Ok(())
    };
    set("on")?;
    wait_for(&pair.host, "PUT", "/hello/Signed", PUT, 503)?;
    expect(&pair.host, "GET", "/hello/Signed", b"", 200)?;
    set("off")?;
    wait_for(&pair.host, "PUT", "/hello/Signed", PUT, 204)?;
    pair.end()
}

fn locked(under_test: HostUnderTest) -> Result<()> {
    let pair = Pair::start(&under_test)?;
    thread::scope(|scope| {
        let lock = scope.spawn(|| {
            pair.server.psql(
                "BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(8); COMMIT",
            )
        });
        let count = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' \
                     AND relation = 'users'::regclass AND granted";
        until("the lock", BOUND, || {
            Ok(pair.server.psql(count)?.trim() == "1")
        })?;
        expect(&pair.host, "GET", "/readyz", b"", 503)?;
        lock.join().expect("psql does not panic")?;
        anyhow::Ok(())
    })?;
    expect(&pair.host, "GET", "/readyz", b"", 200)?;
    pair.end()
}

/// A port that takes connections and says nothing. No host lets a WASI 0.2 component bound such
/// a call, and none has a setting for it, so a proxy's time-out has to (docs/postgres.md). What
/// is shown here is that the fault stays with the requests that need the database.
fn never_answers(under_test: HostUnderTest) -> Result<()> {
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = no_postgres(silent.local_addr()?.port());
    let (host, _directory) = under_test.start(Store::Postgres(&address))?;
    let request = client::request("GET", "/hello/Silent", &[], b"");
    let mut held = Vec::new();
    for _ in 0..8 {
        let mut connection = host.connect()?;
        connection.send(&request)?;
        held.push(connection);
    }
    for _ in 0..20 {
        expect(&host, "GET", "/livez", b"", 200)?;
        expect(&host, "GET", "/hello/123", b"", 400)?;
    }
    // Nobody listens any more: what waited gets its answer, and it is no 404.
    drop(silent);
    for mut connection in held {
        let answer = connection.receive(false)?;
        ensure!(answer.status == 503, "it got {}", answer.status);
    }
    Ok(())
}

/// The same on WASI 0.3, where the service bounds each call to its store.
fn timed_out(under_test: HostUnderTest) -> Result<()> {
    const SECOND: Duration = Duration::from_secs(1);
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = no_postgres(silent.local_addr()?.port());
    let (host, directory) = under_test.start(Store::Postgres(&address))?;
    for (method, target, body, limit) in [
        ("GET", "/hello/Silent", &b""[..], 5 * SECOND),
        ("PUT", "/hello/Silent", PUT, 5 * SECOND),
        ("GET", "/readyz", b"", 2 * SECOND),
    ] {
        let started = Instant::now();
        let answer = host.connect()?.exchange(method, target, &JSON, body)?;
        let (status, took) = (answer.status, started.elapsed());
        let is_bounded = (limit..limit + SECOND / 2).contains(&took);
        ensure!(
            status == 503 && is_bounded,
            "{method} {target} got {status} after {took:?}"
        );
    }
    for cause in ["timed out after 5 s", "timed out after 2 s"] {
        let log = logs_of(directory.path())?;
        ensure!(log.contains(cause), "the log does not say {cause:?}: {log}");
    }
    Ok(())
}

/// What came of the saves of some writers.
#[derive(Default)]
struct Load {
    acknowledged: Vec<String>,
    refused: usize,
    slowest: Duration,
}

impl Load {
    /// Each of `writers` saves new users one after another, until `during` returns.
    fn on(port: u16, writers: &[&str], during: impl FnOnce() -> Result<()>) -> Result<Self> {
        let stop = &AtomicBool::new(false);
        thread::scope(|scope| {
            let writers: Vec<_> = writers
                .iter()
                .map(|writer| scope.spawn(move || Self::write_until(stop, port, writer)))
                .collect();
            let during = during();
            stop.store(true, Ordering::SeqCst);
            let mut all = Self::default();
            for writer in writers {
                let load = writer.join().expect("a writer does not panic")?;
                all.acknowledged.extend(load.acknowledged);
                all.refused += load.refused;
                all.slowest = all.slowest.max(load.slowest);
            }
            during.map(|()| all)
        })
    }

    fn write_until(stop: &AtomicBool, port: u16, writer: &str) -> Result<Self> {
        let mut connection = Connection::open(port)?;
        let mut load = Self::default();
        for n in 0.. {
            if stop.load(Ordering::SeqCst) {
                break;
            }
            let user = format!("Signed{}{}", writer.to_uppercase(), letters(n));
            let started = Instant::now();
            let answer = connection.exchange("PUT", &format!("/hello/{user}"), &JSON, PUT)?;
            load.slowest = load.slowest.max(started.elapsed());
            match answer.status {
                204 => load.acknowledged.push(user),
                503 => {
                    let headers = ["content-type", "retry-after"].map(|name| answer.header(name));
                    let expected = [Some("application/problem+json"), Some("1")];
                    ensure!(headers == expected, "a 503 has {headers:?}");
                    load.refused += 1;
                }
                other => bail!("PUT got {other}"),
            }
        }
        Ok(load)
    }
}

fn killed_under_load(under_test: HostUnderTest) -> Result<()> {
    let mut pair = Pair::start(&under_test)?;
    let load = Load::on(pair.host.port, &["a", "b", "c", "d"], || {
        thread::sleep(Duration::from_secs(1)); // some load before the fault
        pair.server.kill()?;
        thread::sleep(Duration::from_secs(1)); // and some while it lasts
        pair.server.run(&[])?;
        wait_for(&pair.host, "GET", "/readyz", b"", 200)?;
        thread::sleep(Duration::from_secs(1)); // and some after it
        Ok(())
    })?;
    let mut connection = pair.host.connect()?;
    let mut lost = 0;
    for user in &load.acknowledged {
        let answer = connection.exchange("GET", &format!("/hello/{user}"), &[], b"")?;
        lost += usize::from(answer.status != 200);
    }
    let (saved, refused, slowest) = (load.acknowledged.len(), load.refused, load.slowest);
    println!(
        "{}: kill -9 of Postgres under load: acknowledged {saved}, refused {refused}, lost {lost}; \
         the slowest answer took {} ms",
        under_test.kind,
        slowest.as_millis()
    );
    ensure!(lost == 0, "{lost} acknowledged saves are lost");
    ensure!(saved > 0 && refused > 0, "the load never met the fault");
    ensure!(slowest < BOUND, "an answer took {slowest:?}");
    pair.end()
}

fn migrated(under_test: HostUnderTest) -> Result<()> {
    let pair = Pair::start(&under_test)?;
    let load = Load::on(pair.host.port, &["old"], || {
        migrate(&pair.server.owner())?;
        // The schema of a version to come: it expands, so this version goes on beside it.
        pair.server
            .psql("ALTER TABLE users ADD COLUMN greeted_at timestamptz")?;
        let (new, _directory) = under_test.start(Store::Postgres(&pair.server.service()))?;
        for _ in 0..50 {
            expect(&new, "PUT", "/hello/SignedNew", PUT, 204)?;
            expect(&new, "GET", "/hello/SignedNew", b"", 200)?;
            expect(&pair.host, "GET", "/hello/SignedNew", b"", 200)?;
        }
        migrate(&pair.server.owner())
    })?;
    let (saved, refused) = (load.acknowledged.len(), load.refused);
    ensure!(
        refused == 0 && saved > 0,
        "{saved} were saved and {refused} refused"
    );
    let rows = pair.server.psql("SELECT count(*) FROM users")?;
    let rows = rows.trim();
    let saved = saved + 1;
    ensure!(rows == saved.to_string(), "{rows} rows for {saved} saves");
    pair.end()
}

fn least_privilege(_: HostUnderTest) -> Result<()> {
    let database = TempDir::new()?;
    let server = Postgres::start(database.path())?;
    for allowed in [
        "INSERT INTO users (username, date_of_birth) VALUES ('Signed', '1990-06-20')",
        "UPDATE users SET date_of_birth = '1990-06-21'",
        "SELECT date_of_birth FROM users",
    ] {
        server.psql(&format!("SET ROLE hello; {allowed}"))?;
    }
    for (refused, why) in [
        ("DELETE FROM users", "permission denied"),
        ("TRUNCATE users", "permission denied"),
        ("DROP TABLE users", "must be owner"),
        ("ALTER TABLE users ADD COLUMN x int", "must be owner"),
        ("CREATE TABLE mine (x int)", "permission denied"),
        (
            "INSERT INTO users (username, date_of_birth) VALUES ('ada1', '1990-06-20')",
            "users_username_check",
        ),
        (
            "INSERT INTO users (username, date_of_birth) VALUES ('Ada', '0001-01-01 BC')",
            "users_date_of_birth_check",
        ),
    ] {
        let error = server.psql(&format!("SET ROLE hello; {refused}"));
        let error = error.expect_err(refused).to_string();
        ensure!(error.contains(why), "{refused}: {error}");
    }
    Ok(())
}

fn tls(under_test: HostUnderTest) -> Result<()> {
    let certificates = TempDir::new()?;
    let directory = certificates.path();
    make_certificates(directory)?;
    let database = TempDir::new()?;
    let file = |name: &str| directory.join(name).display().to_string();
    let server = Postgres::start_with(
        database.path(),
        &[
            "ssl=on".to_owned(),
            format!("ssl_cert_file={}", file("server.crt")),
            format!("ssl_key_file={}", file("server.key")),
        ],
    )?;
    let address = Address {
        sslmode: "require".to_owned(),
        ..server.service()
    };
    let start = |root_certificate: Option<&Path>| {
        let data = TempDir::new()?;
        let host = under_test.start_with(Setup {
            store: Store::Postgres(&address),
            root_certificate,
            ..Setup::shipped(data.path(), None)
        })?;
        anyhow::Ok((host, data))
    };
    // A certificate that nobody vouches for is refused, and nothing goes out in the clear.
    let (host, _data) = start(None)?;
    refuses_service(&host, UNAVAILABLE, "postgres")?;
    drop(host);
    let (host, _data) = start(Some(&directory.join("ca.crt")))?;
    match under_test.kind {
        HostKind::Spin | HostKind::SpinP3 => {
            expect(&host, "PUT", "/hello/Signed", PUT, 204)?;
            expect(&host, "GET", "/hello/Signed", b"", 200)?;
            let encrypted = server.psql(
                "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                 WHERE usename = 'hello' AND ssl",
            )?;
            ensure!(encrypted.trim() != "0", "no connection is encrypted");
            Ok(())
        }
        // wash 2.10 trusts the public CAs alone, and has no setting for another.
        HostKind::Wasmcloud | HostKind::WasmcloudP3 => {
            refuses_service(&host, UNAVAILABLE, "postgres")
        }
    }
}

/// A CA, and a certificate of it for 127.0.0.1.
fn make_certificates(directory: &Path) -> Result<()> {
    let openssl = |arguments: &str| {
        run::read(
            "make a certificate",
            Command::new(tools::find_or_fetch("openssl")?)
                .args(arguments.split(' '))
                .current_dir(directory),
        )
    };
    openssl(
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=hello-test-ca -keyout ca.key -out ca.crt",
    )?;
    openssl("req -newkey rsa:2048 -nodes -subj /CN=127.0.0.1 -keyout server.key -out server.csr")?;
    fs::write(directory.join("names"), "subjectAltName=IP:127.0.0.1\n")?;
    openssl(
        "x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.crt",
    )?;
    give_to_server(directory)?;
    give_to_server(&directory.join("server.key"))
}
