//! The smoke test that the chart runs against a new version, run against this one.

use std::process::Command;

use anyhow::{Result, ensure};
use harness::host::free_port;
use tools::find_or_fetch;

use super::run_to_end;

/// It passes against a host that serves, and fails where nobody does or another service answers.
pub fn smoke_test(port: u16) -> Result<()> {
    let service = format!("http://127.0.0.1:{port}");
    let nobody = format!("http://127.0.0.1:{}", free_port()?);
    // Ready, as far as it can tell, and then no user is there to greet.
    let other = format!("http://127.0.0.1:{port}/readyz?");
    for (url, is_hello, says) in [
        (service, true, "keeps the contract"),
        (nobody, false, "/readyz is not 200"),
        (other, false, "is 405, not 204"),
    ] {
        find_or_fetch("curl")?;
        let (passes, printed) = run_to_end(
            Command::new("sh")
                .arg(tools::root().join("deploy/chart/files/smoke.sh"))
                .env("PATH", tools::path())
                .env("HELLO_URL", &url)
                .env("SMOKE_WAIT", "1"),
        )?;
        let is_right = passes == is_hello && printed.contains(says);
        ensure!(is_right, "of {url} it says: {printed}");
    }
    Ok(())
}
