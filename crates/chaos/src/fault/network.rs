//! What is between host and Postgres does not pass everything on: nftables drops or resets it, and a relay
//! is slow.

use std::{
    io::Write,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use super::{Fault, Injection, Need, POSTGRES, Shows};

pub fn faults() -> Vec<Fault> {
    let fault = |name, what, costs, shows, run| Fault {
        name,
        what,
        costs,
        stores: POSTGRES,
        needs: &[Need::Network],
        shows,
        run,
    };
    vec![
        fault(
            "network-drops",
            "every packet to and from Postgres is dropped",
            "503, after 2 s where a connection is new and 4 s where it stood; on wasmCloud a request on a \
             connection that stood waits",
            Shows::Waits,
            drops,
        ),
        fault(
            "network-loses",
            "one packet in five to and from Postgres is dropped",
            "latency: TCP sends again",
            Shows::Nothing,
            loses,
        ),
        fault(
            "network-resets",
            "every packet to Postgres is answered with a reset",
            "503 at once",
            Shows::Failures,
            resets,
        ),
        Fault {
            needs: &[Need::Relay],
            ..fault(
                "network-slow",
                "each packet to and from Postgres takes 100 ms",
                "latency: 200 ms for each round trip",
                Shows::Nothing,
                slow,
            )
        },
    ]
}

fn drops(it: &mut Injection) -> Result<()> {
    filter(it, "drop")
}

fn loses(it: &mut Injection) -> Result<()> {
    filter(it, "numgen random mod 5 < 1 drop")
}

fn resets(it: &mut Injection) -> Result<()> {
    filter(it, "reject with tcp reset")
}

/// Applies `verdict` to what goes to Postgres and, where it is one of dropping, to what comes from it.
fn filter(it: &mut Injection, verdict: &str) -> Result<()> {
    let port = it.world.postgres()?.port;
    let back = if verdict.ends_with("drop") {
        format!("tcp sport {port} {verdict}\n")
    } else {
        String::new()
    };
    nft(&format!(
        "table inet chaos {{\nchain output {{\ntype filter hook output priority 0\n\
         tcp dport {port} counter {verdict}\n{back}}}\n}}\n"
    ))?;
    it.lasts();
    let rules = list()?;
    it.mended();
    nft("delete table inet chaos\n")?;
    ensure!(
        !rules.contains("counter packets 0 "),
        "no packet went to Postgres, so none met the fault: {rules}"
    );
    Ok(())
}

fn slow(it: &mut Injection) -> Result<()> {
    it.world.relay()?.slow_down(Duration::from_millis(100));
    it.lasts();
    it.mended();
    let delayed = it.world.relay()?.slow_down(Duration::ZERO);
    ensure!(
        delayed > 0,
        "nothing went to Postgres, so nothing met the fault"
    );
    Ok(())
}

/// Gives nftables its `commands`.
fn nft(commands: &str) -> Result<()> {
    let mut nft = Command::new(tools::find_or_fetch("nft")?)
        .args(["--file", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .context("`nft` does not start")?;
    let mut input = nft.stdin.take().context("it reads its input")?;
    input.write_all(commands.as_bytes())?;
    drop(input);
    let status = nft.wait()?;
    ensure!(status.success(), "`nft` refuses {commands}: see above");
    Ok(())
}

fn list() -> Result<String> {
    tools::run::read(
        "list the rules",
        Command::new(tools::find_or_fetch("nft")?).args(["list", "table", "inet", "chaos"]),
    )
}
