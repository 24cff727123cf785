//! Tests of a catalog's version, of the types that open sources add, and of statistics that not every caller gets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;
use std::sync::Arc;

use super::*;
use crate::statistics::StatisticValue;

fn catalog() -> DomainCatalog {
    let mut port = Port::new(PortRef::new("sales", "orders", "orders"));
    for name in ["id", "note"] {
        port.columns.push(Column { nullable: false, ..Column::new(name) });
    }
    let mut product = Product::new("orders");
    product.ports.insert(PortName::new("orders"), port);
    let products = BTreeMap::from([(product.name.clone(), product)]);
    DomainCatalog { domain: DomainName::new("sales"), version: String::new(), products, policies: None }.with_version()
}

#[test]
fn the_digest_of_the_policies_is_a_part_of_the_version() {
    let catalog = catalog();
    assert!(!serde_json::to_string(&catalog).unwrap().contains("policies"), "as an older node sends it");
    let (first, second) = (catalog.clone().with_policies("1:0"), catalog.clone().with_policies("1:1"));
    assert!(catalog.version != first.version && first.version != second.version);
    assert_eq!(first.policies.as_ref().unwrap().len(), 64);
    assert_eq!(first, catalog.with_policies("1:0"));
}

#[test]
fn the_version_follows_the_content() {
    let catalog = catalog();
    assert_eq!(catalog.version.len(), 64);
    assert_eq!(catalog.version, catalog.clone().with_version().version);
    let mut other = catalog.clone();
    other.products.get_mut(&ProductName::new("orders")).unwrap().tags.push("x".into());
    assert_ne!(catalog.version, other.with_version().version);
    let mut failed = catalog.clone();
    failed.products.get_mut(&ProductName::new("orders")).unwrap().load_error =
        Some("orders.yaml:3: unknown key".into());
    assert_ne!(catalog.version, failed.with_version().version);
}

#[test]
fn the_version_does_not_depend_on_the_order_of_metadata() {
    let version = || {
        let metadata: HashMap<_, _> = (0..50).map(|i| (format!("k{i}"), "v".to_string())).collect();
        let inner = Field::new("x", DataType::Int32, true).with_metadata(metadata);
        let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Struct(vec![inner].into()), true)]));
        catalog().with_schemas(|_| Some(Arc::clone(&schema))).version
    };
    assert_eq!(version(), version());
}

#[test]
fn opened_sources_give_types() {
    let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true)]));
    let before = catalog();
    let after = before.clone().with_schemas(|name| (name.port.as_str() == "orders").then(|| Arc::clone(&schema)));
    let port = after.ports().next().unwrap();
    assert_eq!(port.columns[0].data_type, Some(DataType::Int64));
    assert!(port.columns[0].nullable, "the source decides");
    assert_eq!(port.columns[1].data_type, None);
    assert!(!port.columns[1].nullable);
    assert_ne!(before.version, after.version);
    assert_eq!(before.clone().with_schemas(|_| None), before);
}

#[test]
fn classified_columns_lose_their_statistics_except_their_widths() {
    let mut full = catalog();
    let port = full.products.get_mut(&ProductName::new("orders")).unwrap().ports.get_mut(&PortName::new("orders"));
    let port = port.unwrap();
    port.columns[1].classification = Some("Confidential".into());
    let number = |n| Some(StatisticValue::Number(n));
    let column = ColumnStatistics {
        distinct: Some(7),
        nulls: Some(3),
        min: number(1.0),
        max: number(9.0),
        width: Some(8.0),
        frequent: vec![(StatisticValue::Number(2.0), 0.5)],
    };
    // `undeclared` is no column of the port.
    let columns = ["id", "note", "undeclared"].map(|name| (name.to_owned(), column.clone()));
    port.statistics = Arc::new(PortStatistics { rows: Some(10), columns: columns.into(), ..PortStatistics::default() });
    let full = full.with_version();

    let redacted = full.clone().without_classified_statistics();
    let statistics = &redacted.ports().next().unwrap().statistics;
    assert_eq!(statistics.rows, Some(10));
    assert_eq!(statistics.columns["id"], column);
    let width = ColumnStatistics { width: Some(8.0), ..ColumnStatistics::default() };
    assert_eq!((&statistics.columns["note"], &statistics.columns["undeclared"]), (&width, &width));
    assert_ne!(redacted.version, full.version);
    assert_eq!(full.ports().next().unwrap().statistics.columns["note"], column, "the original stays");
    assert_eq!(catalog().without_classified_statistics(), catalog());
}

#[test]
fn columns_whose_values_must_not_leave_lose_the_values_in_their_statistics() {
    let mut full = catalog();
    let port = full.products.get_mut(&ProductName::new("orders")).unwrap().ports.get_mut(&PortName::new("orders"));
    let port = port.unwrap();
    let column = ColumnStatistics {
        distinct: Some(7),
        min: Some(StatisticValue::Number(1.0)),
        max: Some(StatisticValue::Number(9.0)),
        frequent: vec![(StatisticValue::Number(2.0), 0.5)],
        ..ColumnStatistics::default()
    };
    let columns = ["id", "note"].map(|name| (name.to_owned(), column.clone()));
    port.statistics = Arc::new(PortStatistics { columns: columns.into(), ..PortStatistics::default() });
    let without = ColumnStatistics { distinct: Some(7), ..ColumnStatistics::default() };
    for (classification, keys, is_sent) in [
        (None, KeyUse::Ship, true),
        (None, KeyUse::Hash, false),
        (None, KeyUse::Never, false),
        // Only trusted nodes get the statistics of a classified column.
        (Some("restricted"), KeyUse::Hash, true),
        (Some("restricted"), KeyUse::Never, false),
    ] {
        let mut catalog = full.clone();
        let port = catalog.products.get_mut(&ProductName::new("orders")).unwrap().ports.values_mut().next().unwrap();
        port.columns[0].classification = classification.map(str::to_owned);
        (port.columns[0].key_use, port.columns[1].key_use) = (Some(keys), Some(KeyUse::Ship));
        let sent = catalog.without_guarded_values();
        let statistics = &sent.ports().next().unwrap().statistics;
        assert_eq!(statistics.columns["id"], if is_sent { column.clone() } else { without.clone() }, "{keys:?}");
        assert_eq!(statistics.columns["note"], column);
    }
    assert_eq!(catalog().without_guarded_values(), catalog());
}

#[test]
fn the_use_as_join_keys_follows_the_classification() {
    let keys = |classification: Option<&str>, declared: Option<KeyUse>| {
        let classification = classification.map(str::to_owned);
        Column { classification, key_use: declared, ..Column::new("c") }.keys()
    };
    for (classification, expected) in [
        (None, KeyUse::Ship),
        (Some("public"), KeyUse::Ship),
        (Some("Internal"), KeyUse::Ship),
        (Some("restricted"), KeyUse::Hash),
        (Some("CONFIDENTIAL"), KeyUse::Hash),
        (Some("secret"), KeyUse::Never),
        (Some("an unknown word"), KeyUse::Never),
        (Some(""), KeyUse::Never),
    ] {
        assert_eq!(keys(classification, None), expected, "{classification:?}");
        for declared in KeyUse::ALL {
            assert_eq!(keys(classification, Some(declared)), declared, "{classification:?}");
        }
    }
}

#[test]
fn a_node_without_the_rules_reads_and_sends_catalogs_as_before() {
    let before = catalog();
    let text = serde_json::to_string(&before).unwrap();
    assert!(!text.contains("\"keys\"") && !text.contains("processed_at"), "the digest of older nodes is the same");
    let mut ruled = before.clone();
    let product = ruled.products.get_mut(&ProductName::new("orders")).unwrap();
    let port = product.ports.get_mut(&PortName::new("orders")).unwrap();
    (port.columns[0].key_use, port.processed_at) = (Some(KeyUse::Never), ProcessedAt::Own);
    let ruled = ruled.with_version();
    assert_ne!(ruled.version, before.version);
    let back: DomainCatalog = serde_json::from_str(&serde_json::to_string(&ruled).unwrap()).unwrap();
    assert_eq!(back, ruled);
}
