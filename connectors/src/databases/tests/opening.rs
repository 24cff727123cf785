//! Opens ports: what is refused, what recovers, and where statistics come from.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::Duration;

use datafusion::execution::runtime_env::RuntimeEnv;
use portolan_catalog::{DatabaseKind, DatabaseRelation, PortName, PortStatistics, ProductName};

use super::fake::{Content, Mood, domain, port, table};
use crate::databases::DatabaseSources;
use crate::poison::lock;
use crate::source::{OpenError, OpenedPort, SourceOpener};
use crate::{OpenOptions, changed_ports, is_open, open_again, open_domain, open_domain_with, ports_with_errors};

async fn refused(sources: &DatabaseSources, port: &portolan_catalog::Port) -> OpenError {
    sources.open(port, &Arc::default()).await.unwrap_err()
}

#[tokio::test]
async fn the_ports_of_a_database_share_its_site() {
    let content = Arc::new(Content::default());
    let sources = content.sources(&[]);
    let runtime = Arc::new(RuntimeEnv::default());
    let orders = sources.open(&table("orders"), &runtime).await.unwrap();
    let query = DatabaseRelation::Query("SELECT 1 AS id, 'a' AS name".to_owned());
    let constants = sources.open(&port("constants", "db", query), &runtime).await.unwrap();
    let (first, second) = (orders.site.unwrap(), constants.site.unwrap());
    assert!(Arc::ptr_eq(&first.site, &second.site));
    assert!(first.site.id().as_str().starts_with("postgres://shop/shop"), "{}", first.site.id());
    assert_eq!(content.connections.load(Ordering::Relaxed), 1);
    assert_eq!(first.table.from, "\"public\".\"orders\"");
    assert_eq!(second.table.from, "(SELECT 1 AS id, 'a' AS name\n)");
    let nullable: Vec<bool> = orders.schema.fields().iter().map(|field| field.is_nullable()).collect();
    assert_eq!(nullable, [false, true]);
    // Nobody uses the database any more.
    drop((first, second, orders.provider, constants.provider));
    sources.open(&table("orders"), &runtime).await.unwrap();
    assert_eq!(content.connections.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn another_host_is_refused_before_a_connection() {
    let content = Arc::new(Content::default());
    let sources = content.sources(&[]);
    let relation = DatabaseRelation::Table { schema: None, name: "orders".to_owned() };
    let error = refused(&sources, &port("orders", "evil.example", relation)).await;
    let shown = error.to_string();
    assert!(shown.contains("`evil.example:5432`") && shown.contains("names `db`"), "{shown}");
    let public = error.description();
    assert!(!public.contains("evil") && !public.contains("`db`") && public.contains("orders.yaml:4"), "{public}");
    let without = DatabaseSources::default();
    let error = refused(&without, &table("orders")).await;
    assert!(error.to_string().contains("add `sources.shop.database` with `host` and `user`"), "{error}");
    assert_eq!(content.connections.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn faults_of_a_table_have_their_place() {
    let content = Arc::new(Content::default());
    let sources = content.sources(&[]);
    let error = refused(&sources, &table("gone")).await;
    assert_eq!(error.to_string(), "/srv/orders.yaml:4: PostgreSQL `shop`: there is no table `gone`");
    assert!(!error.is_unavailable());
    let mut port = table("orders");
    port.columns[1].name = "nme".to_owned();
    let error = refused(&sources, &port).await;
    assert_eq!(
        error.description(),
        "orders.yaml:4: column `nme` is not in the database, or the account may not read it; did you mean `name`?"
    );
    let built_without = sources.clone().with_drivers(Arc::new(|_, _, _, _| Ok(None)));
    let error = refused(&built_without, &table("orders")).await;
    assert!(error.to_string().contains("the cargo feature `postgres`"), "{error}");
}

#[tokio::test]
async fn a_port_recovers_with_its_database() {
    let content = Arc::new(Content::default());
    let (sources, runtime) = (content.sources(&[]), Arc::new(RuntimeEnv::default()));
    content.set(Mood::Down);
    let declared = domain([table("orders")]);
    let options = OpenOptions { requires_all: false, ..OpenOptions::default() };
    let served = open_domain_with(declared.clone(), &sources, &runtime, options).await.unwrap();
    assert!(!is_open(&served.ports[0]));
    let reason = served.catalog.ports().next().unwrap().load_error.clone().unwrap();
    assert_eq!(reason, "port sales.orders.orders is not open: its source did not respond, and the node tries again");
    let error = refused(&sources, &table("orders")).await;
    assert!(error.is_unavailable() && error.to_string().contains("postgres://db:5432/shop does not respond"));

    let attempt = async || {
        let published = Mutex::new(vec![]);
        let (wanted, limit) = (ports_with_errors(&served), Duration::from_secs(10));
        open_again(&declared, &served, &wanted, &sources, &runtime, limit, |retried| {
            lock(&published).extend(retried.to_vec());
        })
        .await;
        published.into_inner().unwrap()
    };
    assert!(attempt().await.is_empty());
    content.set(Mood::Works);
    let retried = attempt().await;
    assert!(is_open(&served.with_retried(&retried).ports[0]));
}

#[tokio::test]
async fn a_table_that_was_altered_is_opened_again() {
    let content = Arc::new(Content::default());
    let (sources, runtime) = (content.sources(&[]), Arc::new(RuntimeEnv::default()));
    let served = open_domain(domain([table("orders")]), &sources, &runtime).await.unwrap();
    let opened = served.ports[0].clone();
    let changed = async || {
        tokio::time::sleep(Duration::from_millis(1100)).await;
        changed_ports(&served, &sources, &runtime).await
    };
    let same = changed().await;
    assert!(same.statistics.is_empty() && same.unreadable.is_empty());
    lock(&content.altered).insert("name".to_owned(), "boolean".to_owned());
    assert_eq!(changed().await.unreadable, BTreeSet::from([opened.name.clone()]));
    let error = refused(&sources, &table("orders")).await;
    assert!(error.to_string().ends_with("column `name` is string here and boolean in the database"), "{error}");
}

#[tokio::test]
async fn statistics_come_from_the_database_or_from_a_sample() {
    let content = Arc::new(Content::default());
    let (sources, runtime) = (content.sources(&[]), Arc::new(RuntimeEnv::default()));
    let of = async || -> PortStatistics {
        let served = open_domain(domain([table("orders")]), &sources, &runtime).await.unwrap();
        let port = served.catalog.port(&ProductName::new("orders"), &PortName::new("orders")).unwrap();
        (*port.statistics).clone()
    };
    let sampled = of().await;
    assert_eq!((sampled.rows, sampled.bytes, sampled.columns["id"].distinct), (Some(3), Some(8192), Some(3)));
    assert!(lock(&content.queries)[0].contains("LIMIT"), "{:?}", lock(&content.queries));
    lock(&content.queries).clear();
    *lock(&content.has_statistics) = true;
    let known = of().await;
    assert_eq!(
        (known.rows, known.columns["name"].distinct, known.columns["name"].nulls),
        (Some(1000), Some(2), Some(500))
    );
    assert_eq!(known.columns["id"].width, Some(8.0));
    assert!(known.data_version.is_some() && lock(&content.queries).is_empty());
}

#[test]
fn without_a_runtime_nothing_connects() {
    let content = Arc::new(Content::default());
    let opened = futures::executor::block_on(content.sources(&[]).open(&table("orders"), &Arc::default()));
    let error: OpenError = opened.map(|_: OpenedPort| ()).unwrap_err();
    assert!(error.to_string().contains("connections need a tokio runtime"), "{error}");
    assert_eq!(crate::databases::connect::feature(DatabaseKind::MariaDb), "mysql");
}
