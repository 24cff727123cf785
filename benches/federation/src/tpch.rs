//! The demo's tables, queries and data, from the source tree and the demo's cache.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::testbed::compare::Order;

/// The domains that own the tables.
pub const DOMAINS: [&str; 3] = ["sales", "supply", "geo"];

/// The eight tables, as `(domain, product, port)`.
pub const TABLES: [(&str, &str, &str); 8] = [
    ("sales", "orders", "lineitem"),
    ("sales", "orders", "orders"),
    ("sales", "customers", "customer"),
    ("supply", "parts", "partsupp"),
    ("supply", "parts", "part"),
    ("supply", "suppliers", "supplier"),
    ("geo", "places", "nation"),
    ("geo", "places", "region"),
];

/// The output columns that each query orders by, outermost first, from 0.
const SORT_KEYS: [&[usize]; 22] = [
    &[0, 1],
    &[0, 2, 1, 3],
    &[1, 2],
    &[0],
    &[1],
    &[],
    &[0, 1, 2],
    &[0],
    &[0, 1],
    &[2],
    &[1],
    &[0],
    &[1, 0],
    &[],
    &[0],
    &[3, 0, 1, 2],
    &[],
    &[4, 3],
    &[],
    &[0],
    &[1, 0],
    &[0],
];

/// One of the 22 queries.
pub struct Query {
    /// The number in the specification, from 1.
    pub number: usize,
    /// The text, with the names that ports have in SQL.
    pub sql: String,
}

impl Query {
    /// Returns the order of the rows. No rows tie at a limit, and the data is the same every time.
    pub fn order(&self) -> Order {
        match SORT_KEYS[self.number - 1] {
            [] => Order::Any,
            keys => Order::Sorted { keys: keys.to_vec(), limit: None },
        }
    }
}

/// Returns the queries with these numbers, or all queries if there are no numbers.
pub fn queries(numbers: &[u32]) -> Result<Vec<Query>> {
    let chosen = (1..=22).filter(|number| numbers.is_empty() || numbers.contains(number));
    chosen
        .map(|number| {
            let file = repository().join(format!("testbed/src/tpch/queries/q{number:02}.sql"));
            let sql = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            Ok(Query { number: number as usize, sql })
        })
        .collect()
}

/// Returns the folder of the demo's data at this scale.
pub fn data_folder(scale: f64) -> Result<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = cache.or_else(|| std::env::home_dir().map(|home| home.join(".cache")));
    let folder = cache.context("there is no home folder; set XDG_CACHE_HOME")?.join("portolan");
    let folder = folder.join(format!("tpch-sf{scale}-v1"));
    ensure!(
        TABLES.iter().all(|(_, _, table)| folder.join(format!("{table}.parquet")).is_file()),
        "there is no data in {}; `portolan demo --scale {scale} --run` generates it",
        folder.display()
    );
    Ok(folder)
}

/// Writes the demo's descriptors of `domain` over the tables in `data` to `folder`.
pub fn write_descriptors(domain: &str, data: &Path, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    // The path is between double quotes, where YAML uses the escapes of JSON.
    let data = serde_json::Value::from(data.display().to_string()).to_string();
    let descriptors = repository().join("testbed/src/descriptors").join(domain);
    for entry in fs::read_dir(&descriptors).with_context(|| format!("cannot read {}", descriptors.display()))? {
        let entry = entry?;
        let text = fs::read_to_string(entry.path())?.replace("@DATA@", data.trim_matches('"'));
        fs::write(folder.join(entry.file_name()), text)?;
    }
    Ok(())
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
