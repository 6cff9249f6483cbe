//! `cargo xtask up`: set up what is missing, build, and serve until Ctrl-C.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::{
    HostKind, build,
    host::{Host, Setup, Store, require_free},
    process::end_all_on_signal,
    root,
    run::announce,
    tools,
};

/// What can be chosen.
#[derive(clap::Args)]
pub struct Options {
    /// The host: Spin where it can be had, else wasmCloud
    #[arg(long)]
    host: Option<HostKind>,
    /// The port to serve on, of 127.0.0.1
    #[arg(long, default_value_t = 3000, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
}

/// Serves until a signal comes, or the host ends.
///
/// # Errors
///
/// One sentence that says what is missing or taken.
pub fn up(options: &Options) -> Result<()> {
    end_all_on_signal()?;
    require_free(options.port)?;
    let (kind, program) = choose(options.host)?;
    build::build(Some(kind))?;
    let version = tools::version(&program);
    announce(&format!("starting {version}"));
    let setup = Setup {
        data: &root(),
        log: None,
        store: Store::Shipped,
        root_certificate: None,
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

fn choose(host: Option<HostKind>) -> Result<(HostKind, PathBuf)> {
    if let Some(kind) = host {
        return Ok((kind, tools::find_or_fetch(kind)?));
    }
    for kind in HostKind::ALL {
        if let Some(program) = tools::find(kind)? {
            return Ok((kind, program));
        }
    }
    match tools::find_or_fetch(HostKind::Spin) {
        Ok(program) => Ok((HostKind::Spin, program)),
        Err(error) => {
            eprintln!("{error:#}");
            announce("going on with wasmCloud");
            let program = tools::find_or_fetch(HostKind::Wasmcloud)?;
            Ok((HostKind::Wasmcloud, program))
        }
    }
}
