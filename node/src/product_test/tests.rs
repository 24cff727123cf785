//! Data that breaks rules of each kind, and data that does not.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

/// Writes the product `shop` of the domain `retail`: for each port a contract with this schema object, over
/// `data/<port>.csv`, unless the object has a query.
fn shop(ports: &[(&str, Value, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for part in ["products", "data"] {
        fs::create_dir(folder.path().join(part)).unwrap();
    }
    let write = |path: String, text: String| fs::write(folder.path().join(path), text).unwrap();
    let outputs: Vec<_> =
        ports.iter().map(|(name, ..)| json!({ "name": name, "version": "1", "contractId": name })).collect();
    let product = json!({
        "apiVersion": "v1.0.0", "kind": "DataProduct", "id": "shop", "name": "shop", "status": "active",
        "domain": "retail", "outputPorts": outputs,
    });
    write("products/product.yaml".to_owned(), product.to_string());
    for (name, object, data) in ports {
        let mut object = object.clone();
        object["name"] = json!(name);
        let path = format!("../data/{name}.csv");
        let servers = json!([{ "server": "files", "type": "local", "path": path, "format": "csv" }]);
        let mut contract = json!({
            "apiVersion": "v3.2.0", "kind": "DataContract", "id": name, "version": "1", "status": "active",
            "schema": [object],
        });
        if object["customProperties"].is_null() {
            contract["servers"] = servers;
        }
        write(format!("products/{name}.yaml"), serde_json::to_string_pretty(&contract).unwrap());
        write(format!("data/{name}.csv"), (*data).to_owned());
    }
    folder
}

/// Tests all ports. There must be as many as the caller expects.
async fn tested<const N: usize>(folder: &Path, full: bool) -> [PortReport; N] {
    let config = NodeConfig::parse("domain: retail\n", &folder.join("node.yaml")).unwrap();
    let options = TestOptions { full, ..TestOptions::default() };
    test_products(&config, &options).await.unwrap().ports.try_into().unwrap()
}

/// Tests one port, over a sample and over everything: both find the same in a small port. Returns the rules with this
/// outcome.
async fn rules(object: Value, data: &str, outcome: Outcome) -> Vec<String> {
    let folder = shop(&[("orders", object, data)]);
    let mut found = vec![];
    for full in [false, true] {
        let [report] = tested(folder.path(), full).await;
        assert!(report.error.is_none() && report.faults.is_empty() && report.complete, "{report:?}");
        found.push(report.with(outcome).map(RuleReport::text).collect::<Vec<_>>());
    }
    assert_eq!(found[0], found[1]);
    found.remove(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_break_a_rule_are_counted_and_shown() {
    let object = json!({ "properties": [
        { "name": "id", "logicalType": "integer", "primaryKey": true },
        { "name": "state", "logicalType": "string", "enum": [{ "value": "open" }, { "value": "paid" }] },
        { "name": "amount", "logicalType": "integer", "logicalTypeOptions": { "minimum": 0, "multipleOf": 5 } },
        { "name": "code", "logicalType": "string",
          "logicalTypeOptions": { "maxLength": 3, "pattern": "^[A-Z]{2}" } },
        { "name": "day", "logicalType": "date", "logicalTypeOptions": { "maximum": "2030-12-31" } },
    ] });
    let data = "id,state,amount,code,day\n1,open,10,AB1,2024-01-01\n2,paid,20,AB2,2030-12-31\n\
                3,lost,-5,xx,2031-01-01\n3,open,30,AB4,2024-03-01\n,paid,7,AB55,2024-04-01\n";
    assert_eq!(
        rules(object.clone(), data, Outcome::Broken).await,
        [
            "`id`: required: rows without a value: 1 of 5, such as the row with state = paid, amount = 7",
            "`state`: enum: rows with another value: 1 of 5, such as `lost` (id = 3)",
            "`amount`: minimum 0: rows with a value out of range: 1 of 5, such as `-5` (id = 3)",
            "`amount`: multipleOf 5: rows with a value that is no multiple: 1 of 5, such as `7` (id = NULL)",
            "`code`: maxLength 3: rows with a value of another size: 1 of 5, such as `AB55` (id = NULL)",
            "`code`: pattern `^[A-Z]{2}`: rows with a value that does not match: 1 of 5, such as `xx` (id = 3)",
            "`day`: maximum 2030-12-31: rows with a value out of range: 1 of 5, such as `2031-01-01` (id = 3)",
            "`id`: primaryKey: values that occur more than once: 1, in 2 of 5 rows, such as `3` (2 times)",
        ]
    );
    let good = "id,state,amount,code,day\n1,open,10,AB1,2024-01-01\n2,paid,,,\n";
    assert_eq!(rules(object.clone(), good, Outcome::Broken).await, [] as [&str; 0]);
    assert_eq!(rules(object.clone(), good, Outcome::NotChecked).await, [] as [&str; 0]);
    assert_eq!(rules(object, good, Outcome::Holds).await.len(), 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_several_columns_is_unique_together() {
    let object = json!({ "properties": [
        { "name": "a", "logicalType": "integer", "primaryKey": true, "primaryKeyPosition": 1 },
        { "name": "b", "logicalType": "string", "primaryKey": true, "primaryKeyPosition": 2 },
        { "name": "c", "logicalType": "string", "unique": true },
    ] });
    let data = "a,b,c\n1,x,p\n1,y,\n2,x,\n1,y,q\n2,z,q\n";
    assert_eq!(
        rules(object, data, Outcome::Broken).await,
        [
            "`c`: unique: values that occur more than once: 1, in 2 of 5 rows, such as `q` (2 times)",
            "`a`, `b`: primaryKey: values that occur more than once: 1, in 2 of 5 rows, such as `1`, `y` (2 times)",
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quality_rules_are_checked_or_listed() {
    let object = json!({
        "properties": [
            { "name": "id", "logicalType": "integer", "quality": [
                { "metric": "duplicateValues", "mustBeLessThan": 1 },
                { "metric": "nullValues", "mustBeLessOrEqualTo": 25, "unit": "percent" },
                { "metric": "nullValues", "mustBeLessThan": 25, "unit": "percent", "severity": "warning" },
            ] },
            { "name": "unit", "logicalType": "string", "quality": [
                { "metric": "missingValues", "mustBe": 0, "arguments": { "missingValues": [null, "n/a"] } },
                { "name": "units", "metric": "invalidValues", "mustBe": 1, "arguments": { "validValues": ["kg", "n/a"] } },
                { "metric": "invalidValues", "mustBe": 0, "arguments": { "pattern": "(?=a)" } },
                { "type": "text", "description": "Somebody measured it." },
            ] },
        ],
        "quality": [
            { "metric": "rowCount", "mustBeBetween": [1, 3] },
            { "type": "sql", "query": "SELECT count(*) FROM {object} WHERE unit = 'kg'", "mustBe": 2 },
            { "type": "sql", "query": "SELECT max(id) FROM orders;", "mustBeGreaterThan": 7 },
            { "type": "sql", "query": "CREATE TABLE taken AS SELECT 1", "mustBe": 1 },
            { "type": "sql", "query": "SELECT id FROM {object}", "mustBe": 1 },
        ],
    });
    let data = "id,unit\n7,kg\n7,kg\n8,n/a\n,lb\n";
    assert_eq!(
        rules(object.clone(), data, Outcome::Broken).await,
        [
            "`id`: duplicateValues mustBeLessThan 1: got 1, such as `7` (2 times)",
            "`unit`: missingValues mustBe 0: got 1, such as `n/a` (id = 8)",
            "rowCount mustBeBetween [1, 3]: got 4",
        ]
    );
    let warnings = rules(object.clone(), data, Outcome::Warning).await;
    let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
    assert!(warning.starts_with("`id`: nullValues mustBeLessThan 25 percent: got 25.000 percent, 1 of 4 rows"));
    assert_eq!(
        rules(object.clone(), data, Outcome::Holds).await,
        [
            "`id`: nullValues mustBeLessOrEqualTo 25 percent",
            "`unit`: invalidValues mustBe 1 (units)",
            "sql mustBe 2",
            "sql mustBeGreaterThan 7",
        ]
    );
    let not_checked = rules(object, data, Outcome::NotChecked).await;
    let [pattern, text, change, rows] = not_checked.as_slice() else { panic!("{not_checked:?}") };
    assert!(pattern.starts_with("`unit`: invalidValues mustBe 0: "), "{pattern}");
    assert_eq!(text, "`unit`: text (Somebody measured it.): it is for readers");
    assert_eq!(change, "sql mustBe 1: only a query that reads runs here");
    assert_eq!(rows, "sql mustBe 1: expected one row, got more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn references_are_checked_within_the_domain() {
    let people = json!({ "properties": [{ "name": "id", "logicalType": "integer", "primaryKey": true }] });
    let reference =
        |name: &str, to: &str| json!({ "name": name, "logicalType": "integer", "relationships": [{ "to": to }] });
    let orders = json!({ "properties": [
        reference("buyer", "people.id"),
        reference("payer", "retail.shop.people.id"),
        reference("nation", "geo.places.nation.id"),
    ] });
    let data = "buyer,payer,nation\n1,2,1\n4,,1\n,1,1\n";
    let folder = shop(&[("orders", orders, data), ("people", people, "id\n1\n2\n")]);
    for full in [false, true] {
        let [orders, people] = tested(folder.path(), full).await;
        assert!(!people.is_broken());
        let of = |outcome| orders.with(outcome).map(RuleReport::text).collect::<Vec<_>>();
        assert_eq!(
            of(Outcome::Broken),
            ["`buyer`: references people (id): rows with a value that is not there: 1 of 3, such as `4` (payer = \
                 NULL, nation = 1)"]
        );
        assert_eq!(of(Outcome::Holds), ["`payer`: references retail.shop.people (id)"]);
        assert_eq!(
            of(Outcome::NotChecked),
            ["`nation`: references geo.places.nation (id): geo.places.nation is a port of another domain"]
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rows_of_a_query_are_tested() {
    let orders = json!({ "properties": [
        { "name": "id", "logicalType": "integer" },
        { "name": "amount", "logicalType": "integer" },
    ] });
    let totals = |query: &str| {
        json!({
            "customProperties": [{ "property": "portolan.query", "value": query }],
            "properties": [
                { "name": "id", "logicalType": "integer", "unique": true, "relationships": [{ "to": "orders.id" }] },
                { "name": "total", "logicalType": "integer", "logicalTypeOptions": { "minimum": 0 } },
            ],
        })
    };
    let data = "id,amount\n1,10\n1,-30\n2,5\n";
    let sums = totals("SELECT id, sum(amount) AS total FROM shop.orders GROUP BY id");
    let folder = shop(&[("orders", orders.clone(), data), ("totals", sums.clone(), "")]);
    for full in [false, true] {
        let [_, totals] = tested(folder.path(), full).await;
        assert_eq!((totals.rows, totals.complete, &totals.error), (2, true, &None));
        assert_eq!(
            totals.with(Outcome::Broken).map(RuleReport::text).collect::<Vec<_>>(),
            ["`total`: minimum 0: rows with a value out of range: 1 of 2, such as `-20` (id = 1)"]
        );
        assert_eq!(totals.with(Outcome::Holds).count(), 2);
    }
    // A query with faults, a query over a port that is not open, and a query that fails.
    let gone = json!({ "properties": [
        { "name": "id", "logicalType": "integer" },
        { "name": "other", "logicalType": "integer" },
    ] });
    let fails = totals("SELECT id, amount / (id - id) AS total FROM shop.orders");
    for (orders, query, expected) in [
        (orders.clone(), totals("SELECT id FROM shop.orders"), "the query returns no column `total`"),
        (gone, sums, "the query reads port retail.shop.orders, which is not open"),
        (orders, fails, "division by zero"),
    ] {
        let folder = shop(&[("orders", orders, data), ("totals", query, "")]);
        let [_, totals] = tested(folder.path(), false).await;
        let error = totals.error.unwrap();
        assert!(error.contains("totals.yaml") && error.contains(expected), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sample_leaves_open_what_it_does_not_decide() {
    let object = json!({
        "properties": [{ "name": "id", "logicalType": "integer", "required": true }],
        "quality": [
            { "metric": "rowCount", "mustBe": 10_050 },
            { "type": "sql", "query": "SELECT max(id) FROM ${table}", "mustBe": 10_049 },
        ],
    });
    let data: String = std::iter::once("id\n".to_owned()).chain((0..10_050).map(|id| format!("{id}\n"))).collect();
    let folder = shop(&[("orders", object, &data)]);
    let [sample] = tested(folder.path(), false).await;
    assert_eq!((sample.rows, sample.complete), (10_000, false));
    assert_eq!(sample.with(Outcome::Holds).map(|rule| rule.rule.as_str()).collect::<Vec<_>>(), ["required"]);
    assert!(sample.with(Outcome::NotChecked).all(|rule| rule.message.contains("--full")));
    assert_eq!(sample.with(Outcome::NotChecked).count(), 2);
    let [full] = tested(folder.path(), true).await;
    assert_eq!((full.rows, full.complete), (10_050, true));
    assert_eq!(full.with(Outcome::Holds).count(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_that_cannot_be_read_is_an_error_and_no_rule_holds_over_it() {
    let object = json!({ "properties": [{ "name": "id", "logicalType": "integer", "required": true }] });
    let gone = json!({ "properties": [{ "name": "other", "logicalType": "integer" }] });
    let good = ("people", object.clone(), "id\n1\n");
    let folder = shop(&[("orders", object, "id\n1\nmany\n"), good, ("stock", gone, "id\n1\n")]);
    for full in [false, true] {
        let [orders, people, stock] = tested(folder.path(), full).await;
        let said: String = orders.error.iter().chain(orders.faults.iter().map(|f| &f.message)).cloned().collect();
        assert!(orders.is_broken() && said.contains("orders.csv") && said.contains("many"), "{said}");
        assert_eq!(orders.with(Outcome::NotChecked).count(), 1);
        assert!(!people.is_broken());
        let error = stock.error.unwrap();
        assert!(error.contains("stock.yaml") && error.contains("`other`"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_of_classified_columns_are_not_shown() {
    let object = json!({ "properties": [
        { "name": "mail", "logicalType": "string", "classification": "restricted", "unique": true,
          "logicalTypeOptions": { "pattern": "@" } },
        { "name": "id", "logicalType": "integer" },
    ] });
    assert_eq!(
        rules(object, "mail,id\nann,1\nbob@b,2\nbob@b,3\n", Outcome::Broken).await,
        [
            "`mail`: unique: values that occur more than once: 1, in 2 of 3 rows",
            "`mail`: pattern `@`: rows with a value that does not match: 1 of 3, such as the row with id = 1",
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_has_no_products() {
    let error = test_products(&NodeConfig::default(), &TestOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::Config);
}
