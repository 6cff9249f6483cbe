//! `cargo xtask bench against`: this tree beside an earlier revision of it, under one load.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use super::{
    compare::{host, seed, service},
    load::{self, Load, Method, Sample},
};
use harness::{
    host::{Host, Setup, free_port},
    process::end_all_on_signal,
};
use tools::{
    HostKind, root,
    run::{announce, read, require_disk, run},
    target,
};

/// What can be chosen.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The revision to compare with, as git names it
    revision: String,
    /// The host that both run on: Spin where there is one, else wasmCloud
    #[arg(long)]
    host: Option<HostKind>,
    /// How often each is measured under each load
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// How long each run lasts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Keep-alive connections, with one request at a time on each
    #[arg(long, value_delimiter = ',', default_values_t = [1, 32],
          value_parser = clap::value_parser!(u32).range(1..=512))]
    connections: Vec<u32>,
}

/// Measures GETs from key-value, and prints each one's results and their ratio.
///
/// # Errors
///
/// One sentence, if something is missing, or a service refuses or loses a request.
pub fn against(options: &Options) -> Result<()> {
    end_all_on_signal()?;
    ensure!(
        env::var_os("RUST_BACKTRACE").is_none(),
        "RUST_BACKTRACE is set and makes the hosts slower: take it out of the environment"
    );
    load::version()?;
    let (kind, program) = host(options.host)?;
    componentize::build(Some(kind))?;
    let directory = target().join("bench/against");
    let earlier = earlier(kind, &options.revision, &directory)?;

    let start = |name: &str, artifact: &Path| {
        let data = directory.join(name);
        if data.exists() {
            fs::remove_dir_all(&data)?;
        }
        fs::create_dir_all(&data)?;
        let log = data.join("log");
        let setup = Setup::shipped(&data, Some(&log));
        let host = Host::start_artifact(kind, &program, artifact, free_port()?, setup)?;
        seed(service(&host)).with_context(|| name.to_owned())?;
        Ok::<_, anyhow::Error>(host)
    };
    let hosts = [
        start("earlier", &earlier)?,
        start("this", &kind.artifact())?,
    ];
    println!(
        "GET from key-value on {kind}: {} and this tree, {} rounds of {} s",
        options.revision, options.rounds, options.seconds
    );
    println!(
        "connections  earlier, 1/s  this, 1/s  ratio (of single rounds)  p50, ms      p99, ms"
    );
    for &connections in &options.connections {
        let mut samples: [Vec<Sample>; 2] = Default::default();
        for round in 0..options.rounds as usize {
            for turn in 0..2 {
                let which = (round + turn) % 2;
                let load = Load {
                    method: Method::Get,
                    connections,
                    seconds: options.seconds,
                    number: 0,
                };
                let sample = load.run(service(&hosts[which]), None, &directory.join("wrk.log"))?;
                samples[which].push(sample);
            }
        }
        println!("{}", row(connections, &samples));
    }
    Ok(())
}

fn row(connections: u32, [earlier, this]: &[Vec<Sample>; 2]) -> String {
    let ratios: Vec<f64> = earlier
        .iter()
        .zip(this)
        .map(|(earlier, this)| this.throughput / earlier.throughput)
        .collect();
    let of =
        |samples: &[Sample], value: fn(&Sample) -> f64| median(samples.iter().map(value).collect());
    format!(
        "{connections:>11}{:>14.0}{:>11.0}  {:.2} ({:.2} to {:.2})      {:.2} → {:.2}  {:.2} → {:.2}  {:.0} → {:.0}",
        of(earlier, |sample| sample.throughput),
        of(this, |sample| sample.throughput),
        median(ratios.clone()),
        ratios.iter().copied().fold(f64::INFINITY, f64::min),
        ratios.iter().copied().fold(0.0, f64::max),
        of(earlier, |sample| sample.p50),
        of(this, |sample| sample.p50),
        of(earlier, |sample| sample.p99),
        of(this, |sample| sample.p99),
        of(earlier, |sample| sample.processor),
        of(this, |sample| sample.processor),
    )
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
    f64::midpoint(low, high)
}

/// Builds `revision` as its own tasks build it, and returns the component.
fn earlier(kind: HostKind, revision: &str, directory: &Path) -> Result<PathBuf> {
    let commit = read(
        "find the revision",
        Command::new("git")
            .args(["rev-parse", "--verify", "--quiet"])
            .arg(format!("{revision}^{{commit}}"))
            .current_dir(root()),
    )
    .with_context(|| format!("git knows no revision {revision}"))?;
    let tree = directory.join(commit.trim());
    if !tree.exists() {
        announce(&format!("taking {revision} out of git"));
        fs::create_dir_all(&tree)?;
        require_disk(&tree, 3000)?;
        let archive = directory.join("revision.tar");
        run(
            "take the revision out of git",
            Command::new("git")
                .args(["archive", "--format=tar", "--output"])
                .args([archive.as_os_str(), commit.trim().as_ref()])
                .current_dir(root()),
        )?;
        run(
            "unpack the revision",
            Command::new("tar")
                .arg("--extract")
                .arg("--directory")
                .args([&tree, Path::new("--file"), &archive]),
        )?;
        fs::remove_file(archive)?;
    }
    announce(&format!("building {revision}"));
    run(
        "build the revision",
        Command::new("cargo")
            .args(["xtask", "build", "--host", &kind.to_string()])
            .current_dir(&tree),
    )?;
    // Where an artifact lies has moved once.
    ["target/components", "target/wasm32-wasip2/release"]
        .into_iter()
        .map(|place| tree.join(place).join(format!("hello_{kind}.wasm")))
        .find(|artifact| artifact.exists())
        .with_context(|| format!("{revision} made no component for {kind}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_is_between_the_middle_two() {
        assert!((median(vec![4.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(vec![4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < f64::EPSILON);
    }
}
