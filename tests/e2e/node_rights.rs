//! The rights of nodes towards one another: the requests that a trusted node may send, the statistics that it gets, and
//! the secrets that a node does not send in plain text or keep in files that everybody can read.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
#[cfg(unix)]
use std::fs::Permissions;
#[cfg(unix)]
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{Int64Type, Schema};
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::sql::{
    CommandGetCatalogs, CommandGetDbSchemas, CommandGetPrimaryKeys, CommandGetTables, CommandStatementIngest,
    CommandStatementQuery, ProstMessageExt,
};
use arrow_flight::{Action, FlightDescriptor, HandshakeRequest, Ticket};
use futures::{StreamExt, TryStreamExt, stream};
use portolan_catalog::{ColumnStatistics, PortName, ProductName, is_printable};
use portolan_connectors::node::{NodeCredentials, NodeIdentity, NodeKey, NodeOptions, NodeSite};
use portolan_connectors::{
    CatalogAnswer, EncodedPlan, FragmentHead, FragmentPlan, FragmentRequest, Peer, Principal, Site,
};
use portolan_engine::ErrorKind;
use portolan_flight_server::hash_password;
use portolan_node::client::ConnectOptions;
use portolan_testbed::descriptors;
use portolan_tests::mesh::{data, merged, until, within};
use portolan_tests::node::{Node, check, run};
use portolan_tests::rows::{assert_says, count, failure};
use prost::Message;
use serde_json::{Value, json};
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

const PASSWORD: &str = "correct-horse-battery";
const SOON: Duration = Duration::from_secs(60);
const NATIONS: &str = "SELECT count(*) FROM geo.places.nation WHERE n_name <> 'x'";
/// An address that is reserved for documentation (RFC 5737).
const ELSEWHERE: &str = "grpc://192.0.2.1:50051";

/// The keys of nodes, and the folders of the nodes that a test starts.
struct Keys {
    folder: TempDir,
}

impl Keys {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.pem"))
    }

    /// Creates a key that only its owner can read. Returns the entry for other nodes' `trusted_nodes`, with the keys of
    /// `more`.
    fn trusted(&self, name: &str, more: &Value) -> Value {
        fs::write(self.file(name), NodeKey::generate().unwrap()).unwrap();
        #[cfg(unix)]
        fs::set_permissions(self.file(name), Permissions::from_mode(0o600)).unwrap();
        merged(json!({ "name": name, "key": self.key(name).public().to_pem() }), more)
    }

    fn key(&self, name: &str) -> NodeKey {
        NodeKey::from_pem(&fs::read(self.file(name)).unwrap()).unwrap()
    }

    fn identity(&self, name: &str) -> NodeIdentity {
        NodeIdentity::new(name, self.key(name)).unwrap()
    }

    fn owner(&self, domain: &str, config: &Value) -> Node {
        let home = self.folder.path().join(domain);
        descriptors::write(domain, &data(), &home).unwrap();
        Node::start(&home, merged(json!({ "domain": domain }), config))
    }

    /// Starts a gateway with the node's key, whose only peer is `peer`.
    fn gateway(&self, name: &str, peer: &Node, config: &Value) -> Node {
        let necessary = json!({
            "node": { "name": name, "key": self.file(name) }, "peers": [{ "url": peer.url() }],
            "refresh_interval": "500ms",
        });
        Node::start(&self.folder.path().join(name), merged(necessary, config))
    }
}

fn user(name: &str, node: bool) -> Value {
    json!({ "name": name, "password_hash": hash_password(PASSWORD).unwrap(), "node": node })
}

/// Returns a client that logged in as a node, with the node's key.
async fn logged_in(node: &Node, identity: &NodeIdentity) -> FlightSqlServiceClient<Channel> {
    let channel = Endpoint::from_shared(node.url().replace("grpc://", "http://")).unwrap().connect().await.unwrap();
    let mut request = Request::new(stream::iter([HandshakeRequest::default()]));
    let token = format!("Bearer {}", identity.login(node.url()).unwrap());
    request.metadata_mut().insert("authorization", token.parse().unwrap());
    let answer = FlightServiceClient::new(channel.clone()).handshake(request).await.unwrap();
    let session = answer.metadata().get("authorization").unwrap().to_str().unwrap().to_owned();
    let mut client = FlightSqlServiceClient::new(channel);
    client.set_token(session.strip_prefix("Bearer ").unwrap().to_owned());
    client
}

/// Asserts that the node refused a request because its sender is a node.
#[track_caller]
fn refused<T>(what: &str, outcome: Result<T, FlightError>) {
    match outcome {
        Err(FlightError::Tonic(status)) => refused_by(what, &status),
        Err(other) => panic!("{what}: {other}"),
        Ok(_) => panic!("{what}: it was not refused"),
    }
}

#[track_caller]
fn refused_by(what: &str, status: &Status) {
    assert_eq!(status.code(), Code::PermissionDenied, "{what}: {status}");
    let expected = "node `evil` may send fragments and fetch catalogs, but no requests of its own";
    assert!(status.message().contains(expected), "{what}: {status}");
    assert!(status.message().contains("list `node:evil` in its `may_act_for`"), "{what}: {status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trusted_node_may_not_send_requests_of_its_own() {
    within(180, async {
        let keys = Keys::new();
        let evil = keys.trusted("evil", &json!({ "may_act_for": ["eve"] }));
        let own = keys.trusted("own", &json!({ "may_act_for": ["node:own"] }));
        let geo = keys.owner("geo", &json!({ "trusted_nodes": [evil, own] }));

        let mut client = logged_in(&geo, &keys.identity("evil")).await;
        refused("a query", client.execute(NATIONS.to_owned(), None).await);
        refused("a query without ports", client.execute("SELECT 1".to_owned(), None).await);
        refused("a prepared statement", client.prepare(NATIONS.to_owned(), None).await);
        refused("a change", client.execute_update("SET portolan.placement = off".to_owned(), None).await);
        refused("the catalogs", client.get_catalogs().await);
        refused("the schemas", client.get_db_schemas(CommandGetDbSchemas::default()).await);
        refused("the tables", client.get_tables(CommandGetTables::default()).await);
        refused("the kinds of tables", client.get_table_types().await);
        refused("the keys of a table", client.get_primary_keys(CommandGetPrimaryKeys::default()).await);
        refused("facts about the server", client.get_sql_info(vec![]).await);
        let rows: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        let rows = stream::iter([Ok(RecordBatch::try_from_iter([("n", rows)]).unwrap())]);
        let upload = CommandStatementIngest { table: "t".to_owned(), temporary: true, ..Default::default() };
        refused("an upload", client.execute_ingest(upload, rows).await);
        let catalogs = CommandGetCatalogs {}.as_any().encode_to_vec();
        refused("a command as a ticket", client.do_get(Ticket { ticket: catalogs.into() }).await);
        for kind in ["SetSessionOptions", "GetSessionOptions"] {
            refused(kind, client.do_action(Action { r#type: kind.to_owned(), body: Default::default() }).await);
        }
        let query = CommandStatementQuery { query: NATIONS.to_owned(), transaction_id: None };
        let descriptor = || {
            let mut request = Request::new(FlightDescriptor::new_cmd(query.as_any().encode_to_vec()));
            let token = format!("Bearer {}", client.token().unwrap());
            request.metadata_mut().insert("authorization", token.parse().unwrap());
            request
        };
        let mut flight = client.inner().clone();
        refused_by("a poll", &flight.poll_flight_info(descriptor()).await.unwrap_err());
        refused_by("columns", &flight.get_schema(descriptor()).await.unwrap_err());

        // The node's fragments run for the principals that its entry lists, as before.
        let users = json!({ "users": [user("eve", false), user("ann", false)] });
        let gateway = keys.gateway("evil", &geo, &users);
        let log_in = async |name: &str| {
            let options = ConnectOptions { credentials: Some((name.to_owned(), PASSWORD.to_owned())), ca: None };
            gateway.client_with(&options).await
        };
        let eve = log_in("eve").await;
        until("eve reads the port", SOON, async || count(&eve, NATIONS).await == Ok(25)).await;
        let error = failure(&log_in("ann").await, NATIONS).await;
        assert_says(&error, ErrorKind::PermissionDenied, &[geo.url(), "`evil` may not act for `ann`"]);

        // A node whose entry lists the node itself.
        let mut client = logged_in(&geo, &keys.identity("own")).await;
        let info = client.execute(NATIONS.to_owned(), None).await.unwrap();
        let ticket = info.endpoint[0].ticket.clone().unwrap();
        let batches: Vec<_> = client.do_get(ticket).await.unwrap().try_collect().await.unwrap();
        let batch = batches.iter().find(|batch: &&RecordBatch| batch.num_rows() > 0).unwrap();
        assert_eq!(batch.column(0).as_primitive::<Int64Type>().value(0), 25);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trusted_node_claims_only_what_can_be_shown() {
    within(120, async {
        let keys = Keys::new();
        let evil = keys.trusted("evil", &json!({}));
        let geo = keys.owner("geo", &json!({ "trusted_nodes": [evil] }));
        let options = NodeOptions { identity: Some(Arc::new(keys.identity("evil"))), ..NodeOptions::default() };
        let site = NodeSite::new(geo.url(), options).unwrap();
        let ann = Principal::new("ann");
        for principal in [
            Principal::new("ann\u{202e}"),
            ann.clone().with_groups(["a\nb"]),
            ann.clone().with_attribute("region", ["eu", "us\n2026-01-01T00:00:00Z  WARN forged"]),
            ann.with_attribute("re\u{1b}[31mgion", ["eu"]),
        ] {
            let head = FragmentHead::new("q", principal, Instant::now() + SOON).sent_on();
            let plan = EncodedPlan { plan: b"plan".to_vec().into(), keys: vec![] };
            let plan = FragmentPlan::Encoded(plan);
            let error = match site.execute(FragmentRequest { head, plan, schema: Arc::new(Schema::empty()) }).await {
                Ok(mut rows) => rows.next().await.expect("an answer").expect_err("an invalid principal"),
                Err(error) => error,
            };
            assert_says(&error, ErrorKind::PermissionDenied, &[geo.url(), "sent an invalid principal"]);
        }
        assert!(is_printable(&geo.log().replace('\n', "")), "{}", geo.log());
    })
    .await;
}

/// Returns the statistics of a classified column that a node sends to a caller with these options.
async fn classified(node: &Node, options: NodeOptions) -> ColumnStatistics {
    let site = NodeSite::new(node.url(), options).unwrap();
    let CatalogAnswer::Changed { domains, .. } = site.catalog(None).await.unwrap().answer else {
        panic!("it is the first one")
    };
    let port = domains[0].port(&ProductName::new("suppliers"), &PortName::new("supplier")).unwrap();
    let open = &port.statistics.columns["s_suppkey"];
    assert!(open.min.is_some() && open.distinct == Some(100), "{open:?}");
    port.statistics.columns["s_acctbal"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_trusted_nodes_get_the_statistics_of_classified_columns() {
    within(180, async {
        let keys = Keys::new();
        let gateway = keys.trusted("gateway", &json!({}));
        keys.trusted("stranger", &json!({}));
        let users = json!([user("ann", false), user("mesh", true)]);
        let config = json!({ "trusted_nodes": [gateway], "users": users, "anonymous": true });
        let supply = keys.owner("supply", &config);

        let identity = |name: &str| Some(Arc::new(keys.identity(name)));
        let log_in = |user: &str| Some(NodeCredentials { user: user.to_owned(), password: PASSWORD.to_owned() });
        let width_only = ColumnStatistics { width: Some(16.0), ..ColumnStatistics::default() };
        for (who, options) in [
            ("anonymous", NodeOptions::default()),
            ("a user", NodeOptions { credentials: log_in("ann"), ..NodeOptions::default() }),
            (
                "a user with the key of a trusted node",
                NodeOptions { credentials: log_in("ann"), identity: identity("gateway"), ..NodeOptions::default() },
            ),
            ("a node that does not sign", NodeOptions { credentials: log_in("mesh"), ..NodeOptions::default() }),
            (
                "a node that is not trusted",
                NodeOptions { credentials: log_in("mesh"), identity: identity("stranger"), ..NodeOptions::default() },
            ),
        ] {
            assert_eq!(classified(&supply, options).await, width_only, "{who}");
        }
        for (how, credentials) in [("with its key", None), ("as a user", log_in("mesh"))] {
            let options = NodeOptions { credentials, identity: identity("gateway"), ..NodeOptions::default() };
            let full = classified(&supply, options).await;
            let complete = full.min.is_some() && full.max.is_some() && full.distinct.is_some() && full.nulls == Some(0);
            assert!(complete, "a trusted node that logs in {how}: {full:?}");
        }

        // A trusted node plans with them, and shows them to nobody.
        let gateway = keys.gateway("gateway", &supply, &json!({}));
        let client = gateway.client().await;
        let shown = async |column: &str| {
            let sql = format!(
                "SELECT count(*) FROM mesh.columns WHERE \"column\" = '{column}' AND (\"min\" IS NOT NULL \
                 OR \"max\" IS NOT NULL OR distinct_values IS NOT NULL OR \"nulls\" IS NOT NULL)"
            );
            count(&client, &sql).await
        };
        until("the gateway knows the domain", SOON, async || shown("s_suppkey").await == Ok(1)).await;
        assert_eq!(shown("s_acctbal").await, Ok(0));
    })
    .await;
}

/// Runs `portolan serve --check` with a config.
fn checked(folder: &Path, config: &Value) -> (Option<i32>, String) {
    let file = folder.join("node.yaml");
    fs::write(&file, config.to_string()).unwrap();
    let (code, out, err) = check(&file);
    (code, out + &err)
}

#[test]
fn a_node_sends_no_secret_in_plain_text_beyond_loopback() {
    let keys = Keys::new();
    keys.trusted("own", &json!({}));
    let own = json!({ "name": "own", "key": keys.file("own") });
    let password = json!({ "url": ELSEWHERE, "user": "mesh", "password": PASSWORD });
    for (config, what) in [
        (json!({ "peers": [password] }), "a password"),
        (json!({ "node": own, "peers": [{ "url": ELSEWHERE }] }), "tokens signed with `node.key`"),
    ] {
        let (code, said) = checked(keys.folder.path(), &config);
        assert_eq!(code, Some(2), "{said}");
        let expected = format!("peers[0].url: the node would send {what} to {ELSEWHERE} without TLS");
        assert!(said.contains(&expected) && said.contains("`allow_plaintext: true`"), "{said}");
        assert!(!said.contains(PASSWORD), "{said}");
        let mut allowed = config.clone();
        allowed["peers"][0]["allow_plaintext"] = true.into();
        let (code, said) = checked(keys.folder.path(), &allowed);
        assert_eq!(code, Some(0), "{said}");
    }
    let (code, said) = checked(keys.folder.path(), &json!({ "peers": [{ "url": ELSEWHERE }] }));
    assert_eq!(code, Some(0), "nothing secret is sent: {said}");
}

#[test]
fn a_client_sends_no_password_in_plain_text_beyond_loopback() {
    let sql = |url: &str, more: &[&str]| {
        let arguments = [&["sql", "--url", url, "--user", "ann", "-c", "SELECT 1"][..], more].concat();
        let (code, _, err) = run(&arguments, &[("PORTOLAN_PASSWORD", Path::new(PASSWORD))]);
        assert!(!err.contains(PASSWORD), "{err}");
        (code, err)
    };
    let (code, err) = sql(ELSEWHERE, &[]);
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains(ELSEWHERE) && err.contains("without TLS") && err.contains("--allow-plaintext"), "{err}");
    // No host has such a name (RFC 2606).
    let (code, err) = sql("grpc://nowhere.invalid:50051", &["--allow-plaintext"]);
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("cannot connect"), "{err}");
}

#[test]
#[cfg(unix)]
fn a_node_warns_about_world_readable_keys() {
    let keys = Keys::new();
    keys.trusted("own", &json!({}));
    let file = keys.file("own");
    let config = json!({ "node": { "name": "own", "key": file } });
    for (mode, warned) in [(0o600, false), (0o640, false), (0o604, true)] {
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        let node = Node::start(&keys.folder.path().join(format!("{mode:o}")), config.clone());
        let warning = format!("chmod o= {}", file.display());
        assert_eq!(node.log().contains(&warning), warned, "{mode:o}\n{}", node.log());
    }
}
