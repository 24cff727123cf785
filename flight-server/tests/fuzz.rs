//! Hostile requests of every kind to a server in this process: it answers each one within a time, with a status that
//! does not blame the server, and goes on. `PORTOLAN_FUZZ_REQUESTS` and `PORTOLAN_FUZZ_SEED` say how many and which;
//! `PORTOLAN_FUZZ_TRACE` names a folder that gets the request that each worker is at, for when the process dies.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, FieldRef};
use arrow_flight::sql::{ActionCreatePreparedStatementResult, Any};
use arrow_flight::{FlightInfo, HandshakeResponse};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use portolan_catalog::{Port, PortRef};
use portolan_connectors::testing::{catalog, columns, local_domain};
use portolan_connectors::{LocalDomain, PortWriter};
use portolan_engine::{Engine, Limits};
use portolan_flight_server::{Server, ServerOptions};
use prost::Message;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tonic::transport::Channel;
use tonic::{Code, Status};

#[path = "fuzz/mutate.rs"]
mod mutate;
#[path = "../src/rows/wire_schema/tests/random.rs"]
mod random;
#[path = "fuzz/requests.rs"]
mod requests;
#[path = "fuzz/rows.rs"]
mod rows;
#[path = "fuzz/statements.rs"]
mod statements;
#[path = "fuzz/wire.rs"]
mod wire;

use requests::{ServerValues, call, close_call, fetch_call, statement_call};
use wire::{Answer, Call, connect, send};

/// How long a request may take: more than the queries here may, and the machine may be busy.
const ANSWER: Duration = Duration::from_secs(60);
/// Resident memory that the whole process may have taken, in KiB.
const MEMORY: u64 = 3 << 20;
/// Workers that ask at once.
const WORKERS: u64 = 4;
/// Of what the server gave out, so many are kept.
const KEPT: usize = 64;

/// The types within a type, for [`random`].
fn children(data_type: &DataType) -> Vec<FieldRef> {
    match data_type {
        DataType::Dictionary(_, values) => children(values),
        DataType::RunEndEncoded(_, values) => children(values.data_type()),
        DataType::List(item)
        | DataType::ListView(item)
        | DataType::LargeList(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => vec![item.clone()],
        DataType::Struct(fields) => fields.iter().cloned().collect(),
        DataType::Union(fields, _) => fields.iter().map(|(_, field)| field.clone()).collect(),
        _ => vec![],
    }
}

/// Takes rows and forgets them.
#[derive(Debug)]
struct Forgetful;

#[tonic::async_trait]
impl PortWriter for Forgetful {
    fn takes_from(&self, _: &str, _: &BTreeSet<String>) -> bool {
        true
    }

    async fn append(
        &self,
        mut rows: BoxStream<'static, portolan_connectors::Result<RecordBatch>>,
    ) -> portolan_connectors::Result<u64> {
        let mut count = 0;
        while let Some(batch) = rows.next().await {
            count += batch?.num_rows() as u64;
        }
        Ok(count)
    }
}

/// `sales.orders.orders (id, note)`, which takes rows.
fn sales() -> LocalDomain {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1000));
    let notes: ArrayRef = Arc::new(StringViewArray::from_iter_values((0..1000).map(|i| format!("note {i}"))));
    let batch = RecordBatch::try_from_iter([("id", ids), ("note", notes)]).unwrap();
    let mut port = Port::new(PortRef::new("sales", "orders", "orders")).with_columns(columns(&batch.schema()));
    port.primary_key = vec!["id".to_owned()];
    let mut domain = local_domain(catalog("sales", [port]), |_| vec![batch.clone()]);
    domain.ports[0].writer = Some(Arc::new(Forgetful));
    domain
}

/// A server that answers until the test ends.
async fn start() -> (String, Engine) {
    let mut limits = Limits::default();
    limits.query_memory = 64 << 20;
    limits.memory = 256 << 20;
    limits.query_timeout = Duration::from_secs(3);
    limits.session_tables = 8 << 20;
    let engine = Engine::builder().local_domain(sales()).limits(limits).build().unwrap();
    let server = Server::bind(ServerOptions::new("127.0.0.1:0")).await.unwrap();
    let http = format!("http://{}", server.local_addr());
    tokio::spawn(server.serve(engine.clone(), std::future::pending()));
    (http, engine)
}

/// What went wrong, with the request that it went wrong with.
#[derive(Default)]
struct Findings {
    statuses: Mutex<BTreeMap<String, String>>,
    codes: Mutex<BTreeMap<String, usize>>,
}

/// Where panics were, and how many.
static PANICS: Mutex<BTreeMap<String, usize>> = Mutex::new(BTreeMap::new());

fn watch_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let place = info.location().map_or_else(String::new, |at| {
            let file = at.file().rsplit_once("/src/index").map_or(at.file(), |(_, file)| file);
            format!("{file}:{}", at.line())
        });
        if place.contains("tests/fuzz") {
            before(info);
        }
        let what = info.payload_as_str().unwrap_or_default().chars().take(160);
        let what: String = what.filter(|c| !c.is_ascii_digit()).collect();
        *PANICS.lock().unwrap().entry(format!("{place}: {what}")).or_default() += 1;
    }));
}

impl Findings {
    /// A status that blames the server is a finding.
    fn judge(&self, call: &Call, answer: &Answer) {
        let code = match &answer.outcome {
            Ok(_) => "Ok".to_owned(),
            Err(status) => format!("{:?}", status.code()),
        };
        *self.codes.lock().unwrap().entry(format!("{} {code}", call.method)).or_default() += 1;
        if let Err(status) = &answer.outcome
            && blames_the_server(status)
        {
            let what: String = status.message().chars().take(200).collect();
            // Functions that fail at arguments which their planning let pass: the query ends, and nothing else does.
            if what.contains("DataFusion failed: ") {
                eprintln!("DataFusion's: {what}");
                return;
            }
            let request = call.messages.iter().map(shown).collect::<Vec<_>>().join("\n    ");
            let mut statuses = self.statuses.lock().unwrap();
            statuses.entry(format!("{:?}: {what}", status.code())).or_insert(format!("{} {request}", call.method));
        }
    }
}

fn blames_the_server(status: &Status) -> bool {
    matches!(status.code(), Code::Internal | Code::Unknown | Code::DataLoss | Code::Aborted)
}

fn shown(bytes: &Bytes) -> String {
    let text: String =
        bytes.iter().take(600).flat_map(|byte| std::ascii::escape_default(*byte)).map(char::from).collect();
    format!("{} bytes: {text}", bytes.len())
}

/// Somebody who asks.
struct Worker {
    channel: Channel,
    known: ServerValues,
    /// Handles of prepared statements that are in no request any more, and were not closed.
    left_open: Vec<Bytes>,
    findings: Arc<Findings>,
    trace: Option<PathBuf>,
}

impl Worker {
    async fn ask(&mut self, call: Call) -> Answer {
        if let Some(path) = &self.trace {
            let shown: Vec<String> = call.messages.iter().map(shown).collect();
            std::fs::write(path, format!("{} {:?}\n{}", call.method, call.headers, shown.join("\n"))).unwrap();
        }
        let answer = send(&self.channel, call.clone(), ANSWER).await;
        self.findings.judge(&call, &answer);
        self.learn(&call, &answer);
        answer
    }

    /// Keeps what the server gave out.
    fn learn(&mut self, call: &Call, answer: &Answer) {
        let keep = |kept: &mut Vec<Bytes>, one: Bytes| {
            kept.push(one);
            (kept.len() > KEPT).then(|| kept.remove(0))
        };
        if let Some(cookie) = &answer.cookie
            && self.known.cookies.len() < 8
        {
            self.known.cookies.push(cookie.split(';').next().unwrap_or_default().to_owned());
        }
        let Ok([first, ..]) = answer.outcome.as_deref() else { return };
        match call.method {
            "GetFlightInfo" => {
                let info = FlightInfo::decode(first.clone()).unwrap();
                for ticket in info.endpoint.into_iter().filter_map(|e| e.ticket) {
                    keep(&mut self.known.tickets, ticket.ticket);
                }
            }
            "Handshake" => {
                let token = HandshakeResponse::decode(first.clone()).unwrap().payload;
                self.known.tokens.push(String::from_utf8(token.to_vec()).unwrap());
            }
            "DoAction" => {
                let result = arrow_flight::Result::decode(first.clone()).unwrap().body;
                let created = Any::decode(result).ok().and_then(|any| any.unpack().ok().flatten());
                if let Some(ActionCreatePreparedStatementResult { prepared_statement_handle, .. }) = created {
                    self.left_open.extend(keep(&mut self.known.handles, prepared_statement_handle));
                }
            }
            _ => {}
        }
    }

    /// Makes a call, and often fetches what it announces.
    async fn follow(&mut self, call: Call, fetch: bool) {
        let headers = call.headers.clone();
        let announces = call.method == "GetFlightInfo";
        let answer = self.ask(call).await;
        if announces
            && fetch
            && answer.outcome.is_ok()
            && let Some(ticket) = self.known.tickets.last().cloned()
        {
            self.ask(Call { headers, ..fetch_call(ticket) }).await;
        }
    }

    /// Whether the server still answers. All workers are one user to it: another's statements may have taken the room.
    async fn check(&mut self) {
        for handle in std::mem::take(&mut self.left_open) {
            self.ask(close_call(handle)).await;
        }
        for _ in 0..50 {
            match self.fetch_one().await {
                Ok(()) => return,
                Err(status) if matches!(status.code(), Code::ResourceExhausted | Code::NotFound) => {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                Err(status) => panic!("{status:?}"),
            }
        }
        panic!("there was no room for a statement for ten seconds");
    }

    async fn fetch_one(&mut self) -> Result<(), Status> {
        let info = self.ask(statement_call("SELECT 1")).await.outcome?;
        let info = FlightInfo::decode(info[0].clone()).unwrap();
        let ticket = info.endpoint[0].ticket.clone().unwrap().ticket;
        self.ask(fetch_call(ticket)).await.outcome.map(drop)
    }
}

fn variable(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |value| value.parse().unwrap())
}

async fn workers(count: u64) -> (Vec<Worker>, Arc<Findings>) {
    watch_panics();
    let (http, engine) = start().await;
    let findings = Arc::new(Findings::default());
    let functions: Vec<String> =
        portolan_engine::server::functions(&engine).into_iter().map(|(name, _)| name).collect();
    let mut all = vec![];
    for number in 0..count {
        let trace = std::env::var("PORTOLAN_FUZZ_TRACE").ok();
        let trace = trace.map(|folder| PathBuf::from(folder).join(format!("worker{number}")));
        let known = ServerValues { functions: functions.clone(), ..ServerValues::default() };
        all.push(Worker { channel: connect(&http).await, known, left_open: vec![], findings: findings.clone(), trace });
    }
    (all, findings)
}

/// Whether it is a panic of Arrow's decoder at a malformed message, which the upload's or the keys' reader catches: what
/// it becomes is judged by the status.
fn is_caught(place: &str) -> bool {
    ["arrow-ipc-", "arrow-buffer-", "arrow-data-", "arrow-array-"].iter().any(|name| place.contains(name))
}

fn report(findings: &Findings) {
    for (code, count) in findings.codes.lock().unwrap().iter() {
        eprintln!("{count:>8} {code}");
    }
    let peak = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = peak.lines().find_map(|line| line.strip_prefix("VmHWM:")).map(|kib| kib.trim().to_owned());
    let peak = peak.and_then(|kib| kib.split(' ').next()?.parse::<u64>().ok()).unwrap_or_default();
    eprintln!("at most {peak} KiB of memory");
    let panics = PANICS.lock().unwrap().clone();
    let statuses = findings.statuses.lock().unwrap().clone();
    let (caught, panics): (Vec<_>, Vec<_>) = panics.into_iter().partition(|(what, _)| is_caught(what));
    for (what, count) in caught {
        eprintln!("{count:>8} caught at {what}");
    }
    let panicked: Vec<String> = panics.iter().map(|(what, count)| format!("{count} panics at {what}")).collect();
    let blamed: Vec<String> = statuses.iter().map(|(what, call)| format!("{what}\n    {call}")).collect();
    assert!(panicked.is_empty() && blamed.is_empty(), "{}\n\n{}", panicked.join("\n"), blamed.join("\n"));
    assert!(peak < MEMORY, "{peak} KiB of memory were taken");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_request_is_answered() {
    let (requests, seed) = (variable("PORTOLAN_FUZZ_REQUESTS", 3000), variable("PORTOLAN_FUZZ_SEED", 1));
    let (workers, findings) = workers(WORKERS).await;
    let running = workers.into_iter().zip(0..).map(|(mut worker, number): (Worker, u64)| {
        tokio::spawn(async move {
            for request in (number..requests).step_by(WORKERS as usize) {
                let mut random = StdRng::seed_from_u64(seed.wrapping_mul(1 << 32).wrapping_add(request));
                let call = call(&mut random, &worker.known);
                worker.follow(call, random.random_bool(0.5)).await;
                if request % 500 < WORKERS {
                    worker.check().await;
                }
            }
            worker.check().await;
        })
    });
    for ended in futures::future::join_all(running).await {
        ended.unwrap();
    }
    report(&findings);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oversized_statements_are_answered() {
    let (workers, findings) = workers(2).await;
    let from = variable("PORTOLAN_FUZZ_FROM", 0) as usize;
    let sizes: &[usize] = match std::env::var("PORTOLAN_FUZZ_REQUESTS") {
        Ok(_) => &[60, 400, 980, 1_900, 3_900, 30_000, 300_000],
        Err(_) => &[60, 20_000],
    };
    let left = Arc::new(Mutex::new(statements::extremes(sizes).into_iter().skip(from).collect::<VecDeque<_>>()));
    let running = workers.into_iter().map(|mut worker| {
        let left = left.clone();
        tokio::spawn(async move {
            loop {
                let Some(sql) = left.lock().unwrap().pop_front() else { break };
                let start = std::time::Instant::now();
                worker.follow(statement_call(&sql), true).await;
                if std::env::var("PORTOLAN_FUZZ_TRACE").is_ok() {
                    eprintln!("{:?} {} {}", start.elapsed(), sql.len(), sql.chars().take(80).collect::<String>());
                }
            }
            worker.check().await;
        })
    });
    for ended in futures::future::join_all(running).await {
        ended.unwrap();
    }
    report(&findings);
}
