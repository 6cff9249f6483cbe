//! compose.yaml, and what its images bring: which container each service is.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::Ipv4Addr,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use anyhow::{Context, Result, ensure};
use deploy_tests::yaml;
use regex::{Captures, Regex};
use serde::Deserialize;
use serde_json::Value;
use tools::{root, target};

use super::container::{Container, Mount, Network};

/// What is built, which a tree does not have.
const BUILT: &str = "./target/components/";

/// What of compose.yaml is known here. Anything else fails, and is to be added.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Project {
    #[serde(rename = "name")]
    _name: String,
    services: BTreeMap<String, Service>,
    configs: BTreeMap<String, Config>,
    volumes: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    image: String,
    command: Option<Vec<String>>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    configs: Vec<Given>,
    #[serde(default)]
    volumes: Vec<String>,
    #[serde(default)]
    tmpfs: Vec<String>,
    #[serde(default)]
    ports: Vec<String>,
    #[serde(default)]
    depends_on: BTreeMap<String, Dependency>,
    healthcheck: Option<Healthcheck>,
    #[serde(rename = "restart")]
    _restart: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    content: String,
}

/// A config of the file, and where a service has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    source: String,
    target: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Dependency {
    condition: Condition,
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Condition {
    ServiceHealthy,
    ServiceCompletedSuccessfully,
}

/// Its times are those of a machine that does nothing else: here it may fail for as long as any other.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Healthcheck {
    test: Vec<String>,
    #[serde(rename = "interval")]
    _interval: String,
    #[serde(rename = "timeout")]
    _timeout: String,
    #[serde(rename = "retries")]
    _retries: u32,
}

/// images.yaml: its comments say what each is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Image {
    programs: Vec<String>,
    #[serde(default)]
    files: BTreeMap<String, String>,
    entrypoint: Vec<String>,
    #[serde(default)]
    command: Vec<String>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    user: String,
    directory: String,
    ready: Option<String>,
}

static IMAGES: LazyLock<BTreeMap<String, Image>> = LazyLock::new(|| {
    let file = root().join("deploy/tests/operations/compose/images.yaml");
    yaml(&file).unwrap_or_else(|error| panic!("{error:#}"))
});

/// Where a project's files are.
pub struct Place<'a> {
    pub tree: &'a Path,
    /// What `cargo xtask build --host spin` makes.
    pub components: &'a Path,
    /// For volumes and configs.
    pub directory: &'a Path,
}

impl Project {
    /// Reads it, with these values of variables, and the file's own for others.
    pub fn read(file: &Path, variables: &BTreeMap<&str, String>) -> Result<Self> {
        let text = fs::read_to_string(file)?;
        let variable = Regex::new(r"\$\{(\w+):-([^}]*)\}")?;
        let value = |found: &Captures| {
            let given = variables.get(&found[1]);
            given.map_or_else(|| found[2].to_owned(), String::clone)
        };
        let text = variable.replace_all(&text, value);
        ensure!(!text.contains('$'), "a variable has no default value");
        yaml_serde::from_str(&text).with_context(|| file.display().to_string())
    }

    pub fn service(&self, name: &str) -> Result<&Service> {
        let service = self.services.get(name);
        service.with_context(|| format!("there is no service {name}"))
    }

    /// The names of the services in the order in which they start.
    pub fn order(&self) -> Result<Vec<&str>> {
        let needed = self
            .services
            .values()
            .flat_map(|service| &service.depends_on);
        for (name, dependency) in needed {
            let is_healthy = dependency.condition == Condition::ServiceHealthy;
            let checked = !is_healthy || self.service(name)?.healthcheck.is_some();
            ensure!(checked, "{name} has no health check to wait for");
        }
        let mut order = Vec::new();
        while order.len() < self.services.len() {
            let next = self.services.iter().find(|(name, service)| {
                let has_started = |name: &str| order.contains(&name);
                let mut needed = service.depends_on.keys();
                !has_started(name) && needed.all(|name| has_started(name))
            });
            let (name, _) =
                next.context("services wait for each other, or for none of the file")?;
            order.push(name.as_str());
        }
        Ok(order)
    }

    /// Whether a service waits until this one has ended.
    pub fn ends(&self, name: &str) -> bool {
        let mut services = self.services.values();
        services.any(|service| {
            let dependency = service.depends_on.get(name);
            dependency.is_some_and(|it| it.condition == Condition::ServiceCompletedSuccessfully)
        })
    }

    /// The service as a container.
    pub fn container<'a>(
        &'a self,
        name: &'a str,
        network: &'a Network,
        address: Ipv4Addr,
        place: &Place,
    ) -> Result<Container<'a>> {
        let service = self.service(name)?;
        let image = service.image()?;
        let mut environment = BTreeMap::from([("HOME", "/root")]);
        for (name, value) in image.environment.iter().chain(&service.environment) {
            environment.insert(name, value);
        }
        let command = service.command.as_ref().unwrap_or(&image.command);
        let (programs, mut mounts) = image.programs()?;
        mounts.push(Mount::read_only(
            place.directory.join("hosts"),
            "/etc/hosts",
        ));
        mounts.extend(self.mounts(name, place)?);
        Ok(Container {
            network,
            name,
            address,
            user: &image.user,
            directory: &image.directory,
            programs,
            environment,
            mounts,
            command: image
                .entrypoint
                .iter()
                .chain(command)
                .map(String::as_str)
                .collect(),
        })
    }

    /// What the service mounts.
    fn mounts(&self, name: &str, place: &Place) -> Result<Vec<Mount>> {
        let service = self.service(name)?;
        let mut mounts = Vec::new();
        for volume in &service.volumes {
            let (source, target) = volume.split_once(':').context("a volume has a target")?;
            let read_only = target.strip_suffix(":ro");
            let source = if let Some(built) = source.strip_prefix(BUILT) {
                place.components.join(built)
            } else if source.starts_with(['.', '/']) {
                place.tree.join(source)
            } else {
                ensure!(
                    self.volumes.contains_key(source),
                    "there is no volume {source}"
                );
                let volume = place.directory.join(format!("{source}.volume"));
                fs::create_dir_all(&volume)?;
                // As the image has the directory.
                let user = service.image()?.user.split(':').next().unwrap_or_default();
                chown(&volume, Some(user.parse()?), None)?;
                volume
            };
            ensure!(
                source.exists(),
                "{name} mounts {}, which is not there",
                source.display()
            );
            mounts.push(Mount {
                source: source.display().to_string(),
                target: read_only.unwrap_or(target).to_owned(),
                options: if read_only.is_some() { "ro" } else { "rw" },
            });
        }
        for Given { source, target } in &service.configs {
            let config = self.configs.get(source);
            let config = config.with_context(|| format!("there is no config {source}"))?;
            let file = place.directory.join(format!("{source}.config"));
            fs::write(&file, &config.content)?;
            mounts.push(Mount::read_only(file, target));
        }
        mounts.extend(service.tmpfs.iter().map(|target| Mount {
            source: "tmpfs".to_owned(),
            target: target.clone(),
            options: "rw",
        }));
        Ok(mounts)
    }
}

impl Service {
    fn image(&self) -> Result<&'static Image> {
        let name = self
            .image
            .rsplit_once(':')
            .map_or(&*self.image, |(name, _)| name);
        let image = IMAGES.get(name);
        image.with_context(|| format!("nothing is known of the image {name}"))
    }

    /// The command of its health check.
    pub fn health(&self) -> Result<Option<Vec<&str>>> {
        let Some(Healthcheck { test, .. }) = &self.healthcheck else {
            return Ok(None);
        };
        let (kind, command) = test.split_first().context("it has no test")?;
        ensure!(kind == "CMD", "a health check {kind} is not known here");
        Ok(Some(command.iter().map(String::as_str).collect()))
    }

    /// What answers 200 when it is ready: the port that it publishes, and the path.
    pub fn ready(&self) -> Result<Option<(&str, &'static str)>> {
        let Some(path) = &self.image()?.ready else {
            return Ok(None);
        };
        let published = self.ports.first().context("it publishes no port")?;
        let port = published.rsplit(':').next().unwrap_or_default();
        Ok(Some((port, path.as_str())))
    }
}

impl Image {
    /// The directories of its programs, and the mounts that they take.
    fn programs(&'static self) -> Result<(Vec<PathBuf>, Vec<Mount>)> {
        let mut directories = Vec::new();
        let mut seen = BTreeSet::from([target().join("tools")]);
        for name in &self.programs {
            let program = tools::find_or_fetch(name.as_str())?;
            for file in [&program, &program.canonicalize()?] {
                let directory = file.parent().context("a program is in a directory")?;
                if !directory.starts_with("/usr") {
                    seen.insert(directory.to_owned());
                }
            }
            let directory = program.parent().context("a program is in a directory")?;
            directories.push(directory.to_owned());
        }
        // What Debian's programs look for in /usr may be unpacked, and not installed.
        let unpacked = tools::unpacked_usr();
        let usr = if unpacked.exists() {
            format!("{}:/usr", unpacked.display())
        } else {
            "/usr".to_owned()
        };
        let mut mounts = vec![Mount::read_only(usr, "/usr")];
        let seen = seen.into_iter().filter(|directory| directory.exists());
        mounts.extend(seen.map(|directory| {
            let target = directory.display().to_string();
            Mount::read_only(directory, &target)
        }));
        for (file, target) in &self.files {
            let file = root().join("deploy/tests/operations/compose").join(file);
            mounts.push(Mount::read_only(file, target));
        }
        Ok((directories, mounts))
    }
}
