//! The clusters that Cluster API makes, and how Argo CD learns of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use deploy_tests::{
    checker::{Checker, Object, no_problems},
    mutation::{Mutations, fails, replaced, rewritten, set},
    objects::{fields, list, name, named, of_kind, only, strings, text, title},
    once::Once,
    stem, yaml_files,
};
use libtest_mimic::Trial;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tempfile::TempDir;
use tools::root;

use crate::addons::{self, ACCOUNT, Rendered};

/// What is rendered for each cluster, by its name.
type Clusters = BTreeMap<String, Vec<Value>>;

/// A rule over all clusters.
type Rule = fn(&Clusters) -> Result<()>;

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

/// The manifests that are applied as they are, and whether they have objects of Kubernetes's own
/// kinds (false) and custom resources (true).
const APPLIED: [(&str, &[bool]); 6] = [
    ("argocd/root.yaml", &[true]),
    ("argocd/project.yaml", &[true]),
    ("argocd/platform.yaml", &[true]),
    ("argocd/clusters.yaml", &[true]),
    ("argocd/registration.yaml", &[false, true]),
    ("clusters/bootstrap/management-secret.yaml", &[false]),
];

pub fn trials(checker: &Checker, mutations: &Mutations) -> Vec<Trial> {
    let mut trials = Vec::new();
    for (custom, kind) in [(false, "objects"), (true, "custom resources")] {
        // Of Kubernetes's own kinds, only the registration is: of a cluster that is registered.
        let has = |file: &PathBuf| custom || stem(file) != "management";
        for file in addons::clusters().into_iter().filter(has) {
            let title = format!("cluster {}: valid {kind}", stem(&file));
            trials.push(checker.trial_of(custom, title, move |checker| {
                valid(
                    &checker.checked(&rendered(checker, &stem(&file), &[])?)?,
                    custom,
                )
            }));
        }
        for (file, _) in APPLIED.iter().filter(|(_, kinds)| kinds.contains(&custom)) {
            let title = format!("deploy/platform/{file}: valid {kind}");
            trials.push(checker.trial_of(custom, title, move |checker| {
                valid(&checker.checked(&read(file)?)?, custom)
            }));
        }
    }
    for (name, rule) in RULES {
        trials.push(checker.trial(format!("clusters: {name}"), move |checker| {
            rule(all(checker)?)
        }));
        for [cluster, object, pointer, value, says] in mutations.rows(&format!("clusters, {name}"))
        {
            let title = format!("clusters: {value} at {pointer} of {object} fails");
            trials.push(checker.trial(title, move |checker| {
                let mut clusters = all(checker)?.clone();
                let objects = clusters
                    .get_mut(&cluster)
                    .context("there is no such cluster")?;
                set(objects, &object, &pointer, &value)?;
                fails(rule(&clusters), &says)
            }));
        }
    }
    trials.push(checker.trial_of(
        true,
        "clusters: a field that no schema knows fails",
        misspelt,
    ));
    for [setting, says] in mutations.rows("clusters, refused") {
        trials.push(
            checker.trial(format!("clusters: {setting} is refused"), move |checker| {
                rendered(checker, "dev", &[])?;
                fails(rendered(checker, "dev", &[&setting]), &says)
            }),
        );
    }
    trials.push(checker.trial(
        "clusters: the management cluster is made before its roles are",
        without_roles,
    ));
    trials.push(checker.trial(
        "clusters: a kubeconfig becomes what Argo CD reads",
        the_template,
    ));
    let what = "clusters: the shim has nodes";
    trials.push(checker.trial(what, |checker| the_shims(&with_shims(checker)?)));
    for [how, from, to, says] in mutations.rows(what) {
        trials.push(
            checker.trial(format!("{what}: {how} fails"), move |checker| {
                let mut clusters = rewritten(&with_shims(checker)?, &from, &to)?;
                clusters.remove("management");
                // In each of them: the first that fails would hide the others.
                let mut clusters = clusters.iter();
                clusters.try_for_each(|(cluster, objects)| {
                    fails(shim_has_nodes(cluster, objects), &says).context(cluster.clone())
                })
            }),
        );
    }
    let what = "Argo CD: every cluster is delivered";
    trials.extend(mutations.trials_of(checker, what, delivery, delivered));
    let what = "the bootstrap installs what the add-ons keep";
    trials.extend(mutations.trials_of(checker, what, bootstrap, same_versions));
    trials
}

/// A file of deploy/platform. `envsubst` gives an account's number where it is applied.
fn read(file: &str) -> Result<String> {
    let path = root().join("deploy/platform").join(file);
    let mut yaml = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    for stage in ["MANAGEMENT", "DEV", "CANARY", "PRODUCTION"] {
        yaml = yaml.replace(&format!("${{ACCOUNT_{stage}}}"), "000000000000");
    }
    Ok(yaml)
}

/// The chart for one cluster, with the values that Argo CD gives it.
fn rendered(checker: &Checker, cluster: &str, settings: &[&str]) -> Result<String> {
    let values = ["addons", "clusters"];
    let values = values.map(|of| format!("deploy/platform/{of}/clusters/{cluster}.yaml").into());
    let settings = [&[ACCOUNT], settings].concat();
    checker.render_chart("deploy/platform/clusters", &values, &settings)
}

fn all(checker: &Checker) -> Result<&'static Clusters> {
    static ALL: Once<Clusters> = Once::new();
    ALL.get("", || {
        let one = |file: PathBuf| {
            let objects = checker.checked(&rendered(checker, &stem(&file), &[])?)?;
            let objects = objects.into_iter().map(|object| object.object);
            Ok((stem(&file), objects.collect()))
        };
        addons::clusters().into_iter().map(one).collect()
    })
}

fn valid(objects: &[Object], custom: bool) -> Result<()> {
    let some = objects.iter().any(|object| object.custom == custom);
    ensure!(some, "there is nothing to check");
    no_problems(objects, custom)
}

fn references(clusters: &Clusters) -> Result<()> {
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
            if to["kind"] != "AWSClusterControllerIdentity" {
                wanted.push((plane, text(to, "/kind"), text(to, "/name")));
            }
        }
        ensure!(wanted.len() >= 9, "the pools are gone");
        for (from, kind, to) in wanted {
            let from = title(from);
            named(objects, kind, to)
                .with_context(|| format!("{from} refers to {kind} {to}, which is not rendered"))?;
        }
    }
    Ok(())
}

fn zones(clusters: &Clusters) -> Result<()> {
    for (cluster, objects) in clusters {
        let plane = &only(objects, "AWSManagedControlPlane")?["spec"];
        let subnets = list(plane, "/network/subnets").iter();
        let subnets = subnets.map(|one| (text(one, "/id"), text(one, "/availabilityZone")));
        let subnets: BTreeMap<&str, &str> = subnets.collect();
        for zone in subnets.values() {
            let in_region = zone.starts_with(text(plane, "/region"));
            ensure!(in_region, "{cluster} is in {zone}");
        }
        let count = |ids: &[&str]| {
            let zones: BTreeSet<_> = ids.iter().filter_map(|id| subnets.get(id)).collect();
            zones.len()
        };
        let every = count(&subnets.keys().copied().collect::<Vec<_>>());
        ensure!(every == 3, "{cluster} has {every} zones");
        // By what its nodes are labelled with: the pools of a zone each are one together.
        let mut pools: BTreeMap<String, (&str, Vec<&str>)> = BTreeMap::new();
        for pool in of_kind(objects, "AWSManagedMachinePool") {
            let ids = strings(pool, "/spec/subnetIDs");
            ensure!(
                !ids.is_empty() && ids.iter().all(|id| subnets.contains_key(id)),
                "{} is in a subnet that {cluster} does not have",
                name(pool)
            );
            let together = pools.entry(pool["spec"]["labels"].to_string());
            together.or_insert((name(pool), Vec::new())).1.extend(ids);
        }
        for (pool, ids) in pools.values() {
            ensure!(count(ids) == 3, "{pool} is in {} zone", count(ids));
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

fn overlap(one: &str, other: &str) -> Result<bool> {
    let range = |of: &str| range(of).with_context(|| format!("{of} is no block of addresses"));
    let (one, other) = (range(one)?, range(other)?);
    Ok(one.0 <= other.1 && other.0 <= one.1)
}

fn networks(clusters: &Clusters) -> Result<()> {
    let mut versions = BTreeSet::new();
    let mut vpcs: Vec<(&str, &str)> = Vec::new();
    for (cluster, objects) in clusters {
        let plane = only(objects, "AWSManagedControlPlane")?;
        versions.insert(text(plane, "/spec/version"));
        let pools = of_kind(objects, "MachinePool");
        versions.extend(pools.map(|pool| text(pool, "/spec/template/spec/version")));
        vpcs.push((cluster, text(plane, "/spec/network/vpc/cidrBlock")));
    }
    let versions: Vec<_> = versions.into_iter().collect();
    ensure!(
        versions.len() == 1,
        "not one version: {}",
        versions.join(", ")
    );
    for (place, (one, block)) in vpcs.iter().enumerate() {
        // Clusters are peered, and the mesh spans them.
        for (other, second) in &vpcs[place + 1..] {
            let apart = !overlap(block, second)?;
            ensure!(apart, "{one} and {other} have both {second}");
        }
        for (cluster, objects) in clusters {
            let services = "/spec/clusterNetwork/services/cidrBlocks/0";
            let within = overlap(block, text(only(objects, "Cluster")?, services))?;
            ensure!(!within, "the services of {cluster} are in the VPC of {one}");
        }
    }
    Ok(())
}

fn groups(clusters: &Clusters) -> Result<()> {
    for (cluster, objects) in clusters {
        for pool in of_kind(objects, "MachinePool") {
            let by = &pool["metadata"]["annotations"]["cluster.x-k8s.io/replicas-managed-by"];
            let name = name(pool);
            let scaled = by == "external-autoscaler";
            ensure!(scaled, "{name} is not left to the autoscaler");
            let group = named(objects, "AWSManagedMachinePool", name)?;
            let least = &group["spec"]["scaling"]["minSize"];
            let begins = &pool["spec"]["replicas"] == least;
            ensure!(begins, "{name} begins with other than {least}");
        }
        for group in of_kind(objects, "AWSManagedMachinePool") {
            for (tag, value) in [("enabled", "true"), (cluster, "owned")] {
                let tag = format!("k8s.io/cluster-autoscaler/{tag}");
                let tagged = group["spec"]["additionalTags"][&tag] == value;
                ensure!(tagged, "{} lacks the tag {tag}", name(group));
            }
        }
    }
    Ok(())
}

fn registration(clusters: &Clusters) -> Result<()> {
    for (cluster, objects) in clusters {
        let plane = only(objects, "AWSManagedControlPlane")?;
        let entries = list(plane, "/spec/accessEntries").iter();
        let principals: Vec<&str> = entries.map(|entry| text(entry, "/principalARN")).collect();
        let let_in = format!("{cluster} lets in {principals:?}");
        if cluster == "management" {
            let external = of_kind(objects, "ExternalSecret").count();
            let capa = ["arn:aws:iam::000000000000:role/management-capa"];
            ensure!(external == 0 && principals == capa, let_in);
            continue;
        }
        let argocd = format!("arn:aws:iam::000000000000:role/{cluster}-argocd");
        let external = only(objects, "ExternalSecret")?;
        let config = text(external, "/spec/target/template/data/config");
        ensure!(
            principals == [argocd.as_str()] && config.contains(&argocd),
            let_in
        );
        let reads = text(external, "/spec/data/0/remoteRef/key");
        let may = &only(objects, "Role")?["rules"][0]["resourceNames"];
        ensure!(
            reads == format!("{cluster}-kubeconfig") && may == &json!([reads]),
            "{cluster} is read from {reads}, and {may} may be read"
        );
    }
    Ok(())
}

fn names(clusters: &Clusters) -> Result<()> {
    let files = yaml_files("deploy/platform/clusters/clusters");
    let files: Vec<String> = files.iter().map(|file| stem(file)).collect();
    let for_all = files.iter().eq(clusters.keys());
    ensure!(for_all, "files for {files:?} alone");
    for (cluster, objects) in clusters {
        let plane = only(objects, "AWSManagedControlPlane")?;
        let own = name(only(objects, "Cluster")?);
        for called in [own, name(plane), text(plane, "/spec/eksClusterName")] {
            ensure!(called == cluster, "{cluster} is called {called}");
        }
    }
    Ok(())
}

fn misspelt(checker: &Checker) -> Result<()> {
    let yaml = replaced(
        &rendered(checker, "dev", &[])?,
        "publicCIDRs:",
        "publicCidrs:",
    )?;
    let objects = checker.checked(&yaml)?;
    fails(valid(&objects, true), "'publicCidrs' was unexpected")
}

/// Each cluster's objects, and its Shim among them. The management cluster has none.
fn with_shims(checker: &Checker) -> Result<Clusters> {
    let mut clusters = all(checker)?.clone();
    for (cluster, objects) in &mut clusters {
        let added = addons::cluster(checker, cluster)?;
        objects.extend(of_kind(added.made(), "Shim").cloned());
    }
    Ok(clusters)
}

fn the_shims(clusters: &Clusters) -> Result<()> {
    let mut clusters = clusters.iter();
    clusters.try_for_each(|(cluster, objects)| shim_has_nodes(cluster, objects))
}

/// The Shim's nodes, and that a SpinApp is let onto them: nothing gives it a toleration.
fn shim_has_nodes(cluster: &str, objects: &[Value]) -> Result<()> {
    if cluster == "management" {
        ensure!(only(objects, "Shim").is_err(), "{cluster} has a Shim");
        return Ok(());
    }
    let shim = only(objects, "Shim")?;
    let selector: Vec<_> = fields(shim, "/spec/nodeSelector").collect();
    ensure!(!selector.is_empty(), "the Shim selects every node");
    let selected = |pool: &&Value| {
        let labels = &pool["spec"]["labels"];
        selector
            .iter()
            .all(|(label, value)| labels[*label] == **value)
    };
    let pools = of_kind(objects, "AWSManagedMachinePool").filter(selected);
    let pools: Vec<&Value> = pools.collect();
    let some = !pools.is_empty();
    ensure!(some, "no pool of {cluster} has nodes for the Shim");
    for pool in pools {
        for taint in list(pool, "/spec/taints") {
            let lets_in = taint["effect"] == "prefer-no-schedule";
            ensure!(lets_in, "{} lets no SpinApp in", name(pool));
        }
        let x86 = text(pool, "/spec/amiType").contains("x86_64");
        let architecture = if x86 { "amd64" } else { "arm64" };
        let mut platforms = list(shim, "/spec/fetchStrategy/platforms").iter();
        let platform = platforms.find(|platform| platform["arch"] == architecture);
        let digest = platform.map_or(0, |platform| text(platform, "/sha256").len());
        ensure!(
            digest == 64,
            "no shim is named by digest for {architecture}"
        );
    }
    // The installer unpacks `containerd-shim-NAME`.
    let handler = text(shim, "/spec/runtimeClass/handler");
    let url = text(shim, "/spec/fetchStrategy/platforms/0/location");
    ensure!(
        name(shim) == handler && url.contains(&format!("containerd-shim-{handler}-")),
        "the Shim {} installs {url}",
        name(shim)
    );
    let values = fs::read_to_string(root().join("deploy/chart/values.yaml"))?;
    let class = text(shim, "/spec/runtimeClass/name");
    let runs = values.contains(&format!("runtimeClassName: {class}\n"));
    ensure!(runs, "deploy/chart does not run on {class}");
    Ok(())
}

/// `irsa: false` leaves out what names a role that cannot be there yet.
fn without_roles(checker: &Checker) -> Result<()> {
    let roles = |yaml: &str| yaml.matches(":role/").count();
    let before = rendered(checker, "management", &["irsa=false"])?;
    valid(&checker.checked(&before)?, true)?;
    assert_eq!(roles(&before), 0, "{before}");
    let after = rendered(checker, "management", &[])?;
    assert_eq!(roles(&after), 2, "Cluster API's, and that of volumes");
    Ok(())
}

/// Helm's templates are those of External Secrets: Go's, with the same functions.
fn the_template(checker: &Checker) -> Result<()> {
    let kubeconfig = "apiVersion: v1\nkind: Config\nclusters:\n- name: dev\n  cluster:\n    \
                      certificate-authority-data: QVVUSE9SSVRZ\n    server: https://one.example.com\n\
                      users:\n- name: dev\n  user: {token: a-secret}\n";
    for (cluster, objects) in all(checker)? {
        if cluster == "management" {
            let absent = only(objects, "ExternalSecret").is_err();
            ensure!(absent, "{cluster} is registered");
            continue;
        }
        let made = &only(objects, "ExternalSecret")?["spec"]["target"]["template"];
        let template = ["name", "server", "config"].map(|key| {
            let text = text(&made["data"], &format!("/{key}"));
            format!("  {key}: |-\n    {}\n", text.trim().replace('\n', "\n    "))
        });
        let template = format!(
            "{{{{- with .Values }}}}\napiVersion: v1\nkind: Secret\nmetadata: {{name: made}}\n\
             stringData:\n{}{{{{- end }}}}\n",
            template.concat()
        );
        let directory = TempDir::new()?;
        let values = json!({"kubeconfig": kubeconfig}).to_string();
        write_chart(directory.path(), &values, &template)?;
        let rendered = checker.render_chart(directory.path(), &[], &[])?;
        let secret = &checker.checked(&rendered)?[0]["stringData"];
        assert_eq!(secret["name"], json!(cluster));
        assert_eq!(secret["server"], "https://one.example.com");
        let config: Value = serde_json::from_str(text(secret, "/config"))?;
        let role = format!("arn:aws:iam::000000000000:role/{cluster}-argocd");
        let expected = json!({
            "awsAuthConfig": {"clusterName": cluster, "roleARN": role},
            "tlsClientConfig": {"caData": "QVVUSE9SSVRZ"},
        });
        assert_eq!(config, expected);
        assert!(!secret.to_string().contains("a-secret"), "it has the token");
        let labels = &made["metadata"]["labels"];
        assert_eq!(labels["argocd.argoproj.io/secret-type"], "cluster");
        assert_eq!(labels["hello.example.com/role"], "workload");
    }
    Ok(())
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

/// What Argo CD is given, and what is rendered for each cluster.
type Delivery = (Vec<Value>, Clusters);

fn delivery(checker: &Checker) -> Result<Delivery> {
    let mut given = Vec::new();
    for (file, _) in APPLIED {
        let objects = checker.checked(&read(file)?)?.into_iter();
        given.extend(objects.map(|object| object.object));
    }
    Ok((given, all(checker)?.clone()))
}

/// Each cluster is among the project's destinations, its stage among the steps, and its account
/// known; the paths that Argo CD reads are there; and it is let in where it reads.
fn delivered((given, clusters): &Delivery) -> Result<()> {
    let destinations = list(only(given, "AppProject")?, "/spec/destinations").iter();
    let mut named: Vec<&str> = destinations.map(|one| text(one, "/name")).collect();
    named.sort_unstable();
    let to_all = named.iter().eq(clusters.keys());
    ensure!(to_all, "the project goes to {named:?}");
    let sets: Vec<&Value> = of_kind(given, "ApplicationSet").collect();
    let [platform, making] = sets[..] else {
        bail!("there are not two ApplicationSets");
    };
    let steps = list(platform, "/spec/strategy/rollingSync/steps").iter();
    let steps: Vec<&str> = steps
        .map(|step| text(step, "/matchExpressions/0/values/0"))
        .collect();
    let stages = ["management", "dev", "canary", "production"];
    ensure!(steps == stages, "the stages are {steps:?}");
    let accounts = &only(given, "Secret")?["metadata"]["annotations"];
    for (cluster, objects) in clusters {
        let labels = &only(objects, "Cluster")?["metadata"]["labels"];
        let stage = labels["hello.example.com/stage"]
            .as_str()
            .context("it has no stage")?;
        let account = &accounts[format!("hello.example.com/account-{stage}")];
        let known = steps.contains(&stage) && account == "000000000000";
        ensure!(known, "{cluster} is in no stage that has an account");
        // As Argo CD resolves them.
        for set in [platform, making] {
            let source = &set["spec"]["template"]["spec"]["source"];
            let chart = root().join(text(source, "/path"));
            let files = strings(source, "/helm/valueFiles");
            ensure!(!files.is_empty(), "there are no values");
            for file in files {
                let file = file.replace("{{ .name }}", cluster);
                let file = chart.join(file.replace("{{ .cluster.name }}", cluster));
                ensure!(file.is_file(), "there is no {}", file.display());
            }
            let parameter = &source["helm"]["parameters"][0];
            assert_eq!(parameter["name"], "cluster.account");
            assert_eq!(parameter["forceString"], true, "it may begin with a 0");
        }
    }
    let app = only(given, "Application")?;
    let sources = list(app, "/spec/sources");
    ensure!(!sources.is_empty(), "no sources");
    for source in sources {
        let directory = root().join(text(source, "/path"));
        ensure!(directory.is_dir(), "there is no {}", directory.display());
    }
    let excluded = text(app, "/spec/sources/0/directory/exclude");
    assert_eq!(excluded, "root.yaml", "it would wait for its own end");
    // Who reads, where from, and who lets it.
    let dev = &clusters["dev"];
    let external = only(dev, "ExternalSecret")?;
    let subject = &only(dev, "RoleBinding")?["subjects"][0];
    let account = only(given, "ServiceAccount")?;
    let store = only(given, "SecretStore")?;
    let read_by = &store["spec"]["provider"]["kubernetes"];
    assert_eq!(text(external, "/spec/secretStoreRef/name"), name(store));
    assert_eq!(subject["name"], account["metadata"]["name"]);
    assert_eq!(subject["namespace"], account["metadata"]["namespace"]);
    assert_eq!(text(read_by, "/auth/serviceAccount/name"), name(account));
    let namespace = &making["spec"]["template"]["spec"]["destination"]["namespace"];
    assert_eq!(&read_by["remoteNamespace"], namespace);
    Ok(())
}

/// What the commands of the bootstrap install, and what Argo CD keeps afterwards.
#[derive(Deserialize, Serialize)]
struct Bootstrap {
    readme: String,
    clusterctl: Value,
    added: Rendered,
}

fn bootstrap(checker: &Checker) -> Result<Bootstrap> {
    Ok(Bootstrap {
        readme: read("clusters/bootstrap/README.md")?,
        clusterctl: yaml_serde::from_str(&read("clusters/bootstrap/clusterctl.yaml")?)?,
        added: addons::cluster(checker, "management")?.clone(),
    })
}

fn same_versions(
    Bootstrap {
        readme,
        clusterctl,
        added,
    }: &Bootstrap,
) -> Result<()> {
    let argocd = &added.application("argocd")?["spec"]["sources"][0];
    let providers = added.values("cluster-api")?;
    for (option, version) in [
        ("--repo ", text(argocd, "/repoURL")),
        ("--version ", text(argocd, "/targetRevision")),
        (
            "--core cluster-api:",
            text(providers, "/core/cluster-api/version"),
        ),
        (
            "--infrastructure aws:",
            text(providers, "/infrastructure/aws/version"),
        ),
    ] {
        let said = !version.is_empty() && readme.contains(&format!("{option}{version}"));
        ensure!(said, "the bootstrap does not say `{option}{version}`");
    }
    let certificates = &added.application("cert-manager")?["spec"]["sources"][0];
    let certificates = &certificates["targetRevision"];
    let same = clusterctl["cert-manager"]["version"] == *certificates;
    ensure!(
        same,
        "clusterctl installs another cert-manager than {certificates}"
    );
    let variables = &named(added.made(), "Secret", "capa-variables")?["stringData"];
    for (variable, value) in fields(clusterctl, "").filter(|(name, _)| *name != "cert-manager") {
        let same = variables[variable] == *value;
        ensure!(same, "{variable} is another one for clusterctl");
    }
    // The links to deploy/argocd.
    let values = &added.values("argocd")?["configs"];
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
        ensure!(values[part][key].is_string(), "Argo CD does not get {key}");
    }
    Ok(())
}
