//! An analytics job that embeds Portolan as a library. The job joins the mesh as one more node, runs one query over
//! several domains, and works on the rows as they arrive.
//!
//! With the demo up (`portolan demo --serve` prints its URLs), name the nodes of the domains:
//!
//! ```sh
//! cargo build --release --workspace --example analytics_job
//! target/release/examples/analytics_job grpc://127.0.0.1:… grpc://127.0.0.1:…
//! ```

use std::sync::Arc;

use futures::TryStreamExt;
use portolan_engine::arrow::array::AsArray;
use portolan_engine::arrow::datatypes::{Decimal128Type, Int64Type};
use portolan_engine::connectors::node::{NodeOptions, NodeSite};
use portolan_engine::{Engine, Limits, Principal};

/// The hundred customers with the largest total price of orders, with their nations.
const QUERY: &str = "
    SELECT n_name, c_custkey, sum(o_totalprice) AS bought
    FROM sales.orders.orders
    JOIN sales.customers.customer ON o_custkey = c_custkey
    JOIN geo.places.nation ON c_nationkey = n_nationkey
    GROUP BY n_name, c_custkey
    ORDER BY bought DESC
    LIMIT 100";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut limits = Limits::default();
    limits.query_memory = 512 << 20;
    let mut builder = Engine::builder().limits(limits);
    for url in std::env::args().skip(1) {
        builder = builder.peer(Arc::new(NodeSite::new(&url, NodeOptions::default())?));
    }
    let engine = builder.build()?;
    // The engine fetches the catalogs of its peers in the background. A job that queries at once waits for them.
    for (url, reason) in engine.refresh().await.failed {
        eprintln!("{url} did not answer: {reason}");
    }
    for port in engine.mesh().ports() {
        println!("port {} with {} columns", port.name, port.columns.len());
    }

    let session = engine.session(Principal::new("analytics"));
    let mut rows = session.sql(QUERY).await?;
    let progress = rows.progress();
    let (mut customers, mut total, mut first) = (0, 0_i128, None);
    while let Some(batch) = rows.try_next().await? {
        let keys = batch.column(1).as_primitive::<Int64Type>();
        let bought = batch.column(2).as_primitive::<Decimal128Type>();
        if batch.num_rows() > 0 {
            first.get_or_insert((keys.value(0), bought.value_as_string(0)));
        }
        customers += batch.num_rows();
        total += bought.iter().flatten().sum::<i128>();
    }
    if let Some((key, bought)) = first {
        println!("best: customer {key} bought for {bought}");
    }
    println!("{customers} customers bought for {}.{:02}", total / 100, total % 100);
    let edges = progress.now().edges;
    for edge in edges {
        println!("from {}: {} rows, {} bytes", edge.domains.join(", "), edge.rows, edge.bytes);
    }
    Ok(())
}
