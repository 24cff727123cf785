//! Requests of every kind: each is made whole first, and then damaged at one of the levels that are decoded.

use std::collections::HashMap;

use arrow_flight::sql::{
    ActionBeginSavepointRequest, ActionBeginTransactionRequest, ActionCancelQueryRequest,
    ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest,
    ActionCreatePreparedSubstraitPlanRequest, ActionEndSavepointRequest, ActionEndTransactionRequest, Any,
    CommandGetCatalogs, CommandGetCrossReference, CommandGetDbSchemas, CommandGetExportedKeys, CommandGetImportedKeys,
    CommandGetPrimaryKeys, CommandGetSqlInfo, CommandGetTableTypes, CommandGetTables, CommandGetXdbcTypeInfo,
    CommandPreparedStatementQuery, CommandPreparedStatementUpdate, CommandStatementIngest, CommandStatementQuery,
    CommandStatementSubstraitPlan, CommandStatementUpdate, ProstMessageExt, TableDefinitionOptions,
    TicketStatementQuery,
};
use arrow_flight::{
    Action, BasicAuth, CancelFlightInfoRequest, Criteria, Empty, FlightDescriptor, FlightEndpoint, FlightInfo,
    HandshakeRequest, RenewFlightEndpointRequest, Ticket,
};
use bytes::Bytes;
use portolan_connectors::node::protocol::{FRAGMENT_TYPE_URL, FragmentTicket, NodeHello, ProgressRequest};
use portolan_connectors::node::signed_catalog::CatalogRequest;
use prost::{Message, Oneof};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::mutate::damaged;
use super::rows::upload;
use super::statements::statement;
use super::wire::Call;

/// What the server gave out, for the requests to come.
#[derive(Default)]
pub(super) struct ServerValues {
    pub(super) functions: Vec<String>,
    pub(super) handles: Vec<Bytes>,
    pub(super) tickets: Vec<Bytes>,
    pub(super) cookies: Vec<String>,
    pub(super) tokens: Vec<String>,
    pub(super) plans: Vec<Bytes>,
}

/// The options of a session, as they travel.
#[derive(Clone, PartialEq, Message)]
struct SetOptions {
    #[prost(map = "string, message", tag = "1")]
    options: HashMap<String, OptionBox>,
}

#[derive(Clone, PartialEq, Message)]
struct OptionBox {
    #[prost(oneof = "OptionValue", tags = "1, 2, 3, 4")]
    value: Option<OptionValue>,
}

#[derive(Clone, PartialEq, Oneof)]
enum OptionValue {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Truth(bool),
    #[prost(sfixed64, tag = "3")]
    Whole(i64),
    #[prost(double, tag = "4")]
    Number(f64),
}

/// A call that runs a statement as `GetFlightInfo` does.
pub(super) fn statement_call(sql: &str) -> Call {
    let command = CommandStatementQuery { query: sql.to_owned(), transaction_id: None };
    let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
    Call { method: "GetFlightInfo", messages: vec![descriptor.encode_to_vec().into()], ..Call::default() }
}

/// A call that fetches a ticket.
pub(super) fn fetch_call(ticket: Bytes) -> Call {
    let ticket = Ticket { ticket };
    Call { method: "DoGet", messages: vec![ticket.encode_to_vec().into()], ..Call::default() }
}

/// A call that closes a prepared statement.
pub(super) fn close_call(handle: Bytes) -> Call {
    let body = ActionClosePreparedStatementRequest { prepared_statement_handle: handle }.as_any().encode_to_vec();
    let action = Action { r#type: "ClosePreparedStatement".to_owned(), body: body.into() };
    Call { method: "DoAction", messages: vec![action.encode_to_vec().into()], ..Call::default() }
}

/// Any call.
pub(super) fn call(random: &mut StdRng, known: &ServerValues) -> Call {
    let (method, messages) = match random.random_range(0..20) {
        0..5 => (*["GetFlightInfo", "GetSchema", "PollFlightInfo"].choose(random).unwrap(), descriptor(random, known)),
        5..8 => ("DoGet", vec![Ticket { ticket: ticket(random, known) }.encode_to_vec().into()]),
        8..13 => ("DoPut", put(random, known)),
        13..18 => ("DoAction", vec![action(random, known).encode_to_vec().into()]),
        18 => ("Handshake", handshake(random)),
        _ => {
            let expression = damaged(random, &Bytes::from_static(b"heavy"));
            let method = *["ListFlights", "ListActions", "DoExchange"].choose(random).unwrap();
            let message = if method == "ListFlights" {
                Criteria { expression }.encode_to_vec()
            } else {
                Empty {}.encode_to_vec()
            };
            (method, vec![message.into()])
        }
    };
    let messages = if random.random_bool(0.05) {
        messages.iter().map(|message| damaged(random, message)).collect()
    } else {
        messages
    };
    Call { method, headers: headers(random, known), messages }
}

fn headers(random: &mut StdRng, known: &ServerValues) -> Vec<(&'static str, String)> {
    let mut headers = vec![];
    match random.random_range(0..10) {
        0..5 => headers.extend(known.cookies.choose(random).map(|cookie| ("cookie", cookie.clone()))),
        5..7 => headers.extend(known.tokens.choose(random).map(|token| ("authorization", format!("Bearer {token}")))),
        7 => {
            let value = ["Bearer None", "Bearer ", "Basic !!!", "Basic Og==", "Basic YQ==", "bearer a.b.c", "\u{7f}"];
            headers.push(("authorization", (*value.choose(random).unwrap()).to_owned()));
        }
        8 => headers.push((
            "cookie",
            ["=", ";;;", "arrow_flight_session_id=", "a=b=c; =; arrow_flight_session_id=x"]
                .choose(random)
                .unwrap()
                .to_string(),
        )),
        _ => {}
    }
    if random.random_bool(0.03) {
        let name = *["catalog", "schema", "portolan-query-id", "x-long"].choose(random).unwrap();
        headers.push((name, "x".repeat(*[0, 1, 300, 7000].choose(random).unwrap())));
    }
    headers
}

fn descriptor(random: &mut StdRng, known: &ServerValues) -> Vec<Bytes> {
    let mut descriptor = FlightDescriptor::new_cmd(command(random, known));
    match random.random_range(0..30) {
        0 => descriptor = FlightDescriptor::new_path(vec!["a".to_owned(), String::new()]),
        1 => descriptor.r#type = *[0, 3, -1, i32::MAX].choose(random).unwrap(),
        2 => descriptor.cmd = known.tickets.choose(random).cloned().unwrap_or_default(),
        _ => {}
    }
    vec![descriptor.encode_to_vec().into()]
}

fn ticket(random: &mut StdRng, known: &ServerValues) -> Bytes {
    match (random.random_range(0..10), known.tickets.choose(random)) {
        (0..4, Some(ticket)) => ticket.clone(),
        (4, Some(ticket)) => damaged(random, ticket),
        _ => command(random, known),
    }
}

/// A command, as a descriptor or a ticket has it.
fn command(random: &mut StdRng, known: &ServerValues) -> Bytes {
    let any = match random.random_range(0..10) {
        0..5 => statement_command(random, known),
        5..8 => metadata(random),
        _ => fragment(random, known),
    };
    wrapped(random, any)
}

/// The bytes of a message, which may have a wrong type, a broken value, or others like it around it.
fn wrapped(random: &mut StdRng, mut any: Any) -> Bytes {
    match random.random_range(0..20) {
        0 => any.value = damaged(random, &any.value),
        1 => any.type_url = metadata(random).type_url,
        2 => any.type_url = any.type_url.replace("type.googleapis.com/", ["", "x/", "//"].choose(random).unwrap()),
        3 => {
            for _ in 0..random.random_range(1..300) {
                any = Any { type_url: any.type_url.clone(), value: any.encode_to_vec().into() };
            }
        }
        4 => return damaged(random, &any.encode_to_vec().into()),
        _ => {}
    }
    any.encode_to_vec().into()
}

fn handle(random: &mut StdRng, known: &ServerValues) -> Bytes {
    match random.random_range(0..10) {
        0 => Bytes::new(),
        1 => Bytes::from(vec![0xff; 64]),
        2 => known.handles.choose(random).map(|handle| damaged(random, handle)).unwrap_or_default(),
        _ => known.handles.choose(random).cloned().unwrap_or_default(),
    }
}

fn transaction(random: &mut StdRng) -> Option<Bytes> {
    random.random_bool(0.05).then(|| Bytes::from_static(b"1"))
}

fn statement_command(random: &mut StdRng, known: &ServerValues) -> Any {
    let query = statement(random, &known.functions);
    match random.random_range(0..10) {
        0..6 => CommandStatementQuery { query, transaction_id: transaction(random) }.as_any(),
        6 => CommandStatementUpdate { query, transaction_id: transaction(random) }.as_any(),
        7 => CommandStatementSubstraitPlan { plan: None, transaction_id: transaction(random) }.as_any(),
        8 => TicketStatementQuery { statement_handle: handle(random, known) }.as_any(),
        _ => CommandPreparedStatementQuery { prepared_statement_handle: handle(random, known) }.as_any(),
    }
}

fn name(random: &mut StdRng) -> Option<String> {
    let names =
        ["sales", "orders", "portolan", "mesh", "session", "", "%", "_%\\", "%%%a%%%", "list", "a.b", "\0", "ü"];
    match random.random_range(0..4) {
        0 => None,
        1 => Some("%a".repeat(random.random_range(0..3000))),
        _ => Some((*names.choose(random).unwrap()).to_owned()),
    }
}

fn metadata(random: &mut StdRng) -> Any {
    let (catalog, db_schema, table) = (name(random), name(random), name(random).unwrap_or_default());
    match random.random_range(0..10) {
        0 => CommandGetCatalogs {}.as_any(),
        1 => CommandGetDbSchemas { catalog, db_schema_filter_pattern: db_schema }.as_any(),
        2 => CommandGetTables {
            catalog,
            db_schema_filter_pattern: db_schema,
            table_name_filter_pattern: name(random),
            table_types: name(random).into_iter().chain(["TABLE".to_owned()]).collect(),
            include_schema: random.random(),
        }
        .as_any(),
        3 => CommandGetTableTypes {}.as_any(),
        4 => CommandGetPrimaryKeys { catalog, db_schema, table }.as_any(),
        5 => CommandGetExportedKeys { catalog, db_schema, table }.as_any(),
        6 => CommandGetImportedKeys { catalog, db_schema, table }.as_any(),
        7 => CommandGetCrossReference {
            pk_catalog: catalog,
            pk_db_schema: db_schema,
            pk_table: table,
            fk_catalog: name(random),
            fk_db_schema: name(random),
            fk_table: name(random).unwrap_or_default(),
        }
        .as_any(),
        8 => CommandGetSqlInfo { info: (0..random.random_range(0..9)).map(|_| random.random_range(0..700)).collect() }
            .as_any(),
        _ => CommandGetXdbcTypeInfo { data_type: random.random_bool(0.5).then(|| random.random()) }.as_any(),
    }
}

fn fragment(random: &mut StdRng, known: &ServerValues) -> Any {
    let NodeHello { protocol, datafusion, .. } = NodeHello::current();
    let plan = known.plans.choose(random).cloned().unwrap_or_default();
    let plan = if random.random_bool(0.6) { damaged(random, &plan) } else { plan };
    let keys =
        (0..random.random_range(0..3)).map(|_| damaged(random, &Bytes::from_static(b"(\xb5/\xfd keys"))).collect();
    let ticket = FragmentTicket {
        protocol: if random.random_bool(0.05) { random.random() } else { protocol },
        datafusion: if random.random_bool(0.05) { "x".repeat(1000) } else { datafusion },
        query_id: "fuzz".to_owned(),
        hops: if random.random_bool(0.1) { random.random() } else { 1 },
        remaining_ms: *[0, 1, 5000, u64::MAX].choose(random).unwrap(),
        plan,
        keys,
        identity: random.random_bool(0.1).then(|| "a.b.c".to_owned()),
        measured: random.random_bool(0.5),
        checksum: random.random(),
        plain_columns: random.random_bool(0.5),
    };
    let ticket = if random.random_bool(0.95) { ticket.sealed() } else { ticket };
    Any { type_url: FRAGMENT_TYPE_URL.to_owned(), value: ticket.encode_to_vec().into() }
}

fn put(random: &mut StdRng, known: &ServerValues) -> Vec<Bytes> {
    let any = match random.random_range(0..10) {
        0..2 => statement_command(random, known),
        2..5 => CommandPreparedStatementQuery { prepared_statement_handle: handle(random, known) }.as_any(),
        5..7 => CommandPreparedStatementUpdate { prepared_statement_handle: handle(random, known) }.as_any(),
        _ => ingest(random).as_any(),
    };
    let command = wrapped(random, any);
    upload(random, command)
}

fn ingest(random: &mut StdRng) -> CommandStatementIngest {
    let own = random.random_bool(0.6);
    CommandStatementIngest {
        table_definition_options: random.random_bool(0.95).then(|| TableDefinitionOptions {
            if_not_exist: random.random_range(-1..4),
            if_exists: random.random_range(-1..5),
        }),
        table: if own { "list".to_owned() } else { name(random).unwrap_or("orders".to_owned()) },
        schema: if own { None } else { name(random) },
        catalog: if own { None } else { name(random) },
        temporary: random.random(),
        transaction_id: transaction(random),
        options: HashMap::new(),
    }
}

fn flight_info(random: &mut StdRng, known: &ServerValues) -> FlightInfo {
    let mut info = FlightInfo::new();
    for _ in 0..random.random_range(0..3) {
        info = info.with_endpoint(FlightEndpoint::new().with_ticket(Ticket { ticket: ticket(random, known) }));
    }
    info
}

fn action(random: &mut StdRng, known: &ServerValues) -> Action {
    let wrap = |random: &mut StdRng, any: Any| wrapped(random, any);
    let (kind, body): (&str, Bytes) = match random.random_range(0..20) {
        0..5 => {
            let query = statement(random, &known.functions);
            let any = ActionCreatePreparedStatementRequest { query, transaction_id: transaction(random) }.as_any();
            ("CreatePreparedStatement", wrap(random, any))
        }
        5 => {
            let any = ActionCreatePreparedSubstraitPlanRequest { plan: None, transaction_id: None }.as_any();
            ("CreatePreparedSubstraitPlan", wrap(random, any))
        }
        6 => {
            let any = ActionClosePreparedStatementRequest { prepared_statement_handle: handle(random, known) }.as_any();
            ("ClosePreparedStatement", wrap(random, any))
        }
        7 => {
            let info = random.random_bool(0.9).then(|| flight_info(random, known));
            ("CancelFlightInfo", CancelFlightInfoRequest { info }.encode_to_vec().into())
        }
        8 => {
            let info = flight_info(random, known).encode_to_vec().into();
            let info = damaged_sometimes(random, info);
            let any = ActionCancelQueryRequest { info }.as_any();
            ("CancelQuery", wrap(random, any))
        }
        9 => {
            let endpoint = random.random_bool(0.9).then(FlightEndpoint::new);
            ("RenewFlightEndpoint", RenewFlightEndpointRequest { endpoint }.encode_to_vec().into())
        }
        10..12 => ("SetSessionOptions", set_options(random).encode_to_vec().into()),
        12 => ("GetSessionOptions", Bytes::new()),
        13 => ("CloseSession", Bytes::new()),
        14 => {
            let any = ActionBeginTransactionRequest {}.as_any();
            ("BeginTransaction", wrap(random, any))
        }
        15 => {
            let any =
                ActionEndTransactionRequest { transaction_id: handle(random, known), action: random.random() }.as_any();
            ("EndTransaction", wrap(random, any))
        }
        16 => {
            let any = ActionBeginSavepointRequest { transaction_id: Bytes::new(), name: String::new() }.as_any();
            ("BeginSavepoint", wrap(random, any))
        }
        17 => {
            let any = ActionEndSavepointRequest { savepoint_id: Bytes::new(), action: random.random() }.as_any();
            ("EndSavepoint", wrap(random, any))
        }
        18 => {
            let hello = NodeHello { proof: Some("a.b.c".to_owned()), ..NodeHello::current() };
            ("portolan.hello", hello.encode_to_vec().into())
        }
        _ => match random.random_range(0..4) {
            0 => {
                let nonce = name(random).unwrap_or_default();
                let request = CatalogRequest { known: name(random), proof: name(random), nonce };
                ("portolan.catalog", request.encode_to_vec().into())
            }
            1 => ("portolan.progress", ProgressRequest { handle: handle(random, known) }.encode_to_vec().into()),
            2 => ("portolan.decisions", handle(random, known)),
            _ => ("no such action \0", Bytes::new()),
        },
    };
    Action { r#type: kind.to_owned(), body: damaged_sometimes(random, body) }
}

fn damaged_sometimes(random: &mut StdRng, bytes: Bytes) -> Bytes {
    if random.random_bool(0.1) { damaged(random, &bytes) } else { bytes }
}

fn set_options(random: &mut StdRng) -> SetOptions {
    let names = [
        "catalog",
        "schema",
        "portolan.placement",
        "portolan.query_timeout",
        "portolan.key_wait",
        "",
        "x",
        "portolan.adapt_factor",
        "portolan.strategy",
        "PORTOLAN.STRING_VIEWS",
        "portolan.key_form",
        "portolan.share",
    ];
    let option = |random: &mut StdRng| {
        let value = match random.random_range(0..6) {
            0 => None,
            1 => Some(OptionValue::Text(name(random).unwrap_or("sales".to_owned()))),
            2 => Some(OptionValue::Truth(random.random())),
            3 => Some(OptionValue::Whole(random.random())),
            4 => Some(OptionValue::Whole(5)),
            _ => Some(OptionValue::Number(*[f64::NAN, f64::INFINITY, 1e308, -0.0, 1.5].choose(random).unwrap())),
        };
        ((*names.choose(random).unwrap()).to_owned(), OptionBox { value })
    };
    SetOptions { options: (0..random.random_range(0..3)).map(|_| option(random)).collect() }
}

fn handshake(random: &mut StdRng) -> Vec<Bytes> {
    let auth = BasicAuth { username: name(random).unwrap_or_default(), password: name(random).unwrap_or_default() };
    let auth = if random.random_bool(0.6) { BasicAuth::default() } else { auth };
    let payload = damaged_sometimes(random, auth.encode_to_vec().into());
    let message: Bytes = HandshakeRequest { protocol_version: random.random(), payload }.encode_to_vec().into();
    vec![message; random.random_range(0..3)]
}
