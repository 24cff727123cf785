//! Drafts from tables that are described by hand: what the contracts say, and what a node reads in them.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;

use arrow::datatypes::{DataType as T, TimeUnit};
use portolan_catalog::logical_type::{declared_type, fits};
use portolan_catalog::{
    DatabaseAddress, DatabaseKind, DatabaseRelation, DatabaseSource, DomainName, Port, PortName, ProductName,
    SourceKind, lint, load_domain,
};

use super::super::database_access::DatabaseUrl;
use super::*;

/// Names that are no names of SQL, or that YAML could read as something else.
const ODD: [&str; 14] = [
    "Total (EUR)",
    "größe",
    "日本",
    "a.b",
    "say \"hi\"",
    "it's",
    "null",
    "- x: #y",
    " pad ",
    "line\nbreak",
    "\u{85}\u{feff}\u{7f}",
    "\u{e0001}\u{202e}",
    "back\\slash",
    "123",
];

fn column(name: &str, native_type: &str, data_type: T) -> InspectedColumn {
    InspectedColumn {
        name: name.to_owned(),
        native_type: native_type.to_owned(),
        data_type: Ok(data_type),
        is_chosen: false,
        note: None,
        nullable: true,
        unique: false,
        comment: None,
        enumeration: vec![],
    }
}

fn table(name: &str, columns: Vec<InspectedColumn>, key: &[&str]) -> InspectedTable {
    InspectedTable {
        schema: Some("sales".to_owned()),
        name: name.to_owned(),
        columns,
        primary_key: key.iter().map(|name| (*name).to_owned()).collect(),
        ..InspectedTable::default()
    }
}

fn reference(columns: &[&str], table: &str, referenced: &[&str]) -> InspectedReference {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    InspectedReference {
        columns: owned(columns),
        schema: Some("sales".to_owned()),
        table: table.to_owned(),
        referenced_columns: owned(referenced),
    }
}

fn product() -> Product {
    Product { domain: "shop".to_owned(), name: "sales".to_owned(), owner: Some("Team Shop".to_owned()) }
}

fn postgres() -> DatabaseAccess {
    let url = DatabaseUrl::parse("postgres://ann:hunter2@db.example.org/shop?schema=sales").unwrap();
    url.access("warehouse".to_owned(), Some("SHOP_PASSWORD".to_owned()))
}

/// Drafts a product, writes it, and loads what was written. Returns the ports and the texts of their contracts.
fn round_trip(access: &DatabaseAccess, tables: Vec<InspectedTable>) -> Vec<(Port, String)> {
    let (ports, left_out) = drafted(tables, &[], access).unwrap_or_else(|e| panic!("{}", e.owner_chain()));
    assert_eq!(left_out, Vec::<String>::new());
    let names: Vec<String> = ports.iter().map(|port| port.name.clone()).collect();
    let ports = Ports::Tables(Box::new(TablePorts { access: access.clone(), ports, left_out }));
    let draft = ProductDraft { product: product(), ports };
    let folder = tempfile::tempdir().unwrap();
    let written = draft.write(&folder.path().join("sales")).unwrap();
    let mut texts = written.iter().skip(1).map(|path| fs::read_to_string(path).unwrap());
    let catalog = load_domain(&DomainName::new("shop"), folder.path());
    let catalog = catalog.unwrap_or_else(|e| panic!("{e}\n{}", texts.by_ref().collect::<Vec<_>>().join("\n")));
    let warnings: Vec<String> = lint(&catalog).into_iter().map(|warning| warning.message).collect();
    // The standard has no logical type for an interval.
    let usual = ["no description", "no primary key", "no `logicalType`"];
    let is_usual = |warning: &String| usual.iter().any(|usual| warning.contains(usual));
    assert!(warnings.iter().all(is_usual), "{warnings:?}");
    let loaded = &catalog.products[&ProductName::new("sales")].ports;
    assert_eq!(loaded.len(), names.len());
    names.into_iter().map(|name| loaded[&PortName::new(&name)].clone()).zip(texts).collect()
}

fn source(port: &Port) -> &DatabaseSource {
    match &port.source.as_ref().unwrap().kind {
        SourceKind::Database(source) => source,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_contract_has_the_types_of_the_database() {
    let micros = |zone: Option<&str>| T::Timestamp(TimeUnit::Microsecond, zone.map(Into::into));
    let columns = [
        ("smallint", T::Int16, "integer"),
        ("integer", T::Int32, "integer"),
        ("bigint", T::Int64, "integer"),
        ("int(10) unsigned", T::UInt32, "integer"),
        ("bigint unsigned", T::UInt64, "integer"),
        ("real", T::Float32, "number"),
        ("double precision", T::Float64, "number"),
        ("numeric(15,2)", T::Decimal128(15, 2), "number"),
        ("numeric(20,0)", T::Decimal128(20, 0), "integer"),
        ("numeric(60,30)", T::Decimal256(60, 30), "number"),
        ("numeric(3,-2)", T::Decimal128(5, 0), "integer"),
        ("decimal(10,2) unsigned", T::Decimal128(10, 2), "number"),
        ("money", T::Decimal128(19, 2), "number"),
        ("boolean", T::Boolean, "boolean"),
        ("character varying(20)", T::Utf8, "string"),
        ("uuid", T::Utf8, "string"),
        ("numeric(1000,2)", T::Utf8, "string"),
        ("bytea", T::Binary, "string"),
        ("date", T::Date32, "date"),
        ("timestamp without time zone", micros(None), "timestamp"),
        ("timestamp(3) with time zone", micros(Some("UTC")), "timestamp"),
        ("time without time zone", T::Time64(TimeUnit::Microsecond), "time"),
        ("interval", T::Interval(arrow::datatypes::IntervalUnit::MonthDayNano), ""),
        ("numeric(10,2)[]", T::new_list(T::Decimal128(10, 2), true), "array"),
        ("text[]", T::new_list(T::Utf8, true), "array"),
        ("DECIMAL(10,5)", T::Float64, "number"),
    ];
    let described = columns.iter().enumerate().map(|(i, (native, data_type, _))| {
        let comment = Some(format!("The column of {native}"));
        InspectedColumn { comment, ..column(&format!("c{i}"), native, data_type.clone()) }
    });
    let loaded = round_trip(&postgres(), vec![table("all_types", described.collect(), &["c0"])]);
    let (port, text) = &loaded[0];
    let source = source(port);
    assert_eq!(port.columns.len(), columns.len());
    for (own, (native, data_type, logical_type)) in port.columns.iter().zip(&columns) {
        assert_eq!(own.logical_type.as_deref().unwrap_or_default(), *logical_type, "{native}");
        assert!(fits(logical_type, data_type), "{native}");
        assert_eq!(own.description.as_deref(), Some(format!("The column of {native}").as_str()));
        let decimal = matches!(data_type, T::Decimal128(_, 2 | 0) | T::Decimal256(..)) && native.contains('(');
        let expected = (decimal && *native != "numeric(3,-2)").then(|| data_type.clone());
        assert_eq!(source.types.get(&own.name), expected.as_ref(), "{native}");
        let declared = source.physical_types.get(&own.name).map(String::as_str);
        match *native {
            "decimal(10,2) unsigned" => assert_eq!(declared, Some("DECIMAL(10,2)")),
            // A contract would mean a decimal type by it.
            "DECIMAL(10,5)" => assert_eq!(declared, None),
            native => assert_eq!(declared, Some(native)),
        }
    }
    assert!(text.contains("    # No `logicalType`: the standard has none for Interval(MonthDayNano)\n"), "{text}");
    assert!(
        text.contains("    logicalType: array\n    physicalType: \"text[]\"\n    items:\n      logicalType: string\n")
    );
}

#[test]
fn a_contract_determines_the_types_that_a_database_does_not() {
    let mut number = column("amount", "numeric", T::Decimal128(38, 10));
    (number.is_chosen, number.note) = (true, Some("the database limits no digits".to_owned()));
    let mut text = column("day", "DATE", T::Date32);
    text.is_chosen = true;
    let loaded = round_trip(&postgres(), vec![table("t", vec![number, text], &[])]);
    let (port, text) = &loaded[0];
    assert_eq!(source(port).types.get("amount"), Some(&T::Decimal128(38, 10)));
    assert!(text.contains("  # amount: the database limits no digits\n  - name: amount\n"), "{text}");
    let declared: Vec<_> = port.columns.iter().map(|own| declared_type(own, port.source.as_ref())).collect();
    assert_eq!(declared, [Some(T::Decimal128(38, 10)), Some(T::Date32)]);
}

#[test]
fn a_contract_has_keys_references_and_permitted_values() {
    let required = |name: &str| InspectedColumn { nullable: false, ..column(name, "integer", T::Int32) };
    let mut mail = column("mail", "text", T::Utf8);
    (mail.unique, mail.nullable, mail.comment) =
        (true, false, Some("  Where \"invoices\" go: #1\nor not  ".to_owned()));
    let mut state = column("State", "mood", T::Utf8);
    state.enumeration = ["open", "paid", "it's \"x\": y", "open", "null", ""].map(str::to_owned).into();
    let mut level = column("level", "integer", T::Int32);
    level.enumeration = ["1", "-2", "x"].map(str::to_owned).into();
    let mut id = required("id");
    id.unique = true;
    let mut customers = table("customers", vec![id, mail, state, level], &["id"]);
    customers.comment = Some("One row a customer".to_owned());
    let mut orders =
        table("Orders", vec![required("shop"), required("no"), required("buyer"), required("rep")], &["no", "shop"]);
    orders.references = vec![
        reference(&["buyer"], "customers", &["id"]),
        reference(&["buyer"], "customers", &["id"]),
        // The key of the other table.
        reference(&["rep"], "customers", &[]),
        reference(&["rep"], "people", &["id"]),
        InspectedReference { schema: Some("other".to_owned()), ..reference(&["rep"], "customers", &["id"]) },
    ];
    let mut lines = table(
        "lines",
        vec![required("shop_id"), required("order_no"), required("pos")],
        &["shop_id", "order_no", "pos"],
    );
    lines.references = vec![reference(&["order_no", "shop_id"], "Orders", &["no", "shop"])];
    let view = InspectedTable {
        is_view: true,
        ..table("totals", vec![column("sum", "numeric(38,2)", T::Decimal128(38, 2))], &[])
    };

    let (ports, _) = drafted(vec![customers.clone(), orders.clone()], &[], &postgres()).unwrap();
    assert_eq!(
        ports.iter().map(DraftedPort::summary).collect::<Vec<_>>(),
        [
            "customers: 4 columns, key id",
            "orders: 4 columns, key no and shop, buyer refers to customers, rep refers to customers, left out the \
             reference of (rep) to `people`: it is no port of this product; the reference of (rep) to `customers`: it is \
             no port of this product",
        ]
    );
    let loaded = round_trip(&postgres(), vec![customers, orders, lines, view]);
    let [(customers, _), (orders, orders_text), (lines, _), (totals, totals_text)] = &loaded[..] else {
        panic!("4 ports")
    };
    assert_eq!(
        (customers.primary_key.as_slice(), customers.description.as_deref()),
        (&["id".to_owned()][..], Some("One row a customer"))
    );
    let flags: Vec<_> = customers.columns.iter().map(|own| (own.name.as_str(), own.nullable, own.unique)).collect();
    assert_eq!(flags, [("id", false, true), ("mail", false, true), ("state", true, false), ("level", true, false)]);
    assert_eq!(customers.columns[1].description.as_deref(), Some("Where \"invoices\" go: #1\nor not"));
    assert_eq!(customers.columns[2].enumeration, ["open", "paid", "it's \"x\": y", "null", ""]);
    assert_eq!(customers.columns[3].enumeration, ["1", "-2", "x"]);
    assert_eq!(orders.primary_key, ["no", "shop"]);
    let references = |port: &Port| {
        let shown = |r: &portolan_catalog::Reference| {
            format!("{} -> {}.{}", r.columns.join(","), r.table.join("."), r.referenced_columns.join(","))
        };
        port.references.iter().map(shown).collect::<Vec<_>>()
    };
    assert_eq!(references(orders), ["buyer -> customers.id", "rep -> customers.id"]);
    assert_eq!(references(lines), ["order_no,shop_id -> orders.no,shop"]);
    assert!(orders_text.contains("  # Left out: the reference of (rep) to `people`: it is no port"), "{orders_text}");
    let sales = |name: &str| DatabaseRelation::Table { schema: Some("sales".to_owned()), name: name.to_owned() };
    assert_eq!((&source(orders).relation, &source(totals).relation), (&sales("Orders"), &sales("totals")));
    assert!(totals_text.starts_with("# Drafted by `portolan product init` from the view `totals` of PostgreSQL.\n"));
    assert!(totals_text.contains("  physicalType: view\n") && !totals_text.contains("hunter2"), "{totals_text}");
    assert_eq!(
        (source(totals).kind, orders.source.as_ref().unwrap().server.as_str()),
        (DatabaseKind::Postgres, "warehouse")
    );
    let address =
        DatabaseAddress::Server { host: "db.example.org".to_owned(), port: 5432, database: "shop".to_owned() };
    assert_eq!(source(totals).address, address);
}

#[test]
fn odd_names_are_kept_for_the_database() {
    let columns: Vec<_> = ODD.iter().map(|name| column(name, "text", T::Utf8)).collect();
    let tables = ODD.iter().map(|name| {
        let comment = Some(format!("x{name}x"));
        InspectedTable { comment, ..table(name, columns.clone(), &[]) }
    });
    let loaded = round_trip(&postgres(), tables.collect());
    assert_eq!(loaded.len(), ODD.len());
    for ((port, text), name) in loaded.iter().zip(ODD) {
        let expected = DatabaseRelation::Table { schema: Some("sales".to_owned()), name: name.to_owned() };
        assert_eq!(source(port).relation, expected, "{text}");
        assert_eq!(port.description.as_deref(), Some(format!("x{name}x").as_str()));
        let in_database =
            |own: &portolan_catalog::Column| source(port).names.get(&own.name).unwrap_or(&own.name).clone();
        assert_eq!(port.columns.iter().map(in_database).collect::<Vec<_>>(), ODD);
        assert!(!text.contains(['\u{85}', '\u{feff}', '\u{e0001}', '\u{202e}']), "{text}");
    }
    let names: Vec<&str> = loaded.iter().map(|(port, _)| port.name.port.as_str()).collect();
    assert_eq!(names[..3], ["total_eur", "größe", "日本"]);
    // The standard cannot refer to such a name.
    let id = || column("größe", "integer", T::Int32);
    let mut other = table("a", vec![id()], &[]);
    other.references = vec![reference(&["größe"], "b", &["größe"])];
    let (port, text) = &round_trip(&postgres(), vec![other, table("b", vec![id()], &["größe"])])[0];
    assert_eq!(port.references, []);
    assert!(text.contains("names of ASCII letters"), "{text}");
}

#[test]
fn names_are_distinct_and_good_names_stay() {
    let long = "x".repeat(200);
    let names = ["Orders", "orders", "ORDERS", "", "??", "orders_2", &long];
    assert_eq!(
        sql_names(names.into_iter(), "table"),
        ["orders_3", "orders", "orders_4", "table", "table_2", "orders_2", &"x".repeat(MAX_NAME)]
    );
}

#[test]
fn other_kinds_of_databases_have_servers_of_their_own() {
    let tables = || vec![table("t", vec![column("a", "int(11)", T::Int32)], &[])];
    for (text, kind) in
        [("mysql://u@h:3307/shop", DatabaseKind::MySql), ("mariadb://u@h:3307/shop", DatabaseKind::MariaDb)]
    {
        let access = DatabaseUrl::parse(text).unwrap().access("shop".to_owned(), None);
        let (port, text) = &round_trip(&access, tables())[0];
        let address = DatabaseAddress::Server { host: "h".to_owned(), port: 3307, database: "shop".to_owned() };
        assert_eq!((source(port).kind, &source(port).address), (kind, &address), "{text}");
        assert_eq!(source(port).relation, DatabaseRelation::Table { schema: None, name: "t".to_owned() });
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().canonicalize().unwrap().join("shop.db");
    fs::write(&file, "").unwrap();
    let access = DatabaseUrl::parse(file.to_str().unwrap()).unwrap().access("shop".to_owned(), None);
    let (port, text) = &round_trip(&access, tables())[0];
    let DatabaseAddress::File { path, base } = &source(port).address else { panic!("{text}") };
    assert_eq!(source(port).kind, DatabaseKind::Sqlite);
    assert!(path.starts_with("../") && path.ends_with("/shop.db") && base.is_absolute(), "{path}");
}

#[test]
fn what_cannot_be_read_is_left_out() {
    let mut point = column("at", "point", T::Utf8);
    point.data_type = Err("a node has no type for it".to_owned());
    let places = table("places", vec![column("id", "integer", T::Int32), point.clone()], &["id", "at"]);
    let shapes = table("shapes", vec![point.clone()], &[]);
    let (ports, left_out) = drafted(vec![places, shapes], &[], &postgres()).unwrap();
    assert_eq!(left_out, ["`shapes`: `at` (point): a node has no type for it"]);
    assert_eq!(ports[0].summary(), "places: 1 column, left out `at` (point): a node has no type for it");
    assert_eq!(ports[0].columns[0].key_position, None, "a part of a key is no key");
    let refused = drafted(vec![table("shapes", vec![point], &[])], &[], &postgres()).unwrap_err().owner_chain();
    assert_eq!(refused, "no column can be read: `shapes`: `at` (point): a node has no type for it");
}

#[test]
fn tables_are_selected_by_names_and_globs() {
    let name = |name: &str| InspectedName { schema: Some("sales".to_owned()), name: name.to_owned(), is_view: false };
    let all = || ["customers", "orders", "order_lines", "log_2024", "log_*"].map(name).to_vec();
    let select = |wanted: &[&str]| {
        let wanted: Vec<String> = wanted.iter().map(|text| (*text).to_owned()).collect();
        let found = selected(all(), &wanted, &postgres()).map_err(|e| e.owner_chain())?;
        Ok::<_, String>(found.into_iter().map(|table| table.name).collect::<Vec<_>>())
    };
    assert_eq!(select(&[]).unwrap().len(), 5);
    assert_eq!(select(&["orders", "customers"]).unwrap(), ["customers", "orders"]);
    assert_eq!(select(&["order*", "orders"]).unwrap(), ["orders", "order_lines"]);
    // A table may be called like a glob.
    assert_eq!(select(&["log_*"]).unwrap(), ["log_*"]);
    assert_eq!(
        select(&["order"]).unwrap_err(),
        "the schema `sales` has no table or view `order` that the account may read; did you mean `orders`?"
    );
    assert!(select(&["[x"]).unwrap_err().starts_with("`[x` is no glob: "));
    let many: Vec<_> = (0..1001).map(|i| name(&format!("t{i}"))).collect();
    assert_eq!(
        selected(many.clone(), &[], &postgres()).unwrap_err().owner_chain(),
        "the schema `sales` has 1001 such tables and views, and a product can have 1000 ports: select some with `--tables`"
    );
    assert_eq!(selected(many, &["t1?".to_owned()], &postgres()).unwrap().len(), 10);
    assert!(selected(vec![], &[], &postgres()).is_err());
    check_port_names(&all(), &[]).unwrap();
    let refused = check_port_names(&all()[..2], &["a".to_owned()]).unwrap_err().owner_chain();
    assert_eq!(refused, "expected 2 times `--port`, got 1: the tables are customers, orders");
}
