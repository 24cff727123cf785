//! Sources that respond late or never, or have faults: their ports stay closed or keep their last good version, the other
//! ports are open, and a later attempt opens what can be opened by then.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use arrow::datatypes::{DataType, Field, Schema};
use async_trait::async_trait;
use datafusion::catalog::MemTable;
use datafusion::error::DataFusionError;
use datafusion::prelude::SessionContext;
use portolan_catalog::{Column, Place, PortName, PortSource, QuerySource, SourceKind};

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

fn entry<'a>(domain: &'a LocalDomain, port: &str) -> &'a Port {
    domain.catalog.ports().find(|p| p.name.port.as_str() == port).unwrap()
}

fn load_error(domain: &LocalDomain, port: &str) -> Option<String> {
    entry(domain, port).load_error.clone()
}

/// Opens again the ports that could not be opened, and those that cannot be read.
async fn again(
    declared: &[&str],
    domain: &LocalDomain,
    unreadable: &[&str],
    sources: &FakeSources,
    runtime: &Arc<RuntimeEnv>,
) -> Option<LocalDomain> {
    let unreadable = unreadable.iter().map(|port| PortRef::new("sales", "orders", *port));
    let wanted = ports_with_errors(domain).into_iter().chain(unreadable).collect();
    tried_again(&catalog(declared), domain, &wanted, sources, runtime).await
}

async fn tried_again(
    declared: &DomainCatalog,
    domain: &LocalDomain,
    wanted: &BTreeSet<PortRef>,
    sources: &FakeSources,
    runtime: &Arc<RuntimeEnv>,
) -> Option<LocalDomain> {
    let changed: Mutex<Option<LocalDomain>> = Mutex::default();
    let publish = |retried: &[RetriedPort]| {
        let mut changed = lock(&changed);
        *changed = Some(changed.as_ref().unwrap_or(domain).with_retried(retried));
    };
    open_again(declared, domain, wanted, sources, runtime, SOON.timeout, publish).await;
    changed.into_inner().unwrap()
}

fn column(domain: &LocalDomain, port: &str) -> Column {
    entry(domain, port).columns[0].clone()
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

    let all = ["a", "b", "c"];
    let (sources, runtime) = (FakeSources::of(&[("a", NeverResponds), ("b", RefusesConnections)]), Arc::default());
    let domain = open_domain_with(catalog(&all), &sources, &runtime, SOON).await.unwrap();
    assert_eq!(domain.ports.iter().filter(|port| is_open(port)).count(), 1);
    assert_eq!(rows(&domain, "c").await.unwrap(), 0);
    let (kind, said) = rows(&domain, "a").await.unwrap_err();
    assert_eq!(kind, ErrorKind::SiteUnavailable);
    assert_eq!(said, "port sales.orders.a is not open: its source did not respond, and the node tries again");
    // The catalog has a type for peers, and the contract's word for the next attempt.
    assert_eq!((column(&domain, "a").data_type, column(&domain, "a").nullable), (Some(DataType::Int64), false));
    assert_eq!(load_error(&domain, "a"), Some(said));
    let marked = load_error(&domain, "b").unwrap();
    assert!(marked.contains("port sales.orders.b is not open") && !marked.contains("secret.example.org"), "{marked}");
    assert_eq!(load_error(&domain, "c"), None);

    assert!(again(&all, &domain, &[], &sources, &runtime).await.is_none());
    sources.set("a", Responds);
    let domain = again(&all, &domain, &[], &sources, &runtime).await.unwrap();
    assert_eq!(rows(&domain, "a").await.unwrap(), 0);
    assert_eq!((column(&domain, "a").data_type, column(&domain, "a").nullable), (Some(DataType::Int32), true));
    assert_eq!(load_error(&domain, "a"), None);
    assert!(load_error(&domain, "b").is_some());
    sources.set("b", Responds);
    let domain = again(&all, &domain, &[], &sources, &runtime).await.unwrap();
    assert_eq!(load_error(&domain, "b"), None);
    assert!(again(&all, &domain, &[], &sources, &runtime).await.is_none());
}

#[tokio::test]
async fn a_derived_port_is_left_to_the_engine() {
    let mut declared = catalog(&["a", "b"]);
    let product = declared.products.values_mut().next().unwrap();
    product.ports.get_mut(&PortName::new("b")).unwrap().source = Some(PortSource {
        server: String::new(),
        kind: SourceKind::Query(QuerySource::new("SELECT id FROM orders.a")),
        declared_at: BTreeMap::new(),
        place: Place::default(),
    });
    let (sources, runtime) = (FakeSources::of(&[("b", Behaviour::HasFaults)]), Arc::default());
    let domain = open_domain(declared.clone(), &sources, &runtime).await.unwrap();
    let opened: Vec<_> = domain.ports.iter().map(|port| port.name.port.as_str()).collect();
    assert_eq!(opened, ["a"]);
    assert_eq!(load_error(&domain, "b"), None);
    let all = BTreeSet::from(["a", "b"].map(|port| PortRef::new("sales", "orders", port)));
    let again = tried_again(&declared, &domain, &all, &sources, &runtime).await.unwrap();
    assert_eq!((again.ports.len(), load_error(&again, "b")), (1, None));
}

#[tokio::test]
async fn an_error_of_the_product_stays_while_a_port_opens() {
    let (sources, runtime) = (FakeSources::of(&[("a", Behaviour::RefusesConnections)]), Arc::default());
    let mut domain = open_domain_with(catalog(&["a"]), &sources, &runtime, SOON).await.unwrap();
    let mut reported = (*domain.catalog).clone();
    reported.products.values_mut().for_each(|product| product.load_error = Some("line 3: unknown key".to_owned()));
    domain.catalog = Arc::new(reported);
    sources.set("a", Behaviour::Responds);
    let domain = again(&["a"], &domain, &[], &sources, &runtime).await.unwrap();
    let product = domain.catalog.products.values().next().unwrap();
    assert_eq!(product.load_error.as_deref(), Some("line 3: unknown key"));
    assert_eq!(rows(&domain, "a").await.unwrap(), 0);
}

#[tokio::test]
async fn a_port_with_faults_is_closed_alone_until_they_are_fixed() {
    let (sources, runtime) = (FakeSources::of(&[("a", Behaviour::HasFaults)]), Arc::default());
    let domain = open_domain_with(catalog(&["a", "b"]), &sources, &runtime, SOON).await.unwrap();
    assert_eq!(rows(&domain, "b").await.unwrap(), 0);
    let (kind, said) = rows(&domain, "a").await.unwrap_err();
    assert_eq!(kind, ErrorKind::SiteUnavailable);
    assert!(said.starts_with("port sales.orders.a is not open: ") && said.ends_with("a column is missing"), "{said}");
    assert_eq!(load_error(&domain, "a"), Some(said));
    assert!(again(&["a", "b"], &domain, &[], &sources, &runtime).await.is_none(), "nothing has changed");
    // The reason follows the source.
    sources.set("a", Behaviour::RefusesConnections);
    let domain = again(&["a", "b"], &domain, &[], &sources, &runtime).await.unwrap();
    assert!(load_error(&domain, "a").unwrap().contains("did not respond"));
    sources.set("a", Behaviour::Responds);
    let domain = again(&["a", "b"], &domain, &[], &sources, &runtime).await.unwrap();
    assert_eq!((load_error(&domain, "a"), rows(&domain, "a").await.unwrap()), (None, 0));
}

#[tokio::test]
async fn an_open_port_keeps_its_last_good_version() {
    let (sources, runtime) = (FakeSources::default(), Arc::default());
    let domain = open_domain_with(catalog(&["a", "b"]), &sources, &runtime, SOON).await.unwrap();
    sources.set("a", Behaviour::HasFaults);
    let reload = async |domain: &LocalDomain, may_stay: bool| {
        reopen_domain(catalog(&["a", "b", "c"]), domain, |_| may_stay, &sources, &runtime, SOON.timeout).await
    };
    let reloaded = reload(&domain, true).await;
    let marked = load_error(&reloaded, "a").unwrap();
    assert!(marked.starts_with("port sales.orders.a: the last good version is in use: "), "{marked}");
    assert!(marked.ends_with("a column is missing"), "{marked}");
    for port in ["a", "b", "c"] {
        assert_eq!(rows(&reloaded, port).await.unwrap(), 0, "{port}");
    }
    // Another source of the port may not be what the owner permits.
    let strict = reload(&domain, false).await;
    assert!(load_error(&strict, "a").unwrap().contains("is not open"));
    rows(&strict, "a").await.unwrap_err();

    sources.set("a", Behaviour::Responds);
    let fixed = again(&["a", "b", "c"], &reloaded, &[], &sources, &runtime).await.unwrap();
    assert_eq!(load_error(&fixed, "a"), None);
}

#[tokio::test]
async fn a_port_whose_data_has_changed_is_checked_again() {
    let (sources, runtime) = (FakeSources::default(), Arc::default());
    let domain = open_domain_with(catalog(&["a"]), &sources, &runtime, SOON).await.unwrap();
    sources.set("a", Behaviour::HasFaults);
    assert!(again(&["a"], &domain, &[], &sources, &runtime).await.is_none(), "nobody has seen a change");
    let marked = again(&["a"], &domain, &["a"], &sources, &runtime).await.unwrap();
    assert!(load_error(&marked, "a").unwrap().contains("the last good version is in use"));
    assert_eq!(rows(&marked, "a").await.unwrap(), 0);
    assert!(again(&["a"], &marked, &["a"], &sources, &runtime).await.is_none(), "the mark is there");
    // Queries report a source that does not respond, and succeed as soon as it responds.
    sources.set("a", Behaviour::RefusesConnections);
    assert!(again(&["a"], &domain, &["a"], &sources, &runtime).await.is_none());
    sources.set("a", Behaviour::Responds);
    assert_eq!(load_error(&again(&["a"], &marked, &[], &sources, &runtime).await.unwrap(), "a"), None);
}

#[tokio::test]
async fn a_port_that_responds_does_not_wait_for_one_that_does_not() {
    use Behaviour::{NeverResponds, RefusesConnections, Responds};

    let (sources, runtime) = (FakeSources::of(&[("a", NeverResponds), ("b", RefusesConnections)]), Arc::default());
    let declared = catalog(&["a", "b"]);
    let domain = open_domain_with(declared.clone(), &sources, &runtime, SOON).await.unwrap();
    sources.set("b", Responds);
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let publish = |retried: &[RetriedPort]| sender.send(domain.with_retried(retried)).unwrap();
    let (wanted, minute) = (ports_with_errors(&domain), Duration::from_secs(60));
    tokio::select! {
        () = open_again(&declared, &domain, &wanted, &sources, &runtime, minute, publish) => panic!("`a` hangs"),
        changed = receiver.recv() => assert_eq!(rows(&changed.unwrap(), "b").await.unwrap(), 0),
    }
}

#[tokio::test]
async fn an_attempt_keeps_what_has_changed_in_the_meantime() {
    use Behaviour::{HasFaults, RefusesConnections, Responds};

    let (sources, runtime) = (FakeSources::of(&[("a", HasFaults), ("b", HasFaults)]), Arc::default());
    let declared = catalog(&["a", "b"]);
    let domain = open_domain_with(declared.clone(), &sources, &runtime, SOON).await.unwrap();
    sources.set("a", Responds);
    let newer = again(&["a", "b"], &domain, &[], &sources, &runtime).await.unwrap();
    // This attempt knows the domain from before.
    sources.set("a", RefusesConnections);
    sources.set("b", Responds);
    let wanted = ports_with_errors(&domain);
    let all: Mutex<Vec<RetriedPort>> = Mutex::default();
    let publish = |retried: &[RetriedPort]| lock(&all).extend_from_slice(retried);
    open_again(&declared, &domain, &wanted, &sources, &runtime, SOON.timeout, publish).await;
    let retried = all.into_inner().unwrap();
    assert_eq!(retried.len(), 2);
    let both = newer.with_retried(&retried);
    for port in ["a", "b"] {
        assert_eq!((load_error(&both, port), rows(&both, port).await.unwrap()), (None, 0), "{port}");
    }
    assert_ne!(both.catalog.version, newer.catalog.version);
}

#[tokio::test]
async fn a_last_good_version_protects_what_the_newest_one_protects() {
    let (sources, runtime) = (FakeSources::default(), Arc::default());
    let classified = |class: Option<&str>| {
        let mut declared = catalog(&["a"]);
        let port = declared.products.values_mut().next().unwrap().ports.values_mut().next().unwrap();
        port.columns[0].classification = class.map(str::to_owned);
        declared
    };
    let domain = open_domain(classified(None), &sources, &runtime).await.unwrap();
    sources.set("a", Behaviour::HasFaults);
    let reload = async |newest: DomainCatalog, domain: &LocalDomain| {
        reopen_domain(newest, domain, |_| true, &sources, &runtime, SOON.timeout).await
    };
    let restricted = reload(classified(Some("restricted")), &domain).await;
    assert_eq!(rows(&restricted, "a").await.unwrap(), 0);
    assert_eq!(column(&restricted, "a").classification.as_deref(), Some("restricted"));
    // What the last good version protects stays protected.
    let public = reload(classified(Some("public")), &restricted).await;
    assert_eq!(column(&public, "a").classification.as_deref(), Some("restricted"));
}

#[tokio::test]
async fn required_ports_are_errors_all_at_once() {
    let runtime = Arc::default();
    let sources = FakeSources::of(&[("a", Behaviour::HasFaults), ("b", Behaviour::NeverResponds)]);
    let strict = OpenOptions { requires_all: true, ..SOON };
    let refused = open_domain_with(catalog(&["a", "b", "c"]), &sources, &runtime, strict).await.unwrap_err();
    assert_eq!(refused.0.len(), 2, "{refused}");
    let refused = refused.to_string();
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
