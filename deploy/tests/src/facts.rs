//! What is known of Kubernetes, of operators and of charts of others: facts.yaml, by its keys.

use std::{fs, sync::LazyLock};

use serde::Deserialize;
use tools::root;

/// facts.yaml, whose comments say what each table is.
pub static FACTS: LazyLock<Facts> = LazyLock::new(|| {
    let file = root().join("deploy/tests/facts.yaml");
    let yaml = fs::read_to_string(file).expect("facts.yaml is in the tree");
    yaml_serde::from_str(&yaml).unwrap_or_else(|error| panic!("facts.yaml: {error}"))
});

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    pub references: Vec<Reference>,
    pub not_references: Vec<[String; 3]>,
    pub reference_endings: Vec<String>,
    pub without_namespace: Vec<String>,
    pub makes: Vec<[String; 4]>,
    pub made_by_charts: Vec<[String; 4]>,
    pub made_by_operators: Vec<[String; 4]>,
    pub everywhere: Vec<[String; 2]>,
    pub unnamed_values: Vec<[String; 3]>,
    pub crds_in_git: Vec<(String, String, Vec<String>)>,
    pub crds_of_providers: Vec<(String, String, Vec<String>)>,
}

/// Where a reference stands, and what it may name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    pub from: String,
    pub at: String,
    pub to: Vec<String>,
    pub unsaid: Option<String>,
    #[serde(default)]
    pub names: Names,
}

/// How a text holds names.
#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Names {
    /// It is one.
    #[default]
    Whole,
    /// `a, b`
    Listed,
    /// `canary-velero` of `arn:aws:iam::000000000000:role/canary-velero`.
    Role,
    /// The file that a page of the repository shows.
    Page,
}

impl Names {
    pub fn of(&self, text: &str) -> Vec<String> {
        let prefix = match self {
            Self::Listed => return text.split(',').map(|name| name.trim().to_owned()).collect(),
            Self::Whole => "",
            Self::Role => "arn:aws:iam::000000000000:role/",
            Self::Page => "https://github.com/example/hello/blob/main/",
        };
        vec![text.strip_prefix(prefix).unwrap_or(text).to_owned()]
    }
}
