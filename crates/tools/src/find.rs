//! Finds a program: on PATH first, if its version fits, else among what was fetched.

use std::{
    env,
    ffi::OsString,
    fmt, fs,
    ops::Range,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use anyhow::{Context, Result};

use crate::{
    fetch::{self, Source, debian},
    wasm_target::{Compiler, TARGET},
};

/// A program, or a directory of packages, and where it comes from if PATH has none that fits.
#[derive(Debug)]
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    wanted: Option<Wanted>,
    pub(crate) source: Source,
    /// What it takes of the disk, fetched.
    pub(crate) megabytes: u64,
    on_path: OnceLock<Option<PathBuf>>,
}

/// The versions that fit, and how a program says its own.
#[derive(Debug)]
struct Wanted {
    /// Majors and minors, from the oldest that fits to the first that no longer does.
    range: Range<(u32, u32)>,
    /// The arguments that make it say its version.
    ask: &'static str,
    /// What stands before the version in the first line of that: it tells namesakes apart.
    prefix: &'static str,
}

impl Tool {
    /// One that does its job in any version.
    pub(crate) const fn new(name: &'static str, source: Source, megabytes: u64) -> Self {
        Self {
            name,
            source,
            megabytes,
            wanted: None,
            on_path: OnceLock::new(),
        }
    }

    /// The same in a version of `range`, which the arguments `ask` make it say after `prefix`.
    pub(crate) const fn wants(
        mut self,
        range: Range<(u32, u32)>,
        ask: &'static str,
        prefix: &'static str,
    ) -> Self {
        self.wanted = Some(Wanted { range, ask, prefix });
        self
    }

    /// The one on PATH, if it fits; why it does not is said once.
    fn on_path(&self) -> Option<&PathBuf> {
        let look = || {
            let found = which::which_in(self.name, Some(search_path()), "/").ok()?;
            let Some(wanted) = &self.wanted else {
                return Some(found);
            };
            let line = first_line(Command::new(&found).args(wanted.ask.split(' ')));
            let line = line.unwrap_or_else(|| "nothing".to_owned());
            if wanted.fits(&line) {
                return Some(found);
            }
            let found = found.display();
            eprintln!("{found} is not taken: it says `{line}`, and {wanted} is wanted");
            None
        };
        self.on_path.get_or_init(look).as_ref()
    }
}

impl Wanted {
    fn fits(&self, line: &str) -> bool {
        let version = line.strip_prefix(self.prefix).and_then(|version| {
            let mut numbers = version.split(|c: char| !c.is_ascii_digit());
            let mut next = || numbers.next()?.parse::<u32>().ok();
            Some((next()?, next()?))
        });
        version.is_some_and(|version| self.range.contains(&version))
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Range { start, end } = self.range;
        write!(f, "version {}.{} or later", start.0, start.1)?;
        if end.0 == u32::MAX {
            return Ok(());
        }
        write!(f, ", before {}.{}", end.0, end.1)
    }
}

/// The program `name` (or a host's own), if it is there without fetching. A name that the table of
/// [`fetch`] does not have is a mistake in the program, and panics.
#[must_use]
pub fn find(name: impl Into<&'static str>) -> Option<PathBuf> {
    let tool = fetch::tool(name.into());
    tool.on_path().cloned().or_else(|| fetch::fetched(tool))
}

/// The program `name` (or a host's own), fetched if need be.
pub fn find_or_fetch(name: impl Into<&'static str>) -> Result<PathBuf> {
    let tool = fetch::tool(name.into());
    match tool.on_path() {
        Some(found) => Ok(found.clone()),
        None => fetch::fetch(tool),
    }
}

/// The program `name` itself, compiled: not a script that starts it, such as Debian's psql in
/// /usr/bin.
pub fn binary(name: &'static str) -> Result<PathBuf> {
    let found = find_or_fetch(name)?;
    let others = which::which_in_all(name, Some(search_path()), "/");
    let mut candidates = [found]
        .into_iter()
        .chain(others.into_iter().flatten())
        .chain(debian::unpacked(name));
    let is_elf = |file: &PathBuf| fs::read(file).is_ok_and(|bytes| bytes.starts_with(b"\x7fELF"));
    candidates
        .find(is_elf)
        .with_context(|| format!("there is no {name} that is more than a script"))
}

/// The library `file`, relative to where libraries are, that comes with the program `name`.
pub fn library(name: &'static str, file: &str) -> Result<PathBuf> {
    find_or_fetch(name)?;
    let fetched = debian::library_path();
    let installed = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let mut directories = env::split_paths(&fetched).chain(installed.map(|entry| entry.path()));
    let library = directories.find_map(|directory| {
        let library = directory.join(file);
        library.exists().then_some(library)
    });
    library.with_context(|| format!("{name} is there, and its library {file} is not"))
}

/// What of `names` will be fetched: a line for each source, empty if all is there. Beside programs,
/// a name is `python/NAME`, `node/NAME`, or the compiler's target.
#[must_use]
pub fn plan(names: &[&'static str]) -> Vec<String> {
    let mut missing: Vec<&Tool> = names
        .iter()
        .filter(|name| **name != TARGET && find(**name).is_none())
        .map(|name| fetch::tool(name))
        .collect();
    let by_npm = |tool: &&Tool| matches!(tool.source, Source::Npm(_) | Source::NpmZip(..));
    if missing.iter().any(by_npm) && find("node").is_none() {
        missing.push(fetch::tool("node"));
    }
    let mut lines: Vec<String> = missing.iter().map(|tool| tool.to_string()).collect();
    if names.contains(&TARGET) && Compiler::find().is_none() {
        lines.push(format!(
            "{TARGET} from rustup, else compiled from Debian's rust-web-src, 1500 MB"
        ));
    }
    lines.sort();
    lines.dedup();
    lines
}

/// PATH for a script: the own one, and behind it the programs that were fetched from Debian.
#[must_use]
pub fn path() -> OsString {
    let own = env::var_os("PATH").unwrap_or_default();
    env::join_paths(env::split_paths(&own).chain([debian::programs()]))
        .expect("cargo's own paths are in it as well")
}

/// What `program --version` prints, in one line.
#[must_use]
pub fn version(program: &Path) -> String {
    first_line(Command::new(program).arg("--version"))
        .unwrap_or_else(|| "unknown version".to_owned())
}

fn first_line(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next().filter(|_| output.status.success());
    line.map(str::to_owned)
}

/// PATH, and where Debian has what it does not put there: servers, for others than root, and Postgres.
fn search_path() -> OsString {
    let own = env::var_os("PATH").unwrap_or_default();
    let debian = postgres_directories(Path::new("/"));
    let all = env::split_paths(&own).chain(["/usr/sbin".into(), "/sbin".into()]);
    env::join_paths(all.chain(debian)).expect("no directory of these has a colon")
}

/// The directories of Debian's Postgres below `root`, the latest release's first.
pub(crate) fn postgres_directories(root: &Path) -> Vec<PathBuf> {
    let releases = fs::read_dir(root.join("usr/lib/postgresql"));
    let mut releases: Vec<(u32, PathBuf)> = releases
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let release = entry.file_name().to_str()?.parse().ok()?;
            Some((release, entry.path().join("bin")))
        })
        .collect();
    releases.sort();
    releases.into_iter().rev().map(|(_, path)| path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOWHERE: Source = Source::Debian("no-such-package");

    #[test]
    fn takes_what_is_on_path_if_it_fits() {
        let shell = Tool::new("sh", NOWHERE, 0);
        assert!(shell.on_path().is_some_and(|shell| shell.ends_with("sh")));
        let other = Tool::new("sh", NOWHERE, 0).wants((1, 0)..(2, 0), "-c true", "sh ");
        assert_eq!(other.on_path(), None);
        let missing = Tool::new("no-such-program", NOWHERE, 0);
        assert_eq!(missing.on_path(), None);
    }

    #[test]
    fn takes_the_versions_that_fit_and_no_namesake() {
        for (name, line, expected) in [
            ("spin", "spin 3.4.0 (abc 2025-08-01)", true),
            ("spin", "spin 4.1.0-pre0 (abc 2026-08-20)", true),
            ("spin", "spin 3.3.1 (abc)", false),
            // Debian's package `spin` is a model checker.
            ("spin", "Spin Version 6.5.2 -- 6 Dec 2019", false),
            ("helm", "v4.2.3+g43e8b7f", true),
            ("helm", "v3.18.4+gd80839c", false),
            ("terraform", "Terraform v1.11.4", true),
            ("terraform", "Terraform v2.0.0", false),
            ("wash", "wash 2.10.3", true),
            ("wash", "wash 0.42.0", false),
        ] {
            let wanted = fetch::tool(name).wanted.as_ref();
            let wanted = wanted.expect("a version is wanted");
            assert_eq!(wanted.fits(line), expected, "{line}");
        }
    }

    #[test]
    fn plans_a_package_once() {
        // Not of npm: Node.js may be to fetch as well.
        let lines = plan(&["python/secrets", "python/secrets"]);
        assert!(lines.len() <= 1, "{lines:?}");
    }
}
