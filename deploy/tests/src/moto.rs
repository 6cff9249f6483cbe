//! moto, which answers as AWS does.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use harness::{client::Connection, host::free_port, process::Process};
use serde_json::Value;
use tools::python;

use crate::objects::text;

/// Stands in for each account of AWS: none is in Git.
pub const ACCOUNT: &str = "000000000000";

/// The key of who may do everything.
const ADMINISTRATOR: &str = "test";

pub struct Moto {
    pub port: u16,
    address: IpAddr,
    programs: PathBuf,
    home: PathBuf,
    _process: Process,
}

impl Moto {
    /// Starts it, with its log in `directory`.
    pub fn start(directory: &Path) -> Result<Self> {
        Self::start_at(Ipv4Addr::LOCALHOST.into(), directory)
    }

    /// [`Moto::start`] at another address of this machine.
    pub fn start_at(address: IpAddr, directory: &Path) -> Result<Self> {
        let programs = python::environment("backup")?;
        let (port, log) = (free_port()?, directory.join("moto.log"));
        let mut server = Command::new(programs.join("moto_server"));
        server
            .args(["--host", &address.to_string()])
            .args(["--port", &port.to_string()])
            .env("MOTO_ACCOUNT_ID", ACCOUNT)
            .env("MOTO_RECORDER_FILEPATH", directory.join("moto.recording"));
        let limit = Duration::from_secs(60);
        let process = Process::start_server(&mut server, Some(&log), limit, || {
            Connection::open_at(SocketAddr::new(address, port)).is_ok()
        })?;
        Ok(Self {
            port,
            address,
            programs,
            home: directory.to_owned(),
            _process: process,
        })
    }

    /// Its URL.
    pub fn endpoint(&self) -> String {
        format!("http://{}:{}", self.address, self.port)
    }

    /// A program that finds AWS here, and its CLI, and no settings of whoever runs this.
    pub fn command(&self, program: &str) -> Command {
        let (programs, path) = (self.programs.display(), tools::path());
        let mut command = Command::new(program);
        command
            .env("PATH", format!("{programs}:{}", path.to_string_lossy()))
            .env("HOME", &self.home)
            .env("AWS_ENDPOINT_URL", self.endpoint())
            .env("AWS_DEFAULT_REGION", "eu-central-1")
            .env_remove("AWS_PROFILE")
            .env_remove("AWS_SESSION_TOKEN")
            .env("AWS_ACCESS_KEY_ID", ADMINISTRATOR)
            .env("AWS_SECRET_ACCESS_KEY", "test");
        command
    }

    /// What a service answers to an `Action` of the Query API: XML.
    pub fn query(
        &self,
        service: &str,
        region: &str,
        parameters: &[(&str, &str)],
    ) -> Result<String> {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        let form = form.extend_pairs(parameters).finish();
        self.send(ADMINISTRATOR, service, region, "POST", "/", &form)
    }

    /// What a service answers whose API is REST: JSON. Where there is no body, it is a GET.
    pub fn rest(&self, service: &str, region: &str, path: &str, body: &str) -> Result<Value> {
        let method = if body.is_empty() { "GET" } else { "POST" };
        Ok(serde_json::from_str(&self.send(
            ADMINISTRATOR,
            service,
            region,
            method,
            path,
            body,
        )?)?)
    }

    /// Who signs with this key, as STS tells him.
    pub fn caller(&self, key: &str) -> Result<String> {
        let ask = "Action=GetCallerIdentity";
        self.send(key, "sts", "us-east-1", "POST", "/", ask)
    }

    /// Records all requests from now on.
    pub fn record(&self) -> Result<()> {
        let start = "/moto-api/recorder/start-recording";
        self.send("", "moto", "", "POST", start, "").map(drop)
    }

    /// The requests of AWS's SDK for Go that were recorded.
    pub fn recorded(&self) -> Result<Vec<Call>> {
        let download = "/moto-api/recorder/download-recording";
        let recording = self.send("", "moto", "", "GET", download, "")?;
        let calls = recording
            .lines()
            .map(|line| Call::read(&serde_json::from_str(line)?));
        let calls: Vec<Option<Call>> = calls.collect::<Result<_>>()?;
        Ok(calls.into_iter().flatten().collect())
    }

    /// moto looks at the service and the region that a request is signed for, and at no signature.
    fn send(
        &self,
        key: &str,
        service: &str,
        region: &str,
        method: &str,
        path: &str,
        body: &str,
    ) -> Result<String> {
        let signed = format!(
            "AWS4-HMAC-SHA256 Credential={key}/20260101/{region}/{service}/aws4_request, \
             SignedHeaders=host, Signature=0"
        );
        let kind = match path {
            "/" => "application/x-www-form-urlencoded",
            _ => "application/json",
        };
        let headers = [("authorization", signed.as_str()), ("content-type", kind)];
        let mut connection = Connection::open_at(SocketAddr::new(self.address, self.port))?;
        let answer = connection.exchange(method, path, &headers, body.as_bytes())?;
        let answered = String::from_utf8(answer.body)?;
        let status = answer.status;
        ensure!(
            (200..300).contains(&status),
            "{service} answers {status}: {answered}"
        );
        Ok(answered)
    }
}

/// A request that moto has had.
#[derive(Debug)]
pub struct Call {
    /// Whose key has signed it, and for what.
    pub key: String,
    pub region: String,
    pub service: String,
    pub method: String,
    pub path: String,
    pub body: String,
}

impl Call {
    /// Reads what moto recorded; nothing, if it is not of the SDK.
    fn read(recorded: &Value) -> Result<Option<Self>> {
        let header = |name: &str| text(&recorded["headers"], &format!("/{name}"));
        if !header("User-Agent").contains("aws-sdk-go") {
            return Ok(None);
        }
        let signed = header("Authorization");
        let scope = signed.split_once("Credential=").map(|(_, scope)| scope);
        let mut scope = scope.with_context(|| format!("{recorded}"))?.split('/');
        let mut next = || scope.next().unwrap_or_default().to_owned();
        let (key, _, region, service) = (next(), next(), next(), next());
        let (url, body) = (text(recorded, "/url"), text(recorded, "/body"));
        let path = url.splitn(4, '/').nth(3).unwrap_or_default();
        Ok(Some(Self {
            key,
            region,
            service,
            method: text(recorded, "/method").to_owned(),
            path: format!("/{path}"),
            body: String::from_utf8(STANDARD.decode(body)?)?,
        }))
    }

    /// The action that IAM knows it as, such as `ec2:DescribeVpcs`.
    pub fn action(&self) -> Result<String> {
        let form = url::form_urlencoded::parse(self.body.as_bytes());
        let mut form = form.filter(|(name, _)| name == "Action");
        let path: Vec<&str> = self.path.split('/').skip(1).collect();
        let action = match (self.method.as_str(), path.as_slice()) {
            ("POST", [""]) => form.next().map(|(_, action)| action.into_owned()),
            ("POST", ["clusters"]) => Some("CreateCluster".to_owned()),
            ("GET", ["clusters", _]) => Some("DescribeCluster".to_owned()),
            ("POST", ["clusters", _, "node-groups"]) => Some("CreateNodegroup".to_owned()),
            ("GET", ["clusters", _, "node-groups", _]) => Some("DescribeNodegroup".to_owned()),
            ("POST", ["clusters", _, "node-groups", _, "update-version"]) => {
                Some("UpdateNodegroupVersion".to_owned())
            }
            _ => None,
        };
        let action =
            action.with_context(|| format!("the action of {self:?} is to be named here"))?;
        Ok(format!("{}:{action}", self.service))
    }
}
