//! Fair shares: one principal that floods a node leaves slots, memory, disk, logins and connections to others.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::time::{Duration, Instant};

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use arrow_flight::FlightDescriptor;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::{CommandStatementQuery, ProstMessageExt};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures::future::join_all;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use portolan_connectors::node::status::RETRY_AFTER_KEY;
use portolan_engine::{Error, ErrorKind};
use portolan_node::client::{Client, ConnectOptions};
use portolan_tests::mesh::{until, within};
use portolan_tests::node::Node;
use portolan_tests::rows::{assert_says, count, drain, failure};
use prost::Message;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

const SOON: Duration = Duration::from_secs(60);
const PASSWORD: &str = "bench";
/// The hash of the password, with the smallest work and memory that argon2 allows.
const HASH: &str = "$argon2id$v=19$m=8,t=1,p=1$uTOoMplzj8IsmOJQf2WatA$QHMO3yexqJ3KDYVP8R35fiOfVq6OZ9i+BPifuZnJj1E";
/// A query that keeps its slot until its reader is done.
const LONG: &str = "SELECT value FROM generate_series(1, 1000000000)";
const SHORT: &str = "SELECT count(*) FROM generate_series(1, 1000)";

type Rows = BoxStream<'static, Result<RecordBatch, Error>>;

/// Starts a node with the users `flood` and `quiet`, and the administrator `root`.
fn node(home: &Path, limits: Value) -> Node {
    let user = |name: &str| json!({ "name": name, "password_hash": HASH, "admin": name == "root" });
    let users = ["flood", "quiet", "root"].map(user);
    Node::start(home, json!({ "users": users, "limits": limits }))
}

async fn client(node: &Node, user: &str) -> Client {
    node.client_with(&ConnectOptions { credentials: Some((user.into(), PASSWORD.into())), ca: None }).await
}

/// Starts a query that keeps its slot while the rows are held.
async fn held(client: &Client) -> Rows {
    let statement = client.prepare(LONG).await.unwrap();
    let mut rows = client.rows(&statement);
    assert!(rows.next().await.unwrap().unwrap().num_rows() > 0);
    rows
}

/// Returns the number of a principal's queries that have no plan yet, because they are planned or wait.
async fn waiting(root: &Client, principal: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM mesh.queries WHERE principal = '{principal}' AND state = 'planning'");
    count(root, &sql).await.unwrap()
}

/// Returns the identifier of the query that a client holds.
async fn query_id(client: &Client) -> String {
    let sql = format!("SELECT query_id FROM mesh.queries WHERE statement = '{LONG}' LIMIT 1");
    let (_, batches) = client.query(&sql).await.unwrap();
    let batch = batches.iter().find(|batch| batch.num_rows() > 0).expect("the query is listed");
    batch.column(0).as_string::<i32>().value(0).to_owned()
}

/// Connects from an address of loopback, without a session.
async fn visitor(node: &Node, address: &str) -> FlightServiceClient<Channel> {
    let endpoint = Endpoint::from_shared(node.url().replace("grpc://", "http://")).unwrap();
    let channel = endpoint.local_address(Some(address.parse().unwrap())).connect().await.unwrap();
    FlightServiceClient::new(channel)
}

/// Returns the rows of a statement, which run while they are held.
async fn fetch(
    client: &mut FlightServiceClient<Channel>,
    sql: &str,
    authorization: Option<&str>,
) -> Result<FlightRecordBatchStream, Status> {
    fn with<T>(message: T, authorization: Option<&str>) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(text) = authorization {
            request.metadata_mut().insert("authorization", text.parse().unwrap());
        }
        request
    }
    let command = CommandStatementQuery { query: sql.to_owned(), transaction_id: None };
    let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
    let info = client.get_flight_info(with(descriptor, authorization)).await?.into_inner();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let messages = client.do_get(with(ticket, authorization)).await?.into_inner();
    Ok(FlightRecordBatchStream::new_from_flight_data(messages.map_err(FlightError::from)))
}

/// Returns the one number of a statement's result.
async fn number(client: &mut FlightServiceClient<Channel>, sql: &str) -> i64 {
    let batches: Vec<RecordBatch> = fetch(client, sql, None).await.unwrap().try_collect().await.unwrap();
    batches[0].column(0).as_primitive::<Int64Type>().value(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_one_user_does_not_keep_others_out() {
    within(180, async {
        let folder = tempfile::tempdir().unwrap();
        let node = node(folder.path(), json!({ "concurrent_queries": 4, "queued_queries": 6 }));
        let (flood, quiet, root) =
            (client(&node, "flood").await, client(&node, "quiet").await, client(&node, "root").await);
        // The flood takes all slots that one principal may have, and fills the queue.
        // Each has a connection of its own: rows that nobody reads fill the window of their connection.
        let holders = [client(&node, "flood").await, client(&node, "flood").await, client(&node, "flood").await];
        let mut running = vec![];
        for holder in &holders {
            running.push(held(holder).await);
        }
        let ask = |client: &Client| {
            let client = client.clone();
            tokio::spawn(async move { count(&client, SHORT).await })
        };
        let line: Vec<_> = (0..6).map(|_| ask(&flood)).collect();
        until("six queries of the flood wait", SOON, async || waiting(&root, "flood").await == 6).await;
        let refused = failure(&flood, SHORT).await;
        assert_says(&refused, ErrorKind::ResourceExhausted, &["limits.queued_queries", "try again in"]);
        assert!(refused.retry_after().is_some_and(|time| time >= Duration::from_millis(500)));
        // A slot is left to others.
        assert_eq!(count(&quiet, SHORT).await, Ok(1000));
        let holder = client(&node, "quiet").await;
        let of_quiet = held(&holder).await;
        // All slots are taken and the queue is full. Still another principal's query waits, and one of the flood's is
        // refused in its place.
        let asked = ask(&quiet);
        until("the other principal waits", SOON, async || waiting(&root, "quiet").await == 1).await;
        until("one of the flood is refused", SOON, async || waiting(&root, "flood").await == 5).await;
        // The other principal has one running query and the flood two, so it gets the next slot.
        drop(running.pop());
        assert_eq!(asked.await.unwrap(), Ok(1000));
        drop((running, of_quiet));
        let outcomes: Vec<_> = join_all(line).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == Ok(1000)).count(), 5, "{outcomes:?}");
        let refused = outcomes.iter().find_map(|outcome| outcome.as_ref().err()).unwrap();
        assert!(refused.contains("limits.queued_queries"), "{refused}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_a_free_slot_reports_its_state() {
    within(180, async {
        let folder = tempfile::tempdir().unwrap();
        let node = node(folder.path(), json!({ "concurrent_queries": 2, "queued_queries": 0 }));
        let (flood, quiet, root) =
            (client(&node, "flood").await, client(&node, "quiet").await, client(&node, "root").await);
        let running = [held(&flood).await, held(&flood).await];
        for client in [&flood, &quiet, &root] {
            for sql in
                ["SELECT 1", "SELECT count(*) FROM mesh.nodes", "SELECT count(*) FROM information_schema.schemata"]
            {
                assert!(count(client, sql).await.is_ok_and(|number| number > 0), "{sql}");
            }
        }
        assert_eq!(count(&root, "SELECT count(*) FROM mesh.queries WHERE principal = 'flood'").await, Ok(2));
        // Administrators have slots of their own for other queries.
        assert_eq!(count(&root, SHORT).await, Ok(1000));
        let refused = failure(&quiet, SHORT).await;
        assert_says(&refused, ErrorKind::ResourceExhausted, &["2 queries are running", "limits.concurrent_queries"]);

        // Other clients learn when to try again, too.
        let mut other = visitor(&node, "127.0.0.1").await;
        let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("quiet:{PASSWORD}")));
        let status = fetch(&mut other, SHORT, Some(&basic)).await.map(|_| ()).unwrap_err();
        let millis: u64 = status.metadata().get(RETRY_AFTER_KEY).unwrap().to_str().unwrap().parse().unwrap();
        assert!(millis >= 500, "{status:?}");
        let details = String::from_utf8_lossy(status.details()).into_owned();
        assert!(details.contains("google.rpc.RetryInfo") && details.contains("try again"), "{details}");

        let cancel = format!("CALL mesh.cancel_query('{}')", query_id(&root).await);
        assert_eq!(root.prepare(&cancel).await.unwrap().changed(), Some(1));
        until("the slot of the cancelled query is free", SOON, async || count(&quiet, SHORT).await == Ok(1000)).await;
        drop(running);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kept_result_that_fails_leaves_the_disk_to_others() {
    within(180, async {
        let folder = tempfile::tempdir().unwrap();
        let node = node(folder.path(), json!({ "spill": "16MiB" }));
        let (flood, quiet) = (client(&node, "flood").await, client(&node, "quiet").await);
        for client in [&flood, &quiet] {
            client.prepare("SET portolan.endpoints = 2").await.unwrap();
        }
        for _ in 0..3 {
            let error = drain(&flood, LONG).await.expect_err("the result is larger than the disk");
            assert_says(&error, ErrorKind::ResourceExhausted, &["`kept_results` of `flood`"]);
        }
        // Half of the disk is for one principal's results: these are six megabytes.
        let some = "SELECT value FROM generate_series(1, 750000)";
        for client in [&flood, &quiet] {
            assert_eq!(drain(client, some).await.map_err(|e| e.chain()), Ok(750_000));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tables_of_one_user_leave_memory_to_others() {
    within(180, async {
        let folder = tempfile::tempdir().unwrap();
        let node = node(folder.path(), json!({ "memory": "64MiB" }));
        let (flood, quiet) = (client(&node, "flood").await, client(&node, "quiet").await);
        // The tables of all sessions hold a quarter of the memory, and those of one principal three quarters of that. The
        // tables are in several sessions.
        let again = client(&node, "flood").await;
        let create = |table: usize| format!("CREATE TABLE t{table} AS SELECT value FROM generate_series(1, 125000)");
        let mut created = 0;
        let error = loop {
            let session = if created % 2 == 0 { &flood } else { &again };
            match session.prepare(&create(created)).await {
                Ok(_) => created += 1,
                Err(error) => break error,
            }
            assert!(created < 20, "{created} tables of a megabyte fit into 12 MiB");
        };
        assert_says(&error, ErrorKind::ResourceExhausted, &["`session_tables` of `flood` in `shares`"]);
        assert!(created > 1, "{created}");
        quiet.prepare(&create(0)).await.unwrap();
        assert_eq!(count(&quiet, "SELECT count(*) FROM t0").await, Ok(125_000));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_passwords_lock_out_no_other_user() {
    within(180, async {
        let folder = tempfile::tempdir().unwrap();
        let names: Vec<_> = (0..30).map(|i| format!("user{i}")).collect();
        let user = |name: &String| json!({ "name": name, "password_hash": HASH });
        let users: Vec<_> = names.iter().map(user).chain([user(&"ann".to_owned())]).collect();
        let node = Node::start(folder.path(), json!({ "users": users }));
        // Three failures of each name: an address with as many failures of one name would be refused.
        for _ in 0..3 {
            let guesses = join_all(names.iter().map(|name| log_in(&node, name, "wrong"))).await;
            assert!(guesses.iter().all(|guess| *guess == Err(ErrorKind::Unauthenticated)), "{guesses:?}");
        }
        assert_eq!(log_in(&node, "ann", PASSWORD).await, Ok(()));
        assert_eq!(log_in(&node, "user0", PASSWORD).await, Ok(()));
    })
    .await;
}

async fn log_in(node: &Node, name: &str, password: &str) -> Result<(), ErrorKind> {
    let options = ConnectOptions { credentials: Some((name.to_owned(), password.to_owned())), ca: None };
    Client::connect(node.url(), &options).await.map(|_| ()).map_err(|e| e.kind())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_of_ones_own_does_not_help_to_guess() {
    within(180, async {
        let folder = tempfile::tempdir().unwrap();
        let names: Vec<_> = (0..110).map(|i| format!("user{i}")).collect();
        let user = |name: &String| json!({ "name": name, "password_hash": HASH });
        let users: Vec<_> = names.iter().map(user).chain([user(&"ann".to_owned())]).collect();
        let node = Node::start(folder.path(), json!({ "users": users }));
        let (last, others) = names.split_last().unwrap();
        // One failure of each name, and a successful login after each of them.
        for name in others {
            assert_eq!(log_in(&node, name, "wrong").await, Err(ErrorKind::Unauthenticated));
            assert_eq!(log_in(&node, "ann", PASSWORD).await, Ok(()));
        }
        // More than a hundred failures at the address count, so that a guess of a new name waits.
        let started = Instant::now();
        assert_eq!(log_in(&node, last, "wrong").await, Err(ErrorKind::Unauthenticated));
        assert!(started.elapsed() >= Duration::from_millis(125), "{:?}", started.elapsed());
    })
    .await;
}

/// The beginning of a connection that speaks HTTP/2, without a request.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Opens a connection that speaks HTTP/2 and sends no request.
async fn idle(address: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(PREFACE).await.unwrap();
    stream
}

/// Waits until the node closes a connection.
async fn closed(mut stream: TcpStream) {
    let mut answer = vec![];
    let read = tokio::time::timeout(SOON, stream.read_to_end(&mut answer)).await;
    // The node closes it, in whatever way.
    let _ = read.expect("the node closes the connection");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_connections_of_one_address_are_bounded() {
    within(180, async {
        let folder = tempfile::tempdir().unwrap();
        // No connection is closed because nobody logs in.
        let node = node(folder.path(), json!({ "connections_per_address": 4, "login_timeout": "1h" }));
        let address = node.url().rsplit_once('/').unwrap().1.to_owned();
        let mut rows = held(&client(&node, "quiet").await).await;
        let first = [idle(&address).await, idle(&address).await, idle(&address).await];
        // There are four connections from this address, so this one is closed at once. Another address is not affected.
        let fifth = TcpStream::connect(&address).await.unwrap();
        let mut elsewhere = visitor(&node, "127.0.0.2").await;
        let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("quiet:{PASSWORD}")));
        assert!(fetch(&mut elsewhere, "SELECT 1", Some(&basic)).await.is_ok());
        closed(fifth).await;
        assert!(node.log().contains("too many connections"), "{}", node.log());
        assert!(rows.next().await.unwrap().is_ok());
        drop(first);
        until("the closed connections leave room", SOON, async || {
            let options = ConnectOptions { credentials: Some(("quiet".into(), PASSWORD.into())), ca: None };
            Client::connect(node.url(), &options).await.is_ok()
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_leave_files_to_others() {
    within(180, async {
        let folder = tempfile::tempdir().unwrap();
        let users = json!([{ "name": "quiet", "password_hash": HASH }]);
        let config = json!({ "users": users, "limits": { "login_timeout": "1h" } });
        // The process may open 128 files, so it accepts 64 connections.
        let node = Node::start_limited(folder.path(), config, "-n 128");
        assert!(node.log().contains("connections=64"), "{}", node.log());
        let address = node.url().rsplit_once('/').unwrap().1.to_owned();
        let mut idle = vec![];
        for _ in 0..120 {
            let mut stream = TcpStream::connect(&address).await.unwrap();
            // The node closes the connections over its bounds.
            let _ = stream.write_all(PREFACE).await;
            idle.push(stream);
        }
        let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("quiet:{PASSWORD}")));
        let answer = async {
            let mut elsewhere = visitor(&node, "127.0.0.2").await;
            fetch(&mut elsewhere, "SELECT 1", Some(&basic)).await.map(|_| ())
        };
        let answer = tokio::time::timeout(Duration::from_secs(8), answer).await;
        answer.expect("an answer in time").unwrap();
        assert_eq!(idle.len(), 120);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_needs_a_login() {
    within(180, async {
        let folder = tempfile::tempdir().unwrap();
        let node = node(folder.path(), json!({ "login_timeout": "4s" }));
        let address = node.url().rsplit_once('/').unwrap().1.to_owned();
        // An authenticated connection stays, however long it runs one query.
        let mut rows = held(&client(&node, "quiet").await).await;
        // One that sends nothing at all, and one that speaks HTTP/2.
        let waiting = [TcpStream::connect(&address).await.unwrap(), idle(&address).await];
        for connection in waiting {
            closed(connection).await;
        }
        assert!(rows.next().await.unwrap().is_ok());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anonymous_clients_see_and_stop_only_their_own_queries() {
    within(180, async {
        let folder = tempfile::tempdir().unwrap();
        let node = Node::start(folder.path(), json!({}));
        let (one, two) = (node.client().await, node.client().await);
        let mut rows = held(&one).await;
        let id = query_id(&one).await;
        let listed = format!("SELECT count(*) FROM mesh.queries WHERE query_id = '{id}'");
        assert_eq!([count(&one, &listed).await, count(&two, &listed).await], [Ok(1), Ok(0)]);
        let session = "SELECT session_id FROM mesh.sessions";
        let (_, batches) = one.query(session).await.unwrap();
        let own = batches.iter().find(|batch| batch.num_rows() > 0).unwrap().column(0).as_string::<i32>();
        assert_eq!(own.len(), 1);
        let close = format!("CALL mesh.close_session('{}')", own.value(0));
        let cancel = format!("CALL mesh.cancel_query('{id}')");
        for call in [&close, &cancel] {
            let error = two.prepare(call).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound, "{}", error.chain());
        }
        one.prepare(&cancel).await.unwrap();
        let end = loop {
            match rows.next().await.expect("the query does not end by itself") {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(end.kind(), ErrorKind::Cancelled, "{}", end.chain());

        // Without a session, a visitor is an address.
        let running = format!("SELECT count(*) FROM mesh.queries WHERE statement = '{LONG}'");
        let (mut call, mut other) = (visitor(&node, "127.0.0.1").await, visitor(&node, "127.0.0.1").await);
        let mut elsewhere = visitor(&node, "127.0.0.2").await;
        let mut rows = fetch(&mut call, LONG, None).await.unwrap();
        assert!(rows.next().await.unwrap().is_ok());
        assert_eq!([number(&mut other, &running).await, number(&mut elsewhere, &running).await], [1, 0]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anonymous_clients_at_one_address_share_their_slots() {
    within(180, async {
        let folder = tempfile::tempdir().unwrap();
        let limits = json!({ "concurrent_queries": 4, "queued_queries": 0 });
        let node = Node::start(folder.path(), json!({ "limits": limits }));
        let (one, two) = (node.client().await, node.client().await);
        let _running = [held(&one).await, held(&two).await, held(&one).await];
        let error = failure(&two, SHORT).await;
        assert_says(&error, ErrorKind::ResourceExhausted, &["3 queries are running"]);
        let mut elsewhere = visitor(&node, "127.0.0.2").await;
        assert_eq!(number(&mut elsewhere, SHORT).await, 1000);
    })
    .await;
}
