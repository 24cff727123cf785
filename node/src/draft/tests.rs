//! Drafts from real files: the contracts that they become, and the rows that a node reads with them.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

use arrow::util::pretty::pretty_format_batches;
use portolan_catalog::{DomainName, load_domain};
use tempfile::TempDir;

use super::*;

struct Shop(TempDir);

impl Shop {
    fn with<T: AsRef<[u8]>>(files: &[(&str, T)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text.as_ref()).unwrap();
        }
        Self(folder)
    }

    async fn draft(&self) -> Result<ProductDraft> {
        let product = Product { domain: "shop".to_owned(), name: "sales".to_owned(), owner: None };
        let ports = find_ports(&[self.0.path().join("data").to_str().unwrap().to_owned()])?;
        draft_product(product, &ports, &DraftOptions::default(), None).await
    }

    /// Drafts and writes the product. Returns the text of a contract.
    async fn contract(&self, port: &str) -> String {
        let folder = self.products();
        if !folder.exists() {
            self.draft().await.unwrap_or_else(|e| panic!("{}", e.owner_chain())).write(&folder).unwrap();
        }
        fs::read_to_string(folder.join(format!("{port}.odcs.yaml"))).unwrap()
    }

    fn products(&self) -> PathBuf {
        self.0.path().join("products/sales")
    }

    /// Returns the rows of a statement over the written product.
    async fn rows(&self, sql: &str) -> String {
        let catalog = load_domain(&DomainName::new("shop"), &self.0.path().join("products")).unwrap();
        let (sources, runtime) = (FileSources::default(), Arc::default());
        let mut opened = vec![];
        for port in catalog.ports() {
            opened.push(sources.open(port, &runtime).await.unwrap());
        }
        let engine = Engine::builder().runtime_env(runtime).local_domain(LocalDomain::new(catalog, opened));
        let session = engine.build().unwrap().session(Principal::anonymous());
        let batches = session.sql(sql).await.unwrap().collect().await.unwrap();
        let text = pretty_format_batches(&batches).unwrap().to_string();
        text.lines().filter(|line| line.starts_with('|')).skip(1).collect::<Vec<_>>().join("\n")
    }
}

fn assert_has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "expected\n{part}\ngot\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn csv_of_a_country_is_read_with_its_types() {
    let text = "Customer ID;Since;Credit;Active;Zip\n\
                1;24.08.2017;1400,50;ja;01067\n\
                2;01.02.2018;NULL;nein;80331\n";
    let shop = Shop::with(&[("data/Customers.csv", text)]);
    let contract = shop.contract("customers").await;
    assert_has(
        &contract,
        &[
            "from all 2 rows",
            "  path: ../../data/Customers.csv\n  format: csv\n",
            "  - {property: portolan.delimiter, value: \";\"}\n",
            "  - name: customer_id\n    physicalName: Customer ID\n    logicalType: integer\n    primaryKey: true",
            "    logicalType: date\n    logicalTypeOptions: {format: dd.MM.yyyy}\n",
            "    physicalType: \"DECIMAL(18,2)\"\n",
            "  - name: zip\n    physicalName: Zip\n    logicalType: string\n",
        ],
    );
    let rows = shop.rows("SELECT * FROM shop.sales.customers ORDER BY customer_id").await;
    assert_eq!(
        rows,
        "| 1           | 2017-08-24 | 1400.50 | true   | 01067 |\n| 2           | 2018-02-01 |         | false  | 80331 |"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_columns_of_csv_are_those_of_all_files() {
    let shop = Shop::with(&[("data/a1.csv", "id,x\n1,u\n"), ("data/a2.csv", "late,id\n9,2\n")]);
    assert_has(&shop.contract("a").await, &["  - name: late\n    logicalType: integer\n"]);
    let rows = shop.rows("SELECT id, x, late FROM shop.sales.a ORDER BY id").await;
    assert_eq!(rows, "| 1  | u |      |\n| 2  |   | 9    |");
    let shop = Shop::with(&[("data/a1.csv", "id,x\n1,u\n"), ("data/a2.csv", "id;x\n2;v\n")]);
    let refused = shop.draft().await.unwrap_err().owner_chain();
    assert!(refused.contains("a2.csv: it has none of the columns of the other files, only `id;x`"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guesses_about_the_whole_file_are_in_the_summary() {
    let shop = Shop::with(&[("data/a.csv", "1,x\n2,y\n")]);
    assert_eq!(shop.draft().await.unwrap().summary(), ["a: 2 rows, 2 columns, no header, key column_1"]);
    let shop = Shop::with(&[("data/a.csv", b"id,n\n1,gr\xf6\xdfe\n")]);
    assert_eq!(shop.draft().await.unwrap().summary(), ["a: 1 row, 2 columns, encoding windows-1252, key id"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_of_windows_may_come_late() {
    let mut text = "id,name\n".to_owned();
    (0..150_000).for_each(|id| text.push_str(&format!("{id},x\n")));
    let text = [text.as_bytes(), b"-1,gr\xf6\xdfe\n"].concat();
    assert!(text.len() > 1 << 20, "the letters are after the sample");
    let shop = Shop::with(&[("data/a.csv", text)]);
    assert_has(&shop.contract("a").await, &["  encoding: windows-1252\n"]);
    assert_eq!(shop.rows("SELECT name FROM shop.sales.a WHERE id = -1").await, "| größe |");
    // A file that has letters of UTF-8 as well is in no encoding.
    let text = [b"id,name\n".as_slice(), "1,größe\n".repeat(100_000).as_bytes(), b"2,gr\xf6\xdfe\n"].concat();
    let refused = Shop::with(&[("data/a.csv", text)]).draft().await.unwrap_err().owner_chain();
    assert!(refused.contains("line 100002, column `name`: expected text in UTF-8"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_and_references_hold_in_the_data() {
    let shop = Shop::with(&[
        ("data/customers.csv", "id,name\n1,a\n2,b\n"),
        ("data/orders.csv", "order_id,customer_id,clerk_id\n10,1,7\n11,1,7\n12,2,8\n"),
        ("data/lines.csv", "order_id,position,price\n10,1,5\n10,2,6\n11,1,7\n"),
        ("data/clerks.csv", "id,name\n7,x\n9,y\n"),
    ]);
    assert_has(&shop.contract("customers").await, &["  - name: id\n    logicalType: integer\n    primaryKey: true"]);
    let orders = shop.contract("orders").await;
    assert_has(&orders, &["relationships: [{to: customers.id}] # inferred: all 3 values are there\n"]);
    assert!(!orders.contains("clerks"), "8 is no clerk\n{orders}");
    let lines = shop.contract("lines").await;
    assert_has(
        &lines,
        &[
            "unique in 3 rows\n    primaryKeyPosition: 1\n    relationships: [{to: orders.order_id}]",
            "  - name: position\n    logicalType: integer\n    primaryKey: true # inferred: unique in 3 rows\n    primaryKeyPosition: 2\n",
        ],
    );
    let summary = shop.draft().await.unwrap().summary();
    assert_eq!(summary[1], "customers: 2 rows, 2 columns, key id");
    assert_eq!(summary[2], "lines: 3 rows, 3 columns, key order_id and position, order_id refers to orders");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_that_only_looks_like_its_type_makes_the_column_a_string() {
    let shop = Shop::with(&[("data/days.csv", "id,day\n1,30.01.2024\n2,31.02.2024\n")]);
    assert_has(
        &shop.contract("days").await,
        &["  # day: some value is not of the type", "  - name: day\n    logicalType: string\n"],
    );
    let rows = shop.rows("SELECT day FROM shop.sales.days ORDER BY id").await;
    assert_eq!(rows, "| 30.01.2024 |\n| 31.02.2024 |");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_lines_have_dates_and_nested_columns() {
    let text = "{\"id\": 1, \"at\": \"2024-02-29T10:00:00Z\", \"device\": {\"os\": \"x\"}, \"tags\": [1]}\n\
                {\"id\": 2, \"at\": \"2024-03-01T10:00:00Z\", \"tags\": []}\n";
    let shop = Shop::with(&[("data/events.jsonl", text)]);
    assert_has(
        &shop.contract("events").await,
        &[
            "  - name: at\n    logicalType: timestamp\n",
            "    logicalType: object\n    properties:\n    - name: os\n      logicalType: string\n",
            "    logicalType: array\n    items:\n      logicalType: integer\n",
        ],
    );
    let rows = shop.rows("SELECT id, date_part('hour', at) AS h FROM shop.sales.events ORDER BY id").await;
    assert_eq!(rows, "| 1  | 10 |\n| 2  | 10 |");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_columns_of_several_kinds_are_left_out() {
    let text = "{\"b\": {\"x\": 1}, \"day\": \"2024-02-29\", \"a\": [1]}\n\
                {\"b\": 7, \"day\": \"2024-03-01\", \"a\": 2}\n";
    let shop = Shop::with(&[("data/events.jsonl", text)]);
    let contract = shop.contract("events").await;
    assert_has(&contract, &["    logicalType: date\n  # Left out: `a`: ", "  # Left out: `b`: "]);
    assert!(contract.contains("expected a single value, got `[1]`"), "{contract}");
    assert_eq!(shop.rows("SELECT * FROM shop.sales.events ORDER BY day").await, "| 2024-02-29 |\n| 2024-03-01 |");
    let shop = Shop::with(&[("data/events.jsonl", "{\"a\": \"x\"}\n{\"a\": [1 2]}\n")]);
    let refused = shop.draft().await.unwrap_err().owner_chain();
    assert!(refused.contains("line 2: expected a JSON object, got text that is none"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_keeps_its_columns_in_order_and_its_digits() {
    let mut text = "{\"name\": \"a\", \"total\": 1.5}\n".repeat(2000);
    text.push_str("{\"name\": \"b\", \"total\": 9007199254740993, \"late\": true}\n");
    let shop = Shop::with(&[("data/t.jsonl", text)]);
    let parts = ["  - name: name\n    logicalType: string\n", "  - name: total\n    logicalType: string\n"];
    let contract = shop.contract("t").await;
    assert_has(&contract, &[&parts.concat(), "  - name: late\n    logicalType: boolean\n"]);
    assert_eq!(shop.rows("SELECT total FROM shop.sales.t WHERE late").await, "| 9007199254740993 |");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folders_are_columns() {
    let shop = Shop::with(&[
        ("data/shipments/year=2024/month=01/a.csv", "id,kg\n1,2.5\n"),
        ("data/shipments/year=2025/month=02/b.csv", "id,kg\n2,3.5\n"),
    ]);
    assert_has(
        &shop.contract("shipments").await,
        &[
            "  path: ../../data/shipments\n",
            "  - name: year\n    logicalType: integer\n    partitioned: true\n    partitionKeyPosition: 1\n",
            "  - name: month\n    logicalType: integer\n    partitioned: true\n    partitionKeyPosition: 2\n",
        ],
    );
    let rows = shop.rows("SELECT id, year, month FROM shop.sales.shipments ORDER BY id").await;
    assert_eq!(rows, "| 1  | 2024 | 1     |\n| 2  | 2025 | 2     |");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_file_is_replaced() {
    let shop = Shop::with(&[
        ("data/customers.csv", "id\n1\n"),
        ("data/orders.csv", "id\n1\n"),
        ("products/sales/orders.odcs.yaml", "mine"),
    ]);
    let refused = shop.draft().await.unwrap().write(&shop.products()).unwrap_err();
    assert_eq!(refused.kind(), crate::ErrorKind::Config);
    assert!(refused.owner_chain().contains("orders.odcs.yaml exists already"), "{}", refused.owner_chain());
    let left: Vec<_> = fs::read_dir(shop.products()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["orders.odcs.yaml"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_that_cannot_be_read_is_an_error_with_its_file() {
    let shop = Shop::with(&[("data/orders.parquet", "no parquet")]);
    let refused = shop.draft().await.unwrap_err().owner_chain();
    assert!(refused.contains("orders.parquet"), "{refused}");
    let product = Product { domain: "portolan".to_owned(), name: "sales".to_owned(), owner: None };
    let shop = Shop::with(&[("data/a.csv", "id\n1\n")]);
    let ports = find_ports(&[shop.0.path().join("data/a.csv").to_str().unwrap().to_owned()]).unwrap();
    let refused = draft_product(product, &ports, &DraftOptions::default(), None).await.unwrap_err();
    assert!(refused.owner_chain().contains("the engine reserves this name"), "{}", refused.owner_chain());
}

#[test]
fn data_is_in_the_folder_of_all_files() {
    assert_eq!(summary::folder_of("/srv/data/a-*.csv"), Path::new("/srv/data/"));
    assert_eq!(summary::folder_of("/srv/nothing/a.csv"), Path::new("/srv/nothing"));
}
