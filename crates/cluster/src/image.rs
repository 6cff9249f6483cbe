//! Container images, made of files on this machine and put into containerd: no registry is asked.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The image of the container that holds a pod's namespaces.
pub const PAUSE: &str = "hello.test/pause:1";

/// An image to be: its name, files and configuration.
pub struct Image {
    name: String,
    files: tar::Builder<Vec<u8>>,
    libraries: BTreeSet<String>,
    config: Value,
}

impl Image {
    /// An image without files. A name without a tag gets a digest.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut files = tar::Builder::new(Vec::new());
        files.follow_symlinks(false);
        Self {
            name: name.to_owned(),
            files,
            libraries: BTreeSet::new(),
            config: json!({"Env": ["PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"]}),
        }
    }

    /// Sets what runs, with these arguments before the container's own.
    #[must_use]
    pub fn entrypoint(mut self, entrypoint: &[&str]) -> Self {
        self.config["Entrypoint"] = json!(entrypoint);
        self
    }

    /// Adds a file, which all may read, and execute if it is a program.
    ///
    /// # Errors
    ///
    /// If it cannot be added.
    pub fn file(mut self, path: &str, content: &[u8], is_program: bool) -> Result<Self> {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(if is_program { 0o755 } else { 0o644 });
        header.set_mtime(0);
        self.files
            .append_data(&mut header, path.trim_start_matches('/'), content)?;
        Ok(self)
    }

    /// Adds a symbolic link.
    ///
    /// # Errors
    ///
    /// If it cannot be added.
    pub fn link(mut self, path: &str, to: &str) -> Result<Self> {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        header.set_mtime(0);
        self.files
            .append_link(&mut header, path.trim_start_matches('/'), to)?;
        Ok(self)
    }

    /// Adds the program `name` of this machine in /usr/bin, with the libraries that it loads.
    ///
    /// # Errors
    ///
    /// If it cannot be had, or read.
    pub fn program(self, name: &'static str) -> Result<Self> {
        let program = tools::binary(name)?;
        self.file(&format!("usr/bin/{name}"), &read(&program)?, true)?
            .libraries_of(&program)
    }

    /// Adds what is at `path` on this machine, a directory with all that is in it, where `wanted` says so;
    /// with the libraries that it loads.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn copy(self, path: &Path, wanted: &impl Fn(&Path) -> bool) -> Result<Self> {
        let name = path.display().to_string();
        let kind = path.symlink_metadata().with_context(|| name.clone())?;
        if !wanted(path) {
            return Ok(self);
        }
        if kind.is_symlink() {
            return self.link(&name, &fs::read_link(path)?.display().to_string());
        }
        if kind.is_dir() {
            let mut entries = fs::read_dir(path)?.flatten().map(|entry| entry.path());
            return entries.try_fold(self, |image, entry| image.copy(&entry, wanted));
        }
        let content = read(path)?;
        let image = self.file(&name, &content, kind.permissions().mode() & 0o100 != 0)?;
        match content.starts_with(b"\x7fELF") {
            true => image.libraries_of(path),
            false => Ok(image),
        }
    }

    fn libraries_of(mut self, program: &Path) -> Result<Self> {
        for library in libraries(program)? {
            let name = library.file_name().unwrap_or_default().to_string_lossy();
            // The loader has a path that programs name; it looks for libraries in /usr/lib.
            let path = match name.starts_with("ld-linux") {
                true => library.display().to_string(),
                false => format!("usr/lib/{name}"),
            };
            if self.libraries.insert(path.clone()) {
                self = self.file(&path, &read(&library)?, true)?;
            }
        }
        Ok(self)
    }

    /// Adds a shell, and all else that busybox is.
    ///
    /// # Errors
    ///
    /// If it cannot be had.
    pub fn shell(self) -> Result<Self> {
        let busybox = tools::binary("busybox")?;
        let names = tools::run::read("ask busybox", Command::new(&busybox).arg("--list"))?;
        let mut image = self.file("bin/busybox", &read(&busybox)?, true)?;
        for name in names.lines().filter(|name| *name != "busybox") {
            image = image.link(&format!("bin/{name}"), "busybox")?;
        }
        Ok(image)
    }
}

fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

/// What the dynamic linker loads for `program`, none if it is static.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let mut ldd = Command::new("ldd");
    let output = ldd
        .arg(program)
        .env("LD_LIBRARY_PATH", tools::library_path())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let paths = text.split_whitespace().filter(|word| word.starts_with('/'));
    Ok(paths.map(PathBuf::from).collect())
}

/// An image, written as an OCI layout (image-spec v1.1) in a tar file.
pub struct Layout {
    /// With the digest, where it has no tag.
    pub name: String,
    pub(crate) file: PathBuf,
}

impl Image {
    /// Writes it into `file`.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn write(self, file: &Path) -> Result<Layout> {
        let layer = self.files.into_inner()?;
        let config = json!({
            "architecture": "amd64",
            "os": "linux",
            "config": self.config,
            "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]},
        });
        let config = serde_json::to_vec(&config)?;
        let described = |kind: &str, blob: &[u8]| {
            json!({
                "mediaType": format!("application/vnd.oci.image.{kind}"),
                "digest": digest(blob),
                "size": blob.len(),
            })
        };
        let manifest = serde_json::to_vec(&json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": described("config.v1+json", &config),
            "layers": [described("layer.v1.tar", &layer)],
        }))?;
        let name = match self.name.contains(':') {
            true => self.name,
            false => format!("{}@{}", self.name, digest(&manifest)),
        };
        let mut entry = described("manifest.v1+json", &manifest);
        entry["annotations"] = json!({"io.containerd.image.name": name});
        let index = serde_json::to_vec(&json!({"schemaVersion": 2, "manifests": [entry]}))?;

        let mut layout = tar::Builder::new(File::create(file)?);
        let mut add = |path: &str, content: &[u8]| -> Result<()> {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            Ok(layout.append_data(&mut header, path, content)?)
        };
        add("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        add("index.json", &index)?;
        for blob in [&layer, &config, &manifest] {
            let digest = digest(blob).replace(':', "/");
            add(&format!("blobs/{digest}"), blob)?;
        }
        layout.into_inner()?.flush()?;
        let file = file.to_owned();
        Ok(Layout { name, file })
    }
}

fn digest(blob: &[u8]) -> String {
    let hash = Sha256::digest(blob);
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}
