//! Text that data, statements and peers contain on its way to a person: no terminal and no log gets a character that
//! controls it, starts a line or hides text. Files and pipes get the bytes of the data.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::StringArray;
use arrow_flight::Ticket;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::Any;
use portolan_catalog::is_printable;
use portolan_connectors::node::protocol::{FRAGMENT_TYPE_URL, FragmentTicket, NodeHello};
use portolan_testbed::descriptors;
use portolan_tests::lying_peer::{EVIL_MESSAGE, Lie, LyingPeer};
use portolan_tests::mesh::{data, merged, until, within};
use portolan_tests::node::{Node, check, run};
use portolan_tests::products::{self, DOMAIN, PortFile};
use portolan_tests::rows::{count, failure};
use portolan_tests::terminal::run_on_terminal;
use portolan_tests::ways::{table, write_parquet};
use prost::Message;
use serde_json::{Value, json};
use tonic::Code;
use tonic::transport::Endpoint;

/// Values that set the title of a terminal, hide text, and start a line of a log.
const VALUES: [&str; 3] =
    ["\u{1b}]0;pwned\u{7}\u{9b}31m", "a\u{202e}b\u{200b}c\u{feff}", "x\n2026-01-01T00:00:00Z  WARN forged: by a value"];
const FORGED: &str = "2026-01-01T00:00:00Z";

/// Starts a node with a port `lab.samples.t`, whose column `a` has [`VALUES`].
fn node(home: &Path) -> Node {
    std::fs::create_dir_all(home).unwrap();
    let file = home.join("t.parquet");
    write_parquet(&file, &table(vec![("a", Arc::new(StringArray::from(VALUES.to_vec())))]));
    products::write(home, &[PortFile::local("t", &file, "parquet", &[("a", "string")])]);
    Node::start(home, json!({ "domain": DOMAIN }))
}

#[track_caller]
fn assert_safe(shown: &str) {
    assert!(is_printable(&shown.replace('\n', "")), "{shown:?}");
}

#[track_caller]
fn assert_nothing_forged(log: &str) {
    assert!(!log.lines().any(|line| line.starts_with(FORGED)), "{log}");
    assert_safe(log);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminal_gets_escapes_and_a_pipe_gets_the_bytes() {
    within(180, async {
        let folder = tempfile::tempdir().unwrap();
        let node = node(folder.path());
        let url = node.url().to_owned();
        let work = move || {
            let sql = |sql: &str, format: &str| run_on_terminal(&["sql", "--url", &url, "-c", sql, "--format", format]);
            let values = "SELECT a FROM lab.samples.t";
            for format in ["table", "csv", "json"] {
                let (code, shown) = sql(values, format);
                assert_eq!(code, Some(0), "{shown}");
                assert_safe(&shown);
            }
            let (_, shown) = sql(values, "csv");
            for part in [r"\u{1b}]0;pwned\u{7}\u{9b}31m", r"a\u{202e}b\u{200b}c\u{feff}"] {
                assert!(shown.contains(part), "{shown}");
            }
            let (_, shown) = sql(values, "json");
            let rows: Vec<Value> = shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert_eq!(rows, VALUES.map(|value| json!({ "a": value })));
            for format in ["arrow", "parquet"] {
                let (code, shown) = sql(values, format);
                assert!(code == Some(2) && shown.contains("not for a terminal"), "{shown}");
            }
            // Errors with a value of the data, a name in the statement, and a plan with a literal.
            let (code, shown) = sql("SELECT cast(a AS INT) FROM lab.samples.t", "table");
            assert_eq!(code, Some(1), "{shown}");
            assert!(shown.contains(r"\u{1b}]0;pwned\u{7}"), "{shown}");
            assert_safe(&shown);
            for value in VALUES {
                let (code, shown) = sql(&format!("SELECT \"{value}\" FROM lab.samples.t"), "table");
                assert_eq!(code, Some(1), "{shown}");
                assert_safe(&shown);
                for format in ["", "(FORMAT JSON) "] {
                    let statement = format!("EXPLAIN {format}SELECT a FROM lab.samples.t WHERE a = '{value}'");
                    assert_safe(&sql(&statement, "table").1);
                }
            }

            let (code, out, err) = run(&["sql", "--url", &url, "-c", values, "--format", "csv"], &[]);
            assert_eq!(code, Some(0), "{err}");
            assert_eq!(out, format!("a\n{}\n{}\n\"{}\"\n", VALUES[0], VALUES[1], VALUES[2]));
        };
        tokio::task::spawn_blocking(work).await.unwrap();
        // Other clients show the message as it is.
        let client = node.client().await;
        assert_safe(&failure(&client, "SELECT cast(a AS INT) FROM lab.samples.t").await.chain());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_cannot_forge_a_log_line() {
    within(60, async {
        let folder = tempfile::tempdir().unwrap();
        let node = node(folder.path());
        let client = node.client().await;
        let forged = format!("{FORGED}  WARN portolan_flight_server::auth: login failed: forged");
        for value in [forged.as_str(), "\u{1b}[31m", "\u{202e}\u{200b}"] {
            failure(&client, &format!("SELECT \"x\n{value}\" FROM lab.samples.t")).await;
        }
        let log = node.log();
        // A message is one line.
        assert!(log.contains(&format!("`x {forged}`")), "the refusal is logged\n{log}");
        assert_nothing_forged(&log);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_cannot_forge_a_log_line_or_an_error() {
    within(120, async {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("geo");
        descriptors::write("geo", &data(), &home).unwrap();
        let owner = Node::start(&home, json!({ "domain": "geo" }));
        let peer = LyingPeer::in_front_of(owner.url()).await;
        // The catalog is that of the real node, which signs it for its own URL.
        let entry = json!({ "url": peer.url(), "audience": owner.url() });
        let config = json!({ "peers": [entry], "refresh_interval": "500ms" });
        let gateway = Node::start(&folder.path().join("gateway"), config);
        let client = gateway.client().await;
        let nations = "SELECT count(*) FROM geo.places.nation WHERE n_name <> 'x'";
        let soon = Duration::from_secs(30);
        until("the gateway knows the domain", soon, async || count(&client, nations).await == Ok(25)).await;
        peer.tell(Lie::EvilMessage);
        let error = failure(&client, nations).await.chain();
        assert!(EVIL_MESSAGE.starts_with("broken\n") && error.contains(r"broken\n2026"), "{error}");
        assert_safe(&error);
        assert_nothing_forged(&gateway.log());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn query_ids_of_other_nodes_must_be_printable() {
    within(60, async {
        let folder = tempfile::tempdir().unwrap();
        let node = node(folder.path());
        let address = node.url().replace("grpc://", "http://");
        let channel = Endpoint::from_shared(address).unwrap().connect().await.unwrap();
        let mut client = FlightServiceClient::new(channel);
        let hello = NodeHello::current();
        let long = "x".repeat(200);
        for query_id in ["", "\u{1b}[31m", "q\n2026-01-01T00:00:00Z", "q\u{202e}", &long] {
            let ticket = FragmentTicket {
                protocol: hello.protocol,
                datafusion: hello.datafusion.clone(),
                query_id: query_id.to_owned(),
                hops: 1,
                remaining_ms: 5_000,
                plan: b"plan".to_vec().into(),
                ..FragmentTicket::default()
            };
            let value = ticket.sealed().encode_to_vec().into();
            let ticket = Any { type_url: FRAGMENT_TYPE_URL.into(), value };
            let status = client.do_get(Ticket { ticket: ticket.encode_to_vec().into() }).await.unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument, "{status}");
            assert!(status.message().contains("not a valid id of a query"), "{status}");
            assert_safe(status.message());
        }
        assert_nothing_forged(&node.log());
    })
    .await;
}

#[test]
fn a_config_with_invisible_characters_in_a_name_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("node.yaml");
    let user = |more: Value| merged(json!({ "name": "ann", "password_hash": "x" }), &more);
    for user in [
        user(json!({ "name": "ann\u{202e}" })),
        user(json!({ "name": "an\u{200b}n" })),
        user(json!({ "name": "an\nn" })),
        user(json!({ "groups": ["analysts\n2026-01-01T00:00:00Z"] })),
        user(json!({ "attributes": { "region": ["eu", "\u{1b}[31mus"] } })),
        user(json!({ "attributes": { "re\u{202e}gion": ["eu"] } })),
    ] {
        std::fs::write(&config, json!({ "users": [user] }).to_string()).unwrap();
        let (code, _, err) = check(&config);
        assert!(code == Some(2) && err.contains("users[0]: has control characters"), "{err}");
        assert_safe(&err);
    }
}
