//! What the controllers of other projects write into a status, where there is none of them: that an
//! object is ready, or has failed.

use anyhow::Result;
use cluster::control_plane::ControlPlane;
use deploy_tests::objects::{list, text, title};
use serde_json::{Value, json};

/// Where the service is.
pub const NAMESPACE: &str = "hello";

/// The kinds whose health is in their status.
const KINDS: &str = "externalsecrets,clusters.postgresql.cnpg.io,jobs,spinapps,\
                     poddisruptionbudgets,horizontalpodautoscalers,httproutes,clusterpolicies";

/// When everything happened.
const TIME: &str = "2026-01-01T00:00:00Z";

/// The objects of these kinds; none, where the kinds are not there.
pub fn objects(plane: &ControlPlane) -> Result<Vec<Value>> {
    let place = format!("--namespace={NAMESPACE}");
    match plane.kubectl.get(&[KINDS, &place]) {
        Ok(found) => Ok(list(&found, "/items").to_vec()),
        Err(error) if format!("{error:#}").contains("doesn't have a resource type") => {
            Ok(Vec::new())
        }
        Err(error) => Err(error),
    }
}

/// Whether one of `objects` has this title.
pub fn contain(objects: &[Value], wanted: &str) -> bool {
    objects.iter().any(|object| title(object) == wanted)
}

/// Makes ready what `wanted` takes, and returns all that is there.
pub fn make_ready(plane: &ControlPlane, wanted: impl Fn(&str) -> bool) -> Result<Vec<Value>> {
    let objects = objects(plane)?;
    for object in objects.iter().filter(|object| wanted(&title(object))) {
        let status = ready(object);
        // A Job that has ended stays as it is, and the API server would have it no other way.
        let has_ended = object["kind"] == "Job" && !list(object, "/status/conditions").is_empty();
        if !has_ended && !covers(&object["status"], &status) {
            write(plane, object, &status)?;
        }
    }
    Ok(objects)
}

/// Writes `status` of each object whose title begins with `prefix`.
pub fn mark(plane: &ControlPlane, prefix: &str, status: fn(&Value) -> Value) -> Result<()> {
    for object in objects(plane)? {
        if title(&object).starts_with(prefix) {
            write(plane, &object, &status(&object))?;
        }
    }
    Ok(())
}

fn write(plane: &ControlPlane, object: &Value, status: &Value) -> Result<()> {
    let (group, version) = text(object, "/apiVersion")
        .split_once('/')
        .unwrap_or_default();
    let kind = text(object, "/kind").to_lowercase();
    let name = text(object, "/metadata/name");
    let written = plane.kubectl.run(&[
        "patch",
        &format!("{kind}.{version}.{group}/{name}"),
        &format!("--namespace={NAMESPACE}"),
        "--subresource=status",
        "--type=merge",
        "--patch",
        &json!({"status": status}).to_string(),
    ]);
    match written {
        // Argo CD may have deleted it meanwhile: a hook is made anew in each sync.
        Err(error) if format!("{error:#}").contains("(NotFound)") => Ok(()),
        written => written.map(drop),
    }
}

fn condition(kind: &str, status: &str, reason: &str) -> Value {
    json!({
        "type": kind,
        "status": status,
        "reason": reason,
        "message": "written by a test",
        "lastTransitionTime": TIME,
    })
}

fn ready(object: &Value) -> Value {
    match text(object, "/kind") {
        "Cluster" => json!({
            "phase": "Cluster in healthy state",
            "conditions": [condition("Ready", "True", "ClusterIsReady")],
        }),
        "Job" => json!({
            "succeeded": 1,
            "startTime": TIME,
            "completionTime": TIME,
            "conditions": [
                condition("SuccessCriteriaMet", "True", "CompletionsReached"),
                condition("Complete", "True", "CompletionsReached"),
            ],
        }),
        "SpinApp" => json!({
            "readyReplicas": object["spec"]["replicas"].as_u64().unwrap_or(1),
            "conditions": [
                condition("Available", "True", "MinimumReplicasAvailable"),
                condition("Progressing", "True", "NewReplicaSetAvailable"),
            ],
        }),
        "PodDisruptionBudget" => json!({
            "conditions": [condition("DisruptionAllowed", "True", "SufficientPods")],
        }),
        "HorizontalPodAutoscaler" => json!({
            "currentReplicas": object["spec"]["minReplicas"],
            "desiredReplicas": object["spec"]["minReplicas"],
            "conditions": [
                condition("AbleToScale", "True", "ReadyForNewScale"),
                condition("ScalingActive", "True", "ValidMetricFound"),
            ],
        }),
        "HTTPRoute" => {
            // Of an older generation it would say nothing.
            let generation = &object["metadata"]["generation"];
            let conditions = ["Accepted", "ResolvedRefs"].map(|kind| {
                let mut condition = condition(kind, "True", kind);
                condition["observedGeneration"] = generation.clone();
                condition
            });
            json!({"parents": [{
                "parentRef": object["spec"]["parentRefs"][0],
                "controllerName": "example.com/by-hand",
                "conditions": conditions,
            }]})
        }
        _ => json!({"conditions": [condition("Ready", "True", "Succeeded")]}),
    }
}

/// Of a SpinApp whose pods are ready, and not all of them the new ones.
pub fn rolling(object: &Value) -> Value {
    let mut status = ready(object);
    status["conditions"][1]["reason"] = "ReplicaSetUpdated".into();
    status
}

/// Of a SpinApp that did not become ready in time, or a Job that has given up.
pub fn failed(object: &Value) -> Value {
    match text(object, "/kind") {
        "Job" => json!({
            "failed": 1,
            "startTime": TIME,
            "conditions": [
                condition("FailureTarget", "True", "BackoffLimitExceeded"),
                condition("Failed", "True", "BackoffLimitExceeded"),
            ],
        }),
        _ => json!({
            "readyReplicas": 0,
            "conditions": [
                condition("Available", "False", "MinimumReplicasUnavailable"),
                condition("Progressing", "False", "ProgressDeadlineExceeded"),
            ],
        }),
    }
}

/// Whether `live` has all that is `wanted`; a list is one value.
fn covers(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => wanted
            .iter()
            .all(|(key, wanted)| live.get(key).is_some_and(|live| covers(live, wanted))),
        (live, wanted) => live == wanted,
    }
}
