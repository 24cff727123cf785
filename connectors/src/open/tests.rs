//! Sources that respond late or never: their ports stay closed, the other ports are open, and a later attempt opens what
//! responds by then.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::Mutex;

use arrow::datatypes::{DataType, Field, Schema};
use async_trait::async_trait;
use datafusion::catalog::MemTable;
use datafusion::error::DataFusionError;
use datafusion::prelude::SessionContext;
use portolan_catalog::Column;

use super::*;
use crate::error::{Error, ErrorKind};
use crate::poison::lock;

/// What a source does when its port is opened.
#[derive(Clone, Copy, Debug)]
enum Behaviour {
    Responds,
    NeverResponds,
    RefusesConnections,
    HasFaults,
}

/// Opens ports over no rows, according to the behaviour of each. A port without one responds.
#[derive(Debug, Default)]
struct FakeSources(Mutex<BTreeMap<String, Behaviour>>);

impl FakeSources {
    fn of(behaviours: &[(&str, Behaviour)]) -> Self {
        let sources = Self::default();
        behaviours.iter().for_each(|(port, behaviour)| sources.set(port, *behaviour));
        sources
    }

    fn set(&self, port: &str, behaviour: Behaviour) {
        lock(&self.0).insert(port.to_owned(), behaviour);
    }
}

#[async_trait]
impl SourceOpener for FakeSources {
    async fn open(&self, port: &Port, _: &Arc<RuntimeEnv>) -> Result<OpenedPort, OpenError> {
        let behaviour = lock(&self.0).get(port.name.port.as_str()).copied();
        match behaviour.unwrap_or(Behaviour::Responds) {
            Behaviour::Responds => {
                let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int32, true)]));
                let provider = Arc::new(MemTable::try_new(schema.clone(), vec![vec![]]).unwrap());
                Ok(OpenedPort { name: port.name.clone(), provider, schema, writer: None, site: None })
            }
            Behaviour::NeverResponds => std::future::pending().await,
            Behaviour::RefusesConnections => {
                Err(OpenError::Unavailable(at_source(port, "secret.example.org refused".to_owned())))
            }
            Behaviour::HasFaults => Err(at_source(port, "a column is missing".to_owned()).into()),
        }
    }
}

/// Returns a domain with these ports, each with a required column.
fn catalog(ports: &[&str]) -> DomainCatalog {
    let ports = ports.iter().map(|name| {
        let mut port = Port::new(PortRef::new("sales", "orders", *name));
        let mut column = Column::new("id");
        (column.nullable, column.logical_type) = (false, Some("integer".to_owned()));
        port.columns.push(column);
        port
    });
    DomainCatalog::new("sales", ports)
}

fn load_error(domain: &LocalDomain) -> Option<String> {
    domain.catalog.products.values().next().unwrap().load_error.clone()
}

fn column(domain: &LocalDomain, port: &str) -> Column {
    domain.catalog.ports().find(|p| p.name.port.as_str() == port).unwrap().columns[0].clone()
}

async fn rows(domain: &LocalDomain, port: &str) -> Result<usize, (ErrorKind, String)> {
    let context = SessionContext::new();
    let opened = domain.ports.iter().find(|p| p.name.port.as_str() == port).unwrap();
    context.register_table("t", opened.provider.clone()).unwrap();
    let read = context.sql("SELECT id FROM t WHERE id IS NULL").await.unwrap().collect().await;
    let batches = read.map_err(|error| match error.find_root() {
        DataFusionError::External(error) => {
            let error = error.downcast_ref::<Error>().unwrap();
            (error.kind(), error.context().to_owned())
        }
        other => panic!("not an error of ours: {other}"),
    })?;
    Ok(batches.iter().map(|batch| batch.num_rows()).sum())
}

const SOON: OpenOptions = OpenOptions { timeout: Duration::from_millis(100), requires_all: false };

#[tokio::test]
async fn a_source_that_does_not_respond_closes_its_port_alone() {
    use Behaviour::{NeverResponds, RefusesConnections, Responds};

    let (sources, runtime) = (FakeSources::of(&[("a", NeverResponds), ("b", RefusesConnections)]), Arc::default());
    let domain = open_domain_with(catalog(&["a", "b", "c"]), &sources, &runtime, SOON).await.unwrap();
    assert_eq!(domain.ports.iter().filter(|port| is_open(port)).count(), 1);
    assert_eq!(rows(&domain, "c").await.unwrap(), 0);
    let (kind, said) = rows(&domain, "a").await.unwrap_err();
    assert_eq!(kind, ErrorKind::SiteUnavailable);
    assert!(said.contains("port sales.orders.a is not open"), "{said}");
    // The catalog has a type for peers, and the contract's word for the next attempt.
    assert_eq!((column(&domain, "a").data_type, column(&domain, "a").nullable), (Some(DataType::Int64), false));
    let marked = load_error(&domain).unwrap();
    assert!(marked.contains("port sales.orders.a is not open") && marked.contains("sales.orders.b"), "{marked}");
    assert!(!marked.contains("sales.orders.c") && !marked.contains("secret.example.org"), "{marked}");

    assert!(open_again(&domain, &sources, &runtime, SOON.timeout).await.is_none());
    sources.set("a", Responds);
    let domain = open_again(&domain, &sources, &runtime, SOON.timeout).await.unwrap();
    assert_eq!(rows(&domain, "a").await.unwrap(), 0);
    assert_eq!((column(&domain, "a").data_type, column(&domain, "a").nullable), (Some(DataType::Int32), true));
    assert!(!load_error(&domain).unwrap().contains("sales.orders.a"));
    sources.set("b", Responds);
    let domain = open_again(&domain, &sources, &runtime, SOON.timeout).await.unwrap();
    assert_eq!(load_error(&domain), None);
    assert!(open_again(&domain, &sources, &runtime, SOON.timeout).await.is_none());
}

#[tokio::test]
async fn another_load_error_stays_while_a_port_opens() {
    let (sources, runtime) = (FakeSources::of(&[("a", Behaviour::RefusesConnections)]), Arc::default());
    let mut domain = open_domain_with(catalog(&["a"]), &sources, &runtime, SOON).await.unwrap();
    let mut reported = (*domain.catalog).clone();
    reported.products.values_mut().for_each(|product| product.load_error = Some("line 3: unknown key".to_owned()));
    domain.catalog = Arc::new(reported);
    sources.set("a", Behaviour::Responds);
    let domain = open_again(&domain, &sources, &runtime, SOON.timeout).await.unwrap();
    assert_eq!(load_error(&domain).as_deref(), Some("line 3: unknown key"));
    assert_eq!(rows(&domain, "a").await.unwrap(), 0);
}

#[tokio::test]
async fn a_source_that_responds_with_faults_stays_closed_until_they_are_fixed() {
    let (sources, runtime) = (FakeSources::of(&[("a", Behaviour::NeverResponds)]), Arc::default());
    let domain = open_domain_with(catalog(&["a"]), &sources, &runtime, SOON).await.unwrap();
    sources.set("a", Behaviour::HasFaults);
    let domain = open_again(&domain, &sources, &runtime, SOON.timeout).await.unwrap();
    assert!(load_error(&domain).unwrap().contains("faults"), "{:?}", load_error(&domain));
    assert!(open_again(&domain, &sources, &runtime, SOON.timeout).await.is_none(), "nothing has changed");
    sources.set("a", Behaviour::Responds);
    assert_eq!(load_error(&open_again(&domain, &sources, &runtime, SOON.timeout).await.unwrap()), None);
}

#[tokio::test]
async fn faults_and_required_sources_are_errors() {
    let runtime = Arc::default();
    let sources = FakeSources::of(&[("a", Behaviour::HasFaults), ("b", Behaviour::NeverResponds)]);
    let refused = open_domain_with(catalog(&["a", "b"]), &sources, &runtime, SOON).await.unwrap_err();
    assert_eq!(refused.0.len(), 1, "{refused}");
    let strict = OpenOptions { requires_all: true, ..SOON };
    let refused = open_domain_with(catalog(&["a", "b"]), &sources, &runtime, strict).await.unwrap_err().to_string();
    assert!(
        refused.contains("a column is missing") && refused.contains("port sales.orders.b: its source"),
        "{refused}"
    );
}

#[tokio::test]
async fn ports_that_hang_do_not_hold_up_others() {
    let names: Vec<String> = (0..3 * OPENINGS).map(|i| format!("p{i:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (hanging, last) = (catalog(&names), catalog(&["last"]));
    let (sources, runtime) = (FakeSources::default(), Arc::default());
    names.iter().for_each(|name| sources.set(name, Behaviour::NeverResponds));
    let slots = Slots { free: Semaphore::new(OPENINGS), patience: Duration::from_millis(10) };
    let minute = Duration::from_secs(60);
    let hanging = hanging.ports().map(|port| open_in_slot(port, &sources, &runtime, &slots, minute));
    tokio::select! {
        biased;
        _ = join_all(hanging.collect::<Vec<_>>()) => panic!("these ports hang"),
        opened = open_in_slot(last.ports().next().unwrap(), &sources, &runtime, &slots, minute) => drop(opened.unwrap()),
        () = tokio::time::sleep(minute / 2) => panic!("the last port waits for the others"),
    }
}
