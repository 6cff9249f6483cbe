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
    fetch::debian,
    lock,
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
    /// The compiler that is there without fetching, as far as `HELLO_WASM_COMPILER` allows it.
    #[must_use]
    pub fn find() -> Option<Self> {
        let (rustup, debian) = allowed().ok()?;
        if rustup && rustup_has_target() {
            return Some(Self::Rustup);
        }
        let is_unpacked = debian && unpacked().join("complete").exists();
        is_unpacked.then(|| Self::Debian(unpacked()))
    }

    /// Takes the compiler that is there, or fetches one.
    ///
    /// `HELLO_WASM_COMPILER` set to `rustup` or `debian` leaves no choice.
    pub fn find_or_fetch() -> Result<Self> {
        let (rustup, debian) = allowed()?;
        if let Some(found) = Self::find() {
            return Ok(found);
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
        unpack_debian(&unpacked()).context(
            "there is no compiler for wasm32-wasip2: rustup cannot add it (is there a network?) \
             and Debian's packages cannot be had either",
        )?;
        Ok(Self::Debian(unpacked()))
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
        // As the components are built: what runs while they are compiled, macros and build scripts, is
        // compiled once for both.
        cargo.arg("--release");
        cargo
    }
}

/// Whether rustup's compiler may be taken, and whether Debian's.
fn allowed() -> Result<(bool, bool)> {
    match std::env::var("HELLO_WASM_COMPILER")
        .unwrap_or_default()
        .as_str()
    {
        "" => Ok((true, true)),
        "rustup" => Ok((true, false)),
        "debian" => Ok((false, true)),
        other => bail!("HELLO_WASM_COMPILER must be rustup or debian, not {other}"),
    }
}

/// Where Debian's compiler is unpacked.
fn unpacked() -> PathBuf {
    target().join("debian-rust")
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
    require_disk(&target(), 1500)?;
    if directory.exists() {
        fs::remove_dir_all(directory)?; // what an interrupted run left behind
    }
    announce("fetching Debian's compiler for wasm32-wasip2, 1500 MB");
    // Debian updates it with Firefox, so its version is not pinned. The oldest wasi-libc for
    // WASI 0.2 is in the backports.
    let packages = ["rustc-web", "rust-web-src", "rust-web-clippy"];
    let _unpacking = lock(debian::LOCK)?;
    debian::unpack(&packages, Some("wasi-libc"), directory)?;
    complete_sysroot(directory)?;
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
