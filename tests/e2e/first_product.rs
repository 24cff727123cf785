//! From data to a product that others query: `portolan init` and `portolan product init` with the real program.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use portolan_testbed::mesh::free_addresses;
use portolan_tests::node::{output, program};
use serde_json::Value;
use tempfile::TempDir;

const PASSWORD: &str = "correct-horse-battery";
/// The time limit for the gateway to know the domains.
const SOON: Duration = Duration::from_secs(60);

/// Runs `portolan` in a folder. Returns its exit code, standard output and standard error.
fn portolan(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(program());
    command.args(arguments).current_dir(folder).env("PORTOLAN_PASSWORD", PASSWORD).stdin(Stdio::null());
    output(command)
}

/// Runs `portolan` in a folder. The command must succeed. Returns its standard output.
#[track_caller]
fn succeed(folder: &Path, arguments: &[&str]) -> String {
    let (code, out, err) = portolan(folder, arguments);
    assert_eq!(code, Some(0), "portolan {arguments:?}\n{out}\n{err}");
    out
}

/// A node that runs until this value is dropped.
struct Serving {
    child: Child,
    url: String,
}

impl Serving {
    fn start(folder: &Path, config: &str) -> Self {
        let mut command = Command::new(program());
        command.args(["serve", "--exit-with-stdin", "--config", config]).current_dir(folder);
        let log = File::create(folder.join(config).with_extension("log")).unwrap();
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let log = || fs::read_to_string(folder.join(config).with_extension("log")).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{config} did not start\n{}", log()));
        Self { child, url: ready["url"].as_str().unwrap().to_owned() }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn write(folder: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// Writes the data of two domains below the folders `shop` and `logistics`.
fn data() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let customers = "Customer ID;Name;Since;Credit limit;Active\n\
                     1;Ada;24.08.2017;1400,50;ja\n2;Bob;01.02.2018;NULL;nein\n3;Cleo;15.11.2019;250,00;ja\n";
    let events = r#"{"event_id": "a", "customer_id": 1, "at": "2026-01-03T08:15:00Z", "device": {"os": "x"}}
{"event_id": "b", "customer_id": 3, "at": "2026-02-02T19:30:00Z"}
"#;
    write(
        folder.path(),
        &[
            ("shop/data/Customers.csv", customers),
            ("shop/data/events.jsonl", events),
            ("logistics/data/warehouses.csv", "warehouse_id,city\n1,Berlin\n2,Hamburg\n"),
            (
                "logistics/data/shipments/year=2026/month=01/part-0.csv",
                "shipment_id,order_id,warehouse_id,weight_kg\n100,10,1,2.5\n101,11,2,0.5\n",
            ),
            (
                "logistics/data/shipments/year=2026/month=02/part-0.csv",
                "shipment_id,order_id,warehouse_id,weight_kg\n102,12,1,7.25\n",
            ),
        ],
    );
    let schema = Schema::new(vec![
        Field::new("order_id", DataType::Int64, false),
        Field::new("customer_id", DataType::Int64, false),
        Field::new("note", DataType::Utf8, true),
    ]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![10, 11, 12])),
        Arc::new(Int64Array::from(vec![1, 1, 3])),
        Arc::new(StringArray::from(vec![Some("gift"), None, None])),
    ];
    let orders = RecordBatch::try_new(Arc::new(schema), columns).unwrap();
    let file = File::create(folder.path().join("shop/data/orders.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, orders.schema(), None).unwrap();
    writer.write(&orders).unwrap();
    writer.close().unwrap();
    folder
}

/// Asserts that the text has each of these lines.
#[track_caller]
fn assert_lines(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|own| own == *line), "expected the line\n{line}\ngot\n{text}");
    }
}

#[test]
fn a_node_is_created_from_data_and_serves_it() {
    let folder = data();
    let init = ["init", "shop", "--data", "shop/data", "--product", "sales", "--anonymous", "--listen", "127.0.0.1:0"];
    let out = succeed(folder.path(), &init);
    assert_lines(
        &out,
        &[
            "wrote shop/node.yaml",
            "wrote shop/products/sales/sales.odps.yaml",
            "wrote shop/products/sales/customers.odcs.yaml",
            "customers: 3 rows, 5 columns, key customer_id",
            "events: 2 rows, 4 columns, key event_id, customer_id refers to customers",
            "orders: 3 rows, 3 columns, key order_id, customer_id refers to customers",
            "  portolan serve --check --config shop/node.yaml",
        ],
    );
    let orders = fs::read_to_string(folder.path().join("shop/products/sales/orders.odcs.yaml")).unwrap();
    assert!(orders.contains("required: true # inferred: no file can hold a NULL"), "{orders}");
    let checked = succeed(folder.path(), &["serve", "--check", "--config", "shop/node.yaml"]);
    assert!(checked.contains("shop/node.yaml: no errors"), "{checked}");

    let node = Serving::start(folder.path(), "shop/node.yaml");
    let query = |sql: &str| succeed(folder.path(), &["sql", "--url", &node.url, "--format", "csv", "-c", sql]);
    assert_eq!(
        query("SELECT customer_id, name, since, credit_limit, active FROM shop.sales.customers ORDER BY 1"),
        "customer_id,name,since,credit_limit,active\n1,Ada,2017-08-24,1400.50,true\n2,Bob,2018-02-01,,false\n\
         3,Cleo,2019-11-15,250.00,true\n"
    );
    assert_eq!(
        query("SELECT count(*) AS n, max(date_part('hour', at)) AS h FROM shop.sales.events WHERE at < '2026-02-01'"),
        "n,h\n1,8\n"
    );
    assert_eq!(
        query(
            "SELECT c.name, count(o.note) AS notes FROM shop.sales.orders o JOIN shop.sales.customers c \
             ON o.customer_id = c.customer_id GROUP BY c.name ORDER BY c.name"
        ),
        "name,notes\nAda,1\nCleo,0\n"
    );
}

#[cfg(unix)]
#[test]
fn data_elsewhere_and_behind_links_is_served() {
    let folder = data();
    fs::create_dir(folder.path().join("links")).unwrap();
    std::os::unix::fs::symlink("../shop/data/Customers.csv", folder.path().join("links/buyers.csv")).unwrap();
    let init = ["init", "my node", "--domain", "shop", "--data", "links", "--product", "sales", "--anonymous"];
    let out = succeed(folder.path(), &init);
    assert_lines(&out, &["buyers: 3 rows, 5 columns, key customer_id"]);
    assert!(out.contains("portolan catalog lint --domain shop --products 'my node/products'"), "{out}");
    // In the folder of the config, no argument names it.
    let tested = succeed(&folder.path().join("my node"), &["product", "test"]);
    let expected = ["shop.sales.buyers: no errors in 3 rows; rules: 2 hold", "  holds: primaryKey: `customer_id`"];
    assert_lines(&tested, &expected);
}

#[test]
fn a_product_is_added_to_a_running_node() {
    let folder = data();
    let init = ["init", "logistics", "--anonymous", "--listen", "127.0.0.1:0"];
    succeed(folder.path(), &init);
    let node = Serving::start(folder.path(), "logistics/node.yaml");
    // In the folder of the config, no argument names it.
    let home = folder.path().join("logistics");
    let out = succeed(&home, &["product", "init", "data", "--product", "stock", "--owner", "Team Stock"]);
    assert_lines(
        &out,
        &[
            "wrote products/stock/shipments.odcs.yaml",
            "warehouses: 2 rows, 2 columns, key warehouse_id",
            "shipments: 3 rows, 6 columns, key shipment_id, warehouse_id refers to warehouses",
        ],
    );
    let sql = "SELECT year, month, count(*) AS n FROM logistics.stock.shipments GROUP BY year, month ORDER BY month";
    let started = Instant::now();
    loop {
        let (code, out, err) = portolan(&home, &["sql", "--url", &node.url, "--format", "csv", "-c", sql]);
        if code == Some(0) {
            assert_eq!(out, "year,month,n\n2026,1,2\n2026,2,1\n");
            break;
        }
        assert!(started.elapsed() < SOON, "{err}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn a_gateway_queries_two_domains_over_tls() {
    let folder = data();
    let addresses = free_addresses(3).unwrap();
    let [shop, logistics, gateway] = [0, 1, 2].map(|i| addresses[i].as_str());
    let (shop_url, logistics_url) = (format!("grpc+tls://{shop}"), format!("grpc+tls://{logistics}"));
    let mut arguments = vec!["init", "gateway", "--gateway", "--tls", "--user", "ann", "--listen", gateway];
    arguments.extend(["--peer", shop_url.as_str(), "--peer", logistics_url.as_str()]);
    let out = succeed(folder.path(), &arguments);
    let sql = format!("portolan sql --url grpc+tls://{gateway} --user ann --ca gateway/tls/ca.pem");
    assert_lines(
        &out,
        &[
            "wrote authority/ca-key.pem",
            "Other nodes trust this one with: --trust gateway=gateway/node-public-key.pem",
            &format!("  {sql} -c 'SELECT * FROM mesh.ports'"),
        ],
    );
    let trust = "gateway=gateway/node-public-key.pem";
    for (domain, product, listen) in [("shop", "sales", shop), ("logistics", "stock", logistics)] {
        let data = format!("{domain}/data");
        let mut arguments = vec!["init", domain, "--data", data.as_str(), "--product", product, "--listen", listen];
        arguments.extend(["--tls", "--user", "etl", "--trust", trust]);
        let out = succeed(folder.path(), &arguments);
        assert!(!out.contains("wrote authority"), "the nodes share the authority\n{out}");
        assert!(!out.contains(PASSWORD), "{out}");
    }
    #[cfg(unix)]
    for file in ["authority/ca-key.pem", "gateway/node-key.pem", "shop/tls/key.pem", "shop/node.yaml"] {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(folder.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }

    let nodes =
        ["shop", "logistics", "gateway"].map(|name| Serving::start(folder.path(), &format!("{name}/node.yaml")));
    let sql = "SELECT c.name, w.city, sum(s.weight_kg) AS kg FROM shop.sales.customers c \
               JOIN shop.sales.orders o ON o.customer_id = c.customer_id \
               JOIN logistics.stock.shipments s ON s.order_id = o.order_id \
               JOIN logistics.stock.warehouses w ON w.warehouse_id = s.warehouse_id \
               GROUP BY c.name, w.city ORDER BY c.name, w.city";
    let mut query = vec!["sql", "--url", nodes[2].url.as_str(), "--user", "ann", "--ca", "gateway/tls/ca.pem"];
    query.extend(["--format", "csv", "-c", sql]);
    let started = Instant::now();
    loop {
        let (code, out, err) = portolan(folder.path(), &query);
        if code == Some(0) {
            assert_eq!(out, "name,city,kg\nAda,Berlin,2.5\nAda,Hamburg,0.5\nCleo,Berlin,7.25\n");
            break;
        }
        let log = || fs::read_to_string(folder.path().join("gateway/node.log")).unwrap();
        assert!(started.elapsed() < SOON, "{err}\n{}", log());
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn nothing_is_replaced() {
    let folder = data();
    let init = ["init", "shop", "--data", "shop/data", "--product", "sales", "--anonymous"];
    succeed(folder.path(), &init);
    let config = fs::read_to_string(folder.path().join("shop/node.yaml")).unwrap();
    let (code, out, err) = portolan(folder.path(), &init);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(err.contains("shop/node.yaml exists already"), "{err}");
    assert_eq!(fs::read_to_string(folder.path().join("shop/node.yaml")).unwrap(), config);

    let again = ["product", "init", "shop/data", "--config", "shop/node.yaml", "--product", "sales"];
    let (code, _, err) = portolan(folder.path(), &again);
    assert_eq!(code, Some(2));
    assert!(err.contains("has a product `sales` already"), "{err}");

    fs::write(folder.path().join("customers.odcs.yaml"), "mine").unwrap();
    let here = ["product", "init", "shop/data", "--domain", "shop", "--product", "other", "--out", "."];
    let (code, _, err) = portolan(folder.path(), &here);
    assert_eq!(code, Some(2));
    assert!(err.contains("customers.odcs.yaml exists already"), "{err}");
    assert!(!folder.path().join("other.odps.yaml").exists());

    let elsewhere = ["product", "init", "shop/data", "--domain", "shop", "--product", "other", "--out", "drafts"];
    let out = succeed(folder.path(), &elsewhere);
    assert_lines(&out, &["wrote drafts/other.odps.yaml", "lint: no errors, 17 warnings"]);
}

#[test]
fn what_cannot_be_drafted_is_refused_with_the_reason() {
    let folder = data();
    let refused = |arguments: &[&str]| {
        let (code, out, err) = portolan(folder.path(), arguments);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{err}");
        err
    };
    assert!(refused(&["product", "init", "shop/data"]).contains("`--domain`"));
    assert!(refused(&["product", "init", "nothing.csv", "--domain", "shop"]).contains("no file or folder nothing.csv"));
    let ports = refused(&["product", "init", "shop/data", "--domain", "shop", "--port", "a"]);
    assert!(ports.contains("expected 3 times `--port`") && ports.contains("customers"), "{ports}");
    let twice = ["product", "init", "shop/data", "--domain", "shop", "--port", "a", "--port", "b", "--port", "a"];
    assert!(refused(&twice).contains("`--port a` names two ports"));
    fs::write(folder.path().join("broken.parquet"), "x").unwrap();
    assert!(refused(&["product", "init", "broken.parquet", "--domain", "shop"]).contains("broken.parquet"));
    // A gateway that would send its key without TLS is no valid node, and leaves no files.
    let peer = ["init", "gateway", "--gateway", "--anonymous", "--peer", "grpc://sales.example.org:50051"];
    assert!(refused(&peer).contains("without TLS"));
    assert!(!folder.path().join("gateway").exists());
    let exposed = ["init", "exposed", "--anonymous", "--listen", "0.0.0.0:0"];
    assert!(refused(&exposed).contains("add `--tls`, and `--host NAME`"));
    assert!(!folder.path().join("exposed").exists());
}
