//! Measures the memory of idle sessions: a node's resident memory before they log in, while they exist, and after they
//! end.

use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use arrow_flight::Action;
use arrow_flight::error::FlightError;
use arrow_flight::sql::client::FlightSqlServiceClient;
use futures::TryStreamExt;
use portolan_node::{Error, Result};
use portolan_testbed::mesh::{LocalMesh, NodeProcess};
use serde_json::{Value, json};
use tonic::Request;
use tonic::transport::{Channel, Endpoint};

use super::latency::{DOMAIN, QUERY};
use crate::machine;
use crate::table::Table;

/// The number of users. There are several, because a node keeps at most 512 sessions of one principal.
const USERS: u32 = 8;
pub(crate) const PASSWORD: &str = "bench";
/// The hash of the password, with the smallest work and memory that argon2 allows, because the benchmark measures
/// sessions.
pub(crate) const HASH: &str =
    "$argon2id$v=19$m=8,t=1,p=1$uTOoMplzj8IsmOJQf2WatA$QHMO3yexqJ3KDYVP8R35fiOfVq6OZ9i+BPifuZnJj1E";
const SETTING: &str = "SET portolan.query_timeout = '30'";
/// The number of sessions that open and end before the measurement, for memory that a node allocates only once.
const WARM_UP: u32 = 100;
/// The time for a node to notice that connections and sessions have ended.
const SETTLE: Duration = Duration::from_secs(2);

/// Returns the users for a node's config. The first one is an administrator, who sees all sessions.
pub fn users() -> Vec<Value> {
    let user = |i| json!({ "name": name(i), "password_hash": HASH, "admin": i == 0 });
    (0..USERS).map(user).collect()
}

fn name(session: u32) -> String {
    format!("user{}", session % USERS)
}

/// Measures the memory, and returns a table with one row for each moment.
///
/// # Errors
/// A node that does not answer, or whose memory is unknown because the system is not Linux.
pub async fn measure(mesh: &LocalMesh, sessions: u32) -> Result<Table> {
    let missing = || Error::failed(format!("the mesh has no node of domain `{DOMAIN}`"));
    let node = mesh.nodes().iter().find(|node| node.domain() == Some(DOMAIN)).ok_or_else(missing)?;
    let mut watcher = Watcher { node, client: log_in(node, 0).await?, before: None, sessions, rows: vec![] };
    eprintln!("{WARM_UP} sessions log in and out first");
    let warm_up = open(node, WARM_UP).await?;
    for mut client in warm_up {
        end(&mut client).await?;
    }
    watcher.look("before").await?;
    eprintln!("{sessions} sessions");
    let open = open(node, sessions).await?;
    watcher.look("idle, each with its connection").await?;
    let tokens: Vec<_> = open.iter().filter_map(|client| client.token().cloned()).collect();
    drop(open);
    watcher.look("idle, their connections closed").await?;
    let mut closer = client(node).await?;
    for token in tokens {
        closer.set_token(token);
        end(&mut closer).await?;
    }
    watcher.look("ended").await?;
    Ok(Table {
        title: format!("memory of a node with {sessions} sessions, each after one query and one setting"),
        columns: vec!["sessions", "known to the node", "resident MB", "increase MB", "kB per session"],
        rows: watcher.rows,
        summary: vec![],
        faults: vec![],
    })
}

/// An observer of a node's memory.
struct Watcher<'a> {
    node: &'a NodeProcess,
    client: FlightSqlServiceClient<Channel>,
    before: Option<u64>,
    sessions: u32,
    rows: Vec<Vec<Value>>,
}

impl Watcher<'_> {
    async fn look(&mut self, moment: &str) -> Result<()> {
        tokio::time::sleep(SETTLE).await;
        let known =
            count(&mut self.client).await.map_err(|e| Error::failed("cannot count the sessions").with_source(e))?;
        let unknown = || Error::failed("the memory of a process is known only on Linux");
        let resident = machine::resident(self.node.pid()).ok_or_else(unknown)?;
        let more = resident as f64 - *self.before.get_or_insert(resident) as f64;
        let each = more / f64::from(self.sessions) / 1e3;
        self.rows.push(vec![json!(moment), json!(known), json!(resident as f64 / 1e6), json!(more / 1e6), json!(each)]);
        Ok(())
    }
}

/// Returns the number of sessions that the node knows.
async fn count(client: &mut FlightSqlServiceClient<Channel>) -> std::result::Result<i64, FlightError> {
    let info = client.execute("SELECT count(*) FROM mesh.sessions".to_owned(), None).await?;
    let mut count = 0;
    for ticket in info.endpoint.into_iter().filter_map(|endpoint| endpoint.ticket) {
        for batch in client.do_get(ticket).await?.try_collect::<Vec<_>>().await? {
            count += batch.column(0).as_primitive::<Int64Type>().iter().flatten().sum::<i64>();
        }
    }
    Ok(count)
}

/// Connects to a node, without a login.
pub(super) async fn client(node: &NodeProcess) -> Result<FlightSqlServiceClient<Channel>> {
    let failed = |e: tonic::transport::Error| Error::failed("cannot reach a node").with_source(e);
    let address = node.url().replacen("grpc://", "http://", 1);
    let channel = Endpoint::from_shared(address).map_err(failed)?.tcp_nodelay(true).connect().await.map_err(failed)?;
    Ok(FlightSqlServiceClient::new(channel))
}

async fn log_in(node: &NodeProcess, session: u32) -> Result<FlightSqlServiceClient<Channel>> {
    let mut client = client(node).await?;
    let refused = |e| Error::failed("a login was refused").with_source(e);
    client.handshake(&name(session), PASSWORD).await.map_err(refused)?;
    Ok(client)
}

/// Opens sessions, each over its own connection. Each session runs a query and changes a setting.
async fn open(node: &NodeProcess, sessions: u32) -> Result<Vec<FlightSqlServiceClient<Channel>>> {
    let mut open = vec![];
    for session in 0..sessions {
        let mut client = log_in(node, session).await?;
        use_once(&mut client).await.map_err(|e| Error::failed("a session cannot be used").with_source(e))?;
        open.push(client);
    }
    Ok(open)
}

async fn use_once(client: &mut FlightSqlServiceClient<Channel>) -> std::result::Result<(), FlightError> {
    let info = client.execute(QUERY.to_owned(), None).await?;
    for ticket in info.endpoint.into_iter().filter_map(|endpoint| endpoint.ticket) {
        client.do_get(ticket).await?.try_collect::<Vec<_>>().await?;
    }
    client.execute(SETTING.to_owned(), None).await?;
    Ok(())
}

/// Ends the session of the client's token.
async fn end(client: &mut FlightSqlServiceClient<Channel>) -> Result<()> {
    let broken = |e: FlightError| Error::failed("a session cannot be ended").with_source(e);
    let action = Action { r#type: "CloseSession".into(), ..Action::default() };
    let mut answers = client.do_action(Request::new(action)).await.map_err(broken)?;
    while answers.message().await.map_err(|e| broken(e.into()))?.is_some() {}
    Ok(())
}
