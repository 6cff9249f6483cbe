//! `cargo xtask build`: the components, the manifest for Spin, and whether a second build is the same.

use anyhow::Result;
use harness::manifest;
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
    let is_built = |host: &HostKind| options.host.is_none_or(|chosen| chosen == *host);
    for host in HostKind::ALL
        .into_iter()
        .filter(|host| host.is_spin() && is_built(host))
    {
        let manifest = manifest::write_beside_component(host)?;
        eprintln!("{}: for what is deployed", manifest.display());
    }
    if options.verify {
        componentize::verify(options.host)?;
    }
    Ok(())
}
