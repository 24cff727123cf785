//! The rows and bytes that the databases send to each engine.

use portolan_node::Result;
use serde_json::json;

use super::sides::Side;
use super::traffic::{Sent, Traffic};
use crate::chosen;
use crate::table::Table;

const COLUMNS: [&str; 8] = [
    "query",
    "engine",
    "rows from sales",
    "rows from supply",
    "rows from geo",
    "bytes from sales",
    "bytes from supply",
    "bytes from geo",
];

/// Counts what the second run of each query fetches, and returns a table with one row for each query and engine.
///
/// # Errors
/// A query that Portolan does not answer. Errors of other engines are in the table.
pub async fn measure(sides: &mut [Side], traffic: &Traffic, queries: &[u32]) -> Result<Table> {
    let (mut rows, mut faults) = (vec![], vec![]);
    let mut sums = vec![Sent::default(); sides.len()];
    for query in chosen(queries) {
        eprintln!("query {}: counting rows and bytes", query.number);
        for (side, sum) in sides.iter_mut().zip(&mut sums) {
            // The first run reads what an engine keeps, such as the columns of the tables.
            let warm = side.run(query).await;
            traffic.reset().await?;
            let outcome = match warm {
                Ok(_) => side.run(query).await,
                Err(e) => Err(e),
            };
            match outcome {
                Ok(_) => {}
                Err(e) if matches!(side, Side::Mesh(..)) => return Err(e),
                Err(e) => {
                    faults.push(format!("query {}, {}: {}", query.number, side.labels().engine, e.owner_chain()));
                    continue;
                }
            }
            let sent = traffic.sent().await?;
            let mut row = vec![json!(query.number), json!(side.labels().engine)];
            row.extend(sent.iter().map(|sent| json!(sent.rows)));
            row.extend(sent.iter().map(|sent| json!(sent.bytes)));
            rows.push(row);
            for sent in sent {
                sum.rows += sent.rows;
                sum.bytes += sent.bytes;
            }
        }
    }
    let mut summary = vec![];
    for (side, sum) in sides.iter().zip(&sums) {
        summary.push((side.labels().rows, json!(sum.rows)));
        summary.push((side.labels().megabytes, json!(sum.bytes as f64 / 1e6)));
    }
    Ok(Table { title: "rows and bytes that the databases send".into(), columns: COLUMNS.into(), rows, summary, faults })
}
