//! Parts of a query that run once for several readers, over real nodes: readers that stop early, are slow or fail, parts
//! larger than the memory of a query, and what is left behind.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod explained;
mod governed;
mod memory;
mod readers;
mod same_rows;
mod values;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Int64Type;
use portolan_node::client::Client;
use portolan_tests::admin::Metrics;
use portolan_tests::mesh::{Mesh, merged, until};
use portolan_tests::node::Node;
use portolan_tests::products::{PortFile, write_domain};
use portolan_tests::rows::text;
use portolan_tests::ways::{table, write_parquet};
use serde_json::{Value, json};

use crate::leftovers::bytes_below;

const SOON: Duration = Duration::from_secs(60);
/// The rows of `east.samples.facts`, which has 80 bytes in a row: more than a shared part keeps in memory.
const ROWS: i64 = 600_000;
/// The files of `east.samples.facts`, so that several threads read them.
const FILES: i64 = 3;
/// The rows of `west.samples.more`.
const MORE: i64 = 100_000;
const GROUPS: i64 = 10;
/// The columns of `east.samples.facts` after `id` and `g`.
const VALUES: [&str; 8] = ["c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7"];
/// A `WITH` query for two readers of all columns. Without placement, it is one exchange at the gateway.
const WHOLE: &str = "WITH w AS (SELECT * FROM east.samples.facts)";
/// The sum of all columns of `w` in one row.
const TOTAL: &str = "id + g + c0 + c1 + c2 + c3 + c4 + c5 + c6 + c7";
/// The metrics that are 0 if no query and nothing of one is left.
const LEFTOVERS: [&str; 6] = [
    "portolan_queries_running{kind=\"query\"}",
    "portolan_queries_running{kind=\"fragment\"}",
    "portolan_queries_queued{kind=\"query\"}",
    "portolan_queries_queued{kind=\"fragment\"}",
    "portolan_memory_bytes{pool=\"queries\"}",
    "portolan_spill_bytes",
];

/// The owners `east` and `west`, and a gateway.
struct Nodes {
    mesh: Mesh,
    spill: PathBuf,
}

impl Nodes {
    /// Starts the nodes. The values are added to the configs of the owners and of the gateway.
    async fn start(owners: &Value, gateway: &Value) -> Self {
        let folder = tempfile::Builder::new().prefix("portolan-shared-").tempdir().unwrap();
        let spill = folder.path().join("spill");
        let common = json!({ "cpu_threads": 2, "admin": { "listen": "127.0.0.1:0" }, "spill_folder": spill });
        let homes = [("east", east(folder.path())), ("west", west(folder.path()))].map(|(domain, ports)| {
            let home = folder.path().join(domain);
            write_domain(domain, &home, &ports);
            (domain, home, merged(common.clone(), owners))
        });
        let mesh = Mesh::of_homes(folder, homes.into(), merged(common.clone(), gateway)).await;
        Self { mesh, spill }
    }

    /// Opens a session on the gateway, which fetches all rows and does all work itself.
    async fn unplaced(&self) -> Client {
        let client = self.mesh.client().await;
        client.query("SET portolan.placement = off").await.unwrap();
        client
    }

    /// Waits until no query is left at these nodes, and neither memory nor disk space of one.
    async fn until_nothing_is_left(&self, nodes: &[&Node]) {
        for node in nodes {
            let what = format!("nothing is left at {}", node.url());
            until(&what, SOON, async || {
                let now = Metrics::of(node.admin()).await;
                LEFTOVERS.iter().all(|series| now.value(series) == 0.0)
            })
            .await;
        }
        until("no spilled data is left", SOON, async || bytes_below(&self.spill) == 0).await;
    }

    /// Returns the gateway and both owners.
    fn all(&self) -> [&Node; 3] {
        [self.mesh.gateway(), self.mesh.node("east"), self.mesh.node("west")]
    }

    /// Returns the number of fragments that an owner has run, whatever their outcome. Waits until they have ended.
    async fn fragments(&self, domain: &str) -> f64 {
        let admin = self.mesh.node(domain).admin();
        let running = "portolan_queries_running{kind=\"fragment\"}";
        until("no fragment runs", SOON, async || Metrics::of(admin).await.value(running) == 0.0).await;
        let now = Metrics::of(admin).await;
        let ended = now.0.lines().filter(|line| line.starts_with("portolan_queries_total{kind=\"fragment\""));
        ended.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }
}

/// Writes the files of the domain `east` below a folder, and returns its ports.
fn east(folder: &Path) -> Vec<PortFile> {
    let facts = folder.join("facts");
    fs::create_dir_all(&facts).unwrap();
    let rows = ROWS / FILES;
    for file in 0..FILES {
        let ids = || file * rows..(file + 1) * rows;
        let mut columns = vec![("id", integers(ids())), ("g", integers(ids().map(|id| id % GROUPS)))];
        let values = VALUES.iter().zip(0..);
        columns.extend(values.map(|(name, column)| (*name, integers(ids().map(|id| value(id, column))))));
        write_parquet(&facts.join(format!("part-{file}.parquet")), &table(columns));
    }
    let columns: Vec<_> = ["id", "g"].into_iter().chain(VALUES).map(|name| (name, "integer")).collect();
    vec![PortFile::local("facts", &facts, "parquet", &columns), groups(folder, "kinds")]
}

/// Writes the files of the domain `west` below a folder, and returns its ports.
fn west(folder: &Path) -> Vec<PortFile> {
    let more = folder.join("more.parquet");
    let ids = || ROWS..ROWS + MORE;
    write_parquet(&more, &table(vec![("id", integers(ids())), ("g", integers(ids().map(|id| id % GROUPS)))]));
    let more = PortFile::local("more", &more, "parquet", &[("id", "integer"), ("g", "integer")]);
    vec![more, groups(folder, "groups")]
}

fn groups(folder: &Path, name: &'static str) -> PortFile {
    let file = folder.join(format!("{name}.parquet"));
    let names: ArrayRef = Arc::new(StringArray::from_iter_values((0..GROUPS).map(|g| format!("group {g}"))));
    write_parquet(&file, &table(vec![("g", integers(0..GROUPS)), ("name", names)]));
    PortFile::local(name, &file, "parquet", &[("g", "integer"), ("name", "string")])
}

fn integers(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

/// Returns the value of a row in one of [`VALUES`].
fn value(id: i64, column: i64) -> i64 {
    id * 7 % (101 + column)
}

/// Returns the largest [`TOTAL`] of all rows.
fn largest_total() -> i64 {
    let total = |id: i64| id + id % GROUPS + (0..VALUES.len() as i64).map(|column| value(id, column)).sum::<i64>();
    (0..ROWS).map(total).max().unwrap()
}

/// Counts how often each row of `east.samples.facts` came, by the column `id` at this place.
fn count_ids(batches: &[RecordBatch], place: usize) -> Vec<usize> {
    let mut times = vec![0; ROWS as usize];
    for batch in batches {
        for id in batch.column(place).as_primitive::<Int64Type>().values().iter() {
            times[*id as usize] += 1;
        }
    }
    times
}

/// Asserts that the plan of a query has one shared part, with so many readers.
async fn assert_shared(client: &Client, sql: &str, readers: usize) {
    let plan = text(client, &format!("EXPLAIN {sql}")).await;
    assert!(plan.contains(&format!("= shared part 1 for {readers} readers")), "{plan}");
    assert!(!plan.contains("shared part 2"), "{plan}");
}
