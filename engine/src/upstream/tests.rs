//! The answers of plain DataFusion to the smallest query of each fault. If an upgrade fixes a fault, a test fails and
//! names the workaround that can go.

#![allow(clippy::unwrap_used, clippy::panic)]

mod functions;
mod joins;
mod operands;
mod overflow;
mod partitions;
mod subqueries;

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::object_store::memory::InMemory;
use datafusion::optimizer::optimizer::Optimizer;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::prelude::{SessionConfig, SessionContext};

use super::{GUARDS, PHYSICAL_GUARDS, filters_by_name};

/// The answer of plain DataFusion to a query, as this module writes it down.
#[derive(Clone, Copy, Debug)]
enum Answer {
    /// The rows in the order of their text, with `|` between the values of a row.
    Rows(&'static [&'static str]),
    /// A part of the error message.
    Fails(&'static str),
    Panics,
}

/// The file of a workaround, a query that shows the fault, and DataFusion's answer.
type Fault = (&'static str, &'static str, Answer);

/// The faults, by the number of partitions that DataFusion plans for. The number of cores would change the plans.
const FAULTS: [(usize, &[Fault]); 6] = [
    (1, functions::FAULTS),
    (1, joins::FAULTS),
    (1, operands::FAULTS),
    (1, overflow::FAULTS),
    (1, subqueries::FAULTS),
    (2, partitions::FAULTS),
];

/// Faults that no query over plain DataFusion shows: the file of the workaround, and the reason.
const WITHOUT_QUERY: &[(&str, &str)] = &[
    (
        "aggregate_filters.rs",
        "a filter of a TopN that reaches another column of its name: we found it by reading \
         `FilterRemapper::try_remap`, and know no query",
    ),
    ("aggregate_filters.rs", "a partition that begins with NULLs: the partition that reads first decides"),
    (
        "distinct_sums.rs",
        "a part of a sum of BIGINT that does not fit: DataFusion's own parts wrap around, so that the total is right",
    ),
    ("filters_by_name.rs", "joins across sites show it: `tests/e2e/right_rows/equal_names.rs` has the queries"),
    ("growth.rs", "DataFusion's answers are right: they take minutes"),
    (
        "nested_loops.rs",
        "a join whose input does not fit into the memory of its query: `tests/e2e/right_rows/nested_loops.rs` has the queries",
    ),
    ("unfiltered_keys.rs", "keys of floats: `tests/e2e/right_rows/inferred_filters.rs` has the queries"),
    ("unfiltered_keys.rs", "keys of maps: the filter fails if a scan takes it, and scans of files do not"),
    ("unfiltered_keys.rs", "lists whose items have several names: only files of other writers have them"),
];

/// Files that are not workarounds themselves, although they are in this folder or name a version of DataFusion.
const HELPERS: &[&str] = &[
    "expressions.rs",
    "guarded_rules.rs",
    "identifiers.rs",
    "mod.rs",
    "opaque.rs",
    "operand_types/mod.rs",
    "same_column.rs",
    "subqueries/simple.rs",
];

/// Statements that create the tables and the Parquet files of the queries.
const TABLES: &[&str] = &[
    "CREATE TABLE a AS SELECT * FROM (VALUES (1, 1), (2, NULL), (3, 3), (NULL, 2)) t(id, x)",
    "CREATE TABLE b AS SELECT * FROM (VALUES (1, 1), (1, NULL), (3, 5)) t(id, v)",
    "COPY (SELECT * FROM a) TO 'memory:///a/0.parquet' STORED AS PARQUET",
    "CREATE EXTERNAL TABLE a_file STORED AS PARQUET LOCATION 'memory:///a/'",
    "COPY (SELECT * FROM b) TO 'memory:///b/0.parquet' STORED AS PARQUET",
    "CREATE EXTERNAL TABLE b_file STORED AS PARQUET LOCATION 'memory:///b/'",
    "COPY (SELECT named_struct('x', 1) AS s) TO 'memory:///structs/0.parquet' STORED AS PARQUET",
    "CREATE EXTERNAL TABLE structs STORED AS PARQUET LOCATION 'memory:///structs/'",
    // The last file has the smallest `c`, and another file the smallest `a`.
    "COPY (SELECT 1 AS a, 100 AS c) TO 'memory:///extrema/0.parquet' STORED AS PARQUET",
    "COPY (SELECT 1 AS a, 100 AS c) TO 'memory:///extrema/1.parquet' STORED AS PARQUET",
    "COPY (SELECT 8 AS a, 70 AS c) TO 'memory:///extrema/2.parquet' STORED AS PARQUET",
    "CREATE EXTERNAL TABLE extrema STORED AS PARQUET LOCATION 'memory:///extrema/'",
    "COPY (SELECT * FROM (VALUES (TIMESTAMP '1970-01-01 00:30:00', -1, 9, true), \
     (TIMESTAMP '1970-01-02 18:00:00', 0, 10, true), (TIMESTAMP '1970-01-05 01:00:00', 1, 10, false)) t(since, x, n, b)) \
     TO 'memory:///casts/0.parquet' STORED AS PARQUET",
    "CREATE EXTERNAL TABLE casts STORED AS PARQUET LOCATION 'memory:///casts/'",
];

/// The current answer to a query.
enum Outcome {
    Rows(Vec<String>),
    Fails(String),
    Panics,
}

/// Writes an outcome as an [`Answer`] in the source.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rows(rows) => write!(f, "Rows(&{rows:?})"),
            Self::Fails(message) => write!(f, "Fails({message:?})"),
            Self::Panics => write!(f, "Panics"),
        }
    }
}

impl Answer {
    fn agrees_with(self, outcome: &Outcome) -> bool {
        match (self, outcome) {
            (Self::Rows(expected), Outcome::Rows(rows)) => rows == expected,
            (Self::Fails(part), Outcome::Fails(message)) => message.contains(part),
            (Self::Panics, Outcome::Panics) => true,
            _ => false,
        }
    }
}

/// Returns a context without a rule or a function of ours.
async fn plain_datafusion(partitions: usize) -> SessionContext {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(partitions));
    let memory = ObjectStoreUrl::parse("memory://").unwrap();
    context.register_object_store(memory.as_ref(), Arc::new(InMemory::new()));
    for statement in TABLES {
        let made = match context.sql(statement).await {
            Ok(frame) => frame.collect().await,
            Err(error) => Err(error),
        };
        if let Err(error) = made {
            panic!("{statement}: {error}");
        }
    }
    context
}

async fn outcome_of(context: &SessionContext, query: &'static str) -> Outcome {
    let context = context.clone();
    // A panic of the query ends the task, not the test.
    let task = tokio::spawn(async move { context.sql(query).await?.collect().await });
    match task.await {
        Ok(Ok(batches)) => Outcome::Rows(rows(&batches)),
        Ok(Err(error)) => Outcome::Fails(error.to_string()),
        Err(_) => Outcome::Panics,
    }
}

fn rows(batches: &[RecordBatch]) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let mut rows = vec![];
    for batch in batches {
        let columns = batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap());
        let columns: Vec<_> = columns.collect();
        for row in 0..batch.num_rows() {
            let values: Vec<String> = columns.iter().map(|column| column.value(row).to_string()).collect();
            rows.push(values.join("|"));
        }
    }
    rows.sort();
    rows
}

#[tokio::test]
async fn datafusion_still_has_these_faults() {
    let mut changed = vec![];
    for (partitions, faults) in FAULTS {
        let context = plain_datafusion(partitions).await;
        for &(workaround, query, answer) in faults {
            let outcome = outcome_of(&context, query).await;
            if !answer.agrees_with(&outcome) {
                changed
                    .push(format!("upstream/{workaround}: `{query}`\n    now returns {outcome}\n    (was {answer:?})"));
            }
        }
    }
    assert!(
        changed.is_empty(),
        "DataFusion has other answers to {} queries. If an answer is right, remove the workaround and its entry in \
         docs/src/differences.md. If it is another wrong answer, write it down.\n{}",
        changed.len(),
        changed.join("\n")
    );
}

/// Without a query, no upgrade shows that a workaround can go.
#[test]
fn each_workaround_has_a_query() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/upstream");
    let files = source_files(&folder);
    let with_entry: BTreeSet<&str> = FAULTS
        .iter()
        .flat_map(|(_, faults)| faults.iter().map(|(workaround, ..)| *workaround))
        .chain(WITHOUT_QUERY.iter().map(|(workaround, _)| *workaround))
        .collect();
    let mut mistakes = vec![];
    for name in with_entry.iter().chain(HELPERS).filter(|name| !files.contains(**name)) {
        mistakes.push(format!("upstream/{name} does not exist, but the tests name it"));
    }
    for name in files.iter().filter(|name| !HELPERS.contains(&name.as_str())) {
        let has_version = names_a_version(&fs::read_to_string(folder.join(name)).unwrap());
        // Any other file is a part of a workaround.
        let is_whole = !name.trim_end_matches("/mod.rs").contains('/');
        let has_entry = with_entry.contains(name.as_str());
        if (is_whole || has_entry) && !has_version {
            mistakes.push(format!(
                "upstream/{name}: its header does not name the version of DataFusion that has the fault"
            ));
        }
        if (is_whole || has_version) && !has_entry {
            mistakes.push(format!("upstream/{name} has no query in `FAULTS` and no reason in `WITHOUT_QUERY`"));
        }
    }
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
}

/// Returns the paths of the Rust files of a folder, without tests, below the folder and with `/` between their parts.
fn source_files(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() && name != "tests" {
            found.extend(source_files(&entry.path()).into_iter().map(|below| format!("{name}/{below}")));
        } else if name.ends_with(".rs") && name != "tests.rs" {
            found.insert(name);
        }
    }
    found
}

/// True if the header of a source file names a version of DataFusion.
fn names_a_version(source: &str) -> bool {
    let header: Vec<&str> = source.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim).collect();
    let header = header.join(" ");
    header.split("DataFusion ").skip(1).any(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// A release of DataFusion that renames a rule would leave it without its guard.
#[test]
fn guards_are_for_rules_that_datafusion_has() {
    let rules = Optimizer::new().rules;
    for name in GUARDS.iter().flat_map(|guard| guard.rules) {
        assert!(rules.iter().any(|rule| rule.name() == *name), "no rule is called {name}");
    }
    for name in PHYSICAL_GUARDS.iter().map(|guard| guard.rule).chain([filters_by_name::RULE]) {
        let rules = PhysicalOptimizer::new().rules.into_iter().filter(|rule| rule.name() == name);
        assert_eq!(rules.count(), 1, "expected one rule called {name}");
    }
}
