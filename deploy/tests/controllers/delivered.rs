//! What a cluster gets out of a tree, as Argo CD renders it.

use std::path::Path;

use anyhow::{Context, Result};
use deploy_tests::{
    checker::{CHART, Checker, values_file},
    objects::{list, parsed, text},
    platform::{ACCOUNT, ADDONS, addon_of},
    service_values,
};
use serde_json::Value;

/// A cluster, as a tree has it.
pub struct Delivered<'a> {
    pub checker: &'a Checker,
    tree: &'a Path,
    pub cluster: &'a str,
    /// Of its add-ons.
    pub applications: Vec<Value>,
}

impl<'a> Delivered<'a> {
    pub fn of(checker: &'a Checker, tree: &'a Path, cluster: &'a str) -> Result<Self> {
        Self::with(checker, tree, cluster, &[])
    }

    /// [`Delivered::of`] with other choices, such as `choices.logs=elasticsearch`.
    pub fn with(
        checker: &'a Checker,
        tree: &'a Path,
        cluster: &'a str,
        choices: &[&str],
    ) -> Result<Self> {
        let facts = tree.join(format!("{ADDONS}/clusters/{cluster}.yaml"));
        let settings = [&[ACCOUNT], choices].concat();
        let applications = checker.render_chart(tree.join(ADDONS), &[facts], &settings)?;
        Ok(Self {
            checker,
            tree,
            cluster,
            applications: parsed(&applications)?,
        })
    }

    /// The Application of an add-on.
    pub fn application(&self, addon: &str) -> Result<&Value> {
        let mut all = self.applications.iter();
        let found = all.find(|one| addon_of(one).is_ok_and(|of| of == addon));
        found.with_context(|| format!("{} has no {addon}", self.cluster))
    }

    /// What the objects/ of an add-on make; nothing, if it has none.
    pub fn objects(&self, application: &Value) -> Result<Vec<Value>> {
        let mut sources = list(application, "/spec/sources").iter();
        let ours = sources.find(|source| source["path"].is_string() && source["helm"].is_object());
        let Some(source) = ours else {
            return Ok(Vec::new());
        };
        let values = values_file(&source["helm"]["valuesObject"])?;
        let chart = self.tree.join(text(source, "/path"));
        parsed(
            &self
                .checker
                .render_chart(chart, &[values.to_path_buf()], &[])?,
        )
    }

    /// What the chart of the service makes, with these arguments of Helm; nothing in management.
    pub fn service(&self, namespace: &str, arguments: &[&str]) -> Result<Vec<Value>> {
        let Some(values) = service_values().remove(self.cluster) else {
            return Ok(Vec::new());
        };
        let values = values.iter().map(|file| {
            let file = file.strip_prefix(tools::root())?;
            anyhow::Ok(self.tree.join(file))
        });
        let values: Vec<_> = values.collect::<Result<_>>()?;
        let chart = self.tree.join(CHART);
        let template = self
            .checker
            .template("hello", namespace, chart, &values, arguments);
        parsed(&template?)
    }
}

/// What Argo CD gives the chart of an add-on.
pub fn values(application: &Value) -> &Value {
    &application["spec"]["sources"][0]["helm"]["valuesObject"]
}
