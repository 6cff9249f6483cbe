//! A process with all that it starts, ended when its owner lets go of it.

use std::{
    fs::File,
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

use anyhow::{Context, Result};
use rustix::process::{
    Pid, Signal, WaitOptions, kill_process_group, test_kill_process_group, waitpid,
};

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
}

/// Ends all [`Process`]es of this process when it gets SIGINT, SIGTERM or SIGHUP, and then
/// exits.
///
/// # Errors
///
/// If it is called twice.
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
    ///
    /// # Errors
    ///
    /// If the program does not start.
    pub fn start(command: &mut Command, log: Option<&Path>) -> Result<Self> {
        Self::start_ended_by(Signal::TERM, command, log)
    }

    /// [`Process::start`] for a program that another signal than SIGTERM asks to end.
    ///
    /// # Errors
    ///
    /// If the program does not start.
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
        })
    }

    /// The process's number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    ///
    /// Those of waiting.
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits until it ends by itself; a signal to this process ends both before that.
    ///
    /// # Errors
    ///
    /// Those of waiting.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        let status = self.child.wait()?;
        while INTERRUPTED.load(Ordering::SeqCst) {
            thread::park(); // the signal's handler exits
        }
        Ok(status)
    }

    /// Ends the whole group without a warning.
    ///
    /// # Errors
    ///
    /// If it has ended already.
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

/// Asks the group to end, waits until `has_ended`, and ends what is left.
fn end(group: Pid, signal: Signal, mut has_ended: impl FnMut() -> bool) {
    let asked = Instant::now();
    if kill_process_group(group, signal).is_ok() {
        while asked.elapsed() < STOP_TIMEOUT
            && !has_ended()
            && test_kill_process_group(group).is_ok()
        {
            thread::sleep(Duration::from_millis(20));
        }
    }
    let _ = kill_process_group(group, Signal::KILL);
}
