//! The table of statements for which clients hold handles. Handles are random and belong to a principal. Their number
//! is bounded, and idle statements are dropped.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use datafusion::common::utils::memory::get_record_batch_memory_size;
use portolan_connectors::lock;
use portolan_engine::{Error, ErrorKind, Prepared, Principal, Result};

use super::execution::{Parameters, Runs};
use super::results::{KeptResult, Part};
use super::speculative_runs::{SpeculativeRun, SpeculativeRuns};
use super::totals::Totals;
use crate::callers::{is_token, random_token};
use crate::options::ServerLimits;
use crate::rows::Strings;

/// The idle time after which a prepared statement may be dropped if there is no room for new ones.
const ABANDONED: Duration = Duration::from_secs(60);
/// The largest size of one principal's statements, in bytes.
const MOST_BYTES: usize = 256 << 20;
/// A principal with too many statements loses the allowed number divided by this one at once.
const AT_A_TIME: usize = 16;
/// The bytes that a planned statement takes for each byte of its text.
const PLANNED: usize = 16;

/// The statements of a server.
pub(crate) struct Statements {
    held: Mutex<Held>,
    most: usize,
    most_per_principal: usize,
    idle: Duration,
    speculative_runs: SpeculativeRuns,
}

/// The statements by their handles, and what their owners hold.
#[derive(Default)]
struct Held {
    statements: HashMap<String, HeldStatement>,
    totals: Totals,
}

/// A statement with its owner and its last use.
struct HeldStatement {
    owner: Principal,
    statement: Arc<Statement>,
    used: Instant,
    /// The size that is counted in the totals.
    bytes: usize,
}

impl Held {
    fn insert(&mut self, handle: String, statement: HeldStatement) {
        self.totals.add(&statement.owner, statement.bytes);
        self.statements.insert(handle, statement);
    }

    fn remove(&mut self, handle: &str) {
        if let Some(gone) = self.statements.remove(handle) {
            self.totals.remove(&gone.owner, gone.bytes);
        }
    }

    /// Drops statements that were idle for too long, and expired results.
    fn retain_alive(&mut self, idle: Duration) {
        let Self { statements, totals } = self;
        statements.retain(|_, held| {
            let is_alive = held.is_alive(idle);
            if !is_alive {
                totals.remove(&held.owner, held.bytes);
            }
            is_alive
        });
    }
}

/// A statement for which a client holds a handle.
pub(crate) struct Statement {
    pub(crate) kind: Kind,
    /// The columns that clients see.
    pub(crate) schema: SchemaRef,
    /// The encoding of strings, from the session's settings when the statement was first announced.
    pub(crate) strings: Strings,
    /// The runs of the statement.
    pub(crate) runs: Runs,
}

/// The kind of a statement that has a handle.
pub(crate) enum Kind {
    /// A query with its parameters. Its ticket runs the query.
    Query(Prepared, Parameters, SpeculativeRun),
    /// A query that runs to its end without a client, and whose rows are kept.
    Kept(Arc<KeptResult>),
    /// A change that has run. Its ticket returns no rows and runs nothing again.
    Applied,
    /// A prepared statement with its current parameters.
    Prepared(Prepared, Mutex<Parameters>),
}

impl HeldStatement {
    /// True if the statement may be dropped for another one. Clients close their prepared statements, unless they
    /// crash.
    fn may_go(&self) -> bool {
        !matches!(self.statement.kind, Kind::Prepared(..)) || self.used.elapsed() > ABANDONED
    }

    fn is_alive(&self, idle: Duration) -> bool {
        match &self.statement.kind {
            Kind::Kept(result) => !result.has_expired(),
            _ => self.used.elapsed() <= idle || Arc::strong_count(&self.statement) > 1,
        }
    }
}

impl Statement {
    pub(crate) fn new(kind: Kind, schema: SchemaRef, strings: Strings) -> Self {
        Self { kind, schema, strings, runs: Runs::default() }
    }

    /// Returns the approximate memory size in bytes.
    fn bytes(&self) -> usize {
        match &self.kind {
            Kind::Query(prepared, parameters, _) => prepared.text().len() * PLANNED + bytes_of(parameters),
            Kind::Prepared(prepared, parameters) => {
                let parameters = lock(parameters);
                prepared.text().len() * PLANNED + bytes_of(&parameters)
            }
            Kind::Kept(_) | Kind::Applied => 0,
        }
    }
}

impl Statements {
    pub(crate) fn new(limits: &ServerLimits) -> Self {
        Self {
            held: Mutex::default(),
            most: limits.statements,
            most_per_principal: limits.statements_per_principal,
            idle: limits.statement_idle,
            speculative_runs: SpeculativeRuns::default(),
        }
    }

    /// Returns the starter of speculative runs.
    pub(crate) fn speculative_runs(&self) -> &SpeculativeRuns {
        &self.speculative_runs
    }

    /// Stores a statement for `owner`, and returns its handle.
    pub(crate) fn hold(&self, owner: &Principal, statement: Statement) -> Result<Bytes> {
        let (bytes, handle) = (statement.bytes(), random_token());
        let mut held = self.lock();
        self.make_room(&mut held, owner, 1, bytes)?;
        let (owner, statement, used) = (owner.clone(), Arc::new(statement), Instant::now());
        held.insert(handle.clone(), HeldStatement { owner, statement, used, bytes });
        Ok(Bytes::from(handle))
    }

    /// Makes room for additional parameters of `owner`.
    pub(crate) fn room_for(&self, owner: &Principal, parameters: &Parameters) -> Result<()> {
        self.make_room(&mut self.lock(), owner, 0, bytes_of(parameters))
    }

    /// Counts the parameters that were bound to the prepared statement of `handle`.
    pub(crate) fn recount(&self, handle: &[u8]) {
        let mut held = self.lock();
        let Held { statements, totals } = &mut *held;
        let Some(entry) = key_of(handle).ok().and_then(|key| statements.get_mut(key)) else { return };
        totals.remove(&entry.owner, entry.bytes);
        entry.bytes = entry.statement.bytes();
        totals.add(&entry.owner, entry.bytes);
    }

    /// Makes room for `more` statements of `owner`, with `bytes` in total.
    fn make_room(&self, held: &mut Held, owner: &Principal, more: usize, bytes: usize) -> Result<()> {
        let of_owner = |held: &Held| {
            let (count, sum) = held.totals.of(owner);
            (count + more, sum.saturating_add(bytes))
        };
        let fits = |held: &Held| {
            let (count, sum) = of_owner(held);
            held.statements.len() + more <= self.most && count <= self.most_per_principal && sum <= MOST_BYTES
        };
        if fits(held) {
            return Ok(());
        }
        held.retain_alive(self.idle);
        // Clients close prepared statements, but do not report when they are done with a query. A running stream also
        // holds its statement, so that it can be cancelled.
        let mut idle: Vec<(Instant, String)> = held
            .statements
            .iter()
            .filter(|(_, h)| h.owner.shares_account(owner) && h.may_go() && Arc::strong_count(&h.statement) == 1)
            .map(|(handle, h)| (h.used, handle.clone()))
            .collect();
        idle.sort_unstable();
        // For a principal at its limit, more statements are dropped than necessary, so that not every new statement has
        // to search.
        let wanted = match of_owner(held).0 > self.most_per_principal {
            true => self.most_per_principal - self.most_per_principal / AT_A_TIME,
            false => self.most_per_principal,
        };
        for (_, handle) in idle {
            if fits(held) && of_owner(held).0 <= wanted {
                break;
            }
            held.remove(&handle);
        }
        if fits(held) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::ResourceExhausted,
            format!(
                "too many or too large statements are open (at most {} for one user, {} in all, and {MOST_BYTES} bytes \
                 of text and parameters for one user): close some",
                self.most_per_principal, self.most
            ),
        ))
    }

    /// Returns the statement of `handle`, if it belongs to `caller`.
    pub(crate) fn find(&self, caller: &Principal, handle: &[u8]) -> Result<Arc<Statement>> {
        let mut held = self.lock();
        let key = key_of(handle)?;
        let entry = held.statements.get_mut(key).ok_or_else(unknown)?;
        if !entry.owner.is_same(caller) {
            return Err(Error::new(ErrorKind::PermissionDenied, "the statement belongs to another principal"));
        }
        if !entry.is_alive(self.idle) {
            held.remove(key);
            return Err(unknown());
        }
        entry.used = Instant::now();
        Ok(entry.statement.clone())
    }

    /// Drops statements that were idle for too long, and expired results.
    pub(crate) fn sweep(&self) {
        self.lock().retain_alive(self.idle);
    }

    /// Drops the statement of `handle`, if it belongs to `caller`.
    pub(crate) fn close(&self, caller: &Principal, handle: &[u8]) -> Result<()> {
        self.find(caller, handle)?;
        self.lock().remove(key_of(handle)?);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        lock(&self.held)
    }
}

impl fmt::Debug for Statements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Statements").field("held", &self.lock().statements.len()).finish_non_exhaustive()
    }
}

/// Splits a handle into the statement's handle and the part of its rows, if it names one.
pub(crate) fn handle_and_part(bytes: &[u8]) -> Result<(&str, Option<Part>)> {
    let text = std::str::from_utf8(bytes).map_err(|_| unknown())?;
    let mut words = text.split('/');
    let handle = words.next().unwrap_or_default();
    let numbers = words.map(|word| word.parse().map_err(|_| unknown())).collect::<Result<Vec<usize>>>()?;
    match numbers.as_slice() {
        [] => Ok((handle, None)),
        [piece] => Ok((handle, Some(Part::Piece(*piece)))),
        [first, of] if first < of => Ok((handle, Some(Part::Share { first: *first, of: *of }))),
        _ => Err(unknown()),
    }
}

/// Returns the handle of a part of a statement's rows.
pub(crate) fn handle_of_part(handle: &[u8], part: Part) -> Bytes {
    let handle = String::from_utf8_lossy(handle);
    Bytes::from(match part {
        Part::Piece(piece) => format!("{handle}/{piece}"),
        Part::Share { first, of } => format!("{handle}/{first}/{of}"),
    })
}

fn bytes_of(parameters: &Parameters) -> usize {
    parameters.iter().map(get_record_batch_memory_size).fold(0, usize::saturating_add)
}

fn key_of(handle: &[u8]) -> Result<&str> {
    std::str::from_utf8(handle).ok().filter(|text| is_token(text)).ok_or_else(unknown)
}

fn unknown() -> Error {
    Error::new(ErrorKind::NotFound, "the statement's handle is unknown, was closed, or was idle for too long")
}

#[cfg(test)]
mod tests;
