//! What clients learn before they fetch rows: columns, the catalog, health.

use arrow_flight::sql::CommandGetImportedKeys;
use arrow_flight::sql::client::PreparedStatement;
use portolan_catalog::Reference;
use prost_types::FileDescriptorProto;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reflection_lists_the_methods() {
    let node = Node::sales().await;
    let mut reflection = ServerReflectionClient::new(node.channel().await);
    let ask = |request| ServerReflectionRequest { host: String::new(), message_request: Some(request) };
    let requests = futures::stream::iter([
        ask(MessageRequest::ListServices(String::new())),
        ask(MessageRequest::FileContainingSymbol("arrow.flight.protocol.FlightService".to_owned())),
        ask(MessageRequest::FileContainingSymbol("arrow.flight.protocol.FlightDescriptor.DescriptorType".to_owned())),
    ]);
    let answers = reflection.server_reflection_info(requests).await.unwrap().into_inner();
    let answers: Vec<_> = answers.map_ok(|answer| answer.message_response.unwrap()).try_collect().await.unwrap();
    let [MessageResponse::ListServicesResponse(services), MessageResponse::FileDescriptorResponse(file), _] =
        answers.as_slice()
    else {
        panic!("{answers:?}")
    };
    let mut services: Vec<_> = services.service.iter().map(|service| service.name.as_str()).collect();
    services.sort_unstable();
    assert_eq!(
        services,
        ["arrow.flight.protocol.FlightService", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"]
    );
    let file = FileDescriptorProto::decode(file.file_descriptor_proto[0].as_slice()).unwrap();
    let methods: Vec<_> = file.service[0].method.iter().map(|method| method.name()).collect();
    assert_eq!(methods.len(), 10);

    node.stop().await;
}

/// A client that is in a session.
async fn in_session(node: &Node) -> FlightSqlServiceClient<Channel> {
    let answer = node.client().await.handshake(futures::stream::empty()).await.unwrap();
    let bearer = answer.metadata().get("authorization").unwrap().to_str().unwrap().to_owned();
    let mut client = node.sql_client().await;
    client.set_token(bearer.strip_prefix("Bearer ").unwrap().to_owned());
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_requests_for_columns_agree() {
    let node = Node::sales().await;
    let mut client = node.sql_client().await;
    for sql in [
        "SELECT * FROM sales.orders.orders",
        "SELECT count(*), min(note), avg(id), max(CAST(id AS DECIMAL(12, 2))) FROM sales.orders.orders",
        "SELECT a.note, b.note FROM sales.orders.orders a JOIN sales.orders.orders b ON a.id = b.id WHERE a.id < 0",
        "SELECT arrow_cast(note, 'Dictionary(Int32, Utf8)') AS d, [note] AS l, {'x': note} AS s FROM sales.orders.orders",
        "SELECT NULL AS n, now() AS t, INTERVAL '1 day' AS i, arrow_cast(1.5, 'Float16') AS f",
        "SHOW portolan.placement",
        "EXPLAIN SELECT 1",
    ] {
        let mut prepared: PreparedStatement<_> = client.prepare(sql.to_owned(), None).await.unwrap();
        let promised = prepared.dataset_schema().unwrap().clone();
        let info = prepared.execute().await.unwrap();
        assert_eq!(info.clone().try_decode_schema().unwrap(), promised, "{sql}");
        assert_eq!(*rows(&mut client, info).await.schema(), promised, "{sql}");
        prepared.close().await.unwrap();
        let schema = node.client().await.get_schema(query(sql)).await.unwrap().into_inner();
        assert_eq!(Schema::try_from(&schema).unwrap(), promised, "{sql}");
        let info = client.execute(sql.to_owned(), None).await.unwrap();
        assert_eq!(*rows(&mut client, info).await.schema(), promised, "{sql}");
        for field in promised.fields() {
            assert!(field.metadata().contains_key("ARROW:FLIGHT:SQL:TYPE_NAME"), "{sql}: {field}");
            assert!(!field.metadata().contains_key("ARROW:FLIGHT:SQL:REMARKS"), "{sql}: {field}");
        }
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_keeps_its_announced_schema() {
    let node = Node::sales().await;
    let mut client = in_session(&node).await;
    let sql = "SELECT note FROM sales.orders.orders WHERE id = 7";
    let type_of = |batch: &RecordBatch| batch.schema().field(0).data_type().clone();

    let mut prepared = client.prepare(sql.to_owned(), None).await.unwrap();
    let announced = client.execute(sql.to_owned(), None).await.unwrap();
    client.execute_update("SET portolan.string_views = on".to_owned(), None).await.unwrap();
    assert_eq!(type_of(&rows(&mut client, announced).await), DataType::Utf8);
    let info = prepared.execute().await.unwrap();
    assert_eq!(info.clone().try_decode_schema().unwrap(), *prepared.dataset_schema().unwrap());
    assert_eq!(type_of(&rows(&mut client, info).await), DataType::Utf8);

    let announced = client.execute(sql.to_owned(), None).await.unwrap();
    client.execute_update("SET portolan.string_views = off".to_owned(), None).await.unwrap();
    let views = rows(&mut client, announced).await;
    assert_eq!(type_of(&views), DataType::Utf8View);
    assert_eq!(views.column(0).as_string_view().value(0), "the note of order 7");
    let again = client.execute(sql.to_owned(), None).await.unwrap();
    assert_eq!(type_of(&rows(&mut client, again).await), DataType::Utf8);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_hangs_does_not_delay_browsing() {
    let columns = sales().catalog.ports().next().unwrap().columns.clone();
    let mut port = Port::new(PortRef::new("far", "away", "items")).with_columns(columns);
    port.references = vec![Reference {
        name: Some("to_orders".to_owned()),
        columns: vec!["id".to_owned()],
        table: vec!["orders".to_owned()],
        referenced_columns: vec!["id".to_owned()],
    }];
    let peer = FakePeer::new("grpc://far:1", vec![catalog("far", [port])]);
    peer.hang_after(1);
    let builder = Engine::builder().local_domain(sales()).peer(peer.clone());
    let engine = builder.refresh_interval(Duration::from_millis(10)).build().unwrap();
    while peer.asked().len() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let node = Node::start(engine, options()).await;
    let mut client = node.sql_client().await;
    let query = CommandGetTables { table_types: vec!["TABLE".to_owned()], include_schema: true, ..Default::default() };
    let info = client.get_tables(query).await.unwrap();
    let tables = rows(&mut client, info).await;
    let names: Vec<_> = tables.column(0).as_string::<i32>().iter().flatten().collect();
    assert_eq!(names, ["far", "sales"]);
    let query = CommandGetImportedKeys { table: "items".to_owned(), ..Default::default() };
    let info = client.get_imported_keys(query).await.unwrap();
    let keys = rows(&mut client, info).await;
    assert_eq!(keys.column(0).as_string::<i32>().value(0), "sales");
    assert_eq!(peer.abandoned(), 0, "the peer was waited for");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_follows_the_server() {
    let mut options = options();
    options.limits.grace = Duration::from_millis(200);
    let node = Node::start(Engine::builder().local_domain(sales()).build().unwrap(), options).await;
    let mut health = HealthClient::new(node.channel().await);
    let mut watches = vec![];
    for service in ["", "readiness", "arrow.flight.protocol.FlightService"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let status = health.check(request.clone()).await.unwrap().into_inner().status();
        assert_eq!(status, ServingStatus::Serving, "`{service}`");
        let mut watch = health.watch(request).await.unwrap().into_inner();
        assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
        watches.push(watch);
    }
    let unknown = health.check(HealthCheckRequest { service: "nothing".to_owned() }).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    node.stop().await;
    let mut alive = watches.remove(0);
    assert!(!matches!(alive.message().await, Ok(Some(_))), "a server that stops is live to its end");
    for mut watch in watches {
        assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn functions_are_listed() {
    let node = Node::sales().await;
    let mut client = node.sql_client().await;
    for sql in [
        "SELECT count(DISTINCT routine_name) FROM information_schema.routines WHERE routine_name IN ('lower', 'sum')",
        "SELECT 1 + count(DISTINCT r.routine_name) FROM information_schema.routines r JOIN information_schema.parameters p \
         ON p.specific_name = r.routine_name WHERE r.routine_name = 'lower'",
    ] {
        let info = client.execute(sql.to_owned(), None).await.unwrap();
        assert_eq!(single(&rows(&mut client, info).await), 2, "{sql}");
    }
    let info = client.execute("SHOW FUNCTIONS LIKE 'lower'".to_owned(), None).await.unwrap();
    assert!(rows(&mut client, info).await.num_rows() > 0);
    node.stop().await;
}
