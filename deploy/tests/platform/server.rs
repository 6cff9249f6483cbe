//! A real nginx.

use std::{fs, net::TcpStream, path::Path, process::Command, time::Duration};

use anyhow::Result;
use harness::process::Process;

/// Starts it with this configuration, until it listens on `port`. It writes into `directory` alone.
pub fn nginx(directory: &Path, config: &str, port: u16) -> Result<Process> {
    let file = directory.join("nginx.conf");
    let config = format!("daemon off;\nmaster_process off;\n{config}");
    fs::write(&file, config)?;
    let mut nginx = Command::new(tools::find_or_fetch("nginx")?);
    nginx.arg("-p").arg(directory).arg("-c").arg(&file);
    // It starts at once, or not at all.
    Process::start_server(
        nginx.args(["-e", "stderr"]),
        Some(&directory.join("nginx.log")),
        Duration::from_secs(30),
        || TcpStream::connect(("127.0.0.1", port)).is_ok(),
    )
}
