//! A session: a connection of the pool in a transaction of its own.
//!
//! A connection goes back to the pool only after the server has said that the transaction is over. If a session is
//! dropped before, its statement is cancelled, and the connection is rolled back, or else closed.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool::managed::Object;
use futures::{FutureExt, future};
use tokio::time::timeout;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, CopyOutStream, Row, SimpleQueryMessage};

use super::Shared;
use super::connection::{Connection, Connector};
use super::errors::{self, Work};
use crate::databases::{RunContext, pool};
use crate::error::{Error, Result};

/// The time that the server has to end the transaction of a session that was dropped.
const CLEANUP_TIMEOUT: Duration = Duration::from_secs(10);
/// The time after which a statement that was cancelled and still runs is cancelled again.
const FIRST_RETRY: Duration = Duration::from_millis(100);
/// The longest statement timeout in milliseconds: the setting is an `int4`.
const LONGEST_TIMEOUT: u128 = 2_147_483_647;

/// The purpose of a session, which decides its rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// It reads. Everything that it reads is of one moment.
    Read,
    /// It adds rows.
    Append,
}

/// A connection in a transaction of its own.
#[derive(Debug)]
pub(super) struct Session {
    shared: Arc<Shared>,
    /// `None` if the connection was returned.
    connection: Option<Object<Connector>>,
    /// The statement that begins the transaction.
    begin: String,
    /// True while a statement may run at the server.
    is_running: bool,
    work: Work,
    until: Instant,
}

impl Session {
    /// Returns a session with a connection of the pool. Its transaction has not begun.
    ///
    /// # Errors
    /// `ResourceExhausted` if no connection becomes free; `SiteUnavailable` without a connection; `DeadlineExceeded`.
    pub(super) async fn open(shared: &Arc<Shared>, access: Access, work: Work, context: &RunContext) -> Result<Self> {
        let connection = pool::connection(&shared.pool, &shared.origin, shared.wait, context.deadline).await?;
        Ok(Self::with(shared, connection, access, work, context))
    }

    /// Returns a session that reads, if a connection is free at once.
    pub(super) async fn open_free(shared: &Arc<Shared>, context: &RunContext) -> Option<Self> {
        let connection = pool::free_connection(&shared.pool).await?;
        Some(Self::with(shared, connection, Access::Read, Work::Read, context))
    }

    fn with(
        shared: &Arc<Shared>,
        connection: Object<Connector>,
        access: Access,
        work: Work,
        context: &RunContext,
    ) -> Self {
        let begin = begin(access, context);
        let shared = shared.clone();
        Self { shared, connection: Some(connection), begin, is_running: false, work, until: context.deadline }
    }

    /// Begins the transaction.
    pub(super) async fn begin(&mut self) -> Result<()> {
        let begin = self.begin.clone();
        self.run(|client| client.batch_execute(&begin)).await
    }

    /// Begins the transaction again, after a statement that failed.
    pub(super) async fn begin_again(&mut self) -> Result<()> {
        self.run(|client| client.batch_execute("ROLLBACK")).await?;
        self.begin().await
    }

    /// Begins the transaction, and starts to read the rows of a query in it. The server gets both at once.
    pub(super) async fn begin_with(&mut self, sql: &str) -> Result<Pin<Box<CopyOutStream>>> {
        let (begin, copy) = (self.begin.clone(), copy_of(sql));
        let started = self.run(|client| {
            let both = future::join(client.batch_execute(&begin), client.copy_out(copy.as_str()));
            both.map(|(begun, rows)| begun.and(rows))
        });
        let rows = started.await?;
        self.is_running = true;
        Ok(Box::pin(rows))
    }

    /// Starts to read the rows of a query in the transaction.
    pub(super) async fn copy(&mut self, sql: &str) -> Result<Pin<Box<CopyOutStream>>> {
        let copy = copy_of(sql);
        let rows = self.run(|client| client.copy_out(copy.as_str())).await?;
        self.is_running = true;
        Ok(Box::pin(rows))
    }

    /// Runs statements without parameters and returns the rows of the last one as text.
    pub(super) async fn texts(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
        let messages = self.run(|client| client.simple_query(sql)).await?;
        let rows = messages.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|i| row.get(i).map(str::to_owned)).collect()),
            _ => None,
        });
        Ok(rows.collect())
    }

    /// Runs a query with parameters.
    pub(super) async fn rows(&mut self, sql: &str, parameters: &[(&(dyn ToSql + Sync), Type)]) -> Result<Vec<Row>> {
        self.run(|client| client.query_typed(sql, parameters)).await
    }

    /// Runs something on the connection, until the deadline.
    pub(super) async fn run<'a, T, F>(&'a mut self, work: impl FnOnce(&'a Client) -> F) -> Result<T>
    where
        F: Future<Output = Result<T, tokio_postgres::Error>>,
    {
        let (until, kind) = (self.until, self.work);
        let Self { shared, connection, is_running, .. } = self;
        let Some(connection) = connection else { return Err(shared.origin.late()) };
        *is_running = true;
        let done = tokio::time::timeout_at(until.into(), work(&connection.client)).await;
        let done = done.map_err(|_| shared.origin.late())?;
        // The server has answered, so no statement runs.
        *is_running = false;
        done.map_err(|e| errors::error(&shared.origin, kind, until, e))
    }

    /// Returns an error of rows that the session reads. The server ended the statement with it.
    pub(super) fn failed(&mut self, cause: tokio_postgres::Error) -> Error {
        self.is_running = false;
        errors::error(&self.shared.origin, self.work, self.until, cause)
    }

    /// Notes that a statement runs at the server, after its first answer.
    pub(super) fn starts(&mut self) {
        self.is_running = true;
    }

    /// Notes that the server has ended a statement.
    pub(super) fn ends(&mut self) {
        self.is_running = false;
    }

    /// Returns the major version of the server.
    pub(super) fn version(&self) -> u32 {
        self.connection.as_ref().map_or(0, |connection| connection.version)
    }

    /// Returns the time by which the session must be done.
    pub(super) fn until(&self) -> Instant {
        self.until
    }

    /// Commits the transaction and returns the connection.
    pub(super) async fn commit(mut self) -> Result<()> {
        // A rollback undoes the settings that the query of a contract has changed by `set_config`.
        let end = if self.work == Work::Append { "COMMIT" } else { "ROLLBACK" };
        self.run(|client| client.batch_execute(end)).await?;
        if let Some(mut connection) = self.connection.take() {
            connection.returned();
        }
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        let cleanup = clean_up(self.shared.clone(), connection, self.is_running);
        self.shared.connections.io().spawn(cleanup);
    }
}

/// Cancels the statement of a connection, rolls back, and returns the connection to the pool. Closes it if the server
/// does not answer.
async fn clean_up(shared: Arc<Shared>, mut connection: Object<Connector>, is_running: bool) {
    let is_clean = {
        let mut rolled_back = pin!(timeout(CLEANUP_TIMEOUT, connection.client.batch_execute("ROLLBACK")));
        let mut retry = FIRST_RETRY;
        loop {
            if is_running {
                let cancelled = timeout(CLEANUP_TIMEOUT, shared.connections.cancel(&connection)).await;
                if !matches!(cancelled, Ok(Ok(()))) {
                    tracing::debug!(database = %shared.origin.url, "a statement could not be cancelled");
                }
            }
            // A server that had not started the statement has ignored the signal.
            match timeout(retry, &mut rolled_back).await {
                Ok(answer) => break matches!(answer, Ok(Ok(()))),
                Err(_) => retry *= 2,
            }
        }
    };
    match is_clean {
        true => connection.returned(),
        false => Connection::abort(Object::take(connection)),
    }
}

/// Returns the statements that begin a transaction and set its limits.
fn begin(access: Access, context: &RunContext) -> String {
    let mode = match access {
        Access::Read => "ISOLATION LEVEL REPEATABLE READ, READ ONLY",
        Access::Append => "ISOLATION LEVEL READ COMMITTED, READ WRITE",
    };
    // Zero would be no limit.
    let left = context.deadline.saturating_duration_since(Instant::now()).as_millis().clamp(1, LONGEST_TIMEOUT);
    let name = context
        .query_id
        .as_deref()
        .map(|id| format!("SET LOCAL application_name = {};", literal(&format!("portolan {id}"))));
    format!("BEGIN TRANSACTION {mode}; SET LOCAL statement_timeout = {left}; {}", name.unwrap_or_default())
}

fn copy_of(sql: &str) -> String {
    // A line break ends a comment of the query.
    format!("COPY ({sql}\n) TO STDOUT (FORMAT binary)")
}

/// Returns a string literal. PostgreSQL has no literal for NUL, so it is left out.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\0', "").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_has_a_limit_and_the_name_of_the_query() {
        let context = |seconds| RunContext {
            query_id: Some("a'b".to_owned()),
            deadline: Instant::now() + Duration::from_secs(seconds),
        };
        let begun = begin(Access::Read, &context(60));
        assert!(begun.starts_with("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY; "), "{begun}");
        assert!(begun.contains("statement_timeout = 5") && begun.ends_with("= 'portolan a''b';"), "{begun}");
        assert!(begin(Access::Append, &context(0)).contains("READ WRITE; SET LOCAL statement_timeout = 1;"));
        assert!(begin(Access::Read, &context(1 << 40)).contains("statement_timeout = 2147483647;"));
    }
}
