//! A process with all that it starts, ended when its owner lets go of it.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::process::{
    Pid, Signal, WaitOptions, kill_process_group, test_kill_process_group, waitpid,
};

use crate::wait::wait_until;

/// How long a process may take to end by itself.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// The process groups to end when this process is told to, and the signal that asks each.
static RUNNING: Mutex<Vec<(Pid, Signal)>> = Mutex::new(Vec::new());

/// Whether a signal has come.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// A process in a group of its own. Dropping it ends the group.
#[derive(Debug)]
pub struct Process {
    child: Child,
    group: Pid,
    signal: Signal,
    started: Instant,
}

/// Ends all [`Process`]es of this process when it gets SIGINT, SIGTERM or SIGHUP, and then
/// exits.
pub fn end_all_on_signal() -> Result<()> {
    ctrlc::set_handler(|| {
        INTERRUPTED.store(true, Ordering::SeqCst);
        // The last first: a host goes before the database that it is connected to.
        for (group, signal) in running().drain(..).rev() {
            end(group, signal, || {
                !matches!(waitpid(Some(group), WaitOptions::NOHANG), Ok(None))
            });
        }
        std::process::exit(130);
    })
    .context("cannot listen for Ctrl-C")
}

impl Process {
    /// Starts `command`, its output in the file `log`, or in view on stderr.
    pub fn start(command: &mut Command, log: Option<&Path>) -> Result<Self> {
        Self::start_ended_by(Signal::TERM, command, log)
    }

    /// [`Process::start`] for a program that another signal than SIGTERM asks to end.
    pub fn start_ended_by(
        signal: Signal,
        command: &mut Command,
        log: Option<&Path>,
    ) -> Result<Self> {
        if let Some(log) = log {
            let log = File::options().create(true).append(true).open(log)?;
            command.stdout(log.try_clone()?).stderr(log);
        } else {
            command.stdout(std::io::stderr());
        }
        let started = Instant::now();
        let child = command
            .stdin(Stdio::null())
            // A group of its own: Ctrl-C is for this process, which then ends the group.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let group = Pid::from_child(&child);
        running().push((group, signal));
        Ok(Self {
            child,
            group,
            signal,
            started,
        })
    }

    /// [`Process::start`], and waits until the server `is_ready`, for at most `limit`.
    ///
    /// # Errors
    ///
    /// One sentence that names the log, with the end of that: the server has ended, or is not ready.
    pub fn start_server(
        command: &mut Command,
        log: Option<&Path>,
        limit: Duration,
        mut is_ready: impl FnMut() -> bool,
    ) -> Result<Self> {
        let mut server = Self::start(command, log)?;
        let program = Path::new(command.get_program());
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        // Not faster: until it is ready, wash logs every request as a failure.
        wait_until(&name, limit, Duration::from_millis(100), || {
            if let Some(status) = server.try_wait()? {
                bail!("{name} ended with {status}");
            }
            Ok(is_ready().then_some(()))
        })
        .with_context(|| end_of(log))?;
        Ok(server)
    }

    /// The process's number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// When it was started.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.started
    }

    /// How it ended, if it has.
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits until it ends by itself; a signal to this process ends both before that.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        let status = self.child.wait()?;
        while INTERRUPTED.load(Ordering::SeqCst) {
            thread::park(); // the signal's handler exits
        }
        Ok(status)
    }

    /// Ends the whole group without a warning.
    pub fn kill(mut self) -> Result<()> {
        kill_process_group(self.group, Signal::KILL).context("it has ended already")?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        running().retain(|(group, _)| *group != self.group);
        end(self.group, self.signal, || {
            self.child.try_wait().is_ok_and(|status| status.is_some())
        });
        let _ = self.child.wait();
    }
}

fn running() -> MutexGuard<'static, Vec<(Pid, Signal)>> {
    RUNNING
        .lock()
        .expect("no thread panics while it holds this")
}

/// Where the log is, and its last lines.
fn end_of(log: Option<&Path>) -> String {
    let Some(log) = log else {
        return "a server does not start, see above".to_owned();
    };
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let last = lines[lines.len().saturating_sub(10)..].join("\n");
    format!("a server does not start, see {}:\n{last}\n", log.display())
}

/// Asks the group to end, waits until `has_ended`, and ends what is left.
fn end(group: Pid, signal: Signal, mut has_ended: impl FnMut() -> bool) {
    if kill_process_group(group, signal).is_ok() {
        let _ = wait_until("its end", STOP_TIMEOUT, Duration::from_millis(20), || {
            let ended = has_ended() || test_kill_process_group(group).is_err();
            anyhow::Ok(ended.then_some(()))
        });
    }
    let _ = kill_process_group(group, Signal::KILL);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]);
        shell
    }

    #[test]
    fn ends_with_all_that_it_has_started() {
        let process = Process::start(&mut shell("sleep 600 & wait"), None).expect("it starts");
        let group = process.group;
        assert!(test_kill_process_group(group).is_ok());
        drop(process);
        // Whoever adopted what it had started has yet to collect it.
        let gone = || anyhow::Ok(test_kill_process_group(group).is_err().then_some(()));
        wait_until("its end", STOP_TIMEOUT, Duration::from_millis(20), gone).expect("it ends");
    }

    #[test]
    fn a_server_that_ends_or_is_never_ready_fails_with_the_end_of_its_log() {
        let directory = tempfile::tempdir().expect("a directory");
        let log = directory.path().join("log");
        let limit = Duration::from_millis(300);
        let start = |script| {
            let server = Process::start_server(&mut shell(script), Some(&log), limit, || false);
            format!("{:#}", server.expect_err("it does not serve"))
        };
        let ended = start("echo no such port; exit 3");
        assert!(
            ended.contains("no such port") && ended.contains("exit status: 3"),
            "{ended}"
        );
        let waits = start("sleep 600");
        assert!(
            waits.contains("timed out after 300ms waiting for sh"),
            "{waits}"
        );
    }
}
