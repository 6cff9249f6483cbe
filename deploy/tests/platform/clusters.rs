//! The clusters that Cluster API makes, and how Argo CD learns of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::addons;
use deploy_tests::{
    checker::{Checker, Object, name_of, no_problems},
    mutation::{Mutations, fails, replaced, set},
};

/// Where Argo CD has an account's number from; none is in Git.
const ACCOUNT: &str = "cluster.account=000000000000";

/// What is rendered for each cluster, by its name.
type Clusters = BTreeMap<String, Vec<Value>>;

type Test = fn(&Checker) -> Result<(), Failed>;

/// A rule over all clusters. It says what it finds wrong.
type Rule = fn(&Clusters) -> Result<(), String>;

const RULES: [(&str, Rule); 6] = [
    ("what one refers to is there", references),
    ("three zones, and every pool in its own", zones),
    (
        "a version and a service network for all, VPCs apart",
        networks,
    ),
    ("the autoscaler finds every group", groups),
    ("Argo CD gets in, and reads one Secret", registration),
    ("each is called as its file", names),
];

pub fn trials(checker: &Checker, mutations: &Mutations) -> Vec<Trial> {
    let mut trials = Vec::new();
    for custom in [false, true] {
        let what = if custom {
            "custom resources"
        } else {
            "objects"
        };
        let mut add = |name: String, yaml: fn(&Checker, &Path) -> Result<String>, file: PathBuf| {
            let also = checker.clone();
            let trial = Trial::test(format!("{name}: valid {what}"), move || {
                valid(also.checked(&yaml(&also, &file)?)?, custom)
            });
            trials.push(trial.with_ignored_flag(custom && checker.schemas.is_none()));
        };
        for file in addons::clusters() {
            // Of Kubernetes's own kinds, only the registration is: of a cluster that is registered.
            if custom || stem(&file) != "management" {
                add(
                    format!("cluster {}", stem(&file)),
                    |checker, file| rendered(checker, file, &[]),
                    file,
                );
            }
        }
        for (file, kinds) in ARGOCD {
            if kinds.contains(&custom) {
                let name = format!("deploy/platform/{file}");
                add(name, |_, file| read(file), PathBuf::from(file));
            }
        }
    }
    for (name, rule) in RULES {
        let checker = checker.clone();
        trials.push(Trial::test(format!("clusters: {name}"), move || {
            Ok(rule(&all(&checker)?)?)
        }));
    }
    let also = checker.clone();
    trials.push(
        Trial::test(
            "clusters: a field that no schema knows is found",
            move || misspelt(&also),
        )
        .with_ignored_flag(checker.schemas.is_none()),
    );
    for [cluster, object, field, rule, value, says] in mutations.rows("clusters") {
        let checker = checker.clone();
        trials.push(Trial::test(
            format!("clusters: {value} as {field} of {object} fails"),
            move || {
                fails(
                    mutated(&checker, &rule, &cluster, &object, &field, &value),
                    &says,
                )
            },
        ));
    }
    let more: [(&str, Test); 6] = [
        ("clusters: the shim has nodes", the_shim),
        ("clusters: what is no cluster is refused", refused),
        (
            "clusters: the management cluster is made before its roles are",
            without_roles,
        ),
        (
            "clusters: a kubeconfig becomes what Argo CD reads",
            the_template,
        ),
        ("Argo CD: every cluster is delivered", delivered),
        (
            "the bootstrap installs what the add-ons keep",
            the_bootstrap,
        ),
    ];
    for (name, test) in more {
        let checker = checker.clone();
        trials.push(Trial::test(name, move || test(&checker)));
    }
    trials
}

/// The manifests that are applied as they are, and whether they have custom resources.
const ARGOCD: [(&str, &[bool]); 6] = [
    ("argocd/root.yaml", &[true]),
    ("argocd/project.yaml", &[true]),
    ("argocd/platform.yaml", &[true]),
    ("argocd/clusters.yaml", &[true]),
    ("argocd/registration.yaml", &[false, true]),
    ("clusters/bootstrap/management-secret.yaml", &[false]),
];

/// A file of deploy/platform. `envsubst` gives an account's number where it is applied.
fn read(file: impl AsRef<Path>) -> Result<String> {
    let path = tools::root().join("deploy/platform").join(file);
    let mut yaml = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    for stage in ["MANAGEMENT", "DEV", "CANARY", "PRODUCTION"] {
        yaml = yaml.replace(&format!("${{ACCOUNT_{stage}}}"), "000000000000");
    }
    Ok(yaml)
}

fn objects_of(checker: &Checker, file: &str) -> Result<Vec<Value>> {
    let objects = checker.checked(&read(file)?)?;
    Ok(objects.into_iter().map(|object| object.object).collect())
}

fn stem(file: &Path) -> String {
    let name = file.file_stem().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// The chart for one cluster, with the values that Argo CD gives it.
fn rendered(checker: &Checker, file: &Path, settings: &[&str]) -> Result<String> {
    let chart = tools::root().join("deploy/platform/clusters");
    let own = chart
        .join("clusters")
        .join(file.file_name().unwrap_or_default());
    let mut all = vec![ACCOUNT];
    all.extend(settings);
    checker.render_chart(&chart, &[file.to_owned(), own], &all)
}

fn all(checker: &Checker) -> Result<Clusters> {
    let one = |file: &PathBuf| {
        let objects = checker.checked(&rendered(checker, file, &[])?)?;
        let objects = objects.into_iter().map(|object| object.object).collect();
        Ok((stem(file), objects))
    };
    addons::clusters().iter().map(one).collect()
}

fn valid(objects: Vec<Object>, custom: bool) -> Result<(), Failed> {
    if !objects.iter().any(|object| object.custom == custom) {
        return Err("there is nothing to check".into());
    }
    no_problems(&objects, custom)
}

fn of_kind<'a>(objects: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    objects.iter().filter(move |object| object["kind"] == kind)
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or("nothing")
}

fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

fn only<'a>(objects: &'a [Value], kind: &'a str) -> Result<&'a Value, String> {
    let mut found = of_kind(objects, kind);
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(format!("there is no {kind}")),
        _ => Err(format!("there are two of {kind}")),
    }
}

fn references(clusters: &Clusters) -> Result<(), String> {
    for objects in clusters.values() {
        let mut wanted = Vec::new();
        for cluster in of_kind(objects, "Cluster") {
            for field in ["infrastructureRef", "controlPlaneRef"] {
                let to = &cluster["spec"][field];
                wanted.push((cluster, text(to, "/kind"), text(to, "/name")));
            }
        }
        for pool in of_kind(objects, "MachinePool") {
            let spec = &pool["spec"]["template"]["spec"];
            let to = &spec["infrastructureRef"];
            wanted.push((pool, text(to, "/kind"), text(to, "/name")));
            wanted.push((pool, "Cluster", text(spec, "/clusterName")));
            wanted.push((pool, "Cluster", text(pool, "/spec/clusterName")));
        }
        for plane in of_kind(objects, "AWSManagedControlPlane") {
            let to = &plane["spec"]["identityRef"];
            // CAPA makes the controller's own identity by itself.
            if text(to, "/kind") != "AWSClusterControllerIdentity" {
                wanted.push((plane, text(to, "/kind"), text(to, "/name")));
            }
        }
        if wanted.len() < 9 {
            return Err("the pools are gone".to_owned());
        }
        for (from, kind, to) in wanted {
            if !of_kind(objects, kind).any(|object| name(object) == to) {
                return Err(format!(
                    "{} refers to {kind} {to}, which is not rendered",
                    name_of(from)
                ));
            }
        }
    }
    Ok(())
}

fn zones(clusters: &Clusters) -> Result<(), String> {
    for (cluster, objects) in clusters {
        let plane = &only(objects, "AWSManagedControlPlane")?["spec"];
        let subnets: BTreeMap<&str, &str> = plane["network"]["subnets"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|subnet| (text(subnet, "/id"), text(subnet, "/availabilityZone")))
            .collect();
        for zone in subnets.values() {
            if !zone.starts_with(text(plane, "/region")) {
                return Err(format!("{cluster} is in {zone}"));
            }
        }
        let count = |of: &[&str]| {
            let zones: BTreeSet<_> = of.iter().filter_map(|id| subnets.get(id)).collect();
            zones.len()
        };
        let every: Vec<&str> = subnets.keys().copied().collect();
        if count(&every) != 3 {
            return Err(format!("{cluster} has {} zones", count(&every)));
        }
        // By what its nodes are labelled with: the pools of a zone each are one together.
        let mut pools: BTreeMap<String, (String, Vec<&str>)> = BTreeMap::new();
        for pool in of_kind(objects, "AWSManagedMachinePool") {
            let ids = pool["spec"]["subnetIDs"].as_array().into_iter().flatten();
            let ids: Vec<&str> = ids.filter_map(Value::as_str).collect();
            if ids.is_empty() || !ids.iter().all(|id| subnets.contains_key(id)) {
                return Err(format!(
                    "{} is in a subnet that {cluster} does not have",
                    name(pool)
                ));
            }
            let together = pools.entry(pool["spec"]["labels"].to_string());
            let together = together.or_insert_with(|| (name(pool).to_owned(), Vec::new()));
            together.1.extend(ids);
        }
        for (pool, ids) in pools.values() {
            if count(ids) != 3 {
                return Err(format!("{pool} is in {} zone", count(ids)));
            }
        }
    }
    Ok(())
}

/// The first and the last address of a block.
fn range(block: &str) -> Option<(u32, u32)> {
    let (address, bits) = block.split_once('/')?;
    let address = u32::from(address.parse::<Ipv4Addr>().ok()?);
    let hosts = u32::MAX.checked_shr(bits.parse().ok()?).unwrap_or(0);
    Some((address & !hosts, address | hosts))
}

fn overlap(one: &str, other: &str) -> Result<bool, String> {
    let no = |block: &str| format!("{block} is no block of addresses");
    let one = range(one).ok_or_else(|| no(one))?;
    let other = range(other).ok_or_else(|| no(other))?;
    Ok(one.0 <= other.1 && other.0 <= one.1)
}

fn networks(clusters: &Clusters) -> Result<(), String> {
    let mut versions = BTreeSet::new();
    let mut vpcs: Vec<(&str, &str)> = Vec::new();
    for (cluster, objects) in clusters {
        let plane = only(objects, "AWSManagedControlPlane")?;
        versions.insert(text(plane, "/spec/version"));
        for pool in of_kind(objects, "MachinePool") {
            versions.insert(text(pool, "/spec/template/spec/version"));
        }
        vpcs.push((cluster, text(plane, "/spec/network/vpc/cidrBlock")));
    }
    if versions.len() != 1 {
        let versions: Vec<_> = versions.into_iter().collect();
        return Err(format!("not one version: {}", versions.join(", ")));
    }
    for (place, (one, block)) in vpcs.iter().enumerate() {
        // Clusters are peered, and the mesh spans them.
        for (other, second) in &vpcs[place + 1..] {
            if overlap(block, second)? {
                return Err(format!("{one} and {other} have both {second}"));
            }
        }
        for (cluster, objects) in clusters {
            let services = "/spec/clusterNetwork/services/cidrBlocks/0";
            if overlap(block, text(only(objects, "Cluster")?, services))? {
                return Err(format!("the services of {cluster} are in the VPC of {one}"));
            }
        }
    }
    Ok(())
}

fn groups(clusters: &Clusters) -> Result<(), String> {
    for (cluster, objects) in clusters {
        for pool in of_kind(objects, "MachinePool") {
            let by = "cluster.x-k8s.io/replicas-managed-by";
            if pool["metadata"]["annotations"][by] != "external-autoscaler" {
                return Err(format!("{} is not left to the autoscaler", name(pool)));
            }
            let mut all = of_kind(objects, "AWSManagedMachinePool");
            let group = all
                .find(|group| name(group) == name(pool))
                .ok_or_else(|| format!("{} has no group", name(pool)))?;
            let least = &group["spec"]["scaling"]["minSize"];
            if &pool["spec"]["replicas"] != least {
                return Err(format!("{} begins with other than {least}", name(pool)));
            }
        }
        for group in of_kind(objects, "AWSManagedMachinePool") {
            let tags = &group["spec"]["additionalTags"];
            for (tag, value) in [("enabled", "true"), (cluster.as_str(), "owned")] {
                let tag = format!("k8s.io/cluster-autoscaler/{tag}");
                if tags[&tag] != value {
                    return Err(format!("{} lacks the tag {tag}", name(group)));
                }
            }
        }
    }
    Ok(())
}

fn registration(clusters: &Clusters) -> Result<(), String> {
    for (cluster, objects) in clusters {
        let plane = only(objects, "AWSManagedControlPlane")?;
        let principals = plane["spec"]["accessEntries"].as_array();
        let principals = principals.into_iter().flatten();
        let principals: Vec<&str> = principals
            .map(|entry| text(entry, "/principalARN"))
            .collect();
        if cluster == "management" {
            let external = of_kind(objects, "ExternalSecret").count();
            if external > 0 || principals != ["arn:aws:iam::000000000000:role/management-capa"] {
                return Err(format!("management lets in {principals:?}"));
            }
            continue;
        }
        let argocd = format!("arn:aws:iam::000000000000:role/{cluster}-argocd");
        let external = only(objects, "ExternalSecret")?;
        let config = text(external, "/spec/target/template/data/config");
        if principals != [argocd.as_str()] || !config.contains(&argocd) {
            return Err(format!("{cluster} lets in {principals:?}"));
        }
        let reads = text(external, "/spec/data/0/remoteRef/key");
        let may = &only(objects, "Role")?["rules"][0]["resourceNames"];
        if reads != format!("{cluster}-kubeconfig") || may != &json!([reads]) {
            return Err(format!(
                "{cluster} is read from {reads}, and {may} may be read"
            ));
        }
    }
    Ok(())
}

fn names(clusters: &Clusters) -> Result<(), String> {
    let directory = tools::root().join("deploy/platform/clusters/clusters");
    let files = fs::read_dir(directory).map_err(|error| error.to_string())?;
    let mut files: Vec<String> = files
        .filter_map(|entry| Some(stem(&entry.ok()?.path())))
        .collect();
    files.sort();
    if !files.iter().eq(clusters.keys()) {
        return Err(format!("files for {files:?} alone"));
    }
    for (cluster, objects) in clusters {
        let plane = only(objects, "AWSManagedControlPlane")?;
        let called = [
            name(only(objects, "Cluster")?),
            name(plane),
            text(plane, "/spec/eksClusterName"),
        ];
        for called in called {
            if called != cluster {
                return Err(format!("{cluster} is called {called}"));
            }
        }
    }
    Ok(())
}

fn misspelt(checker: &Checker) -> Result<(), Failed> {
    let file = tools::root().join("deploy/platform/addons/clusters/dev.yaml");
    let yaml = replaced(
        &rendered(checker, &file, &[])?,
        "publicCIDRs:",
        "publicCidrs:",
    )?;
    let valid = valid(checker.checked(&yaml)?, true);
    let failed =
        valid.map_err(|failed| anyhow::anyhow!("{}", failed.message().unwrap_or_default()));
    fails(failed, "'publicCidrs' was unexpected")
}

/// Checks the rule of all clusters with another `value` in the `field` of an object of one.
fn mutated(
    checker: &Checker,
    rule: &str,
    cluster: &str,
    object: &str,
    field: &str,
    value: &str,
) -> Result<()> {
    let (_, rule) = RULES
        .iter()
        .find(|(name, _)| *name == rule)
        .context("there is that rule")?;
    let mut clusters = all(checker)?;
    let objects = clusters.get_mut(cluster).context("there is that cluster")?;
    let found = objects.iter_mut().find(|found| name_of(found) == object);
    set(
        found.context("there is that object")?,
        field,
        serde_json::from_str(value)?,
    )?;
    rule(&clusters).map_err(anyhow::Error::msg)
}

/// The Shim's nodes, and that a SpinApp is let onto them: nothing gives it a toleration.
fn shim_has_nodes(cluster: &str, objects: &[Value], shim: &Value) -> Result<(), String> {
    let selector = shim["spec"]["nodeSelector"].as_object();
    let selector = selector.filter(|selector| !selector.is_empty());
    let selector = selector.ok_or("the Shim selects every node")?;
    let pools: Vec<&Value> = of_kind(objects, "AWSManagedMachinePool")
        .filter(|pool| {
            let labels = &pool["spec"]["labels"];
            selector
                .iter()
                .all(|(label, value)| &labels[label] == value)
        })
        .collect();
    if pools.is_empty() {
        return Err(format!("no pool of {cluster} has nodes for the Shim"));
    }
    for pool in pools {
        let taints = pool["spec"]["taints"].as_array().into_iter().flatten();
        for taint in taints {
            if taint["effect"] != "prefer-no-schedule" {
                return Err(format!("{} lets no SpinApp in", name(pool)));
            }
        }
        let architecture = text(pool, "/spec/amiType").contains("x86_64");
        let architecture = if architecture { "amd64" } else { "arm64" };
        let platforms = shim["spec"]["fetchStrategy"]["platforms"].as_array();
        let platform = platforms
            .into_iter()
            .flatten()
            .find(|platform| platform["arch"] == architecture);
        let digest = platform.map_or(0, |platform| text(platform, "/sha256").len());
        if digest != 64 {
            return Err(format!("no shim is named by digest for {architecture}"));
        }
    }
    // The installer unpacks `containerd-shim-NAME`.
    let handler = text(shim, "/spec/runtimeClass/handler");
    let url = text(shim, "/spec/fetchStrategy/platforms/0/location");
    if name(shim) != handler || !url.contains(&format!("containerd-shim-{handler}-")) {
        return Err(format!("the Shim {} installs {url}", name(shim)));
    }
    Ok(())
}

fn the_shim(checker: &Checker) -> Result<(), Failed> {
    let clusters = all(checker)?;
    let values = fs::read_to_string(tools::root().join("deploy/chart/values.yaml"))?;
    for file in addons::clusters() {
        let added = addons::render(checker, &file, &[])?;
        let cluster = &added.cluster;
        let Some(shim) = addons::of_kind(&added, "Shim").next() else {
            assert_eq!(cluster, "management", "it has no Shim");
            continue;
        };
        let objects = &clusters[cluster];
        shim_has_nodes(cluster, objects, shim)?;
        let class = text(shim, "/spec/runtimeClass/name");
        if !values.contains(&format!("runtimeClassName: {class}\n")) {
            return Err(format!("deploy/chart does not run on {class}").into());
        }
        let breaks: [(&str, Value, &str); 4] = [
            (
                "/spec/nodeSelector",
                json!({"hello.example.com/runtime": "wasm"}),
                "has nodes for the Shim",
            ),
            ("/spec/nodeSelector", json!({}), "selects every node"),
            (
                "/spec/fetchStrategy/platforms/0/sha256",
                json!(""),
                "by digest for amd64",
            ),
            ("/metadata/name", json!("spin"), "the Shim spin installs"),
        ];
        for (field, value, sentence) in breaks {
            let mut other = shim.clone();
            *other.pointer_mut(field).ok_or("the Shim lacks it")? = value;
            fails(
                shim_has_nodes(cluster, objects, &other).map_err(anyhow::Error::msg),
                sentence,
            )?;
        }
        let mut tainted = objects.clone();
        for object in &mut tainted {
            if let Some(effect) = object.pointer_mut("/spec/taints/0/effect") {
                *effect = json!("no-schedule");
            }
        }
        fails(
            shim_has_nodes(cluster, &tainted, shim),
            "lets no SpinApp in",
        )?;
    }
    Ok(())
}

fn refused(checker: &Checker) -> Result<(), Failed> {
    let file = tools::root().join("deploy/platform/addons/clusters/dev.yaml");
    rendered(checker, &file, &[])?;
    let settings = [
        ("cluster.account=12345678", "account"),
        ("network.vpc=dev", "vpc"),
        ("network.subnets.eu-central-1c=null", "subnets"),
        ("network.subnet=subnet-0123456789abcde21", "subnet"),
        ("publicAccess.people[0]=0.0.0.0/0", "people"),
        ("publicAccess.management[0]=198.51.0.0/16", "management"),
        ("kmsKey=alias/hello", "kmsKey"),
        ("kubernetesVersion=1.35", "kubernetesVersion"),
        ("addons[0].version=latest", "version"),
        ("pools.spin.scaling.least=3", "scaling"),
    ];
    for (setting, named) in settings {
        let said = match rendered(checker, &file, &[setting]) {
            Err(error) => format!("{error:#}"),
            Ok(_) => return Err(format!("{setting} is rendered").into()),
        };
        if !said.contains("schema") || !said.contains(named) {
            return Err(format!("{setting}: {said}").into());
        }
    }
    Ok(())
}

/// `irsa: false` leaves out what names a role that cannot be there yet.
fn without_roles(checker: &Checker) -> Result<(), Failed> {
    let file = tools::root().join("deploy/platform/addons/clusters/management.yaml");
    let render = |settings: &[&str]| -> Result<(String, Vec<Object>)> {
        let yaml = rendered(checker, &file, settings)?;
        let objects = checker.checked(&yaml)?;
        Ok((yaml, objects))
    };
    let roles = |yaml: &str| yaml.matches(":role/").count();
    let (before, objects) = render(&["irsa=false"])?;
    valid(objects, true)?;
    assert_eq!(roles(&before), 0, "{before}");
    let (after, _) = render(&[])?;
    assert_eq!(roles(&after), 2, "Cluster API's, and that of volumes");
    Ok(())
}

/// Helm's templates are those of External Secrets: Go's, with the same functions.
fn the_template(checker: &Checker) -> Result<(), Failed> {
    let clusters = all(checker)?;
    let kubeconfig = "apiVersion: v1\nkind: Config\nclusters:\n- name: dev\n  cluster:\n    \
                      certificate-authority-data: QVVUSE9SSVRZ\n    server: https://one.example.com\n\
                      users:\n- name: dev\n  user: {token: a-secret}\n";
    for (cluster, objects) in clusters {
        let Ok(external) = only(&objects, "ExternalSecret") else {
            assert_eq!(cluster, "management");
            continue;
        };
        let data = &external["spec"]["target"]["template"]["data"];
        let directory = TempDir::new()?;
        fs::create_dir(directory.path().join("templates"))?;
        fs::write(
            directory.path().join("Chart.yaml"),
            "apiVersion: v2\nname: template\nversion: 0.1.0\n",
        )?;
        fs::write(
            directory.path().join("values.yaml"),
            json!({"kubeconfig": kubeconfig}).to_string(),
        )?;
        let template: String = ["name", "server", "config"]
            .iter()
            .map(|key| {
                let text = text(data, &format!("/{key}"));
                format!("  {key}: |-\n    {}\n", text.trim().replace('\n', "\n    "))
            })
            .collect();
        fs::write(
            directory.path().join("templates/secret.yaml"),
            format!(
                "{{{{- with .Values }}}}\napiVersion: v1\nkind: Secret\nmetadata: {{name: made}}\n\
                 stringData:\n{template}{{{{- end }}}}\n"
            ),
        )?;
        let made = checker.render_chart(directory.path(), &[], &[])?;
        let made = &checker.checked(&made)?[0].object["stringData"];
        assert_eq!(made["name"], json!(cluster));
        assert_eq!(made["server"], "https://one.example.com");
        let config: Value = serde_json::from_str(text(made, "/config"))?;
        assert_eq!(
            config,
            json!({
                "awsAuthConfig": {
                    "clusterName": cluster,
                    "roleARN": format!("arn:aws:iam::000000000000:role/{cluster}-argocd"),
                },
                "tlsClientConfig": {"caData": "QVVUSE9SSVRZ"},
            })
        );
        assert!(!made.to_string().contains("a-secret"), "it has the token");
        let labels = &external["spec"]["target"]["template"]["metadata"]["labels"];
        assert_eq!(labels["argocd.argoproj.io/secret-type"], "cluster");
        assert_eq!(labels["hello.example.com/role"], "workload");
    }
    Ok(())
}

/// Each cluster is among the project's destinations, its stage among the steps, and its account
/// known; the paths that Argo CD reads are there.
fn deliverable(
    project: &Value,
    platform: &Value,
    secret: &Value,
    clusters: &[(String, String)],
) -> Result<(), String> {
    let destinations = project["spec"]["destinations"].as_array();
    let mut named: Vec<&str> = destinations
        .into_iter()
        .flatten()
        .map(|destination| text(destination, "/name"))
        .collect();
    named.sort_unstable();
    let expected: Vec<&str> = clusters.iter().map(|(name, _)| name.as_str()).collect();
    if named != expected {
        return Err(format!("the project goes to {named:?}"));
    }
    let steps = platform["spec"]["strategy"]["rollingSync"]["steps"].as_array();
    let steps: Vec<&str> = steps
        .into_iter()
        .flatten()
        .map(|step| text(step, "/matchExpressions/0/values/0"))
        .collect();
    if steps != ["management", "dev", "canary", "production"] {
        return Err(format!("the stages are {steps:?}"));
    }
    for (cluster, stage) in clusters {
        let account = format!("hello.example.com/account-{stage}");
        if !steps.contains(&stage.as_str())
            || secret["metadata"]["annotations"][&account] != "000000000000"
        {
            return Err(format!("{cluster} is in no stage that has an account"));
        }
    }
    Ok(())
}

fn delivered(checker: &Checker) -> Result<(), Failed> {
    let project = objects_of(checker, "argocd/project.yaml")?;
    let platform = objects_of(checker, "argocd/platform.yaml")?;
    let making = objects_of(checker, "argocd/clusters.yaml")?;
    let root = objects_of(checker, "argocd/root.yaml")?;
    let store = objects_of(checker, "argocd/registration.yaml")?;
    let secret = objects_of(checker, "clusters/bootstrap/management-secret.yaml")?;
    let rendered = all(checker)?;
    let mut clusters = Vec::new();
    for (cluster, objects) in &rendered {
        let stage = &only(objects, "Cluster")?["metadata"]["labels"]["hello.example.com/stage"];
        let stage = stage.as_str().ok_or("it has no stage")?;
        clusters.push((cluster.clone(), stage.to_owned()));
        // As Argo CD resolves them.
        for set in [&platform[0], &making[0]] {
            let source = &set["spec"]["template"]["spec"]["source"];
            let chart = tools::root().join(text(source, "/path"));
            let files = source["helm"]["valueFiles"].as_array();
            for file in files.ok_or("there are no values")? {
                let file = file.as_str().unwrap_or_default();
                let file = file.replace("{{ .name }}", cluster);
                let file = chart.join(file.replace("{{ .cluster.name }}", cluster));
                if !file.is_file() {
                    return Err(format!("there is no {}", file.display()).into());
                }
            }
            let parameter = &source["helm"]["parameters"][0];
            assert_eq!(parameter["name"], "cluster.account");
            assert_eq!(parameter["forceString"], true, "it may begin with a 0");
        }
    }
    deliverable(&project[0], &platform[0], &secret[0], &clusters)?;
    for source in root[0]["spec"]["sources"].as_array().ok_or("no sources")? {
        let directory = tools::root().join(text(source, "/path"));
        if !directory.is_dir() {
            return Err(format!("there is no {}", directory.display()).into());
        }
    }
    let excluded = text(&root[0], "/spec/sources/0/directory/exclude");
    assert_eq!(excluded, "root.yaml", "it would wait for its own end");
    // Who reads, where from, and who lets it.
    let dev = &rendered["dev"];
    let external = only(dev, "ExternalSecret")?;
    let subject = &only(dev, "RoleBinding")?["subjects"][0];
    let read_by = &store[1]["spec"]["provider"]["kubernetes"];
    assert_eq!(text(external, "/spec/secretStoreRef/name"), name(&store[1]));
    assert_eq!(subject["name"], store[0]["metadata"]["name"]);
    assert_eq!(subject["namespace"], store[0]["metadata"]["namespace"]);
    assert_eq!(text(read_by, "/auth/serviceAccount/name"), name(&store[0]));
    let namespace = &making[0]["spec"]["template"]["spec"]["destination"]["namespace"];
    assert_eq!(&read_by["remoteNamespace"], namespace);

    let mut other = project[0].clone();
    other["spec"]["destinations"][1]["name"] = json!("stage");
    let said = deliverable(&other, &platform[0], &secret[0], &clusters);
    fails(said, "the project goes to")?;
    let mut other = platform[0].clone();
    other["spec"]["strategy"]["rollingSync"]["steps"][0] = Value::Null;
    let said = deliverable(&project[0], &other, &secret[0], &clusters);
    fails(said, "the stages are")?;
    let mut other = secret[0].clone();
    other["metadata"]["annotations"]["hello.example.com/account-canary"] = Value::Null;
    let said = deliverable(&project[0], &platform[0], &other, &clusters);
    fails(said, "canary is in no stage that has an account")
}

/// What the commands of the bootstrap install, and what Argo CD keeps afterwards.
fn same_versions(readme: &str, clusterctl: &Value, added: &addons::Rendered) -> Result<(), String> {
    let application = |addon: &str| {
        let name = format!("management-{addon}");
        let found = added
            .applications
            .iter()
            .find(|found| text(&found.object, "/metadata/name") == name);
        let found = found.ok_or_else(|| format!("there is no {name}"))?;
        Ok::<_, String>(&found.object["spec"]["sources"][0])
    };
    let argocd = application("argocd")?;
    let providers = &application("cluster-api")?["helm"]["valuesObject"];
    let said = [
        format!("--repo {}", text(argocd, "/repoURL")),
        format!("--version {}", text(argocd, "/targetRevision")),
        format!(
            "--core cluster-api:{}",
            text(providers, "/core/cluster-api/version")
        ),
        format!(
            "--infrastructure aws:{}",
            text(providers, "/infrastructure/aws/version")
        ),
    ];
    for command in said {
        if !readme.contains(&command) {
            return Err(format!("the bootstrap does not say `{command}`"));
        }
    }
    let certificates = text(application("cert-manager")?, "/targetRevision");
    if clusterctl["cert-manager"]["version"] != certificates {
        return Err(format!(
            "clusterctl installs another cert-manager than {certificates}"
        ));
    }
    let variables = addons::of_kind(added, "Secret")
        .find(|secret| name(secret) == "capa-variables")
        .ok_or("CAPA has no variables")?;
    for (variable, value) in clusterctl.as_object().into_iter().flatten() {
        if variable != "cert-manager" && &variables["stringData"][variable] != value {
            return Err(format!("{variable} is another one for clusterctl"));
        }
    }
    // The links to deploy/argocd.
    let values = &argocd["helm"]["valuesObject"]["configs"];
    for (part, key) in [
        (
            "cm",
            "resource.customizations.health.core.spinkube.dev_SpinApp",
        ),
        (
            "cm",
            "resource.customizations.health.argoproj.io_Application",
        ),
        (
            "params",
            "applicationsetcontroller.enable.progressive.syncs",
        ),
    ] {
        if !values[part][key].is_string() {
            return Err(format!("Argo CD does not get {key}"));
        }
    }
    Ok(())
}

fn the_bootstrap(checker: &Checker) -> Result<(), Failed> {
    let readme = read("clusters/bootstrap/README.md")?;
    let file = tools::root().join("deploy/platform/addons/clusters/management.yaml");
    let mut added = addons::render(checker, &file, &[])?;
    // It is no object of Kubernetes: as the data of one, the same reader takes it.
    let clusterctl = read("clusters/bootstrap/clusterctl.yaml")?;
    let clusterctl = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: clusterctl}}\ndata:\n  {}",
        clusterctl.replace('\n', "\n  ")
    );
    let mut clusterctl = checker.checked(&clusterctl)?[0].object["data"].take();
    same_versions(&readme, &clusterctl, &added)?;

    let old = readme.replace("aws:v", "aws:v1.");
    fails(same_versions(&old, &clusterctl, &added), "--infrastructure")?;
    let gates = clusterctl["EXP_MACHINE_POOL"].take();
    fails(
        same_versions(&readme, &clusterctl, &added),
        "EXP_MACHINE_POOL",
    )?;
    clusterctl["EXP_MACHINE_POOL"] = gates;
    clusterctl["cert-manager"]["version"] = json!("v1.0.0");
    fails(same_versions(&readme, &clusterctl, &added), "cert-manager")?;
    for application in &mut added.applications {
        if let Some(values) = application
            .object
            .pointer_mut("/spec/sources/0/helm/valuesObject/configs/cm")
        {
            *values = json!({});
        }
    }
    let clusterctl = json!({"cert-manager": {"version": text(&added
        .applications
        .iter()
        .find(|found| name(&found.object) == "management-cert-manager")
        .ok_or("there is no cert-manager")?
        .object, "/spec/sources/0/targetRevision")}});
    fails(
        same_versions(&readme, &clusterctl, &added),
        "Argo CD does not get",
    )
}
