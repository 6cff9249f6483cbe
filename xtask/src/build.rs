//! `cargo xtask build`: the components, and whether a second build is the same.

use anyhow::Result;
use tools::HostKind;

/// What can be chosen.
#[derive(clap::Args)]
pub struct Options {
    /// Build for this host alone
    #[arg(long)]
    host: Option<HostKind>,
    /// Build once more, from nothing and in another directory, and compare
    #[arg(long)]
    verify: bool,
}

pub fn run(options: &Options) -> Result<()> {
    componentize::build(options.host)?;
    if options.verify {
        componentize::verify(options.host)?;
    }
    Ok(())
}
