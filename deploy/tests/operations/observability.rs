//! Checks of what watches the service: the rules and their tests, runbooks, the dashboard, the
//! routes of alerts, and compose.yaml. Each check is of a tree, which a test may have broken.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

use anyhow::{Context, Result, anyhow, ensure};
use deploy_tests::{
    checker::{input, succeeded},
    facts,
    objects::{fields, list, strings, text},
    yaml,
};
use promql_parser::{
    parser::{self, Expr, VectorSelector},
    util::{ExprVisitor, walk_expr},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tools::{python, root};

/// Prometheus's rules of the service, below the tree.
const RULES: &str = "deploy/chart/files/alerts.yaml";

/// Those of the platform.
const PLATFORM_RULES: &str =
    "deploy/platform/addons/kube-prometheus-stack/objects/files/alerts.yaml";

const DASHBOARD: &str = "deploy/chart/files/dashboard.json";

/// Alertmanager's configuration.
const ROUTES: &str = "deploy/alertmanager.yaml";

/// Prometheus's configuration, of compose.yaml.
const SCRAPES: &str = "deploy/compose/prometheus.yaml";

const RUNBOOKS: &str = "docs/runbooks";

/// What an alert of ours may have as its severity.
const SEVERITIES: [&str; 2] = ["page", "ticket"];

/// Metrics, and the labels of each.
type Metrics = BTreeMap<String, BTreeSet<String>>;

/// facts.yaml: its comments say what each is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Facts {
    target_labels: BTreeSet<String>,
    metrics: Metrics,
    receivers: Vec<(String, String, String)>,
}

static FACTS: LazyLock<Facts> = LazyLock::new(|| facts("operations"));

/// The rules are valid, and their tests pass.
pub fn rules(tree: &Path) -> Result<()> {
    let files = [RULES, PLATFORM_RULES].map(|file| tree.join(file));
    succeeded(promtool()?.args(["check", "rules"]).args(files))?;
    let mut tests = rule_tests(tree)?;
    if tree != root() {
        // Those of what is broken: the others pass, as they do in the project, after seconds each.
        let tested = tests
            .iter()
            .map(|file| Ok((file.clone(), is_changed(tree, file)?)));
        let tested = tested.collect::<Result<Vec<_>>>()?.into_iter();
        tests = tested
            .filter_map(|(file, changed)| changed.then_some(file))
            .collect();
    }
    succeeded(promtool()?.args(["test", "rules"]).args(tests))?;
    Ok(())
}

/// Whether a file of tests, or one of rules that it is of, is another one than the project's.
fn is_changed(tree: &Path, tests: &Path) -> Result<bool> {
    let said: Value = yaml(tests)?;
    let rules = strings(&said, "/rule_files").into_iter();
    let mut files: Vec<PathBuf> = rules.map(|file| tests.with_file_name(file)).collect();
    files.push(tests.to_owned());
    for file in files {
        if fs::read(&file)? != fs::read(root().join(file.strip_prefix(tree)?))? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Each alert has a case in which it fires, and one in which it does not.
pub fn cases(tree: &Path) -> Result<()> {
    let (mut fires, mut keeps_quiet) = (BTreeSet::new(), BTreeSet::new());
    for tests in rule_tests(tree)? {
        let tests: Value = yaml(&tests)?;
        let cases = list(&tests, "/tests").iter();
        for case in cases.flat_map(|test| list(test, "/alert_rule_test")) {
            let quiet = list(case, "/exp_alerts").is_empty();
            let seen = if quiet { &mut keeps_quiet } else { &mut fires };
            seen.insert(text(case, "/alertname").to_owned());
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
pub fn runbooks(tree: &Path) -> Result<()> {
    let mut expected = BTreeSet::new();
    for (name, rule) in alerts(tree)? {
        let severity = text(&rule, "/labels/severity");
        let routed = SEVERITIES.contains(&severity);
        ensure!(routed, "{name} has no severity that is routed");
        for annotation in ["summary", "description"] {
            let said = text(&rule, &format!("/annotations/{annotation}"));
            ensure!(!said.is_empty(), "{name} has no {annotation}");
        }
        let runbook = format!("{RUNBOOKS}/{name}.md");
        let url = text(&rule, "/annotations/runbook_url");
        let named = url == runbook;
        ensure!(named, "{name} names the runbook {url:?}, not {runbook}");
        let page = fs::read_to_string(tree.join(&runbook));
        let page = page.with_context(|| format!("{name} has no {runbook}"))?;
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
        let ends = |severity: &&str| title.ends_with(&format!(" ({severity})"));
        let known = !SEVERITIES.iter().any(ends) || expected.contains(&name);
        ensure!(known, "{RUNBOOKS}/{name} is of no alert");
    }
    Ok(())
}

/// Every expression of the dashboard and the rules parses, and asks only for metrics that
/// `exposition` (what `/metrics` answers), Prometheus, the platform's systems or a rule gives, by
/// labels that these have.
pub fn expressions(tree: &Path, exposition: &str) -> Result<()> {
    let mut known = exposed(exposition);
    known.extend(FACTS.metrics.clone());
    let mut expressions = dashboard(tree)?;
    for rule in all_rules(tree)? {
        if let Some(record) = rule["record"].as_str() {
            known.insert(record.to_owned(), BTreeSet::new());
        }
        expressions.push(text(&rule, "/expr").to_owned());
    }
    // Prometheus's own parser, for those that no rule has.
    let rules = expressions
        .iter()
        .map(|expr| json!({"record": "an:expression", "expr": expr}));
    let rules: Vec<Value> = rules.collect();
    let file = json!({"groups": [{"name": "expressions", "rules": rules}]});
    // Without the lint of names that occur twice: here all have one.
    let mut check = promtool()?;
    check.args(["check", "rules", "--lint=none", "/dev/stdin"]);
    succeeded(check.stdin(input(&file.to_string())?))?;
    for expression in &expressions {
        let parsed = parser::parse(expression);
        let parsed = parsed.map_err(|error| anyhow!("{error}, in: {expression}"))?;
        let mut selectors = Selectors(Vec::new());
        walk_expr(&mut selectors, &parsed)?;
        for (name, labels) in selectors.0 {
            let given = known.get(&name);
            let given = given
                .with_context(|| format!("nothing gives the metric {name}, in: {expression}"))?;
            for label in labels {
                let has = given.contains(&label) || FACTS.target_labels.contains(&label);
                ensure!(has, "{name} has no label {label}, in: {expression}");
            }
        }
    }
    Ok(())
}

/// The metrics that an expression asks for, and the labels by which it does.
struct Selectors(Vec<(String, Vec<String>)>);

impl ExprVisitor for Selectors {
    type Error = anyhow::Error;

    fn pre_visit(&mut self, expression: &Expr) -> Result<bool> {
        let (Expr::VectorSelector(selector)
        | Expr::MatrixSelector(parser::MatrixSelector { vs: selector, .. })) = expression
        else {
            return Ok(true);
        };
        let VectorSelector { name, matchers, .. } = selector;
        let by_name = matchers
            .matchers
            .iter()
            .find(|matcher| matcher.name == "__name__");
        let name = name
            .clone()
            .or(by_name.map(|matcher| matcher.value.clone()));
        let labels = matchers.matchers.iter().map(|matcher| matcher.name.clone());
        let labels = labels.filter(|label| label != "__name__").collect();
        self.0
            .push((name.context("a selector names no metric")?, labels));
        Ok(true)
    }
}

/// Alertmanager takes its configuration, and each alert goes to its receiver.
pub fn routes(tree: &Path) -> Result<()> {
    let amtool = || tools::find_or_fetch("amtool").map(Command::new);
    let config = tree.join(ROUTES);
    succeeded(amtool()?.arg("check-config").arg(&config))?;
    for (what, labels, receiver) in &FACTS.receivers {
        let mut test = amtool()?;
        test.args(["config", "routes", "test", "--config.file"])
            .arg(&config)
            .arg(format!("--verify.receivers={receiver}"))
            .arg("alertname=HelloStoreErrors")
            .args(labels.split_whitespace());
        succeeded(&mut test).with_context(|| format!("{what} is misrouted"))?;
    }
    Ok(())
}

/// compose.yaml is as its published schema has it, each image has an exact version, and each
/// file that is mounted is in the tree. Prometheus takes the configuration that it gets.
pub fn compose(tree: &Path) -> Result<()> {
    let file = tree.join("compose.yaml");
    let programs = python::environment("observability")?;
    let mut check = Command::new(programs.join("check-jsonschema"));
    check.args(["--builtin-schema", "vendor.compose-spec"]);
    succeeded(check.arg(&file))?;
    let compose: Value = yaml(&file)?;
    ensure!(compose["services"].is_object(), "there are no services");
    for (name, service) in fields(&compose, "/services") {
        let image = text(service, "/image");
        let tag = image.rsplit_once(':').map_or("", |(_, tag)| tag);
        ensure!(
            image.contains("@sha256:") || tag.contains('.'),
            "{name}'s image {image} has no exact version"
        );
        for volume in list(service, "/volumes") {
            let volume = volume.as_str().context("a volume is no text")?;
            let source = volume.split(':').next().unwrap_or_default();
            let is_ours = source.starts_with("./") && !source.starts_with("./target/");
            ensure!(
                !is_ours || tree.join(source).exists(),
                "{name} mounts {source}, which is not there"
            );
        }
    }
    // The rules are elsewhere in the container. They are checked on their own.
    let mut check = promtool()?;
    check.args(["check", "config", "--syntax-only", "/dev/stdin"]);
    succeeded(check.stdin(File::open(tree.join(SCRAPES))?))?;
    Ok(())
}

fn promtool() -> Result<Command> {
    tools::find_or_fetch("promtool").map(Command::new)
}

/// The files of tests of the rules.
fn rule_tests(tree: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(tree.join("deploy"))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.to_string_lossy().ends_with("_test.yaml"));
    files.sort();
    ensure!(!files.is_empty(), "there is no deploy/*_test.yaml");
    Ok(files)
}

fn all_rules(tree: &Path) -> Result<Vec<Value>> {
    let mut all = Vec::new();
    for file in [RULES, PLATFORM_RULES] {
        let rules: Value = yaml(&tree.join(file))?;
        let groups = list(&rules, "/groups").iter();
        all.extend(groups.flat_map(|group| list(group, "/rules").to_owned()));
    }
    Ok(all)
}

fn alerts(tree: &Path) -> Result<Vec<(String, Value)>> {
    let rules = all_rules(tree)?.into_iter();
    let alerts = rules.filter_map(|rule| Some((rule["alert"].as_str()?.to_owned(), rule)));
    let alerts: Vec<_> = alerts.collect();
    ensure!(!alerts.is_empty(), "no rule is an alert");
    Ok(alerts)
}

/// The dashboard's expressions, as Grafana would send them.
fn dashboard(tree: &Path) -> Result<Vec<String>> {
    let dashboard: Value = serde_json::from_slice(&fs::read(tree.join(DASHBOARD))?)?;
    let mut expressions = Vec::new();
    for panel in list(&dashboard, "/panels") {
        let targets = list(panel, "/targets");
        ensure!(
            !targets.is_empty(),
            "the panel {} asks nothing",
            panel["title"]
        );
        let asked = targets.iter().map(|target| text(target, "/expr"));
        expressions.extend(asked.map(|expr| expr.replace("$__rate_interval", "5m")));
    }
    Ok(expressions)
}

/// The metrics of a text exposition.
fn exposed(exposition: &str) -> Metrics {
    let mut metrics = Metrics::new();
    for line in exposition.lines().filter(|line| !line.starts_with('#')) {
        let end = line.find(['{', ' ']).unwrap_or(line.len());
        let labels = metrics.entry(line[..end].to_owned()).or_default();
        // `name="value"`: no value of ours has a quote.
        let names = line[end..].split('"').step_by(2);
        let names = names.filter_map(|part| part.strip_suffix('='));
        labels.extend(names.map(|name| name.trim_start_matches(['{', ',']).to_owned()));
    }
    metrics
}

/// That [`exposed`] reads names and labels.
pub fn reads_an_exposition() -> Result<()> {
    let metrics = exposed("# HELP a_total b\na_total{x=\"1\",route=\"/{y}\"} 2\nb 1\n");
    let labels = |name: &str| metrics[name].iter().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(labels("a_total"), ["route", "x"]);
    assert!(labels("b").is_empty());
    Ok(())
}
