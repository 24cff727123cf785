//! Rows that a gateway relays from their owner: clients get the same rows and columns as from the owner.

use portolan_connectors::RelayedColumns;

use super::*;

const ORDERS: &str = "SELECT id, note FROM sales.orders.orders ORDER BY id DESC";

/// An owner, a gateway, and the owner as the gateway sees it.
struct Mesh {
    owner: Node,
    gateway: Node,
    peer: Arc<FakePeer>,
}

impl Mesh {
    async fn start() -> Self {
        let owner = Node::sales().await;
        let site = NodeSite::new(&owner.url, NodeOptions::default()).unwrap();
        let peer = FakePeer::in_front_of(Arc::new(site));
        let engine = Engine::builder().peer(peer.clone()).build().unwrap();
        engine.refresh().await;
        Self { owner, gateway: Node::start(engine, options()).await, peer }
    }

    /// Returns the columns in which the gateway has requested the last fragment to relay; `None` if it has decoded the
    /// rows.
    fn relayed(&self) -> Option<RelayedColumns> {
        self.peer.requests().pop().unwrap().head.relayed
    }

    async fn stop(self) {
        self.gateway.stop().await;
        self.owner.stop().await;
    }
}

/// A client with a session, which has these settings.
async fn client(node: &Node, settings: &[&str]) -> FlightSqlServiceClient<Channel> {
    let answer = node.client().await.handshake(futures::stream::empty()).await.unwrap();
    let bearer = answer.metadata().get("authorization").unwrap().to_str().unwrap().to_owned();
    let mut client = node.sql_client().await;
    client.set_token(bearer.strip_prefix("Bearer ").unwrap().to_owned());
    for setting in settings {
        client.execute_update(format!("SET portolan.{setting}"), None).await.unwrap();
    }
    client
}

async fn read(client: &mut FlightSqlServiceClient<Channel>, sql: &str) -> RecordBatch {
    let info = client.execute(sql.to_owned(), None).await.unwrap();
    rows(client, info).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_relays_what_the_client_would_get_from_the_owner() {
    let mesh = Mesh::start().await;
    let (plain, unchanged) = (Some(RelayedColumns::Plain), Some(RelayedColumns::Unchanged));
    let ids = "SELECT id AS number FROM sales.orders.orders WHERE id < 20 ORDER BY number";
    let none = "SELECT id, note FROM sales.orders.orders WHERE note = 'no such note'";
    for (sql, settings, columns) in [
        (ORDERS, vec![], plain),
        (ORDERS, vec!["string_views = on"], unchanged),
        (ORDERS, vec!["compression = lz4"], None),
        (ORDERS, vec!["compression = zstd", "string_views = on"], None),
        (ids, vec![], unchanged),
        (none, vec![], plain),
    ] {
        let mut of_owner = client(&mesh.owner, &settings).await;
        let mut of_gateway = client(&mesh.gateway, &settings).await;
        let expected = read(&mut of_owner, sql).await;
        assert_eq!(read(&mut of_gateway, sql).await, expected, "{sql} {settings:?}");
        assert_eq!(mesh.relayed(), columns, "{sql} {settings:?}");
    }
    mesh.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_set_of_parameters_is_relayed() {
    let mesh = Mesh::start().await;
    let mut client = client(&mesh.gateway, &[]).await;
    let sql = "SELECT id, note FROM sales.orders.orders WHERE id = ?";
    let mut prepared = client.prepare(sql.to_owned(), None).await.unwrap();
    let values: ArrayRef = Arc::new(Int64Array::from(vec![7, 3, 990]));
    prepared.set_parameters(RecordBatch::try_from_iter([("$1", values)]).unwrap()).unwrap();
    let info = prepared.execute().await.unwrap();
    let all = rows(&mut client, info).await;
    assert_eq!(all.column(0).as_primitive::<Int64Type>().values().to_vec(), [7, 3, 990]);
    assert_eq!(all.column(1).as_string::<i32>().value(2), "the note of order 990");
    assert_eq!(mesh.relayed(), Some(RelayedColumns::Plain));
    mesh.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kept_results_are_decoded() {
    let mesh = Mesh::start().await;
    let mut client = client(&mesh.gateway, &["endpoints = 2"]).await;
    let info = client.execute("SELECT id, note FROM sales.orders.orders".to_owned(), None).await.unwrap();
    assert_eq!(info.endpoint.len(), 2);
    let mut count = 0;
    for endpoint in &info.endpoint {
        let stream = client.do_get(endpoint.ticket.clone().unwrap()).await.unwrap();
        let batches: Vec<RecordBatch> = stream.try_collect().await.unwrap();
        count += batches.iter().map(RecordBatch::num_rows).sum::<usize>();
    }
    assert_eq!(count as i64, ROWS);
    assert_eq!(mesh.relayed(), None);
    mesh.stop().await;
}
