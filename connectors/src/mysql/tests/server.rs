//! A MariaDB server for tests, in a folder of its own. It ends with the last test that holds it.

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder, Row};
use portolan_catalog::DatabaseKind;
use tempfile::TempDir;

use super::super::MysqlDatabase;
use crate::databases::Origin;
use crate::lock;
use crate::secret::Secret;
use crate::source_options::DatabaseOptions;

/// The account of nobody, for tests that run as root: the server does not start as root.
const NOBODY: u32 = 65_534;
const START_TIME: Duration = Duration::from_secs(60);
pub(super) const PASSWORD: &str = "correct horse";

/// A running server.
pub(super) struct TestServer {
    child: Mutex<Child>,
    pub(super) port: u16,
    pub(super) folder: TempDir,
}

static SHARED: tokio::sync::Mutex<Weak<TestServer>> = tokio::sync::Mutex::const_new(Weak::new());

/// Returns a server; `None` with a message if MariaDB is not installed. Tests in CI fail instead.
pub(super) async fn server() -> Option<Arc<TestServer>> {
    let mut shared = SHARED.lock().await;
    if let Some(server) = shared.upgrade() {
        return Some(server);
    }
    let server = Arc::new(TestServer::start(&[]).await?);
    *shared = Arc::downgrade(&server);
    Some(server)
}

impl TestServer {
    /// Starts a server of its own.
    pub(super) async fn start(options: &[String]) -> Option<Self> {
        let is_installed = |program| Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok();
        if !["mariadbd", "mariadb-install-db"].into_iter().all(is_installed) {
            assert!(std::env::var_os("CI").is_none(), "mariadbd and mariadb-install-db are missing");
            println!("SKIPPED: MariaDB is not installed");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let is_root = std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
        if is_root {
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let data = folder.path().join("data");
        let installed = command("mariadb-install-db", is_root)
            .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"])
            .arg(format!("--datadir={}", data.display()))
            .arg(format!("--tmpdir={}", folder.path().display()))
            .output()
            .unwrap();
        assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let child = run(folder.path(), port, options, is_root);
        let server = Self { child: Mutex::new(child), port, folder };
        let until = Instant::now() + START_TIME;
        while let Err(error) = server.try_connect().await {
            let log = || std::fs::read_to_string(server.folder.path().join("log")).unwrap_or_default();
            assert!(Instant::now() < until, "{error}\n{}", log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        server.run(&format!("CREATE USER reader@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'")).await;
        Some(server)
    }

    async fn try_connect(&self) -> mysql_async::Result<Conn> {
        let socket = self.folder.path().join("socket");
        Conn::new(OptsBuilder::default().socket(Some(socket.display().to_string())).user(Some("root"))).await
    }

    /// Returns a connection of the administrator.
    pub(super) async fn admin(&self) -> Conn {
        let mut conn = self.try_connect().await.unwrap();
        conn.query_drop("SET NAMES utf8mb4").await.unwrap();
        conn
    }

    /// Runs statements as the administrator.
    pub(super) async fn run(&self, statements: &str) {
        self.admin().await.query_drop(statements).await.unwrap_or_else(|e| panic!("{e}: {statements}"));
    }

    /// Creates a database that the account `reader` may use, and returns it.
    pub(super) async fn database(&self, name: &str, statements: &str) -> MysqlDatabase {
        self.run(&format!(
            "CREATE DATABASE {name} CHARACTER SET utf8mb4; GRANT SELECT, INSERT ON {name}.* TO reader@'127.0.0.1'; \
             USE {name}; {statements}"
        ))
        .await;
        self.open(name, |_| ()).unwrap()
    }

    /// Returns a database with other options.
    pub(super) fn open(&self, name: &str, change: impl FnOnce(&mut DatabaseOptions)) -> crate::Result<MysqlDatabase> {
        let mut options = DatabaseOptions {
            user: Some("reader".into()),
            password: Some(Secret::new(PASSWORD)),
            connections: 3,
            ..DatabaseOptions::default()
        };
        change(&mut options);
        MysqlDatabase::new(DatabaseKind::MariaDb, origin(self.port, name), "127.0.0.1", self.port, name, &options)
    }

    /// Returns what the account `reader` runs in a database at the moment: the statements of connections that are not
    /// idle.
    pub(super) async fn running(&self, database: &str) -> Vec<String> {
        let query = format!(
            "SELECT COALESCE(INFO, '') FROM information_schema.PROCESSLIST WHERE USER = 'reader' AND DB = '{database}' \
             AND COMMAND NOT IN ('Sleep', 'Killed')"
        );
        self.admin().await.query(query).await.unwrap()
    }

    /// Waits until the account runs nothing in a database.
    pub(super) async fn wait_until_idle(&self, database: &str) {
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            let running = self.running(database).await;
            if running.is_empty() {
                return;
            }
            assert!(Instant::now() < until, "still running: {running:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until no transaction is open in a database.
    pub(super) async fn wait_until_clean(&self, database: &str) {
        let query = format!(
            "SELECT p.ID FROM information_schema.INNODB_TRX AS t JOIN information_schema.PROCESSLIST AS p \
             ON p.ID = t.trx_mysql_thread_id WHERE p.DB = '{database}'"
        );
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            let open: Vec<Row> = self.admin().await.query(&query).await.unwrap();
            if open.is_empty() {
                return;
            }
            assert!(Instant::now() < until, "{} open transactions", open.len());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Ends the server as a crash does.
    pub(super) fn kill(&self) {
        let mut child = lock(&self.child);
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(super) fn origin(port: u16, name: &str) -> Origin {
    Origin { shown: format!("MariaDB `{name}`"), url: format!("mariadb://127.0.0.1:{port}/{name}") }
}

fn run(folder: &Path, port: u16, options: &[String], is_root: bool) -> Child {
    let log = std::fs::File::create(folder.join("log")).unwrap();
    command("mariadbd", is_root)
        .args(["--no-defaults", "--bind-address=127.0.0.1", "--skip-log-bin", "--innodb-buffer-pool-size=32M"])
        .arg("--innodb-flush-log-at-trx-commit=0")
        .arg(format!("--datadir={}", folder.join("data").display()))
        .arg(format!("--socket={}", folder.join("socket").display()))
        .arg(format!("--pid-file={}", folder.join("pid").display()))
        // A server that starts removes all temporary tables in its folder, also those of other servers.
        .arg(format!("--tmpdir={}", folder.display()))
        .arg(format!("--port={port}"))
        .args(options)
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}

fn command(program: &str, is_root: bool) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    if is_root {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}
