//! The admission policies, evaluated: the very text that a cluster gets, on pods that it would see.

use std::fs;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use cel::{Context, Program, Value as Answer};
use deploy_tests::{
    checker::{Checker, Object},
    mutation::{Mutations, fails, rewritten},
    objects::{list, only, strings, text, title},
};
use libtest_mimic::Trial;
use serde_json::{Value, json};

const DIGEST: &str = "sha256:dd4058945cb02a5fe9c0f6b403b809342d7d436022364de4b84ea10b04fbbcb8";

pub fn trials(checker: &Checker, mutations: &Mutations) -> Vec<Trial> {
    let mut trials = Vec::new();
    for cluster in ["dev", "production-eu-west-1"] {
        let title = format!("policies, {cluster}: images by digest alone");
        trials.push(checker.trial(title, move |checker| {
            by_digest(&digests(&rendered(checker, cluster)?)?, cluster == "dev")
        }));
        let title = format!("policies, {cluster}: they let in what deploy/chart makes");
        trials.push(checker.trial(title, move |checker| {
            lets_in_the_service(checker, &rendered(checker, cluster)?)
        }));
    }
    trials.push(checker.trial(
        "policies: only the release workflow's signatures count",
        |checker| signed(only(&rendered(checker, "canary")?, "ClusterPolicy")?),
    ));
    for [what, from, to, says] in mutations.rows("policies, digests") {
        trials.push(
            checker.trial(format!("policies: {what} fails"), move |checker| {
                let policy = digests(&rendered(checker, "canary")?)?;
                fails(by_digest(&rewritten(&policy, &from, &to)?, false), &says)
            }),
        );
    }
    for [what, from, to, says] in mutations.rows("policies, signatures") {
        trials.push(
            checker.trial(format!("policies: {what} fails"), move |checker| {
                let objects = rendered(checker, "canary")?;
                let policy = only(&objects, "ClusterPolicy")?;
                fails(signed(&rewritten(policy, &from, &to)?), &says)
            }),
        );
    }
    trials
}

/// What the add-on makes in a cluster.
fn rendered(checker: &Checker, cluster: &str) -> Result<Vec<Object>> {
    let values = ["values".to_owned(), format!("clusters/{cluster}")];
    let values = values.map(|file| format!("deploy/platform/addons/{file}.yaml").into());
    let chart = "deploy/platform/addons/policies/objects";
    checker.checked(&checker.render_chart(chart, &values, &[])?)
}

/// The ValidatingAdmissionPolicy, which is bound to the namespace of the service.
fn digests(objects: &[Object]) -> Result<Value> {
    let policy = only(objects, "ValidatingAdmissionPolicy")?;
    let binding = only(objects, "ValidatingAdmissionPolicyBinding")?;
    let bound = json!({
        "policyName": policy["metadata"]["name"],
        "validationActions": ["Deny"],
        "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "hello"}}},
    });
    ensure!(binding["spec"] == bound, "it is bound as {binding}");
    Ok(policy.clone())
}

/// What the API server does with a pod: true, if the policy lets it in.
fn admits(policy: &Value, pod: &Value) -> Result<bool> {
    for condition in list(policy, "/spec/matchConditions") {
        if !answer(&condition["expression"], &[("object", pod)])? {
            return Ok(true);
        }
    }
    let mut variables = json!({});
    for variable in list(policy, "/spec/variables") {
        let name = variable["name"].as_str().context("a variable has a name")?;
        let given = [("object", pod), ("variables", &variables)];
        variables[name] = images(&evaluated(&variable["expression"], &given)?)?;
    }
    let validations = list(policy, "/spec/validations");
    ensure!(!validations.is_empty(), "it validates nothing");
    for validation in validations {
        let given = [("object", pod), ("variables", &variables)];
        if !answer(&validation["expression"], &given)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A list of strings, as JSON.
fn images(value: &Answer) -> Result<Value> {
    let Answer::List(list) = value else {
        bail!("{value:?} is no list")
    };
    list.iter()
        .map(|image| match image {
            Answer::String(image) => Ok(Value::from(image.as_str())),
            other => bail!("{other:?} is no image"),
        })
        .collect()
}

fn answer(expression: &Value, given: &[(&str, &Value)]) -> Result<bool> {
    match evaluated(expression, given)? {
        Answer::Bool(answer) => Ok(answer),
        other => bail!("{expression} is {other:?}, and neither true nor false"),
    }
}

fn evaluated(expression: &Value, given: &[(&str, &Value)]) -> Result<Answer> {
    let text = expression.as_str().context("an expression is a text")?;
    let program = Program::compile(text).map_err(|error| anyhow!("{text}: {error}"))?;
    let mut context = Context::default();
    for (name, value) in given {
        let added = context.add_variable(*name, *value);
        added.map_err(|error| anyhow!("{name}: {error}"))?;
    }
    let answer = program.execute(&context);
    answer.map_err(|error| anyhow!("{text}: {error}"))
}

/// Where there is a Postgres in the namespace, its operator chooses the images of its pods.
fn by_digest(policy: &Value, with_postgres: bool) -> Result<()> {
    ensure!(policy["spec"]["failurePolicy"] == "Fail", "it fails open");
    let (ours, tag) = (
        &format!("ghcr.io/example/hello@{DIGEST}"),
        "ghcr.io/example/hello:1.4.0",
    );
    let pod = |image: &str| json!({"metadata": {}, "spec": {"containers": [{"image": image}]}});
    let beside = |list: &str, image: &str| {
        let mut pod = pod(ours);
        pod["spec"][list] = json!([{"image": ours}, {"image": image}]);
        pod
    };
    let of_postgres = |label: &str| {
        let mut pod = pod("ghcr.io/cloudnative-pg/postgresql:18.1");
        pod["metadata"]["labels"] = json!({label: "hello-db"});
        pod
    };
    let elsewhere = |image: &str| pod(&format!("{image}@{DIGEST}"));
    let kuma = "docker.io/kumahq/kuma-dp:2.14.3";
    for (what, pod, wanted) in [
        ("a digest", pod(ours), true),
        ("a tag with its digest", elsewhere(tag), true),
        (
            "the registry of our tools",
            elsewhere("registry.example.com/curl"),
            true,
        ),
        (
            "a digest of an initContainer",
            beside("initContainers", ours),
            true,
        ),
        ("a tag", pod(tag), false),
        ("an image with neither", pod("ghcr.io/example/hello"), false),
        (
            "a tag of a second container",
            beside("containers", tag),
            false,
        ),
        (
            "a tag of an initContainer",
            beside("initContainers", tag),
            false,
        ),
        (
            "a tag of an ephemeralContainer",
            beside("ephemeralContainers", tag),
            false,
        ),
        (
            "a digest that is too short",
            pod(&ours[..ours.len() - 1]),
            false,
        ),
        ("a digest with a tail", pod(&format!("{ours}0")), false),
        (
            "another registry",
            elsewhere("docker.io/example/hello"),
            false,
        ),
        (
            "a registry that looks alike",
            elsewhere("registry.examplexcom/curl"),
            false,
        ),
        (
            "our registry in the path of another",
            pod(&format!("evil.example/{ours}")),
            false,
        ),
        (
            "a second container of somebody else's",
            beside("containers", kuma),
            false,
        ),
        (
            "a pod of CloudNativePG",
            of_postgres("cnpg.io/cluster"),
            with_postgres,
        ),
        (
            "a pod with a label like CloudNativePG's",
            of_postgres("cnpg.io/clusters"),
            false,
        ),
    ] {
        let admitted = admits(policy, &pod)?;
        ensure!(!admitted || wanted, "it lets in {what}");
        ensure!(admitted || !wanted, "it refuses {what}");
    }
    Ok(())
}

/// The pods of deploy/chart, with the values of each cluster: images-by-digest lets them in, and
/// images-signed looks at the service.
fn lets_in_the_service(checker: &Checker, policies: &[Object]) -> Result<()> {
    let (digests, signatures) = (digests(policies)?, only(policies, "ClusterPolicy")?);
    // What an image begins with that has to be signed.
    let covered: Vec<&str> = strings(rule(signatures), "/imageReferences");
    ensure!(!covered.is_empty(), "it names no image");
    let stars = covered.iter().all(|pattern| pattern.ends_with('*'));
    ensure!(stars, "one of {covered:?} does not end in a star");
    let mut seen = 0;
    for values in deploy_tests::service_values().into_values() {
        for object in checker.objects(&values, &[])? {
            let pod = match text(&object, "/kind") {
                "SpinApp" => {
                    let image = text(&object, "/spec/image");
                    let mut covered = covered.iter().map(|pattern| pattern.trim_end_matches('*'));
                    let signed = covered.any(|start| image.starts_with(start));
                    ensure!(signed, "no signature is asked for of {image}");
                    json!({"metadata": {}, "spec": {"containers": [{"image": image}]}})
                }
                "Job" => object["spec"]["template"].clone(),
                "CronJob" => object["spec"]["jobTemplate"]["spec"]["template"].clone(),
                _ => continue,
            };
            ensure!(
                admits(&digests, &pod)?,
                "the pods of {} are refused",
                title(&object)
            );
            seen += 1;
        }
    }
    ensure!(seen > 8, "deploy/chart makes {seen} kinds of pods");
    Ok(())
}

fn rule(policy: &Value) -> &Value {
    &policy["spec"]["rules"][0]["verifyImages"][0]
}

/// As cosign shows it: who signed, and who vouches for that.
fn signed(policy: &Value) -> Result<()> {
    let webhook = &policy["spec"]["webhookConfiguration"];
    ensure!(webhook["failurePolicy"] == "Fail", "it fails open");
    let rule = rule(policy);
    ensure!(rule["failureAction"] == "Enforce", "it only reports");
    ensure!(
        rule["mutateDigest"] == false,
        "a tag has a digest before images-by-digest sees it"
    );
    let keyless = &rule["attestors"][0]["entries"][0]["keyless"];
    ensure!(
        keyless["issuer"] == "https://token.actions.githubusercontent.com",
        "GitHub Actions does not vouch for it"
    );
    let release = ".github/workflows/release.yml";
    let workflow = fs::read_to_string(tools::root().join(release))?;
    ensure!(
        workflow.contains("cosign sign --yes"),
        "{release} signs nothing"
    );
    let ours = format!("https://github.com/example/hello/{release}@refs");
    let other = ours.replace("release.yml", "check.yml");
    for (who, identity, wanted) in [
        ("the release", format!("{ours}/tags/v1.4.0"), true),
        ("a branch", format!("{ours}/heads/main"), false),
        ("a pull request", format!("{ours}/pull/7/merge"), false),
        ("another workflow", format!("{other}/tags/v1.4.0"), false),
        (
            "another owner",
            ours.replace("/example/", "/somebody/") + "/tags/v1.4.0",
            false,
        ),
        (
            "a repository that begins alike",
            ours.replace("/hello/", "/hello-fork/") + "/tags/v1.4.0",
            false,
        ),
        (
            "a name that ends alike",
            format!("https://evil.example/?{ours}/tags/v1.4.0"),
            false,
        ),
    ] {
        let (identity, pattern) = (Value::from(identity), &keyless["subjectRegExp"]);
        let given = [("identity", &identity), ("pattern", pattern)];
        let taken = answer(&Value::from("identity.matches(pattern)"), &given)?;
        ensure!(!taken || wanted, "it takes the signature of {who}");
        ensure!(taken || !wanted, "it does not take the signature of {who}");
    }
    Ok(())
}
