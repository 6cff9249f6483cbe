//! The clusters that Cluster API makes, and how Argo CD learns of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    path::PathBuf,
    sync::LazyLock,
};

use anyhow::{Context, Result, ensure};
use deploy_tests::{
    checker::{Checker, no_problems, valid},
    mutation::{Mutations, fails, replaced, rewritten, set},
    objects::{by_kind, of_kind, only, text},
    once::Once,
    platform::{cluster_api, read, registered},
    stem, yaml, yaml_files,
};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use tools::root;

use crate::{
    addons::{self, Rendered},
    facts::{FACTS, RULES},
};

/// The values that the service's chart has by itself.
static SERVICE_VALUES: LazyLock<Value> =
    LazyLock::new(|| yaml(&root().join("deploy/chart/values.yaml")).expect("it is valid YAML"));

/// What is rendered for each cluster, by its name.
type Clusters = BTreeMap<String, Vec<Value>>;

/// A rule over all clusters and what their add-ons bring.
const SHIMS: &str = "the shim has nodes";

/// The one that looks at several clusters at once.
const NETWORKS: &str = "a version and a service network for all, VPCs apart";

pub fn trials(checker: &Checker, mutations: &Mutations) -> Vec<Trial> {
    let mut trials = Vec::new();
    for cluster in addons::clusters().iter().map(|file| stem(file)) {
        // Of Kubernetes's own kinds, only the registration is: of a cluster that is registered.
        let kinds = if cluster == "management" {
            &[true][..]
        } else {
            &[false, true]
        };
        trials.extend(checker.trials_of_valid(
            &format!("cluster {cluster}"),
            kinds,
            move |checker| checker.checked(&cluster_api(checker, &cluster, &[])?),
        ));
    }
    for (file, kinds) in &FACTS.applied {
        let title = format!("deploy/platform/{file}");
        trials.extend(
            checker.trials_of_valid(&title, kinds, move |checker| checker.checked(&read(file)?)),
        );
    }
    let rules = RULES
        .keys()
        .filter_map(|name| name.strip_prefix("clusters: "));
    for name in rules.filter(|name| *name != SHIMS).chain([NETWORKS]) {
        trials.push(checker.trial(format!("clusters: {name}"), move |checker| {
            follow(name, all(checker)?)
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
                fails(follow(name, &clusters), &says)
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
                cluster_api(checker, "dev", &[])?;
                fails(cluster_api(checker, "dev", &[&setting]), &says)
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
    let what = &format!("clusters: {SHIMS}");
    trials.push(checker.trial(what, |checker| follow(SHIMS, &with_shims(checker)?)));
    for [how, from, to, says] in mutations.rows(what) {
        trials.push(
            checker.trial(format!("{what}: {how} fails"), move |checker| {
                let mut clusters = rewritten(&with_shims(checker)?, &from, &to)?;
                clusters.remove("management");
                // In each of them: the first that fails would hide the others.
                let mut clusters = clusters.iter();
                clusters.try_for_each(|(cluster, objects)| {
                    fails(one_follows(SHIMS, cluster, objects), &says).context(cluster.clone())
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

fn all(checker: &Checker) -> Result<&'static Clusters> {
    static ALL: Once<Clusters> = Once::new();
    ALL.get("", || {
        let stems = |directory: &str| {
            yaml_files(directory)
                .iter()
                .map(|file| stem(file))
                .collect()
        };
        let own: Vec<String> = stems("deploy/platform/clusters/clusters");
        let of_addons: Vec<String> = stems("deploy/platform/addons/clusters");
        ensure!(own == of_addons, "files for {own:?} alone");
        let one = |file: PathBuf| {
            let objects = checker.checked(&cluster_api(checker, &stem(&file), &[])?)?;
            let objects = objects.into_iter().map(|object| object.object);
            Ok((stem(&file), objects.collect()))
        };
        addons::clusters().into_iter().map(one).collect()
    })
}

/// Whether the clusters follow a rule.
fn follow(name: &str, clusters: &Clusters) -> Result<()> {
    if name == NETWORKS {
        return networks(clusters);
    }
    let mut clusters = clusters.iter();
    clusters.try_for_each(|(cluster, objects)| one_follows(name, cluster, objects))
}

fn one_follows(name: &str, cluster: &str, objects: &[Value]) -> Result<()> {
    let objects = [
        ("cluster", &json!(cluster)),
        ("objects", &by_kind(objects)),
        ("chart", &*SERVICE_VALUES),
    ];
    RULES[&format!("clusters: {name}")].check(&objects)
}

/// Whether two blocks of addresses overlap: both begin with the bits of the larger one.
fn overlap(one: &str, other: &str) -> Result<bool> {
    let parse = |block: &str| -> Result<(u32, u32)> {
        let (address, bits) = block.split_once('/').context("it has no length")?;
        Ok((address.parse::<Ipv4Addr>()?.into(), bits.parse()?))
    };
    let parse = |block: &str| parse(block).with_context(|| format!("{block} is no block"));
    let ((one, bits), (other, of_other)) = (parse(one)?, parse(other)?);
    Ok((one ^ other).leading_zeros() >= bits.min(of_other))
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
    let (count, versions) = (versions.len(), Vec::from_iter(versions).join(", "));
    ensure!(count == 1, "not one version: {versions}");
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

fn misspelt(checker: &Checker) -> Result<()> {
    let yaml = replaced(
        &cluster_api(checker, "dev", &[])?,
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

/// `irsa: false` leaves out what names a role that cannot be there yet.
fn without_roles(checker: &Checker) -> Result<()> {
    let roles = |yaml: &str| yaml.matches(":role/").count();
    let before = cluster_api(checker, "management", &["irsa=false"])?;
    no_problems(&checker.checked(&before)?, true)?;
    assert_eq!(roles(&before), 0, "{before}");
    let after = cluster_api(checker, "management", &[])?;
    assert_eq!(roles(&after), 2, "Cluster API's, and that of volumes");
    Ok(())
}

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
        let external = only(objects, "ExternalSecret")?;
        let secret = registered(checker, external, kubeconfig)?;
        assert_eq!(secret["name"], json!(cluster));
        assert_eq!(secret["server"], "https://one.example.com");
        let config: Value = serde_json::from_str(text(&secret, "/config"))?;
        let role = format!("arn:aws:iam::000000000000:role/{cluster}-argocd");
        let expected = json!({
            "awsAuthConfig": {"clusterName": cluster, "roleARN": role},
            "tlsClientConfig": {"caData": "QVVUSE9SSVRZ"},
        });
        assert_eq!(config, expected);
        assert!(!secret.to_string().contains("a-secret"), "it has the token");
        let labels = &external["spec"]["target"]["template"]["metadata"]["labels"];
        assert_eq!(labels["argocd.argoproj.io/secret-type"], "cluster");
        assert_eq!(labels["hello.example.com/role"], "workload");
    }
    Ok(())
}

/// What Argo CD is given, and what is rendered for each cluster.
type Delivery = (Vec<Value>, Clusters);

fn delivery(checker: &Checker) -> Result<Delivery> {
    let mut given = Vec::new();
    for (file, _) in &FACTS.applied {
        let objects = checker.checked(&read(file)?)?.into_iter();
        given.extend(objects.map(|object| object.object));
    }
    Ok((given, all(checker)?.clone()))
}

/// That the paths that Argo CD reads are there, references.rs sees.
fn delivered((given, clusters): &Delivery) -> Result<()> {
    let clusters = clusters
        .iter()
        .map(|(name, objects)| (name, by_kind(objects)));
    let clusters: BTreeMap<_, _> = clusters.collect();
    RULES["Argo CD: every cluster is delivered"]
        .check(&[("given", &by_kind(given)), ("clusters", &json!(clusters))])
}

/// The commands of the bootstrap, its settings for clusterctl, and what Argo CD keeps afterwards.
type Bootstrap = (String, Value, Rendered);

fn bootstrap(checker: &Checker) -> Result<Bootstrap> {
    let clusterctl = yaml_serde::from_str(&read("clusters/bootstrap/clusterctl.yaml")?)?;
    let added = addons::cluster(checker, "management")?.clone();
    Ok((read("clusters/bootstrap/README.md")?, clusterctl, added))
}

fn same_versions((readme, clusterctl, added): &Bootstrap) -> Result<()> {
    RULES["the bootstrap installs what the add-ons keep"].check(&[
        ("readme", &json!(readme)),
        ("clusterctl", clusterctl),
        ("added", &added.for_rules()?),
    ])
}
