//! `cargo xtask`: serve, test, check, build, measure and release hello. A file here is a command.

mod build;
mod check;
mod cluster;
mod migrate;
mod msrv;
mod release;
mod test;
mod up;

use std::process::ExitCode;

use bench::{Bench, cutover};
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "hello's tasks", version)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

/// In the order in which a newcomer needs them.
#[derive(Subcommand)]
enum Task {
    /// Set up what is missing, build, and serve until Ctrl-C
    Up(up::Options),
    /// Run every test, on every host there is, and sum up
    Test(test::Options),
    /// Formatting, lints and documentation, native and wasm
    Check,
    /// Build the components for all hosts, or for one
    Build(build::Options),
    /// Measure a host that is serving, or hello beside a baseline
    #[command(subcommand)]
    Bench(Bench),
    /// Swap two versions under load behind a proxy, and count what it costs
    RehearseSwap(cutover::Options),
    /// Inject faults under load, and hold every answer to what was acknowledged
    Chaos(chaos::Options),
    /// Start a Kubernetes of one's own on this machine, until Ctrl-C
    #[command(subcommand)]
    Cluster(cluster::Command),
    /// Apply the migrations to a Postgres
    Migrate(migrate::Options),
    /// Build with the oldest Rust that Cargo.toml declares, fetched by rustup
    Msrv,
    /// Publish a version, or do all of that on this machine alone
    Release(release::Options),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().task {
        Task::Up(options) => up::run(&options),
        Task::Test(options) => test::run(&options),
        Task::Check => check::run(),
        Task::Build(options) => build::run(&options),
        Task::Bench(bench) => bench.run(),
        Task::RehearseSwap(options) => cutover::command(&options),
        Task::Chaos(options) => match chaos::command(&options) {
            Ok(code) => return code,
            Err(error) => Err(error),
        },
        Task::Cluster(command) => return cluster::run(&command),
        Task::Migrate(options) => migrate::run(&options),
        Task::Msrv => msrv::run(),
        Task::Release(options) => release::run(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
