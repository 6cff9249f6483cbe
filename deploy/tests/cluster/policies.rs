//! images-by-digest, as the API server enforces it: which pods it lets into the namespace of the
//! service, and into another.

use std::time::Duration;

use anyhow::{Result, ensure};
use cluster::{control_plane::ControlPlane, site::NAMESPACE};
use deploy_tests::{
    checker::Checker,
    facts,
    mutation::{Mutations, fails, rewritten},
    objects::{listed, of_kind, only, parsed, title},
    platform,
    pods::{Admission, decides, namespace, pod, pod_of},
    service_values,
};
use harness::wait::wait_until;
use libtest_mimic::Trial;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::on_cluster;

/// What the API server says where the policy refuses.
const REFUSAL: &str = "ValidatingAdmissionPolicy 'images-by-digest' with binding 'images-by-digest' \
                       denied request: an image in this namespace is named by its digest";

const DIGEST: &str = "sha256:dd4058945cb02a5fe9c0f6b403b809342d7d436022364de4b84ea10b04fbbcb8";

/// Which no policy is bound to.
const ELSEWHERE: &str = "elsewhere";

/// How long the API server may take to notice a policy: it looks each second.
const NOTICED: Duration = Duration::from_secs(15);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Facts {
    images: Vec<(String, String, String, bool)>,
}

pub fn trials(checker: &Checker, mutations: &Mutations) -> Vec<Trial> {
    let mut trials = Vec::new();
    for cluster in ["dev", "production-eu-west-1"] {
        let given = checker.clone();
        let title = format!("policies, {cluster}: images by digest alone");
        trials.push(on_cluster(title, move |plane| {
            let policy = policy(&given, cluster)?;
            enforced(plane, &policy, || by_digest(plane, cluster == "dev"))
        }));
        let given = checker.clone();
        let title = format!("policies, {cluster}: they let in what deploy/chart makes");
        trials.push(on_cluster(title, move |plane| {
            let policy = policy(&given, cluster)?;
            enforced(plane, &policy, || lets_in_the_service(&given, plane))
        }));
    }
    for [what, from, to, says] in mutations.rows("policies: digests") {
        let checker = checker.clone();
        let title = format!("policies: digests: {what} fails");
        trials.push(on_cluster(title, move |plane| {
            let policy = rewritten(&policy(&checker, "canary")?, &from, &to)?;
            fails(enforced(plane, &policy, || by_digest(plane, false)), &says)
        }));
    }
    trials
}

/// The policy that a cluster gets, and its binding.
fn policy(checker: &Checker, cluster: &str) -> Result<Vec<Value>> {
    let objects = &platform::cluster(checker, cluster)?.objects["policies"];
    let kinds = [
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    ];
    kinds
        .map(|kind| only(objects, kind).cloned())
        .into_iter()
        .collect()
}

fn admission(plane: &ControlPlane) -> Admission<'_> {
    Admission {
        kubectl: &plane.kubectl,
        refusal: REFUSAL,
    }
}

/// Makes `check` while the API server has the policy.
fn enforced(
    plane: &ControlPlane,
    policy: &[Value],
    check: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let policy = listed(policy);
    let there = [NAMESPACE, ELSEWHERE].map(namespace);
    plane.kubectl.apply(&listed(there.as_flattened()), &[])?;
    plane.kubectl.apply(&policy, &[])?;
    let outcome = wait_for(plane, "refuse a pod", false).and_then(|()| check());
    plane
        .kubectl
        .run_with(&["delete", "--filename=-"], &policy)?;
    wait_for(plane, "be gone", true)?;
    outcome
}

/// Waits until the policy lets a pod in that it is to refuse, or no longer does.
fn wait_for(plane: &ControlPlane, what: &str, lets_in: bool) -> Result<()> {
    let refused = pod(NAMESPACE, "nowhere");
    let what = format!("the policy to {what}");
    // kubectl computes for a quarter of a second.
    wait_until(&what, NOTICED, Duration::from_secs(1), || {
        let refuses = admission(plane).refuses(&refused)?.is_some();
        Ok((refuses != lets_in).then_some(()))
    })
}

/// Where there is a Postgres in the namespace, its operator chooses the images of its pods.
fn by_digest(plane: &ControlPlane, with_postgres: bool) -> Result<()> {
    let ours = format!("ghcr.io/example/hello@{DIGEST}");
    let admission = admission(plane);
    for (what, beside, image, wanted) in facts::<Facts>("cluster").images {
        let image = image.replace("DIGEST", DIGEST);
        let refused = admission.refuses_in(&beside, &image, &ours)?;
        decides(&what, refused, wanted)?;
    }
    let tagged = "ghcr.io/cloudnative-pg/postgresql:18.1";
    for (label, wanted) in [
        ("cnpg.io/cluster", with_postgres),
        ("cnpg.io/clusters", false),
    ] {
        let mut pod = pod(NAMESPACE, tagged);
        pod["metadata"]["labels"] = json!({label: "hello-db"});
        let what = format!("a pod labelled {label}");
        decides(&what, admission.refuses(&pod)?, wanted)?;
    }
    let refused = admission.refuses(&pod(ELSEWHERE, tagged))?;
    decides("a pod of another namespace", refused, true)
}

/// The pods of deploy/chart, with the values of each cluster.
fn lets_in_the_service(checker: &Checker, plane: &ControlPlane) -> Result<()> {
    let mut seen = 0;
    for values in service_values().into_values() {
        let objects = parsed(&checker.render(&values, &[])?)?;
        let accounts: Vec<Value> = of_kind(&objects, "ServiceAccount").cloned().collect();
        let accounts = listed(&accounts);
        let place = format!("--namespace={NAMESPACE}");
        plane.kubectl.apply(&accounts, &[&place])?;
        let outcome = objects.iter().try_for_each(|object| {
            let Some(pod) = pod_of(object) else {
                return Ok(());
            };
            seen += 1;
            decides(
                &format!("the pods of {}", title(object)),
                admission(plane).refuses(&pod)?,
                true,
            )
        });
        // A release brings its own.
        let delete = ["delete", "--filename=-", &place];
        plane.kubectl.run_with(&delete, &accounts)?;
        outcome?;
    }
    ensure!(seen > 8, "deploy/chart makes {seen} kinds of pods");
    Ok(())
}
