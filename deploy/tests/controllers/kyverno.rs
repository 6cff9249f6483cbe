//! Kyverno itself, whom the API server asks what to take and how to change it: our policies, and pods of
//! a cluster.
//!
//! Its arguments, rights and configuration are what its own chart makes of our values. By hand are: whoever
//! signs images, as the release workflow and others would; and the roots that vouch for them, which
//! Kyverno takes from a mirror in the place of Sigstore's own. The policies are as a cluster has them, and
//! the registry that they name is on this machine.

mod program;
mod site;

use std::{fs, path::Path, time::Duration};

use anyhow::{Result, ensure};
use cluster::site::NAMESPACE;
use deploy_tests::{
    checker::{Checker, none},
    mutation::Mutations,
    objects::{list, listed, name, of_kind, only, parsed, text, title},
    pods::{Admission, decides, pod, pod_of},
    service_values,
};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use site::Site;

use crate::{alerts::until, delivered::Delivered};

type Check = fn(&Run) -> Result<()>;

/// A cluster whose pods Kyverno changes.
const CLUSTER: &str = "canary";

/// Which no policy is about.
const ELSEWHERE: &str = "elsewhere";

/// How long Kyverno and the API server may take to notice a policy.
const NOTICED: Duration = Duration::from_secs(10);

/// How long the controllers may take to make pods, or to say why they do not.
const MADE: Duration = Duration::from_secs(60);

pub fn trials(checker: &Checker, mutations: &Mutations) -> Vec<Trial> {
    let checks: [(&str, Check); 3] = [
        ("kyverno: pods of a version are as the chart says", changed),
        ("kyverno: only what the release has signed", signed),
        ("kyverno: what starts while it is away", away),
    ];
    let trials = checks.map(|(name, check)| {
        let checker = checker.clone();
        mutations.trials(name, move |tree| check(&Run::of(&checker, tree)?))
    });
    trials.into_iter().flatten().collect()
}

/// What a cluster gets of a tree, and a Kyverno without policies.
struct Run<'a> {
    site: &'static Site,
    tree: &'a Path,
    delivered: Delivered<'a>,
}

impl<'a> Run<'a> {
    fn of(checker: &'a Checker, tree: &'a Path) -> Result<Self> {
        let run = Self {
            site: Site::shared()?,
            tree,
            delivered: Delivered::of(checker, tree, CLUSTER)?,
        };
        program::start(run.site, &run.delivered)?;
        Ok(run)
    }

    /// Makes `check` while the API server and Kyverno have the policies.
    fn enforced(&self, policies: &[Value], check: impl FnOnce() -> Result<()>) -> Result<()> {
        let kubectl = &self.site.plane.kubectl;
        let listed = listed(policies);
        kubectl.apply(&listed, &[])?;
        let ready = of_kind(policies, "ClusterPolicy").try_for_each(|policy| {
            until(NOTICED, || {
                let policy = kubectl.get(&["clusterpolicy", name(policy)])?;
                let mut conditions = list(&policy, "/status/conditions").iter();
                let ready = conditions.any(|one| one["type"] == "Ready" && one["status"] == "True");
                ensure!(ready, "{}: {}", title(&policy), policy["status"]);
                Ok(())
            })
        });
        let outcome = ready.and_then(|()| check());
        program::forget_if_away(kubectl)?;
        kubectl.run_with(&["delete", "--filename=-"], &listed)?;
        let unsigned = pod(NAMESPACE, self.site.unsigned()?);
        until(NOTICED, || {
            let refused = self.admission().refuses(&unsigned)?;
            decides("a pod without a policy", refused, true)
        })?;
        outcome
    }

    /// Waits until the policies are in force.
    fn is_noticed(&self) -> Result<()> {
        let unsigned = pod(NAMESPACE, self.site.unsigned()?);
        until(NOTICED, || {
            let refused = self.admission().refuses(&unsigned)?;
            decides("an image that nobody signed", refused, false)
        })
    }

    fn admission(&self) -> Admission<'_> {
        Admission {
            kubectl: &self.site.plane.kubectl,
            refusal: "images-signed",
        }
    }

    fn policies(&self) -> Result<Vec<Value>> {
        self.delivered
            .objects(self.delivered.application("policies")?)
    }

    /// The policy about signatures alone.
    fn signatures(&self) -> Result<Vec<Value>> {
        Ok(vec![only(&self.policies()?, "ClusterPolicy")?.clone()])
    }
}

/// A version with a signed image has pods that wait before they end, and one with another has none;
/// and the Jobs beside them run as they are.
fn changed(run: &Run) -> Result<()> {
    let kubectl = &run.site.plane.kubectl;
    let version = |name: &str, image: &str| json!({"name": name, "image": image, "replicas": 1});
    let versions = json!([
        version("v1", run.site.release()?),
        version("v2", run.site.unsigned()?),
    ]);
    let values = [
        &format!("versions={versions}"),
        "active=\"v1\"",
        "autoscaling={\"type\":\"none\"}",
    ];
    let values: Vec<&str> = values.iter().flat_map(|one| ["--set-json", one]).collect();
    let objects = run.delivered.service(NAMESPACE, &values)?;
    let mut policies = run.policies()?;
    policies.extend(of_kind(&objects, "ClusterPolicy").cloned());
    let of_kinds = |kinds: &[&str]| -> Vec<Value> {
        let objects = objects.iter();
        let objects = objects.filter(|object| kinds.contains(&text(object, "/kind")));
        objects.cloned().collect()
    };
    let place = format!("--namespace={NAMESPACE}");
    run.site.clean()?;
    let outcome = run.enforced(&policies, || {
        let beside = of_kinds(&["ServiceAccount", "SpinAppExecutor"]);
        kubectl.apply(&listed(&beside), &[&place])?;
        run.is_noticed()?;
        let jobs = objects.iter().filter(|object| object["kind"] != "SpinApp");
        for (object, pod) in jobs.filter_map(|object| Some((object, pod_of(object)?))) {
            let what = format!("the pods of {}", title(object));
            decides(&what, run.admission().refuses(&pod)?, true)?;
        }
        kubectl.apply(&listed(&of_kinds(&["SpinApp"])), &[&place])?;
        until(MADE, || {
            let pods = kubectl.get(&["pods", &place])?;
            let pods = list(&pods, "/items");
            ensure!(pods.len() == 1, "there are {} pods", pods.len());
            waits(&pods[0])
        })?;
        until(MADE, || {
            let unsigned = kubectl.get(&["deployment", "hello-v2", &place])?;
            let said = unsigned["status"]["conditions"].to_string();
            ensure!(said.contains("images-signed"), "hello-v2: {said}");
            Ok(())
        })
    });
    run.site.clean()?;
    outcome
}

/// As `deploy/tests/cluster` has it of Kubernetes' own policy.
fn waits(pod: &Value) -> Result<()> {
    let wanted = [
        ("/metadata/labels/app.kubernetes.io~1version", json!("v1")),
        ("/spec/terminationGracePeriodSeconds", json!(40)),
        (
            "/spec/containers/0/lifecycle/preStop/sleep/seconds",
            json!(20),
        ),
    ];
    none(wanted.into_iter().filter_map(|(at, wanted)| {
        let found = pod.pointer(at).unwrap_or(&Value::Null);
        (*found != wanted).then(|| format!("{at} is {found}"))
    }))
}

/// Who may have signed an image, wherever in a pod it is; and the images that the service has in all
/// clusters, which nobody signed here, are asked for.
fn signed(run: &Run) -> Result<()> {
    let admission = run.admission();
    let (release, unsigned) = (run.site.release()?, run.site.unsigned()?);
    let ours = images(run.delivered.checker)?;
    let verdicts = || {
        for (image, reference) in &run.site.images {
            let refused = admission.refuses_in("", reference, release)?;
            decides(&image.what, refused, image.lets_in)?;
        }
        for place in ["containers", "initContainers", "ephemeralContainers"] {
            let refused = admission.refuses_in(place, unsigned, release)?;
            decides(&format!("unsigned {place}"), refused, false)?;
        }
        let tag = admission.refuses_in("", &site::tag(release)?, release)?;
        decides("a tag", tag, false)?;
        for image in &ours {
            let refused = admission.refuses_in("", image, release)?;
            decides(image, refused, false)?;
        }
        let elsewhere = admission.refuses(&pod(ELSEWHERE, unsigned))?;
        decides("a pod of another namespace", elsewhere, true)
    };
    run.enforced(&run.signatures()?, || until(NOTICED, verdicts))?;
    let workflow = ".github/workflows/release.yml";
    let signs = fs::read_to_string(run.tree.join(workflow))?.contains("cosign sign --yes");
    ensure!(signs, "{workflow} signs nothing");
    Ok(())
}

/// Those of the service in all clusters.
fn images(checker: &Checker) -> Result<Vec<String>> {
    let mut images = Vec::new();
    for values in service_values().into_values() {
        let objects = parsed(&checker.render(&values, &[])?)?;
        let apps = of_kind(&objects, "SpinApp");
        images.extend(apps.map(|app| text(app, "/spec/image").to_owned()));
    }
    images.dedup();
    ensure!(!images.is_empty(), "the service has no image");
    Ok(images)
}

/// Nothing in the service's namespace, and all that there is elsewhere.
fn away(run: &Run) -> Result<()> {
    let release = run.site.release()?;
    let admission = run.admission();
    run.enforced(&run.signatures()?, || {
        run.is_noticed()?;
        program::kill()?;
        let away = Admission {
            refusal: "failed calling webhook",
            ..admission
        };
        let refused = away.refuses(&pod(NAMESPACE, release))?;
        ensure!(refused.is_some(), "it fails open");
        let refused = away.refuses(&pod(ELSEWHERE, release))?;
        decides("a pod of another namespace", refused, true)
    })
}
