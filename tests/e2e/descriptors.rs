//! Invalid configs and descriptors. At the start, the node reports the place and does not start. While it runs, it
//! keeps the last valid version. A port that does not fit its data is an error of a check.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use portolan_testbed::descriptors;
use portolan_tests::mesh::{Mesh, data, until, within};
use portolan_tests::node::{check, run};
use portolan_tests::rows::{count, text};
use serde_json::json;

const SOON: Duration = Duration::from_secs(60);

fn serve(config: &Path) -> (Option<i32>, String, String) {
    run(&["serve", "--config", config.to_str().unwrap()], &[])
}

fn lines(said: &str, parts: &[&str]) {
    assert!(
        said.lines().any(|line| parts.iter().all(|part| line.contains(part))),
        "expected a line with {parts:?}, got\n{said}"
    );
}

#[test]
fn each_error_in_a_config_is_reported_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("node.yaml");
    let text = "listen: 127.0.0.1:0\nlimts:\n  query_memory: 1GiB\nlimits:\n  query_timeuot: 3s\n";
    fs::write(&config, text).unwrap();
    let (code, out, err) = serve(&config);
    assert_eq!((code, out.as_str()), (Some(2), ""), "{err}");
    lines(&err, &["node.yaml:2", "`limts`", "did you mean `limits`?"]);
    lines(&err, &["node.yaml:5", "limits.query_timeuot", "did you mean `query_timeout`?"]);

    fs::write(&config, "domain: geo\ncpu_threads: many\n").unwrap();
    let (code, out, err) = serve(&config);
    assert_eq!((code, out.as_str()), (Some(2), ""), "{err}");
    lines(&err, &["node.yaml:2", "cpu_threads"]);

    fs::write(&config, "domain: geo\nproducts: nowhere\n").unwrap();
    let (code, out, err) = serve(&config);
    assert_eq!((code, out.as_str()), (Some(2), ""), "{err}");
    lines(&err, &["node.yaml:2", "products", "nowhere"]);
}

#[test]
fn each_error_in_a_descriptor_is_reported_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let products = descriptors::write("geo", &data(), folder.path()).unwrap();
    let config = folder.path().join("node.yaml");
    // Another process listens at this address, so a node that gets as far as listening reports it.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let root = data().display().to_string();
    let text =
        format!("domain: geo\nlisten: {}\nsources: {{files: {{root: '{root}'}}}}\n", taken.local_addr().unwrap());
    fs::write(&config, text).unwrap();

    let contract = products.join("nation.odcs.yaml");
    let good = fs::read_to_string(&contract).unwrap();
    let line = |text: &str, part: &str| text.lines().position(|l| l.contains(part)).unwrap() + 1;

    let bad = good.replace("- name: n_regionkey", "- name: n_regoinkey");
    fs::write(&contract, &bad).unwrap();
    let (code, out, err) = check(&config);
    assert_eq!((code, out.as_str()), (Some(2), ""), "{err}");
    let at = format!("nation.odcs.yaml:{}", line(&bad, "n_regoinkey"));
    lines(&err, &[&at, "schema[0].properties[2]", "n_regoinkey", "n_regionkey"]);

    let bad = good.replace("    description: Identifies the nation.", "    descripton: Identifies the nation.");
    fs::write(&contract, &bad).unwrap();
    let (code, _, err) = serve(&config);
    assert_eq!(code, Some(2), "{err}");
    let at = format!("nation.odcs.yaml:{}", line(&bad, "descripton"));
    lines(&err, &[&at, "schema[0].properties[0].descripton", "did you mean `description`?"]);

    fs::write(&contract, good.replace("nation.parquet", "natoin.parquet")).unwrap();
    let (code, _, err) = check(&config);
    assert_eq!(code, Some(2), "{err}");
    lines(&err, &["nation.odcs.yaml:", "natoin.parquet"]);

    fs::write(&contract, good).unwrap();
    let (code, out, err) = serve(&config);
    assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
    lines(&err, &[&taken.local_addr().unwrap().to_string(), "another process listens there"]);
}

#[test]
fn descriptors_are_linted_without_a_node() {
    let folder = tempfile::tempdir().unwrap();
    let products = descriptors::write("geo", &data(), folder.path()).unwrap();
    let lint = |more: &[&str]| {
        let arguments = [&["catalog", "lint", "--products", products.to_str().unwrap()][..], more].concat();
        run(&arguments, &[])
    };
    // The products name the domain.
    let (code, out, err) = lint(&["--strict"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.ends_with("products: no errors in 1 product with 2 ports\n"), "{out}");
    let (code, out, err) = run(&["catalog", "list", "--products", products.to_str().unwrap()], &[]);
    assert!(code == Some(0) && out.contains("geo.places.nation  "), "{out}{err}");

    let contract = products.join("nation.odcs.yaml");
    let nation = fs::read_to_string(&contract).unwrap();
    fs::write(&contract, nation.replace("    description: Identifies the nation.\n", "")).unwrap();
    let (code, out, _) = lint(&[]);
    assert!(code == Some(0) && out.ends_with("no errors in 1 product with 2 ports, 1 warning\n"), "{out}");
    let (code, out, err) = lint(&["--strict"]);
    assert_eq!(code, Some(2), "{out}");
    assert!(err.contains("got 1 warning, and `--strict` permits none"), "{err}");
    let (code, out, _) = lint(&["--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &report["ports"], report["warnings"].as_array().unwrap().len()), (Some(0), &json!(2), 1));
    assert_eq!(report["warnings"][0]["message"], "the column has no description");

    fs::write(&contract, nation.replace("logicalType: integer", "logicalType: decimal")).unwrap();
    let (code, out, err) = lint(&["--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &report["errors"][0]["suggestion"]), (Some(2), &json!("number")), "{out}{err}");
    assert!(report["errors"][0]["file"].as_str().unwrap().ends_with("nation.odcs.yaml"), "{out}");
}

#[test]
fn a_check_reports_the_config_and_what_it_names_in_one_round() {
    let folder = tempfile::tempdir().unwrap();
    let products = descriptors::write("geo", &data(), folder.path()).unwrap();
    let config = folder.path().join("node.yaml");
    let contract = products.join("nation.odcs.yaml");
    let good = fs::read_to_string(&contract).unwrap();
    fs::write(&contract, good.replace("    description: Identifies the nation.", "    descripton: Identifies."))
        .unwrap();
    fs::write(&config, "domain: geo\nlimits: {query_memory: 4 gigs, query_timeout: 5}\n").unwrap();
    let (code, _, err) = check(&config);
    assert_eq!(code, Some(2), "{err}");
    lines(&err, &["node.yaml:2", "limits.query_memory"]);
    lines(&err, &["node.yaml:2", "limits.query_timeout"]);
    lines(&err, &["nation.odcs.yaml:", "did you mean `description`?"]);

    // The options of a source that no contract names, and each port that does not fit its data.
    fs::write(&contract, good.replace("- name: n_regionkey", "- name: n_regoinkey")).unwrap();
    let root = data().display().to_string();
    let text = format!("domain: geo\nsources:\n  files: {{root: '{root}'}}\n  filse: {{max_files: 3}}\n");
    fs::write(&config, text).unwrap();
    let (code, _, err) = check(&config);
    assert_eq!(code, Some(2), "{err}");
    lines(&err, &["node.yaml:4: sources.filse: no contract has a server of the name `filse`", "did you mean `files`?"]);
    lines(&err, &["nation.odcs.yaml:", "n_regoinkey"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_that_fails_keeps_the_last_good_version() {
    within(240, async {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("geo");
        let contract = descriptors::write("geo", &data(), &home).unwrap().join("nation.odcs.yaml");
        let mesh = Mesh::of_homes(folder, vec![("geo", home, json!({}))], json!({})).await;
        let client = mesh.client().await;
        let errors = "SELECT count(*) FROM mesh.products WHERE load_error IS NOT NULL";
        let nations = "SELECT count(*) FROM geo.places.nation WHERE n_name <> 'x'";
        assert_eq!(count(&client, errors).await, Ok(0));

        let good = fs::read_to_string(&contract).unwrap();
        fs::write(&contract, good.replace("- name: n_regionkey", "- name: n_regoinkey")).unwrap();
        until("the error is known at the gateway", SOON, async || count(&client, errors).await == Ok(1)).await;
        let said = text(&client, "SELECT load_error FROM mesh.products").await;
        assert!(said.contains("nation.odcs.yaml") && said.contains("n_regoinkey"), "{said}");
        assert_eq!(count(&client, nations).await, Ok(25));

        fs::write(&contract, good.replace("Identifies the nation.", "Tells nations apart.")).unwrap();
        until("the error is gone", SOON, async || count(&client, errors).await == Ok(0)).await;
        let new = "SELECT count(*) FROM mesh.columns WHERE description = 'Tells nations apart.'";
        until("the new version is known", SOON, async || count(&client, new).await == Ok(1)).await;
        assert_eq!(count(&client, nations).await, Ok(25));
    })
    .await;
}
