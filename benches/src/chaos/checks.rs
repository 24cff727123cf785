//! What must hold during a run: an answer has the right rows, or it is an error of an expected kind that names its cause
//! and comes in time; after each fault, every node serves every domain again.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use futures::future::join_all;
use portolan_catalog::printable;
use portolan_connectors::lock;
use portolan_engine::{Error, ErrorKind};

use super::Field;
use super::clients::Caller;
use super::faults::FaultKind;
use super::known::Known;
use super::mesh::{Node, QUERY_TIMEOUT, USERS};
use super::report::Tally;

/// The time in which every domain must be served after the end of a fault.
const RECOVERY: Duration = Duration::from_secs(10);
/// The time for an answer beyond the timeout of a query. It covers the login, and a node that is stopped for a while.
const MARGIN: Duration = Duration::from_secs(15);
/// The pause between two probes of a node.
const PROBE_INTERVAL: Duration = Duration::from_millis(100);
/// The number of failed checks after which the run ends.
const MOST_FAILURES: usize = 10;

/// The answer to a statement.
pub enum Answer {
    /// The known rows.
    Right,
    /// Other rows than the known ones, with the difference.
    Wrong(String),
    /// Any rows of a statement without a known answer, or its rejection.
    Unchecked,
    /// An error.
    Error(Error),
    /// Nothing in time.
    Nothing,
}

/// The checks, and what they have found.
pub struct Judge {
    /// The factor for time limits.
    pub patience: u32,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    tally: Tally,
    faults: Vec<Window>,
    failures: Vec<String>,
}

/// A fault, and its end if it has ended.
struct Window {
    kind: FaultKind,
    ended: Option<Instant>,
}

impl Judge {
    /// Returns checks whose time limits are multiplied by `patience`.
    pub fn new(patience: u32) -> Self {
        Self { patience, state: Mutex::default() }
    }

    /// Returns the time in which each answer must come.
    pub fn time_limit(&self) -> Duration {
        QUERY_TIMEOUT + MARGIN * self.patience
    }

    /// Returns the time in which every domain must be served after the end of a fault.
    pub fn recovery(&self) -> Duration {
        RECOVERY * self.patience
    }

    /// Records that a fault begins.
    pub fn begins(&self, kind: FaultKind) {
        let explained = self.time_limit() + self.recovery();
        let mut state = lock(&self.state);
        state.faults.retain(|fault| fault.ended.is_none_or(|ended| ended.elapsed() <= explained));
        state.faults.push(Window { kind, ended: None });
    }

    /// Records that a fault of this kind has ended.
    pub fn ended(&self, kind: FaultKind) {
        let mut state = lock(&self.state);
        if let Some(fault) = state.faults.iter_mut().find(|fault| fault.kind == kind && fault.ended.is_none()) {
            fault.ended = Some(Instant::now());
        }
    }

    /// Records that every domain was served in this time after the end of a fault.
    pub fn recovered(&self, kind: FaultKind, after: Duration) {
        lock(&self.state).tally.recovered(kind, after);
    }

    /// Checks the answer to a statement that `who` sent at `started`.
    pub fn answered(&self, who: &str, sql: &str, started: Instant, answer: Answer) {
        let failure = {
            let mut state = lock(&self.state);
            state.tally.answered(&answer);
            match answer {
                Answer::Right | Answer::Unchecked => None,
                Answer::Wrong(difference) => Some(format!("the rows are wrong: {difference}")),
                Answer::Nothing => Some(format!("no answer came within {} s", self.time_limit().as_secs())),
                Answer::Error(error) => {
                    let since = started.checked_sub(self.recovery()).unwrap_or(started);
                    let is_recent = |fault: &&Window| fault.ended.is_none_or(|ended| ended >= since);
                    let mut recent = state.faults.iter().filter(is_recent);
                    let said = || format!("{}: {}", error.kind().name(), printable(&error.chain()));
                    if !recent.any(|fault| fault.kind.explains(error.kind())) {
                        Some(format!("no recent fault explains an error of this kind: {}", said()))
                    } else if !names_cause(&error) {
                        Some(format!("the error does not name its cause: {}", said()))
                    } else {
                        None
                    }
                }
            }
        };
        if let Some(failure) = failure {
            self.failed(&format!("{who}: {failure}\n  {sql}"));
        }
    }

    /// Records a failed check.
    pub fn failed(&self, what: &str) {
        eprintln!("FAILED: {what}");
        let mut state = lock(&self.state);
        if state.failures.len() < MOST_FAILURES {
            state.failures.push(what.to_owned());
        }
    }

    /// True if so many checks have failed that the run should end.
    pub fn has_enough(&self) -> bool {
        lock(&self.state).failures.len() >= MOST_FAILURES
    }

    /// Returns what was counted, and the failed checks.
    pub fn outcome(&self) -> (Tally, Vec<String>) {
        let state = lock(&self.state);
        (state.tally.clone(), state.failures.clone())
    }
}

/// True if an error says which node, domain, port or limit caused it.
fn names_cause(error: &Error) -> bool {
    let names: &[&str] = match error.kind() {
        // A changed bit can make a message too long, or end the connection as if there were too much of anything.
        ErrorKind::ResourceExhausted => &["limits.", "`shares`", "a call of `", "the limit", "http2 error"],
        ErrorKind::DeadlineExceeded => &["portolan.query_timeout", "limits.", "node grpc://"],
        ErrorKind::NotFound => &["there is no port `"],
        ErrorKind::Unauthenticated => &["log in again"],
        ErrorKind::Cancelled => &["shutting down"],
        _ => &["node grpc://", "domain "],
    };
    let said = error.chain();
    names.iter().any(|name| said.contains(name))
}

impl Field {
    /// Waits until every node serves every domain. Returns the time from `since` until then.
    ///
    /// # Errors
    /// A node that does not serve a domain within the time limit, or with wrong rows.
    pub async fn served(&self, since: Instant, limit: Duration) -> Result<Duration, String> {
        let probes = &self.questions.probes;
        let all = self.mesh.nodes.iter().flat_map(|node| probes.iter().map(move |probe| (node, probe)));
        let served = join_all(all.map(|(node, probe)| probed(node, probe, since, limit))).await;
        served.into_iter().collect::<Result<Vec<()>, String>>()?;
        Ok(since.elapsed())
    }
}

/// Sends a query to a node until the node answers it.
async fn probed(node: &Node, probe: &Known, since: Instant, limit: Duration) -> Result<(), String> {
    let mut caller = Caller::new(node, Some(USERS[0]), None);
    let mut last = "it does not answer".to_owned();
    let answered = async {
        loop {
            match caller.send(&probe.sql).await {
                Ok(rows) => return probe.check(&rows).map_err(|difference| difference.to_string()),
                Err(error) => last = error.chain(),
            }
            tokio::time::sleep(PROBE_INTERVAL).await;
        }
    };
    let outcome = tokio::time::timeout(limit.saturating_sub(since.elapsed()), answered).await;
    outcome
        .unwrap_or_else(|_| Err(format!("no rows within {} s: {}", limit.as_secs(), printable(&last))))
        .map_err(|what| format!("{}: {what}\n  {}", node.name, probe.sql))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(kind: ErrorKind, text: &str) -> Answer {
        Answer::Error(Error::new(kind, text))
    }

    #[test]
    fn an_error_needs_a_fault_and_a_cause() {
        let judge = Judge::new(1);
        let failures = |answer| {
            judge.answered("ann", "SELECT 1", Instant::now(), answer);
            judge.outcome().1.len()
        };
        let down = "domain sales: node grpc://127.0.0.1:1: it does not answer";
        assert_eq!(failures(Answer::Right), 0);
        assert_eq!(failures(error(ErrorKind::SiteUnavailable, down)), 1, "there was no fault");
        judge.begins(FaultKind::Kill);
        judge.ended(FaultKind::Kill);
        assert_eq!(failures(error(ErrorKind::SiteUnavailable, down)), 1);
        assert_eq!(failures(error(ErrorKind::SiteUnavailable, "it is away")), 2);
        assert_eq!(failures(error(ErrorKind::ResourceExhausted, "limits.memory")), 3, "nothing used memory");
        assert_eq!(failures(error(ErrorKind::Internal, down)), 4);
        assert_eq!(failures(Answer::Wrong("1 row is missing".to_owned())), 5);
        assert_eq!(failures(Answer::Nothing), 6);
        let (tally, _) = judge.outcome();
        assert_eq!((tally.answers, tally.right), (8, 1));
    }
}
