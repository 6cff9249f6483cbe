//! What the host keeps from a component that an attacker has taken over: another component, which tries,
//! runs under the configuration that hello is shipped with.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context, Result, ensure};
use harness::{
    client::Connection,
    host::{Host, Setup, Store, free_port},
    postgres::Postgres,
};
use libtest_mimic::Trial;
use tempfile::TempDir;
use tools::HostKind;

use crate::HostUnderTest;

pub fn trials(under_test: &HostUnderTest) -> Vec<Trial> {
    if under_test.kind.is_p3() {
        return Vec::new(); // the same program, with the same manifest
    }
    let name = "a component in hello's place reaches no file, variable or socket";
    vec![under_test.trial(name, refused)]
}

fn refused(under_test: HostUnderTest) -> Result<()> {
    let (directory, database) = (TempDir::new()?, TempDir::new()?);
    let server = Postgres::start(database.path())?;
    let address = server.service();
    let environment = [(
        "HELLO_SANDBOX".to_owned(),
        "a secret of the host's".to_owned(),
    )];
    let setup = Setup {
        store: Store::Postgres(&address),
        environment: &environment,
        ..Setup::shipped(directory.path(), None)
    };
    let host = start(&under_test, setup)?;
    let mut connection = host.connect()?;

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    let elsewhere = format!("127.0.0.1:{port}");
    let own = format!("127.0.0.1:{}", address.port);
    let file = directory.path().join("created").display().to_string();
    let mut tries = vec![
        ("file", "/etc/passwd"),
        ("directory", "/"),
        ("directory", "."),
        ("create", &file),
        ("environment", ""),
        ("connect", &elsewhere),
        // Not even by TCP of its own: Postgres is the host's to speak to.
        ("connect", &own),
        ("resolve", "localhost"),
    ];
    let url = format!("postgres://hello@{elsewhere}/hello?sslmode=disable&connect_timeout=2");
    if under_test.kind == HostKind::Spin {
        tries.extend([
            // `wash dev` lets any component send HTTP: there, hello is kept from it by what it imports.
            ("http", elsewhere.as_str()),
            ("label", "other"),
            ("postgres", url.as_str()),
        ]);
        // What is hello's own is granted: so the others are not refused for want of trying.
        for (what, argument) in [("label", "default"), ("postgres", &address.url())] {
            let answer = attempt(&mut connection, what, argument)?;
            ensure!(answer.starts_with("granted"), "{what} is {answer}");
        }
    }
    for (what, argument) in tries {
        let answer = attempt(&mut connection, what, argument)?;
        eprintln!("{}: {what} {argument}: {answer}", under_test.kind);
        ensure!(
            answer.starts_with("refused"),
            "{what} {argument} is {answer}"
        );
    }
    listener.set_nonblocking(true)?;
    ensure!(
        listener.accept().is_err(),
        "a connection has reached {elsewhere}"
    );
    Ok(())
}

fn start(under_test: &HostUnderTest, setup: Setup) -> Result<Host> {
    let kind = under_test.kind;
    let artifact = kind.artifact().with_extension("sandbox.wasm");
    Host::start_artifact(kind, &under_test.program, &artifact, free_port()?, setup)
}

fn attempt(connection: &mut Connection, what: &str, argument: &str) -> Result<String> {
    let target = format!("/{what}?{argument}");
    let answer = connection.exchange("GET", &target, &[], b"")?;
    String::from_utf8(answer.body).context("it answers with text")
}
