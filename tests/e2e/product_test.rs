//! `portolan product test` and `serve --check` over data that breaks its contract, and over data that does not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;

use portolan_tests::node::{self, run};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The arguments of a test of samples, and of all data. In a small port, both find the same.
const WAYS: [&[&str]; 2] = [&[], &["--full"]];

const GOOD: &str = "id,since,state,mail\n1,2017-08-24,open,ann@example.org\n2,2018-01-31,paid,bob@example.org\n";

/// Writes the product `shop` of the domain `retail` with the ports `customers`, over this data, and `regions`.
fn shop(customers: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for part in ["products", "data"] {
        fs::create_dir(folder.path().join(part)).unwrap();
    }
    let product = json!({
        "apiVersion": "v1.0.0", "kind": "DataProduct", "id": "shop", "name": "shop", "version": "1.0.0",
        "status": "active", "domain": "retail",
        "outputPorts": [
            { "name": "customers", "version": "1.0.0", "contractId": "customers" },
            { "name": "regions", "version": "1.0.0", "contractId": "regions" },
        ],
    });
    write(folder.path(), "products/shop.yaml", &product);
    let customer = json!([
        { "name": "id", "logicalType": "integer", "primaryKey": true },
        { "name": "since", "logicalType": "date", "required": true,
          "logicalTypeOptions": { "minimum": "2000-01-01" } },
        { "name": "state", "logicalType": "string", "enum": [{ "value": "open" }, { "value": "paid" }] },
        { "name": "mail", "logicalType": "string", "classification": "restricted", "unique": true,
          "quality": [{ "type": "text", "description": "Somebody verified it." }] },
    ]);
    write(folder.path(), "products/customers.yaml", &contract("customers", customer));
    write(
        folder.path(),
        "products/regions.yaml",
        &contract("regions", json!([{ "name": "name", "logicalType": "string" }])),
    );
    fs::write(folder.path().join("data/customers.csv"), customers).unwrap();
    fs::write(folder.path().join("data/regions.csv"), "name\nnorth\n").unwrap();
    fs::write(folder.path().join("node.yaml"), "domain: retail\nlisten: 127.0.0.1:0\n").unwrap();
    folder
}

fn contract(name: &str, properties: Value) -> Value {
    let path = format!("../data/{name}.csv");
    json!({
        "apiVersion": "v3.2.0", "kind": "DataContract", "id": name, "version": "1.0.0", "status": "active",
        "servers": [{ "server": "files", "type": "local", "path": path, "format": "csv" }],
        "schema": [{ "name": name, "properties": properties }],
    })
}

fn write(folder: &Path, file: &str, document: &Value) {
    fs::write(folder.join(file), serde_json::to_string_pretty(document).unwrap()).unwrap();
}

/// Runs `portolan product test` with these arguments over the products in a folder.
fn test(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let products = folder.join("products").display().to_string();
    let all: Vec<&str> =
        ["product", "test", "--products", &products].into_iter().chain(arguments.iter().copied()).collect();
    run(&all, &[])
}

/// Runs `serve --check` over the node in a folder. Returns the exit code, and both outputs.
fn check(folder: &Path) -> (Option<i32>, String) {
    let (code, out, err) = node::check(folder.join("node.yaml"));
    (code, out + &err)
}

fn contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "expected `{part}`, got\n{text}");
    }
}

#[test]
fn good_data_has_no_errors() {
    let folder = shop(GOOD);
    for arguments in WAYS {
        let (code, out, err) = test(folder.path(), arguments);
        assert_eq!(code, Some(0), "{out}{err}");
        contains(
            &out,
            &[
                "retail.shop.customers: no errors in 2 rows; rules: 6 hold, 1 not checked\n",
                "  not checked: `mail`: text (Somebody verified it.): it is for readers\n",
                "  holds: required: `id`, `since`\n  holds: minimum 2000-01-01: `since`\n  holds: enum: `state`\n",
                "  holds: unique: `mail`\n  holds: primaryKey: `id`\n",
                "retail.shop.regions: no errors in 1 row\n",
            ],
        );
    }
    let (code, said) = check(folder.path());
    assert_eq!(code, Some(0), "{said}");
    contains(&said, &["node.yaml: no errors"]);
}

#[test]
fn data_that_breaks_its_contract_is_reported_with_rules_and_places() {
    let data = "id,since,state,mail\n1,2017-08-24,lost,a@b\n1,1999-12-31,open,a@b\n,,paid,c@d\n";
    let folder = shop(data);
    let broken = [
        "`id`: required: rows without a value: 1 of 3",
        "`since`: required: rows without a value: 1 of 3",
        "`since`: minimum 2000-01-01: rows with a value out of range: 1 of 3, such as `1999-12-31` (id = 1)",
        "`state`: enum: rows with another value: 1 of 3, such as `lost` (id = 1)",
        "`mail`: unique: values that occur more than once: 1, in 2 of 3 rows",
        "`id`: primaryKey: values that occur more than once: 1, in 2 of 3 rows, such as `1` (2 times)",
    ];
    let contract = fs::read_to_string(folder.path().join("products/customers.yaml")).unwrap();
    let line = contract.lines().position(|line| line.contains("\"enum\"")).unwrap() + 1;
    let place = format!("customers.yaml:{line}: schema[0].properties[2].enum");
    for arguments in WAYS {
        let (code, out, err) = test(folder.path(), arguments);
        assert_eq!(code, Some(1), "{out}{err}");
        contains(&out, &["retail.shop.customers: breaks its contract in 3 rows; rules: 6 broken, 1 not checked\n"]);
        contains(&out, &broken);
        contains(&out, &[place.as_str(), "retail.shop.regions: no errors in 1 row\n"]);
        contains(&err, &["error: 1 of 2 ports break their contracts"]);
        // The mail address is classified.
        assert!(!out.contains("a@b"), "{out}");
    }
    let (code, said) = check(folder.path());
    assert_eq!(code, Some(2), "{said}");
    contains(&said, &broken);
    contains(&said, &[place.as_str(), "port retail.shop.customers: "]);
    assert!(!said.contains("a@b") && !said.contains("retail.shop.regions"), "{said}");
}

#[test]
fn values_that_cannot_be_read_are_reported_with_their_file() {
    let folder = shop("id,since,state,mail\n1,24.08.2017,open,a@b\n");
    for arguments in WAYS {
        let (code, out, err) = test(folder.path(), arguments);
        assert_eq!(code, Some(1), "{out}{err}");
        contains(&out, &["customers.csv", "24.08.2017", "  not checked: 6 rules: the data cannot be read\n"]);
        contains(&out, &["  not checked: `mail`: text (Somebody verified it.): it is for readers\n"]);
        assert_eq!(out.matches("the data cannot be read").count(), 1, "{out}");
    }
    let (code, said) = check(folder.path());
    assert_eq!(code, Some(2), "{said}");
    contains(&said, &["port retail.shop.customers", "customers.csv", "24.08.2017"]);
}

#[test]
fn a_report_in_json_has_every_rule() {
    let folder = shop("id,since,state,mail\n1,2017-08-24,lost,a@b\n");
    let (code, out, err) = test(folder.path(), &["--format", "json", "customers"]);
    assert_eq!(code, Some(1), "{out}{err}");
    contains(&err, &["error: the port breaks its contract"]);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&report["domain"], &report["full"]), (&json!("retail"), &json!(false)));
    let [port] = report["ports"].as_array().unwrap().as_slice() else { panic!("{out}") };
    assert_eq!((&port["port"], &port["rows"]), (&json!("retail.shop.customers"), &json!(1)));
    assert_eq!((&port["complete"], &port["error"], &port["faults"]), (&json!(true), &json!(null), &json!([])));
    let rules: Vec<_> = port["rules"].as_array().unwrap().iter().map(|r| (&r["rule"], &r["outcome"])).collect();
    let expected = [
        ("required", "holds"),
        ("required", "holds"),
        ("minimum 2000-01-01", "holds"),
        ("enum", "broken"),
        ("unique", "holds"),
        ("text", "not_checked"),
        ("primaryKey", "holds"),
    ];
    let expected = expected.map(|(rule, outcome)| (json!(rule), json!(outcome)));
    assert_eq!(rules, expected.iter().map(|(rule, outcome)| (rule, outcome)).collect::<Vec<_>>());
    let broken = &port["rules"][3];
    assert_eq!((&broken["columns"], &broken["examples"]), (&json!(["state"]), &json!(["`lost` (id = 1)"])));
    assert_eq!(broken["field"], "schema[0].properties[2].enum");
    assert!(broken["line"].is_u64() && broken["file"].as_str().unwrap().ends_with("customers.yaml"), "{broken}");
}

#[test]
fn wrong_descriptors_and_names_are_wrong_input() {
    let folder = shop(GOOD);
    let (code, out, err) = test(folder.path(), &["shop.customer"]);
    assert_eq!((code, out.as_str()), (Some(2), ""), "{err}");
    contains(&err, &["no port `shop.customer`", "did you mean `shop.customers`?"]);
    let (code, out, err) = test(folder.path(), &["--domain", "sales"]);
    assert_eq!((code, out.as_str()), (Some(2), ""), "{err}");
    contains(&err, &["shop.yaml:", "belongs to the domain `retail`"]);
    let file = folder.path().join("products/customers.yaml");
    let text = fs::read_to_string(&file).unwrap().replace("\"logicalType\": \"date\"", "\"logicalTyp\": \"date\"");
    fs::write(&file, text).unwrap();
    let (code, out, err) = test(folder.path(), &[]);
    assert_eq!((code, out.as_str()), (Some(2), ""), "{err}");
    contains(&err, &["customers.yaml:", "unknown key `logicalTyp`"]);
}

#[test]
fn a_port_without_data_does_not_keep_others_from_being_tested() {
    let folder = shop(GOOD);
    fs::remove_file(folder.path().join("data/customers.csv")).unwrap();
    let config = folder.path().join("node.yaml").display().to_string();
    let (code, out, err) = run(&["product", "test", "--config", &config], &[]);
    assert_eq!(code, Some(1), "{out}{err}");
    contains(
        &out,
        &["retail.shop.customers: could not be tested\n", "customers.csv", "retail.shop.regions: no errors in 1 row\n"],
    );
    contains(&err, &["error: 1 of 2 ports break their contracts"]);
    let (code, out, err) = run(&["product", "test", "--config", &config, "regions"], &[]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(!out.contains("customers"), "{out}");
}
