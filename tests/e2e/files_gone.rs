//! Files that are corrupt or gone: the error names the port and the file.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;

use portolan_engine::ErrorKind;
use portolan_tests::mesh::{Mesh, copy_table, within};
use portolan_tests::products::{self, DOMAIN, PortFile};
use portolan_tests::rows::{assert_says, count, drain};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_names_the_damaged_file_and_its_port() {
    within(120, async {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("lab");
        fs::create_dir_all(&home).unwrap();
        let corrupt = copy_table("customer", &home);
        let gone = copy_table("nation", &home);
        let customers = [("c_custkey", "integer"), ("c_name", "string"), ("c_acctbal", "number")];
        let nations = [("n_nationkey", "integer"), ("n_name", "string")];
        let contracts = [
            PortFile::local("customer", &corrupt, "parquet", &customers),
            PortFile::local("nation", &gone, "parquet", &nations),
        ];
        products::write(&home, &contracts);
        let mesh = Mesh::of_homes(folder, vec![(DOMAIN, home, json!({}))], json!({})).await;
        let client = mesh.client().await;
        let sql = "SELECT c_name, c_acctbal FROM lab.samples.customer WHERE c_acctbal > 0";
        assert!(drain(&client, sql).await.unwrap() > 0);
        assert_eq!(count(&client, "SELECT count(DISTINCT n_name) FROM lab.samples.nation").await, Ok(25));

        // The footer and the length stay intact, and only the pages are corrupt.
        let mut bytes = fs::read(&corrupt).unwrap();
        let footer = u32::from_le_bytes(bytes[bytes.len() - 8..bytes.len() - 4].try_into().unwrap()) as usize;
        let pages = bytes.len() - 8 - footer;
        bytes[4..pages].fill(0xa5);
        fs::write(&corrupt, bytes).unwrap();
        fs::remove_file(&gone).unwrap();

        for (sql, port, file) in [
            (sql, "lab.samples.customer", "customer.parquet"),
            ("SELECT n_name, n_nationkey FROM lab.samples.nation", "lab.samples.nation", "nation.parquet"),
        ] {
            let error = drain(&client, sql).await.expect_err("the file is corrupt");
            let url = mesh.node(DOMAIN).url();
            assert_says(&error, error.kind(), &[port, file, url]);
            assert!(
                matches!(error.kind(), ErrorKind::SiteUnavailable | ErrorKind::NotFound),
                "{:?} {}",
                error.kind(),
                error.chain()
            );
        }
        // The node keeps running.
        assert_eq!(count(&client, "SELECT count(*) FROM mesh.ports").await, Ok(2));
    })
    .await;
}
