//! Packages of Debian's, unpacked below `target`: nothing is installed, and no setting is touched.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use super::make_executable;
use crate::{
    directory,
    find::postgres_directories,
    run::{announce, read},
};

/// The name of the lock on apt's files here, and on what is unpacked.
pub(crate) const LOCK: &str = "debian";

/// Where the packages of programs are unpacked, all together.
fn root() -> PathBuf {
    directory().join("debian/root")
}

/// The directory of the programs that were fetched, each a script that starts the real one.
pub(crate) fn programs() -> PathBuf {
    directory().join("debian/bin")
}

/// Fetches `package`, of which `names` are the programs to have.
pub(super) fn fetch<'a>(package: &str, names: impl Iterator<Item = &'a str>) -> Result<()> {
    let root = root();
    unpack(&[package], None, &root)?;
    let libraries = libraries(&root)?;
    fonts(&root)?;
    fs::create_dir_all(programs())?;
    // Relative to the script: the checkout may be moved, or copied with its `target`.
    let relative =
        |text: String| text.replace(&directory().join("debian").display().to_string(), "$debian");
    for name in names {
        let program = unpacked(name);
        let program = program.with_context(|| format!("Debian's {package} holds no {name}"))?;
        let script = programs().join(name);
        let text = format!(
            "#!/bin/sh\ndebian=$(cd \"${{0%/*}}/..\" && pwd)\n\
             export LD_LIBRARY_PATH=\"{}\" FONTCONFIG_FILE=\"$debian/fonts.conf\"\n\
             exec \"{}\" \"$@\"\n",
            relative(libraries.clone()),
            relative(program.display().to_string())
        );
        fs::write(&script, text)?;
        make_executable(&script)?;
    }
    Ok(())
}

/// The `usr` of what is unpacked, whether or not there is any: programs look for files in /usr.
#[must_use]
pub fn usr() -> PathBuf {
    root().join("usr")
}

/// The program itself, which the script of its name starts.
pub(crate) fn unpacked(name: &str) -> Option<PathBuf> {
    let root = root();
    // Debian's psql in usr/bin, and its chromium, are scripts that look for files in /usr.
    let mut directories = postgres_directories(&root);
    let others = [
        "usr/lib/chromium",
        "usr/lib/cni",
        "usr/bin",
        "usr/sbin",
        "bin",
        "sbin",
    ];
    directories.extend(others.map(|path| root.join(path)));
    let mut candidates = directories.iter().map(|directory| directory.join(name));
    candidates.find(|file| file.exists())
}

/// The directories of the libraries that were unpacked, as LD_LIBRARY_PATH takes them.
#[must_use]
pub fn library_path() -> String {
    libraries(&root()).unwrap_or_default()
}

/// The directories of the libraries, as LD_LIBRARY_PATH takes them.
fn libraries(root: &Path) -> Result<String> {
    let mut libraries = Vec::new();
    for directory in ["usr/lib", "lib"].map(|path| root.join(path)) {
        let entries = fs::read_dir(directory).into_iter().flatten();
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.to_string_lossy().contains("-linux-gnu") {
                // Its libraries name this one by a path.
                libraries.extend([path.join("pulseaudio"), path]);
            }
        }
    }
    Ok(std::env::join_paths(libraries)?
        .to_string_lossy()
        .into_owned())
}

/// A font configuration that names the unpacked fonts beside the machine's own.
fn fonts(root: &Path) -> Result<()> {
    let file = directory().join("debian/fonts.conf");
    let text = format!(
        "<?xml version=\"1.0\"?>\n<fontconfig>\n\
         <include ignore_missing=\"yes\">/etc/fonts/fonts.conf</include>\n\
         <dir>{root}/usr/share/fonts</dir>\n<cachedir>{root}/var/cache/fontconfig</cachedir>\n\
         </fontconfig>\n",
        root = root.display()
    );
    fs::write(&file, text)?;
    Ok(())
}

/// Downloads `packages`, one of which may be of the backports, with all that they depend on and the
/// machine does not have, and unpacks them into `into`. apt works on lists of its own, which the
/// caller's [`LOCK`] guards.
pub(crate) fn unpack(packages: &[&str], backport: Option<&str>, into: &Path) -> Result<()> {
    let names = packages.join(" ");
    ensure!(
        which::which("apt-get").is_ok(),
        "this machine has no apt-get to fetch Debian's {names} with: install what it stands for"
    );
    let state = directory().join("debian/apt");
    let debs = state.join("archives");
    for part in ["lists/partial", "archives/partial"] {
        fs::create_dir_all(state.join(part))?;
    }
    let mut sources = fs::read_to_string("/etc/apt/sources.list").unwrap_or_default();
    let mut packages: Vec<String> = packages.iter().map(|&name| name.to_owned()).collect();
    if let Some(package) = backport {
        let (suite, source) = backports()?;
        sources = format!("{sources}\n{source}\n");
        packages.push(format!("{package}/{suite}"));
    }
    let list = state.join("sources.list");
    // Where this file is newer than what apt has made of all lists, it makes that again, for seconds.
    if fs::read_to_string(&list).ok().as_ref() != Some(&sources) {
        fs::write(list, sources)?;
    }
    let apt = || {
        let mut apt = Command::new("apt-get");
        for (option, place) in [
            ("Dir::Etc::SourceList", "sources.list"),
            ("Dir::State::Lists", "lists"),
            ("Dir::Cache", ""),
        ] {
            let place = state.join(place);
            apt.args(["-o", &format!("{option}={}", place.display())]);
        }
        // It changes nothing that a lock guards, and root's files are for root to write.
        apt.args([
            "-o",
            "Debug::NoLocking=true",
            "-o",
            "APT::Sandbox::User=root",
        ])
        .env("LC_ALL", "C");
        apt
    };
    let download = || {
        read(
            &format!("fetch {names} from Debian"),
            apt()
                .args(["install", "--download-only", "--yes", "--reinstall"])
                .arg("--no-install-recommends")
                .args(&packages),
        )
    };
    let is_empty = || {
        let files = fs::read_dir(&debs).into_iter().flatten().flatten();
        !files.into_iter().any(|file| file.path().is_file())
    };
    // The lists may be missing, or name files that are gone. Of a package that is installed, apt
    // then says that it cannot be had again, and succeeds.
    if download().is_err() || is_empty() {
        announce("reading Debian's package lists");
        read("read Debian's package lists", apt().arg("update"))?;
        download()?;
    }
    for deb in fs::read_dir(&debs)? {
        let deb = deb?.path();
        if deb.extension().is_some_and(|extension| extension == "deb") {
            read(
                "unpack Debian's packages",
                Command::new("dpkg-deb").arg("--extract").args([&deb, into]),
            )?;
            fs::remove_file(deb)?;
        }
    }
    Ok(())
}

/// The backports of this Debian, and a source line for them: from the mirror that the machine uses.
fn backports() -> Result<(String, String)> {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let codename = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .context("this Debian has no codename")?;
    let suite = format!("{codename}-backports");
    let sources = read(
        "ask for the package sources",
        Command::new("apt-get").args(["indextargets", "--format", "$(RELEASE) $(SITE)"]),
    )?;
    let site = |suite| {
        let line = |line: &'_ str| Some(line.strip_prefix(suite)?.strip_prefix(' ')?.to_owned());
        sources.lines().find_map(line)
    };
    if site(suite.as_str()).is_some() {
        return Ok((suite, String::new()));
    }
    let mirror = site(codename).with_context(|| format!("no package source has {codename}"))?;
    let key = "/usr/share/keyrings/debian-archive-keyring.gpg";
    let source = format!("deb [signed-by={key}] {mirror} {suite} main");
    Ok((suite, source))
}
