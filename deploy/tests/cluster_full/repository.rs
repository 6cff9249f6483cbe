//! The Git repository that Argo CD reads.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use deploy_tests::{checker::succeeded, yaml};
use serde_json::Value;
use tools::root;

const RELEASE: &str = "deploy/argocd/release.yaml";

/// What Argo CD reads of the project.
const DIRECTORIES: [&str; 6] = [
    "deploy/argocd",
    "deploy/chart",
    "deploy/platform/addons",
    "deploy/platform/argocd",
    "deploy/platform/clusters",
    "migrations",
];

/// Those whose files name the repository, which here is one on this machine.
const NAMING: [&str; 3] = [DIRECTORIES[0], DIRECTORIES[2], DIRECTORIES[3]];
const NAME: &str = "https://github.com/example/hello.git";

/// A repository with what Argo CD delivers of this one.
pub struct Repository(PathBuf);

impl Repository {
    /// Makes it in `directory`, with one commit.
    pub fn new(directory: &Path) -> Result<Self> {
        fs::create_dir_all(directory)?;
        let repository = Self(directory.to_owned());
        repository.git(&["init", "--quiet", "--initial-branch=main"])?;
        repository.take(&root())?;
        Ok(repository)
    }

    /// Commits what `tree`, a copy of the project, has, and nothing else.
    pub fn take(&self, tree: &Path) -> Result<()> {
        for directory in DIRECTORIES.map(|directory| self.0.join(directory)) {
            if directory.exists() {
                fs::remove_dir_all(directory)?;
            }
        }
        let mut copy = Command::new("cp");
        copy.args(["--archive", "--parents"])
            .args(DIRECTORIES)
            .arg(&self.0)
            .current_dir(tree);
        succeeded(&mut copy)?;
        for entry in NAMING.map(|directory| fs::read_dir(self.0.join(directory))) {
            for file in entry?.flatten().map(|entry| entry.path()) {
                if file.is_file() {
                    let text = fs::read_to_string(&file)?;
                    fs::write(&file, text.replace(NAME, &self.url()))?;
                }
            }
        }
        self.commit("what is in the tree")
    }

    /// Where Argo CD finds it.
    pub fn url(&self) -> String {
        format!("file://{}", self.0.display())
    }

    /// A file, as it is now.
    pub fn read(&self, file: &str) -> Result<String> {
        let file = self.0.join(file);
        fs::read_to_string(&file).with_context(|| file.display().to_string())
    }

    /// Writes a file, with the directories that it is in.
    pub fn write(&self, file: &str, text: &str) -> Result<()> {
        let file = self.0.join(file);
        fs::create_dir_all(file.parent().expect("a file has a directory"))?;
        Ok(fs::write(file, text)?)
    }

    /// Commits all that is written, on `main`, be it nothing.
    pub fn commit(&self, subject: &str) -> Result<()> {
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "--allow-empty", "--message", subject])
            .map(drop)
    }

    /// Changes what runs in every cluster, in a commit.
    pub fn release(&self, subject: &str, change: impl FnOnce(&mut Value)) -> Result<()> {
        let mut release: Value = yaml(&root().join(RELEASE))?;
        change(&mut release);
        // JSON is YAML.
        self.write(RELEASE, &release.to_string())?;
        self.commit(subject)
    }

    /// The latest commit on `main`.
    pub fn head(&self) -> Result<String> {
        self.git(&["rev-parse", "main"])
    }

    fn git(&self, arguments: &[&str]) -> Result<String> {
        let mut git = Command::new("git");
        git.args([
            "-c",
            "user.name=tests",
            "-c",
            "user.email=tests@example.com",
        ])
        .args(arguments)
        .current_dir(&self.0);
        succeeded(&mut git)
    }
}
