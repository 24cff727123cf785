//! Clients that send invalid requests, or use what belongs to others: they get a status, the node logs a line and keeps
//! running.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::sql::{Any, CommandStatementQuery, ProstMessageExt, TicketStatementQuery};
use arrow_flight::{Action, FlightDescriptor, Ticket};
use futures::TryStreamExt;
use portolan_connectors::node::protocol::{FRAGMENT_TYPE_URL, FragmentTicket, NodeHello};
use portolan_flight_server::hash_password;
use portolan_testbed::descriptors;
use portolan_tests::mesh::{data, within};
use portolan_tests::node::Node;
use prost::Message;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

async fn channel(node: &Node) -> Channel {
    Endpoint::from_shared(node.url().replace("grpc://", "http://")).unwrap().connect().await.unwrap()
}

fn query(sql: &str) -> FlightDescriptor {
    let command = CommandStatementQuery { query: sql.into(), transaction_id: None };
    FlightDescriptor::new_cmd(command.as_any().encode_to_vec())
}

fn fragment(plan: &[u8]) -> Vec<u8> {
    let hello = NodeHello::current();
    let ticket = FragmentTicket {
        protocol: hello.protocol,
        datafusion: hello.datafusion,
        query_id: "q".into(),
        hops: 1,
        remaining_ms: 5_000,
        plan: plan.to_vec().into(),
        ..FragmentTicket::default()
    };
    let ticket = ticket.sealed();
    Any { type_url: FRAGMENT_TYPE_URL.into(), value: ticket.encode_to_vec().into() }.encode_to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalid_requests_are_answered_and_the_node_keeps_running() {
    within(120, async {
        let folder = tempfile::tempdir().unwrap();
        descriptors::write("geo", &data(), folder.path()).unwrap();
        let mut node = Node::start(folder.path(), json!({ "domain": "geo" }));
        let mut client = FlightServiceClient::new(channel(&node).await);
        let forged = TicketStatementQuery { statement_handle: "f".repeat(64).into() }.as_any().encode_to_vec();
        for (ticket, code) in [
            (vec![], Code::InvalidArgument),
            (b"\xff\xffgarbage".to_vec(), Code::InvalidArgument),
            (forged, Code::NotFound),
            (fragment(b"no plan"), Code::InvalidArgument),
            (fragment(&[]), Code::InvalidArgument),
            (fragment(&vec![0; 5 << 20]), Code::ResourceExhausted),
            (vec![0; 17 << 20], Code::ResourceExhausted),
        ] {
            let (length, ticket) = (ticket.len(), Ticket { ticket: ticket.into() });
            let status = client.do_get(ticket).await.expect_err("this is no ticket");
            assert_eq!(status.code(), code, "a ticket of {length} bytes: {}", status.message());
        }
        for sql in ["x".repeat(17 << 20), format!("SELECT {}1{}", "(".repeat(20_000), ")".repeat(20_000))] {
            let status = client.get_flight_info(query(&sql)).await.expect_err("this is no statement");
            assert!(
                matches!(status.code(), Code::ResourceExhausted | Code::InvalidArgument),
                "{:?} {}",
                status.code(),
                status.message()
            );
        }
        for kind in [
            "portolan.hello",
            "portolan.catalog",
            "portolan.decisions",
            "portolan.progress",
            "CancelFlightInfo",
            "nothing",
        ] {
            let action = Action { r#type: kind.into(), body: b"\xff\xff\xff".to_vec().into() };
            let status = match client.do_action(action).await {
                Ok(answers) => answers.into_inner().try_collect::<Vec<_>>().await.expect_err(kind),
                Err(status) => status,
            };
            assert!(
                matches!(status.code(), Code::InvalidArgument | Code::Unimplemented | Code::NotFound),
                "{kind}: {:?} {}",
                status.code(),
                status.message()
            );
        }
        bytes_that_are_no_http2(&node).await;
        let info = client.get_flight_info(query("SELECT count(*) FROM geo.places.nation")).await.unwrap().into_inner();
        let ticket = info.endpoint[0].ticket.clone().unwrap();
        assert!(!client.do_get(ticket).await.unwrap().into_inner().try_collect::<Vec<_>>().await.unwrap().is_empty());
        assert!(node.log().contains("DoGet"), "refusals are logged\n{}", node.log());
        assert!(!node.log().contains("panicked"), "{}", node.log());
        drop(client);
        node.signal("TERM");
        assert!(node.wait().success(), "{}", node.log());
    })
    .await;
}

async fn bytes_that_are_no_http2(node: &Node) {
    let address = node.url().rsplit_once('/').unwrap().1;
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(&[0x16; 4096]).await.unwrap();
    let mut answer = vec![];
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
    // The node hangs up, in whatever way.
    let _ = read.expect("the node hangs up");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_belongs_to_its_principal() {
    within(120, async {
        let folder = tempfile::tempdir().unwrap();
        let user = |name: &str| json!({ "name": name, "password_hash": hash_password("se:cret").unwrap() });
        let node = Node::start(folder.path(), json!({ "users": [user("ann"), user("bob")] }));
        let mut ann = FlightSqlServiceClient::new(channel(&node).await);
        let mut bob = FlightSqlServiceClient::new(channel(&node).await);
        ann.handshake("ann", "se:cret").await.unwrap();
        bob.handshake("bob", "se:cret").await.unwrap();
        let info = ann.execute("SELECT 42".to_owned(), None).await.unwrap();
        let ticket = info.endpoint[0].ticket.clone().unwrap();
        let refused = bob.do_get(ticket.clone()).await.map(|_| ()).expect_err("it is ann's").to_string();
        assert!(refused.contains("belongs to another principal"), "{refused}");
        // An anonymous caller is refused earlier, and a caller that is not a node may not send fragments.
        let mut nobody = FlightServiceClient::new(channel(&node).await);
        assert_eq!(nobody.do_get(ticket.clone()).await.unwrap_err().code(), Code::Unauthenticated);
        let refused = ann.do_get(Ticket { ticket: fragment(b"plan").into() }).await.err().unwrap().to_string();
        assert!(refused.contains("may not send fragments"), "{refused}");
        let rows: Vec<_> = ann.do_get(ticket).await.unwrap().try_collect().await.unwrap();
        assert_eq!(portolan_tests::rows::rows(&rows), 1);
        let log = node.log();
        assert!(log.contains("bob") && !log.contains("se:cret"), "{log}");
    })
    .await;
}
