//! Every call of Flight SQL that can lead to rows: queries, polls, prepared statements with and without parameters,
//! updates, uploads, tables and views of the session. The same policies hold behind each of them.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow_flight::error::FlightError;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::sql::{
    ActionCreatePreparedSubstraitPlanRequest, CommandStatementIngest, CommandStatementQuery,
    CommandStatementSubstraitPlan, ProstMessageExt, SubstraitPlan, TableDefinitionOptions, TableExistsOption,
    TableNotExistOption,
};
use arrow_flight::{Action, FlightDescriptor, FlightInfo};
use futures::{TryStreamExt, stream};
use portolan_tests::governance::meshes::{ADMIN, ANALYST, GovernedMesh, OWNER, PASSWORD, STRANGER, login};
use portolan_tests::governance::people::{HiddenRows, PEOPLE};
use portolan_tests::mesh::within;
use portolan_tests::node::Node;
use portolan_tests::rows::count;
use portolan_tests::ways::lines;
use prost::Message;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};

type Client = FlightSqlServiceClient<Channel>;

/// The ways from a query of one column of integers to rows.
const WAYS: &[&str] = &["query", "poll", "prepared", "parameters", "update", "prepared update", "insert", "view"];

/// Statements of the analyst that must return what they would without hidden rows.
const PROBES: &[&str] = &[
    "SELECT id FROM hr.samples.people WHERE 1 / (salary - 1003000) >= 0",
    "SELECT id FROM hr.samples.people WHERE id IN (1000, 1003)",
    "SELECT max(salary) AS id FROM hr.samples.people WHERE ssn LIKE '003%' OR id = 1003",
    "SELECT person AS id FROM shop.samples.orders WHERE person NOT IN (SELECT id FROM hr.samples.people)",
];

async fn connect(node: &Node, user: &str) -> Client {
    let address = node.url().replace("grpc://", "http://");
    let channel = Endpoint::from_shared(address).unwrap().connect().await.unwrap();
    let mut client = FlightSqlServiceClient::new(channel);
    client.handshake(user, PASSWORD).await.unwrap();
    client
}

/// Returns a message with the token of the session.
fn authorized<T>(client: &Client, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let token = format!("Bearer {}", client.token().unwrap());
    request.metadata_mut().insert("authorization", token.parse().unwrap());
    request
}

fn command(sql: &str) -> FlightDescriptor {
    let query = CommandStatementQuery { query: sql.to_owned(), transaction_id: None };
    FlightDescriptor::new_cmd(query.as_any().encode_to_vec())
}

async fn fetched(client: &mut Client, info: FlightInfo) -> Result<Vec<String>, FlightError> {
    let mut batches: Vec<RecordBatch> = vec![];
    for endpoint in info.endpoint {
        let rows = client.do_get(endpoint.ticket.expect("an endpoint has a ticket")).await?;
        batches.extend(rows.try_collect::<Vec<_>>().await?);
    }
    let mut rows = lines(&batches);
    rows.sort();
    Ok(rows)
}

async fn queried(client: &mut Client, sql: &str) -> Result<Vec<String>, FlightError> {
    let info = client.execute(sql.to_owned(), None).await?;
    fetched(client, info).await
}

fn one() -> RecordBatch {
    RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![1])) as ArrayRef)]).unwrap()
}

/// Returns the rows of a query in one of the ways, in a session of its own.
async fn rows(way: &str, node: &Node, user: &str, sql: &str) -> Result<Vec<String>, FlightError> {
    let mut client = connect(node, user).await;
    let mut changes = vec![];
    match way {
        "query" => return queried(&mut client, sql).await,
        "poll" => {
            let (mut next, mut info) = (Some(command(sql)), None);
            while let Some(descriptor) = next {
                let request = authorized(&client, descriptor);
                let polled = client.inner().clone().poll_flight_info(request).await?.into_inner();
                (next, info) = (polled.flight_descriptor, polled.info);
            }
            return fetched(&mut client, info.expect("the last poll has the endpoints")).await;
        }
        "prepared" => {
            let mut prepared = client.prepare(sql.to_owned(), None).await?;
            let info = prepared.execute().await?;
            return fetched(&mut client, info).await;
        }
        "parameters" => {
            let mut prepared = client.prepare(format!("SELECT * FROM ({sql}) WHERE 1 = ?"), None).await?;
            prepared.set_parameters(one())?;
            let info = prepared.execute().await?;
            return fetched(&mut client, info).await;
        }
        "prepared update" => {
            let mut prepared = client.prepare(format!("CREATE TABLE seen AS {sql}"), None).await?;
            prepared.execute_update().await?;
        }
        "update" => changes.push(format!("CREATE TABLE seen AS {sql}")),
        "insert" => changes.extend(["CREATE TABLE seen (id BIGINT)".to_owned(), format!("INSERT INTO seen {sql}")]),
        "view" => changes.push(format!("CREATE VIEW seen AS {sql}")),
        other => panic!("there is no way `{other}`"),
    }
    for change in changes {
        client.execute_update(change, None).await?;
    }
    queried(&mut client, "SELECT id FROM seen").await
}

fn assert_denied(what: &str, outcome: Result<Vec<String>, FlightError>, names: &str) {
    match outcome {
        Err(FlightError::Tonic(status)) => {
            assert_eq!(status.code(), Code::PermissionDenied, "{what}: {status}");
            assert!(status.message().contains(names), "{what}: expected `{names}`, got {status}");
            for secret in ["clearance ==", "upper(", "of person", "-1003"] {
                assert!(!status.message().contains(secret), "{what}: `{secret}` shows in {status}");
            }
        }
        Err(other) => panic!("{what}: {other}"),
        Ok(rows) => panic!("{what}: {} rows", rows.len()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_call_has_one_gate() {
    within(600, async {
        let (mesh, absent) =
            tokio::join!(GovernedMesh::start(HiddenRows::AsTheyAre), GovernedMesh::start(HiddenRows::Absent));
        for (node, other) in [(mesh.hr(), absent.hr()), (mesh.gateway(), absent.gateway())] {
            for way in WAYS {
                let hidden = "SELECT rating AS id FROM hr.samples.people";
                assert_denied(way, rows(way, node, ANALYST, hidden).await, "`rating`");
                for user in [STRANGER, ADMIN] {
                    let sql = "SELECT id FROM hr.samples.people";
                    assert_denied(way, rows(way, node, user, sql).await, "hr.samples.people");
                }
                for sql in PROBES {
                    let [governed, visible] =
                        [rows(way, node, ANALYST, sql).await.unwrap(), rows(way, other, ANALYST, sql).await.unwrap()];
                    assert_eq!(governed, visible, "{way} at {}: {sql}", node.url());
                }
            }
        }
    })
    .await;
}

/// What a client gets before any row depends on the text of the statement alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn columns_are_announced_without_rows() {
    within(300, async {
        let mesh = GovernedMesh::start(HiddenRows::AsTheyAre).await;
        for node in [mesh.hr(), mesh.gateway()] {
            let client = connect(node, ANALYST).await;
            let mut announced = vec![];
            for number in [1003, 1000, 7] {
                let sql = format!("SELECT id, ssn FROM hr.samples.people WHERE id = {number}");
                let mut flight = client.inner().clone();
                announced.push(flight.get_schema(authorized(&client, command(&sql))).await.unwrap().into_inner());
            }
            assert!(announced.iter().all(|schema| *schema == announced[0]), "{announced:?}");
        }
    })
    .await;
}

/// No node reads Substrait plans, which could name files and tables.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn substrait_plans_are_refused() {
    within(300, async {
        let mesh = GovernedMesh::start(HiddenRows::AsTheyAre).await;
        let plan = || Some(SubstraitPlan { plan: b"plan"[..].into(), version: "0.60.0".to_owned() });
        for node in [mesh.hr(), mesh.gateway()] {
            let client = connect(node, OWNER).await;
            let mut flight = client.inner().clone();
            let query = CommandStatementSubstraitPlan { plan: plan(), transaction_id: None };
            let descriptor = FlightDescriptor::new_cmd(query.as_any().encode_to_vec());
            let status = flight.get_flight_info(authorized(&client, descriptor)).await.unwrap_err();
            assert_eq!(status.code(), Code::Unimplemented, "{status}");
            let body = ActionCreatePreparedSubstraitPlanRequest { plan: plan(), transaction_id: None };
            let action =
                Action { r#type: "CreatePreparedSubstraitPlan".to_owned(), body: body.as_any().encode_to_vec().into() };
            let status = flight.do_action(authorized(&client, action)).await.unwrap_err();
            assert_eq!(status.code(), Code::Unimplemented, "{status}");
        }
    })
    .await;
}

/// Uploads neither change a governed port, nor find hidden rows by keys.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn uploads_open_nothing() {
    within(300, async {
        let mesh = GovernedMesh::start(HiddenRows::AsTheyAre).await;
        for (exists, missing) in [
            (TableExistsOption::Append, TableNotExistOption::Fail),
            (TableExistsOption::Append, TableNotExistOption::Create),
            (TableExistsOption::Replace, TableNotExistOption::Create),
        ] {
            for (node, user) in [(mesh.hr(), OWNER), (mesh.hr(), ANALYST), (mesh.gateway(), OWNER)] {
                let mut client = connect(node, user).await;
                let options = TableDefinitionOptions { if_not_exist: missing.into(), if_exists: exists.into() };
                let upload = CommandStatementIngest {
                    table_definition_options: Some(options),
                    table: "people".to_owned(),
                    schema: Some("samples".to_owned()),
                    catalog: Some("hr".to_owned()),
                    ..CommandStatementIngest::default()
                };
                let outcome = client.execute_ingest(upload, stream::iter([Ok(one())])).await;
                assert!(outcome.is_err(), "{user}, {exists:?}, {missing:?}: {outcome:?}");
            }
        }
        let all = "SELECT count(*) FROM hr.samples.people";
        assert_eq!(count(&login(mesh.hr(), OWNER).await, all).await, Ok(PEOPLE));

        for node in [mesh.hr(), mesh.gateway()] {
            let mut client = connect(node, ANALYST).await;
            let keys: ArrayRef = Arc::new(Int64Array::from(vec![1000, 1003, 1004]));
            let keys = RecordBatch::try_from_iter([("k", keys)]).unwrap();
            let options = TableDefinitionOptions {
                if_not_exist: TableNotExistOption::Create.into(),
                if_exists: TableExistsOption::Fail.into(),
            };
            let upload = CommandStatementIngest {
                table_definition_options: Some(options),
                table: "wanted".to_owned(),
                temporary: true,
                ..CommandStatementIngest::default()
            };
            client.execute_ingest(upload, stream::iter([Ok(keys)])).await.unwrap();
            let found = queried(&mut client, "SELECT k FROM wanted JOIN hr.samples.people ON id = k").await.unwrap();
            assert_eq!(found, ["1000"], "{}", node.url());
        }
    })
    .await;
}
