//! The first hour of three kinds of users, from the first command to what they came for: an analyst, a data engineer, and a
//! developer who embeds the engine.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use portolan_engine::connectors::node::{NodeOptions, NodeSite};
use portolan_engine::{Engine, ErrorKind, Principal, ScalarValue};
use portolan_flight_server::hash_password;
use portolan_node::client::{Client, ConnectOptions};
use portolan_tests::mesh::{Mesh, until, within};
use portolan_tests::node::{Node, example, output, run};
use portolan_tests::rows::{count, failure, text};
use portolan_tests::terminal::Prompt;
use portolan_tests::ways::{lines, table};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(60);
/// The customers of each region: a join of the domains `sales` and `geo`.
const CUSTOMERS: &str = "SELECT r_name AS region, count(*) AS customers FROM sales.customers.customer \
                         JOIN geo.places.nation ON c_nationkey = n_nationkey \
                         JOIN geo.places.region ON n_regionkey = r_regionkey GROUP BY r_name ORDER BY r_name";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_analyst_joins_two_domains_and_takes_the_rows_home() {
    within(240, async {
        let gateway = Mesh::shared().await.gateway().url();
        tokio::task::spawn_blocking(move || analyst(gateway)).await.unwrap();
    })
    .await;
}

fn analyst(gateway: &str) {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let mut prompt = Prompt::start(&["sql", "--url", gateway], folder.path(), &[("PORTOLAN_RC", Path::new(""))]);
    prompt.wait_for("> ", 1);
    prompt.type_in("\\d\r");
    prompt.wait_for("lineitem", 1);
    prompt.type_in("\\d geo.places.nation\r");
    prompt.wait_for("VARCHAR", 1);
    prompt.type_in("SELECT n_nam FROM geo.places.nation;\r");
    prompt.wait_for("did you mean `n_name`? (line 1, column 8)", 1);
    prompt.type_in(&format!("{CUSTOMERS};\r"));
    prompt.wait_for("MIDDLE EAST │       317", 1);
    prompt.type_in(&format!("\\copy ({CUSTOMERS}) to '{}'\r", file("regions.parquet")));
    prompt.wait_for("5 rows copied to", 1);
    prompt.type_in("\\q\r");
    let (code, shown) = prompt.end();
    assert_eq!(code, Some(0), "{shown}");

    // The same in a script, and back again: the rows at home join with the mesh.
    let sql = |arguments: &[&str]| run(&[&["sql", "--url", gateway][..], arguments].concat(), &[]);
    let (code, out, err) = sql(&["-c", CUSTOMERS, "--output", &file("regions.csv")]);
    assert_eq!((code, out.as_str()), (Some(0), ""), "{err}");
    let expected = "region,customers\nAFRICA,302\nAMERICA,300\nASIA,309\nEUROPE,272\nMIDDLE EAST,317\n";
    assert_eq!(fs::read_to_string(file("regions.csv")).unwrap(), expected);
    let joined = format!(
        "SELECT region, count(*) AS nations FROM '{}' JOIN geo.places.region ON r_name = region \
         JOIN geo.places.nation ON n_regionkey = r_regionkey WHERE customers > 302 GROUP BY region ORDER BY region",
        file("regions.parquet")
    );
    let (code, out, err) = sql(&["--format", "csv", &joined]);
    assert_eq!((code, out.as_str()), (Some(0), "region,nations\nASIA,5\nMIDDLE EAST,5\n"), "{err}");
    let (code, out, err) = sql(&["-c", "SELECT 1", "-c", "SELECT n_nam FROM geo.places.nation"]);
    assert!(code == Some(1) && out.contains("(1 row)") && err.contains("did you mean `n_name`?"), "{out}{err}");
}

const PRODUCT: &str = "\
apiVersion: v1.0.0
kind: DataProduct
id: orders
name: orders
version: 1.0.0
status: active
domain: shop
outputPorts:
- {name: orders, version: 1.0.0, contractId: orders}
";

const CONTRACT: &str = r#"apiVersion: v3.2.0
kind: DataContract
id: orders
version: 1.0.0
status: active
servers:
- server: files
  type: local
  path: ../data/orders.csv
  format: csv
  customProperties:
  - {property: portolan.delimiter, value: ";"}
  - {property: portolan.decimalSeparator, value: ","}
  - {property: portolan.thousandsSeparator, value: "."}
schema:
- name: orders
  properties:
  - {name: order_id, physicalName: Bestellnr, logicalType: integer, primaryKey: true}
  - {name: ordered_on, physicalName: Datum, logicalType: date, logicalTypeOptions: {format: dd.MM.yyyy}}
  - {name: amount, physicalName: Betrag, logicalType: number, physicalType: "DECIMAL(10,2)"}
"#;

/// The command that tests the data of the domain against its contract.
const TEST: [&str; 6] = ["product", "test", "--products", "@/products", "--domain", "shop"];

/// The folder of a domain `shop`, whose data is a table of a spreadsheet.
struct Shop(PathBuf);

impl Shop {
    fn write(&self, name: &str, content: &str) {
        let file = self.0.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
    }

    /// Runs the checks of descriptors and of data, and returns the exit code and the errors.
    async fn check(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let arguments: Vec<_> = arguments.iter().map(|a| a.replace('@', self.0.to_str().unwrap())).collect();
        let checked = move || run(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), &[]);
        let (code, _, err) = tokio::task::spawn_blocking(checked).await.unwrap();
        (code, err)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_engineer_serves_a_spreadsheet_as_a_product() {
    within(300, async {
        let folder = tempfile::tempdir().unwrap();
        let shop = Shop(folder.path().join("shop"));
        shop.write("data/orders.csv", "Bestellnr;Datum;Betrag\n1;05.01.2026;10,50\n2;06.01.2026;1.020,00\n");
        drafts(&shop).await;
        shop.write("products/orders.yaml", CONTRACT);
        // A mistake in a descriptor, which the check explains.
        shop.write("products/product.yaml", &PRODUCT.replace("contractId", "contractID"));
        let lint = ["catalog", "lint", "--products", "@/products", "--domain", "shop"];
        let (code, err) = shop.check(&lint).await;
        let mistake = "product.yaml:9: outputPorts[0].contractID: unknown key `contractID`; did you mean `contractId`?";
        assert!(code == Some(2) && err.contains(mistake), "{err}");
        shop.write("products/product.yaml", PRODUCT);
        for command in [&lint[..], &TEST[..]] {
            let (code, err) = shop.check(command).await;
            assert_eq!(code, Some(0), "{err}");
        }
        let sources = json!({ "files": { "root": shop.0 } });
        let config = json!({
            "domain": "shop", "listen": "127.0.0.1:0", "sources": sources, "statistics_interval": "1s",
        });
        shop.write("node.yaml", &config.to_string());
        let (code, err) = shop.check(&["serve", "--check", "--config", "@/node.yaml"]).await;
        assert_eq!(code, Some(0), "{err}");

        let owner = Node::start(&shop.0, config);
        let peers = json!({ "peers": [{ "url": owner.url() }], "refresh_interval": "500ms" });
        let gateway = Node::start(&folder.path().join("gateway"), peers.clone());
        let analyst = gateway.client().await;
        serves(&shop, &owner, &analyst).await;
        add_user(&gateway, peers).await;
    })
    .await;
}

/// Drafts a contract from the data, for the engineer to edit.
async fn drafts(shop: &Shop) {
    let draft = ["product", "init", "@/data/orders.csv", "--domain", "shop", "--out", "@/draft", "--yes"];
    let (code, err) = shop.check(&draft).await;
    assert_eq!(code, Some(0), "{err}");
    let contract = fs::read_to_string(shop.0.join("draft/orders.odcs.yaml")).unwrap();
    let notation =
        ["portolan.thousandsSeparator, value: \".\"", "format: dd.MM.yyyy", "DECIMAL(18,2)", "primaryKey: true"];
    for part in notation {
        assert!(contract.contains(part), "expected `{part}`, got\n{contract}");
    }
}

/// Changes the data and the contract while others query the product.
async fn serves(shop: &Shop, owner: &Node, analyst: &Client) {
    let all = "SELECT count(*) FROM shop.orders.orders";
    until("the gateway knows the product", SOON, async || count(analyst, all).await == Ok(2)).await;
    let shown = text(analyst, "SELECT ordered_on, amount FROM shop.orders.orders WHERE order_id = 2").await;
    assert!(shown.contains("2026-01-06") && shown.contains("1020.00"), "{shown}");

    // The next export has a wrong date. The error says where it is, and the corrected file needs nothing else.
    let data =
        |date: &str| format!("Bestellnr;Datum;Betrag\n1;05.01.2026;10,50\n2;06.01.2026;1.020,00\n3;{date};5,00\n");
    shop.write("data/orders.csv", &data("2026/01/07"));
    let (code, err) = shop.check(&TEST).await;
    assert!(code == Some(1) && err.contains("the port breaks its contract"), "{err}");
    let error = failure(analyst, "SELECT max(ordered_on) FROM shop.orders.orders").await;
    let parts = ["shop.orders.orders", "orders.csv", "line 4", "`ordered_on`", "2026/01/07", "dd.MM.yyyy"];
    for part in parts {
        assert!(error.chain().contains(part), "expected `{part}`, got: {}", error.chain());
    }
    shop.write("data/orders.csv", &data("07.01.2026"));
    let seventh = format!("{all} WHERE ordered_on = DATE '2026-01-07' AND amount = 5.00");
    until("the corrected file is read", SOON, async || count(analyst, &seventh).await == Ok(1)).await;

    // A version of the contract with a mistake changes nothing. A valid one publishes another column.
    let column = "  - {name: channel, physicalName: Kanal, logicalType: string}\n";
    let file = "Bestellnr;Datum;Betrag;Kanal\n1;05.01.2026;10,50;web\n2;06.01.2026;1.020,00;\n3;07.01.2026;5,00;shop\n";
    shop.write("data/orders.csv", file);
    shop.write("products/orders.yaml", &format!("{CONTRACT}{}", column.replace("string", "text")));
    owner.signal("HUP");
    let errors = "SELECT count(*) FROM mesh.products WHERE domain = 'shop' AND load_error IS NOT NULL";
    until("the mesh shows the mistake", SOON, async || count(analyst, errors).await == Ok(1)).await;
    until("the last good version answers", SOON, async || count(analyst, all).await == Ok(3)).await;
    shop.write("products/orders.yaml", &format!("{CONTRACT}{column}"));
    owner.signal("HUP");
    let web = format!("{all} WHERE channel = 'web'");
    until("the new column can be read", SOON, async || count(analyst, &web).await == Ok(1)).await;
    assert_eq!(count(analyst, errors).await, Ok(0));
}

/// Adds a user to the config of the running gateway.
async fn add_user(gateway: &Node, mut config: Value) {
    config["listen"] = "127.0.0.1:0".into();
    config["sources"] = json!({ "files": { "root": "/" } });
    config["users"] = json!([{ "name": "ann", "password_hash": hash_password("correct-horse-battery").unwrap() }]);
    fs::write(gateway.home().join("node.yaml"), config.to_string()).unwrap();
    gateway.signal("HUP");
    let credentials = Some(("ann".to_owned(), "correct-horse-battery".to_owned()));
    let login = ConnectOptions { credentials, ..ConnectOptions::default() };
    let queries = async || match Client::connect(gateway.url(), &login).await {
        Ok(ann) => count(&ann, "SELECT count(*) FROM shop.orders.orders").await == Ok(3),
        Err(_) => false,
    };
    until("the new user can query", SOON, queries).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_developer_joins_rows_of_a_program_with_the_mesh() {
    within(240, async {
        let mesh = Mesh::shared().await;
        let urls = [mesh.node("sales").url(), mesh.node("geo").url()];
        // The example runs as it is printed.
        let mut job = Command::new(example("analytics_job"));
        job.args(urls).stdin(Stdio::null());
        let (code, out, err) = tokio::task::spawn_blocking(|| output(job)).await.unwrap();
        assert!(code == Some(0) && out.contains("best: customer "), "{out}{err}");

        // A program of one's own.
        let mut builder = Engine::builder();
        for url in urls {
            builder = builder.peer(Arc::new(NodeSite::new(url, NodeOptions::default()).unwrap()));
        }
        let engine = builder.build().unwrap();
        let refreshed = engine.refresh().await;
        assert!(refreshed.answered.len() == 2 && refreshed.failed.is_empty(), "{:?}", refreshed.failed);
        let session = engine.session(Principal::new("job"));
        let rows = session.sql(CUSTOMERS).await.unwrap().collect().await.unwrap();
        assert_eq!(lines(&rows), ["AFRICA|302", "AMERICA|300", "ASIA|309", "EUROPE|272", "MIDDLE EAST|317"]);

        // A mistake is data: a kind, a position and a suggestion.
        let error = session.sql("SELECT n_nam FROM geo.places.nation").await.unwrap_err();
        assert_eq!((error.kind(), error.suggestion()), (ErrorKind::InvalidQuery, Some("n_name")), "{}", error.chain());
        assert_eq!(error.position().map(|at| (at.line, at.column)), Some((1, 8)), "{}", error.chain());

        let columns: Vec<(&str, ArrayRef)> = vec![
            ("nation", Arc::new(StringArray::from(vec!["FRANCE", "JAPAN", "ATLANTIS"]))),
            ("target", Arc::new(Int64Array::from(vec![5, 7, 9]))),
        ];
        assert_eq!(session.register_batches("targets", vec![table(columns)]).await.unwrap(), 3);
        let sql = "SELECT n_name, target FROM targets JOIN geo.places.nation ON n_name = nation WHERE target > $least";
        let prepared = session.prepare(sql).await.unwrap();
        let values = [("least", ScalarValue::from(5_i64))];
        let rows = prepared.execute_named(&values).await.unwrap().collect().await.unwrap();
        assert_eq!(lines(&rows), ["JAPAN|7"]);
    })
    .await;
}
