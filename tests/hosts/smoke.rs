//! The smoke test that the chart runs against a new version, run against this one.

use std::process::{Command, Output};

use anyhow::{Result, ensure};
use harness::host::free_port;
use tools::find_or_fetch;

/// It passes against a host that serves, and fails where nobody does or another service answers.
pub fn smoke_test(port: u16) -> Result<()> {
    let service = run(&format!("http://127.0.0.1:{port}"))?;
    let said = String::from_utf8_lossy(&service.stdout).into_owned();
    let errors = String::from_utf8_lossy(&service.stderr).into_owned();
    ensure!(
        service.status.success() && said.contains("keeps the contract"),
        "it fails: {said}{errors}"
    );
    let nobody = run(&format!("http://127.0.0.1:{}", free_port()?))?;
    let errors = String::from_utf8_lossy(&nobody.stderr);
    ensure!(
        !nobody.status.success() && errors.contains("/readyz is not 200"),
        "it does not fail where nobody answers: {errors}"
    );
    // Ready, as far as it can tell, and then no user is there to greet.
    let other = run(&format!("http://127.0.0.1:{port}/readyz?"))?;
    let errors = String::from_utf8_lossy(&other.stderr);
    ensure!(
        !other.status.success() && errors.contains("is 405, not 204"),
        "it does not fail where another service answers: {errors}"
    );
    Ok(())
}

fn run(url: &str) -> Result<Output> {
    find_or_fetch("curl")?;
    let script = tools::root().join("deploy/chart/files/smoke.sh");
    let mut command = Command::new("sh");
    command
        .arg(script)
        .env("PATH", tools::path())
        .env("HELLO_URL", url)
        .env("SMOKE_WAIT", "1");
    Ok(command.output()?)
}
