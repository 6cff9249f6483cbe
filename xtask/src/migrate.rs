//! `cargo xtask migrate`: the migrations of migrations/, applied to a Postgres.

use anyhow::Result;
use harness::postgres;

/// What can be chosen.
#[derive(clap::Args)]
pub struct Options {
    /// postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=MODE, of a role that owns the database
    #[arg(long, env = "HELLO_MIGRATE_URL", hide_env_values = true)]
    url: String,
}

pub fn run(options: &Options) -> Result<()> {
    postgres::migrate(&postgres::Address::parse(&options.url)?)
}
