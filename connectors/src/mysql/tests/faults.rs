//! Faults of the server, the account and the network.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use arrow::datatypes::DataType;
use futures::{StreamExt, TryStreamExt};
use portolan_catalog::DatabaseKind;

use super::server::{PASSWORD, TestServer, origin, server};
use super::{cells, context, relation, rows, schema, soon};
use crate::databases::Database;
use crate::error::ErrorKind;
use crate::mysql::MysqlDatabase;
use crate::secret::Secret;
use crate::source_options::{DatabaseOptions, TlsMode};
use crate::sql::SqlQuery;

const ONE: &str = "SELECT 1 AS c0";

#[tokio::test]
async fn a_refused_account_and_another_kind_of_server_are_errors() {
    let Some(server) = server().await else { return };
    server.database("accounts", "CREATE TABLE t (id INT)").await;
    let one = [("n", DataType::Int64)];
    let wrong = server.open("accounts", |options| options.password = Some(Secret::new("wrong"))).unwrap();
    let error = rows(&wrong, ONE, &one).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SiteUnavailable);
    assert_eq!(error.chain(), "MariaDB `accounts` refused the account of this node");
    assert!(error.owner_chain().contains("Access denied for user 'reader'"), "{}", error.owner_chain());
    assert!(!error.owner_chain().contains("wrong"));
    let missing = server.open("nowhere", |_| ()).unwrap();
    let error = rows(&missing, ONE, &one).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SiteUnavailable, "{}", error.owner_chain());
    let options = DatabaseOptions {
        user: Some("reader".into()),
        password: Some(Secret::new(PASSWORD)),
        ..DatabaseOptions::default()
    };
    let origin = origin(server.port, "accounts");
    let mysql =
        MysqlDatabase::new(DatabaseKind::MySql, origin, "127.0.0.1", server.port, "accounts", &options).unwrap();
    let error = rows(&mysql, ONE, &one).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert!(error.to_string().starts_with("expected MySQL at MariaDB `accounts`, got MariaDB (10."), "{error}");
    assert!(
        error
            .to_string()
            .ends_with("set the custom property `portolan.type` of this server to `mariadb` in the contract"),
        "{error}"
    );
    assert!(!format!("{mysql:?}").contains(PASSWORD));
}

#[tokio::test]
async fn a_right_on_one_column_is_enough_for_that_column() {
    let Some(server) = server().await else { return };
    server
        .run("CREATE DATABASE rights; CREATE TABLE rights.t (a INT, b INT); INSERT INTO rights.t VALUES (1, 2)")
        .await;
    server
        .run("GRANT SELECT (a) ON rights.t TO reader@'127.0.0.1'; GRANT INSERT (b) ON rights.t TO reader@'127.0.0.1'")
        .await;
    let database = server.open("rights", |_| ()).unwrap();
    let described = database.describe(&relation("t"), &BTreeMap::new(), soon()).await.unwrap();
    let types: Vec<_> = described.columns.iter().map(|column| column.data_type.clone()).collect();
    assert_eq!(types, [Ok(DataType::Int32), Err("the account may not read it".to_owned())]);
    let columns = [("n", DataType::Int32)];
    assert_eq!(cells(&rows(&database, "SELECT t.a AS c0 FROM t AS t", &columns).await.unwrap()), ["1"]);
    let error = rows(&database, "SELECT t.b AS c0 FROM t AS t", &columns).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(!error.chain().contains("reader") && error.owner_chain().contains("column 'b'"), "{}", error.owner_chain());
    // The table is altered after it was opened.
    server.run("ALTER TABLE rights.t DROP COLUMN a, ADD COLUMN c INT").await;
    server.run("GRANT SELECT ON rights.* TO reader@'127.0.0.1'").await;
    let error = rows(&database, "SELECT t.a AS c0 FROM t AS t", &columns).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData, "{}", error.owner_chain());
    let error = rows(&database, "SELECT t.a AS c0 FROM u AS t", &columns).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{}", error.owner_chain());
}

#[tokio::test]
async fn a_host_that_is_away_or_silent_is_unavailable_in_time() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_port = silent.local_addr().unwrap().port();
    let closed_port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for (port, expected) in
        [(silent_port, "did not accept a connection within 1 seconds"), (closed_port, "cannot be reached")]
    {
        let options = DatabaseOptions { connect_timeout: 1, ..DatabaseOptions::default() };
        let database =
            MysqlDatabase::new(DatabaseKind::MariaDb, origin(port, "away"), "127.0.0.1", port, "away", &options)
                .unwrap();
        let start = Instant::now();
        let error = database.tables(None, soon()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::SiteUnavailable, "{error}");
        assert!(error.chain().starts_with("MariaDB `away` ") && error.chain().contains(expected), "{error}");
        assert!(!error.chain().contains("127.0.0.1") && error.owner_chain().contains("127.0.0.1"));
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}

#[tokio::test]
async fn an_exhausted_pool_names_its_setting() {
    let Some(server) = server().await else { return };
    server.database("pools", "CREATE TABLE t (id INT)").await;
    let database = server
        .open("pools", |options| {
            options.connections = 1;
            options.connection_wait = 1;
        })
        .unwrap();
    let endless = "SELECT CAST(a.seq AS SIGNED) AS c0 FROM seq_1_to_1000000 AS a JOIN seq_1_to_1000000 AS b";
    let held = database.query(SqlQuery::whole(endless), schema(&[("n", DataType::Int64)]), context()).await.unwrap();
    let error = rows(&database, ONE, &[("n", DataType::Int64)]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
    assert!(error.to_string().contains("`sources.pools.database.connections`"), "{error}");
    drop(held);
    assert_eq!(cells(&rows(&database, ONE, &[("n", DataType::Int64)]).await.unwrap()), ["1"]);
}

#[tokio::test]
async fn a_lock_wait_ends_at_the_deadline() {
    use mysql_async::prelude::Queryable;
    let Some(server) = server().await else { return };
    let database = server.database("locks", "CREATE TABLE t (id INT)").await;
    let mut holder = server.admin().await;
    holder.query_drop("LOCK TABLES locks.t WRITE").await.unwrap();
    let start = Instant::now();
    let context = crate::databases::RunContext { query_id: None, deadline: start + Duration::from_secs(1) };
    let query = SqlQuery::whole("SELECT t.id AS c0 FROM t AS t");
    let waited = database.query(query, schema(&[("n", DataType::Int32)]), context).await;
    let error = waited.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded, "{}", error.owner_chain());
    assert!(start.elapsed() < Duration::from_secs(4));
    server.wait_until_idle("locks").await;
    holder.query_drop("UNLOCK TABLES").await.unwrap();
}

#[tokio::test]
async fn a_server_that_dies_is_an_error_and_a_new_one_is_found() {
    let Some(server) = TestServer::start(&[]).await else { return };
    let database = server.database("dying", "CREATE TABLE t (id INT)").await;
    // Wide rows: few of them are in the buffers of the sockets.
    let endless = "SELECT repeat('x', 10000) AS c0 FROM seq_1_to_1000000 AS a JOIN seq_1_to_1000000 AS b";
    let mut stream =
        database.query(SqlQuery::whole(endless), schema(&[("text", DataType::Utf8)]), context()).await.unwrap();
    stream.next().await.unwrap().unwrap();
    server.kill();
    let error = stream.try_for_each(|_| async { Ok(()) }).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SiteUnavailable, "{}", error.owner_chain());
    assert_eq!(error.chain(), "MariaDB `dying` closed the connection of a query");
    let error = rows(&database, ONE, &[("n", DataType::Int64)]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SiteUnavailable);
}

#[tokio::test]
async fn a_closed_idle_connection_is_replaced() {
    let Some(server) = server().await else { return };
    let database = server.database("idle", "CREATE TABLE t (id INT)").await;
    let id = [("n", DataType::Int64)];
    let query = "SELECT CAST(connection_id() AS SIGNED) AS c0";
    let first = cells(&rows(&database, query, &id).await.unwrap());
    assert_eq!(cells(&rows(&database, query, &id).await.unwrap()), first, "connections are used again");
    server.run(&format!("KILL {}", first[0])).await;
    assert_ne!(cells(&rows(&database, query, &id).await.unwrap()), first);
}

#[tokio::test]
async fn tls_verifies_the_certificate_and_its_host() {
    let folder = tempfile::tempdir().unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = rcgen::CertifiedIssuer::self_signed(params, key).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let file = |name: &str, text: &str| {
        use std::os::unix::fs::PermissionsExt;
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        path
    };
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let ca = file("ca.pem", &authority.pem());
    let (certificate, key) = (file("cert.pem", &certificate.pem()), file("key.pem", &key.serialize_pem()));
    let options = [format!("--ssl-cert={}", certificate.display()), format!("--ssl-key={}", key.display())];
    let Some(server) = TestServer::start(&options).await else { return };
    server.database("secure", "CREATE TABLE t (id INT)").await;
    let open = |host: &str, ca: Option<&std::path::Path>| {
        let options = DatabaseOptions {
            user: Some("reader".into()),
            password: Some(Secret::new(PASSWORD)),
            tls: Some(TlsMode::Verify),
            ca: ca.map(Into::into),
            ..DatabaseOptions::default()
        };
        MysqlDatabase::new(DatabaseKind::MariaDb, origin(server.port, "secure"), host, server.port, "secure", &options)
            .unwrap()
    };
    server
        .run(&format!(
            "CREATE USER reader@localhost IDENTIFIED BY '{PASSWORD}'; GRANT SELECT ON secure.* TO reader@localhost"
        ))
        .await;
    let text = [("n", DataType::Utf8)];
    let cipher = "SELECT CAST(VARIABLE_VALUE <> '' AS CHAR) AS c0 FROM information_schema.SESSION_STATUS WHERE VARIABLE_NAME = 'SSL_CIPHER'";
    assert_eq!(cells(&rows(&open("localhost", Some(&ca)), cipher, &text).await.unwrap()), ["1"]);
    for database in [open("127.0.0.1", Some(&ca)), open("localhost", None)] {
        let error = rows(&database, cipher, &text).await.unwrap_err();
        assert_eq!(
            error.chain(),
            "MariaDB `secure` has no TLS certificate that this node trusts",
            "{}",
            error.owner_chain()
        );
    }
    let plain = server_without_tls().await;
    let database = plain.open("mysql", |options| options.tls = Some(TlsMode::Verify)).unwrap();
    let error = rows(&database, ONE, &text).await.unwrap_err();
    assert!(error.chain().contains("offers no TLS: set `tls: disable`"), "{}", error.owner_chain());
}

async fn server_without_tls() -> std::sync::Arc<TestServer> {
    server().await.unwrap()
}
