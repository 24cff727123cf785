//! A network that changes bytes between two nodes without TLS: a query returns the right rows or an error that names
//! the domain, and never other rows.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use arrow::util::pretty::pretty_format_batches;
use portolan_engine::{Error, ErrorKind};
use portolan_node::client::Client;
use portolan_testbed::descriptors;
use portolan_tests::damaging_proxy::{DamagingProxy, Direction};
use portolan_tests::mesh::{data, until, within};
use portolan_tests::node::Node;
use portolan_tests::rows::text;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(60);
/// The number of bytes that are changed in each direction, one in each run of a query. `PORTOLAN_CHANGED_BYTES` is another
/// number.
const TRIALS: usize = 16;
const SUPPLIERS: &str = "SELECT * FROM supply.suppliers.supplier ORDER BY s_suppkey";
/// A query whose fragment at `supply` carries a plan with literals, and keys.
const JOINED: &str = "SELECT n_name, s_suppkey, s_name FROM geo.places.nation \
                      JOIN supply.suppliers.supplier ON n_nationkey = s_nationkey \
                      WHERE n_name > 'F' AND s_name <> 'Supplier#000000007' ORDER BY s_suppkey";

/// The owners of `geo` and `supply`, and a gateway that reaches `supply` over a faulty network.
struct Faulty {
    client: Client,
    proxy: DamagingProxy,
    _nodes: [Node; 3],
    _folder: TempDir,
}

impl Faulty {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [geo, supply] = ["geo", "supply"].map(|domain| {
            let home = folder.path().join(domain);
            descriptors::write(domain, &data(), &home).unwrap();
            Node::start(&home, json!({ "domain": domain }))
        });
        let proxy = DamagingProxy::in_front_of(supply.url()).await;
        // The catalog is signed for the URL of the node, not for that of the proxy.
        let peers = json!([{ "url": geo.url() }, { "url": proxy.url(), "audience": supply.url() }]);
        let gateway =
            Node::start(&folder.path().join("gateway"), json!({ "peers": peers, "refresh_interval": "500ms" }));
        let client = gateway.client().await;
        for setting in ["query_timeout = 8", "strategy = keys_from_left", "key_form = batch"] {
            client.query(&format!("SET portolan.{setting}")).await.unwrap();
        }
        until("the gateway knows both domains", SOON, async || rows(&client, JOINED).await.is_ok()).await;
        Self { client, proxy, _nodes: [geo, supply, gateway], _folder: folder }
    }

    /// Runs a query again and again, each time with another byte changed. Asserts that each run returns the right rows,
    /// or an error that names the domain. Returns the errors.
    async fn trials(&self, trials: usize, sql: &str, direction: Direction) -> Vec<String> {
        let expected = rows(&self.client, sql).await.unwrap();
        self.proxy.watch();
        assert_eq!(rows(&self.client, sql).await.unwrap(), expected);
        let length = self.proxy.passed(direction);
        let mut random = StdRng::seed_from_u64(7);
        let mut errors = vec![];
        for _ in 0..trials {
            let place = random.random_range(0..length);
            self.proxy.damage(direction, place);
            let outcome = rows(&self.client, sql).await;
            self.proxy.watch();
            let error = match outcome {
                Ok(rows) => {
                    assert!(rows == expected, "byte {place} of {length} changed, and the rows with it:\n{rows}");
                    continue;
                }
                Err(error) => error,
            };
            let said = error.chain();
            assert!(error.kind() == ErrorKind::DeadlineExceeded || said.contains("domain supply"), "{said}");
            errors.push(said);
            // A damaged frame can leave the connection in any state.
            self.proxy.cut().await;
            let answers = async || rows(&self.client, sql).await.is_ok_and(|rows| rows == expected);
            until("the query succeeds again", SOON, answers).await;
        }
        errors
    }
}

/// Returns the rows of a query as text.
async fn rows(client: &Client, sql: &str) -> Result<String, Error> {
    let (_, batches) = client.query(sql).await?;
    Ok(pretty_format_batches(&batches).unwrap().to_string())
}

fn found_by_checksum(errors: &[String]) -> usize {
    errors.iter().filter(|error| error.contains("damaged on the way")).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_byte_never_changes_the_rows() {
    let trials = std::env::var("PORTOLAN_CHANGED_BYTES").map_or(TRIALS, |number| number.parse().unwrap());
    within(20 * trials as u64, async {
        let faulty = Faulty::start().await;
        let errors = faulty.trials(trials, SUPPLIERS, Direction::FromNode).await;
        // Most bytes are rows. The others are frames of the connection.
        assert!(found_by_checksum(&errors) > trials / 2, "{errors:#?}");

        let plan = text(&faulty.client, &format!("EXPLAIN {JOINED}")).await;
        assert!(plan.contains("keys from geo"), "{plan}");
        let errors = faulty.trials(trials, JOINED, Direction::ToNode).await;
        assert!(found_by_checksum(&errors) > 0, "{errors:#?}");
    })
    .await;
}
