//! Policies over CSV files: a product with rules, and one without.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::config::UserConfig;

const POLICIES: &str = r#"
@id("analysts")
permit(principal in Group::"analysts", action == Action::"read", resource is retail::shop::orders)
when { resource has region && resource.region == "EU" };

@id("few")
@row_filter("id < 3")
permit(principal in Group::"auditors", action == Action::"read", resource is retail::shop::orders)
when { context has purpose && context.purpose == "fraud" };

@id("mail") @mask("replace-with-null")
forbid(principal, action == Action::"read", resource == Column::"retail.shop.orders.mail");

@id("note")
forbid(principal, action == Action::"read", resource == Column::"retail.shop.orders.note");
"#;

fn write(folder: &Path, path: &str, text: &str) {
    let path = folder.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Writes the products `shop`, with these policies, and `free`, without any.
fn folder(policies: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let column = |name: &str, ty: &str| json!({ "name": name, "logicalType": ty });
    let columns = [("id", "integer"), ("region", "string"), ("mail", "string"), ("note", "string")];
    let properties: Vec<Value> = columns.map(|(name, ty)| column(name, ty)).to_vec();
    for (product, port, columns, data) in [
        ("shop", "orders", &properties[..], "id,region,mail,note\n1,EU,a@b,x\n2,US,b@b,y\n3,EU,c@b,z\n"),
        ("free", "list", &properties[..1], "id\n1\n"),
    ] {
        let descriptor = json!({
            "apiVersion": "v1.0.0", "kind": "DataProduct", "id": product, "name": product, "status": "active",
            "domain": "retail", "outputPorts": [{ "name": port, "version": "1", "contractId": port }],
        });
        let path = format!("../../data/{port}.csv");
        let contract = json!({
            "apiVersion": "v3.2.0", "kind": "DataContract", "id": port, "version": "1", "status": "active",
            "schema": [{ "name": port, "properties": columns }],
            "servers": [{ "server": "files", "type": "local", "path": path, "format": "csv" }],
        });
        write(folder.path(), &format!("products/{product}/product.yaml"), &descriptor.to_string());
        write(folder.path(), &format!("products/{product}/{port}.yaml"), &contract.to_string());
        write(folder.path(), &format!("data/{port}.csv"), data);
    }
    write(folder.path(), "products/shop/policies/orders.cedar", policies);
    folder
}

fn config(folder: &Path) -> NodeConfig {
    let mut config = NodeConfig::parse("domain: retail\n", &folder.join("node.yaml")).unwrap();
    config.users.push(UserConfig {
        name: "anna".to_owned(),
        password_hash: None,
        node: false,
        groups: ["analysts".to_owned()].into(),
        attributes: BTreeMap::new(),
        admin: false,
    });
    config
}

fn names(ports: &[PortRef]) -> Vec<String> {
    ports.iter().map(ToString::to_string).collect()
}

async fn explained(folder: &Path, change: impl FnOnce(&mut ExplainOptions)) -> Result<Vec<String>> {
    let mut options =
        ExplainOptions { user: "anna".to_owned(), port: "shop.orders".to_owned(), ..ExplainOptions::default() };
    change(&mut options);
    Ok(explain_policies(&config(folder), &options).await?.lines())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_counts_rules_and_finds_errors() {
    let valid = folder(POLICIES);
    let report = check_policies(&config(valid.path())).await.unwrap();
    assert_eq!(report.report.errors, []);
    assert_eq!((report.policy_files, report.rules, report.agreements), (1, 4, 0));
    assert_eq!(names(&report.governed), ["retail.shop.orders"]);
    assert_eq!(names(&report.open), ["retail.free.list"]);
    assert_eq!((report.closed.len(), report.not_open.len()), (0, 0));

    let invalid = folder(&POLICIES.replace("id < 3", "ids < 3"));
    let report = check_policies(&config(invalid.path())).await.unwrap();
    let [error] = report.report.errors.as_slice() else { panic!("{:?}", report.report) };
    let error = error.to_string();
    assert!(error.contains("orders.cedar:6: `@row_filter` is not valid") && error.contains("ids"), "{error}");
    assert_eq!(names(&report.closed), ["retail.shop.orders"]);
    let lines = explained(invalid.path(), |_| {}).await.unwrap();
    assert!(lines[1].starts_with("read: closed: ") && lines[2].contains("portolan policy check"), "{lines:?}");
    let error = test_policies(&config(invalid.path()), &[]).await.unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::Config);

    let error = check_policies(&NodeConfig::default()).await.unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::Config);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decision_is_explained() {
    let folder = folder(POLICIES);
    let has =
        |lines: &[String], part: &str| assert!(lines.iter().any(|line| line.contains(part)), "{part}: {lines:#?}");
    let lines = explained(folder.path(), |_| {}).await.unwrap();
    assert_eq!(lines[0], "retail.shop.orders, as `anna`; groups: analysts");
    assert!(lines[1].starts_with("read: may read the rows where "), "{lines:?}");
    for part in [
        "region = 'EU'",
        "  permitted by: analysts",
        "  `mail`: masked by `replace-with-null`, by: mail",
        "  `note`: hidden, by: note",
        "  as they are: `id`, `region`",
        "insert: denied: `anna` may not insert into `retail.shop.orders`",
        "describe: may see the port in catalogs",
    ] {
        has(&lines, part);
    }

    let audit = |options: &mut ExplainOptions| {
        options.user = "zoe".to_owned();
        options.groups = vec!["auditors".to_owned()];
        options.attributes = vec![("region".to_owned(), "EU".to_owned())];
        options.purpose = Some("fraud".to_owned());
        options.via = vec!["gateway".to_owned()];
    };
    let lines = explained(folder.path(), audit).await.unwrap();
    assert_eq!(
        lines[0],
        "retail.shop.orders, as `zoe`; groups: auditors; attributes: region=EU; purpose: fraud; via: gateway"
    );
    has(&lines, "the config has no user `zoe`");
    has(&lines, "id < 3");
    has(&lines, "permitted by: few");
    let lines = explained(folder.path(), |options| options.groups = vec!["auditors".to_owned()]).await.unwrap();
    has(&lines, "read: denied: `anna` may not read `retail.shop.orders`");
    has(&lines, "  no rule permits it");
    has(&lines, "describe: may see the port in catalogs: no rule is about describing it");
    let lines = explained(folder.path(), |options| options.port = "list".to_owned()).await.unwrap();
    has(&lines, "read: open to everybody");

    let error = explained(folder.path(), |options| options.port = "shop.order".to_owned()).await.unwrap_err();
    assert!(error.to_string().contains("did you mean `shop.orders`?"), "{error}");
    let error = explained(folder.path(), |options| options.port = "retail".to_owned()).await.unwrap_err();
    assert!(error.to_string().contains("retail.free.list, retail.shop.orders"), "{error}");
    let error = explained(folder.path(), |options| options.user = "ana".to_owned()).await.unwrap_err();
    assert!(error.to_string().contains("did you mean `anna`?"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn test_cases_are_compared() {
    let folder = folder(POLICIES);
    let error = test_policies(&config(folder.path()), &[]).await.unwrap_err();
    assert!(error.to_string().starts_with("there are no test cases"), "{error}");
    let cases = r#"cases:
- name: Europe
  as: {user: anna}
  query: SELECT id, region, mail FROM retail.shop.orders ORDER BY id;
  rows: [[1, EU, null], [3, EU, null]]
- name: notes
  as: {user: anna}
  query: SELECT note FROM retail.shop.orders
  refused: hides the column `note`
- name: auditors
  as: {user: zoe, groups: [auditors], purpose: fraud}
  query: SELECT count(*) FROM retail.shop.orders
  rows: [["2"]]
- name: no purpose
  as: {user: zoe, groups: [auditors]}
  query: SELECT count(*) FROM retail.shop.orders
  refused: may not read
- name: wrong rows
  as: {user: anna}
  query: SELECT id FROM retail.shop.orders ORDER BY id
  rows: [[2]]
- name: no refusal
  as: {user: anna}
  query: SELECT count(*) FROM retail.shop.orders
  refused: may not read
- name: another error
  as: {user: anna}
  query: SELECT FROM
  refused: may not read
- name: a change
  as: {user: anna}
  query: CREATE TABLE t AS SELECT 1
  rows: []
- name: a typing error
  as: {user: ana}
  query: SELECT 1
  rows: [[1]]
"#;
    write(folder.path(), "products/shop/policies/orders.test.yaml", cases);
    let report = test_policies(&config(folder.path()), &[]).await.unwrap();
    let passed = report.cases.iter().filter(|case| case.failure.is_none()).map(|case| case.name.as_str());
    assert_eq!(passed.collect::<Vec<_>>(), ["Europe", "notes", "auditors", "no purpose"], "{report:#?}");
    let failed: Vec<&CaseReport> = report.failed().collect();
    let wrong = failed[0].failure.as_ref().unwrap();
    assert_eq!((wrong.expected.as_slice(), wrong.got.len()), (["[\"2\"]".to_owned()].as_slice(), 2));
    assert_eq!(wrong.got, ["[\"1\"]", "[\"3\"]"]);
    assert!(failed[0].place.to_string().contains("orders.test.yaml:18"), "{}", failed[0].place);
    let got: Vec<String> = failed.iter().map(|case| case.failure.as_ref().unwrap().got.join("\n")).collect();
    assert_eq!(got[1], "[\"2\"]");
    assert!(got[2].starts_with("an error: "), "{}", got[2]);
    assert!(got[3].contains("runs only queries"), "{}", got[3]);
    assert!(got[4].contains("did you mean `anna`?"), "{}", got[4]);

    let other = folder.path().join("other.yaml");
    fs::write(&other, "cases:\n- {name: a, as: {user: anna}, query: SELECT 1, rows: [[1]]}\n").unwrap();
    let report = test_policies(&config(folder.path()), &[other]).await.unwrap();
    assert_eq!((report.cases.len(), report.failed().count()), (1, 0));
}
