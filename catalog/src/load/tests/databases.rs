//! Ports in databases.

use std::collections::BTreeMap;

use arrow_schema::DataType;

use crate::model::{DatabaseAddress, DatabaseKind, DatabaseRelation, DatabaseSource, PortSource, SourceKind};

use super::*;

/// Loads a contract with this server, custom properties and schema object for the port `orders`.
fn source(server: &str, properties: &str, object: &str) -> Result<PortSource, String> {
    let folder = tempfile::tempdir().unwrap();
    let product = std::fs::read_to_string(testdata().join("bad/database_kind/product.yaml")).unwrap();
    std::fs::write(folder.path().join("product.yaml"), product).unwrap();
    let contract = format!(
        "apiVersion: v3.2.0\nkind: DataContract\nid: c\nversion: 1.0.0\ncustomProperties: [{properties}]\nservers:\n\
         {server}\nschema:\n- {{name: orders, {object}}}\n"
    );
    std::fs::write(folder.path().join("contract.yaml"), contract).unwrap();
    let catalog = load_domain(&sales(), folder.path()).map_err(|errors| errors.to_string())?;
    let mut port = catalog.ports().next().unwrap().clone();
    if let Some(SourceKind::Database(DatabaseSource { address: DatabaseAddress::File { base, .. }, .. })) =
        port.source.as_mut().map(|source| &mut source.kind)
    {
        assert_eq!(base, &std::path::absolute(folder.path()).unwrap());
        *base = PathBuf::from("/contract");
    }
    Ok(port.source.unwrap())
}

const COLUMNS: &str = "properties: [{name: id, logicalType: integer}]";

fn address(server: &str) -> (DatabaseKind, DatabaseAddress) {
    let source = source(server, "", COLUMNS).unwrap_or_else(|e| panic!("{server}: {e}"));
    let database = source.database().unwrap();
    (database.kind, database.address.clone())
}

fn network(port: u16) -> DatabaseAddress {
    DatabaseAddress::Server { host: "db.example.org".into(), port, database: "shop".into() }
}

fn named(schema: Option<&str>, name: &str) -> DatabaseRelation {
    DatabaseRelation::Table { schema: schema.map(str::to_owned), name: name.to_owned() }
}

#[test]
fn the_server_of_a_contract_is_a_database() {
    let server = |kind: &str, more: &str| {
        format!("- {{server: warehouse, type: {kind}, host: db.example.org, database: shop, {more}}}")
    };
    let custom = |kind: &str| format!("customProperties: [{{property: portolan.type, value: {kind}}}]");
    for kind in ["postgres", "postgresql"] {
        assert_eq!(address(&server(kind, "port: 5433, schema: public")), (DatabaseKind::Postgres, network(5433)));
    }
    assert_eq!(address(&server("mysql", "port: '3307'")), (DatabaseKind::MySql, network(3307)));
    let mysql = format!("port: 3306, {}", custom("mariadb"));
    assert_eq!(address(&server("mysql", &mysql)), (DatabaseKind::MariaDb, network(3306)));
    for (kind, expected, port) in [
        ("postgres", DatabaseKind::Postgres, 5432),
        ("mariadb", DatabaseKind::MariaDb, 3306),
        ("mysql", DatabaseKind::MySql, 3306),
    ] {
        assert_eq!(address(&server("custom", &custom(kind))), (expected, network(port)));
    }
    for key in ["path", "database"] {
        let server = format!("- {{server: shop, type: custom, {key}: ../data/shop.db, {}}}", custom("sqlite"));
        let file = DatabaseAddress::File { path: "../data/shop.db".into(), base: PathBuf::from("/contract") };
        assert_eq!(address(&server), (DatabaseKind::Sqlite, file));
    }
}

const POSTGRES: &str = "- {server: warehouse, type: postgres, host: db, port: 5432, database: shop, schema: web}";

#[test]
fn a_port_is_a_table_or_a_query() {
    let relation = |properties: &str, object: &str| {
        let source = source(POSTGRES, properties, &format!("{object}{COLUMNS}")).unwrap();
        assert_eq!(source.server, "warehouse");
        (source.database().unwrap().relation.clone(), source.place.field)
    };
    let at_server = "servers[0]".to_owned();
    assert_eq!(relation("", ""), (named(Some("web"), "orders"), at_server.clone()));
    assert_eq!(relation("", "physicalName: T1, "), (named(Some("web"), "T1"), at_server.clone()));
    assert_eq!(relation("", "physicalName: old.T1, "), (named(Some("old"), "T1"), at_server));
    let query = "{property: portolan.query, value: SELECT id FROM t1}";
    let text = DatabaseRelation::Query("SELECT id FROM t1".to_owned());
    let of_object = relation("", &format!("customProperties: [{query}], "));
    assert_eq!(of_object, (text.clone(), "schema[0].customProperties[0].value".to_owned()));
    assert_eq!(relation(query, ""), (text, "customProperties[0].value".to_owned()));
}

#[test]
fn the_columns_have_the_names_and_types_of_the_contract() {
    let object = "properties: [{name: id, physicalName: ID, logicalType: integer, physicalType: bigint},
        {name: total, physicalName: total, logicalType: number, physicalType: 'NUMERIC(12,2)'}, {name: note},
        {name: weight, logicalType: number, physicalType: numeric}]";
    let source = source(POSTGRES, "", object).unwrap();
    assert!(source.declared_at["total"].to_string().ends_with("schema[0].properties[1]"));
    let database = source.database().unwrap();
    let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    };
    assert_eq!(database.names, map(&[("id", "ID")]));
    assert_eq!(database.physical_types, map(&[("id", "bigint"), ("total", "NUMERIC(12,2)"), ("weight", "numeric")]));
    assert_eq!(database.types, BTreeMap::from([("total".to_owned(), DataType::Decimal128(12, 2))]));
}

#[test]
fn the_first_server_whose_data_can_be_read_counts() {
    let files = "- {server: files, type: local, path: a.csv, format: csv}";
    let kafka = "- {server: events, type: kafka, host: 'kafka:9092'}";
    let server = |servers: &[&str]| source(&servers.join("\n"), "", COLUMNS).map(|source| source.server);
    assert_eq!(server(&[kafka, POSTGRES, files]), Ok("warehouse".to_owned()));
    assert_eq!(server(&[kafka, files, POSTGRES]), Ok("files".to_owned()));
    // Settings of files may be meant for the other server.
    let settings = "{property: portolan.nullValues, value: ['-']}";
    let both = format!("{POSTGRES}\n{files}");
    assert_eq!(source(&both, settings, COLUMNS).unwrap().server, "warehouse");
    let refused = source(POSTGRES, settings, COLUMNS).unwrap_err();
    assert!(refused.contains("`portolan.nullValues` describes files, and no server of the contract holds any"));
    // A query over other ports needs a contract without a database.
    let query = format!("customProperties: [{{property: portolan.query, value: SELECT 1}}], {COLUMNS}");
    assert!(source(kafka, "", &query).unwrap().query().is_some());
}

#[test]
fn the_page_about_databases_is_right() {
    let book = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/src/databases.md");
    let book = std::fs::read_to_string(book).unwrap();
    let blocks: Vec<&str> = book.split("```yaml\n").skip(1).map(|block| block.split("```").next().unwrap()).collect();
    let server = |block: &str| {
        let (_, server) = block.split_once("servers:\n").unwrap();
        server.split("schema:\n").next().unwrap().trim_end().to_owned()
    };
    let contract = blocks.iter().find(|block| block.starts_with("# products/")).unwrap();
    let (_, object) = contract.split_once("- name: orders\n").unwrap();
    let object = object.replace("  properties:\n", "").replace("  - {", "{").replace("}\n", "}, ");
    let object = object.replace("  physicalName: t_orders\n", "physicalName: t_orders, properties: [") + "]";
    let orders = source(&server(contract), "", &object).unwrap();
    let database = orders.database().unwrap();
    assert_eq!((orders.server.as_str(), &database.relation), ("warehouse", &named(Some("public"), "t_orders")));
    assert_eq!((database.kind, &database.address), (DatabaseKind::Postgres, &network(5432)));
    assert_eq!(database.names["id"], "order_id");
    assert_eq!(database.types["total"], DataType::Decimal128(12, 2));
    let shop = blocks.iter().find(|block| block.starts_with("servers:\n")).unwrap();
    let file = DatabaseAddress::File { path: "../../data/shop.db".into(), base: PathBuf::from("/contract") };
    assert_eq!(address(&server(shop)), (DatabaseKind::Sqlite, file));
}
