//! `portolan demo --postgres`: the domain `sales` in a PostgreSQL server that the demo starts, and that ends with it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use portolan_node::client::{Client, ConnectOptions};
use portolan_tests::mesh::{SCALE, cache_home, data, until, within};
use portolan_tests::node::{program, signal};
use portolan_tests::rows::{count, text};
use portolan_tests::servers::postgres;
use serde_json::Value;

const SOON: Duration = Duration::from_secs(60);

/// Returns the folders of servers in a folder for temporary files.
fn servers(folder: &std::path::Path) -> usize {
    let entries = fs::read_dir(folder).unwrap().flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("portolan-postgres-")).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_puts_sales_into_postgresql() {
    within(240, async {
        if postgres::server().await.is_none() {
            return;
        }
        data();
        // The user of the server must be able to enter the folder.
        let temporary = tempfile::tempdir().unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(temporary.path(), fs::Permissions::from_mode(0o1777)).unwrap();
        }
        for ending in ["TERM", "KILL"] {
            let mut command = Command::new(program());
            command.args(["demo", "--serve", "--postgres", "--scale", &SCALE.to_string()]);
            command.env("XDG_CACHE_HOME", cache_home()).env("TMPDIR", temporary.path());
            let mut demo = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
            let stdout = demo.stdout.take().unwrap();
            let line = tokio::task::spawn_blocking(move || {
                let mut line = String::new();
                BufReader::new(stdout).read_line(&mut line).map(|_| line)
            });
            let line = line.await.unwrap().unwrap();
            let ready: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("the demo said `{line}`"));
            assert_eq!(servers(temporary.path()), 1);
            let client = Client::connect(ready["gateway"]["url"].as_str().unwrap(), &ConnectOptions::default()).await;
            let client = client.unwrap();
            assert_eq!(count(&client, "SELECT count(*) FROM sales.orders.lineitem").await, Ok(60_175));
            let join =
                "SELECT count(*) FROM sales.customers.customer JOIN geo.places.nation ON c_nationkey = n_nationkey";
            assert_eq!(count(&client, join).await, Ok(1500));
            let sales = ready["nodes"].as_array().unwrap().iter().find(|node| node["domain"] == "sales").unwrap();
            let owner = Client::connect(sales["url"].as_str().unwrap(), &ConnectOptions::default()).await.unwrap();
            let plan = text(&owner, "EXPLAIN SELECT max(o_orderdate) FROM sales.orders.orders").await;
            assert!(plan.contains("postgres://warehouse/sales"), "{plan}");
            drop((client, owner));
            signal(demo.id(), ending);
            tokio::task::spawn_blocking(move || demo.wait()).await.unwrap().unwrap();
            until("the server has ended", SOON, async || servers(temporary.path()) == 0).await;
        }
    })
    .await;
}
