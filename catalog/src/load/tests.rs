//! Tests of real folders, good and bad. Each folder of `testdata/bad` has files with errors, and `expected.txt` with
//! the exact messages that a user sees. `UPDATE_EXPECTED=1` rewrites the `expected.txt` files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod databases;

use std::path::PathBuf;

use super::*;
use crate::lint::lint;
use crate::model::FileFormat;

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

fn sales() -> DomainName {
    DomainName::new("sales")
}

/// Returns the errors of the folder, with paths relative to it.
fn errors(folder: &Path) -> String {
    let errors = load_domain(&sales(), folder).expect_err(&format!("{} must be refused", folder.display()));
    format!("{errors}\n").replace(&format!("{}/", folder.display()), "")
}

#[test]
fn bad_folders_say_what_is_wrong_and_where() {
    let mut wrong = vec![];
    let mut cases: Vec<_> = std::fs::read_dir(testdata().join("bad")).unwrap().map(|e| e.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() > 40);
    for folder in cases {
        let found = errors(&folder);
        let file = folder.join("expected.txt");
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            std::fs::write(&file, &found).unwrap();
        }
        let expected = std::fs::read_to_string(&file).unwrap_or_default();
        if found != expected {
            wrong.push(format!("{}\nexpected:\n{expected}found:\n{found}", folder.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_message_shows_a_credential() {
    for folder in ["server_credentials", "database_address", "database_credentials", "database_credentials_as_keys"] {
        assert!(!errors(&testdata().join("bad").join(folder)).contains("hunter2"), "{folder}");
    }
}

#[test]
fn a_good_folder() {
    let catalog = load_domain(&sales(), &testdata().join("good")).unwrap();
    let names: Vec<_> = catalog.ports().map(|p| p.name.to_string()).collect();
    assert_eq!(
        names,
        [
            "sales.Der Größte See.azure",
            "sales.Der Größte See.folder",
            "sales.Der Größte See.gcs",
            "sales.Der Größte See.s3",
            "sales.Der Größte See.web",
            "sales.orders.lineitem",
            "sales.orders.orders",
        ]
    );
    let product = &catalog.products[&ProductName::new("orders")];
    assert_eq!(product.owner.as_deref(), Some("ana"));
    assert_eq!(product.version.as_deref(), Some("1.2.0"));
    assert_eq!(product.description.as_deref(), Some("Every order that a customer placed, and what is in it."));

    let orders = &product.ports[&PortName::new("orders")];
    let columns: Vec<_> = orders.columns.iter().map(|c| (c.name.as_str(), c.nullable, c.unique)).collect();
    assert_eq!(columns, [("id", false, true), ("email", true, false), ("total", false, false)], "no measures");
    assert_eq!(orders.columns[1].classification.as_deref(), Some("restricted"));
    assert_eq!(orders.columns[1].tags, ["pii.email"]);
    assert_eq!(orders.description.as_deref(), Some("One row an order."));
    assert_eq!(orders.tags, ["finance", "fact"]);
    assert_eq!(orders.primary_key, ["id"]);
    let source = orders.source.as_ref().unwrap();
    let files = source.files().unwrap();
    assert_eq!((source.server.as_str(), files.location.as_str()), ("files", "data/orders.parquet"));
    assert_eq!(files.base, testdata().join("good/orders"));
    assert!(source.declared_at["email"].to_string().ends_with("contract.yaml:19: schema[0].properties[1]"));
    assert!(source.place.to_string().ends_with("contract.yaml:10: servers[1]"));

    let lineitem = &product.ports[&PortName::new("lineitem")];
    assert_eq!(lineitem.primary_key, ["order_id", "position"]);
    assert_eq!(lineitem.description.as_deref(), Some("One row a position of an order."));
    let unique: Vec<_> = lineitem.columns.iter().map(|c| c.unique).collect();
    assert_eq!(unique, [false, false, true]);
    assert_eq!(lineitem.columns[2].enumeration, ["A-1", "7"]);
    assert_eq!(lineitem.columns[1].enumeration, [""; 0]);
}

#[test]
fn sources_of_all_kinds() {
    let catalog = load_domain(&sales(), &testdata().join("good")).unwrap();
    let product = &catalog.products[&ProductName::new("Der Größte See")];
    let source = |port: &str| product.ports[&PortName::new(port)].source.clone().unwrap();
    let files = |port: &str| source(port).files().unwrap().clone();

    let s3 = files("s3");
    assert_eq!((s3.location.as_str(), s3.format, s3.delimiter), ("s3://lake/events/", FileFormat::Csv, Some(b'|')));
    assert_eq!(s3.endpoint.as_deref(), Some("http://127.0.0.1:9000"));
    assert!(!s3.has_header, "the setting applies to the whole contract");
    assert_eq!(s3.partition_columns, ["country", "day"]);

    let gcs = files("gcs");
    assert_eq!((gcs.location.as_str(), gcs.format), ("gs://lake/x/*.jsonl", FileFormat::Json));
    assert_eq!(files("azure").format, FileFormat::Arrow);
    assert_eq!(source("web").server, "web");
    let web = files("web");
    assert_eq!((web.format, web.delimiter), (FileFormat::Csv, Some(b'\t')));
    assert!(web.has_header);
    assert_eq!(files("folder").partition_columns, ["year", "month"]);
}

#[test]
fn the_notation_of_text_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let product = std::fs::read_to_string(testdata().join("bad/text_columns/product.yaml")).unwrap();
    std::fs::write(folder.path().join("product.yaml"), product).unwrap();
    let contract = r##"
apiVersion: v3.2.0
kind: DataContract
id: c
version: 1.0.0
customProperties:
- {property: portolan.nullValues, value: ["NULL"]}
- {property: portolan.quote, value: none}
servers:
- server: files
  type: local
  path: data/orders.csv.gz
  format: csv
  encoding: ISO-8859-1
  customProperties:
  - {property: portolan.delimiter, value: ";"}
  - {property: portolan.decimalSeparator, value: ","}
  - {property: portolan.thousandsSeparator, value: "."}
  - {property: portolan.comment, value: "#"}
  - {property: portolan.allowShortRows, value: true}
schema:
- name: orders
  properties:
  - name: customer_id
    physicalName: Customer ID
    logicalType: integer
    customProperties:
    - {property: portolan.nullValues, value: ["-"]}
    - {property: portolan.thousandsSeparator, value: none}
  - {name: since, physicalName: since, logicalType: date, logicalTypeOptions: {format: dd.MM.yyyy}}
  - {name: credit_limit, logicalType: number, physicalType: "DECIMAL(10,2)"}
"##;
    std::fs::write(folder.path().join("contract.yaml"), contract).unwrap();
    let catalog = load_domain(&sales(), folder.path()).unwrap_or_else(|e| panic!("{e}"));
    let port = catalog.ports().next().unwrap();
    let files = port.source.as_ref().unwrap().files().unwrap();
    assert_eq!((files.format, files.delimiter), (FileFormat::Csv, Some(b';')));
    assert_eq!(files.text.encoding.as_deref(), Some("windows-1252"));
    assert_eq!((files.text.quote, files.text.escape, files.text.comment), (None, None, Some(b'#')));
    assert!(files.text.allows_short_rows && !files.text.allows_long_rows);
    let id = &files.columns["customer_id"];
    assert_eq!((files.name_in_file("customer_id"), files.name_in_file("since")), ("Customer ID", "since"));
    assert_eq!(id.null_values.as_deref(), Some(["-".to_owned()].as_slice()));
    assert!(id.has_decimal_comma && id.thousands_separator.is_none());
    let limit = &files.columns["credit_limit"];
    assert_eq!(limit.null_values.as_deref(), Some(["NULL".to_owned()].as_slice()));
    assert_eq!(limit.thousands_separator, Some('.'));
    assert_eq!(files.columns["since"].pattern.as_ref().unwrap().description, "[day].[month].[year]");
    let types: Vec<_> = port
        .columns
        .iter()
        .map(|column| crate::logical_type::declared_type(column, port.source.as_ref()).unwrap())
        .collect();
    let expected = [arrow_schema::DataType::Int64, arrow_schema::DataType::Date32];
    assert_eq!(types[..2], expected);
    assert_eq!(types[2], arrow_schema::DataType::Decimal128(10, 2));
}

#[test]
fn nested_columns_of_json_have_the_types_of_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let product = std::fs::read_to_string(testdata().join("bad/text_columns/product.yaml")).unwrap();
    std::fs::write(folder.path().join("product.yaml"), product).unwrap();
    let contract = |part: &str| {
        format!(
            r#"
apiVersion: v3.2.0
kind: DataContract
id: c
version: 1.0.0
servers:
- {{server: files, type: local, path: data/orders.json, format: json}}
schema:
- name: orders
  properties:
  - name: address
    logicalType: object
    properties:
    - {{name: zip, logicalType: string{part}}}
    - {{name: tags, logicalType: array, items: {{logicalType: integer}}}}
  - {{name: other, logicalType: object}}
"#
        )
    };
    let file = folder.path().join("contract.yaml");
    std::fs::write(&file, contract("")).unwrap();
    let catalog = load_domain(&sales(), folder.path()).unwrap_or_else(|e| panic!("{e}"));
    let port = catalog.ports().next().unwrap();
    let files = port.source.as_ref().unwrap().files().unwrap();
    let declared = files.columns["address"].data_type.as_ref().unwrap().to_string();
    assert!(declared.contains("zip") && declared.contains("Utf8") && declared.contains("Int64"), "{declared}");
    assert_eq!(files.columns["other"].data_type, None, "the node infers what the contract leaves open");
    std::fs::write(&file, contract(", physicalName: ZIP")).unwrap();
    let refused = errors(folder.path());
    assert!(refused.contains("`zip` has another `physicalName`, which only whole columns can have"), "{refused}");
    for (part, said) in [
        ("number, physicalType: DECIMAL", "a part of the column: expected the digits of the type and of its fraction"),
        ("timestamp, logicalTypeOptions: {defaultTimezone: Europe/Berlin}", "`Europe/Berlin` is not supported"),
    ] {
        let changed = contract("").replace("logicalType: integer", &format!("logicalType: {part}"));
        std::fs::write(&file, changed).unwrap();
        let refused = errors(folder.path());
        assert!(refused.contains(said), "{refused}");
    }
}

#[test]
fn the_version_is_the_same_each_time() {
    let load = || load_domain(&sales(), &testdata().join("good")).unwrap();
    assert_eq!(load(), load());
    assert_eq!(load().version.len(), 64);
}

#[test]
fn a_contract_declares_where_values_may_go() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["product.yaml", "contract.yaml"] {
        let text = std::fs::read_to_string(testdata().join("good/orders").join(file)).unwrap();
        let text = text.replace(
            "- name: orders\n  tags: [fact]\n",
            "- name: orders\n  tags: [fact]\n  customProperties: [{property: portolan.processedAt, value: [geo, supply]}]\n",
        );
        let text = text.replace(
            "{name: id, logicalType: integer,",
            "{name: id, customProperties: [{property: portolan.keys, value: never}], logicalType: integer,",
        );
        std::fs::write(folder.path().join(file), text).unwrap();
    }
    let catalog = load_domain(&sales(), folder.path()).unwrap();
    let port = |name: &str| catalog.port(&ProductName::new("orders"), &PortName::new(name)).unwrap();
    let keys: Vec<_> = port("orders").columns.iter().map(|column| column.keys().word()).collect();
    assert_eq!(keys, ["never", "hash", "ship"], "the second one by its classification");
    assert_eq!(port("orders").processed_at.to_string(), "geo, supply");
    assert!(port("lineitem").processed_at.is_any());
}

#[test]
fn what_travels_has_no_source() {
    let catalog = load_domain(&sales(), &testdata().join("good")).unwrap();
    let text = serde_json::to_string(&catalog).unwrap();
    assert!(!text.contains("data/orders.parquet"));
    let mut back: DomainCatalog = serde_json::from_str(&text).unwrap();
    assert_eq!(back.version, catalog.version);
    assert!(back.ports().all(|p| p.source.is_none() && p.rules.is_empty()));
    assert!(catalog.ports().any(|p| !p.rules.is_empty()));
    back.version.clear();
    assert_eq!(back.with_version().version, catalog.version);
}

#[test]
fn lint_tells_what_could_be_better() {
    let catalog = load_domain(&sales(), &testdata().join("good")).unwrap();
    let root = format!("{}/", testdata().join("good").display());
    let warnings: Vec<_> = lint(&catalog).iter().map(|w| w.to_string().replace(&root, "")).collect();
    for expected in [
        "lake/lake.yml:1: warning: sales.Der Größte See: the product has no owner: name a team, or a member of it with the role `owner`",
        "lake/lake.yml:1: warning: sales.Der Größte See: the product has no description",
        "lake/lake.yml:1: warning: sales.Der Größte See: the product is deprecated",
        "lake/lake.yml:8: outputPorts[1]: warning: sales.Der Größte See.gcs: the port has no description",
        "lake/gcs.yaml:6: servers[0]: warning: sales.Der Größte See.gcs: the port's contract declares no primary key",
        "orders/contract.yaml:20: schema[0].properties[2]: warning: sales.orders.orders.total: the column has no description",
    ] {
        assert!(warnings.iter().any(|w| w == expected), "{expected}\nnot in\n{}", warnings.join("\n"));
    }
    assert!(!warnings.iter().any(|w| w.contains("orders.email: the column is tagged")), "it has a classification");
    assert!(!warnings.iter().any(|w| w.contains("sales.orders:")), "{}", warnings.join("\n"));
}

#[test]
fn personal_data_needs_a_classification() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["product.yaml", "contract.yaml"] {
        let text = std::fs::read_to_string(testdata().join("good/orders").join(file)).unwrap();
        std::fs::write(folder.path().join(file), text.replace("classification: restricted, ", "")).unwrap();
    }
    let warnings = lint(&load_domain(&sales(), folder.path()).unwrap());
    let message = "the column is tagged as personal data and has no classification";
    assert!(warnings.iter().any(|w| w.subject == "sales.orders.orders.email" && w.message == message));
}

#[test]
fn a_port_can_be_a_query() {
    let folder = tempfile::tempdir().unwrap();
    let product = std::fs::read_to_string(testdata().join("bad/query_faults/product.yaml")).unwrap();
    std::fs::write(folder.path().join("product.yaml"), product).unwrap();
    // Another schema object reads the server.
    let contract = "\
apiVersion: v3.2.0
kind: DataContract
id: c
version: 1.0.0
servers:
- {server: files, type: local, path: data/orders.csv, format: csv}
schema:
- name: orders
  properties:
  - {name: id, logicalType: integer}
- name: second
  customProperties:
  - property: portolan.query
    value: SELECT id FROM orders.orders
  properties:
  - {name: id, logicalType: integer, description: Counts up., physicalType: NUMERIC(9)}
";
    std::fs::write(folder.path().join("contract.yaml"), contract).unwrap();
    let catalog = load_domain(&sales(), folder.path()).unwrap();
    let port = |name: &str| catalog.port(&ProductName::new("orders"), &PortName::new(name)).unwrap();
    assert!(!port("orders").is_derived() && port("orders").source.as_ref().unwrap().files().is_some());
    let second = port("second");
    assert!(second.is_derived());
    assert_eq!(second.query().unwrap().text, "SELECT id FROM orders.orders");
    let types = &second.query().unwrap().types;
    assert_eq!(types["id"], arrow_schema::DataType::Decimal128(9, 0));
    assert_eq!(
        crate::logical_type::declared_type(&second.columns[0], second.source.as_ref()).as_ref(),
        types.get("id")
    );
    let source = second.source.as_ref().unwrap();
    assert_eq!((source.server.as_str(), source.files(), source.kind.name()), ("", None, "query"));
    let place = source.place.to_string();
    assert!(place.ends_with("contract.yaml:14: schema[1].customProperties[0].value"), "{place}");
    assert!(source.declared_at["id"].to_string().ends_with("contract.yaml:16: schema[1].properties[0]"));
    // The query stays with the owner.
    assert!(!serde_json::to_string(&catalog).unwrap().contains("SELECT"));
    // The number of bytes is limited.
    let long = contract.replace("SELECT id", &format!("SELECT id{}", " ".repeat(64 << 10)));
    std::fs::write(folder.path().join("contract.yaml"), long).unwrap();
    let error = errors(folder.path());
    assert!(error.starts_with("contract.yaml:14: schema[1].customProperties[0].value: the query has "), "{error}");
}

#[test]
fn folders() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let error = load_domain(&sales(), &missing).unwrap_err().to_string();
    assert!(error.ends_with("missing: the folder cannot be read: No such file or directory (os error 2)"), "{error}");

    let empty = load_domain(&sales(), folder.path()).unwrap();
    assert!(empty.products.is_empty());
    assert_eq!(lint(&empty)[0].to_string(), "warning: sales: the domain publishes nothing");

    std::fs::create_dir(folder.path().join(".git")).unwrap();
    std::fs::write(folder.path().join(".git/x.yaml"), "nonsense").unwrap();
    std::fs::write(folder.path().join("notes.txt"), "nonsense").unwrap();
    assert!(load_domain(&sales(), folder.path()).unwrap().products.is_empty(), "neither is a descriptor");

    let deep = (0..9).fold(folder.path().to_path_buf(), |f, i| f.join(i.to_string()));
    std::fs::create_dir_all(&deep).unwrap();
    assert!(errors(folder.path()).contains("more than 8 folders deep"));
}

#[test]
fn the_products_name_their_domain() {
    let folder = tempfile::tempdir().unwrap();
    let root = format!("{}/", folder.path().display());
    let found = || {
        domain_of(folder.path()).map_err(|e| e.to_string().replace(&root, "").replace(root.trim_end_matches('/'), "."))
    };
    let write = |file: &str, text: &str| std::fs::write(folder.path().join(file), text).unwrap();
    assert_eq!(
        found(),
        Err(".: no product below this folder has the key `domain`: name the domain yourself".to_owned())
    );
    write("contract.yaml", "kind: DataContract\ndomain: other\n");
    write("broken.yaml", "kind: DataProduct\ndomain: [\n");
    write("a.yaml", "kind: DataProduct\ndomain: sales\n");
    write("b.yaml", "kind: DataProduct\nname: b\n");
    assert_eq!(found(), Ok(sales()));
    write("c.yaml", "kind: DataProduct\nname: c\ndomain: supply\n");
    let several = "the products below this folder belong to several domains, such as `sales` and `supply`";
    assert!(found().unwrap_err().starts_with(&format!("c.yaml:3: domain: {several}")), "{:?}", found());
}

#[test]
fn all_servers_of_the_contracts_are_known() {
    let loaded = load_descriptors(&sales(), &testdata().join("good")).unwrap();
    let servers: Vec<_> = loaded.servers.iter().map(String::as_str).collect();
    assert_eq!(loaded.catalog, load_domain(&sales(), &testdata().join("good")).unwrap());
    // The contract of orders has a server that the node does not read.
    assert_eq!(servers, ["bus", "disk", "files", "lake", "rows", "rpc", "web"]);
}

#[test]
fn domains_that_cannot_be() {
    let load = |name: &str| load_domain(&DomainName::new(name), Path::new("products")).unwrap_err().to_string();
    assert_eq!(load("Portolan"), "products: the domain cannot be called `Portolan`: the engine reserves this name");
    assert_eq!(load(""), "products: the domain's name is not valid: a name may not be empty");
}

/// The YAML examples in the book load as one folder, and the book names their ports. The tests above expect the errors
/// that the book shows.
#[test]
fn the_book_is_right() {
    let book = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/src/descriptors.md");
    let book = std::fs::read_to_string(book).unwrap();
    let blocks = |language: &str| {
        let open = format!("```{language}\n");
        book.split(&open).skip(1).map(|b| b.split("```").next().unwrap().to_string()).collect::<Vec<_>>()
    };
    let folder = tempfile::tempdir().unwrap();
    for block in blocks("yaml") {
        let path = block.lines().next().and_then(|l| l.strip_prefix("# products/")).expect("names its file");
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &block).unwrap();
    }
    let catalog = load_domain(&sales(), folder.path()).unwrap_or_else(|e| panic!("{e}"));
    for port in catalog.ports() {
        assert!(book.contains(&port.name.to_string()), "the book does not name {}", port.name);
    }
    assert!(catalog.ports().count() >= 3);

    let cases = std::fs::read_dir(testdata().join("bad")).unwrap();
    let known: String =
        cases.map(|c| std::fs::read_to_string(c.unwrap().path().join("expected.txt")).unwrap()).collect();
    let shown = blocks("text");
    assert!(!shown.is_empty());
    for line in shown.iter().flat_map(|b| b.lines()) {
        assert!(known.lines().any(|l| l == line.replace("products/", "")), "no test expects: {line}");
    }
}
