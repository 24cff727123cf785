//! Runs the 22 queries of TPC-H on the mesh, and checks each against one process over the same files.

use std::path::Path;
use std::time::{Duration, Instant};

use comfy_table::{Cell, CellAlignment, Color, ContentArrangement, Table, TableComponent, presets};
use futures::TryStreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use portolan_catalog::printable_lines;
use portolan_engine::Engine;
use portolan_node::client::{Client, ConnectOptions};
use portolan_node::{Error, Result};
use portolan_testbed::compare::{FLOAT_TOLERANCE, compare};
use portolan_testbed::mesh::LocalMesh;
use portolan_testbed::single::single_process;

use crate::output::print;
use crate::terminal::has_colours;
use crate::units::{show_bytes, show_count, show_time};
use portolan_testbed::tpch::{DOMAINS, QUERIES, Query};

/// The colours of outcomes, those of [`crate::terminal`].
const GOOD: Color = Color::AnsiValue(28);
const BAD: Color = Color::AnsiValue(160);

/// The outcome of one query.
struct Outcome {
    rows: usize,
    mesh: Duration,
    single: Duration,
    /// The bytes that crossed the edge of each of [`DOMAINS`]. `None` if the node no longer keeps the progress.
    bytes: Option<[u64; DOMAINS.len()]>,
    difference: Option<String>,
}

/// Runs the queries and prints a table.
///
/// # Errors
/// A query that fails, or whose result differs. The function prints the details.
pub async fn run(mesh: &LocalMesh, data: &Path) -> Result<()> {
    let client = Client::connect(mesh.gateway().url(), &ConnectOptions::default()).await?;
    let single = single_process(data).await?;
    let bar = ProgressBar::new(QUERIES.len() as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:32} {pos} of {len} queries, {msg}") {
        bar.set_style(style);
    }
    let mut outcomes = vec![];
    for query in QUERIES {
        bar.set_message(format!("query {}", query.number));
        outcomes.push((query, run_query(mesh, &client, &single, &query).await));
        bar.inc(1);
    }
    bar.finish_and_clear();
    print(&format!("{}\n", table(&outcomes)))?;
    let mut wrong = 0;
    for (query, outcome) in &outcomes {
        let how = match outcome {
            Ok(outcome) => outcome.difference.clone(),
            Err(e) => Some(e.owner_chain()),
        };
        if let Some(how) = how {
            wrong += 1;
            eprintln!("query {}: {}", query.number, printable_lines(&how));
        }
    }
    if wrong > 0 {
        return Err(Error::failed(format!("{wrong} of {} queries failed or returned different rows", QUERIES.len())));
    }
    print(&format!(
        "all {} results equal those of one process: decimals exactly, floats within {FLOAT_TOLERANCE:e}\n",
        QUERIES.len()
    ))
}

async fn run_query(mesh: &LocalMesh, client: &Client, single: &Engine, query: &Query) -> Result<Outcome> {
    let started = Instant::now();
    let statement = client.prepare(query.sql).await?;
    let batches: Vec<_> = client.rows(&statement).try_collect().await?;
    let took = started.elapsed();
    let bytes = client.progress(&statement).await.map(|progress| mesh.bytes_by_domain(&progress));

    let started = Instant::now();
    let stream = single.sql(query.sql).await?;
    let schema = stream.schema();
    let expected: Vec<_> = stream.try_collect().await?;
    let single = started.elapsed();
    let difference = compare((&schema, &expected), (statement.schema(), &batches), &query.order());
    Ok(Outcome {
        rows: batches.iter().map(|b| b.num_rows()).sum(),
        mesh: took,
        single,
        bytes,
        difference: difference.err().map(|d| d.to_string()),
    })
}

fn table(outcomes: &[(Query, Result<Outcome>)]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Disabled);
    table.remove_style(TableComponent::HorizontalLines).remove_style(TableComponent::MiddleIntersections);
    if !has_colours(&std::io::stdout()) {
        table.force_no_tty();
    }
    let mut header: Vec<_> = ["query", "rows", "mesh", "one process"].map(String::from).into();
    header.extend(DOMAINS.map(|domain| format!("from {domain}")));
    header.push("result".into());
    table.set_header(header);
    let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
    let (mut mesh, mut single, mut bytes) = (Duration::ZERO, Duration::ZERO, [0; DOMAINS.len()]);
    for (query, outcome) in outcomes {
        let Ok(outcome) = outcome else {
            let mut row = vec![right(query.number.to_string())];
            row.extend((0..DOMAINS.len() + 3).map(|_| Cell::new("")));
            row.push(Cell::new("failed").fg(BAD));
            table.add_row(row);
            continue;
        };
        mesh += outcome.mesh;
        single += outcome.single;
        let mut row = vec![
            right(query.number.to_string()),
            right(show_count(outcome.rows as u64)),
            right(show_time(outcome.mesh)),
            right(show_time(outcome.single)),
        ];
        for (i, total) in bytes.iter_mut().enumerate() {
            *total += outcome.bytes.map_or(0, |bytes| bytes[i]);
            row.push(right(outcome.bytes.map_or_else(|| "?".into(), |bytes| show_bytes(bytes[i]))));
        }
        row.push(match outcome.difference {
            None => Cell::new("equal").fg(GOOD),
            Some(_) => Cell::new("differs").fg(BAD),
        });
        table.add_row(row);
    }
    let mut sum = vec![Cell::new("all"), Cell::new(""), right(show_time(mesh)), right(show_time(single))];
    sum.extend(bytes.map(|bytes| right(show_bytes(bytes))));
    sum.push(Cell::new(""));
    table.add_row(sum);
    table
}
