//! A PostgreSQL server of this process, and TPC-H's tables in its databases.

use std::fs::{self, File};
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::Command;
use std::time::{Duration, Instant};

use arrow::array::RecordBatchReader;
use arrow::datatypes::{DataType, Schema};
use arrow::record_batch::RecordBatch;
use futures::SinkExt;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use portolan_node::{Error, Result};
use serde_json::json;
use tokio_postgres::{Client, NoTls};

use crate::copy_text::copy_text;
use crate::leash::{LeashedServer, run_as_server, server_folder};
use crate::mesh::{DomainDatabase, free_addresses};
use crate::tpch::TABLES;

/// The account that owns the server.
const OWNER: &str = "owner";
/// The largest number of connections.
const CONNECTIONS: usize = 64;
/// The time limit for the server to accept connections.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// The part of the log of a server whose port another process has.
const PORT_IS_TAKEN: &str = "Address already in use";
/// The number of attempts to start, if other processes take the port in the meantime.
const PORT_ATTEMPTS: usize = 3;
/// The primary keys of TPC-H's tables.
const KEYS: [(&str, &str); 8] = [
    ("lineitem", "l_orderkey, l_linenumber"),
    ("orders", "o_orderkey"),
    ("customer", "c_custkey"),
    ("partsupp", "ps_partkey, ps_suppkey"),
    ("part", "p_partkey"),
    ("supplier", "s_suppkey"),
    ("nation", "n_nationkey"),
    ("region", "r_regionkey"),
];

/// A PostgreSQL server on loopback. It ends with this value, and with this process in any case.
#[derive(Debug)]
pub struct PostgresServer {
    process: LeashedServer,
    port: u16,
    password: String,
}

impl PostgresServer {
    /// Returns the folder with the programs of the newest PostgreSQL, or `None` if there is none.
    pub fn programs() -> Option<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let on_path = std::env::split_paths(&path).filter_map(|folder| folder.join("initdb").canonicalize().ok());
        let on_path = on_path.filter_map(|program| program.parent().map(Path::to_path_buf));
        // Debian has the programs of each version in a folder of its own.
        let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let mut versions: Vec<_> = versions.map(|version| version.path().join("bin")).collect();
        let number = |folder: &PathBuf| folder.parent()?.file_name()?.to_str()?.parse::<u32>().ok();
        versions.sort_by_key(|folder| std::cmp::Reverse(number(folder)));
        let mut folders = on_path.chain(versions);
        folders.find(|folder| ["initdb", "postgres"].iter().all(|program| folder.join(program).is_file()))
    }

    /// Starts a new server with the programs in this folder. Its databases have the order of bytes, unless a column says
    /// otherwise.
    ///
    /// # Errors
    /// A server that does not start in time, with the end of its log.
    pub async fn start(programs: &Path) -> Result<Self> {
        Self::start_with(programs, &[]).await
    }

    /// Starts a new server as [`PostgresServer::start`] does, with these settings in addition, such as
    /// `shared_buffers=1GB`.
    ///
    /// # Errors
    /// As [`PostgresServer::start`].
    pub async fn start_with(programs: &Path, more: &[&str]) -> Result<Self> {
        let mut last = None;
        for _ in 0..PORT_ATTEMPTS {
            let address = free_addresses(1)?.remove(0);
            let port = address.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or_default();
            match Self::start_in(programs, &Self::prepare(programs)?, port, more).await {
                Err(error) if error.to_string().contains(PORT_IS_TAKEN) => last = Some(error),
                outcome => return outcome,
            }
        }
        Err(last.unwrap_or_else(|| Error::failed("PostgreSQL did not start")))
    }

    /// Starts a new server that listens on this port of loopback.
    ///
    /// # Errors
    /// As [`PostgresServer::start`].
    pub async fn start_at(programs: &Path, port: u16) -> Result<Self> {
        Self::start_in(programs, &Self::prepare(programs)?, port, &[]).await
    }

    /// Returns a new folder with the data of a server.
    fn prepare(programs: &Path) -> Result<PathBuf> {
        let folder = server_folder("portolan-postgres-")?;
        let password = folder.join("password");
        fs::write(&password, uuid::Uuid::new_v4().to_string()).map_err(|e| Error::output(password.display(), e))?;
        let mut initdb = Command::new(programs.join("initdb"));
        initdb.arg("-D").arg(folder.join("data")).arg("--pwfile").arg(password);
        initdb.args(["-U", OWNER, "-A", "scram-sha-256", "--locale=C.UTF-8", "--encoding=UTF8"]);
        initdb.args(["--no-sync", "--no-instructions"]);
        run_as_server(&folder, initdb)?;
        Ok(folder)
    }

    async fn start_in(programs: &Path, folder: &Path, port: u16, more: &[&str]) -> Result<Self> {
        let password = folder.join("password");
        let password = fs::read_to_string(&password).map_err(|e| Error::failed("the password").with_source(e))?;
        let mut command = Command::new(programs.join("postgres"));
        command.arg("-D").arg(folder.join("data")).args(["-p", &port.to_string()]);
        let settings = [
            "listen_addresses=127.0.0.1".to_owned(),
            "unix_socket_directories=".to_owned(),
            format!("max_connections={CONNECTIONS}"),
            // The data ends with the server.
            "fsync=off".to_owned(),
            "full_page_writes=off".to_owned(),
            "synchronous_commit=off".to_owned(),
            "autovacuum=off".to_owned(),
        ];
        for setting in settings.iter().map(String::as_str).chain(more.iter().copied()) {
            command.args(["-c", setting]);
        }
        let process = LeashedServer::start(folder, "QUIT", &command)?;
        let server = Self { process, port, password };
        server.wait_until_ready().await?;
        Ok(server)
    }

    async fn wait_until_ready(&self) -> Result<()> {
        let started = Instant::now();
        loop {
            match self.connect("postgres").await {
                Ok(_) => return Ok(()),
                Err(error) => {
                    let log = self.process.log_tail();
                    if started.elapsed() > START_TIMEOUT || log.contains(PORT_IS_TAKEN) {
                        return Err(Error::failed(format!("PostgreSQL did not start{log}")).with_source(error));
                    }
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Returns the port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the process id of the server.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Connects to a database as the owner of the server.
    ///
    /// # Errors
    /// A database that does not exist; a server that has ended.
    pub async fn connect(&self, database: &str) -> Result<Client> {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(self.port).user(OWNER).password(&self.password).dbname(database);
        let (client, connection) = config.connect(NoTls).await.map_err(failed)?;
        // The task ends with the client.
        tokio::spawn(async move {
            if let Err(e) = connection.await {
                tracing::debug!("a connection to PostgreSQL ended: {e}");
            }
        });
        Ok(client)
    }

    /// Creates a database, and an account that may read the tables that the owner will create in its schema `public`. The
    /// names need no quotes.
    ///
    /// # Errors
    /// A database or an account that exists already.
    pub async fn create_database(&self, database: &str, account: &str, password: &str) -> Result<Client> {
        let server = self.connect("postgres").await?;
        server.batch_execute(&format!("CREATE DATABASE {database}")).await.map_err(failed)?;
        let client = self.connect(database).await?;
        let rights = format!(
            "CREATE ROLE {account} LOGIN PASSWORD '{password}'; GRANT USAGE ON SCHEMA public TO {account}; \
             ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO {account}"
        );
        client.batch_execute(&rights).await.map_err(failed)?;
        Ok(client)
    }

    /// Creates a database with the tables of a domain of TPC-H, which are below `data`, and returns how a node reads it.
    ///
    /// # Errors
    /// Files that cannot be read; a server that has ended.
    pub async fn load_domain(&self, domain: &'static str, data: &Path) -> Result<DomainDatabase> {
        let (account, password) = (format!("{domain}_reader"), uuid::Uuid::new_v4().to_string());
        let client = self.create_database(domain, &account, &password).await?;
        for table in TABLES.iter().filter(|table| table.domain == domain) {
            load_file(&client, table.name, &data.join(format!("{}.parquet", table.name))).await?;
        }
        let host = "127.0.0.1";
        Ok(DomainDatabase {
            domain,
            server: json!({
                "server": "warehouse", "type": "postgres", "host": host, "port": self.port, "database": domain,
                "schema": "public",
            }),
            sources: json!({ "warehouse": { "database": {
                "host": format!("{host}:{}", self.port), "user": account, "password": password,
            } } }),
        })
    }
}

/// Creates one of TPC-H's tables from its file.
async fn load_file(client: &Client, table: &str, file: &Path) -> Result<()> {
    let unreadable = |e: String| Error::failed(format!("cannot read {}: {e}", file.display()));
    let opened = File::open(file).map_err(|e| unreadable(e.to_string()))?;
    let rows = ParquetRecordBatchReaderBuilder::try_new(opened).and_then(|builder| builder.build());
    let rows = rows.map_err(|e| unreadable(e.to_string()))?;
    create_table(client, table, &rows.schema()).await?;
    for batch in rows {
        copy_in(client, table, &batch.map_err(|e| unreadable(e.to_string()))?).await?;
    }
    let key = KEYS
        .iter()
        .find(|(name, _)| *name == table)
        .map(|(_, key)| format!("ALTER TABLE {table} ADD PRIMARY KEY ({key});"));
    client.batch_execute(&format!("{} ANALYZE {table}", key.unwrap_or_default())).await.map_err(failed)
}

/// Creates a table with the columns of a schema.
async fn create_table(client: &Client, table: &str, schema: &Schema) -> Result<()> {
    let columns = schema.fields().iter().map(|field| {
        let name = type_name(field.data_type());
        let name = name.ok_or_else(|| Error::failed(format!("PostgreSQL has no type for {}", field.data_type())))?;
        let null = if field.is_nullable() { "" } else { " NOT NULL" };
        Ok(format!("\"{}\" {name}{null}", field.name().replace('"', "\"\"")))
    });
    let columns = columns.collect::<Result<Vec<_>>>()?.join(", ");
    client.batch_execute(&format!("CREATE TABLE {table} ({columns})")).await.map_err(failed)
}

/// Adds rows to a table.
///
/// # Errors
/// Rows that the table does not accept; a server that has ended.
pub async fn copy_in(client: &Client, table: &str, rows: &RecordBatch) -> Result<()> {
    let text = copy_text(rows, ["f", "t"])?;
    let sink = client.copy_in::<_, Cursor<Vec<u8>>>(&format!("COPY {table} FROM STDIN")).await.map_err(failed)?;
    let mut sink = pin!(sink);
    sink.send(Cursor::new(text)).await.map_err(failed)?;
    sink.finish().await.map(drop).map_err(failed)
}

/// Returns the name of a type in PostgreSQL, or `None` if it has no such type.
pub fn type_name(data_type: &DataType) -> Option<String> {
    Some(match data_type {
        DataType::Boolean => "boolean".into(),
        DataType::Int16 => "smallint".into(),
        DataType::Int32 => "integer".into(),
        DataType::Int64 => "bigint".into(),
        DataType::Float32 => "real".into(),
        DataType::Float64 => "double precision".into(),
        DataType::Decimal128(precision, scale) => format!("numeric({precision}, {scale})"),
        DataType::Date32 => "date".into(),
        DataType::Timestamp(_, None) => "timestamp".into(),
        DataType::Timestamp(_, Some(_)) => "timestamptz".into(),
        DataType::Time64(_) => "time".into(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text".into(),
        _ => return None,
    })
}

fn failed(error: tokio_postgres::Error) -> Error {
    Error::failed("PostgreSQL").with_source(error)
}
