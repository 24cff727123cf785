#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use portolan_catalog::{Column, DomainCatalog, DomainEntry, DomainName, NodeLocation, PortRef, Product, ProductName};

use super::*;

fn column(name: &str) -> Column {
    Column {
        name: name.to_owned(),
        data_type: Some(DataType::Utf8View),
        nullable: false,
        logical_type: None,
        description: None,
        classification: None,
        unique: false,
        enumeration: vec![],
        tags: Vec::new(),
    }
}

fn mesh() -> MeshSnapshot {
    let mut mesh = MeshSnapshot::default();
    for (domain, product, port) in
        [("sales", "orders", "line_items"), ("sales", "orders", "lineXitems"), ("geo", "places", "nation")]
    {
        let name = PortRef::new(domain, product, port);
        let port = Port {
            name: name.clone(),
            version: None,
            description: None,
            contract: None,
            columns: vec![column("a"), column("b")],
            primary_key: vec!["b".to_owned(), "a".to_owned()],
            statistics: Arc::default(),
            tags: Vec::new(),
            source: None,
        };
        let entry = mesh.domains.entry(DomainName::new(domain)).or_insert_with(|| DomainEntry {
            catalog: Arc::new(DomainCatalog {
                domain: DomainName::new(domain),
                version: "1".to_owned(),
                products: BTreeMap::new(),
            }),
            node: NodeLocation::Here,
        });
        let catalog = Arc::make_mut(&mut entry.catalog);
        let product = catalog.products.entry(ProductName::new(product)).or_insert_with(|| Product {
            name: ProductName::new(product),
            version: None,
            status: "active".to_owned(),
            description: None,
            owner: None,
            tags: Vec::new(),
            ports: BTreeMap::new(),
            load_error: None,
        });
        product.ports.insert(name.port.clone(), port);
    }
    mesh
}

fn views() -> Vec<SystemView> {
    vec![SystemView { schema: "mesh".to_owned(), name: "ports".to_owned(), columns: Arc::new(Schema::empty()) }]
}

/// The columns of the first rows as text, such as `sales.orders.line_items`.
fn names(batch: &RecordBatch, columns: usize) -> Vec<String> {
    (0..batch.num_rows())
        .map(|row| {
            let parts: Vec<&str> = (0..columns).map(|c| batch.column(c).as_string::<i32>().value(row)).collect();
            parts.join(".")
        })
        .collect()
}

fn found(query: CommandGetTables) -> Vec<String> {
    names(&tables(query, &mesh(), &views()).unwrap(), 4)
}

#[test]
fn catalogs_and_schemas_are_listed() {
    assert_eq!(names(&catalogs(CommandGetCatalogs {}, &mesh()).unwrap(), 1), ["geo", "portolan", "sales"]);
    let all = schemas(CommandGetDbSchemas::default(), &mesh(), &views()).unwrap();
    assert_eq!(names(&all, 2), ["geo.places", "portolan.mesh", "sales.orders"]);
}

#[test]
fn no_catalog_means_all_and_an_empty_one_means_none() {
    assert_eq!(found(CommandGetTables::default()).len(), 4);
    assert!(found(CommandGetTables { catalog: Some(String::new()), ..Default::default() }).is_empty());
    assert_eq!(
        found(CommandGetTables { catalog: Some("geo".to_owned()), ..Default::default() }),
        ["geo.places.nation.TABLE"]
    );
}

#[test]
fn patterns_match_and_can_be_escaped() {
    let named = |pattern: &str| {
        found(CommandGetTables { table_name_filter_pattern: Some(pattern.to_owned()), ..Default::default() })
    };
    assert_eq!(named("line_items"), ["sales.orders.lineXitems.TABLE", "sales.orders.line_items.TABLE"]);
    assert_eq!(named("line\\_items"), ["sales.orders.line_items.TABLE"]);
    assert_eq!(named("na%"), ["geo.places.nation.TABLE"]);
}

#[test]
fn types_filter() {
    let typed = |name: &str| found(CommandGetTables { table_types: vec![name.to_owned()], ..Default::default() });
    assert_eq!(typed("VIEW"), ["portolan.mesh.ports.VIEW"]);
    assert_eq!(typed("TABLE").len(), 3);
    assert!(typed("SYNONYM").is_empty());
    assert_eq!(names(&table_types(CommandGetTableTypes {}).unwrap(), 1), ["TABLE", "VIEW"]);
}

#[test]
fn columns_come_as_clients_see_them() {
    let batch = tables(CommandGetTables { include_schema: true, ..Default::default() }, &mesh(), &[]).unwrap();
    let ipc = batch.column(4).as_binary::<i32>().value(0).to_vec();
    let schema = Schema::try_from(arrow_flight::IpcMessage(ipc.into())).unwrap();
    assert_eq!(schema.field(0).data_type(), &DataType::Utf8);
}

#[test]
fn primary_keys_are_in_the_order_of_the_key() {
    let query =
        CommandGetPrimaryKeys { catalog: None, db_schema: Some("places".to_owned()), table: "nation".to_owned() };
    let keys = primary_keys(&query, &mesh()).unwrap();
    assert_eq!(names(&keys, 4), ["geo.places.nation.b", "geo.places.nation.a"]);
    assert_eq!(no_references().unwrap().num_columns(), 13);
}
