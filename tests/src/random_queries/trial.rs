//! Runs a query in four ways and compares the results: on the gateway of a mesh placed freely, in one forced way and
//! unplaced, and in one process that owns everything. It also runs a query in one way, and compares it with DuckDB.

use std::fmt::Write;
use std::path::Path;

use arrow::record_batch::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use portolan_catalog::DatabaseKind;
use portolan_engine::{ErrorKind, Result as EngineResult};
use portolan_testbed::compare::{Order, compare};
use portolan_testbed::descriptors;
use portolan_testbed::tpch::{self, DOMAINS};
use tempfile::TempDir;

use super::{RandomQuery, databases, dialect, files};
use crate::crossed::{document, strategies_in};
use crate::duckdb::{DuckDb, PortFiles, compare_with_duckdb, has_rounded_column};
use crate::forced::{FORCED, Forced};
use crate::python::python;
use crate::ways::{Rows, UNPLACED, Ways, lines, run};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The setting that computes equal parts once, and the one that computes each where it occurs.
const ON: (&str, &str) = ("portolan.share", "on");
const OFF: (&str, &str) = ("portolan.share", "off");

/// The mesh, and the systems that it is compared with: one process, and DuckDB if there is Python.
pub struct Trial {
    ways: Ways,
    duckdb: Option<DuckDb>,
    _folder: TempDir,
}

/// The outcome of a query.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Every way returned the same rows, of this number.
    Equal(usize),
    /// Every way failed with the same kind of error.
    Refused(String),
    /// The ways differ, as described.
    Different(String),
}

/// The outcome of a query in comparison with DuckDB.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// The same rows, of this number.
    Equal(usize),
    /// Portolan refuses the query with this message, and DuckDB answers it.
    Refused(String),
    /// The query was not compared, for this reason.
    Skipped(String),
    /// The rows differ, as described.
    Different(String),
}

/// The outcome of a query that runs with sharing and without.
#[derive(Clone, Debug)]
pub struct Shared {
    /// The outcome of the comparison of all runs.
    pub outcome: Outcome,
    /// The outcome of the comparison with DuckDB. `None` if there is no DuckDB, or the runs differ.
    pub verdict: Option<Verdict>,
    /// True if the process that owns everything computes a part for several readers.
    pub has_shared_part: bool,
}

impl Trial {
    /// Starts the mesh over the tables in `data` and over generated ports, and DuckDB over the same files.
    ///
    /// # Errors
    /// If data is missing, nodes do not start or do not learn of one another, or DuckDB cannot read files.
    pub async fn start(data: &Path) -> Result<Self> {
        Self::start_nodes(data, false).await
    }

    /// Starts the mesh as [`Trial::start`] does. The ports of each domain are tables of a database of its own.
    ///
    /// # Errors
    /// As [`Trial::start`].
    pub async fn start_behind_databases(data: &Path) -> Result<Self> {
        Self::start_nodes(data, true).await
    }

    async fn start_nodes(data: &Path, behind_databases: bool) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let (mut homes, mut ports) = files::write(&folder.path().join("made-up"));
        for domain in DOMAINS {
            homes.push((domain, descriptors::write(domain, data, &folder.path().join(domain))?));
        }
        ports.extend(tpch::TABLES.iter().map(|table| PortFiles {
            name: format!("{}.{}.{}", table.domain, table.product, table.name),
            files: vec![data.join(format!("{}.parquet", table.name))],
        }));
        let duckdb = match python() {
            Some(python) => Some(DuckDb::start(&python, &dialect::settings(), &ports).await?),
            None => None,
        };
        let ways = match behind_databases {
            true => Ways::start_behind_databases(&homes).await?,
            false => Ways::start(&homes).await?,
        };
        Ok(Self { ways, duckdb, _folder: folder })
    }

    /// Starts the mesh with a database of this kind for each domain, whose names begin with `name`. The single process and
    /// DuckDB read the same rows from files. Returns `None` without the programs of the databases.
    ///
    /// # Errors
    /// As [`Trial::start`].
    pub async fn start_in(kind: DatabaseKind, name: &str, data: &Path) -> Result<Option<Self>> {
        let folder = tempfile::tempdir()?;
        let Some(in_databases) = databases::write(kind, name, folder.path(), data).await else { return Ok(None) };
        let duckdb = match python() {
            Some(python) => Some(DuckDb::start(&python, &dialect::settings(), &in_databases.files).await?),
            None => None,
        };
        let ways = Ways::start_configured(&in_databases.domains).await?;
        Ok(Some(Self { ways, duckdb, _folder: folder }))
    }

    /// Returns the ways to run a query.
    pub fn ways(&self) -> &Ways {
        &self.ways
    }

    /// Runs the query in the way with the number `way`, modulo the number of ways: in one process, unplaced, placed
    /// freely, or placed in each forced way. Compares its rows with DuckDB's. `None` if there is no DuckDB.
    pub async fn judge(&self, query: &RandomQuery, way: usize) -> Option<Verdict> {
        let duckdb = self.duckdb.as_ref()?;
        if let Some(reason) = dialect::skipped(query) {
            return Some(Verdict::Skipped(reason.into()));
        }
        let ours = match way % (FORCED.len() + 3) {
            0 => self.ways.in_one_process(&query.sql).await,
            1 => self.ways.at_gateway(&query.sql, UNPLACED).await,
            2 => self.ways.at_gateway(&query.sql, &[]).await,
            n => self.ways.at_gateway(&query.sql, FORCED[n - 3].settings).await,
        };
        Some(verdict(duckdb, query, &ours).await)
    }

    /// Runs a query with sharing and without: in one process, at the owner of a domain, and at the gateway. There it is
    /// placed freely, unplaced, and placed in the forced way. Compares the rows with those of one process without sharing,
    /// and these with DuckDB's.
    pub async fn run_shared(&self, query: &RandomQuery, owner: &str, forced: &Forced) -> Shared {
        let (single, owner, gateway) = (&self.ways.single, self.ways.node(owner), self.ways.gateway());
        let expected = run(single, &query.sql, &[OFF]).await;
        let mut outcome = agree(&expected, &expected, &query.order);
        let none: &[(&str, &str)] = &[];
        let places = [
            ("one process", single, none),
            ("the owner", owner, none),
            ("the gateway", gateway, none),
            ("the gateway, unplaced", gateway, UNPLACED),
            (forced.name, gateway, forced.settings),
        ];
        for (place, engine, settings) in places {
            for share in [ON, OFF] {
                let came = run(engine, &query.sql, &[settings, &[share][..]].concat()).await;
                match agree(&expected, &came, &query.order) {
                    Outcome::Equal(_) => {}
                    Outcome::Refused(why) => outcome = Outcome::Refused(why),
                    Outcome::Different(how) => {
                        let how =
                            format!("one process without sharing (-) and {place}, {} {} (+): {how}", share.0, share.1);
                        return Shared { outcome: Outcome::Different(how), verdict: None, has_shared_part: false };
                    }
                }
            }
        }
        let verdict = match (&self.duckdb, dialect::skipped(query)) {
            (None, _) => None,
            (Some(_), Some(reason)) => Some(Verdict::Skipped(reason.into())),
            (Some(duckdb), None) => Some(verdict(duckdb, query, &expected).await),
        };
        let explained = run(single, &format!("EXPLAIN {}", query.sql), &[ON]).await;
        let has_shared_part = explained.is_ok_and(|(_, plan)| lines(&plan).join("\n").contains("shared part"));
        Shared { outcome, verdict, has_shared_part }
    }

    /// Runs the query in every way, and compares. `forced` is the forced way.
    pub async fn run(&self, sql: &str, order: &Order, forced: &Forced) -> Outcome {
        let unplaced = self.ways.at_gateway(sql, UNPLACED).await;
        let single = self.ways.in_one_process(sql).await;
        let mut outcome = match agree(&single, &unplaced, order) {
            Outcome::Different(how) => return Outcome::Different(format!("one process (-) and unplaced (+): {how}")),
            same => same,
        };
        for (name, settings) in [("placed", &[][..]), (forced.name, forced.settings)] {
            let placed = self.ways.at_gateway(sql, settings).await;
            match agree(&unplaced, &placed, order) {
                Outcome::Different(how) => {
                    return Outcome::Different(format!("unplaced (-) and {name} (+): {how}"));
                }
                Outcome::Refused(why) => outcome = Outcome::Refused(why),
                Outcome::Equal(_) => {}
            }
        }
        outcome
    }

    /// Compares the rows of two queries, each in the process that owns everything.
    pub async fn same(&self, sql: &str, other: &str, order: &Order) -> Outcome {
        agree(&self.ways.in_one_process(sql).await, &self.ways.in_one_process(other).await, order)
    }

    /// Returns the strategies of the query's edges if this way is forced. There are none if the query cannot be
    /// planned.
    pub async fn strategies(&self, sql: &str, forced: &Forced) -> Vec<String> {
        let explained = self.ways.at_gateway(&format!("EXPLAIN (FORMAT JSON) {sql}"), forced.settings).await;
        let document = explained.ok().and_then(|(_, batches)| document(&batches));
        document.map(|d| strategies_in(&d)).unwrap_or_default()
    }

    /// Describes how the gateway runs the query, and the results of each way and of DuckDB.
    ///
    /// # Errors
    /// If rows cannot be printed.
    pub async fn show(&self, sql: &str) -> Result<String> {
        let mut text = String::new();
        let single = self.ways.in_one_process(sql).await;
        let mut ways = vec![("one process", single), ("unplaced", self.ways.at_gateway(sql, UNPLACED).await)];
        for Forced { name, settings } in [Forced { name: "placed", settings: &[] }].iter().chain(FORCED) {
            match self.ways.at_gateway(&format!("EXPLAIN VERBOSE {sql}"), settings).await {
                Ok((_, plan)) => write!(text, "\n{name}:\n{}", pretty_format_batches(&plan)?)?,
                Err(e) => write!(text, "\n{name} has no plan: {}", e.chain())?,
            }
            ways.push((name, self.ways.at_gateway(sql, settings).await));
        }
        if let Some(duckdb) = &self.duckdb {
            let theirs = dialect::for_duckdb(sql);
            match duckdb.query(&theirs).await {
                Ok((_, batches)) => write!(text, "\nDuckDB: {theirs}\n{}", pretty_format_batches(&batches)?)?,
                Err(e) => write!(text, "\nDuckDB: {theirs}\n{e}")?,
            }
        }
        for (way, result) in ways {
            match result {
                Ok((_, batches)) => write!(text, "\n{way}:\n{}", pretty_format_batches(&batches)?)?,
                Err(e) => write!(text, "\n{way}: {}", e.chain())?,
            }
        }
        Ok(text)
    }
}

/// Compares Portolan's rows with DuckDB's.
async fn verdict(duckdb: &DuckDb, query: &RandomQuery, ours: &EngineResult<Rows>) -> Verdict {
    let theirs = duckdb.query(&dialect::for_duckdb(&query.sql)).await;
    match (theirs, ours) {
        (Ok(theirs), Ok(ours)) => match compare_with_duckdb(&theirs, ours, &query.order) {
            Ok(()) => Verdict::Equal(rows_of(ours)),
            Err(how) => match duckdb.query_as_written(&dialect::for_duckdb(&query.sql)).await {
                Ok(theirs) if compare_with_duckdb(&theirs, ours, &query.order).is_ok() => {
                    Verdict::Skipped(dialect::DUCKDB_DISAGREES.into())
                }
                // Rows that differ only in lost digits are one row of a `UNION` or a `GROUP BY`.
                _ if rows_of(&theirs) < rows_of(ours) && has_rounded_column(&theirs, ours) => {
                    Verdict::Skipped(dialect::DUCKDB_ROUNDS.into())
                }
                _ => Verdict::Different(format!("DuckDB (-) and Portolan (+): {how}")),
            },
        },
        (_, Err(e)) if is_fault(e) => Verdict::Different(format!("an internal error: {}", e.chain())),
        (Ok(_), Err(e)) => Verdict::Refused(e.chain()),
        (Err(theirs), Ok(_)) => Verdict::Skipped(format!("DuckDB refuses it: {theirs}")),
        (Err(_), Err(e)) => Verdict::Skipped(format!("both refuse it: {}", e.chain())),
    }
}

fn rows_of(rows: &Rows) -> usize {
    rows.1.iter().map(RecordBatch::num_rows).sum()
}

fn agree(expected: &EngineResult<Rows>, actual: &EngineResult<Rows>, order: &Order) -> Outcome {
    match (expected, actual) {
        (Ok(expected), Ok(actual)) => match compare((&expected.0, &expected.1), (&actual.0, &actual.1), order) {
            Ok(()) => Outcome::Equal(rows_of(actual)),
            Err(difference) => Outcome::Different(difference.to_string()),
        },
        (Err(e), _) | (_, Err(e)) if is_fault(e) => Outcome::Different(format!("an internal error: {}", e.chain())),
        (Err(a), Err(b)) if a.kind() == b.kind() => Outcome::Refused(a.chain()),
        (Err(a), Err(b)) => Outcome::Different(format!("the errors differ\n  - {}\n  + {}", a.chain(), b.chain())),
        (Ok(_), Err(e)) | (Err(e), Ok(_)) if is_of_a_value(e) => Outcome::Refused(e.chain()),
        (Ok(_), Err(e)) => Outcome::Different(format!("rows against an error\n  + {}", e.chain())),
        (Err(e), Ok(_)) => Outcome::Different(format!("an error against rows\n  - {}", e.chain())),
    }
}

/// True if the error is that of one row's value. If no row needs the value, such as in a join with an empty side, a plan
/// may compute it or not.
fn is_of_a_value(error: &portolan_engine::Error) -> bool {
    let text = error.chain();
    let of_a_date = text.contains("timestamp") && text.contains("out of range");
    text.contains("converted value exceeds the representable") || text.contains("integer overflow") || of_a_date
}

/// True if the error is internal, which must not happen in any way.
fn is_fault(error: &portolan_engine::Error) -> bool {
    error.kind() == ErrorKind::Internal
}
