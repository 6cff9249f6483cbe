//! Pods that the API server is asked to take, and whether a policy refuses them.

use anyhow::{Result, ensure};
use cluster::{kubectl::Kubectl, site::NAMESPACE};
use serde_json::{Value, json};

use crate::objects::text;

/// The API server, and what it says where the policy in question refuses.
#[derive(Clone, Copy)]
pub struct Admission<'a> {
    pub kubectl: &'a Kubectl,
    pub refusal: &'static str,
}

impl Admission<'_> {
    /// How a pod is refused, if it is.
    ///
    /// # Errors
    ///
    /// If that is for any other reason.
    pub fn refuses(&self, pod: &Value) -> Result<Option<String>> {
        let create = ["create", "--dry-run=server", "--filename=-"];
        self.decision(self.kubectl.run_with(&create, &pod.to_string()))
    }

    /// [`Admission::refuses`] of a pod in the service's namespace with `image` in its one container; or else
    /// in a second one, in `place`, beside `ours`.
    ///
    /// # Errors
    ///
    /// As [`Admission::refuses`].
    pub fn refuses_in(&self, place: &str, image: &str, ours: &str) -> Result<Option<String>> {
        let second = json!({"name": "second", "image": image});
        let mut pod = pod(NAMESPACE, if place.is_empty() { image } else { ours });
        match place {
            "" => {}
            "ephemeralContainers" => return self.refuses_beside(&pod, &second),
            "containers" => {
                let first = pod["spec"]["containers"][0].take();
                pod["spec"]["containers"] = json!([first, second]);
            }
            _ => pod["spec"][place] = json!([second]),
        }
        self.refuses(&pod)
    }

    /// Of another container in a pod that is there, as `kubectl debug` adds one.
    fn refuses_beside(&self, pod: &Value, container: &Value) -> Result<Option<String>> {
        let kubectl = self.kubectl;
        let created = kubectl.run_with(
            &["create", "--output=json", "--filename=-"],
            &pod.to_string(),
        )?;
        let mut pod: Value = serde_json::from_str(&created)?;
        pod["spec"]["ephemeralContainers"] = json!([container]);
        let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/tried");
        let put = format!("{path}/ephemeralcontainers?dryRun=All");
        let replaced = kubectl.run_with(
            &["replace", "--raw", &put, "--filename=-"],
            &pod.to_string(),
        );
        kubectl.run(&["delete", "--raw", &path])?;
        self.decision(replaced)
    }

    fn decision(&self, answer: Result<String>) -> Result<Option<String>> {
        let Err(error) = answer else {
            return Ok(None);
        };
        let said = format!("{error:#}");
        ensure!(said.contains(self.refusal), said);
        Ok(Some(said))
    }
}

/// Fails unless `refused` is as it is to be.
pub fn decides(what: &str, refused: Option<String>, lets_in: bool) -> Result<()> {
    match refused {
        None => ensure!(lets_in, "it lets in {what}"),
        Some(said) => ensure!(!lets_in, "it refuses {what}: {said}"),
    }
    Ok(())
}

pub fn pod(namespace: &str, image: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "tried", "namespace": namespace},
        "spec": {"containers": [{"name": "first", "image": image}]},
    })
}

/// The pod that an object of the service leads to: of a SpinApp, what counts of that which its operator
/// makes.
pub fn pod_of(object: &Value) -> Option<Value> {
    let template = match text(object, "/kind") {
        "SpinApp" => return Some(pod(NAMESPACE, text(object, "/spec/image"))),
        "Job" => &object["spec"]["template"],
        "CronJob" => &object["spec"]["jobTemplate"]["spec"]["template"],
        _ => return None,
    };
    let mut pod = pod(NAMESPACE, "");
    pod["metadata"]["labels"] = template["metadata"]["labels"].clone();
    pod["spec"] = template["spec"].clone();
    Some(pod)
}

/// A namespace with the account that each pod in it has, which no controller makes here.
pub fn namespace(name: &str) -> [Value; 2] {
    let account = json!({"name": "default", "namespace": name});
    [
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}),
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account}),
    ]
}
