//! `cargo xtask`: set up, build, serve, check, test and measure.

mod check;
mod release;
mod test;
mod up;

use std::process::ExitCode;

use bench::{Bench, cutover};
use clap::{Parser, Subcommand};
use harness::postgres;
use tools::HostKind;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "hello's tasks", version)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Set up what is missing, build, and serve until Ctrl-C
    Up(up::Options),
    /// Run every test, on every host there is, and sum up
    Test(test::Options),
    /// Build the components for all hosts, or for one
    Build {
        /// Build for this host alone
        #[arg(long)]
        host: Option<HostKind>,
        /// Build once more, from nothing and in another directory, and compare
        #[arg(long)]
        verify: bool,
    },
    /// Formatting and lints, native and wasm
    Check,
    /// Apply the migrations to a Postgres
    Migrate {
        /// postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=MODE, of a role that owns the database
        #[arg(long, env = "HELLO_MIGRATE_URL", hide_env_values = true)]
        url: String,
    },
    /// Swap two versions under load behind a proxy, and count what it costs
    RehearseSwap(cutover::Options),
    /// Publish a version, or do all of that on this machine alone
    Release(release::Options),
    /// Measure a host that is serving, or hello beside a baseline
    #[command(subcommand)]
    Bench(Bench),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().task {
        Task::Up(options) => up::up(&options),
        Task::Test(options) => test::test(&options),
        Task::Build { host, verify } => componentize::build(host).and_then(|()| {
            if verify {
                componentize::verify(host)
            } else {
                Ok(())
            }
        }),
        Task::Check => check::check(),
        Task::Migrate { url } => {
            postgres::Address::parse(&url).and_then(|address| postgres::migrate(&address))
        }
        Task::RehearseSwap(options) => cutover::command(&options),
        Task::Release(options) => release::release(&options),
        Task::Bench(bench) => bench.run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
