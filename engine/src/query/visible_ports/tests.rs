//! Tests of the ports that principals see: at their owner, and through a gateway.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::util::pretty::pretty_format_batches;
use portolan_connectors::{CatalogAnswer, LocalDomain};

use crate::fake_mesh::OwnerPeer;
use crate::server::{CatalogReader, catalog_for, is_current, mesh_of};
use crate::{Engine, Error, ErrorKind, Principal, Result, Session};

/// Staff may describe and read the vault. Guests may read the items, and not know of them.
const POLICIES: &str = r#"
permit(principal, action == Action::"read", resource is sales::p::items);
permit(principal in Group::"staff", action in [Action::"read", Action::"describe"], resource is sales::p::vault);
forbid(principal in Group::"guests", action == Action::"describe", resource is sales::p::items);
permit(principal in Group::"auditors", action, resource)
when { context has purpose && context.purpose == "audit" };
"#;
/// The same without rules about describing.
const ONLY_READING: &str = r#"
permit(principal, action == Action::"read", resource is sales::p::items);
permit(principal in Group::"staff", action, resource is sales::p::vault);
"#;

fn domain(policies: &str) -> LocalDomain {
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    let rows = RecordBatch::try_from_iter([("id", ids)]).unwrap();
    OwnerPeer::domain("sales", &[("items", rows.clone()), ("vault", rows)], policies)
}

async fn gateway_of(owner: &Arc<OwnerPeer>) -> Engine {
    let gateway = Engine::builder().cpu_threads(2).peer(owner.clone()).build().unwrap();
    gateway.refresh().await;
    gateway
}

async fn run(session: &Session, sql: &str) -> Result<String> {
    let batches = session.sql(sql).await?.collect().await?;
    Ok(pretty_format_batches(&batches).unwrap().to_string())
}

async fn shown(session: &Session, sql: &str) -> String {
    run(session, sql).await.unwrap_or_else(|e| panic!("{sql}: {}", e.chain()))
}

async fn failed(session: &Session, sql: &str) -> Error {
    match run(session, sql).await {
        Ok(rows) => panic!("{sql}: {rows}"),
        Err(error) => error,
    }
}

fn member(group: &str) -> Principal {
    Principal::new(format!("one of {group}")).with_groups([group])
}

/// The ports that the members of a group see.
const SHOWN: &[(&str, &[&str])] = &[("staff", &["items", "vault"]), ("others", &["items"]), ("guests", &[])];

/// Queries that list ports, products and domains.
const LISTS: &[&str] = &[
    "SELECT * FROM mesh.ports",
    "SELECT * FROM mesh.columns",
    "SELECT domain, products, ports FROM mesh.domains",
    "SELECT domain, product, ports FROM mesh.products",
    "SELECT domains FROM mesh.nodes",
    "SELECT table_catalog, table_schema, table_name FROM information_schema.tables",
    "SELECT * FROM information_schema.columns",
    "SELECT * FROM information_schema.schemata",
    "SHOW TABLES",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn principals_see_the_ports_that_they_may_describe() {
    let owner = OwnerPeer::of(domain(POLICIES));
    let gateway = gateway_of(&owner).await;
    for engine in [&owner.engine, &gateway] {
        for (group, ports) in SHOWN {
            let session = engine.session(member(group));
            for sql in LISTS {
                let text = shown(&session, sql).await;
                for port in ["items", "vault"] {
                    let lists_ports =
                        !sql.contains("domains") && !sql.contains("products") && !sql.contains("schemata");
                    let expected = lists_ports && ports.contains(&port);
                    assert_eq!(text.contains(port), expected, "{group}: {sql}\n{text}");
                }
                let is_empty = ports.is_empty();
                assert!(!is_empty || !text.contains("sales"), "{group}: {sql}\n{text}");
            }
            let listed = mesh_of(&session).await;
            let names: Vec<_> = listed.ports().map(|port| port.name.port.as_str()).collect();
            assert_eq!(names, *ports, "{group}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hidden_port_is_like_one_that_does_not_exist() {
    let owner = OwnerPeer::of(domain(POLICIES));
    let gateway = gateway_of(&owner).await;
    for engine in [&owner.engine, &gateway] {
        for group in ["others", "guests"] {
            let session = engine.session(member(group));
            for sql in [
                "SELECT id FROM sales.p.vault",
                "SELECT count(*) FROM sales.p.vault WHERE 1 / id > 0",
                "EXPLAIN SELECT id FROM sales.p.vault",
                "EXPLAIN (POLICY) SELECT id FROM sales.p.vault",
                "DESCRIBE sales.p.vault",
                "SHOW COLUMNS FROM sales.p.vault",
                "INSERT INTO sales.p.vault VALUES (1)",
                "CREATE TABLE t AS SELECT * FROM sales.p.vault",
            ] {
                let error = failed(&session, sql).await;
                assert_ne!(error.kind(), ErrorKind::PermissionDenied, "{sql}: {}", error.chain());
                let other = failed(&session, &sql.replace("vault", "vaulx")).await;
                assert_eq!(error.kind(), other.kind(), "{sql}");
                assert_eq!(error.chain().replace("vault", "vaulx"), other.chain(), "{sql}");
            }
            let near = failed(&session, "SELECT id FROM sales.p.vaults").await;
            assert!(!near.chain().contains("vault`"), "{}", near.chain());
        }
        let guest = engine.session(member("guests"));
        assert_eq!(failed(&guest, "SELECT id FROM sales.p.items").await.kind(), ErrorKind::NotFound);
        assert_eq!(failed(&guest, "SET catalog = 'sales'").await.kind(), ErrorKind::NotFound);
        let staff = engine.session(member("staff"));
        assert!(shown(&staff, "SELECT count(*) FROM sales.p.vault").await.contains("| 3 "));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_rule_about_describing_every_port_is_shown() {
    let owner = OwnerPeer::of(domain(ONLY_READING));
    let gateway = gateway_of(&owner).await;
    // Nobody is asked.
    owner.is_silent.store(true, Ordering::Relaxed);
    for engine in [&owner.engine, &gateway] {
        let session = engine.session(member("others"));
        assert!(shown(&session, "SELECT port FROM mesh.ports").await.contains("vault"));
        let error = failed(&session, "SELECT id FROM sales.p.vault").await;
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{}", error.chain());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ports_of_a_silent_owner_are_not_shown() {
    let owner = OwnerPeer::of(domain(POLICIES));
    owner.is_silent.store(true, Ordering::Relaxed);
    let gateway = gateway_of(&owner).await;
    let session = gateway.session(member("staff"));
    assert!(!shown(&session, "SELECT port FROM mesh.ports").await.contains("items"));
    assert_eq!(failed(&session, "SELECT id FROM sales.p.vault").await.kind(), ErrorKind::NotFound);
    // Another principal is not affected by the answer for this one.
    owner.is_silent.store(false, Ordering::Relaxed);
    let other = gateway.session(Principal::new("another").with_groups(["staff"]));
    assert!(shown(&other, "SELECT port FROM mesh.ports").await.contains("vault"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_purpose_and_new_policies_decide_at_once_at_the_owner() {
    let owner = OwnerPeer::of(domain(POLICIES));
    let session = owner.engine.session(member("auditors"));
    let ports = "SELECT port FROM mesh.ports";
    let statement = session.prepare(ports).await.unwrap();
    assert!(is_current(&statement) && !shown(&session, ports).await.contains("vault"));
    session.set("portolan.purpose", "audit").unwrap();
    assert!(!is_current(&statement));
    let rows = statement.execute(&[]).await.unwrap().collect().await.unwrap();
    assert!(pretty_format_batches(&rows).unwrap().to_string().contains("vault"));
    session.reset("portolan.purpose").unwrap();
    assert!(is_current(&statement) && !shown(&session, ports).await.contains("vault"));

    let staff = owner.engine.session(member("staff"));
    let vault = staff.prepare("SELECT count(*) FROM sales.p.vault").await.unwrap();
    let hidden = format!("{POLICIES}\nforbid(principal, action == Action::\"describe\", resource is sales::p::vault);");
    owner.engine.replace_local_domain(domain(&hidden));
    assert!(!is_current(&vault));
    assert_eq!(vault.execute(&[]).await.err().map(|e| e.kind()), Some(ErrorKind::NotFound));
    owner.engine.replace_local_domain(domain(ONLY_READING));
    vault.execute(&[]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_owner_checks_fragments_of_gateways_that_do_not_ask() {
    let owner = OwnerPeer::of(domain(POLICIES));
    owner.is_older.store(true, Ordering::Relaxed);
    let gateway = gateway_of(&owner).await;
    let session = gateway.session(member("others"));
    let error = failed(&session, "SELECT id FROM sales.p.vault").await;
    assert_eq!(error.kind(), ErrorKind::NotFound, "{}", error.chain());
    assert!(error.chain().contains("there is no port `sales.p.vault` here"), "{}", error.chain());
    let staff = gateway.session(member("staff"));
    assert!(shown(&staff, "SELECT count(*) FROM sales.p.vault").await.contains("| 3 "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn catalogs_for_callers_that_are_no_trusted_nodes_lack_hidden_ports() {
    let owner = OwnerPeer::of(domain(POLICIES));
    // The sender of a fragment chooses the id of the query, also the name of a port.
    let salt = owner.engine.inner().governance.salt("sales.p.vault");
    let salt: String = salt.as_bytes().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let ports =
        |principal: &Principal, known: Option<&str>, reader| match catalog_for(&owner.engine, principal, known, reader)
        {
            CatalogAnswer::Unchanged => None,
            CatalogAnswer::Changed { version, domains, .. } => {
                let text = serde_json::to_string(&domains).unwrap();
                assert!(!version.contains("vault") && !version.contains(&salt));
                assert!(
                    domains.iter().any(|catalog| version.contains(catalog.domain.as_str()))
                        || !version.contains("sales")
                );
                Some((version, text.contains("items"), text.contains("vault")))
            }
        };
    for (reader, group, expected) in [
        (CatalogReader::TrustedNode, "guests", (true, true)),
        (CatalogReader::Node, "staff", (true, true)),
        (CatalogReader::Node, "others", (true, false)),
        (CatalogReader::Other, "others", (true, false)),
        (CatalogReader::Other, "guests", (false, false)),
    ] {
        let (version, items, vault) = ports(&member(group), None, reader).unwrap();
        assert_eq!((items, vault), expected, "{reader:?} {group}");
        assert!(ports(&member(group), Some(&version), reader).is_none());
        let other = if group == "staff" { "others" } else { "staff" };
        if reader != CatalogReader::TrustedNode {
            assert!(ports(&member(other), Some(&version), reader).is_some(), "{group} {other}");
        }
    }
}
