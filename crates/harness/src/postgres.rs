//! A real Postgres, of this process's own, on a free port and in a fresh directory.

use std::{
    borrow::Cow,
    fs,
    io::Write,
    os::unix::{
        fs::{OpenOptionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use rustix::process::Signal;
use url::Url;

use crate::{host::free_port, process::Process, wait::wait_until};
use tools::{find_or_fetch, root, run::read};

/// The role that owns the database and applies the migrations.
const OWNER: &str = "owner";

/// The role that the migrations create for the service.
const SERVICE: &str = "hello";

/// The database.
const DATABASE: &str = "hello";

/// How long the server may take to start, and to recover after a crash.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A server that runs. Dropping it ends it; its directory is the caller's.
#[derive(Debug)]
pub struct Postgres {
    server: Option<Process>,
    directory: PathBuf,
    /// The port that it listens on, of the loopback address.
    pub port: u16,
    /// The password of both roles.
    pub password: String,
}

/// Where a database is, and who signs in.
#[derive(Clone, Debug)]
pub struct Address {
    /// The host's name or address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The database's name.
    pub database: String,
    /// The role.
    pub user: String,
    /// Its password.
    pub password: String,
    /// `disable`, `prefer` or `require`.
    pub sslmode: String,
}

impl Address {
    /// As a URL: `postgres://user:password@host:port/database?sslmode=…`.
    #[must_use]
    pub fn url(&self) -> String {
        let Self {
            host,
            port,
            sslmode,
            ..
        } = self;
        let [user, password, database] = [&self.user, &self.password, &self.database]
            .map(|text| utf8_percent_encode(text, NON_ALPHANUMERIC));
        format!("postgres://{user}:{password}@{host}:{port}/{database}?sslmode={sslmode}")
    }

    /// As wasmCloud takes it, whose workloads name their database themselves; with a bound on how long a
    /// connection may take.
    pub fn url_for_wash(&self) -> Result<String> {
        let mut url = Url::parse(&self.url())?;
        url.set_path("");
        url.query_pairs_mut().append_pair("connect_timeout", "2");
        Ok(url.into())
    }

    /// As the environment of Postgres's own clients.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, String); 6] {
        [
            ("PGHOST", self.host.clone()),
            ("PGPORT", self.port.to_string()),
            ("PGDATABASE", self.database.clone()),
            ("PGUSER", self.user.clone()),
            ("PGPASSWORD", self.password.clone()),
            ("PGSSLMODE", self.sslmode.clone()),
        ]
    }

    /// Takes an address out of a URL of the form that [`Address::url`] writes.
    ///
    /// # Errors
    ///
    /// One sentence that says what the form is, and does not hold the URL: that has a password.
    pub fn parse(url: &str) -> Result<Self> {
        let parse = || {
            let url = Url::parse(url).ok()?;
            let decode = |text| Some(percent_decode_str(text).decode_utf8().ok()?.into_owned());
            let mut query = url.query_pairs();
            let sslmode = query.find_map(|(key, value)| (key == "sslmode").then_some(value));
            let address = Self {
                host: url.host_str()?.to_owned(),
                port: url.port().unwrap_or(5432),
                database: decode(url.path().strip_prefix('/')?)?,
                user: decode(url.username())?,
                password: decode(url.password()?)?,
                sslmode: sslmode.map_or_else(|| "require".to_owned(), Cow::into_owned),
            };
            let is_whole = ["postgres", "postgresql"].contains(&url.scheme())
                && ![&address.user, &address.database].contains(&&String::new());
            is_whole.then_some(address)
        };
        parse().context(
            "the URL must be postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=MODE, its parts \
             percent-encoded where they have other characters than letters, digits and -._~",
        )
    }
}

impl Postgres {
    /// Starts a server on the cluster in `directory`, which is made if there is none, and applies
    /// the migrations.
    pub fn start(directory: &Path) -> Result<Self> {
        Self::start_with(directory, &[])
    }

    /// [`Postgres::start`] with settings for the server, such as `ssl=on`.
    pub fn start_with(directory: &Path, settings: &[String]) -> Result<Self> {
        if !directory.join("data/PG_VERSION").exists() {
            make_cluster(directory)?;
        }
        let password = fs::read_to_string(directory.join("secret"))?;
        let mut server = Self {
            server: None,
            directory: directory.to_owned(),
            port: free_port()?,
            password,
        };
        server.run(settings)?;
        let count = format!("SELECT count(*) FROM pg_database WHERE datname = '{DATABASE}'");
        if server.psql_of("postgres", &count)?.trim() == "0" {
            server.psql_of("postgres", &format!("CREATE DATABASE {DATABASE}"))?;
        }
        migrate(&server.owner())?;
        let password = &server.password;
        server.psql(&format!("ALTER ROLE {SERVICE} PASSWORD '{password}'"))?;
        Ok(server)
    }

    /// Starts a standby in `directory`, which must be empty: an asynchronous, physical replica that
    /// follows this server and only reads.
    pub fn standby(&self, directory: &Path) -> Result<Self> {
        let data = directory.join("data");
        give_to_server(directory)?;
        read(
            "copy the server",
            as_server("pg_basebackup")?
                .args(["--write-recovery-conf", "--checkpoint", "fast"])
                .arg("--pgdata")
                .arg(&data)
                .envs(self.owner().environment()),
        )?;
        let mut standby = Self {
            server: None,
            directory: directory.to_owned(),
            port: free_port()?,
            password: self.password.clone(),
        };
        standby.run(&[])?;
        Ok(standby)
    }

    /// Starts the server again after [`Postgres::stop`] or [`Postgres::kill`], on the same port.
    pub fn run(&mut self, settings: &[String]) -> Result<()> {
        let log = self.directory.join("postgres.log");
        let mut command = as_server("postgres")?;
        command
            .arg("-D")
            .arg(self.directory.join("data"))
            .args(["-p", &self.port.to_string()])
            .args(["-c", "listen_addresses=127.0.0.1"])
            .arg("-c")
            .arg(format!(
                "unix_socket_directories={}",
                self.directory.display()
            ));
        for setting in settings {
            command.args(["-c", setting]);
        }
        // SIGINT is Postgres's fast shutdown: SIGTERM's would wait for the clients.
        let mut start = || Process::start_ended_by(Signal::INT, &mut command, Some(&log));
        let mut server = start()?;
        wait_until(
            "Postgres",
            START_TIMEOUT,
            Duration::from_millis(100),
            || {
                // After a kill, the server refuses to start until its last child has gone.
                if server.try_wait()?.is_some() {
                    server = start()?;
                }
                anyhow::Ok(self.psql_of("postgres", "SELECT 1").ok())
            },
        )
        .with_context(|| format!("Postgres does not start, see {}", log.display()))?;
        self.server = Some(server);
        Ok(())
    }

    /// The number of the server's first process.
    pub fn id(&self) -> Result<u32> {
        let server = self.server.as_ref();
        Ok(server.context("Postgres does not run")?.id())
    }

    /// Ends the server in an orderly way.
    pub fn stop(&mut self) {
        self.server = None;
    }

    /// Ends the server with SIGKILL, as a crash would.
    pub fn kill(&mut self) -> Result<()> {
        self.server.take().context("Postgres does not run")?.kill()
    }

    /// The database, for the role that owns it.
    #[must_use]
    pub fn owner(&self) -> Address {
        self.address(OWNER)
    }

    /// The database, for the service's role.
    #[must_use]
    pub fn service(&self) -> Address {
        self.address(SERVICE)
    }

    /// Runs `sql` as the owner and returns what it gives, without headings.
    pub fn psql(&self, sql: &str) -> Result<String> {
        self.psql_of(DATABASE, sql)
    }

    fn psql_of(&self, database: &str, sql: &str) -> Result<String> {
        let address = Address {
            database: database.to_owned(),
            ..self.owner()
        };
        read(
            "run SQL",
            psql(&address)?.args(["--tuples-only", "--no-align", "--command", sql]),
        )
    }

    fn address(&self, user: &str) -> Address {
        Address {
            host: "127.0.0.1".to_owned(),
            port: self.port,
            database: DATABASE.to_owned(),
            user: user.to_owned(),
            password: self.password.clone(),
            sslmode: "disable".to_owned(),
        }
    }
}

/// Applies `migrations/*.sql` in the order of their numbers, each in one transaction. Those that
/// have been applied before change nothing.
///
/// # Errors
///
/// One sentence that names the file; the database is as the file before it left it.
pub fn migrate(address: &Address) -> Result<()> {
    let mut files: Vec<PathBuf> = fs::read_dir(root().join("migrations"))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "sql"));
    files.sort();
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        read(
            &format!("apply {name}"),
            psql(address)?
                .args(["--quiet", "--single-transaction", "--output", "/dev/null"])
                .arg("--file")
                .arg(&file),
        )?;
        eprintln!("applied {name}");
    }
    Ok(())
}

/// psql on the database at `address`. The password goes through the environment: a command line is
/// for everybody to read.
fn psql(address: &Address) -> Result<Command> {
    let mut command = Command::new(find_or_fetch("psql")?);
    command
        .args(["--no-psqlrc", "--no-password", "--set", "ON_ERROR_STOP=1"])
        // One line for an error, and no DETAIL: that repeats what is in a row.
        .args(["--set", "VERBOSITY=terse"])
        .envs(address.environment())
        .env("PGCONNECT_TIMEOUT", "5");
    Ok(command)
}

/// Makes a cluster in `directory`, whose owner has the password in the file `secret`.
fn make_cluster(directory: &Path) -> Result<()> {
    let mut password = [0; 16];
    rustix::rand::getrandom(&mut password, rustix::rand::GetRandomFlags::empty())?;
    let password: String = password.iter().map(|byte| format!("{byte:02x}")).collect();
    let data = directory.join("data");
    fs::create_dir_all(&data)?;
    let secret = directory.join("secret");
    fs::File::options()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(&secret)?
        .write_all(password.as_bytes())?;
    for path in [directory, &data, &secret] {
        give_to_server(path)?;
    }
    let mut initdb = as_server("initdb")?;
    read(
        "make a Postgres cluster",
        initdb
            .args(["--auth", "scram-sha-256", "--username", OWNER])
            .args(["--encoding", "UTF8", "--locale", "C"])
            .arg("--pwfile")
            .arg(&secret)
            .arg("--pgdata")
            .arg(&data),
    )
    .map(drop)
}

/// A command that runs `program` as somebody whom Postgres accepts: it refuses root.
fn as_server(program: &'static str) -> Result<Command> {
    let mut command = Command::new(find_or_fetch(program)?);
    if let Some((user, group)) = server_account() {
        command.uid(user).gid(group);
    }
    command.current_dir("/");
    Ok(command)
}

/// Lets the server's account own `path`, where this process may do that.
pub fn give_to_server(path: &Path) -> Result<()> {
    if let Some((user, group)) = server_account() {
        chown(path, Some(user), Some(group))?;
    }
    Ok(())
}

/// For root, the numbers of the account `postgres`, which Debian's package makes, else of `nobody`.
fn server_account() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let accounts = fs::read_to_string("/etc/passwd").ok()?;
    let account = accounts
        .lines()
        .find(|line| line.starts_with("postgres:"))
        .or_else(|| accounts.lines().find(|line| line.starts_with("nobody:")))?;
    let mut fields = account.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_back_from_its_url() {
        let url = "postgres://hello:secret@db.test:6432/hello?sslmode=require";
        let address = Address::parse(url).expect("an address");
        assert_eq!(address.url(), url);
        assert_eq!(address.port, 6432);
        let mut odd = address;
        odd.password = "s:e@c/r?e#t% ü".to_owned();
        let read_back = Address::parse(&odd.url()).expect("an address");
        assert_eq!(read_back.password, odd.password);
        let short = Address::parse("postgresql://hello:secret@db.test/hello").expect("an address");
        assert_eq!((short.port, short.sslmode.as_str()), (5432, "require"));
    }

    #[test]
    fn a_wrong_url_is_refused_without_being_repeated() {
        for url in [
            "",
            "mysql://hello:secret@db.test/hello",
            "postgres://db.test/hello",
            "postgres://hello:secret@db.test",
            "postgres://hello:secret@:5432/hello",
            "postgres://hello:secret@db.test:port/hello",
        ] {
            let error = Address::parse(url).expect_err("no address").to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
