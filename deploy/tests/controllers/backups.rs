//! Velero itself, with moto for S3 and EBS: what it saves of a cluster by our schedules, it restores
//! into a cluster that has lost it, by Velero's own CLI.
//!
//! The chart of Velero is no Go module, so its arguments and its rights, the administrator's, are by
//! hand. The objects of hello are there without the controllers that would act on them, and its volume
//! without the CSI driver: Kubernetes binds the claim, and Velero has EBS snapshot and restore it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::OnceLock,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, ensure};
use cluster::{control_plane::ControlPlane, kubectl::Kubectl, site::NAMESPACE as HELLO};
use deploy_tests::{
    checker::{Checker, none, succeeded},
    moto::Moto,
    mutation::Mutations,
    objects::{list, listed, name, text, title},
};
use harness::{client::Connection, process::Process, wait::wait_until};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use tools::fetch::go;

use crate::{
    delivered::{Delivered, values},
    plane,
};

/// The one whose hello has a volume: its Postgres is in the cluster.
const CLUSTER: &str = "dev";

const VELERO: &str = "velero";

/// A namespace of the platform, with what is not in Git.
const OTHER: &str = "cert-manager";

/// The stage's bucket, as Terraform names it, and the region of both.
const BUCKET: &str = "example-dev-hello-backups";
const REGION: &str = "eu-central-1";

/// The name of the volume in Kubernetes, and of its claim.
const VOLUME: &str = "hello-db-1";

/// Where Velero says how it is.
const PORT: u16 = 8085;

/// How long it may take to validate a location, and Kubernetes to bind a claim.
const TIMEOUT: Duration = Duration::from_secs(30);

type Check = fn(&Run) -> Result<()>;

pub fn trials(checker: &Checker, mutations: &Mutations) -> Vec<Trial> {
    let checks: [(&str, Check); 2] = [
        ("velero: hello is restored, with its volume", hello),
        (
            "velero: the rest of a cluster is restored, without hello",
            others,
        ),
    ];
    let trials = checks.map(|(name, check)| {
        let checker = checker.clone();
        mutations.trials(name, move |tree| {
            let plane = plane()?;
            controllers(plane)?;
            clean(&plane.kubectl)?;
            let run = Run::start(&checker, tree)?;
            let outcome = check(&run);
            // Its own end would take half a minute.
            run.velero.kill()?;
            outcome
        })
    });
    trials.into_iter().flatten().collect()
}

/// hello and its volume are lost, and restored.
fn hello(run: &Run) -> Result<()> {
    let before = contents(&run.plane.kubectl)?;
    run.back_up("hello")?;
    run.is_counted("hello")?;
    let snapshots = run.ec2("snapshots")?;
    let [snapshot] = list(&snapshots, "/Snapshots") else {
        return Err(anyhow!(
            "{} snapshots were made",
            list(&snapshots, "/Snapshots").len()
        ));
    };
    let kubectl = &run.plane.kubectl;
    kubectl.run(&["delete", "namespace", HELLO])?;
    kubectl.run(&["delete", "persistentvolume", VOLUME])?;
    run.velero(&[
        "restore",
        "create",
        "hello",
        "--from-backup",
        "hello",
        "--wait",
    ])?;
    run.completed("restore", "hello")?;
    same(&before, &contents(kubectl)?)?;

    wait_until(
        "the claim to be bound",
        TIMEOUT,
        Duration::from_millis(200),
        || {
            let claim = kubectl.get(&["persistentvolumeclaim", VOLUME, "--namespace", HELLO])?;
            anyhow::Ok((text(&claim, "/status/phase") == "Bound").then_some(()))
        },
    )?;
    let restored = kubectl.get(&["persistentvolume", VOLUME])?;
    let handle = text(&restored, "/spec/csi/volumeHandle");
    ensure!(handle != run.volume, "{handle} is the volume that was lost");
    let volumes = run.ec2("volumes")?;
    let mut volumes = list(&volumes, "/Volumes").iter();
    let volume = volumes.find(|volume| volume["VolumeId"] == handle);
    let volume = volume.with_context(|| format!("EBS has no {handle}"))?;
    ensure!(
        volume["SnapshotId"] == snapshot["SnapshotId"],
        "{volume} is of no snapshot of ours"
    );
    // The role may snapshot a volume that has this tag, and no other: the next backup needs it.
    let is_tagged = list(volume, "/Tags").contains(&tag());
    ensure!(
        is_tagged,
        "its role could not snapshot what it restored: {volume}"
    );
    Ok(())
}

/// What only the cluster had is lost, and restored; hello has its own schedule.
fn others(run: &Run) -> Result<()> {
    run.back_up("cluster")?;
    run.is_counted("cluster")?;
    let kubectl = &run.plane.kubectl;
    let secret = ["secret", "account", "--namespace", OTHER];
    let role = ["clusterrole", "by-hand"];
    let before = [kubectl.get(&secret)?, kubectl.get(&role)?];
    kubectl.run(&["delete", "namespace", OTHER, HELLO])?;
    kubectl.run(&[&["delete"], &role[..]].concat())?;
    run.velero(&[
        "restore",
        "create",
        "cluster",
        "--from-backup",
        "cluster",
        "--wait",
    ])?;
    run.completed("restore", "cluster")?;
    for (before, what) in before.iter().zip([&secret[..], &role]) {
        let after = kubectl.get(what)?;
        ensure!(
            kept(before) == kept(&after),
            "{before} was restored as {after}"
        );
    }
    let hello = kubectl.run(&["get", "namespace", HELLO, "--ignore-not-found"])?;
    ensure!(
        hello.is_empty(),
        "it restores the namespace of hello, too: {hello}"
    );
    Ok(())
}

/// A cluster with hello in it, and Velero with what a tree tells it.
struct Run {
    plane: &'static ControlPlane,
    moto: Moto,
    /// hello's, as EBS names it.
    volume: String,
    velero: Process,
}

impl Run {
    fn start(checker: &Checker, tree: &Path) -> Result<Self> {
        let plane = plane()?;
        let delivered = Delivered::of(checker, tree, CLUSTER)?;
        let addon = delivered.application(VELERO)?;
        is_pinned(values(addon))?;
        let directory = tools::fresh("velero")?;
        let moto = Moto::start(&directory)?;
        let bucket = format!("s3://{BUCKET}");
        succeeded(
            moto.command("aws")
                .args(["s3", "mb", &bucket, "--region", REGION]),
        )?;
        let volume = volume(&moto)?;

        let kubectl = &plane.kubectl;
        let storage = delivered.objects(delivered.application("storage")?)?;
        kubectl.apply(&listed(&storage), &[])?;
        for (namespace, objects) in [
            (
                HELLO,
                [delivered.service(HELLO, &[])?, claimed(&volume)].concat(),
            ),
            (OTHER, lost_with_a_cluster()),
            (
                VELERO,
                [delivered.objects(addon)?, vec![deployment()]].concat(),
            ),
        ] {
            let metadata = json!({"name": namespace});
            let there = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata});
            kubectl.apply(&there.to_string(), &[])?;
            kubectl.apply(
                &listed(&objects),
                &["--namespace", namespace, "--force-conflicts"],
            )?;
        }
        let run = Self {
            plane,
            volume,
            velero: start(plane, &moto, &directory)?,
            moto,
        };
        run.is_available()?;
        Ok(run)
    }

    fn is_available(&self) -> Result<()> {
        let mut said = String::new();
        let available = wait_until(
            "the backup location",
            TIMEOUT,
            Duration::from_millis(500),
            || {
                let location = ["backupstoragelocation", "default", "--namespace", VELERO];
                let location = self.plane.kubectl.get(&location)?;
                said = location["status"].to_string();
                anyhow::Ok((location["status"]["phase"] == "Available").then_some(()))
            },
        );
        available.with_context(|| said)
    }

    /// As whoever operates a cluster.
    fn velero(&self, arguments: &[&str]) -> Result<String> {
        let kubeconfig = self.plane.kubectl.kubeconfig();
        let mut velero = self
            .moto
            .command(&tools::find_or_fetch("velero")?.display().to_string());
        velero
            .args(["--namespace", VELERO, "--kubeconfig"])
            .arg(kubeconfig);
        succeeded(velero.args(arguments))
    }

    /// Makes the backup that a schedule would make at its hour, under the schedule's name.
    fn back_up(&self, schedule: &str) -> Result<()> {
        let create = [
            "backup",
            "create",
            schedule,
            "--from-schedule",
            schedule,
            "--wait",
        ];
        self.velero(&create)?;
        self.completed("backup", schedule)
    }

    /// Without an error, and without a warning of what it has left out.
    fn completed(&self, kind: &str, name: &str) -> Result<()> {
        let resource = format!("{kind}.velero.io/{name}");
        let made = self
            .plane
            .kubectl
            .get(&[&resource, "--namespace", VELERO])?;
        let status = &made["status"];
        if status["phase"] != "Completed" || !status["errors"].is_null() {
            let log = self.velero(&[kind, "logs", name]).unwrap_or_default();
            let log = log.lines().filter(|line| line.contains("level=error"));
            return Err(anyhow!("{status}\n{}", log.collect::<Vec<_>>().join("\n")));
        }
        Ok(())
    }

    /// The alert ClusterBackupTooOld asks for this.
    fn is_counted(&self, schedule: &str) -> Result<()> {
        let answer = Connection::open(PORT)?.exchange("GET", "/metrics", &[], b"")?;
        let metrics = String::from_utf8(answer.body)?;
        let series = format!("velero_backup_last_successful_timestamp{{schedule=\"{schedule}\"}} ");
        ensure!(
            metrics.contains(&series),
            "there is no {series}in its metrics"
        );
        Ok(())
    }

    /// All of the account's `snapshots` or `volumes`.
    fn ec2(&self, what: &str) -> Result<Value> {
        let describe = format!("describe-{what}");
        // moto has many snapshots, of images.
        let own = ["--filters", "Name=tag-key,Values=velero.io/backup"];
        let mut aws = self.moto.command("aws");
        aws.args(["ec2", &describe, "--region", REGION, "--output=json"])
            .args(own);
        Ok(serde_json::from_str(&succeeded(&mut aws)?)?)
    }
}

/// Takes away what others have left, and a run that did not get to its end.
fn clean(kubectl: &Kubectl) -> Result<()> {
    let (gone, kinds) = (
        "--ignore-not-found",
        kubectl.run(&["api-resources", "--api-group=velero.io", "--output=name"])?,
    );
    // Velero, which removes its own finalizers, does not run.
    for kind in kinds.lines() {
        for object in list(&kubectl.get(&[kind, "--namespace", VELERO])?, "/items") {
            kubectl.run(&[
                "patch",
                kind,
                name(object),
                "--namespace",
                VELERO,
                "--type=merge",
                r#"--patch={"metadata":{"finalizers":null}}"#,
            ])?;
            kubectl.run(&["delete", kind, name(object), "--namespace", VELERO, gone])?;
        }
    }
    kubectl.run(&["delete", "namespace", HELLO, OTHER, gone])?;
    kubectl.run(&["delete", "persistentvolume", VOLUME, gone])?;
    Ok(())
}

/// What of kube-controller-manager binds claims and deletes what they are bound to, and namespaces.
fn controllers(plane: &ControlPlane) -> Result<()> {
    static STARTED: OnceLock<Result<Process, String>> = OnceLock::new();
    let started = STARTED.get_or_init(|| {
        let started = plane.start_controllers_of(&[
            "namespace-controller",
            "persistentvolume-binder-controller",
            "persistentvolume-protection-controller",
            "persistentvolumeclaim-protection-controller",
            "serviceaccount-controller",
        ]);
        started.map_err(|error| format!("{error:#}"))
    });
    started
        .as_ref()
        .map(drop)
        .map_err(|error| anyhow!("{error}"))
}

/// The plugin that runs here is the one that the cluster gets: each Velero has its own.
fn is_pinned(values: &Value) -> Result<()> {
    let image = text(values, "/initContainers/0/image");
    let (_, tag) = image.rsplit_once(':').context("its image has a tag")?;
    let module = go::pinned_module(VELERO, "github.com/vmware-tanzu/velero-plugin-for-aws")?;
    ensure!(
        module.ends_with(format!("velero-plugin-for-aws@{tag}")),
        "{image} is not what runs here: {}",
        module.display()
    );
    Ok(())
}

/// Starts the server, as the service account that the role is of.
fn start(plane: &ControlPlane, moto: &Moto, directory: &Path) -> Result<Process> {
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": VELERO},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "cluster-admin",
        },
        "subjects": [{"kind": "ServiceAccount", "name": VELERO, "namespace": VELERO}],
    });
    plane.kubectl.apply(&binding.to_string(), &[])?;
    let user = format!("system:serviceaccount:{VELERO}:{VELERO}");
    // A colon, as its user has, would part two files.
    let kubeconfig = directory.join("kubeconfig");
    fs::copy(plane.kubeconfig(&user, "")?, &kubeconfig)?;
    // It takes every program in there for a plugin.
    let (plugin, plugins) = ("velero-plugin-for-aws", directory.join("plugins"));
    fs::create_dir(&plugins)?;
    fs::hard_link(tools::find_or_fetch(plugin)?, plugins.join(plugin))?;
    let mut server = moto.command(&tools::find_or_fetch("velero")?.display().to_string());
    server
        .args(["server", "--namespace", VELERO])
        // Its own plugins, which it starts as processes, find it here alone.
        .env("KUBECONFIG", kubeconfig)
        .arg("--plugin-dir")
        .arg(plugins)
        .arg(format!("--metrics-address=127.0.0.1:{PORT}"));
    plane.start_controller(VELERO, &mut server, || {
        harness::client::is_ok(PORT, "/metrics")
    })
}

/// Its own Deployment, where it looks for the image of what it would start beside a restored pod.
fn deployment() -> Value {
    let labels = json!({"name": VELERO});
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": VELERO},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": VELERO, "image": "docker.io/velero/velero"}]},
            },
        },
    })
}

/// The tag that the CSI driver gives its volumes.
fn tag() -> Value {
    json!({"Key": "ebs.csi.aws.com/cluster", "Value": "true"})
}

/// A volume, as the CSI driver makes them.
fn volume(moto: &Moto) -> Result<String> {
    let tags = json!([{"ResourceType": "volume", "Tags": [tag()]}]).to_string();
    let mut aws = moto.command("aws");
    aws.args([
        "ec2",
        "create-volume",
        "--region",
        REGION,
        "--output=json",
        "--size=20",
    ])
    .arg(format!("--availability-zone={REGION}a"))
    .args(["--tag-specifications", &tags]);
    let made: Value = serde_json::from_str(&succeeded(&mut aws)?)?;
    Ok(text(&made, "/VolumeId").to_owned())
}

/// What CloudNativePG and the CSI driver would make of it in Kubernetes; and a Secret, as External
/// Secrets does.
fn claimed(volume: &str) -> Vec<Value> {
    let size = json!({"storage": "20Gi"});
    let (modes, class) = (json!(["ReadWriteOnce"]), "gp3");
    let zones = json!([{
        "key": "topology.ebs.csi.aws.com/zone",
        "operator": "In",
        "values": [format!("{REGION}a")],
    }]);
    vec![
        json!({
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": VOLUME},
            "spec": {
                "accessModes": modes,
                "capacity": size,
                "storageClassName": class,
                "persistentVolumeReclaimPolicy": "Delete",
                "csi": {"driver": "ebs.csi.aws.com", "fsType": "ext4", "volumeHandle": volume},
                "claimRef": {"namespace": HELLO, "name": VOLUME},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": zones}]}},
            },
        }),
        json!({
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": VOLUME, "labels": {"cnpg.io/cluster": "hello-db"}},
            "spec": {
                "accessModes": modes,
                "resources": {"requests": size},
                "storageClassName": class,
                "volumeName": VOLUME,
            },
        }),
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "made"},
            "stringData": {"user": "hello"},
        }),
    ]
}

/// The account of the ACME server, and a change that was made by hand.
fn lost_with_a_cluster() -> Vec<Value> {
    vec![
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "account", "labels": {"for": "acme"}},
            "stringData": {"account": "acme"},
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "by-hand"},
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}],
        }),
    ]
}

/// What the namespace of hello has, but for what Kubernetes itself writes there.
fn contents(kubectl: &Kubectl) -> Result<BTreeMap<String, Value>> {
    let kinds = kubectl.run(&[
        "api-resources",
        "--namespaced",
        "--verbs=list,create,delete",
        "--output=name",
    ])?;
    let kinds: Vec<&str> = kinds
        .lines()
        .filter(|kind| !kind.starts_with("events"))
        .collect();
    let all = kubectl.get(&[&kinds.join(","), "--namespace", HELLO])?;
    let all = list(&all, "/items").iter();
    let all: BTreeMap<String, Value> = all.map(|object| (title(object), kept(object))).collect();
    ensure!(
        all.len() > 10,
        "there are but {} objects in {HELLO}",
        all.len()
    );
    Ok(all)
}

/// What of an object is to come back: not what says how it is, nor what it was given by Kubernetes.
fn kept(object: &Value) -> Value {
    let mut kept = object.clone();
    kept["status"].take();
    forget(&mut kept, &|key| {
        key.starts_with("clusterIP") || key.ends_with("controller-uid")
    });
    let metadata = kept["metadata"].take();
    let ours = |field: &str, foreign: &str| -> Value {
        let fields = metadata[field].as_object().into_iter().flatten();
        let fields = fields.filter(|(key, _)| !key.contains(foreign));
        fields
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    };
    kept["metadata"] = json!({
        "name": metadata["name"],
        "labels": ours("labels", "velero.io/"),
        "annotations": ours("annotations", "pv.kubernetes.io/"),
    });
    kept
}

/// Takes out every member with such a key, at whatever depth.
fn forget(value: &mut Value, is_given: &impl Fn(&str) -> bool) {
    match value {
        Value::Object(fields) => {
            fields.retain(|key, _| !is_given(key));
            fields
                .values_mut()
                .for_each(|field| forget(field, is_given));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| forget(item, is_given)),
        _ => {}
    }
}

fn same(before: &BTreeMap<String, Value>, after: &BTreeMap<String, Value>) -> Result<()> {
    let titles: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    none(titles.into_iter().filter_map(|title| {
        let found = [before, after].map(|objects| objects.get(title));
        (found[0] != found[1]).then(|| match found {
            [Some(before), Some(after)] => {
                format!("{title} was restored otherwise: {before}\n{after}")
            }
            [Some(_), None] => format!("{title} was not restored"),
            _ => format!("{title} was not there before"),
        })
    }))
}
