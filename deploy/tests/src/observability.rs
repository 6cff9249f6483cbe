//! Checks of what watches the service: the rules and their tests, runbooks, the dashboard, the
//! routes of alerts, and compose.yaml. Each check is of a tree, which a test may have broken.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use tools::root;

/// Prometheus's rules of the service, below the tree.
pub const RULES: &str = "deploy/chart/files/alerts.yaml";

/// Those of the platform.
pub const PLATFORM_RULES: &str =
    "deploy/platform/addons/kube-prometheus-stack/objects/files/alerts.yaml";

/// Grafana's dashboard.
pub const DASHBOARD: &str = "deploy/chart/files/dashboard.json";

/// Alertmanager's configuration.
pub const ROUTES: &str = "deploy/alertmanager.yaml";

/// Prometheus's configuration, of compose.yaml.
pub const SCRAPES: &str = "deploy/compose/prometheus.yaml";

/// The service and what watches it, on one machine.
pub const COMPOSE: &str = "compose.yaml";

/// The directory of the runbooks.
pub const RUNBOOKS: &str = "docs/runbooks";

/// What an alert of ours may have as its severity.
const SEVERITIES: [&str; 2] = ["page", "ticket"];

/// Labels of an alert, and who hears of it.
const RECEIVERS: [(&str, &[&str], &str); 7] = [
    ("severity \"page\"", &["severity=page"], "page"),
    ("severity \"ticket\"", &["severity=ticket"], "ticket"),
    // Those of kube-prometheus-stack's own alerts.
    ("severity \"critical\"", &["severity=critical"], "page"),
    ("severity \"warning\"", &["severity=warning"], "slack"),
    ("severity \"none\"", &["severity=none"], "nobody"),
    ("no severity", &[], "slack"),
    ("dev", &["cluster=dev", "severity=page"], "slack"),
];

/// What Prometheus itself adds to each target's series.
const TARGET_LABELS: [&str; 4] = ["job", "instance", "namespace", "pod"];

/// What others give, of what is asked for, with the labels of their documentation.
const OTHERS: [(&str, &[&str]); 13] = [
    // kube-state-metrics: docs/metrics/workload.
    ("kube_deployment_status_replicas_available", &["deployment"]),
    ("kube_cronjob_status_last_successful_time", &["cronjob"]),
    ("kube_cronjob_created", &["cronjob"]),
    ("kube_job_status_start_time", &["job_name"]),
    ("kube_job_status_failed", &["job_name", "reason"]),
    // Where a metric has a label `namespace` of its own, Prometheus calls that `exported_namespace`.
    (
        "certmanager_certificate_expiration_timestamp_seconds",
        &["exported_namespace", "name"],
    ),
    (
        "externalsecret_status_condition",
        &["exported_namespace", "name", "condition", "status"],
    ),
    ("velero_backup_last_successful_timestamp", &["schedule"]),
    ("velero_backup_attempt_total", &["schedule"]),
    ("argocd_app_info", &["name", "sync_status", "health_status"]),
    // Mimir.
    ("cortex_distributor_received_samples_total", &["user"]),
    (
        "cortex_ingester_shipper_last_successful_upload_timestamp_seconds",
        &[],
    ),
    // Alloy.
    (
        "loki_write_dropped_entries_total",
        &["host", "tenant", "reason"],
    ),
];

/// Metrics, and the labels of each.
type Metrics = BTreeMap<String, BTreeSet<String>>;

/// The rules are valid, and their tests pass.
///
/// # Errors
///
/// What promtool says.
pub fn rules(tree: &Path) -> Result<()> {
    let promtool = || tools::find_or_fetch("promtool").map(Command::new);
    let files = [RULES, PLATFORM_RULES].map(|file| tree.join(file));
    run(promtool()?.args(["check", "rules"]).args(files), "")?;
    run(
        promtool()?.args(["test", "rules"]).args(rule_tests(tree)?),
        "",
    )?;
    Ok(())
}

/// Each alert has a case in which it fires, and one in which it does not.
///
/// # Errors
///
/// One sentence that names the alert.
pub fn cases(tree: &Path) -> Result<()> {
    let mut fires = BTreeSet::new();
    let mut keeps_quiet = BTreeSet::new();
    for tests in rule_tests(tree)? {
        let tests = yaml(&tests)?;
        for case in list(&tests["tests"])
            .iter()
            .flat_map(|test| list(&test["alert_rule_test"]))
        {
            let name = text(&case["alertname"])?.to_owned();
            if list(&case["exp_alerts"]).is_empty() {
                keeps_quiet.insert(name);
            } else {
                fires.insert(name);
            }
        }
    }
    for (name, _) in alerts(tree)? {
        ensure!(fires.contains(&name), "no case lets {name} fire");
        ensure!(keeps_quiet.contains(&name), "no case keeps {name} quiet");
    }
    Ok(())
}

/// Each alert says what is wrong and how bad, and names its runbook, which begins with what to
/// type. No runbook is of an alert that there is not; other pages may be there.
///
/// # Errors
///
/// One sentence that names the alert.
pub fn runbooks(tree: &Path) -> Result<()> {
    let mut expected = BTreeSet::new();
    for (name, rule) in alerts(tree)? {
        let severity = text(&rule["labels"]["severity"]).unwrap_or_default();
        ensure!(
            SEVERITIES.contains(&severity),
            "{name} has no severity that is routed"
        );
        for annotation in ["summary", "description"] {
            let is_there =
                text(&rule["annotations"][annotation]).is_ok_and(|text| !text.is_empty());
            ensure!(is_there, "{name} has no {annotation}");
        }
        let runbook = format!("{RUNBOOKS}/{name}.md");
        let url = text(&rule["annotations"]["runbook_url"]).unwrap_or_default();
        ensure!(
            url == runbook,
            "{name} names the runbook {url:?}, not {runbook}"
        );
        let page = fs::read_to_string(tree.join(&runbook))
            .with_context(|| format!("{name} has no {runbook}"))?;
        ensure!(
            page.starts_with(&format!("# {name} ({severity})\n\n```sh\n")),
            "{runbook} does not begin with the alert, its severity, and what to type"
        );
        expected.insert(format!("{name}.md"));
    }
    for entry in fs::read_dir(tree.join(RUNBOOKS))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // A page whose title names no severity is of a procedure.
        let page = fs::read_to_string(entry.path())?;
        let title = page.lines().next().unwrap_or_default();
        let of_alert = SEVERITIES
            .iter()
            .any(|severity| title.ends_with(&format!(" ({severity})")));
        ensure!(
            !of_alert || expected.contains(&name),
            "{RUNBOOKS}/{name} is of no alert"
        );
    }
    Ok(())
}

/// Every expression of the dashboard and the rules parses, and asks only for metrics that
/// `exposition` (what `/metrics` answers), Prometheus, the platform's systems or a rule gives, by
/// labels that these have.
///
/// # Errors
///
/// One sentence that names the expression.
pub fn expressions(tree: &Path, exposition: &str) -> Result<()> {
    let mut known = exposed(exposition);
    known.insert("up".to_owned(), target_labels());
    for (name, labels) in OTHERS {
        let labels = labels.iter().map(|label| (*label).to_owned());
        known.insert(name.to_owned(), labels.chain(target_labels()).collect());
    }
    let mut expressions = dashboard(tree)?;
    for rule in all_rules(tree)? {
        if let Ok(record) = text(&rule["record"]) {
            known.insert(record.to_owned(), target_labels());
        }
        expressions.push(text(&rule["expr"])?.to_owned());
    }
    // Prometheus's own parser, for those that no rule has.
    let rules: Vec<Value> = expressions
        .iter()
        .map(|expr| serde_json::json!({"record": "an:expression", "expr": expr}))
        .collect();
    let file = serde_json::json!({"groups": [{"name": "expressions", "rules": rules}]});
    let mut promtool = Command::new(tools::find_or_fetch("promtool")?);
    // Without the lint of names that occur twice: here all have one.
    promtool.args(["check", "rules", "--lint=none", "/dev/stdin"]);
    run(&mut promtool, &file.to_string())?;

    let mut reader = reader()?;
    let found = run(
        reader.arg("promql"),
        &serde_json::json!(expressions).to_string(),
    )?;
    let found: Vec<Value> = serde_json::from_str(&found)?;
    for (expression, selectors) in expressions.iter().zip(&found) {
        if let Value::String(error) = selectors {
            bail!("{error}, in: {expression}");
        }
        for selector in list(selectors) {
            let name = text(&selector[0])?;
            let labels = known
                .get(name)
                .with_context(|| format!("nothing gives the metric {name}, in: {expression}"))?;
            for label in list(&selector[1]) {
                let label = text(label)?;
                ensure!(
                    labels.contains(label),
                    "{name} has no label {label}, in: {expression}"
                );
            }
        }
    }
    Ok(())
}

/// Alertmanager takes its configuration, and each alert goes to its receiver.
///
/// # Errors
///
/// What amtool says.
pub fn routes(tree: &Path) -> Result<()> {
    let amtool = || tools::find_or_fetch("amtool").map(Command::new);
    let config = tree.join(ROUTES);
    run(amtool()?.arg("check-config").arg(&config), "")?;
    for (what, labels, receiver) in RECEIVERS {
        let mut test = amtool()?;
        test.args(["config", "routes", "test", "--config.file"])
            .arg(&config)
            .arg(format!("--verify.receivers={receiver}"))
            .arg("alertname=HelloStoreErrors")
            .args(labels);
        run(&mut test, "").with_context(|| format!("{what} is misrouted"))?;
    }
    Ok(())
}

/// compose.yaml is as its published schema has it, each image has an exact version, and each
/// file that is mounted is in the tree. Prometheus takes the configuration that it gets.
///
/// # Errors
///
/// What the schema's checker or promtool says.
pub fn compose(tree: &Path) -> Result<()> {
    let file = tree.join(COMPOSE);
    let programs = tools::python::environment("observability")?;
    run(
        Command::new(programs.join("check-jsonschema"))
            .args(["--builtin-schema", "vendor.compose-spec"])
            .arg(&file),
        "",
    )?;
    let compose = yaml(&file)?;
    let services = compose["services"].as_object().context("no services")?;
    for (name, service) in services {
        let image = text(&service["image"])?;
        let tag = image.rsplit_once(':').map_or("", |(_, tag)| tag);
        ensure!(
            image.contains("@sha256:") || tag.chars().filter(|c| *c == '.').count() > 0,
            "{name}'s image {image} has no exact version"
        );
        for volume in list(&service["volumes"]) {
            let source = text(volume)?.split(':').next().unwrap_or_default();
            let is_ours = source.starts_with("./") && !source.starts_with("./target/");
            ensure!(
                !is_ours || tree.join(source).exists(),
                "{name} mounts {source}, which is not there"
            );
        }
    }
    // The rules are elsewhere in the container. They are checked on their own.
    let scrapes = fs::read_to_string(tree.join(SCRAPES))?;
    let mut promtool = Command::new(tools::find_or_fetch("promtool")?);
    promtool.args(["check", "config", "--syntax-only", "/dev/stdin"]);
    run(&mut promtool, &scrapes)?;
    Ok(())
}

/// The files of tests of the rules.
fn rule_tests(tree: &Path) -> Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = fs::read_dir(tree.join("deploy"))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.retain(|file| file.to_string_lossy().ends_with("_test.yaml"));
    files.sort();
    ensure!(!files.is_empty(), "there is no deploy/*_test.yaml");
    Ok(files)
}

fn all_rules(tree: &Path) -> Result<Vec<Value>> {
    let mut all = Vec::new();
    for file in [RULES, PLATFORM_RULES] {
        let rules = yaml(&tree.join(file))?;
        let of_file = list(&rules["groups"])
            .iter()
            .flat_map(|group| list(&group["rules"]).to_owned());
        all.extend(of_file);
    }
    Ok(all)
}

fn alerts(tree: &Path) -> Result<Vec<(String, Value)>> {
    let alerts: Vec<(String, Value)> = all_rules(tree)?
        .into_iter()
        .filter_map(|rule| Some((rule["alert"].as_str()?.to_owned(), rule)))
        .collect();
    ensure!(!alerts.is_empty(), "no rule is an alert");
    Ok(alerts)
}

/// The dashboard's expressions, as Grafana would send them.
fn dashboard(tree: &Path) -> Result<Vec<String>> {
    let dashboard: Value = serde_json::from_slice(&fs::read(tree.join(DASHBOARD))?)?;
    let mut expressions = Vec::new();
    for panel in list(&dashboard["panels"]) {
        let targets = list(&panel["targets"]);
        ensure!(
            !targets.is_empty(),
            "the panel {} asks nothing",
            panel["title"]
        );
        for target in targets {
            expressions.push(text(&target["expr"])?.replace("$__rate_interval", "5m"));
        }
    }
    Ok(expressions)
}

/// The metrics of a text exposition, and what Prometheus adds to each series.
fn exposed(exposition: &str) -> Metrics {
    let mut metrics = Metrics::new();
    for line in exposition.lines().filter(|line| !line.starts_with('#')) {
        let end = line.find(['{', ' ']).unwrap_or(line.len());
        let labels = metrics
            .entry(line[..end].to_owned())
            .or_insert_with(target_labels);
        // `name="value"`: no value of ours has a quote.
        let names = line[end..].split('"').step_by(2);
        labels.extend(
            names
                .filter_map(|part| part.strip_suffix('='))
                .map(|name| name.trim_start_matches(['{', ',']).to_owned()),
        );
    }
    metrics
}

fn target_labels() -> BTreeSet<String> {
    TARGET_LABELS.map(str::to_owned).into()
}

/// What reads YAML and PromQL.
fn reader() -> Result<Command> {
    let mut python = Command::new(tools::python::environment("observability")?.join("python"));
    python.arg(root().join("deploy/tests/src/observability/read.py"));
    Ok(python)
}

fn yaml(file: &Path) -> Result<Value> {
    let json = run(reader()?.arg("yaml").arg(file), "")?;
    Ok(serde_json::from_str(&json)?)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> Result<&str> {
    value
        .as_str()
        .with_context(|| format!("{value} is no text"))
}

/// What `command` prints, to `input`; all that it says, if it fails.
fn run(command: &mut Command, input: &str) -> Result<String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().context("stdin is piped")?;
    stdin.write_all(input.as_bytes())?;
    drop(stdin);
    let output = child.wait_with_output()?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("{stdout}{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_and_labels_of_an_exposition() {
        let metrics = exposed("# HELP a_total b\na_total{x=\"1\",route=\"/{y}\"} 2\nb 1\n");
        let labels = |name: &str| metrics[name].iter().map(String::as_str).collect::<Vec<_>>();
        assert_eq!(
            labels("a_total"),
            ["instance", "job", "namespace", "pod", "route", "x"]
        );
        assert_eq!(labels("b"), ["instance", "job", "namespace", "pod"]);
    }
}
