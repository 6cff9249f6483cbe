//! deploy/platform: what surrounds the service on AWS, rendered, validated and cross-checked.
//!
//! `cargo xtask test --part platform` runs this, and `cargo xtask test` does too.

mod addons;
mod atlantis;
mod charts;
mod checkov;
mod clusters;
mod delivery;
mod diagrams;
mod facts;
mod fits;
mod hygiene;
mod iam;
mod in_flight;
mod links;
mod observability;
mod overview;
mod policies;
mod references;
mod secrets;
mod server;
mod terraform;
mod terragrunt;
mod traffic;
mod tree;
mod world;

use anyhow::Result;
use deploy_tests::{checker::Checker, mutation::Mutations};
use libtest_mimic::{Arguments, Conclusion, Trial};
use terraform::Terraform;
use terragrunt::Terragrunt;

fn main() {
    match run(&Arguments::from_args()) {
        Ok(conclusion) => conclusion.exit(),
        Err(error) => {
            eprintln!("error: {error:#}");
            std::process::exit(1);
        }
    }
}

fn run(arguments: &Arguments) -> Result<Conclusion> {
    harness::process::end_all_on_signal().expect("this is the only place that asks");
    let checker = Checker::new()?;
    let terraform = Terraform::start()?;
    let terragrunt = Terragrunt::start(terraform.as_ref())?;
    let mutations = Mutations::of("platform")?;
    let mut trials = Vec::new();
    trials.extend(addons::trials(&checker, &mutations));
    trials.extend(atlantis::trials(terragrunt.as_ref(), &mutations));
    trials.extend(charts::trials(&checker, &mutations));
    trials.extend(checkov::trials(&mutations));
    trials.extend(clusters::trials(&checker, &mutations));
    trials.extend(delivery::trials(&checker, &mutations));
    trials.extend(diagrams::trials(&mutations));
    trials.extend(fits::trials(&checker, &mutations));
    trials.extend(hygiene::trials(&mutations));
    trials.extend(in_flight::trials(&checker, &mutations));
    trials.extend(links::trials(&mutations));
    trials.extend(observability::trials(&checker, &mutations));
    trials.extend(overview::trials(&mutations));
    trials.extend(policies::trials(&checker, &mutations));
    trials.extend(references::trials(&checker, &mutations));
    trials.extend(secrets::trials(&checker, &mutations));
    trials.extend(terraform::trials(terraform.as_ref(), &mutations));
    trials.extend(traffic::trials(&checker, &mutations));
    if let Some(terragrunt) = &terragrunt {
        trials.extend(iam::trials(terragrunt, &mutations));
        trials.extend(terragrunt::trials(terragrunt, &mutations));
        mutations.assert_all_used();
    } else {
        let name = "platform: not all runs here; Terraform, or Go for Terragrunt, is not on PATH";
        trials.push(Trial::test(name, || Ok(())).with_ignored_flag(true));
    }
    // The trials have them, and the provider ends with the last of them.
    drop((terraform, terragrunt));
    Ok(libtest_mimic::run(arguments, trials))
}
