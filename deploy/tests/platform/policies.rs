//! The admission policies, evaluated: the very text that a cluster gets, on pods that it would see.

use std::fs;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use cel::{Context, Program, Value as Answer};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use deploy_tests::{
    checker::{Checker, name_of},
    mutation::{Mutations, fails, replaced},
};

const DIGEST: &str = "sha256:dd4058945cb02a5fe9c0f6b403b809342d7d436022364de4b84ea10b04fbbcb8";

pub fn trials(checker: &Checker, mutations: &Mutations) -> Vec<Trial> {
    let mut trials = Vec::new();
    for cluster in ["dev", "production-eu-west-1"] {
        let also = checker.clone();
        trials.push(Trial::test(
            format!("policies, {cluster}: images by digest alone"),
            move || {
                Ok(by_digest(
                    &digests(&rendered(&also, cluster)?)?,
                    cluster == "dev",
                )?)
            },
        ));
        let also = checker.clone();
        trials.push(Trial::test(
            format!("policies, {cluster}: they let in what deploy/chart makes"),
            move || Ok(lets_in_the_service(&also, &rendered(&also, cluster)?)?),
        ));
    }
    let also = checker.clone();
    trials.push(Trial::test(
        "policies: only the release workflow's signatures count",
        move || Ok(signed(&signatures(&rendered(&also, "canary")?)?)?),
    ));
    for [what, from, to, says] in mutations.rows("policies, digests") {
        let also = checker.clone();
        trials.push(Trial::test(
            format!("policies: the checks notice {what}"),
            move || {
                let policy = broken(&digests(&rendered(&also, "canary")?)?, &from, &to)?;
                fails(by_digest(&policy, false), &says)
            },
        ));
    }
    for [what, from, to, says] in mutations.rows("policies, signatures") {
        let also = checker.clone();
        trials.push(Trial::test(
            format!("policies: the checks notice {what}"),
            move || {
                let policy = broken(&signatures(&rendered(&also, "canary")?)?, &from, &to)?;
                fails(signed(&policy), &says)
            },
        ));
    }
    trials
}

fn broken(policy: &Value, from: &str, to: &str) -> Result<Value> {
    Ok(serde_json::from_str(&replaced(
        &policy.to_string(),
        from,
        to,
    )?)?)
}

/// What the add-on makes in a cluster.
fn rendered(checker: &Checker, cluster: &str) -> Result<Vec<Value>> {
    let addons = tools::root().join("deploy/platform/addons");
    let values = ["values.yaml".to_owned(), format!("clusters/{cluster}.yaml")];
    let values = values.map(|file| addons.join(file));
    let yaml = checker.render_chart(&addons.join("policies/objects"), &values, &[])?;
    let objects = checker.checked(&yaml)?.into_iter();
    Ok(objects.map(|object| object.object).collect())
}

fn one<'a>(objects: &'a [Value], kind: &str) -> Result<&'a Value> {
    let found = objects.iter().find(|object| object["kind"] == kind);
    found.with_context(|| format!("there is no {kind}"))
}

/// The ValidatingAdmissionPolicy, which is bound to the namespace of the service.
fn digests(objects: &[Value]) -> Result<Value> {
    let policy = one(objects, "ValidatingAdmissionPolicy")?;
    let binding = one(objects, "ValidatingAdmissionPolicyBinding")?;
    let bound = json!({
        "policyName": policy["metadata"]["name"],
        "validationActions": ["Deny"],
        "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "hello"}}},
    });
    ensure!(binding["spec"] == bound, "it is bound as {binding}");
    Ok(policy.clone())
}

fn signatures(objects: &[Value]) -> Result<Value> {
    Ok(one(objects, "ClusterPolicy")?.clone())
}

/// What the API server does with a pod: true, if the policy lets it in.
fn admits(policy: &Value, pod: &Value) -> Result<bool> {
    let spec = &policy["spec"];
    let list = |name: &str| spec[name].as_array().cloned().unwrap_or_default();
    for condition in list("matchConditions") {
        if !answer(&condition["expression"], &[("object", pod)])? {
            return Ok(true);
        }
    }
    let mut variables = json!({});
    for variable in list("variables") {
        let name = variable["name"].as_str().context("a variable has a name")?;
        let given = [("object", pod), ("variables", &variables)];
        let value = evaluated(&variable["expression"], &given)?;
        variables[name] = images(&value)?;
    }
    let validations = list("validations");
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
    let ours = format!("ghcr.io/example/hello@{DIGEST}");
    let ours = ours.as_str();
    let pod = |image: &str| json!({"metadata": {}, "spec": {"containers": [{"image": image}]}});
    let beside = |list: &str, image: &str| {
        let mut pod = pod(ours);
        pod["spec"][list] = json!([{"image": ours}, {"image": image}]);
        pod
    };
    let second = |image: &str| {
        let containers = json!([{"image": ours}, {"image": image}]);
        json!({"metadata": {}, "spec": {"containers": containers}})
    };
    let postgres = |label: &str| {
        let mut pod = pod("ghcr.io/cloudnative-pg/postgresql:18.1");
        pod["metadata"]["labels"] = json!({label: "hello-db"});
        pod
    };
    let tag = "ghcr.io/example/hello:1.4.0";
    let cases = [
        ("a digest", pod(ours), true),
        (
            "a tag with its digest",
            pod(&format!("{tag}@{DIGEST}")),
            true,
        ),
        (
            "the registry of our tools",
            pod(&format!("registry.example.com/curl@{DIGEST}")),
            true,
        ),
        (
            "a digest of an initContainer",
            beside("initContainers", ours),
            true,
        ),
        ("a tag", pod(tag), false),
        ("an image with neither", pod("ghcr.io/example/hello"), false),
        ("a tag of a second container", second(tag), false),
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
            pod(&format!("docker.io/example/hello@{DIGEST}")),
            false,
        ),
        (
            "a registry that looks alike",
            pod(&format!("registry.examplexcom/curl@{DIGEST}")),
            false,
        ),
        (
            "our registry in the path of another",
            pod(&format!("evil.example/ghcr.io/example/hello@{DIGEST}")),
            false,
        ),
        (
            "a second container of somebody else's",
            second("docker.io/kumahq/kuma-dp:2.14.3"),
            false,
        ),
        (
            "a pod of CloudNativePG",
            postgres("cnpg.io/cluster"),
            with_postgres,
        ),
        (
            "a pod with a label like CloudNativePG's",
            postgres("cnpg.io/clusters"),
            false,
        ),
    ];
    for (what, pod, wanted) in cases {
        match (admits(policy, &pod)?, wanted) {
            (true, false) => bail!("it lets in {what}"),
            (false, true) => bail!("it refuses {what}"),
            _ => {}
        }
    }
    Ok(())
}

/// The pods of deploy/chart, with the values of each cluster: images-by-digest lets them in, and
/// images-signed looks at the service.
fn lets_in_the_service(checker: &Checker, policies: &[Value]) -> Result<()> {
    let (digests, signatures) = (digests(policies)?, signatures(policies)?);
    let covered = references(&signatures)?;
    let mut seen = 0;
    for values in deploy_tests::service_values()?.into_values() {
        for object in checker.objects(&values, &[])? {
            let object = object.object;
            let pod = match object["kind"].as_str() {
                Some("SpinApp") => {
                    let image = object["spec"]["image"].as_str().unwrap_or("");
                    ensure!(
                        covered.iter().any(|start| image.starts_with(start)),
                        "no signature is asked for of {image}"
                    );
                    json!({"metadata": {}, "spec": {"containers": [{"image": image}]}})
                }
                Some("Job") => object["spec"]["template"].clone(),
                Some("CronJob") => object["spec"]["jobTemplate"]["spec"]["template"].clone(),
                _ => continue,
            };
            ensure!(
                admits(&digests, &pod)?,
                "the pods of {} are refused",
                name_of(&object)
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

/// What an image begins with that has to be signed.
fn references(policy: &Value) -> Result<Vec<&str>> {
    let patterns = rule(policy)["imageReferences"].as_array();
    let patterns = patterns.context("it names no image")?.iter();
    patterns
        .map(|pattern| {
            let start = pattern.as_str().and_then(|text| text.strip_suffix('*'));
            start.with_context(|| format!("{pattern} does not end in a star"))
        })
        .collect()
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
    let other = "https://github.com/example/hello/.github/workflows";
    let cases = [
        ("the release", format!("{ours}/tags/v1.4.0"), true),
        ("a branch", format!("{ours}/heads/main"), false),
        ("a pull request", format!("{ours}/pull/7/merge"), false),
        (
            "another workflow",
            format!("{other}/check.yml@refs/tags/v1.4.0"),
            false,
        ),
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
    ];
    for (who, identity, wanted) in cases {
        let given = [
            ("identity", &Value::from(identity)),
            ("pattern", &keyless["subjectRegExp"]),
        ];
        let taken = answer(&Value::from("identity.matches(pattern)"), &given)?;
        match (taken, wanted) {
            (true, false) => bail!("it takes the signature of {who}"),
            (false, true) => bail!("it does not take the signature of {who}"),
            _ => {}
        }
    }
    Ok(())
}
