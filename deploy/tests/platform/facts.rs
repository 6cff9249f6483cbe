//! What the checks take for given: facts.yaml, whose comments say what each is.

use std::{collections::BTreeMap, sync::LazyLock};

use deploy_tests::rules;
use serde::Deserialize;

/// rules.yaml.
pub static RULES: LazyLock<BTreeMap<String, rules::Rule>> =
    LazyLock::new(|| rules::rules("platform"));

pub static FACTS: LazyLock<Facts> = LazyLock::new(|| deploy_tests::facts("platform"));

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    pub without_namespace: Vec<String>,
    pub everywhere: Vec<(String, String)>,
    pub makes: Vec<(String, String, String, String)>,
    pub of_charts: Vec<(String, String, String, String)>,
    pub of_operators: Vec<(String, String, String, String)>,
    pub references: Vec<Rule>,
    pub no_references: Vec<(String, String)>,
    pub reference_endings: Vec<String>,
    pub templates: Vec<(String, String)>,
    pub unnamed_values: Vec<(String, String)>,
    pub crds_in_git: Vec<(String, String, Vec<String>)>,
    pub crds_of_providers: Vec<(String, String, Vec<String>)>,
    pub small_chart: SmallChart,
    pub applied: Vec<(String, Vec<bool>)>,
    pub systems: Vec<String>,
    pub arns: BTreeMap<String, String>,
    pub refused: Vec<String>,
}

/// A reference.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub from: String,
    pub at: String,
    pub to: Vec<String>,
    pub unsaid: Option<String>,
    #[serde(default)]
    pub prefix: String,
    pub separator: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmallChart {
    pub values: String,
    pub template: String,
}
