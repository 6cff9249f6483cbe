//! The Git repository that Argo CD reads.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;
use deploy_tests::{checker::succeeded, yaml};
use serde_json::Value;
use tools::root;

const RELEASE: &str = "deploy/argocd/release.yaml";

/// A repository with what Argo CD delivers of this one.
pub struct Repository(PathBuf);

impl Repository {
    /// Makes it in `directory`, with one commit.
    pub fn new(directory: &Path) -> Result<Self> {
        fs::create_dir_all(directory)?;
        let repository = Self(directory.to_owned());
        let mut copy = Command::new("cp");
        copy.args([
            "--archive",
            "--parents",
            "deploy/argocd",
            "deploy/chart",
            "migrations",
        ])
        .arg(directory)
        .current_dir(root());
        succeeded(&mut copy)?;
        repository.git(&["init", "--quiet", "--initial-branch=main"])?;
        repository.commit("what is in the tree")?;
        Ok(repository)
    }

    /// Where Argo CD finds it.
    pub fn url(&self) -> String {
        format!("file://{}", self.0.display())
    }

    /// Writes a file, with the directories that it is in.
    pub fn write(&self, file: &str, text: &str) -> Result<()> {
        let file = self.0.join(file);
        fs::create_dir_all(file.parent().expect("a file has a directory"))?;
        Ok(fs::write(file, text)?)
    }

    /// Commits all that is written, on `main`.
    pub fn commit(&self, subject: &str) -> Result<()> {
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "--message", subject])
    }

    /// Changes what runs in every cluster, in a commit.
    pub fn release(&self, subject: &str, change: impl FnOnce(&mut Value)) -> Result<()> {
        let mut release: Value = yaml(&root().join(RELEASE))?;
        change(&mut release);
        // JSON is YAML.
        self.write(RELEASE, &release.to_string())?;
        self.commit(subject)
    }

    fn git(&self, arguments: &[&str]) -> Result<()> {
        let mut git = Command::new("git");
        git.args([
            "-c",
            "user.name=tests",
            "-c",
            "user.email=tests@example.com",
        ])
        .args(arguments)
        .current_dir(&self.0);
        succeeded(&mut git).map(drop)
    }
}
