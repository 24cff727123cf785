//! Tests of the tables about the catalog: filters, order, columns and keys.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use arrow::array::{AsArray, UInt8Array};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema};
use arrow_flight::IpcMessage;
use arrow_flight::sql::{
    CommandGetCrossReference, CommandGetExportedKeys, CommandGetImportedKeys, CommandGetPrimaryKeys, CommandGetTables,
};
use portolan_catalog::{
    Column, DomainCatalog, DomainEntry, DomainName, Port, PortRef, Product, ProductName, Reference, ServedBy,
};

use super::*;

fn column(name: &str) -> Column {
    let mut column = Column::new(name).with_type(DataType::Utf8View);
    column.nullable = false;
    column.description = Some(format!("what {name} means"));
    column
}

fn port(name: PortRef) -> Port {
    let mut port = Port::new(name).with_columns([column("a"), column("b")]);
    port.primary_key = vec!["b".to_owned(), "a".to_owned()];
    port
}

fn mesh_of(ports: impl IntoIterator<Item = Port>) -> MeshSnapshot {
    let mut mesh = MeshSnapshot::default();
    for port in ports {
        let name = &port.name;
        let entry = mesh.domains.entry(name.domain.clone()).or_insert_with(|| DomainEntry {
            catalog: Arc::new(DomainCatalog::new(name.domain.as_str(), [])),
            served_by: ServedBy::Here,
        });
        let catalog = Arc::make_mut(&mut entry.catalog);
        let new = || Product::new(name.product.as_str());
        let product = catalog.products.entry(name.product.clone()).or_insert_with(new);
        product.ports.insert(name.port.clone(), port.clone());
    }
    mesh
}

fn mesh() -> MeshSnapshot {
    let names = [("sales", "orders", "line_items"), ("sales", "orders", "lineXitems"), ("geo", "places", "nation")];
    mesh_of(names.map(|(domain, product, name)| port(PortRef::new(domain, product, name))))
}

fn views() -> Vec<ListedView> {
    vec![ListedView { schema: "mesh".to_owned(), name: "ports".to_owned(), columns: Arc::new(Schema::empty()) }]
}

fn own() -> Vec<OwnTable> {
    let columns = Arc::new(Schema::new(vec![Field::new("x", DataType::Int32, true)]));
    let own = |name: &str, kind| OwnTable {
        schema: "session".to_owned(),
        name: name.to_owned(),
        kind,
        columns: columns.clone(),
    };
    vec![own("list", LOCAL_TEMPORARY), own("short_list", VIEW)]
}

/// Returns the first columns of the rows as strings, such as `sales.orders.line_items`.
fn names(batch: &RecordBatch, columns: usize) -> Vec<String> {
    (0..batch.num_rows())
        .map(|row| {
            let parts: Vec<&str> = (0..columns).map(|c| batch.column(c).as_string::<i32>().value(row)).collect();
            parts.join(".")
        })
        .collect()
}

fn listed(query: &CommandGetTables, mesh: &MeshSnapshot, cache: &SchemaCache, strings: Strings) -> RecordBatch {
    let sources = tables::TableSources { mesh, system: &views(), own: own() };
    let Listing { schema, rows, batches } = tables::tables(query, sources, cache, strings).unwrap();
    let batches: Vec<RecordBatch> = batches.collect::<Result<_>>().unwrap();
    let all = concat_batches(&schema, &batches).unwrap();
    assert_eq!(all.num_rows(), rows);
    assert!(batches.iter().all(|batch| batch.get_array_memory_size() < 4 << 20));
    all
}

fn found(query: CommandGetTables) -> Vec<String> {
    names(&listed(&query, &mesh(), &SchemaCache::default(), Strings::Plain), 4)
}

fn columns(batch: &RecordBatch, row: usize) -> Schema {
    let ipc = batch.column(4).as_binary::<i32>().value(row).to_vec();
    Schema::try_from(IpcMessage(ipc.into())).unwrap()
}

#[test]
fn catalogs_and_schemas_are_listed() {
    assert_eq!(names(&catalogs(CommandGetCatalogs {}, &mesh()).unwrap(), 1), ["geo", "portolan", "sales"]);
    let found = |catalog: Option<&str>, pattern: Option<&str>| {
        let query = CommandGetDbSchemas {
            catalog: catalog.map(str::to_owned),
            db_schema_filter_pattern: pattern.map(str::to_owned),
        };
        names(&schemas(&query, &mesh(), &views(), &own()).unwrap(), 2)
    };
    assert_eq!(found(None, None), ["geo.places", "portolan.mesh", "portolan.session", "sales.orders"]);
    assert_eq!(found(Some("sales"), None), ["sales.orders"]);
    assert_eq!(found(Some("portolan"), Some("m%")), ["portolan.mesh"]);
    assert_eq!(found(None, Some("orders")), ["sales.orders"]);
    assert_eq!(found(Some(""), None), [""; 0]);
    assert_eq!(found(Some("sale_"), None), [""; 0]);
}

#[test]
fn tables_come_in_order() {
    assert_eq!(
        found(CommandGetTables::default()),
        [
            "geo.places.nation.TABLE",
            "portolan.mesh.ports.VIEW",
            "portolan.session.list.LOCAL TEMPORARY",
            "portolan.session.short_list.VIEW",
            "sales.orders.lineXitems.TABLE",
            "sales.orders.line_items.TABLE",
        ]
    );
}

#[test]
fn no_catalog_means_all_and_an_empty_one_means_none() {
    assert!(found(CommandGetTables { catalog: Some(String::new()), ..Default::default() }).is_empty());
    assert_eq!(
        found(CommandGetTables { catalog: Some("geo".to_owned()), ..Default::default() }),
        ["geo.places.nation.TABLE"]
    );
    // A catalog is a name, not a pattern.
    assert!(found(CommandGetTables { catalog: Some("%".to_owned()), ..Default::default() }).is_empty());
}

#[test]
fn patterns_match_and_can_be_escaped() {
    let named = |pattern: &str| {
        found(CommandGetTables { table_name_filter_pattern: Some(pattern.to_owned()), ..Default::default() })
    };
    assert_eq!(named("line_items"), ["sales.orders.lineXitems.TABLE", "sales.orders.line_items.TABLE"]);
    assert_eq!(named("line\\_items"), ["sales.orders.line_items.TABLE"]);
    assert_eq!(named("na%"), ["geo.places.nation.TABLE"]);
    assert!(named("").is_empty());
    let schema = CommandGetTables { db_schema_filter_pattern: Some("%es%".to_owned()), ..Default::default() };
    assert_eq!(
        found(schema),
        [
            "geo.places.nation.TABLE",
            "portolan.mesh.ports.VIEW",
            "portolan.session.list.LOCAL TEMPORARY",
            "portolan.session.short_list.VIEW",
        ]
    );
}

#[test]
fn types_filter() {
    let typed = |names: &[&str]| {
        let table_types = names.iter().map(|&n| n.to_owned()).collect();
        found(CommandGetTables { table_types, ..Default::default() })
    };
    assert_eq!(typed(&["VIEW"]), ["portolan.mesh.ports.VIEW", "portolan.session.short_list.VIEW"]);
    assert_eq!(typed(&["LOCAL TEMPORARY"]), ["portolan.session.list.LOCAL TEMPORARY"]);
    assert_eq!(typed(&["TABLE"]).len(), 3);
    assert_eq!(typed(&["TABLE", "VIEW", "SYNONYM"]).len(), 5);
    assert!(typed(&["SYNONYM"]).is_empty());
    assert_eq!(names(&table_types(CommandGetTableTypes {}).unwrap(), 1), ["LOCAL TEMPORARY", "TABLE", "VIEW"]);
}

#[test]
fn columns_come_as_clients_see_them() {
    let query = CommandGetTables { include_schema: true, ..Default::default() };
    for (strings, expected) in [(Strings::Plain, DataType::Utf8), (Strings::Views, DataType::Utf8View)] {
        let schema = columns(&listed(&query, &mesh(), &SchemaCache::default(), strings), 0);
        let field = schema.field(0);
        assert_eq!(field.data_type(), &expected);
        assert!(!field.is_nullable());
        let said = |key: &str| field.metadata().get(&format!("ARROW:FLIGHT:SQL:{key}")).map(String::as_str);
        assert_eq!(said("TYPE_NAME"), Some("VARCHAR"));
        assert_eq!(said("REMARKS"), Some("what a means"));
        assert_eq!(said("IS_AUTO_INCREMENT"), Some("0"));
    }
}

#[test]
fn a_changed_port_is_encoded_again_and_the_others_are_kept() {
    let query = CommandGetTables { include_schema: true, ..Default::default() };
    let (cache, mut mesh) = (SchemaCache::default(), mesh());
    let before = listed(&query, &mesh, &cache, Strings::Plain);
    let kept = cache.kept();
    assert!(kept > 0);
    listed(&query, &mesh, &cache, Strings::Plain);
    assert_eq!(cache.kept(), kept);

    let sales = mesh.domains.get_mut(&DomainName::new("sales")).unwrap();
    let ports = Arc::make_mut(&mut sales.catalog).products.get_mut(&ProductName::new("orders")).unwrap();
    ports.ports.values_mut().next().unwrap().columns.pop();
    let filtered = CommandGetTables { table_name_filter_pattern: Some("nothing".to_owned()), ..query.clone() };
    listed(&filtered, &mesh, &cache, Strings::Plain);
    // The encoded columns of the changed port are dropped, and those of the others are kept.
    assert!(cache.kept() < kept && cache.kept() > kept / 2, "{} of {kept}", cache.kept());
    let after = listed(&query, &mesh, &cache, Strings::Plain);
    assert_eq!(columns(&before, 4).fields().len(), 2);
    assert_eq!(columns(&after, 4).fields().len(), 1);
    assert_eq!(columns(&after, 5), columns(&before, 5));

    mesh.domains.remove(&DomainName::new("geo"));
    let sales = mesh.domains.get_mut(&DomainName::new("sales")).unwrap();
    Arc::make_mut(&mut sales.catalog).version = "2".to_owned();
    let kept = cache.kept();
    listed(&query, &mesh, &cache, Strings::Plain);
    assert!(cache.kept() < kept, "a domain that is gone is still kept");
}

#[test]
fn many_tables_come_in_several_batches() {
    let wide = |i: usize| {
        let mut port = port(PortRef::new("d", format!("p{}", i % 10), format!("t{i:05}")));
        port.columns = (0..20).map(|c| column(&format!("c{c}"))).collect();
        port
    };
    let mesh = mesh_of((0..1_000).map(wide));
    let query = CommandGetTables { include_schema: true, ..Default::default() };
    let sources = tables::TableSources { mesh: &mesh, system: &[], own: vec![] };
    let listing = tables::tables(&query, sources, &SchemaCache::default(), Strings::Plain).unwrap();
    assert_eq!(listing.rows, 1_000);
    let batches: Vec<RecordBatch> = listing.batches.collect::<Result<_>>().unwrap();
    assert!(batches.len() > 1);
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 1_000);
}

#[test]
fn results_have_the_columns_of_the_specification() {
    for include_schema in [false, true] {
        let query = CommandGetTables { include_schema, ..Default::default() };
        let listed = listed(&query, &mesh(), &SchemaCache::default(), Strings::Plain);
        assert_eq!(listed.schema(), query.into_builder().schema());
    }
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    let primary = Schema::new(vec![
        text("catalog_name", true),
        text("db_schema_name", true),
        text("table_name", false),
        text("column_name", false),
        Field::new("key_sequence", DataType::Int32, false),
        text("key_name", true),
    ]);
    assert_eq!(*keys::primary_keys(&CommandGetPrimaryKeys::default(), &mesh()).unwrap().schema(), primary);
    let references = Schema::new(vec![
        text("pk_catalog_name", true),
        text("pk_db_schema_name", true),
        text("pk_table_name", false),
        text("pk_column_name", false),
        text("fk_catalog_name", true),
        text("fk_db_schema_name", true),
        text("fk_table_name", false),
        text("fk_column_name", false),
        Field::new("key_sequence", DataType::Int32, false),
        text("fk_key_name", true),
        text("pk_key_name", true),
        Field::new("update_rule", DataType::UInt8, false),
        Field::new("delete_rule", DataType::UInt8, false),
    ]);
    assert_eq!(*keys::exported_keys(&CommandGetExportedKeys::default(), &mesh()).unwrap().schema(), references);
}

#[test]
fn primary_keys_are_in_the_order_of_the_key() {
    let query =
        CommandGetPrimaryKeys { catalog: None, db_schema: Some("places".to_owned()), table: "nation".to_owned() };
    let keys = keys::primary_keys(&query, &mesh()).unwrap();
    assert_eq!(names(&keys, 4), ["geo.places.nation.b", "geo.places.nation.a"]);
    assert_eq!(keys["key_name"].as_string::<i32>().value(0), "nation_pkey");
    let pattern = CommandGetPrimaryKeys { table: "natio_".to_owned(), ..Default::default() };
    assert_eq!(keys::primary_keys(&pattern, &mesh()).unwrap().num_rows(), 0);
}

#[test]
fn references_are_told_from_both_sides() {
    let reference = |name: Option<&str>, columns: &[&str], table: &str, referenced: &[&str]| Reference {
        name: name.map(str::to_owned),
        columns: columns.iter().map(|&c| c.to_owned()).collect(),
        table: table.split('.').map(str::to_owned).collect(),
        referenced_columns: referenced.iter().map(|&c| c.to_owned()).collect(),
    };
    let mut items = port(PortRef::new("sales", "orders", "items"));
    items.references = vec![
        reference(Some("where"), &["a", "b"], "nation", &["a", "b"]),
        reference(None, &["a"], "orders", &["a"]),
        reference(None, &["a"], "nowhere", &["a"]),
    ];
    let others = [("sales", "orders", "orders"), ("geo", "places", "nation")];
    let mesh = mesh_of(others.map(|(d, p, t)| port(PortRef::new(d, p, t))).into_iter().chain([items]));
    let keys = |batch: RecordBatch| {
        let key_names: Vec<String> = (0..batch.num_rows())
            .map(|row| {
                let text = |c: usize| batch.column(c).as_string::<i32>().iter().nth(row).flatten().unwrap_or("-");
                format!("{} {}", text(9), text(10))
            })
            .collect();
        let rules: &UInt8Array = batch.column(11).as_primitive();
        assert!(rules.values().iter().all(|rule| *rule == 3));
        names(&batch, 8).into_iter().zip(key_names).map(|(a, b)| format!("{a} {b}")).collect::<Vec<_>>()
    };
    let to_nation = [
        "geo.places.nation.a.sales.orders.items.a where nation_pkey",
        "geo.places.nation.b.sales.orders.items.b where nation_pkey",
    ];
    let to_orders = "sales.orders.orders.a.sales.orders.items.a items_a_fkey -";

    let imported = CommandGetImportedKeys { table: "items".to_owned(), ..Default::default() };
    assert_eq!(keys(keys::imported_keys(&imported, &mesh).unwrap()), [to_nation[0], to_nation[1], to_orders]);
    let exported = CommandGetExportedKeys { table: "nation".to_owned(), ..Default::default() };
    assert_eq!(keys(keys::exported_keys(&exported, &mesh).unwrap()), to_nation);
    let elsewhere = CommandGetExportedKeys { catalog: Some("sales".to_owned()), ..exported };
    assert!(keys(keys::exported_keys(&elsewhere, &mesh).unwrap()).is_empty());
    let crossed = CommandGetCrossReference {
        pk_table: "orders".to_owned(),
        fk_table: "items".to_owned(),
        fk_catalog: Some("sales".to_owned()),
        ..Default::default()
    };
    assert_eq!(keys(keys::cross_reference(&crossed, &mesh).unwrap()), [to_orders]);
}
