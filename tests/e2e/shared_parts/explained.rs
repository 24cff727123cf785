//! EXPLAIN shows a shared part once, `portolan.share` turns sharing off, and equal fragments are sent once.

use portolan_engine::ErrorKind;
use portolan_node::client::Client;
use portolan_tests::crossed::document;
use portolan_tests::mesh::within;
use portolan_tests::rows::{assert_says, failure, text};
use portolan_tests::ways::lines;
use serde_json::{Value, json};

use super::{GROUPS, Nodes, ROWS};

/// A part over two owners that is joined with itself.
const JOINED: &str = "WITH w AS (SELECT name, count(*) AS n FROM east.samples.facts f \
                      JOIN west.samples.groups k ON f.g = k.g GROUP BY name) \
                      SELECT u.name, u.n, v.n AS m FROM w u JOIN w v ON u.name = v.name AND u.n = v.n";
/// A join with equal fragments under two aliases. The port between them keeps them apart.
const TWICE: &str = "SELECT x.name, z.g FROM east.samples.kinds x JOIN west.samples.groups y ON x.g = y.g \
                     JOIN east.samples.kinds z ON z.name = y.name";

/// Opens a session on the gateway. The owners do nothing for one another.
async fn gathering(nodes: &Nodes) -> Client {
    let client = nodes.mesh.client().await;
    client.query("SET portolan.strategy = gather").await.unwrap();
    client
}

async fn sorted(client: &Client, sql: &str) -> Vec<String> {
    let (_, batches) = client.query(sql).await.unwrap_or_else(|e| panic!("{}\n{sql}", e.chain()));
    let mut rows = lines(&batches);
    rows.sort();
    rows
}

/// Returns the values of all keys `shared` in a document.
fn shared_entries(document: &Value) -> Vec<&Value> {
    match document {
        Value::Object(entries) => {
            let own = entries.get("shared").into_iter();
            own.chain(entries.values().flat_map(shared_entries)).collect()
        }
        Value::Array(items) => items.iter().flat_map(shared_entries).collect(),
        _ => vec![],
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_is_explained_and_computed_once() {
    within(300, async {
        let nodes = Nodes::start(&json!({}), &json!({})).await;
        let client = gathering(&nodes).await;
        let groups: Vec<_> = (0..GROUPS).map(|g| format!("group {g}|{n}|{n}", n = ROWS / GROUPS)).collect();
        let twice: Vec<_> = (0..GROUPS).map(|g| format!("group {g}|{g}")).collect();
        for (share, parts, fragments) in [("on", 2, 1.0), ("off", 0, 2.0)] {
            client.query(&format!("SET portolan.share = {share}")).await.unwrap();
            let plan = text(&client, &format!("EXPLAIN {JOINED}")).await;
            assert_eq!(plan.matches("= shared part 1").count(), parts, "{plan}");
            assert_eq!(plan.matches("= shared part 1 for 2 readers").count(), parts / 2, "{plan}");
            assert_eq!(plan.matches("=> fragment").count(), 2 * fragments as usize, "{plan}");
            let before = (nodes.fragments("east").await, nodes.fragments("west").await);
            assert_eq!(sorted(&client, JOINED).await, groups, "{share}");
            let joined = (nodes.fragments("east").await, nodes.fragments("west").await);
            assert_eq!((joined.0 - before.0, joined.1 - before.1), (fragments, fragments), "{share}");
            assert_eq!(sorted(&client, TWICE).await, twice, "{share}");
            let sent = (nodes.fragments("east").await, nodes.fragments("west").await);
            assert_eq!((sent.0 - joined.0, sent.1 - joined.1), (fragments, 1.0), "{share}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_and_owners_show_shared_parts() {
    within(300, async {
        let nodes = Nodes::start(&json!({}), &json!({})).await;
        let client = gathering(&nodes).await;
        let (_, batches) = client.query(&format!("EXPLAIN (FORMAT JSON) {JOINED}")).await.unwrap();
        let plan = document(&batches).unwrap();
        assert_eq!(shared_entries(&plan), [&json!({ "part": 1, "readers": 2 }), &json!({ "part": 1 })], "{plan}");
        // The whole query is one fragment, in which the owner finds the part.
        let of_owner = "WITH w AS (SELECT g, count(*) AS n FROM east.samples.facts GROUP BY g) \
                        SELECT u.g, v.n FROM w u JOIN w v ON u.g = v.g AND u.n = v.n";
        let sent = nodes.fragments("east").await;
        let measured = text(&client, &format!("EXPLAIN ANALYZE {of_owner}")).await;
        assert_eq!(nodes.fragments("east").await, sent + 1.0, "{measured}");
        assert!(measured.contains("SharedExec: part=1, readers=2"), "{measured}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_setting_is_shown_reset_and_checked() {
    within(180, async {
        let nodes = Nodes::start(&json!({}), &json!({})).await;
        for client in [nodes.mesh.client().await, nodes.mesh.node("east").client().await] {
            let show = "SHOW portolan.share";
            assert_eq!(sorted(&client, show).await, ["portolan.share|on"]);
            client.query("SET portolan.share = off").await.unwrap();
            assert_eq!(sorted(&client, show).await, ["portolan.share|off"]);
            let error = failure(&client, "SET portolan.share = maybe").await;
            let said = "`portolan.share`: expected `on` or `off`, got `maybe`";
            assert_says(&error, ErrorKind::InvalidQuery, &[said]);
            let error = failure(&client, "SET portolan.shares = on").await;
            assert_says(&error, error.kind(), &["did you mean `portolan.share`?"]);
            // A rejected value changes nothing.
            assert_eq!(sorted(&client, show).await, ["portolan.share|off"]);
            client.query("RESET portolan.share").await.unwrap();
            assert_eq!(sorted(&client, show).await, ["portolan.share|on"]);
        }
    })
    .await;
}
