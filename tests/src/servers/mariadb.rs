//! One MariaDB server for all tests of this process.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};
use portolan_testbed::copy_text::copy_text;
use portolan_testbed::leash::{LeashedServer, run_as_server, server_folder};
use portolan_testbed::mesh::free_addresses;
use tokio::sync::OnceCell;

const START_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest number of connections.
const CONNECTIONS: usize = 64;

/// A MariaDB server on loopback, which ends with this process.
#[derive(Debug)]
pub struct MariaDbServer {
    process: LeashedServer,
    port: u16,
}

/// Returns the server, or `None` without MariaDB's programs, after a message. Under CI, it panics instead.
pub async fn server() -> Option<&'static MariaDbServer> {
    static SERVER: OnceCell<Option<MariaDbServer>> = OnceCell::const_new();
    SERVER.get_or_init(MariaDbServer::start).await.as_ref()
}

impl MariaDbServer {
    async fn start() -> Option<Self> {
        let found = |program: &str| {
            let mut command = Command::new(program);
            command.arg("--help").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
        };
        // Debian has the server in a folder that is on the path of root only.
        let server = ["mariadbd", "/usr/sbin/mariadbd"].into_iter().find(|program| found(program));
        let Some(program) = server.filter(|_| found("mariadb-install-db")) else {
            super::missing("MariaDB (`mariadb-install-db`, `mariadbd`)", "ports over MariaDB are");
            return None;
        };
        let folder = server_folder("portolan-mariadb-").unwrap();
        let data = format!("--datadir={}", folder.join("data").display());
        // A server that starts removes all temporary tables in its folder, also those of other servers.
        let temporary = format!("--tmpdir={}", folder.display());
        let mut install = Command::new("mariadb-install-db");
        install.args(["--no-defaults", &data, &temporary, "--auth-root-authentication-method=normal"]);
        install.args(["--skip-test-db", "--skip-name-resolve"]);
        run_as_server(&folder, install).unwrap();
        let port: u16 = free_addresses(1).unwrap()[0].rsplit_once(':').unwrap().1.parse().unwrap();
        let mut command = Command::new(program);
        command.args(["--no-defaults", &data, &temporary, "--bind-address=127.0.0.1", "--skip-name-resolve"]);
        command.arg(format!("--port={port}")).arg(format!("--socket={}", folder.join("socket").display()));
        command.arg(format!("--max-connections={CONNECTIONS}"));
        // The data ends with the server.
        command.args(["--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=64M"]);
        // The time zone of the server is none that hides a missing setting of a session.
        command.args(["--character-set-server=utf8mb4", "--default-time-zone=+05:30"]);
        let process = LeashedServer::start(&folder, "KILL", &command).unwrap();
        let server = Self { process, port };
        let started = Instant::now();
        while let Err(e) = server.try_connect("").await {
            let log = server.process.log_tail();
            assert!(started.elapsed() < START_TIMEOUT, "MariaDB did not start: {e}{log}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Some(server)
    }

    /// Returns the port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Connects to a database as root.
    pub async fn connect(&self, database: &str) -> Conn {
        self.try_connect(database).await.unwrap_or_else(|e| panic!("MariaDB: {e}{}", self.process.log_tail()))
    }

    async fn try_connect(&self, database: &str) -> mysql_async::Result<Conn> {
        let options = OptsBuilder::default().ip_or_hostname("127.0.0.1").tcp_port(self.port).user(Some("root"));
        let database = Some(database).filter(|name| !name.is_empty());
        let mut connection = Conn::new(options.db_name(database).prefer_socket(false)).await?;
        connection.query_drop("SET time_zone = '+00:00'").await?;
        Ok(connection)
    }

    /// Creates a database, and an account that may read its tables.
    pub async fn create_database(&self, database: &str, account: &str, password: &str) -> Conn {
        let mut server = self.connect("").await;
        for sql in [
            format!("CREATE DATABASE `{database}`"),
            format!("CREATE USER '{account}'@'127.0.0.1' IDENTIFIED BY '{password}'"),
            format!("GRANT SELECT ON `{database}`.* TO '{account}'@'127.0.0.1'"),
        ] {
            server.query_drop(&sql).await.unwrap_or_else(|e| panic!("{e}\n{sql}"));
        }
        self.connect(database).await
    }

    /// Adds rows to a table, from a file in the folder of the server.
    pub async fn load(&self, connection: &mut Conn, table: &str, rows: &RecordBatch) {
        let file: PathBuf = self.process.folder().join(format!("rows-{}", connection.id()));
        fs::write(&file, copy_text(rows, ["0", "1"]).unwrap()).unwrap();
        let sql = format!("LOAD DATA INFILE '{}' INTO TABLE {table} CHARACTER SET utf8mb4", file.display());
        connection.query_drop(&sql).await.unwrap_or_else(|e| panic!("{e}\n{sql}"));
        fs::remove_file(file).unwrap();
    }
}

/// Returns the name of a type in MariaDB.
pub(super) fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "tinyint(1)".into(),
        DataType::Int16 => "smallint".into(),
        DataType::Int32 => "int".into(),
        DataType::Int64 => "bigint".into(),
        DataType::UInt64 => "bigint unsigned".into(),
        DataType::Float32 => "float".into(),
        DataType::Float64 => "double".into(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision}, {scale})"),
        DataType::Date32 => "date".into(),
        DataType::Timestamp(_, None) => "datetime(6)".into(),
        DataType::Timestamp(_, Some(_)) => "timestamp(6)".into(),
        DataType::Time64(_) => "time(6)".into(),
        DataType::Utf8 => "varchar(200)".into(),
        other => panic!("MariaDB has no type for {other}"),
    }
}
