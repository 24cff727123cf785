//! A PostgreSQL server for tests: in a folder of its own, on a free port of 127.0.0.1, as an unprivileged user.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

use crate::databases::Origin;
use crate::poison::lock;
use crate::postgres::PostgresDatabase;
use crate::secret::Secret;
use crate::source_options::DatabaseOptions;

/// The time that the server has to start.
const START: Duration = Duration::from_secs(120);
/// The user whose login needs a password, and the password.
pub(super) const GUARDED: (&str, &str) = ("guarded", "right");

/// A running server.
pub(super) struct Server {
    process: Child,
    programs: PathBuf,
    user: Option<(u32, u32)>,
    folder: TempDir,
    pub(super) port: u16,
}

/// Returns the server that other tests use at the same time, or starts one. Returns `None` with a message if PostgreSQL
/// is not installed.
pub(super) async fn server() -> Option<Arc<Server>> {
    static RUNNING: Mutex<Weak<Server>> = Mutex::new(Weak::new());
    let Some(programs) = programs() else {
        assert!(std::env::var_os("CI").is_none(), "`initdb` of PostgreSQL was not found");
        let _ = writeln!(std::io::stderr(), "SKIPPED: `initdb` of PostgreSQL was not found");
        return None;
    };
    let running = {
        let mut running = lock(&RUNNING);
        running.upgrade().unwrap_or_else(|| {
            let started = Arc::new(Server::start(programs));
            *running = Arc::downgrade(&started);
            started
        })
    };
    running.ready().await;
    Some(running)
}

/// Returns the folder of the programs of PostgreSQL.
fn programs() -> Option<PathBuf> {
    let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<_> = installed.map(|version| version.path().join("bin")).collect();
    folders.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = folders.into_iter().rev().chain(std::env::split_paths(&path).collect::<Vec<_>>());
    all.into_iter().find(|folder| folder.join("initdb").exists() && folder.join("postgres").exists())
}

impl Server {
    fn start(programs: PathBuf) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let user = unprivileged();
        if let Some((user, group)) = user {
            chown(folder.path(), Some(user), Some(group)).unwrap();
        }
        let data = folder.path().join("data");
        let mut initdb = command(&programs.join("initdb"), user);
        initdb.args(["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "-D"]).arg(&data);
        let made = initdb.output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let guarded = format!("host all {} 127.0.0.1/32 scram-sha-256\n", GUARDED.0);
        let access = data.join("pg_hba.conf");
        fs::write(&access, guarded + &fs::read_to_string(&access).unwrap()).unwrap();
        certificate(folder.path(), &data, user);
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut postgres = command(&programs.join("postgres"), user);
        postgres.arg("-D").arg(&data).args(["-p", &port.to_string()]);
        for setting in
            ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "ssl=on", "max_connections=60"]
        {
            postgres.args(["-c", setting]);
        }
        let process = postgres.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Self { process, programs, user, folder, port }
    }

    async fn ready(&self) {
        let until = Instant::now() + START;
        while let Err(error) = self.connect("postgres").await {
            assert!(Instant::now() < until, "the server did not start: {error}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn connect(&self, database: &str) -> Result<Client, tokio_postgres::Error> {
        let config = format!("host=127.0.0.1 port={} user=postgres dbname={database} sslmode=disable", self.port);
        let (client, connection) = tokio_postgres::connect(&config, NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Returns the file with the certificate of the authority.
    pub(super) fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }
}

/// Writes the certificate of an authority, and that of the server with its key.
fn certificate(folder: &Path, data: &Path, user: Option<(u32, u32)>) {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(folder.join("ca.pem"), certified.cert.pem()).unwrap();
    let key = data.join("server.key");
    fs::write(data.join("server.crt"), certified.cert.pem()).unwrap();
    fs::write(&key, certified.signing_key.serialize_pem()).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    if let Some((user, group)) = user {
        chown(&key, Some(user), Some(group)).unwrap();
    }
}

/// Returns the user and the group of `nobody` if this process is privileged: PostgreSQL refuses to run as root.
fn unprivileged() -> Option<(u32, u32)> {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let nobody = users.lines().find_map(|line| line.strip_prefix("nobody:x:")).unwrap();
    let mut numbers = nobody.split(':').map(|number| number.parse().unwrap_or_default());
    Some((numbers.next().unwrap(), numbers.next().unwrap()))
}

fn command(program: &Path, user: Option<(u32, u32)>) -> Command {
    let mut command = Command::new(program);
    command.env_remove("PGDATA").env("LC_ALL", "C.UTF-8").current_dir("/");
    if let Some((user, group)) = user {
        command.uid(user).gid(group);
    }
    command
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut stop = command(&self.programs.join("pg_ctl"), self.user);
        stop.args(["stop", "-s", "-m", "immediate", "-D"]).arg(self.folder.path().join("data"));
        let _ = stop.status();
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A database of one test, with a client of the superuser.
pub(super) struct TestDatabase {
    pub(super) server: Arc<Server>,
    pub(super) name: String,
    pub(super) admin: Client,
}

impl TestDatabase {
    /// Creates a database and runs statements in it.
    pub(super) async fn new(statements: &str) -> Option<Self> {
        static CREATED: AtomicUsize = AtomicUsize::new(0);
        let server = server().await?;
        let name = format!("test{}", CREATED.fetch_add(1, Ordering::Relaxed));
        server.connect("postgres").await.unwrap().batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
        let admin = server.connect(&name).await.unwrap();
        admin.batch_execute(statements).await.unwrap();
        Some(Self { server, name, admin })
    }

    /// Returns the database as the superuser sees it.
    pub(super) fn open(&self) -> PostgresDatabase {
        self.open_with("127.0.0.1", &options("postgres", None))
    }

    /// Returns the database with other options.
    pub(super) fn open_with(&self, host: &str, options: &DatabaseOptions) -> PostgresDatabase {
        let url = format!("postgres://{host}:{}/{}", self.server.port, self.name);
        let origin = Origin { shown: "PostgreSQL `lake`".to_owned(), url };
        PostgresDatabase::new(origin, host, self.server.port, &self.name, options).unwrap()
    }

    /// Returns another client of the superuser.
    pub(super) async fn client(&self) -> Client {
        self.server.connect(&self.name).await.unwrap()
    }

    /// Returns the number of sessions of nodes in this database that fulfil a condition over `pg_stat_activity`.
    pub(super) async fn sessions(&self, condition: &str) -> i64 {
        let sql = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND application_name LIKE 'portolan%' AND ({condition})",
            self.name
        );
        self.admin.query_one(&sql, &[]).await.unwrap().get(0)
    }

    /// Ends the sessions of nodes in this database that fulfil a condition.
    pub(super) async fn end_sessions(&self, condition: &str) {
        let sql = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = '{}' AND application_name LIKE 'portolan%' AND ({condition})",
            self.name
        );
        self.admin.batch_execute(&sql).await.unwrap();
    }

    /// Waits until a condition holds for no session of a node.
    pub(super) async fn none_is(&self, condition: &str) {
        let until = Instant::now() + Duration::from_secs(20);
        while self.sessions(condition).await > 0 {
            assert!(Instant::now() < until, "a session is still {condition}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Returns the options of an account.
pub(super) fn options(user: &str, password: Option<&str>) -> DatabaseOptions {
    let password = password.map(Secret::new);
    DatabaseOptions { user: Some(user.to_owned()), password, ..DatabaseOptions::default() }
}
