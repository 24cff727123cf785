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
    held: Mutex<HashMap<String, HeldStatement>>,
    most: usize,
    most_per_principal: usize,
    idle: Duration,
    speculative_runs: SpeculativeRuns,
}

/// A statement with its owner and its last use.
struct HeldStatement {
    owner: Principal,
    statement: Arc<Statement>,
    used: Instant,
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
        let mut held = self.lock();
        self.make_room(&mut held, owner, 1, statement.bytes())?;
        let handle = random_token();
        held.insert(
            handle.clone(),
            HeldStatement { owner: owner.clone(), statement: Arc::new(statement), used: Instant::now() },
        );
        Ok(Bytes::from(handle))
    }

    /// Makes room for additional parameters of `owner`.
    pub(crate) fn room_for(&self, owner: &Principal, parameters: &Parameters) -> Result<()> {
        self.make_room(&mut self.lock(), owner, 0, bytes_of(parameters))
    }

    /// Makes room for `more` statements of `owner`, with `bytes` in total.
    fn make_room(
        &self,
        held: &mut HashMap<String, HeldStatement>,
        owner: &Principal,
        more: usize,
        bytes: usize,
    ) -> Result<()> {
        let taken = |held: &HashMap<String, HeldStatement>| {
            let of_owner = held.values().filter(|h| h.owner.shares_account(owner));
            let add =
                |(count, sum): (usize, usize), h: &HeldStatement| (count + 1, sum.saturating_add(h.statement.bytes()));
            of_owner.fold((more, bytes), add)
        };
        let fits = |all: usize, count: usize, sum: usize| {
            all + more <= self.most && count <= self.most_per_principal && sum <= MOST_BYTES
        };
        let (count, sum) = taken(held);
        if fits(held.len(), count, sum) {
            return Ok(());
        }
        held.retain(|_, h| h.is_alive(self.idle));
        let (mut count, mut sum) = taken(held);
        // Clients close prepared statements, but do not report when they are done with a query. A running stream also
        // holds its statement, so that it can be cancelled.
        let mut idle: Vec<(Instant, String)> = held
            .iter()
            .filter(|(_, h)| h.owner.shares_account(owner) && h.may_go() && Arc::strong_count(&h.statement) == 1)
            .map(|(handle, h)| (h.used, handle.clone()))
            .collect();
        idle.sort_unstable();
        // For a principal at its limit, more statements are dropped than necessary, so that not every new statement has
        // to search.
        let wanted = match count > self.most_per_principal {
            true => self.most_per_principal - self.most_per_principal / AT_A_TIME,
            false => self.most_per_principal,
        };
        for (_, handle) in idle {
            if fits(held.len(), count, sum) && count <= wanted {
                break;
            }
            if let Some(gone) = held.remove(&handle) {
                count -= 1;
                sum -= gone.statement.bytes().min(sum);
            }
        }
        if fits(held.len(), count, sum) {
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
        let entry = held.get_mut(key).ok_or_else(unknown)?;
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
        self.lock().retain(|_, h| h.is_alive(self.idle));
    }

    /// Drops the statement of `handle`, if it belongs to `caller`.
    pub(crate) fn close(&self, caller: &Principal, handle: &[u8]) -> Result<()> {
        self.find(caller, handle)?;
        self.lock().remove(key_of(handle)?);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, HeldStatement>> {
        lock(&self.held)
    }
}

impl fmt::Debug for Statements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Statements").field("held", &self.lock().len()).finish_non_exhaustive()
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
mod tests {
    #![allow(clippy::unwrap_used)]

    use arrow::array::{ArrayRef, UInt8Array};
    use arrow::datatypes::Schema;
    use arrow::record_batch::RecordBatch;

    use super::*;

    fn store(most: usize, most_per_principal: usize, idle: Duration) -> Statements {
        let limits = ServerLimits {
            statements: most,
            statements_per_principal: most_per_principal,
            statement_idle: idle,
            ..ServerLimits::default()
        };
        Statements::new(&limits)
    }

    fn applied() -> Statement {
        Statement::new(Kind::Applied, Arc::new(Schema::empty()), Strings::Plain)
    }

    #[test]
    fn handles_are_bound_to_their_principal() {
        let store = store(10, 10, Duration::from_secs(60));
        let (ann, bob) = (Principal::new("ann"), Principal::new("bob"));
        let handle = store.hold(&ann, applied()).unwrap();
        assert!(store.find(&ann, &handle).is_ok());
        let kind = |outcome: Result<Arc<Statement>>| outcome.err().map(|e| e.kind());
        assert_eq!(kind(store.find(&bob, &handle)), Some(ErrorKind::PermissionDenied));
        assert!(store.close(&bob, &handle).is_err());
        assert_eq!(kind(store.find(&ann, random_token().as_bytes())), Some(ErrorKind::NotFound));
        assert_eq!(kind(store.find(&ann, &[0xff; 64])), Some(ErrorKind::NotFound));
        store.close(&ann, &handle).unwrap();
        assert_eq!(kind(store.find(&ann, &handle)), Some(ErrorKind::NotFound));
    }

    #[test]
    fn the_longest_idle_makes_way_and_running_ones_stay() {
        let store = store(10, 2, Duration::from_secs(60));
        let ann = Principal::new("ann");
        let first = store.hold(&ann, applied()).unwrap();
        let running = store.find(&ann, &first).unwrap();
        let second = store.hold(&ann, applied()).unwrap();
        let third = store.hold(&ann, applied()).unwrap();
        assert!(store.find(&ann, &first).is_ok());
        assert!(store.find(&ann, &second).is_err());
        let also_running = store.find(&ann, &third).unwrap();
        assert_eq!(store.hold(&ann, applied()).unwrap_err().kind(), ErrorKind::ResourceExhausted);
        assert!(store.hold(&Principal::new("bob"), applied()).is_ok());
        drop((running, also_running));
        assert!(store.hold(&ann, applied()).is_ok());
    }

    #[test]
    fn those_of_a_full_principal_go_in_some_number_and_others_one_by_one() {
        let ann = Principal::new("ann");
        let left = |store: &Statements, handles: &[Bytes]| {
            let held = store.lock();
            handles.iter().filter(|handle| held.contains_key(key_of(handle).unwrap())).count()
        };
        for (most, most_per_principal, stay) in [(100, 32, 29), (32, 100, 31)] {
            let store = store(most, most_per_principal, Duration::from_secs(60));
            let handles: Vec<_> = (0..32).map(|_| store.hold(&ann, applied()).unwrap()).collect();
            assert_eq!(left(&store, &handles), 32);
            store.hold(&ann, applied()).unwrap();
            assert_eq!(left(&store, &handles), stay);
            // The oldest statements were dropped.
            assert_eq!(left(&store, &handles[32 - stay..]), stay);
        }
    }

    #[test]
    fn parameters_are_bounded_in_sum() {
        let store = store(10, 10, Duration::from_secs(60));
        let rows = |n: usize| {
            let column: ArrayRef = Arc::new(UInt8Array::from(vec![0; n]));
            Parameters::from(vec![RecordBatch::try_from_iter([("$1", column)]).unwrap()])
        };
        let ann = Principal::new("ann");
        store.room_for(&ann, &rows(MOST_BYTES / 2)).unwrap();
        let error = store.room_for(&ann, &rows(MOST_BYTES + 1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
    }

    #[test]
    fn idle_ones_are_forgotten() {
        let store = store(10, 10, Duration::ZERO);
        let ann = Principal::new("ann");
        let handle = store.hold(&ann, applied()).unwrap();
        std::thread::sleep(Duration::from_millis(2));
        assert!(store.find(&ann, &handle).is_err());
    }
}
