//! Cluster API and its provider for AWS (CAPA) themselves, with moto for AWS: their webhooks judge our
//! clusters, and what they call AWS for is what our clusters say.
//!
//! clusterctl installs them by the command and the configuration of the bootstrap, and the managers run
//! with the arguments and rights that it gives them. moto's EKS makes no security group of a cluster,
//! which [`Run::security_group`] does; and it has no access configuration, entries, add-ons and newer
//! versions of nodes: what CAPA calls for after these is not proved.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::Ipv4Addr,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use cluster::{cluster_api, control_plane::ControlPlane, crds};
use deploy_tests::{
    checker::{Checker, none, succeeded, trial},
    moto::{ACCOUNT, Call, Moto},
    mutation::{Mutations, fails, mutate, set},
    objects::{fields, list, listed, name, named, of_kind, only, parsed, strings, text, title},
    once::Once,
    platform, stem, yaml,
};
use harness::{process::Process, wait::wait_until};
use libtest_mimic::Trial;
use serde_json::{Map, Value, json};
use tools::root;

/// The namespace of all clusters, and who reads in it how Argo CD reaches them.
const NAMESPACE: &str = "clusters";
const READER: &str = "system:serviceaccount:argocd:cluster-registration";

/// The one that others are made like.
const CLUSTER: &str = "dev";

/// Beside the cluster of the other trials.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 21);
const OTHERS: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 0, 0, 22), Ipv4Addr::new(10, 0, 0, 23)];

/// As Argo CD applies, by the options of deploy/platform/argocd/clusters.yaml.
const APPLIED: [&str; 2] = ["--field-manager=argocd-controller", "--force-conflicts"];

/// How long a call may take to come: CAPA tries again after a while that gets longer.
const CALLED: Duration = Duration::from_secs(45);

pub fn trials(checker: &Checker, mutations: &Mutations) -> Vec<Trial> {
    let mut trials = Vec::new();
    let called = "clusters, called for";
    for cluster in platform::clusters().iter().map(|file| stem(file)) {
        let checker = checker.clone();
        let title =
            format!("{called}, {cluster}: EKS has what it says, and Argo CD has nothing to do");
        trials.push(trial(title, move || {
            let run = Run::of_this_tree(&checker)?;
            run.is_called_for(run.there(&cluster, &cluster)?)
        }));
    }
    for (number, [file, from, to, says]) in (1..).zip(mutations.rows(called)) {
        let checker = checker.clone();
        let title = format!("{called}: {to:?} for {from:?} in {file} fails");
        trials.push(trial(title, move || {
            let tree = mutate(&file, &from, &to)?;
            // In the same account as others, under a name of its own.
            let run = Run::of_this_tree(&checker)?;
            let made = run.made(tree.path(), CLUSTER, &format!("broken-{number}"));
            fails(made.and_then(|made| run.is_called_for(&made)), &says)
        }));
    }
    let refused = "clusters, refused by a webhook";
    for [object, pointer, value, says] in mutations.rows(refused) {
        let checker = checker.clone();
        let title = format!("{refused}: {value} at {pointer} of {object}");
        trials.push(trial(title, move || {
            let run = Run::of_this_tree(&checker)?;
            let mut objects = run.there(CLUSTER, "refused")?.objects.clone();
            run.tried(&objects).context("it is refused before")?;
            set(&mut objects, &object, &pointer, &value)?;
            fails(run.tried(&objects), &says)
        }));
    }
    let bootstrap = "clusters, the bootstrap installs what takes them";
    for [file, from, to, says] in mutations.rows(bootstrap) {
        let checker = checker.clone();
        let title = format!("{bootstrap}: {to:?} for {from:?} in {file} fails");
        trials.push(trial(title, move || {
            let tree = mutate(&file, &from, &to)?;
            let aws = Run::aws("clusters-broken-aws")?;
            let run = Run::start(&checker, tree.path(), "clusters-broken", OTHERS[0], &aws);
            let outcome = run.and_then(|run| {
                let outcome = run.tried(&run.rendered(tree.path(), CLUSTER, &[])?);
                run.end()?;
                outcome
            });
            fails(outcome, &says)
        }));
    }
    let checker = checker.clone();
    trials.extend(mutations.trials("clusters, handed over", move |tree| {
        handed_over(&checker, tree)
    }));
    trials
}

/// The management cluster, which a bootstrap cluster has made, is handed over to itself.
fn handed_over(checker: &Checker, tree: &Path) -> Result<()> {
    let aws = Run::aws("clusters-handed-aws")?;
    let bootstrap = Run::start(checker, tree, "clusters-bootstrap", OTHERS[0], &aws)?;
    let management = Run::start(checker, tree, "clusters-management", OTHERS[1], &aws)?;
    let outcome = bootstrap.hands_over(&management, tree);
    bootstrap.end()?;
    management.end()?;
    outcome
}

/// A management cluster, and AWS.
struct Run {
    checker: Checker,
    moto: Arc<Moto>,
    managers: Vec<Process>,
    _controllers: Process,
    plane: ControlPlane,
    directory: PathBuf,
}

/// A cluster whose objects have been applied.
struct Made {
    tree: PathBuf,
    name: String,
    region: String,
    objects: Vec<Value>,
}

impl Run {
    /// The one that all trials share which change nothing of how it is installed. It has the management
    /// cluster first: CAPA makes the identity that all others begin with for that one alone.
    fn of_this_tree(checker: &Checker) -> Result<&'static Self> {
        static SHARED: Once<Run> = Once::new();
        let run = SHARED.get("", || {
            Self::start(
                checker,
                &root(),
                "clusters",
                ADDRESS,
                &Self::aws("clusters-aws")?,
            )
        })?;
        run.there("management", "management")?;
        Ok(run)
    }

    /// [`Run::made`], once, of a cluster as this tree has it.
    fn there(&self, cluster: &str, name: &str) -> Result<&'static Made> {
        static THERE: Once<Made> = Once::new();
        THERE.get(name, || self.made(&root(), cluster, name))
    }

    /// moto, which records all that is called for from the beginning.
    fn aws(name: &str) -> Result<Arc<Moto>> {
        let moto = Moto::start(&tools::fresh(name)?)?;
        moto.record()?;
        Ok(Arc::new(moto))
    }

    fn start(
        checker: &Checker,
        tree: &Path,
        name: &str,
        address: Ipv4Addr,
        moto: &Arc<Moto>,
    ) -> Result<Self> {
        let directory = tools::fresh(name)?;
        let plane = ControlPlane::start_at(address, &directory)?;
        let brought = [
            "github.com/cert-manager/cert-manager",
            "github.com/external-secrets/external-secrets",
        ];
        crds::install_of(&plane.kubectl, &brought)?;
        let controllers = plane.start_controllers_of(&[
            "clusterrole-aggregation-controller",
            "namespace-controller",
            "serviceaccount-controller",
        ])?;
        let mut init = init(tree, &directory, plane.kubectl.kubeconfig())?;
        let launch = |program: &Path| moto.command(&program.display().to_string());
        let managers = cluster_api::start(&plane, address, &directory, &mut init, launch)?;
        for namespace in [NAMESPACE, "argocd"] {
            plane.kubectl.run(&["create", "namespace", namespace])?;
        }
        Ok(Self {
            checker: checker.clone(),
            moto: Arc::clone(moto),
            managers,
            _controllers: controllers,
            plane,
            directory,
        })
    }

    /// Their own end would take half a minute.
    fn end(self) -> Result<()> {
        self.managers.into_iter().try_for_each(Process::kill)
    }

    fn rendered(&self, tree: &Path, cluster: &str, settings: &[&str]) -> Result<Vec<Value>> {
        let yaml = platform::cluster_api_of(&self.checker, tree, cluster, settings)?;
        let mut objects = parsed(&yaml)?;
        for object in &mut objects {
            let is_namespaced = !text(object, "/kind").ends_with("Identity");
            if is_namespaced && text(object, "/metadata/namespace").is_empty() {
                object["metadata"]["namespace"] = NAMESPACE.into();
            }
        }
        Ok(objects)
    }

    /// What the API server and the webhooks say of these objects, which are not stored.
    fn tried(&self, objects: &[Value]) -> Result<()> {
        let arguments = [&APPLIED[..], &["--dry-run=server"]].concat();
        self.plane.kubectl.apply(&listed(objects), &arguments)?;
        Ok(())
    }

    /// Makes what Terraform makes for a cluster of this tree, and applies the cluster's objects.
    fn made(&self, tree: &Path, cluster: &str, name: &str) -> Result<Made> {
        let named = format!("cluster.name={name}");
        let objects = self.rendered(tree, cluster, &[&named])?;
        let plane = &only(&objects, "AWSManagedControlPlane")?["spec"];
        let region = text(plane, "/region").to_owned();
        let mut settings = vec![named];
        settings.extend(self.network(plane, name, &region)?);
        for role in ["control-plane", "nodes", "capa"] {
            self.role(&format!("{name}-{role}"), &region)?;
        }
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        let objects = self.rendered(tree, cluster, &settings)?;
        self.plane.kubectl.apply(&listed(&objects), &APPLIED)?;
        Ok(Made {
            tree: tree.to_owned(),
            name: name.to_owned(),
            region,
            objects,
        })
    }

    /// The VPC and the private subnets of terraform/modules/network, and their ids as settings.
    fn network(&self, plane: &Value, name: &str, region: &str) -> Result<Vec<String>> {
        let block = text(plane, "/network/vpc/cidrBlock");
        let make = |kind: &str, tags: &[(&str, &str)], parameters: &[(&str, &str)]| {
            let specified = "TagSpecification.1.";
            let mut form = vec![(format!("{specified}ResourceType"), kind.to_owned())];
            for (number, (key, value)) in (1..).zip(tags) {
                form.push((format!("{specified}Tag.{number}.Key"), (*key).to_owned()));
                form.push((
                    format!("{specified}Tag.{number}.Value"),
                    (*value).to_owned(),
                ));
            }
            let mut form: Vec<(&str, &str)> =
                form.iter().map(|(key, value)| (&**key, &**value)).collect();
            form.extend(parameters);
            self.moto.query("ec2", region, &form)
        };
        let make_vpc = [("Action", "CreateVpc"), ("CidrBlock", block)];
        let vpc = make("vpc", &[("Name", name)], &make_vpc)?;
        let vpc = within(&vpc, "vpcId")?;
        let mut ids = vec![format!("network.vpc={vpc}")];
        let (network, _) = block.split_once(".0.0/16").context("it is a /16")?;
        let cluster = format!("kubernetes.io/cluster/{name}");
        for (number, subnet) in list(plane, "/network/subnets").iter().enumerate() {
            let zone = text(subnet, "/availabilityZone");
            let made = make(
                "subnet",
                &[
                    ("Name", &format!("{name}-private-{zone}")),
                    (&cluster, "shared"),
                    ("kubernetes.io/role/internal-elb", "1"),
                ],
                &[
                    ("Action", "CreateSubnet"),
                    ("VpcId", vpc),
                    ("AvailabilityZone", zone),
                    ("CidrBlock", &format!("{network}.{}.0/19", 32 * number)),
                ],
            )?;
            let id = within(&made, "subnetId")?;
            ids.push(format!("network.subnets.{zone}={id}"));
        }
        Ok(ids)
    }

    fn role(&self, name: &str, region: &str) -> Result<()> {
        let create = [
            ("Action", "CreateRole"),
            ("RoleName", name),
            ("AssumeRolePolicyDocument", "{}"),
        ];
        self.moto.query("iam", region, &create).map(drop)
    }

    fn is_called_for(&self, made: &Made) -> Result<()> {
        let name = &made.name;
        let calls = |action| self.calls(made, action);
        let created = self.await_for(made, "EKS's cluster", || {
            Ok(calls("eks:CreateCluster")?.pop())
        })?;
        let count = calls("eks:CreateCluster")?.len();
        ensure!(count == 1, "{name} is made {count} times");
        self.security_group(made)?;
        let plane = self.live("awsmanagedcontrolplane", name)?;
        differ("EKS's cluster", &cluster_of(made, &plane)?, &created)?;

        let pools = of_kind(&made.objects, "AWSManagedMachinePool").count();
        let groups = self.await_for(made, "EKS's node groups", || {
            let groups = calls("eks:CreateNodegroup")?;
            Ok((groups.len() == pools).then_some(groups))
        })?;
        for pool in of_kind(&made.objects, "AWSManagedMachinePool") {
            let group = node_group_of(made, pool)?;
            let mut found = groups.iter();
            let found = found.find(|found| found["nodegroupName"] == group["nodegroupName"]);
            let found = found.with_context(|| format!("EKS has no group of {}", title(pool)))?;
            differ(&title(pool), &group, found)?;
        }
        self.is_registered(made)?;
        self.is_allowed(made)?;
        self.is_settled(made)
    }

    /// The commands of the bootstrap move what its cluster has made; where it then is, it is not made
    /// again, and has what Argo CD will apply there.
    fn hands_over(&self, to: &Self, tree: &Path) -> Result<()> {
        let name = "management";
        let made = self.made(tree, name, name)?;
        self.is_called_for(&made)?;
        self.await_for(&made, "the phase", || {
            let cluster = self.live("cluster", name)?;
            Ok((cluster["status"]["phase"] == "Provisioned").then_some(()))
        })?;
        let target = self.directory.join("target");
        fs::create_dir(&target)?;
        for (name, run) in [("bootstrap", self), (name, to)] {
            let file = target.join(format!("{name}.kubeconfig"));
            symlink(run.plane.kubectl.kubeconfig(), file)?;
        }
        let step = bootstrap(tree, "7. Hand the cluster over.", "   ```sh\n", "   ```\n")?;
        succeeded(bash(&step, &self.directory).current_dir(&self.directory))?;

        let left = [
            "get",
            "cluster,awsmanagedcontrolplane",
            "--namespace",
            NAMESPACE,
        ];
        let left = self.plane.kubectl.run(&left)?;
        ensure!(left.is_empty(), "the bootstrap cluster still has {left}");
        let calls = self.moto.recorded()?.len();
        to.await_for(&made, "CAPA's first call there", || {
            let is_paused = to.live("cluster", name)?["spec"]["paused"] == true;
            let calls = self.moto.recorded()?.len() - calls;
            Ok((!is_paused && calls > 0).then_some(()))
        })?;
        to.is_called_for(&made)
    }

    /// The group that EKS makes for a cluster and its nodes, which moto's does not.
    fn security_group(&self, made: &Made) -> Result<()> {
        let path = format!("/clusters/{}", made.name);
        let cluster = self.moto.rest("eks", &made.region, &path, "")?;
        let mut network = cluster["cluster"]["resourcesVpcConfig"].clone();
        if network["clusterSecurityGroupId"].is_string() {
            return Ok(());
        }
        let group = format!("eks-cluster-sg-{}", made.name);
        let plane = only(&made.objects, "AWSManagedControlPlane")?;
        let create = [
            ("Action", "CreateSecurityGroup"),
            ("GroupName", &group),
            ("GroupDescription", "EKS's own"),
            ("VpcId", text(plane, "/spec/network/vpc/id")),
            ("TagSpecification.1.ResourceType", "security-group"),
            ("TagSpecification.1.Tag.1.Key", "aws:eks:cluster-name"),
            ("TagSpecification.1.Tag.1.Value", &made.name),
        ];
        let created = self.moto.query("ec2", &made.region, &create)?;
        network["clusterSecurityGroupId"] = within(&created, "groupId")?.into();
        let update = json!({"resourcesVpcConfig": network}).to_string();
        let path = format!("{path}/update-config");
        self.moto.rest("eks", &made.region, &path, &update)?;
        Ok(())
    }

    /// Of the kubeconfig that CAPA writes, Argo CD's Secret is made, by who may read it.
    fn is_registered(&self, made: &Made) -> Result<()> {
        let secret = format!("{}-kubeconfig", made.name);
        self.await_for(made, "the kubeconfig", || {
            Ok(self.live("secret", &secret).ok())
        })?;
        let Ok(external) = only(&made.objects, "ExternalSecret") else {
            // It is where Argo CD runs.
            return Ok(());
        };
        let kubeconfig = self.plane.kubectl.run(&[
            "get",
            "secret",
            text(external, "/spec/data/0/remoteRef/key"),
            "--namespace",
            NAMESPACE,
            "--as",
            READER,
            "--output=go-template={{.data.value | base64decode}}",
        ])?;
        let path = format!("/clusters/{}", made.name);
        let cluster = &self.moto.rest("eks", &made.region, &path, "")?["cluster"];
        let secret = platform::registered(&self.checker, external, &kubeconfig)?;
        let config: Value = serde_json::from_str(text(&secret, "/config"))?;
        let found = json!({
            "server": secret["server"],
            "caData": config["tlsClientConfig"]["caData"],
            "clusterName": config["awsAuthConfig"]["clusterName"],
        });
        let expected = json!({
            "server": cluster["endpoint"],
            "caData": cluster["certificateAuthority"]["data"],
            "clusterName": made.name,
        });
        differ("Argo CD's Secret", &expected, &found)
    }

    /// What was called for this cluster is by its role, which Terraform lets do that.
    fn is_allowed(&self, made: &Made) -> Result<()> {
        let plane = only(&made.objects, "AWSManagedControlPlane")?;
        if text(plane, "/spec/identityRef/kind") != "AWSClusterRoleIdentity" {
            return Ok(());
        }
        let policy = "deploy/platform/terraform/modules/cluster-roles/policies/capa.json.tftpl";
        let policy: Value = serde_json::from_str(&fs::read_to_string(made.tree.join(policy))?)?;
        let statements = list(&policy, "/Statement").iter();
        let mut allowed: BTreeSet<&str> = statements
            .flat_map(|statement| {
                let one = statement["Action"].as_str();
                strings(statement, "/Action").into_iter().chain(one)
            })
            .collect();
        // Everybody may ask who he is.
        allowed.insert("sts:GetCallerIdentity");
        let role = format!(":assumed-role/{}-capa/", made.name);
        let calls = self.moto.recorded()?;
        let mut keys = BTreeSet::new();
        for key in calls.iter().map(|call| &call.key).collect::<BTreeSet<_>>() {
            if self.moto.caller(key)?.contains(&role) {
                keys.insert(key);
            }
        }
        let calls = calls.iter().filter(|call| keys.contains(&call.key));
        let actions: BTreeSet<String> = calls.map(Call::action).collect::<Result<_>>()?;
        ensure!(actions.len() > 8, "by {role} there were but {actions:?}");
        let refused = actions.iter().filter(|one| !allowed.contains(one.as_str()));
        none(refused.map(|action| format!("{}-capa may not {action}", made.name)))
    }

    /// Asked as Argo CD asks, the API server would change nothing of what the controllers have
    /// completed.
    fn is_settled(&self, made: &Made) -> Result<()> {
        let set: Value = yaml(&made.tree.join("deploy/platform/argocd/clusters.yaml"))?;
        let mut objects = made.objects.clone();
        for ignored in list(&set, "/spec/template/spec/ignoreDifferences") {
            let kind = text(ignored, "/kind");
            for object in objects.iter_mut().filter(|object| object["kind"] == kind) {
                let live = self.live(kind, name(object))?;
                for pointer in strings(ignored, "/jsonPointers") {
                    let value = object.pointer_mut(pointer).context("it is there")?;
                    *value = live.pointer(pointer).cloned().unwrap_or_default();
                }
            }
        }
        let arguments = ["diff", "--server-side", "--concurrency=4", "--filename=-"];
        let arguments = [&arguments[..], &APPLIED].concat();
        let changes = self.plane.kubectl.run_with(&arguments, &listed(&objects));
        changes.context("Argo CD would change something, for ever")?;
        Ok(())
    }

    /// The bodies of the calls for a cluster, by its action at EKS.
    fn calls(&self, made: &Made, action: &str) -> Result<Vec<Value>> {
        let mut bodies = BTreeMap::new();
        for call in self.moto.recorded()? {
            if call.service == "eks" && call.region == made.region && call.action()? == action {
                let mut body: Value = serde_json::from_str(&call.body)?;
                let of = call.path.split('/').nth(2).unwrap_or(text(&body, "/name"));
                if of == made.name {
                    let token = body["clientRequestToken"].take();
                    body.as_object_mut()
                        .map(|body| body.remove("clientRequestToken"));
                    bodies.insert(token.to_string(), body);
                }
            }
        }
        Ok(bodies.into_values().collect())
    }

    fn live(&self, kind: &str, name: &str) -> Result<Value> {
        self.plane
            .kubectl
            .get(&[kind, name, "--namespace", NAMESPACE])
    }

    /// Waits for what CAPA does for a cluster, or says what it has failed in last.
    fn await_for<T>(
        &self,
        made: &Made,
        what: &str,
        look: impl FnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        let what = format!("{what} of {}", made.name);
        wait_until(&what, CALLED, Duration::from_millis(500), look).with_context(|| {
            let log = self.directory.join("logs/capa-controller-manager.log");
            let log = fs::read_to_string(log).unwrap_or_default();
            let mut lines = log.lines().rev();
            let last = lines.find(|line| {
                line.contains("Reconciler error") && line.contains(&format!("\"{}", made.name))
            });
            last.unwrap_or("CAPA has no error").to_owned()
        })
    }
}

/// The bootstrap's own command, as it is run in the management cluster, with its own configuration. No
/// release is anywhere in reach, so both are told where there are some.
fn init(tree: &Path, directory: &Path, kubeconfig: &Path) -> Result<Command> {
    let settings = tree.join("deploy/platform/clusters/bootstrap/clusterctl.yaml");
    let mut settings: Map<String, Value> = yaml(&settings)?;
    settings.insert(
        "providers".to_owned(),
        cluster_api::releases(&directory.join("releases"))?,
    );
    // JSON is YAML.
    fs::write(
        directory.join("clusterctl.yaml"),
        json!(settings).to_string(),
    )?;
    let programs = directory.join("bin");
    fs::create_dir(&programs)?;
    for program in ["clusterctl", "kubectl"] {
        symlink(tools::find_or_fetch(program)?, programs.join(program))?;
    }
    let mut init = bash(&bootstrap(tree, "", "   init() {\n", "   }\n")?, directory);
    init.args(["init", "--kubeconfig"])
        .arg(kubeconfig)
        .env("AWS_CONTROLLER_IAM_ROLE", role("management-capa"))
        .env("AWS_B64ENCODED_CREDENTIALS", "Cg==");
    Ok(init)
}

/// What the bootstrap has between `open` and `close`, after `heading`.
fn bootstrap(tree: &Path, heading: &str, open: &str, close: &str) -> Result<String> {
    let readme = tree.join("deploy/platform/clusters/bootstrap/README.md");
    let readme = fs::read_to_string(readme)?;
    let within = readme.split_once(heading).and_then(|(_, rest)| {
        let (_, rest) = rest.split_once(open)?;
        Some(rest.split_once(close)?.0.to_owned())
    });
    within.with_context(|| format!("the bootstrap has no {open:?} after {heading:?}"))
}

/// These commands, by whose variables and programs those of `directory` are meant.
fn bash(commands: &str, directory: &Path) -> Command {
    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail", "-c", commands])
        .env(
            "PATH",
            format!("{}:/usr/bin:/bin", directory.join("bin").display()),
        )
        .env("bootstrap", directory)
        .env("HOME", directory)
        .env("XDG_CONFIG_HOME", directory)
        .env("CLUSTERCTL_DISABLE_VERSIONCHECK", "true");
    bash
}

/// What EKS is to be called for, by the objects of a cluster.
fn cluster_of(made: &Made, live: &Value) -> Result<Value> {
    let plane = &only(&made.objects, "AWSManagedControlPlane")?["spec"];
    let (subnets, groups) = (
        list(plane, "/network/subnets"),
        &live["status"]["networkStatus"]["securityGroups"],
    );
    let logs = fields(plane, "/logging").filter(|(_, is_on)| **is_on == true);
    let logs: Vec<&str> = logs
        .map(|(log, _)| if log == "apiServer" { "api" } else { log })
        .collect();
    let access = &plane["accessConfig"];
    Ok(json!({
        "name": made.name,
        "version": minor(text(plane, "/version")),
        "roleArn": role(&format!("{}-control-plane", made.name)),
        "resourcesVpcConfig": {
            "subnetIds": subnets.iter().map(|subnet| &subnet["id"]).collect::<Vec<_>>(),
            "securityGroupIds": [groups["node-eks-additional"]["id"]],
            "endpointPrivateAccess": plane["endpointAccess"]["private"],
            "endpointPublicAccess": plane["endpointAccess"]["public"],
            "publicAccessCidrs": plane["endpointAccess"]["publicCIDRs"],
        },
        "kubernetesNetworkConfig": {
            "serviceIpv4Cidr": only(&made.objects, "Cluster")?["spec"]["clusterNetwork"]["services"]["cidrBlocks"][0],
        },
        "logging": {"clusterLogging": [{"enabled": true, "types": logs}]},
        "encryptionConfig": [{
            "provider": {"keyArn": plane["encryptionConfig"]["provider"]},
            "resources": plane["encryptionConfig"]["resources"],
        }],
        "accessConfig": {
            "authenticationMode": text(access, "/authenticationMode").to_uppercase(),
            "bootstrapClusterCreatorAdminPermissions": access["bootstrapClusterCreatorAdminPermissions"],
        },
        "upgradePolicy": {"supportType": text(plane, "/upgradePolicy").to_uppercase()},
        "bootstrapSelfManagedAddons": true,
        "tags": {
            format!("kubernetes.io/cluster/{}", made.name): "owned",
        },
    }))
}

/// The same for a pool of nodes.
fn node_group_of(made: &Made, pool: &Value) -> Result<Value> {
    let (spec, mut tags) = (&pool["spec"], pool["spec"]["additionalTags"].clone());
    tags[format!("kubernetes.io/cluster/{}", made.name)] = "owned".into();
    let owner = named(&made.objects, "MachinePool", name(pool))?;
    let taints = list(spec, "/taints").iter().map(|taint| {
        let effect = text(taint, "/effect").to_uppercase().replace('-', "_");
        json!({"key": taint["key"], "value": taint["value"], "effect": effect})
    });
    let taints: Vec<Value> = taints.collect();
    let mut group = json!({
        "nodegroupName": spec["eksNodegroupName"],
        "nodeRole": role(&format!("{}-nodes", made.name)),
        "amiType": spec["amiType"],
        "instanceTypes": [spec["instanceType"]],
        "diskSize": spec["diskSize"],
        "capacityType": "ON_DEMAND",
        "subnets": spec["subnetIDs"],
        "scalingConfig": {
            "minSize": spec["scaling"]["minSize"],
            "maxSize": spec["scaling"]["maxSize"],
            "desiredSize": owner["spec"]["replicas"],
        },
        "updateConfig": spec["updateConfig"],
        "nodeRepairConfig": spec["nodeRepairConfig"],
        "labels": spec["labels"],
        "tags": tags,
    });
    if !taints.is_empty() {
        group["taints"] = json!(taints);
    }
    Ok(group)
}

fn role(name: &str) -> String {
    format!("arn:aws:iam::{ACCOUNT}:role/{name}")
}

/// `1.35` of `v1.35.6`.
fn minor(version: &str) -> &str {
    let version = version.trim_start_matches('v');
    version.rsplit_once('.').map_or(version, |(minor, _)| minor)
}

/// The text of the first element of this name.
fn within<'a>(xml: &'a str, name: &str) -> Result<&'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let after = xml.split_once(&open).map(|(_, after)| after);
    let text = after.and_then(|after| Some(after.split_once(&close)?.0));
    text.with_context(|| format!("there is no {name} in {xml}"))
}

/// Fails with each member that is another one.
fn differ(what: &str, expected: &Value, found: &Value) -> Result<()> {
    let members = |value: &Value| -> BTreeMap<String, Value> {
        let members = fields(value, "");
        members
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    };
    let (expected, found) = (members(expected), members(found));
    let names: BTreeSet<&String> = expected.keys().chain(found.keys()).collect();
    let shown = |value: Option<&Value>| value.map_or("nothing".to_owned(), Value::to_string);
    none(
        names
            .into_iter()
            .filter(|name| expected.get(*name) != found.get(*name))
            .map(|name| {
                let [expected, found] = [&expected, &found].map(|members| shown(members.get(name)));
                format!("{what}: {name} is {found}, and not {expected}")
            }),
    )
}
