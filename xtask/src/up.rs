//! `cargo xtask up`: set up what is missing, build, and serve until Ctrl-C.

use anyhow::{Result, bail, ensure};

use harness::{
    host::{Host, Setup, Store, choose, require_free},
    postgres::{Address, Postgres},
    process::end_all_on_signal,
};
use tools::{HostKind, root, run::announce, target};

/// What can be chosen.
#[derive(clap::Args)]
pub struct Options {
    /// The host: Spin where it can be had, else wasmCloud
    #[arg(long)]
    host: Option<HostKind>,
    /// The version of WASI [default: that of --host; without it, 0.3 on Spin 4.1 or later, else 0.2]
    #[arg(long, value_enum)]
    wasi: Option<Wasi>,
    /// Which store keeps the users
    #[arg(long, value_enum, default_value_t = StoreKind::KeyValue)]
    store: StoreKind,
    /// The Postgres to take, as postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=MODE; it has
    /// to be migrated. Without it, one is started for as long as this runs
    #[arg(long, env = "HELLO_POSTGRES_URL", hide_env_values = true)]
    url: Option<String>,
    /// The port to serve on, of 127.0.0.1
    #[arg(long, default_value_t = 3000, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
}

/// What [`Options::wasi`] may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Wasi {
    #[value(name = "0.2")]
    P2,
    #[value(name = "0.3")]
    P3,
}

/// What [`Options::store`] may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum StoreKind {
    /// The host's key-value store
    KeyValue,
    /// Postgres
    Postgres,
}

/// Serves until a signal comes, or the host ends.
pub fn run(options: &Options) -> Result<()> {
    end_all_on_signal()?;
    require_free(options.port)?;
    ensure!(
        options.url.is_none() || options.store == StoreKind::Postgres,
        "--url is for --store postgres"
    );
    let url = options.url.as_deref().map(Address::parse).transpose()?;
    let (mut kind, program) = choose(options.host)?;
    match options.wasi {
        Some(Wasi::P3) => kind = kind.on_p3(),
        Some(Wasi::P2) => ensure!(
            !kind.is_p3(),
            "--host {kind} is WASI 0.3: take --host {} with --wasi 0.2",
            kind.family()
        ),
        None if options.host.is_none()
            && kind.is_spin()
            && HostKind::SpinP3.require(&program).is_ok() =>
        {
            kind = HostKind::SpinP3;
        }
        None => {}
    }
    kind.require(&program)?;
    componentize::build(Some(kind))?;
    let (address, _server) = match (options.store, url) {
        (StoreKind::KeyValue, _) => (None, None),
        (StoreKind::Postgres, Some(address)) => (Some(address), None),
        (StoreKind::Postgres, None) => {
            announce("starting Postgres");
            let server = Postgres::start(&target().join("postgres"))?;
            announce(&format!(
                "Postgres listens on port {} of 127.0.0.1, and keeps its files in {}",
                server.port,
                target().join("postgres").display()
            ));
            (Some(server.service()), Some(server))
        }
    };
    let root = root();
    let version = tools::version(&program);
    announce(&format!("starting {version}"));
    let setup = Setup {
        store: address.as_ref().map_or(Store::Shipped, Store::Postgres),
        ..Setup::shipped(&root, None)
    };
    let mut host = Host::start(kind, &program, options.port, setup)?;
    announce(&format!(
        "hello runs on {kind} ({version}, {}): http://127.0.0.1:{}   (Ctrl-C ends it)",
        program.display(),
        options.port
    ));
    let status = host.wait()?;
    bail!("{kind} ended by itself, with {status}")
}
