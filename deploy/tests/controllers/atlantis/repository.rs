//! The repository on GitHub, and the branches of pull requests.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use deploy_tests::{
    checker::{printed, succeeded},
    mutation::tracked,
};

/// What a tree gives to it: whatever Atlantis may plan, and a file that it does not.
const PARTS: [&str; 2] = ["deploy/platform/terraform/", "src/lib.rs"];

/// The tests', of which there is one.
const NAME: &str = "example/hello.git";

pub struct Repository {
    /// Below which the server of git has it.
    pub served: PathBuf,
    work: PathBuf,
}

impl Repository {
    /// Makes it below `directory`, with `main` as `tree` is.
    pub fn new(directory: &Path, tree: &Path) -> Result<Self> {
        let repository = Self {
            served: directory.join("served"),
            work: directory.join("work"),
        };
        let bare = repository.served.join(NAME);
        fs::create_dir_all(&bare)?;
        fs::create_dir_all(&repository.work)?;
        git(
            &bare,
            &["init", "--quiet", "--bare", "--initial-branch=main"],
        )?;
        repository.git(&["init", "--quiet", "--initial-branch=main"])?;
        let bare = bare.display().to_string();
        repository.git(&["remote", "add", "origin", &bare])?;
        let wanted = |file: &&String| PARTS.iter().any(|part| file.starts_with(part));
        for file in tracked()?.iter().filter(wanted) {
            let copy = repository.work.join(file);
            fs::create_dir_all(copy.parent().context("it is in a directory")?)?;
            fs::copy(tree.join(file), copy)?;
        }
        repository.commit()?;
        repository.git(&["push", "--quiet", "origin", "main", "main:release"])?;
        Ok(repository)
    }

    /// Proposes a change of these files, in the branch `change-NUMBER`, and returns its commit.
    pub fn propose(
        &self,
        number: u64,
        files: &[&str],
        change: impl Fn(String) -> String,
    ) -> Result<String> {
        let branch = format!("change-{number}");
        self.git(&["checkout", "--quiet", "-b", &branch, "main"])?;
        self.change(files, change)?;
        let pull = format!("HEAD:refs/pull/{number}/head");
        self.git(&["push", "--quiet", "origin", &branch, &pull])?;
        self.git(&["rev-parse", "HEAD"])
    }

    /// Changes these files on `main`.
    pub fn advance(&self, files: &[&str], change: impl Fn(String) -> String) -> Result<()> {
        self.git(&["checkout", "--quiet", "main"])?;
        self.change(files, change)?;
        self.git(&["push", "--quiet", "origin", "main"]).map(drop)
    }

    fn change(&self, files: &[&str], change: impl Fn(String) -> String) -> Result<()> {
        for file in files {
            let file = self.work.join(file);
            let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
            fs::write(file, change(text))?;
        }
        self.commit()
    }

    fn commit(&self) -> Result<()> {
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "--message", "a change"])
            .map(drop)
    }

    fn git(&self, arguments: &[&str]) -> Result<String> {
        git(&self.work, arguments)
    }
}

fn git(directory: &Path, arguments: &[&str]) -> Result<String> {
    let mut git = Command::new("git");
    git.args([
        "-c",
        "user.name=tests",
        "-c",
        "user.email=tests@example.com",
    ])
    .args(arguments)
    .env("GIT_CONFIG_GLOBAL", "/dev/null")
    .current_dir(directory);
    succeeded(&mut git).with_context(|| format!("git {}", arguments.join(" ")))
}

/// What git's own server answers to a request, as a program behind a web server does (RFC 3875).
pub fn serve(served: &Path, variables: &[(&str, &str)], body: &[u8]) -> Result<Vec<u8>> {
    let file = tempfile::NamedTempFile::new()?;
    fs::write(&file, body)?;
    let mut backend = Command::new("git");
    backend
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", served)
        .env("GIT_HTTP_EXPORT_ALL", "")
        .env("CONTENT_LENGTH", body.len().to_string())
        .envs(variables.iter().copied())
        .stdin(fs::File::open(&file)?);
    let output = backend.output().context("`git` does not start")?;
    printed(&output).context("git http-backend")?;
    Ok(output.stdout)
}
