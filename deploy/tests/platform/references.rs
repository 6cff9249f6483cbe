//! What one object says of another: it has to be there, in the same cluster.
//!
//! Where a reference stands and what it may name is a row of [`RULES`]. What looks like a reference
//! and is in no row fails as well: nobody would check it.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};

use crate::world::{self, ENTRY, KUBECONFIG, Thing, VALUES, World, shown, thing};
use deploy_tests::checker::Checker;

/// A reference: the name is at `at`, and its `kind` and `namespace` beside it, if they are said.
struct Rule {
    /// The kind that refers, with its group where two have the name; `*` is any.
    from: &'static str,
    /// A JSON Pointer. In it, `*` is each of a list or an object, and `**` any depth.
    at: &'static str,
    /// The kinds that may be named.
    to: &'static [&'static str],
    /// Which of them it is, where no `kind` is said. Absent: any.
    unsaid: Option<&'static str>,
    /// The names in the text.
    names: fn(&str) -> Vec<String>,
}

const fn rule(from: &'static str, at: &'static str, to: &'static [&'static str]) -> Rule {
    Rule {
        from,
        at,
        to,
        unsaid: None,
        names: whole,
    }
}

impl Rule {
    const fn unsaid(mut self, kind: &'static str) -> Self {
        self.unsaid = Some(kind);
        self
    }

    const fn names(mut self, names: fn(&str) -> Vec<String>) -> Self {
        self.names = names;
        self
    }
}

fn whole(text: &str) -> Vec<String> {
    vec![text.to_owned()]
}

fn listed(text: &str) -> Vec<String> {
    text.split(',').map(|name| name.trim().to_owned()).collect()
}

/// `canary-velero` of `arn:aws:iam::000000000000:role/canary-velero`.
fn role(text: &str) -> Vec<String> {
    let name = text.strip_prefix("arn:aws:iam::000000000000:role/");
    whole(name.unwrap_or(text))
}

/// The file that a page of the repository shows.
fn page(text: &str) -> Vec<String> {
    let file = text.strip_prefix("https://github.com/example/hello/blob/main/");
    whole(file.unwrap_or(text))
}

const RULES: &[Rule] = &[
    rule("*", "/metadata/namespace", &["Namespace"]),
    // Traffic.
    rule("Gateway", "/spec/gatewayClassName", &["GatewayClass"]),
    rule(
        "Gateway",
        "/spec/listeners/*/tls/certificateRefs/*/name",
        &["Secret"],
    ),
    rule("HTTPRoute", "/spec/parentRefs/*/name", &["Gateway"]),
    rule(
        "HTTPRoute",
        "/spec/rules/*/backendRefs/*/name",
        &["Service"],
    ),
    rule(
        "*",
        "/metadata/annotations/konghq.com~1plugins",
        &["KongPlugin", "KongClusterPlugin"],
    )
    .names(listed),
    rule(
        "Certificate",
        "/spec/issuerRef/name",
        &["Issuer", "ClusterIssuer"],
    )
    .unsaid("Issuer"),
    rule("*", "/**/labels/kuma.io~1mesh", &["Mesh"]),
    rule(
        "*",
        "/**/matchLabels/kubernetes.io~1metadata.name",
        &["Namespace"],
    ),
    // Secrets, and who may read and write what.
    rule(
        "ExternalSecret",
        "/spec/secretStoreRef/name",
        &["SecretStore", "ClusterSecretStore"],
    )
    .unsaid("SecretStore"),
    rule(
        "ExternalSecret",
        "/spec/data/*/remoteRef/key",
        &[ENTRY, KUBECONFIG],
    ),
    rule("ExternalSecret", "/spec/dataFrom/*/extract/key", &[ENTRY]),
    rule("*", "/**/secretKeyRef/name", &["Secret"]),
    rule("*", "/**/secret/secretName", &["Secret"]),
    rule(VALUES, "/**/existingSecret", &["Secret"]),
    rule(VALUES, "/**/apiKeyExistingSecret", &["Secret"]),
    rule(VALUES, "/**/appKeyExistingSecret", &["Secret"]),
    rule(VALUES, "/**/tokenExistingSecret", &["Secret"]),
    rule(VALUES, "/**/configSecret", &["Secret"]),
    rule(VALUES, "/**/envFromSecret", &["Secret"]),
    rule(
        VALUES,
        "/**/admissionWebhook/certificate/secretName",
        &["Secret"],
    ),
    rule(VALUES, "/**/kdsGlobalServer/secretName", &["Secret"]),
    rule(VALUES, "/**/extraSecretMounts/*/secretName", &["Secret"]),
    rule(VALUES, "/**/basicAuth/*/name", &["Secret"]),
    rule(VALUES, "/**/auth/*/*/secretName", &["Secret"]),
    rule(VALUES, "/**/tls/certificate/secretName", &["Secret"]),
    rule(
        "ServiceAccount",
        "/**/eks.amazonaws.com~1role-arn",
        &["IAM role"],
    )
    .names(role),
    rule(VALUES, "/**/eks.amazonaws.com~1role-arn", &["IAM role"]).names(role),
    rule("*", "/**/roleRef/name", &["Role", "ClusterRole"]),
    // Workloads.
    rule("SpinApp", "/spec/executor", &["SpinAppExecutor"]),
    rule(
        "SpinAppExecutor",
        "/spec/deploymentConfig/runtimeClassName",
        &["RuntimeClass"],
    ),
    rule(
        "SpinAppExecutor",
        "/spec/deploymentConfig/caCertSecret",
        &["Secret"],
    ),
    rule("*", "/**/scaleTargetRef/name", &["SpinApp", "Deployment"]),
    rule("*", "/**/serviceAccountName", &["ServiceAccount"]),
    rule("*", "/**/configMap/name", &["ConfigMap"]),
    rule("*", "/**/storageClassName", &["StorageClass"]),
    rule(VALUES, "/**/storageClass", &["StorageClass"]),
    rule("*", "/**/priorityClassName", &["PriorityClass"]),
    rule(
        "Schedule",
        "/spec/template/storageLocation",
        &["BackupStorageLocation"],
    ),
    // Clusters.
    rule(
        "Cluster.cluster.x-k8s.io",
        "/spec/controlPlaneRef/name",
        &["AWSManagedControlPlane"],
    ),
    rule(
        "Cluster.cluster.x-k8s.io",
        "/spec/infrastructureRef/name",
        &["AWSManagedCluster"],
    ),
    rule(
        "MachinePool",
        "/**/infrastructureRef/name",
        &["AWSManagedMachinePool"],
    ),
    rule(
        "AWSManagedControlPlane",
        "/spec/identityRef/name",
        IDENTITIES,
    ),
    rule(
        "AWSClusterRoleIdentity",
        "/spec/sourceIdentityRef/name",
        IDENTITIES,
    ),
    // Observation.
    rule("PrometheusRule", "/**/annotations/runbook_url", &["file"]).names(page),
    // Delivery.
    rule("Application", "/spec/project", &["AppProject"]),
    rule("Application", "/spec/destination/name", &["cluster"]),
    rule("Application", "/spec/source/path", &["file"]),
    rule("Application", "/spec/sources/*/path", &["file"]),
    rule("Application", "/spec/source/helm/valueFiles/*", &["file"]),
];

const IDENTITIES: &[&str] = &["AWSClusterRoleIdentity", "AWSClusterControllerIdentity"];

/// What looks like a reference and is none, and why.
const NONE: [(&str, &str, &str); 6] = [
    (
        VALUES,
        "/values/infrastructure/aws/configSecret",
        "in the provider's namespace",
    ),
    (
        "*.kuma.io",
        "/**/targetRef",
        "whatever the label's mesh has, chosen by tags and labels",
    ),
    (
        "Certificate",
        "/spec/secretName",
        "what cert-manager writes",
    ),
    (
        "ClusterIssuer",
        "/spec/acme/privateKeySecretRef",
        "what cert-manager writes",
    ),
    ("*", "/**/valueFrom/fieldRef", "of the pod itself"),
    ("*", "/**/resourceFieldRef", "of the pod itself"),
];

/// How the keys of references end.
const ENDINGS: [&str; 8] = [
    "Ref",
    "Refs",
    "ClassName",
    "AccountName",
    "ecretName",
    "Secret",
    "torageClass",
    "torageLocation",
];

/// One reference.
struct Reference {
    rule: usize,
    object: usize,
    /// Where in the object.
    at: String,
    /// What it may lead to; one is enough.
    targets: Vec<Thing>,
}

/// Everything in an object, by its JSON Pointer.
type Spots<'a> = Vec<(String, &'a Value)>;

fn references(world: &World) -> Vec<Reference> {
    let mut all = Vec::new();
    for (object, placed) in world.objects.iter().enumerate() {
        let spots = spots(&placed.object);
        for (rule, row) in RULES
            .iter()
            .enumerate()
            .filter(|(_, row)| placed.is(row.from))
        {
            for (at, text) in matching(&spots, row.at) {
                let Some(text) = text.as_str().filter(|text| !text.is_empty()) else {
                    continue;
                };
                // Only beside a name; `kind` at the top is the object's own.
                let parent = at
                    .strip_suffix("/name")
                    .filter(|_| !at.starts_with("/metadata"));
                let beside = |key: &str| {
                    let pointer = format!("{}/{key}", parent?);
                    placed.object.pointer(&pointer)?.as_str()
                };
                let kind = beside("kind").or(row.unsaid);
                let kinds = row.to.iter().copied();
                let kinds: Vec<&str> = kinds
                    .filter(|to| kind.is_none_or(|kind| kind == *to))
                    .collect();
                let namespace = beside("namespace").unwrap_or(&placed.namespace);
                for name in (row.names)(text) {
                    let targets = kinds.iter().map(|kind| thing(kind, namespace, &name));
                    all.push(Reference {
                        rule,
                        object,
                        at: at.clone(),
                        targets: targets.collect(),
                    });
                }
            }
        }
    }
    all
}

fn spots(object: &Value) -> Spots<'_> {
    fn walk<'a>(value: &'a Value, at: &str, spots: &mut Spots<'a>) {
        spots.push((at.to_owned(), value));
        match value {
            // A subchart's values, where it is not taken.
            Value::Object(fields) if fields.get("enabled") == Some(&json!(false)) => {}
            Value::Object(fields) => {
                for (key, field) in fields {
                    let key = key.replace('~', "~0").replace('/', "~1");
                    walk(field, &format!("{at}/{key}"), spots);
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    walk(item, &format!("{at}/{index}"), spots);
                }
            }
            _ => {}
        }
    }
    let mut spots = Vec::new();
    walk(object, "", &mut spots);
    spots
}

fn matching<'s, 'a>(
    spots: &'s Spots<'a>,
    pattern: &str,
) -> impl Iterator<Item = &'s (String, &'a Value)> {
    let pattern: Vec<&str> = pattern.split('/').collect();
    spots.iter().filter(move |(at, _)| {
        let words: Vec<&str> = at.split('/').collect();
        matches(&pattern, &words)
    })
}

fn matches(pattern: &[&str], words: &[&str]) -> bool {
    match (pattern, words) {
        ([], []) => true,
        (["**", rest @ ..], _) => (0..=words.len()).any(|skip| matches(rest, &words[skip..])),
        ([first, pattern @ ..], [word, words @ ..]) => {
            (*first == "*" || first == word) && matches(pattern, words)
        }
        _ => false,
    }
}

/// A sentence for each reference that leads nowhere, or that no rule knows.
fn problems(world: &World) -> BTreeSet<String> {
    let there = world.things();
    let references = references(world);
    let mut problems = BTreeSet::new();
    for Reference {
        rule,
        object,
        at,
        targets,
        ..
    } in &references
    {
        let from = world.objects[*object].shown();
        if targets.is_empty() {
            let may = RULES[*rule].to.join(" or ");
            problems.insert(format!("{from}: {at} is to name a {may}"));
        } else if !targets.iter().any(|target| there.contains(target)) {
            let targets: Vec<String> = targets.iter().map(shown).collect();
            let targets = targets.join(" or ");
            problems.insert(format!("{from}: {at} names {targets}, which nobody makes"));
        }
    }
    for (index, placed) in world.objects.iter().enumerate() {
        let spots = spots(&placed.object);
        let followed = references
            .iter()
            .filter(|reference| reference.object == index);
        let mut known: Vec<&str> = followed.map(|reference| reference.at.as_str()).collect();
        for (_, pattern, _) in NONE.iter().filter(|(kind, ..)| placed.is(kind)) {
            known.extend(matching(&spots, pattern).map(|(at, _)| at.as_str()));
        }
        for (at, value) in &spots {
            let key = at.rsplit('/').next().unwrap_or_default();
            let flag = value.is_boolean();
            let looks = !flag && ENDINGS.iter().any(|ending| key.ends_with(ending));
            let empty = [json!(null), json!(""), json!({}), json!([])].contains(value);
            let below = format!("{at}/");
            if looks
                && !empty
                && !known
                    .iter()
                    .any(|known| known == at || known.starts_with(&below))
            {
                problems.insert(format!("{}: nobody checks {at}", placed.shown()));
            }
        }
    }
    problems
}

pub fn trials(checker: &Checker) -> Vec<Trial> {
    let mut trials = Vec::new();
    for name in world::names() {
        let checker = checker.clone();
        trials.push(Trial::test(
            format!("references, {name}: what is named is there"),
            move || none(&problems(world::named(&checker, &name)?)),
        ));
    }
    for (index, row) in RULES.iter().enumerate() {
        let Rule { from, at, to, .. } = row;
        let to = to.join(" or ");
        let checker = checker.clone();
        trials.push(Trial::test(
            format!("references, {from} {at}: a {to} that is not there is missed"),
            move || missed(world::all(&checker)?, index),
        ));
    }
    let also = checker.clone();
    trials.push(Trial::test(
        "references: one that no rule knows is found",
        move || {
            let mut world = of_kind(world::all(&also)?, "HTTPRoute")?;
            let before = problems(&world);
            let route = world
                .objects
                .iter_mut()
                .find(|placed| placed.is("HTTPRoute"));
            let route = route.context("it is there")?;
            route.object["spec"]["cacheRef"] = json!({"name": "cache"});
            let from = route.shown();
            only(
                &(&problems(&world) - &before),
                &format!("{from}: nobody checks /spec/cacheRef"),
            )
        },
    ));
    let also = checker.clone();
    trials.push(Trial::test(
        "references: one to a kind that cannot be there is found",
        move || {
            let mut world = of_kind(world::all(&also)?, "HTTPRoute")?;
            let before = problems(&world);
            let route = world
                .objects
                .iter_mut()
                .find(|placed| placed.is("HTTPRoute"));
            let route = route.context("it is there")?;
            route.object["spec"]["parentRefs"][0]["kind"] = json!("Ingress");
            let from = route.shown();
            only(
                &(&problems(&world) - &before),
                &format!("{from}: /spec/parentRefs/0/name is to name a Gateway"),
            )
        },
    ));
    trials
}

/// A world with an object of this kind, to be broken.
fn of_kind(worlds: &[World], kind: &str) -> Result<World> {
    let world = worlds
        .iter()
        .find(|world| world.of_kind(kind).next().is_some());
    world
        .cloned()
        .with_context(|| format!("nothing is of kind {kind}"))
}

/// Takes a reference of this rule, and has it name what is not there.
fn missed(worlds: &[World], rule: usize) -> Result<(), Failed> {
    let first = |world: &World| {
        references(world)
            .into_iter()
            .find(|found| found.rule == rule)
    };
    let mut found = worlds
        .iter()
        .filter_map(|world| Some((world, first(world)?)));
    let Some((world, reference)) = found.next() else {
        return Err("no object has such a reference: the rule checks nothing".into());
    };
    let mut world = world.clone();
    let placed = &mut world.objects[reference.object];
    let Some(Value::String(text)) = placed.object.pointer_mut(&reference.at) else {
        return Err(format!("{}: {} is no text", placed.shown(), reference.at).into());
    };
    text.push_str("-gone");
    let from = placed.shown();
    let (.., name) = reference.targets.last().ok_or("it may name nothing")?;
    let sentence = format!("{from}: {} names ", reference.at);
    let problems = problems(&world);
    let said = |problem: &&String| {
        problem.starts_with(&sentence)
            && problem.ends_with(&format!("{name}-gone, which nobody makes"))
    };
    if problems.iter().find(said).is_none() {
        return Err(format!("it says {problems:?}").into());
    }
    Ok(())
}

fn none(problems: &BTreeSet<String>) -> Result<(), Failed> {
    if problems.is_empty() {
        return Ok(());
    }
    let problems: Vec<&str> = problems.iter().map(String::as_str).collect();
    Err(problems.join("\n").into())
}

pub fn only(problems: &BTreeSet<String>, sentence: &str) -> Result<(), Failed> {
    if problems.iter().ne([sentence]) {
        return Err(format!("it does not say {sentence:?} alone, but {problems:#?}").into());
    }
    Ok(())
}
