//! Atlantis with our values, behind our gateway.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use cluster::pki::Authority;
use deploy_tests::{
    checker::{Checker, succeeded},
    moto::ACCOUNT,
    mutation::replaced,
    objects::{fields, list, named, only, strings, text},
};
use harness::{process::Process, wait::wait_until};
use serde_json::{Value, json};
use tools::fetch::go;

use super::{
    github::{GitHub, Pull},
    repository::Repository,
};
use crate::delivered::{Delivered, values};

/// How long it may take to do what it is told.
const LIMIT: Duration = Duration::from_secs(30);

/// Where the chart has the volume.
const DATA: &str = "/atlantis-data";

/// What the chart makes of our values beside `environment`: templates/statefulset.yaml of 6.9.3.
const OF_CHART: [(&str, &str); 4] = [
    ("/atlantisUrl", "ATLANTIS_ATLANTIS_URL"),
    ("/defaultTFVersion", "ATLANTIS_DEFAULT_TF_VERSION"),
    ("/githubApp/slug", "ATLANTIS_GH_APP_SLUG"),
    ("/orgAllowlist", "ATLANTIS_REPO_ALLOWLIST"),
];

/// What is the pod's, and not the server's.
const OF_POD: [&str; 16] = [
    "containerSecurityContext",
    "extraContainers",
    "extraVolumes",
    "image",
    "ingress",
    "initConfig",
    "nodeSelector",
    "podTemplate",
    "replicaCount",
    "resources",
    "service",
    "serviceAccount",
    "statefulSet",
    "terminationGracePeriodSeconds",
    "test",
    "volumeClaim",
];

/// What [`Variables`] takes from elsewhere than [`OF_CHART`].
const OF_SERVER: [&str; 6] = [
    "basicAuthSecretName",
    "environment",
    "environmentSecrets",
    "loadEnvFromSecrets",
    "repoConfig",
    "vcsSecretName",
];

/// Notes where it is called, for which Terraform, and with what; and makes the plan that it is to make.
const NOTES: &str = r#"#!/bin/sh
case "$*" in
  version* | -version*) echo "Terraform v1.11.4"; exit ;;
esac
for argument; do
  case "$argument" in -out=*) echo plan > "${argument#-out=}" ;; esac
done
echo "$PWD $TG_TF_PATH $*" >> "$NOTED"
echo "Plan: 1 to add, 0 to change, 0 to destroy."
"#;

/// One call of Terragrunt, or of Terraform.
#[derive(Clone, Debug)]
pub struct Call {
    pub directory: String,
    /// Which Terraform Terragrunt is to take.
    pub terraform: String,
    pub arguments: String,
}

pub struct Server {
    pub github: GitHub,
    pub repository: Repository,
    directory: PathBuf,
    /// The names of its certificate: of the pages, and of the events.
    names: [String; 2],
    /// What GitHub signs with.
    key: String,
    /// Who may see the pages.
    pub people: String,
    _gateway: Process,
    _door: Process,
    _process: Process,
}

impl Server {
    /// Starts it as `tree` has it, and what plays GitHub.
    pub fn start(checker: &Checker, tree: &Path, terragrunt: Option<&Path>) -> Result<Self> {
        let delivered = Delivered::of(checker, tree, "management")?;
        let application = delivered.application("atlantis")?;
        let objects = delivered.objects(application)?;
        is_known(values(application))?;
        let directory = tools::fresh("atlantis")?;
        let authority = Authority::new(&directory.join("pki"))?;
        let repository = Repository::new(&directory, tree)?;
        let github = GitHub::start(repository.served.clone())?;
        let door = door(&directory, &authority, github.port)?;
        let names = strings(only(&objects, "Certificate")?, "/spec/dnsNames");
        let names = <[&str; 2]>::try_from(names)
            .ok()
            .context("it has two names")?;
        let names = names.map(str::to_owned);
        let gateway = gateway(&directory, &authority, &objects, &names)?;
        let programs = programs(&directory, terragrunt)?;
        let variables = Variables {
            values: values(application),
            objects: &objects,
            directory: &directory,
        };
        let environment = variables.all()?;
        let of = |name: &str| environment[name].clone();
        let (key, password) = (
            of("ATLANTIS_GH_WEBHOOK_SECRET"),
            of("ATLANTIS_WEB_PASSWORD"),
        );
        let user = of("ATLANTIS_WEB_USERNAME");
        // Nobody else is to take our GitHub for the real one.
        let hosts = directory.join("hosts");
        fs::write(&hosts, "127.0.0.1 localhost github.com api.github.com\n")?;
        let mut atlantis = Command::new("unshare");
        atlantis
            .args(["--mount", "sh", "-c"])
            .arg("mount --bind \"$1\" /etc/hosts && shift && exec \"$@\"")
            .arg("sh")
            .arg(hosts)
            .arg(tools::find_or_fetch("atlantis")?)
            .arg("server")
            .env_clear()
            .envs(&environment)
            .env("PATH", format!("{}:/usr/bin:/bin", programs.display()))
            .env("NOTED", directory.join("noted"))
            .env("SSL_CERT_FILE", authority.certificate())
            .env("GIT_SSL_CAINFO", authority.certificate());
        let log = directory.join("atlantis.log");
        let process = Process::start_server(&mut atlantis, Some(&log), LIMIT, || {
            harness::client::is_ok(4141, "/healthz")
        })?;
        Ok(Self {
            github,
            repository,
            directory,
            names,
            key,
            people: format!("{user}:{password}"),
            _gateway: gateway,
            _door: door,
            _process: process,
        })
    }

    /// What Terragrunt, or Terraform, was called for so far.
    pub fn calls(&self) -> Result<Vec<Call>> {
        let file = self.directory.join("noted");
        let noted = if file.exists() {
            fs::read_to_string(file)?
        } else {
            String::new()
        };
        let call = |line: &str| {
            let mut words = line.splitn(3, ' ').map(str::to_owned);
            let mut next = || words.next().unwrap_or_default();
            Call {
                directory: next(),
                terraform: next(),
                arguments: next(),
            }
        };
        Ok(noted.lines().map(call).collect())
    }

    pub fn log(&self) -> Result<String> {
        Ok(fs::read_to_string(self.directory.join("atlantis.log"))?)
    }

    /// What GitHub tells of a pull request.
    pub fn tell(&self, pull: &Pull, action: &str) -> Result<u16> {
        self.github.put(pull);
        self.send_signed("pull_request", &pull.event(action))
    }

    /// What GitHub tells of a comment.
    pub fn comment(&self, pull: &Pull, user: &str, comment: &str) -> Result<()> {
        self.github.put(pull);
        self.github.forget(pull);
        let event = json!({
            "action": "created",
            "issue": {"number": pull.number, "pull_request": {}},
            "comment": {"id": 1, "body": comment, "user": {"login": user}},
            "repository": pull.shown()["base"]["repo"],
            "sender": {"login": user},
        });
        let status = self.send_signed("issue_comment", &event)?;
        ensure!(status == 200, "{comment:?} is answered with {status}");
        Ok(())
    }

    /// Sends an event as GitHub does.
    pub fn send_signed(&self, event: &str, body: &Value) -> Result<u16> {
        self.send(event, body, &self.key)
    }

    /// Sends an event signed with `key`.
    pub fn send(&self, event: &str, body: &Value, key: &str) -> Result<u16> {
        let file = self.directory.join("event.json");
        fs::write(&file, body.to_string())?;
        let mut openssl = Command::new(tools::find_or_fetch("openssl")?);
        openssl.args(["dgst", "-sha256", "-hmac", key]).arg(&file);
        let signed = succeeded(&mut openssl)?;
        let signature = signed.rsplit(' ').next().unwrap_or_default();
        self.ask(
            &format!("https://{}:8443/events", self.names[1]),
            &[
                "--header",
                "content-type: application/json",
                "--header",
                &format!("x-github-event: {event}"),
                "--header",
                &format!("x-hub-signature-256: sha256={signature}"),
                "--data-binary",
                &format!("@{}", file.display()),
            ],
        )
    }

    /// The status that a path has for people, and for the internet.
    pub fn page(&self, path: &str, arguments: &[&str]) -> Result<u16> {
        self.ask(&format!("https://{}:8444{path}", self.names[0]), arguments)
    }

    pub fn public(&self, path: &str, arguments: &[&str]) -> Result<u16> {
        self.ask(&format!("https://{}:8443{path}", self.names[1]), arguments)
    }

    /// The status that Atlantis itself answers a path with.
    pub fn inside(&self, path: &str, arguments: &[&str]) -> Result<u16> {
        self.ask(&format!("http://127.0.0.1:4141{path}"), arguments)
    }

    fn ask(&self, url: &str, arguments: &[&str]) -> Result<u16> {
        let mut curl = Command::new(tools::find_or_fetch("curl")?);
        curl.args(["--silent", "--show-error", "--noproxy", "*"])
            .args(["--output", "/dev/null", "--write-out", "%{http_code}"])
            .arg("--cacert")
            .arg(self.directory.join("pki/ca.crt"));
        for (name, port) in self.names.iter().zip([8444, 8443]) {
            curl.args(["--resolve", &format!("{name}:{port}:127.0.0.1")]);
        }
        Ok(succeeded(curl.args(arguments).arg(url))?.parse()?)
    }

    /// Waits until something is so; else says what the server has said last.
    pub fn until(&self, what: &str, mut look: impl FnMut() -> Result<bool>) -> Result<()> {
        let interval = Duration::from_millis(100);
        wait_until(what, LIMIT, interval, || anyhow::Ok(look()?.then_some(()))).with_context(|| {
            let log = self.log().unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            lines[lines.len().saturating_sub(5)..].join("\n")
        })
    }
}

/// What runs here is what the cluster gets, and what the chart makes of each value is known here.
fn is_known(values: &Value) -> Result<()> {
    let [atlantis, terragrunt] = [
        ("atlantis", "github.com/runatlantis/atlantis"),
        ("terragrunt", "github.com/gruntwork-io/terragrunt"),
    ]
    .map(|(name, module)| go::pinned_module(name, module));
    let version = |module: PathBuf| {
        let (_, version) = module.to_str()?.rsplit_once('@')?;
        Some(version.to_owned())
    };
    let [atlantis, terragrunt] = [version(atlantis?), version(terragrunt?)];
    let atlantis = atlantis.context("a module has a version")?;
    let terragrunt = terragrunt.context("a module has a version")?;
    for (at, ends) in [
        ("/image/tag", atlantis.clone()),
        ("/initConfig/image", format!(":{atlantis}")),
        (
            "/initConfig/script",
            format!("/{terragrunt}/terragrunt_linux_amd64"),
        ),
    ] {
        let says = text(values, at);
        let is_what_runs = says.split_whitespace().any(|word| word.ends_with(&ends));
        ensure!(is_what_runs, "{at} is not what runs here: {ends}");
    }
    let of_chart = OF_CHART.map(|(at, _)| at.split('/').nth(1).unwrap_or_default());
    for (key, _) in fields(values, "") {
        let known = [&OF_POD[..], &OF_SERVER, &of_chart].concat();
        ensure!(
            known.contains(&key.as_str()),
            "what the chart makes of {key} is not known here: {}",
            file!()
        );
    }
    Ok(())
}

/// GitHub's names, by TLS.
fn door(directory: &Path, authority: &Authority, port: u16) -> Result<Process> {
    let hosts = ["github.com", "api.github.com"].map(str::to_owned);
    let identity = authority.issue("github", "", &hosts)?;
    let directory = directory.join("github");
    fs::create_dir_all(&directory)?;
    let config = format!(
        "pid nginx.pid; events {{}}\nhttp {{\naccess_log off; client_max_body_size 0;\n\
         client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; \
         uwsgi_temp_path uwsgi; scgi_temp_path scgi;\n\
         server {{\nlisten 127.0.0.1:443 ssl;\nssl_certificate {};\nssl_certificate_key {};\n\
         location / {{ proxy_pass http://127.0.0.1:{port}; }}\n}}\n}}\n",
        identity.certificate.display(),
        identity.key.display(),
    );
    nginx(&directory, &config, 443)
}

/// Our nginx, elsewhere than in its container, and otherwise as it is.
fn gateway(
    directory: &Path,
    authority: &Authority,
    objects: &[Value],
    names: &[String],
) -> Result<Process> {
    let directory = directory.join("gateway");
    let tls = directory.join("tls");
    fs::create_dir_all(&tls)?;
    let identity = authority.issue("gateway", "", names)?;
    fs::copy(identity.certificate, tls.join("tls.crt"))?;
    fs::copy(identity.key, tls.join("tls.key"))?;
    let config = text(named(objects, "ConfigMap", "gateway")?, "/data/nginx.conf");
    let here = replaced(config, "/tmp/", &format!("{}/", directory.display()))?;
    let here = replaced(&here, "/etc/nginx/tls", &tls.display().to_string())?;
    nginx(&directory, &here, 8443)
}

fn nginx(directory: &Path, config: &str, port: u16) -> Result<Process> {
    let file = directory.join("nginx.conf");
    fs::write(&file, format!("daemon off;\nmaster_process off;\n{config}"))?;
    let mut nginx = Command::new(tools::find_or_fetch("nginx")?);
    nginx.arg("-p").arg(directory).arg("-c").arg(&file);
    let log = directory.join("nginx.log");
    Process::start_server(nginx.args(["-e", "stderr"]), Some(&log), LIMIT, || {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
    })
}

/// The programs that Atlantis finds: Terraform, and Terragrunt unless it is a real one, only note how
/// they are called.
fn programs(directory: &Path, terragrunt: Option<&Path>) -> Result<PathBuf> {
    let programs = directory.join("programs");
    fs::create_dir_all(&programs)?;
    // As Atlantis would name what it downloads.
    for name in ["terraform1.11.4", "terragrunt"] {
        let file = programs.join(name);
        if let ("terragrunt", Some(real)) = (name, terragrunt) {
            std::os::unix::fs::symlink(real, file)?;
            continue;
        }
        fs::write(&file, NOTES)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
    }
    Ok(programs)
}

/// What the container has in its environment.
struct Variables<'a> {
    values: &'a Value,
    objects: &'a [Value],
    directory: &'a Path,
}

impl Variables<'_> {
    fn all(&self) -> Result<BTreeMap<String, String>> {
        let (home, data) = (self.directory.join("home"), self.directory.join("data"));
        fs::create_dir_all(&home)?;
        fs::create_dir_all(&data)?;
        let data = data.display().to_string();
        let repos = self.directory.join("repos.yaml");
        fs::write(&repos, text(self.values, "/repoConfig"))?;
        let key = self.directory.join("key.pem");
        let [app, web] = ["/vcsSecretName", "/basicAuthSecretName"].map(|at| text(self.values, at));
        fs::write(&key, self.secret(app, "key.pem")?)?;
        let mut all: BTreeMap<String, String> = [
            ("HOME", home.display().to_string()),
            ("ATLANTIS_DATA_DIR", data.clone()),
            ("ATLANTIS_PORT", "4141".to_owned()),
            ("ATLANTIS_REPO_CONFIG", repos.display().to_string()),
            ("ATLANTIS_WRITE_GIT_CREDS", "true".to_owned()),
            ("ATLANTIS_GH_APP_KEY_FILE", key.display().to_string()),
            (
                "ATLANTIS_GH_WEBHOOK_SECRET",
                self.secret(app, "github_secret")?,
            ),
            ("ATLANTIS_WEB_BASIC_AUTH", "true".to_owned()),
            ("ATLANTIS_WEB_USERNAME", self.secret(web, "username")?),
            ("ATLANTIS_WEB_PASSWORD", self.secret(web, "password")?),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        for (at, name) in OF_CHART {
            all.insert(name.to_owned(), text(self.values, at).to_owned());
        }
        for (name, value) in fields(self.values, "/environment") {
            all.insert(name.clone(), text(value, "").replace(DATA, &data));
        }
        for variable in list(self.values, "/environmentSecrets") {
            let [secret, key] =
                ["/secretKeyRef/name", "/secretKeyRef/key"].map(|at| text(variable, at));
            let name = text(variable, "/name").to_owned();
            all.insert(name, self.secret(secret, key)?);
        }
        for secret in strings(self.values, "/loadEnvFromSecrets") {
            for key in self.keys(secret)?.keys() {
                all.insert((*key).to_owned(), self.secret(secret, key)?);
            }
        }
        Ok(all)
    }

    /// What each key of a Secret is in the entry of Secrets Manager.
    fn keys(&self, secret: &str) -> Result<BTreeMap<&str, &str>> {
        let secret = named(self.objects, "ExternalSecret", secret)?;
        let keys = list(secret, "/spec/data").iter();
        let keys = keys.map(|one| (text(one, "/secretKey"), text(one, "/remoteRef/property")));
        Ok(keys.collect())
    }

    /// What a person has written.
    fn secret(&self, secret: &str, key: &str) -> Result<String> {
        let keys = self.keys(secret)?;
        let property = keys.get(key);
        let property = property.with_context(|| format!("{secret} has no {key}"))?;
        Ok(match *property {
            "app-id" => "1".to_owned(),
            "app-key" => {
                let mut openssl = Command::new(tools::find_or_fetch("openssl")?);
                succeeded(openssl.args(["genrsa", "2048"]))?
            }
            of if of.starts_with("account-") => ACCOUNT.to_owned(),
            of => format!("the {of} of a test"),
        })
    }
}

/// The unit of each call, as its project is called, in the order of the calls.
pub fn projects(calls: &[Call]) -> Vec<String> {
    let unit = |call: &Call| {
        let unit = call.directory.rsplit("/live/").next().unwrap_or_default();
        unit.replace('/', "-")
    };
    calls.iter().map(unit).collect()
}
