//! Faults: each is an error that names the source, and leaves no query and no broken connection behind.

use futures::StreamExt;

use super::*;
use crate::error::ErrorKind;
use crate::source_options::TlsMode;

/// A query whose rows take minutes.
fn endless() -> SqlQuery {
    SqlQuery::whole("SELECT a.n + b.n AS c0 FROM generate_series(1, 100000) a(n), generate_series(1, 100000) b(n)")
}

fn number() -> SchemaRef {
    one("n", DataType::Int32)
}

fn small_pool() -> DatabaseOptions {
    DatabaseOptions { connection_wait: 1, ..one_connection() }
}

#[tokio::test]
async fn a_dropped_stream_stops_the_query_and_keeps_the_connection() {
    let Some(test) = TestDatabase::new("").await else { return };
    let database = test.open_with("127.0.0.1", &small_pool());
    for _ in 0..3 {
        let mut stream = database.query(endless(), number(), context()).await.unwrap();
        assert_eq!(stream.next().await.unwrap().unwrap().num_rows(), 8192);
        assert_eq!(test.sessions("state = 'active' AND application_name = 'portolan q1'").await, 1);
        drop(stream);
        test.none_is("state <> 'idle'").await;
    }
    // A stream that nobody reads, and a query that is dropped before it answers.
    drop(database.query(endless(), number(), context()).await.unwrap());
    let sleeping = database.query(SqlQuery::whole("SELECT 1 AS c0 FROM pg_sleep(60)"), number(), context());
    assert!(tokio::time::timeout(Duration::from_millis(200), sleeping).await.is_err());
    test.none_is("state <> 'idle'").await;
    let batch = rows(&database, SqlQuery::whole("SELECT 7 AS c0"), number()).await.unwrap();
    assert_eq!(texts(batch.column(0)), ["7"]);
    assert_eq!((test.sessions("true").await, test.sessions("application_name = 'portolan'").await), (1, 1));
}

#[tokio::test]
async fn an_exhausted_pool_is_an_error_that_names_the_setting() {
    let Some(test) = TestDatabase::new("").await else { return };
    let database = test.open_with("127.0.0.1", &small_pool());
    let stream = database.query(endless(), number(), context()).await.unwrap();
    let error = failure(database.query(endless(), number(), context()).await);
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
    assert!(error.chain().contains("all 1 connections are in use"), "{error}");
    assert!(error.chain().contains("`sources.lake.database.connections`"), "{error}");
    drop(stream);
    rows(&database, SqlQuery::whole("SELECT 7 AS c0"), number()).await.unwrap();
}

#[tokio::test]
async fn a_deadline_ends_a_query_that_computes_sends_or_waits() {
    let Some(test) = TestDatabase::new("CREATE TABLE locked (n int4)").await else { return };
    let database = test.open();
    // In a transaction, the client would see the same sessions all the time.
    let other = test.client().await;
    other.batch_execute("BEGIN; LOCK TABLE locked").await.unwrap();
    for text in ["SELECT 1 AS c0 FROM pg_sleep(60)", "SELECT n AS c0 FROM public.locked", &endless().text] {
        let deadline = Instant::now() + Duration::from_secs(2);
        let context = RunContext { query_id: None, deadline };
        let ran = match database.query(SqlQuery::whole(text), number(), context).await {
            Ok(mut stream) => loop {
                match stream.next().await {
                    Some(Ok(_)) => {}
                    Some(Err(error)) => break error,
                    None => panic!("expected an error"),
                }
            },
            Err(error) => error,
        };
        assert_eq!(ran.kind(), ErrorKind::DeadlineExceeded, "{text}: {}", ran.owner_chain());
        assert!(deadline.elapsed() < Duration::from_secs(10), "{text}");
        test.none_is("state <> 'idle'").await;
    }
    // Nobody reads this stream, and its connection is free at the deadline.
    let context = RunContext { query_id: None, deadline: Instant::now() + Duration::from_secs(3) };
    let stream = database.query(endless(), number(), context).await.unwrap();
    test.none_is("state <> 'idle'").await;
    drop(stream);
}

#[tokio::test]
async fn a_server_that_ends_the_connection_is_not_the_end_of_the_rows() {
    let Some(test) = TestDatabase::new("").await else { return };
    let database = test.open();
    for _ in 0..2 {
        let mut stream = database.query(endless(), number(), context()).await.unwrap();
        stream.next().await.unwrap().unwrap();
        test.end_sessions("application_name = 'portolan q1'").await;
        let error = loop {
            match stream.next().await {
                Some(Ok(_)) => {}
                Some(Err(error)) => break error,
                None => panic!("expected an error"),
            }
        };
        assert_eq!(error.kind(), ErrorKind::SiteUnavailable);
        assert!(error.chain().contains("ended the connection"), "{error}");
        rows(&database, SqlQuery::whole("SELECT 7 AS c0"), number()).await.unwrap();
    }
    // Idle connections that were ended are not used.
    test.end_sessions("true").await;
    test.none_is("true").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    rows(&database, SqlQuery::whole("SELECT 7 AS c0"), number()).await.unwrap();
}

#[tokio::test]
async fn a_failed_login_shows_no_account_and_no_password() {
    let statements =
        "DO $$ BEGIN CREATE ROLE guarded LOGIN PASSWORD 'right'; EXCEPTION WHEN duplicate_object THEN NULL; END $$";
    let Some(test) = TestDatabase::new(statements).await else { return };
    let (user, password) = server::GUARDED;
    let right = test.open_with("127.0.0.1", &options(user, Some(password)));
    rows(&right, SqlQuery::whole("SELECT 7 AS c0"), number()).await.unwrap();
    for wrong in [Some("wrong"), None] {
        let database = test.open_with("127.0.0.1", &options(user, wrong));
        let error = failure(rows(&database, SqlQuery::whole("SELECT 7 AS c0"), number()).await);
        assert_eq!(error.kind(), ErrorKind::SiteUnavailable);
        let chain = error.chain();
        assert!(chain.starts_with("PostgreSQL `lake`") && !chain.contains(user) && !chain.contains("wrong"), "{chain}");
    }
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = test.open().origin().clone();
    let quick = DatabaseOptions { connect_timeout: 1, ..options(user, Some(password)) };
    let port = silent.local_addr().unwrap().port();
    for (port, expected) in [(port, "did not accept a connection within 1s"), (1, "cannot be reached")] {
        let database = PostgresDatabase::new(origin.clone(), "127.0.0.1", port, "x", &quick).unwrap();
        let error = failure(rows(&database, SqlQuery::whole("SELECT 7 AS c0"), number()).await);
        assert!(error.kind() == ErrorKind::SiteUnavailable && error.chain().contains(expected), "{error}");
        assert!(
            !error.chain().contains("127.0.0.1") && error.owner_chain().contains("127.0.0.1"),
            "{}",
            error.owner_chain()
        );
    }
}

#[tokio::test]
async fn tls_verifies_the_certificate_and_the_host_and_cancels_too() {
    let Some(test) = TestDatabase::new("").await else { return };
    let verify = |ca| DatabaseOptions { tls: Some(TlsMode::Verify), ca, ..one_connection() };
    let database = test.open_with("localhost", &verify(Some(test.server.ca())));
    let sql = "SELECT count(*)::int4 AS c0 FROM pg_stat_ssl WHERE ssl AND pid = pg_backend_pid()";
    let batch = rows(&database, SqlQuery::whole(sql), number()).await.unwrap();
    assert_eq!(texts(batch.column(0)), ["1"]);
    let mut stream = database.query(endless(), number(), context()).await.unwrap();
    stream.next().await.unwrap().unwrap();
    drop(stream);
    test.none_is("state <> 'idle'").await;
    assert_eq!(test.sessions("true").await, 1);
    for (host, ca) in [("127.0.0.1", Some(test.server.ca())), ("localhost", None)] {
        if ca.is_none() && crate::databases::tls::client_config(None).is_err() {
            continue;
        }
        let database = test.open_with(host, &verify(ca));
        let error = failure(rows(&database, SqlQuery::whole("SELECT 7 AS c0"), number()).await);
        assert!(
            error.kind() == ErrorKind::SiteUnavailable && error.chain().contains("certificate"),
            "{}",
            error.chain()
        );
    }
}

#[tokio::test]
async fn a_session_reads_only_and_has_the_settings_that_results_depend_on() {
    let statements = "
        DO $$ BEGIN CREATE ROLE odd LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
        ALTER ROLE odd SET TimeZone = 'Asia/Tokyo'; ALTER ROLE odd SET DateStyle = 'German';
        ALTER ROLE odd SET search_path = 'public'; ALTER ROLE odd SET transform_null_equals = on;
        CREATE TABLE t (n int4); GRANT ALL ON t TO odd;
        CREATE FUNCTION writes() RETURNS int4 LANGUAGE sql AS 'INSERT INTO public.t VALUES (1) RETURNING 1';";
    let Some(test) = TestDatabase::new(statements).await else { return };
    let database = test.open_with("127.0.0.1", &options("odd", None));
    let sql = "SELECT concat_ws(' ', current_setting('TimeZone'), '2020-02-01 00:00+00'::timestamptz,
        current_setting('search_path'), current_setting('transform_null_equals'), current_setting('application_name')) AS c0";
    let batch = rows(&database, SqlQuery::whole(sql), one("s", DataType::Utf8)).await.unwrap();
    assert_eq!(texts(batch.column(0)), ["UTC 2020-02-01 00:00:00+00 \"\" off portolan q1"]);
    let error = failure(rows(&database, SqlQuery::whole("SELECT public.writes() AS c0"), number()).await);
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert_eq!(test.admin.query_one("SELECT count(*) FROM t", &[]).await.unwrap().get::<_, i64>(0), 0);
}
