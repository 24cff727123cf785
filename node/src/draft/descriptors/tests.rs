//! Drafted text: what it says, and that a node reads it.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::sync::Arc;

use arrow::datatypes::Fields;
use portolan_catalog::{DomainName, FileSource, PortName, ProductName, lint, load_domain};

use super::super::columns::ReferenceDraft;
use super::super::text_types::TextType;
use super::super::{Counted, PortDraft};
use super::*;

fn column(name: &str, data_type: DataType) -> ColumnDraft {
    ColumnDraft {
        name: name.to_owned(),
        name_in_file: name.to_owned(),
        text_type: TextType::of(logical_type(&data_type).unwrap_or_default()),
        data_type,
        is_partition: false,
        is_required: false,
        key_position: None,
        reference: None,
    }
}

fn port(name: &str, location: &str, format: FileFormat, columns: Vec<ColumnDraft>) -> PortDraft {
    PortDraft {
        name: name.to_owned(),
        server: "files".to_owned(),
        files: FileSource::new(location, "", format),
        may_be_windows: false,
        columns,
        left_out: vec![],
        counted: Some(Counted { rows: 3, is_all: true }),
    }
}

fn shop() -> Product {
    Product { domain: "shop".to_owned(), name: "sales".to_owned(), owner: Some("sales team: north".to_owned()) }
}

#[test]
fn a_drafted_product_is_read_as_it_was_drafted() {
    let mut id = column("id", DataType::Int64);
    id.key_position = Some(1);
    let mut customer = column("customer_id", DataType::Int64);
    let reference = ReferenceDraft { port: "customers".to_owned(), column: "id".to_owned(), values: 2 };
    (customer.reference, customer.is_required) = (Some(reference), true);
    let mut day = column("day", DataType::Utf8);
    (day.is_partition, day.text_type) = (true, TextType::of("date"));
    let items = Field::new("item", DataType::Int64, true);
    let tags = column("tags", DataType::List(Arc::new(items)));
    let fields = vec![Field::new("os", DataType::Utf8, true), Field::new("width", DataType::Float64, true)];
    let device = column("device", DataType::Struct(Fields::from(fields)));
    let customers = port("customers", "/data/customers.parquet", FileFormat::Parquet, vec![id.clone()]);
    let mut orders = port("orders", "/data/orders", FileFormat::Json, vec![id, customer, tags, device, day]);
    orders.left_out.push("`x`: two\nlines".to_owned());
    let ports = [customers, orders];

    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("sales.odps.yaml"), product(&shop(), &["customers", "orders"])).unwrap();
    for port in &ports {
        fs::write(folder.path().join(format!("{}.odcs.yaml", port.name)), contract(&shop(), port, None)).unwrap();
    }
    let catalog = load_domain(&DomainName::new("shop"), folder.path()).unwrap_or_else(|e| panic!("{e}"));
    let sales = &catalog.products[&ProductName::new("sales")];
    assert_eq!(sales.owner.as_deref(), Some("sales team: north"));
    let orders = &sales.ports[&PortName::new("orders")];
    let types: Vec<_> =
        orders.columns.iter().map(|c| (c.name.as_str(), c.logical_type.as_deref().unwrap(), c.nullable)).collect();
    let expected = [
        ("id", "integer", false),
        ("customer_id", "integer", false),
        ("tags", "array", true),
        ("device", "object", true),
        ("day", "date", true),
    ];
    assert_eq!(types, expected);
    assert_eq!(orders.primary_key, ["id"]);
    assert_eq!(
        (orders.references[0].table.join("."), orders.references[0].columns.join(",")),
        ("customers".to_owned(), "customer_id".to_owned())
    );
    let files = orders.source.as_ref().unwrap().files().unwrap();
    assert_eq!((files.location.as_str(), files.partition_columns.join(",")), ("/data/orders", "day".to_owned()));
    let warnings: Vec<_> = lint(&catalog).into_iter().map(|warning| warning.message).collect();
    assert!(warnings.iter().all(|warning| warning.contains("no description")), "{warnings:?}");
}

#[test]
fn what_is_inferred_is_marked() {
    let mut id = column("id", DataType::Int64);
    id.key_position = Some(1);
    let mut customer = column("customer_id", DataType::Int64);
    customer.reference = Some(ReferenceDraft { port: "customers".to_owned(), column: "id".to_owned(), values: 2 });
    customer.is_required = true;
    let text = contract(&shop(), &port("orders", "/d/o.parquet", FileFormat::Parquet, vec![id, customer]), None);
    for part in [
        "from all 3 rows",
        "    primaryKey: true # inferred: unique in 3 rows\n",
        "    required: true # inferred: no file can hold a NULL\n",
        "    relationships: [{to: customers.id}] # inferred: all 2 values are there\n",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[test]
fn the_notation_of_text_is_in_the_contract() {
    let mut paid = column("paid_on", DataType::Utf8);
    paid.name_in_file = "Paid on".to_owned();
    paid.text_type = TextType { pattern: Some("dd.MM.yyyy"), ..TextType::of("date") };
    let mut amount = column("amount", DataType::Utf8);
    amount.text_type = TextType {
        decimal: Some((18, 2)),
        has_decimal_comma: true,
        thousands: Some('.'),
        null_words: vec![String::new(), "NULL".to_owned()],
        ..TextType::of("number")
    };
    let mut active = column("active", DataType::Utf8);
    active.text_type = TextType { truth_words: Some(("ja", "nein")), ..TextType::of("boolean") };
    let mut port = port("bills", "/d/bills.csv", FileFormat::Csv, vec![paid, amount, active]);
    (port.files.delimiter, port.files.has_header) = (Some(b';'), false);
    (port.files.text.quote, port.files.text.encoding) = (Some(b'\''), Some("windows-1252".to_owned()));
    let text = contract(&shop(), &port, None);
    for part in [
        "  encoding: windows-1252\n  customProperties:\n",
        "  - {property: portolan.delimiter, value: \";\"}\n",
        "  - {property: portolan.quote, value: \"'\"}\n",
        "  - {property: portolan.header, value: false}\n",
        "    physicalName: Paid on\n    logicalType: date\n    logicalTypeOptions: {format: dd.MM.yyyy}\n",
        "    physicalType: \"DECIMAL(18,2)\"\n",
        "    - {property: portolan.decimalSeparator, value: \",\"}\n",
        "    - {property: portolan.thousandsSeparator, value: \".\"}\n",
        "    - {property: portolan.nullValues, value: [\"\", \"NULL\"]}\n",
        "    - {property: portolan.trueValues, value: [\"ja\"]}\n",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[test]
fn paths_are_relative_to_the_contract() {
    let orders = port("orders", "/srv/shop/data/orders.csv", FileFormat::Csv, vec![]);
    let text = contract(&shop(), &orders, Some(Path::new("/srv/shop/products/sales")));
    assert!(text.contains("  path: ../../data/orders.csv\n"), "{text}");
    let lake = port("orders", "s3://lake/orders/*.parquet", FileFormat::Parquet, vec![]);
    let text = contract(&shop(), &lake, Some(Path::new("/srv/shop/products/sales")));
    assert!(text.contains("  type: s3\n  location: \"s3://lake/orders/*.parquet\"\n"), "{text}");
}

#[test]
fn strings_of_yaml_stay_strings() {
    for (value, expected) in [
        ("sales", "sales"),
        ("0.1.0", "0.1.0"),
        ("../../data/a b.csv", "../../data/a b.csv"),
        ("yes", "\"yes\""),
        ("2024", "\"2024\""),
        ("a: b", "\"a: b\""),
        ("a #b", "\"a #b\""),
        ("x\ny", "\"x\\ny\""),
        ("", "\"\""),
        ("größe", "\"größe\""),
    ] {
        assert_eq!(yaml_string(value), expected);
    }
}
