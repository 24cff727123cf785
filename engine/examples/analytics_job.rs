//! An analytics job that embeds Portolan as a library: it joins the mesh as one more node, asks one question across
//! domains, and works on the rows as they come.
//!
//! With the demo up (`portolan demo --serve` prints its URLs), give it the nodes of the domains:
//! `cargo run -p portolan-engine --example analytics_job -- grpc://127.0.0.1:… grpc://127.0.0.1:…`

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{Decimal128Type, Int64Type};
use futures::TryStreamExt;
use portolan_connectors::node::{NodeOptions, NodeSite};
use portolan_engine::{Engine, Limits, Principal};

/// What the ten best customers of each nation bought, by nation.
const QUESTION: &str = "
    SELECT n_name, c_custkey, sum(o_totalprice) AS bought
    FROM sales.orders.orders
    JOIN sales.customers.customer ON o_custkey = c_custkey
    JOIN geo.places.nation ON c_nationkey = n_nationkey
    GROUP BY n_name, c_custkey
    ORDER BY bought DESC
    LIMIT 100";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut builder = Engine::builder().limits(Limits { query_memory: 512 << 20, ..Limits::default() });
    for url in std::env::args().skip(1) {
        builder = builder.peer(Arc::new(NodeSite::new(&url, NodeOptions::default())?));
    }
    let engine = builder.build()?;
    // Peers are asked in the background anyway; a job that asks at once waits for them.
    engine.refresh().await;
    for port in engine.mesh().ports() {
        println!("port {} with {} columns", port.name, port.columns.len());
    }

    let session = engine.session(Principal::new("analytics"));
    let mut rows = session.sql(QUESTION).await?;
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
