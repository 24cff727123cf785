//! What nodes send one another: fragments, estimates and signed catalogs.

use super::*;

/// The fragment that a gateway sends to the node that owns `sales`.
async fn fragment_of(node: &Node, credentials: Option<NodeCredentials>, sql: &str) -> (Arc<FakePeer>, FragmentRequest) {
    let options = NodeOptions { credentials, ..NodeOptions::default() };
    let peer = FakePeer::in_front_of(Arc::new(NodeSite::new(&node.url, options).unwrap()));
    let gateway = Engine::builder().peer(peer.clone()).build().unwrap();
    gateway.refresh().await;
    gateway.sql(sql).await.unwrap().try_collect::<Vec<_>>().await.unwrap();
    let mut fragment = peer.requests().pop().unwrap();
    fragment.head.deadline = Instant::now() + Duration::from_secs(60);
    (peer, fragment)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fragment_is_estimated_before_it_runs() {
    let known = Arc::new(PortStatistics { rows: Some(ROWS as u64), ..PortStatistics::default() });
    for (statistics, rows) in [(known, Some(ROWS as u64)), (Arc::default(), None)] {
        let mut domain = sales();
        let mut catalog = (*domain.catalog).clone();
        let product = catalog.products.get_mut(&ProductName::new("orders")).unwrap();
        product.ports.values_mut().for_each(|port| port.statistics = Arc::clone(&statistics));
        domain.catalog = Arc::new(catalog);
        let node = Node::start(Engine::builder().local_domain(domain).build().unwrap(), options()).await;
        let (peer, fragment) = fragment_of(&node, None, "SELECT id, note FROM sales.orders.orders").await;
        let estimate = peer.estimate(fragment.clone()).await.unwrap();
        assert_eq!(estimate.rows, rows);
        assert_eq!(estimate.bytes.is_some(), rows.is_some());
        assert!(estimate.bytes.is_none_or(|bytes| bytes >= 8 * ROWS as u64), "{estimate:?}");
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_flight_info_of_a_fragment_has_the_ticket_for_its_rows() {
    let node = Node::sales().await;
    let (_, fragment) = fragment_of(&node, None, "SELECT note FROM sales.orders.orders WHERE id < 10").await;
    let sent = FragmentTicket {
        protocol: PROTOCOL_VERSION,
        datafusion: datafusion::DATAFUSION_VERSION.to_owned(),
        query_id: "q".to_owned(),
        hops: 1,
        remaining_ms: 60_000,
        plan: fragment.plan.encoded().unwrap().plan.clone(),
        ..FragmentTicket::default()
    };
    let sent = sent.sealed();
    let command = Any { type_url: FRAGMENT_TYPE_URL.to_owned(), value: sent.encode_to_vec().into() }.encode_to_vec();
    let mut client = node.client().await;
    let info = client.get_flight_info(FlightDescriptor::new_cmd(command.clone())).await.unwrap().into_inner();
    assert_eq!((info.total_records, info.total_bytes), (-1, -1), "the size of the port is not known");
    assert_eq!(info.endpoint.len(), 1);
    assert_eq!(ticket(&info).ticket, command);
    let schema = info.clone().try_decode_schema().unwrap();
    assert_eq!(schema.fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>(), ["note"]);
    let polled = client.poll_flight_info(FlightDescriptor::new_cmd(command.clone())).await.unwrap().into_inner();
    assert_eq!(polled.info, Some(info.clone()));
    let announced = client.get_schema(FlightDescriptor::new_cmd(command)).await.unwrap().into_inner();
    assert_eq!(Schema::try_from(&announced).unwrap(), schema);
    let messages = client.do_get(ticket(&info)).await.unwrap().into_inner().try_collect::<Vec<_>>().await.unwrap();
    let mut checksum = StreamChecksum::default();
    let metadata: Vec<_> = messages.iter().map(|message| checksum.open(message).expect("a right checksum")).collect();
    let summary: FragmentSummary = serde_json::from_slice(metadata.last().unwrap()).unwrap();
    assert_eq!(summary.rows, 10);
    assert!(summary.producing_ms.is_some());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_fragment_runs_once() {
    let key = NodeKey::from_pem(NodeKey::generate().unwrap().as_bytes()).unwrap();
    let (name, public) = ("gateway".to_owned(), key.public().clone());
    let trusted = TrustedNode { name, key: public, may_act_for: Allowed::All, groups: Allowed::All };
    let identity = Arc::new(NodeIdentity::new("gateway", key).unwrap());
    let delegation = DelegationOptions { trusted: vec![trusted], audiences: vec!["sales".to_owned()] };
    let engine = Engine::builder().local_domain(sales()).build().unwrap();
    let auth = AuthOptions { anonymous: Some(true), ..AuthOptions::default() };
    let node = Node::start(engine, ServerOptions { auth, delegation, ..options() }).await;
    let options =
        NodeOptions { identity: Some(identity.clone()), audience: Some("sales".to_owned()), ..NodeOptions::default() };
    let peer = FakePeer::in_front_of(Arc::new(NodeSite::new(&node.url, options).unwrap()));
    let gateway = Engine::builder().peer(peer.clone()).build().unwrap();
    gateway.refresh().await;
    for _ in 0..3 {
        gateway.sql("SELECT id FROM sales.orders.orders").await.unwrap().try_collect::<Vec<_>>().await.unwrap();
    }
    assert_eq!(peer.takes_fragments(), Some(true));
    let fragment = peer.requests().pop().unwrap();
    peer.estimate(fragment.clone()).await.unwrap();

    // By hand, on a connection of nobody in particular.
    let mut client = node.client().await;
    let signed = FragmentTicket::bytes(&fragment, Some(identity.identity("sales", &fragment).unwrap())).unwrap();
    client.get_flight_info(FlightDescriptor::new_cmd(signed.clone())).await.unwrap();
    let run = async |client: &mut FlightServiceClient<Channel>, ticket: &bytes::Bytes| match client
        .do_get(Ticket { ticket: ticket.clone() })
        .await
    {
        Ok(messages) => messages.into_inner().try_collect::<Vec<_>>().await.map(|_| ()),
        Err(status) => Err(status),
    };
    run(&mut client, &signed).await.unwrap();
    let unsigned = FragmentTicket::bytes(&fragment, None).unwrap();
    for (ticket, says) in [(&signed, "used before"), (&unsigned, "has no signed principal")] {
        let status = run(&mut client, ticket).await.unwrap_err();
        assert_eq!((status.code(), kind(&status).as_str()), (Code::PermissionDenied, "permission_denied"));
        assert!(status.message().contains(says), "{}", status.message());
    }
    for refused in [FlightDescriptor::new_cmd(unsigned)] {
        assert_eq!(client.get_flight_info(refused.clone()).await.unwrap_err().code(), Code::PermissionDenied);
        assert_eq!(client.get_schema(refused).await.unwrap_err().code(), Code::PermissionDenied);
    }
    let nobody = NodeSite::new(&node.url, NodeOptions::default()).unwrap();
    let reason = nobody.catalog(None).await.unwrap().owner.unwrap_err();
    assert!(reason.contains("is signed for `sales`"), "the node has another name: {reason}");
    assert_eq!(nobody.takes_fragments(), Some(false), "it could not sign them");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_catalog_is_signed_for_its_request() {
    let node = Node::sales().await;
    let mut client = node.client().await;
    let mut request = async |nonce: &str| {
        let body = CatalogRequest { known: None, proof: None, nonce: nonce.to_owned() }.encode_to_vec();
        let action = Action { r#type: ACTION_CATALOG.to_owned(), body: body.into() };
        let mut answers = client.do_action(action).await?.into_inner();
        let answer = answers.message().await?.expect("an answer");
        Ok::<_, Status>(SignedCatalog::decode(answer.body).unwrap())
    };
    let one = request("n1").await.unwrap();
    let other = request("n2").await.unwrap();
    let (key, content) = one.verify("n1").unwrap();
    assert_eq!(content.check_audience(&node.url), Ok(()));
    assert_eq!(other.verify("n2").unwrap().0, key);
    assert!(other.verify("n1").is_err());
    let longest = "x".repeat(MAX_NONCE_BYTES);
    request(&longest).await.unwrap().verify(&longest).unwrap();
    let status = request(&format!("{longest}x")).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{}", status.message());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_nodes_may_send_fragments() {
    let engine = Engine::builder().local_domain(sales()).build().unwrap();
    let node = Node::start(engine, with_users()).await;
    let credentials = |user: &str| Some(NodeCredentials { user: user.to_owned(), password: "se:cret".to_owned() });
    let (peer, fragment) = fragment_of(&node, credentials("node"), "SELECT id FROM sales.orders.orders").await;
    assert_eq!(peer.takes_fragments(), Some(true));
    let options = NodeOptions { credentials: credentials("ann"), ..NodeOptions::default() };
    let ann = NodeSite::new(&node.url, options).unwrap();
    assert_eq!(ann.takes_fragments(), None, "it was not asked yet");
    assert_eq!(ann.estimate(fragment).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert_eq!(ann.takes_fragments(), Some(false));
    node.stop().await;
}
