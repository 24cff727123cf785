//! A CSV file as a spreadsheet writes it, queried through a gateway. The contract has the notation. A file that gains a
//! column stays readable while the nodes run, and a wrong value is an error that names its line and column.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

use portolan_engine::ErrorKind;
use portolan_tests::mesh::{Mesh, within};
use portolan_tests::products::{self, DOMAIN, PortFile};
use portolan_tests::rows::{assert_says, count, failure, text};
use serde_json::{Value, json};

const PORT: &str = "lab.samples.customers";

/// Writes a port over a folder with one file. Returns the folder.
fn write_port(home: &Path) -> PathBuf {
    let data = home.join("data");
    fs::create_dir_all(&data).unwrap();
    fs::write(data.join("a.csv"), "\u{feff}Customer ID;since;Credit Limit\r\n1;24.08.2017;1.400,50\r\n2;NULL;\r\n")
        .unwrap();
    let columns = [("customer_id", "integer"), ("since", "date"), ("credit_limit", "number")];
    let port = PortFile::local("customers", &data.join(""), "csv", &columns);
    let contract = products::write(home, &[port]).remove(0);
    let mut document: Value = serde_json::from_str(&fs::read_to_string(&contract).unwrap()).unwrap();
    document["servers"][0]["customProperties"] = json!([
        { "property": "portolan.delimiter", "value": ";" },
        { "property": "portolan.nullValues", "value": ["NULL", ""] },
        { "property": "portolan.decimalSeparator", "value": "," },
        { "property": "portolan.thousandsSeparator", "value": "." },
    ]);
    let properties = &mut document["schema"][0]["properties"];
    properties[0]["physicalName"] = "Customer ID".into();
    properties[1]["logicalTypeOptions"] = json!({ "format": "dd.MM.yyyy" });
    properties[2]["physicalName"] = "Credit Limit".into();
    properties[2]["physicalType"] = "DECIMAL(10,2)".into();
    fs::write(&contract, document.to_string()).unwrap();
    data
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spreadsheet_is_a_port() {
    within(240, async {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join(DOMAIN);
        let data = write_port(&home);
        let place = data.canonicalize().unwrap().display().to_string();
        let mesh = Mesh::of_homes(folder, vec![(DOMAIN, home.clone(), json!({}))], json!({})).await;
        let client = mesh.client().await;
        let all = format!("SELECT count(*) FROM {PORT} WHERE customer_id > 0");
        assert_eq!(count(&client, &all).await, Ok(2));
        let one = format!(
            "SELECT count(*) FROM {PORT} WHERE credit_limit = 1400.50 AND since = DATE '2017-08-24' AND customer_id = 1"
        );
        assert_eq!(count(&client, &one).await, Ok(1));
        let shown = text(&client, &format!("SELECT since, credit_limit FROM {PORT} WHERE customer_id = 1")).await;
        assert!(shown.contains("| 2017-08-24 | 1400.50 "), "{shown}");

        // The file gains a column that no contract names, and another one has another order.
        fs::write(
            data.join("a.csv"),
            "Customer ID;channel;since;Credit Limit\n1;web;24.08.2017;1.400,50\n2;web;NULL;\n",
        )
        .unwrap();
        fs::write(data.join("b.csv"), "Credit Limit;Customer ID;since\n7,00;3;01.01.2020\n").unwrap();
        assert_eq!(count(&client, &all).await, Ok(3));
        assert_eq!(count(&client, &one).await, Ok(1));

        for value in ["2017-08-24", "24/08/2017"] {
            fs::write(data.join("b.csv"), format!("Credit Limit;Customer ID;since\n7,00;3;{value}\n")).unwrap();
            let error = failure(&client, &format!("SELECT since FROM {PORT}")).await;
            assert_says(
                &error,
                ErrorKind::InvalidData,
                &[PORT, "b.csv", "line 2", "column `since`", "`dd.MM.yyyy`", value],
            );
            assert!(!error.chain().contains(&place), "{}", error.chain());
            assert!(mesh.node(DOMAIN).log().contains(&format!("{place}/b.csv: line 2")), "{}", mesh.node(DOMAIN).log());
            // The other columns are right.
            assert_eq!(count(&client, &all).await, Ok(3));
        }
    })
    .await;
}
