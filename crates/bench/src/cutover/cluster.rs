//! Two versions as SpinApps behind a gateway, on a Kubernetes of its own.
//!
//! What is done is what an operator does: Helm delivers the chart with other values, the API server,
//! the controllers, SpinKube's operator and the gateway do the rest.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::{Command, ExitCode},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use cluster::{
    control_plane::ControlPlane,
    crds, gateway, namespace,
    site::{NAMESPACE, READY_TIMEOUT, Site},
};
use harness::{client, wait::wait_until};
use serde_json::{Value, json};
use tools::{
    HostKind,
    run::{announce, read},
};

use super::{
    Options, VERSIONS, build_two, happens, judge,
    load::{self, Load, Record},
    report::Report,
};

/// Requests a second, if no other number is chosen: the cluster has the same processors.
const RATE: u32 = 200;

/// How many pods the version has that answers.
const PODS: u64 = 2;

/// What is looked at for changes: all that a release consists of.
const KINDS: &str = "spinapps,deployments,services,httproutes,poddisruptionbudgets,\
    horizontalpodautoscalers,jobs,configmaps,serviceaccounts,networkpolicies,spinappexecutors";

/// The one object that a switch writes.
const ROUTE: &str = "HTTPRoute hello";

/// Starts a cluster, and rehearses there.
///
/// # Errors
///
/// If there can be none, or [`rehearse`] fails.
pub fn rehearse_on_one(options: &Options) -> Result<()> {
    if let Some(why) = namespace::is_missing() {
        anyhow::bail!("{why}");
    }
    tools::find_or_fetch(HostKind::Spin)?;
    componentize::build(Some(HostKind::Spin))?; // there is no network inside
    let programs = [cluster::API_SERVER, cluster::NODE].concat();
    if let Some(ended) = namespace::enter(&programs)? {
        ensure!(ended == ExitCode::SUCCESS, "it could not be rehearsed");
        return Ok(());
    }
    let directory = tools::fresh("cluster")?;
    announce("starting the control plane");
    let plane = ControlPlane::start(&directory)?;
    crds::install(&plane.kubectl)?;
    announce("starting nodes, SpinKube's operator and the gateway");
    let site = Site::start(&plane, &directory)?;
    let mut applications = Vec::new();
    build_two(HostKind::Spin, |version| {
        applications.push(site.push(version)?);
        Ok(())
    })?;
    applications.reverse();
    let [v1, v2] = applications.try_into().ok().context("two are built")?;
    let version = plane.kubectl.raw("/version")?;
    println!(
        "Kubernetes {}",
        version["gitVersion"].as_str().unwrap_or_default()
    );
    for compiled in ["spin-operator", "contour"] {
        // What is compiled has its module's version in its name.
        let program = tools::find_or_fetch(compiled)?;
        println!("{}", program.file_name().unwrap_or_default().display());
    }
    // PATH  version: COMMIT/VERSION/…
    let mut envoy = Command::new(tools::find_or_fetch("envoy")?);
    let envoy = read("ask Envoy its version", envoy.arg("--version"))?;
    let version = envoy.rsplit_once("version: ").unwrap_or_default().1;
    println!("envoy {}", version.split('/').nth(1).unwrap_or_default());
    rehearse(&site, [&v1, &v2], options)
}

/// Swaps both ways at `site`, which has no release, and prints what each has cost.
///
/// # Errors
///
/// If a step fails, a swap writes more than the route, a request fails in the swaps, or none does when
/// all pods are killed.
pub fn rehearse(site: &Site, applications: [&str; 2], options: &Options) -> Result<()> {
    let rehearsal = Rehearsal {
        site,
        applications,
        rate: options.rate.unwrap_or(RATE),
        requests: options.requests,
    };
    println!(
        "{}; {} requests a second over {} keep-alive connections, one in four a PUT",
        tools::version(&tools::find_or_fetch(HostKind::Spin)?),
        rehearsal.rate,
        load::CLIENTS
    );
    let swaps = rehearsal
        .swaps()
        .context("the swap could not be rehearsed")?;
    let naive = rehearsal
        .naive()
        .context("the naive way could not be tried")?;
    let title = "another image in the same SpinApp, and no preStop";
    judge(options, &swaps, (title, &naive))
}

struct Rehearsal<'a> {
    site: &'a Site<'a>,
    /// Of each version, in the registry.
    applications: [&'a str; 2],
    rate: u32,
    requests: u64,
}

/// What is delivered.
struct Release {
    /// Versions, each with the least of its pods.
    versions: Vec<(usize, u64)>,
    active: usize,
    weights: Value,
    /// The least of all of them, while one takes over from another.
    least: Option<u64>,
}

impl Rehearsal<'_> {
    /// Release, scale up, switch, roll back, a canary, switch again, drain a node, switch back, retire.
    fn swaps(&self) -> Result<Report> {
        let [v1, v2] = VERSIONS;
        let site = self.site;
        let mut release = Release {
            versions: vec![(0, PODS)],
            active: 0,
            weights: json!({}),
            least: None,
        };
        self.deliver(&release)?;
        site.wait_for(v1, PODS)?;
        site.wait_for_smoke_test(v1)?;
        wait_for_gateway()?;

        let load = Load::start(gateway::PORT, self.rate);
        let share = self.requests / 8;
        let mut events = Vec::new();
        let mut note = |what: &str, swap| events.push(happens(&load, what, swap));
        load.wait_for(share)?;

        note("release v2, of one pod", None);
        release.versions.push((1, 1));
        self.deliver(&release)?;
        site.wait_for(v2, 1)?;
        site.wait_for_smoke_test(v2)?;
        let route = &self.objects()?[ROUTE];
        let weight = route.pointer("/spec/rules/0/backendRefs/1/weight");
        ensure!(weight == Some(&json!(0)), "v2 is asked already: {route}");
        note("v2 has passed its smoke test: scale it up", None);
        release.least = Some(PODS);
        self.deliver(&release)?;
        site.wait_for(v2, PODS)?;

        note("switch to v2", Some((v1, v2)));
        release.active = 1;
        self.write_the_route(&release)?;
        load.wait_for(share)?;
        note("roll back to v1", Some((v2, v1)));
        release.active = 0;
        self.write_the_route(&release)?;
        load.wait_for(share)?;

        note("canary: a fourth for v2", None);
        let canary = load.elapsed();
        release.weights = json!({v1: 75, v2: 25});
        self.write_the_route(&release)?;
        load.wait_for(share)?;
        let canary = canary..load.elapsed();
        note("switch to v2 again", Some((v1, v2)));
        release.active = 1;
        release.weights = json!({});
        self.write_the_route(&release)?;
        load.wait_for(share)?;

        let node = &site.nodes[1].name;
        note(&format!("drain {node}"), None);
        self.drain(node)?;
        note(&format!("{node} is empty"), None);
        site.wait_for(v2, PODS)?;
        site.plane.kubectl.run(&["uncordon", node])?;
        site.wait_for(v1, PODS)?;

        note("switch to v1, as to a next version", Some((v2, v1)));
        release.active = 0;
        self.write_the_route(&release)?;
        load.wait_for(share)?;
        note("retire v2", None);
        release.versions.truncate(1);
        self.deliver(&release)?;
        site.wait_for_end(&format!("core.spinkube.dev/app-name=hello-{v2}"))?;
        note("v2 is gone", None);
        load.wait_for(share)?;
        while load.count() < self.requests {
            load.wait_for(1)?;
        }

        let mut records = load.finish()?;
        self.attribute(&mut records, |access| {
            let service = access.service.split('_').nth(1)?;
            Some(service.trim_start_matches("hello-").to_owned())
        })?;
        // From its first answer on: the gateway hears of a new route a moment after it is written.
        let during = records.iter().filter(|it| canary.contains(&it.sent));
        let answers = during.filter_map(|record| record.version.as_deref());
        let answers: Vec<_> = answers.skip_while(|version| *version != v2).collect();
        let new = answers.iter().filter(|version| **version == v2).count();
        let share = new * 100 / answers.len().max(1);
        ensure!(
            (15..=35).contains(&share),
            "v2 had {share} % of the canary's requests"
        );
        Ok(Report { records, events })
    }

    /// Another image in the SpinApp of the version that answers: the rolling update of a Deployment. Then
    /// all pods are killed.
    fn naive(&self) -> Result<Report> {
        let site = self.site;
        site.uninstall()?;
        let release = |application: &str| {
            json!({
                "versions": [{"name": VERSIONS[0], "image": application, "replicas": PODS}],
                "active": VERSIONS[0],
                "podPolicy": {"type": "none"},
            })
        };
        let [old, new] = self.applications;
        site.deliver(&release(old))?;
        site.wait_for(VERSIONS[0], PODS)?;
        wait_for_gateway()?;
        let pods = site.pods(VERSIONS[0])?;
        let old: Vec<_> = pods.iter().filter_map(address).collect();

        let load = Load::start(gateway::PORT, self.rate);
        load.wait_for(self.requests / 16)?;
        let mut events = vec![happens(&load, "another image", None)];
        site.deliver(&release(new))?;
        wait_until(
            "the end of the old pods",
            READY_TIMEOUT,
            Duration::from_millis(500),
            || {
                let pods = site.pods(VERSIONS[0])?;
                let ready = pods.iter().filter(|pod| is_ready(pod)).count() as u64;
                let is_old = |pod: &Value| address(pod).is_some_and(|it| old.contains(&it));
                anyhow::Ok((ready >= PODS && !pods.iter().any(is_old)).then_some(()))
            },
        )?;
        events.push(happens(&load, "the old pods are gone", None));
        load.wait_for(self.requests / 16)?;
        let killed = load.elapsed();
        events.push(happens(
            &load,
            "kill all pods, which has to be noticed",
            None,
        ));
        site.plane.kubectl.run(&[
            "delete",
            "pods",
            &format!("--namespace={NAMESPACE}"),
            &format!(
                "--selector=core.spinkube.dev/app-name=hello-{}",
                VERSIONS[0]
            ),
            "--force",
            "--grace-period=0",
        ])?;
        load.wait_for(5 * u64::from(self.rate))?;
        site.wait_for(VERSIONS[0], PODS)?;
        let mut records = load.finish()?;
        let after = records.iter().filter(|record| record.done > killed);
        ensure!(
            after.filter(|record| record.failure.is_some()).count() > 0,
            "no request failed when all pods were killed: a load that does not notice proves nothing"
        );
        self.attribute(&mut records, |access| {
            let pod = access.pod.split(':').next()?.to_owned();
            let version = usize::from(!old.contains(&pod));
            (!pod.is_empty()).then(|| VERSIONS[version].to_owned())
        })?;
        site.uninstall()?;
        Ok(Report { records, events })
    }

    fn deliver(&self, release: &Release) -> Result<()> {
        self.site.deliver(&self.values(release))
    }

    fn values(&self, release: &Release) -> Value {
        let versions = release.versions.iter().map(|(version, replicas)| {
            json!({
                "name": VERSIONS[*version],
                "image": self.applications[*version],
                "replicas": replicas,
            })
        });
        let least = release.least.map(|least| {
            let versions = release.versions.iter();
            versions
                .map(|(version, _)| (VERSIONS[*version], least))
                .collect::<BTreeMap<_, _>>()
        });
        json!({
            "versions": versions.collect::<Value>(),
            "active": VERSIONS[release.active],
            "weights": release.weights,
            "autoscaling": {
                "type": "hpa",
                "maxReplicas": PODS,
                "minReplicas": least.unwrap_or_default(),
            },
        })
    }

    /// Delivers a release that differs from the last in who answers, and sees that nothing else changes.
    fn write_the_route(&self, release: &Release) -> Result<()> {
        let before = self.objects()?;
        self.site.cut_over(&self.values(release))?;
        let after = self.objects()?;
        let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
        let changed = names
            .into_iter()
            .filter(|name| before.get(*name) != after.get(*name));
        let changed: Vec<_> = changed.collect();
        ensure!(changed == [ROUTE], "the switch writes {changed:?}");
        Ok(())
    }

    /// What everybody wants of all objects, by kind and name: status and bookkeeping left out.
    fn objects(&self) -> Result<BTreeMap<String, Value>> {
        let found = self.site.get(&[KINDS])?;
        let items = found["items"].as_array().context("a list has items")?;
        let objects = items.iter().map(|object| {
            let mut object = object.clone();
            let name = format!(
                "{} {}",
                object["kind"].as_str().unwrap_or_default(),
                object["metadata"]["name"].as_str().unwrap_or_default()
            );
            object["status"].take();
            for key in ["resourceVersion", "managedFields", "generation"] {
                object["metadata"][key].take();
            }
            (name, object)
        });
        Ok(objects.collect())
    }

    fn drain(&self, node: &str) -> Result<()> {
        let kubectl = &self.site.plane.kubectl;
        kubectl
            .run(&[
                "drain",
                node,
                "--delete-emptydir-data",
                "--force",
                "--timeout=180s",
            ])
            .map(drop)
    }

    /// Says of each request who has answered it, by what the gateway has logged.
    fn attribute(
        &self,
        records: &mut [Record],
        version: impl Fn(&gateway::Access) -> Option<String>,
    ) -> Result<()> {
        let accesses = wait_until(
            "the gateway's access log",
            Duration::from_secs(30),
            Duration::from_millis(200),
            || {
                let accesses = self.site.gateway.accesses()?;
                let mut answered = records.iter().filter(|record| record.failure.is_none());
                let is_whole = answered.all(|record| accesses.contains_key(&record.name));
                anyhow::Ok(is_whole.then_some(accesses))
            },
        )?;
        for record in records {
            record.version = accesses.get(&record.name).and_then(&version);
        }
        Ok(())
    }
}

/// Waits until a request comes through.
fn wait_for_gateway() -> Result<()> {
    wait_until(
        "an answer through the gateway",
        READY_TIMEOUT,
        Duration::from_millis(200),
        || anyhow::Ok(client::is_ok(gateway::PORT, "/readyz").then_some(())),
    )
}

fn address(pod: &Value) -> Option<String> {
    pod["status"]["podIP"].as_str().map(str::to_owned)
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    conditions.is_some_and(|conditions| {
        let ready = |it: &Value| it["type"] == "Ready" && it["status"] == "True";
        conditions.iter().any(ready)
    })
}
