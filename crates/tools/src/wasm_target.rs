//! Finds or fetches a compiler for wasm32-wasip2: rustup's first, else Debian's.
//!
//! Where rustup cannot reach its server, Debian's packages carry all that is needed. They are
//! unpacked into a directory of `target/`, and neither root nor the machine's own package lists
//! are touched. rustup's cargo then builds with Debian's compiler, and builds the standard
//! library, which Debian does not ship for this target.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    run::{announce, read, require_disk, run},
    target,
};

/// The target triple.
pub const TARGET: &str = "wasm32-wasip2";

/// A compiler for [`TARGET`].
#[derive(Debug)]
pub enum Compiler {
    /// The toolchain in use has the target.
    Rustup,
    /// Debian's compiler, unpacked in this directory.
    Debian(PathBuf),
}

impl Compiler {
    /// Takes the compiler that is there, or fetches one.
    ///
    /// `HELLO_WASM_COMPILER` set to `rustup` or `debian` leaves no choice.
    ///
    /// # Errors
    ///
    /// One sentence, if neither can be had.
    pub fn find_or_fetch() -> Result<Self> {
        let wanted = std::env::var("HELLO_WASM_COMPILER").unwrap_or_default();
        let (rustup, debian) = match wanted.as_str() {
            "" => (true, true),
            "rustup" => (true, false),
            "debian" => (false, true),
            other => bail!("HELLO_WASM_COMPILER must be rustup or debian, not {other}"),
        };
        let unpacked = target().join("debian-rust");
        let is_unpacked = unpacked.join("complete").exists();
        if rustup && rustup_has_target() {
            return Ok(Self::Rustup);
        }
        if debian && is_unpacked {
            return Ok(Self::Debian(unpacked));
        }
        if rustup {
            announce("adding the target wasm32-wasip2 with rustup");
            let added = run(
                "add the target wasm32-wasip2",
                Command::new("rustup").args(["target", "add", TARGET]),
            );
            match added {
                Ok(()) if rustup_has_target() => return Ok(Self::Rustup),
                Ok(()) => eprintln!("rustup added it to another toolchain than the one in use"),
                Err(error) => eprintln!("{error:#}"),
            }
            ensure!(
                debian,
                "rustup cannot add wasm32-wasip2, and HELLO_WASM_COMPILER leaves no other way"
            );
        }
        unpack_debian(&unpacked).context(
            "there is no compiler for wasm32-wasip2: rustup cannot add it (is there a network?) \
             and Debian's packages cannot be had either",
        )?;
        Ok(Self::Debian(unpacked))
    }

    /// A cargo command of `subcommand` for this compiler and [`TARGET`].
    #[must_use]
    pub fn cargo(&self, subcommand: &str) -> Command {
        let mut cargo = Command::new("cargo");
        cargo.arg(subcommand).args(["--target", TARGET]);
        if let Self::Debian(unpacked) = self {
            cargo
                .env("RUSTC", unpacked.join("usr/bin/rustc"))
                .env("LD_LIBRARY_PATH", unpacked.join("usr/lib/x86_64-linux-gnu"))
                // -Zbuild-std on a stable compiler.
                .env("RUSTC_BOOTSTRAP", "1")
                .arg("-Zbuild-std=std,panic_abort");
        }
        cargo
    }

    /// A cargo command that runs clippy for [`TARGET`].
    #[must_use]
    pub fn clippy(&self) -> Command {
        let mut cargo = match self {
            Self::Rustup => self.cargo("clippy"),
            // `cargo clippy` would take the toolchain's own driver, of another version.
            Self::Debian(unpacked) => {
                let mut cargo = self.cargo("check");
                cargo.env(
                    "RUSTC_WORKSPACE_WRAPPER",
                    unpacked.join("usr/bin/clippy-driver"),
                );
                cargo
            }
        };
        // A directory of its own: clippy and the build would overwrite each other's results.
        cargo.arg("--target-dir").arg(target().join("clippy-wasm"));
        cargo
    }
}

fn rustup_has_target() -> bool {
    Command::new("rustc")
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .is_ok_and(|output| {
            let directory = String::from_utf8_lossy(&output.stdout);
            output.status.success() && Path::new(directory.trim()).exists()
        })
}

fn unpack_debian(directory: &Path) -> Result<()> {
    ensure!(
        cfg!(all(target_os = "linux", target_arch = "x86_64")),
        "Debian's packages are for Linux on x86-64"
    );
    fs::create_dir_all(target())?;
    require_disk(&target(), 3000)?;
    if directory.exists() {
        fs::remove_dir_all(directory)?; // what an interrupted run left behind
    }
    let apt = Apt::new(directory.join("apt"))?;
    announce("reading Debian's package lists");
    run("read Debian's package lists", apt.get().arg("update"))?;

    // Debian updates this compiler with Firefox, so its version is asked for and not pinned.
    let depends = read(
        "ask which LLVM Debian's compiler needs",
        apt.cache().args([
            "depends",
            "--recurse",
            "--no-recommends",
            "--no-suggests",
            "--no-conflicts",
            "--no-breaks",
            "--no-replaces",
            "--no-enhances",
            "rustc-web",
        ]),
    )?;
    let mut packages: Vec<String> = ["rustc-web", "rust-web-src", "rust-web-clippy"]
        .map(str::to_owned)
        .into();
    packages.extend(
        depends
            .lines()
            .filter(|line| line.starts_with("libllvm") || line.starts_with("libstd-rust-web"))
            .map(str::to_owned),
    );
    packages.push(format!("wasi-libc/{}", apt.backports));
    packages.sort_unstable();
    packages.dedup();
    announce(&format!("fetching {} from Debian", packages.join(", ")));
    let debs = directory.join("debs");
    fs::create_dir_all(&debs)?;
    run(
        "fetch Debian's packages",
        apt.get()
            .args(["--option", "APT::Sandbox::User=root", "download"])
            .args(&packages)
            .current_dir(&debs),
    )?;
    announce("unpacking them");
    for deb in fs::read_dir(&debs)? {
        run(
            "unpack Debian's packages",
            Command::new("dpkg-deb")
                .arg("--extract")
                .args([&deb?.path(), directory]),
        )?;
    }
    complete_sysroot(directory)?;
    fs::remove_dir_all(&debs)?;
    fs::remove_dir_all(directory.join("apt"))?;
    fs::write(directory.join("complete"), "")?;
    Ok(())
}

/// Adds to Debian's compiler what it has no package for: the linkers, from the toolchain in use.
fn complete_sysroot(directory: &Path) -> Result<()> {
    let sysroot = read(
        "ask where the toolchain is",
        Command::new("rustc").args(["--print", "sysroot"]),
    )?;
    let ours = Path::new(sysroot.trim()).join("lib/rustlib/x86_64-unknown-linux-gnu/bin");
    let rustlib = directory.join("usr/lib/rustlib");
    let host = rustlib.join("x86_64-unknown-linux-gnu");
    ensure!(
        ours.join("wasm-component-ld").exists(),
        "the toolchain in {} has no wasm-component-ld: install Rust with rustup",
        sysroot.trim()
    );
    symlink(ours, host.join("bin")).context("cannot link the linkers into Debian's compiler")?;

    let libc = directory.join("usr/lib").join(TARGET);
    let own = rustlib.join(TARGET).join("lib/self-contained");
    fs::create_dir_all(&own)?;
    for name in ["libc.a", "crt1-command.o", "crt1-reactor.o"] {
        fs::copy(libc.join(name), own.join(name))
            .with_context(|| format!("Debian's wasi-libc has no {name} for {TARGET}"))?;
    }
    Ok(())
}

/// apt with lists and settings of its own.
struct Apt {
    directory: PathBuf,
    /// The suite that has a wasi-libc for WASI 0.2, such as `bookworm-backports`.
    backports: String,
}

impl Apt {
    fn new(directory: PathBuf) -> Result<Self> {
        for part in ["lists/partial", "cache/archives/partial", "parts"] {
            fs::create_dir_all(directory.join(part))?;
        }
        let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let value = |key: &str| {
            release
                .lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
                .map(|value| value.trim_matches('"').to_owned())
        };
        ensure!(
            value("ID").as_deref() == Some("debian"),
            "this machine does not run Debian"
        );
        let codename = value("VERSION_CODENAME").context("this Debian has no codename")?;
        let backports = format!("{codename}-backports");

        // The machine's own sources, and from the same mirror the backports.
        let mut mirror = None;
        let own = [PathBuf::from("/etc/apt/sources.list")].into_iter().chain(
            fs::read_dir("/etc/apt/sources.list.d")
                .into_iter()
                .flatten()
                .flatten()
                .map(|entry| entry.path()),
        );
        for source in own {
            let Ok(text) = fs::read_to_string(&source) else {
                continue;
            };
            let name = source.file_name().context("a source list has a name")?;
            let is_read = matches!(
                source.extension().and_then(|e| e.to_str()),
                Some("list" | "sources")
            );
            if is_read {
                fs::copy(&source, directory.join("parts").join(name))?;
                mirror = mirror.or_else(|| mirror_of(&text, &codename));
            }
        }
        let mirror = mirror.context("no source list of this machine names a Debian mirror")?;
        fs::write(
            directory.join("parts/hello-backports.list"),
            format!("deb {mirror} {backports} main\n"),
        )?;
        Ok(Self {
            directory,
            backports,
        })
    }

    fn get(&self) -> Command {
        self.command("apt-get")
    }

    fn cache(&self) -> Command {
        self.command("apt-cache")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for (option, directory) in [
            ("Dir::Etc::SourceParts", "parts"),
            ("Dir::State::Lists", "lists"),
            ("Dir::Cache", "cache"),
        ] {
            command.arg("--option").arg(format!(
                "{option}={}",
                self.directory.join(directory).display()
            ));
        }
        command
            .args(["--option", "Dir::Etc::SourceList=/dev/null"])
            .env("LC_ALL", "C");
        command
    }
}

/// The mirror that serves `codename` in a source list of either format. With the options of a
/// one-line source (`[signed-by=…]`), which the backports share.
fn mirror_of(text: &str, codename: &str) -> Option<String> {
    for line in text.lines() {
        let one_line = line.trim().strip_prefix("deb ");
        if let Some((source, _)) = one_line.and_then(|s| s.split_once(&format!(" {codename} "))) {
            return Some(source.trim().to_owned());
        }
    }
    let mut signed_by = None;
    let mut uri = None;
    for stanza in text.split("\n\n") {
        let field = |key: &str| {
            stanza
                .lines()
                .find_map(|line| line.strip_prefix(key))
                .map(str::trim)
        };
        let suites = field("Suites:").unwrap_or_default();
        if suites.split_whitespace().any(|suite| suite == codename) {
            uri = field("URIs:").and_then(|uris| uris.split_whitespace().next());
            signed_by = field("Signed-By:");
            break;
        }
    }
    let options = signed_by.map_or_else(String::new, |key| format!("[signed-by={key}] "));
    Some(format!("{options}{}", uri?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_mirror_in_both_formats() {
        let one_line = "# x\ndeb http://s.test/x bookworm-security main\ndeb [signed-by=/k.gpg] http://mirror.test/debian bookworm main\n";
        assert_eq!(
            mirror_of(one_line, "bookworm").as_deref(),
            Some("[signed-by=/k.gpg] http://mirror.test/debian")
        );
        let deb822 = "Types: deb\nURIs: http://security.test/x\nSuites: bookworm-security\n\n\
             Types: deb\n# a comment\nURIs: http://mirror.test/debian\n\
             Suites: bookworm bookworm-updates\nComponents: main\nSigned-By: /k.gpg\n";
        assert_eq!(
            mirror_of(deb822, "bookworm").as_deref(),
            Some("[signed-by=/k.gpg] http://mirror.test/debian")
        );
        assert_eq!(mirror_of(deb822, "trixie"), None);
    }
}
