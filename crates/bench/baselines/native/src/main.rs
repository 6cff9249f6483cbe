//! A baseline of `cargo xtask bench compare`: hello's API as a native program with Postgres.
//!
//! It calls [`hello::api::respond`] as the components do, and it counts and logs each request as they
//! do. What it does not have is a WebAssembly host: it is what the same code would reach in a container.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`host`] | what the host of a component provides: Postgres, and counters in memory |
//! | [`serve`] | one request: respond, log, count |
//!
//! The futures of hello's ports are not `Send`. So each core has a thread with a runtime, a listener
//! and connections to Postgres of its own; the kernel spreads the clients over the listeners.
//!
//! ```sh
//! DATABASE_URL=postgres://hello:…@127.0.0.1:5432/hello?sslmode=disable hello-native PORT
//! ```

mod host;
mod serve;

use std::{
    env,
    net::{Ipv4Addr, SocketAddr},
    rc::Rc,
    thread,
};

use anyhow::{Context, Result};
use hello::metrics::memory::MemoryCounters;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpSocket},
    task::{LocalSet, spawn_local},
};
use tokio_postgres::Config;

use host::Native;

/// As many clients may wait to be accepted.
const BACKLOG: u32 = 1024;

fn main() -> Result<()> {
    let port = env::args().nth(1).context("usage: hello-native PORT")?;
    let port = port.parse().context("PORT must be a number up to 65535")?;
    let database = env::var("DATABASE_URL").context("DATABASE_URL must say where Postgres is")?;
    let database: Config = database
        .parse()
        .context("DATABASE_URL must be a URL of Postgres")?;
    let counters = MemoryCounters::default();
    let threads = (0..thread::available_parallelism()?.get()).map(|_| {
        let (database, counters) = (database.clone(), counters.clone());
        thread::spawn(move || run(port, database, counters))
    });
    // All are started before the first is waited for; none ends but by an error.
    for thread in threads.collect::<Vec<_>>() {
        thread.join().expect("a panic aborts the process")?;
    }
    Ok(())
}

/// Serves on this thread.
fn run(port: u16, database: Config, counters: MemoryCounters) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, async {
        let host = Rc::new(Native::new(database, counters)?);
        let listener =
            listen(port).with_context(|| format!("cannot listen on port {port} of 127.0.0.1"))?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let host = Rc::clone(&host);
            spawn_local(async move {
                let service = service_fn(|request| serve::serve(request, &host));
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .serve_connection(TokioIo::new(stream), service);
                // A client that has gone is no failure of the service.
                let _ = connection.await;
            });
        }
    })
}

/// A listener beside those of the other threads.
fn listen(port: u16) -> Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    Ok(socket.listen(BACKLOG)?)
}
