//! What deploy/platform makes for a cluster, as Argo CD renders it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tempfile::TempDir;
use tools::root;

use crate::{
    checker::{Checker, Object, values_file},
    objects::{by_kind, list, name, only, parsed, text, title},
    once::Once,
    stem, yaml_files,
};

/// Our own repository.
pub const OURS: &str = "https://github.com/example/hello.git";

/// Where Argo CD has an account's number from; none is in Git.
pub const ACCOUNT: &str = "cluster.account=000000000000";

/// The chart of the add-ons.
pub const ADDONS: &str = "deploy/platform/addons";

/// Those of them that a cluster has only by choice.
pub const ALTERNATIVES: &str = "deploy/platform/addons/alternatives";

/// Each choice of add-ons that is no cluster's own: it renders as well.
const CHOICES: [&str; 5] = [
    "choices.suite=datadog",
    "choices.suite=grafana-cloud",
    "choices.metrics=influxdb",
    "choices.logs=elasticsearch",
    "choices.database=cloudnative-pg",
];

/// What one cluster gets.
#[derive(Clone, Deserialize, Serialize)]
pub struct Rendered {
    /// As its file is named: `production-eu-central-1`.
    pub cluster: String,
    /// The Applications, as Argo CD sees them.
    pub applications: Vec<Object>,
    /// By add-on, what its objects/ makes in the cluster.
    pub objects: BTreeMap<String, Vec<Object>>,
}

impl Rendered {
    /// What the objects/ of all add-ons make.
    pub fn made(&self) -> impl Iterator<Item = &Object> {
        self.objects.values().flatten()
    }

    pub fn application(&self, addon: &str) -> Result<&Value> {
        let mut all = self.applications.iter();
        let found = all.find(|application| addon_of(application).is_ok_and(|of| of == addon));
        let found = found.with_context(|| format!("{} has no {addon}", self.cluster))?;
        Ok(&found.object)
    }

    /// What Argo CD gives the chart of an add-on.
    pub fn values(&self, addon: &str) -> Result<&Value> {
        let values = self
            .application(addon)?
            .pointer("/spec/sources/0/helm/valuesObject");
        values.with_context(|| format!("{addon} has no values"))
    }

    /// What rules call `added`: see rules.yaml.
    pub fn for_rules(&self) -> Result<Value> {
        let (mut applications, mut values) = (json!({}), json!({}));
        let mut objects = Vec::new();
        for application in &self.applications {
            let addon = addon_of(application)?;
            applications[addon] = application.object.clone();
            values[addon] = self.values(addon).cloned().unwrap_or_default();
            for made in self.objects.get(addon).into_iter().flatten() {
                let mut object = made.object.clone();
                let namespace = &mut object["metadata"]["namespace"];
                if namespace.is_null() {
                    *namespace = application["spec"]["destination"]["namespace"].clone();
                }
                objects.push(object);
            }
        }
        Ok(json!({
            "cluster": self.cluster,
            "applications": applications,
            "values": values,
            "objects": by_kind(&objects),
        }))
    }

    /// The sources of all Applications.
    pub fn sources(&self) -> impl Iterator<Item = (&Value, &Value)> {
        self.applications.iter().flat_map(|application| {
            let sources = list(application, "/spec/sources").iter();
            sources.map(|source| (&application.object, source))
        })
    }
}

/// The clusters' own choices, and then each other one.
pub fn choices() -> Vec<Vec<&'static str>> {
    let others = CHOICES.map(|choice| vec![choice]);
    [vec![]].into_iter().chain(others).collect()
}

/// The clusters' files.
pub fn clusters() -> Vec<PathBuf> {
    let files = yaml_files("deploy/platform/addons/clusters");
    assert!(files.len() > 4, "the clusters are gone");
    files
}

/// ` with logs=elasticsearch`, where that is not the cluster's own choice.
pub fn with(settings: &[&str]) -> String {
    let settings = settings.join(", ").replace("choices.", "");
    if settings.is_empty() {
        settings
    } else {
        format!(" with {settings}")
    }
}

/// The add-on that an Application is of.
pub fn addon_of(application: &Value) -> Result<&str> {
    let addon = &application["metadata"]["labels"]["app.kubernetes.io/component"];
    addon
        .as_str()
        .context("an Application is labelled with its add-on")
}

/// What a cluster gets by its own choices.
pub fn cluster(checker: &Checker, name: &str) -> Result<&'static Rendered> {
    let file = root().join(format!("{ADDONS}/clusters/{name}.yaml"));
    rendered(checker, &file, &[])
}

/// What a cluster gets, each object with its problem if it has one. It is rendered once.
pub fn rendered(checker: &Checker, cluster: &Path, settings: &[&str]) -> Result<&'static Rendered> {
    static ALL: Once<Rendered> = Once::new();
    let key = format!("{}{}", stem(cluster), with(settings));
    ALL.get(&key, || render(checker, cluster, settings))
}

fn render(checker: &Checker, cluster: &Path, settings: &[&str]) -> Result<Rendered> {
    let settings = [&[ACCOUNT], settings].concat();
    let applications = checker.render_chart(ADDONS, &[cluster.to_owned()], &settings)?;
    let mut rendered = Rendered {
        cluster: stem(cluster),
        applications: checker.checked(&applications)?,
        objects: BTreeMap::new(),
    };
    let applications = &rendered.applications;
    ensure!(!applications.is_empty(), "no Application was rendered");
    for application in applications {
        let sources = list(application, "/spec/sources");
        ensure!(!sources.is_empty(), "{} has no sources", title(application));
    }
    let mut objects = BTreeMap::new();
    for (application, source) in rendered.sources() {
        if let (Some(path), true) = (source["path"].as_str(), source["helm"].is_object()) {
            let values = values_file(&source["helm"]["valuesObject"])?;
            let yaml = checker.render_chart(path, &[values.to_owned()], &[]);
            let made = checker.checked(&yaml.with_context(|| name(application).to_owned())?)?;
            objects.insert(addon_of(application)?.to_owned(), made);
        }
    }
    rendered.objects = objects;
    for (addon, made) in &rendered.objects {
        ensure!(!made.is_empty(), "the objects of {addon} are none");
    }
    Ok(rendered)
}

/// What Cluster API is given for a cluster: the chart with the values that Argo CD gives it.
pub fn cluster_api(checker: &Checker, cluster: &str, settings: &[&str]) -> Result<String> {
    cluster_api_of(checker, &root(), cluster, settings)
}

/// [`cluster_api`] of another tree.
pub fn cluster_api_of(
    checker: &Checker,
    tree: &Path,
    cluster: &str,
    settings: &[&str],
) -> Result<String> {
    let values = ["addons", "clusters"];
    let values =
        values.map(|of| tree.join(format!("deploy/platform/{of}/clusters/{cluster}.yaml")));
    let settings = [&[ACCOUNT], settings].concat();
    checker.render_chart(tree.join("deploy/platform/clusters"), &values, &settings)
}

/// The Secret of Argo CD that External Secrets makes of an ExternalSecret and a kubeconfig. Helm's
/// templates are those of External Secrets: Go's, with the same functions.
pub fn registered(checker: &Checker, external: &Value, kubeconfig: &str) -> Result<Value> {
    let template = &external["spec"]["target"]["template"];
    let data = ["name", "server", "config"].map(|key| {
        let text = text(&template["data"], &format!("/{key}"));
        format!("  {key}: |-\n    {}\n", text.trim().replace('\n', "\n    "))
    });
    let template = format!(
        "{{{{- with .Values }}}}\napiVersion: v1\nkind: Secret\nmetadata: {{name: made}}\n\
         stringData:\n{}{{{{- end }}}}\n",
        data.concat()
    );
    let directory = TempDir::new()?;
    let values = json!({"kubeconfig": kubeconfig}).to_string();
    write_chart(directory.path(), &values, &template)?;
    let rendered = checker.render_chart(directory.path(), &[], &[])?;
    Ok(only(&parsed(&rendered)?, "Secret")?["stringData"].clone())
}

/// Writes a chart of one template into `directory`.
pub fn write_chart(directory: &Path, values: &str, template: &str) -> Result<()> {
    fs::create_dir_all(directory.join("templates"))?;
    let chart = "apiVersion: v2\nname: small\nversion: 0.1.0\n";
    fs::write(directory.join("Chart.yaml"), chart)?;
    fs::write(directory.join("values.yaml"), values)?;
    fs::write(directory.join("templates/small.yaml"), template)?;
    Ok(())
}

/// A file of deploy/platform. `envsubst` gives an account's number where it is applied.
pub fn read(file: impl AsRef<Path>) -> Result<String> {
    let path = root().join("deploy/platform").join(file);
    let mut yaml = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    for stage in ["MANAGEMENT", "DEV", "CANARY", "PRODUCTION"] {
        yaml = yaml.replace(&format!("${{ACCOUNT_{stage}}}"), "000000000000");
    }
    Ok(yaml)
}
