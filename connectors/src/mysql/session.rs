//! A session: a connection of the pool in the hands of one operation. It returns to the pool only if nothing runs on it,
//! and otherwise it is stopped at the server.

use std::sync::Arc;
use std::time::Instant;

use deadpool::managed::Object;
use mysql_async::prelude::Queryable;
use mysql_async::{BinaryProtocol, Conn, Params, QueryResult, Row, Statement, Value};
use tokio::runtime::Handle;
use tokio::time::error::Elapsed;
use tokio::time::timeout_at;

use super::errors;
use super::pool::{Manager, Removed};
use super::server::{Flavor, Server};
use crate::databases::Origin;
use crate::error::{Error, ErrorKind, Result};

/// A connection for one operation.
pub(super) struct Session {
    connection: Option<Object<Manager>>,
    server: Arc<Server>,
    deadline: Instant,
    /// The runtime of the connections, for the work after a drop.
    runtime: Handle,
    /// True if the server may still be working, or rows are on their way.
    is_busy: bool,
    in_transaction: bool,
    /// True if the connection failed. The server stops what it runs when it finds the connection closed.
    is_broken: bool,
}

impl Session {
    pub(super) fn new(connection: Object<Manager>, server: Arc<Server>, deadline: Instant) -> Self {
        Self {
            connection: Some(connection),
            server,
            deadline,
            runtime: Handle::current(),
            is_busy: false,
            in_transaction: false,
            is_broken: false,
        }
    }

    pub(super) fn origin(&self) -> &Origin {
        &self.server.origin
    }

    pub(super) fn flavor(&self) -> Flavor {
        self.server.flavor
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Limits the time of each statement to what is left.
    pub(super) async fn limit_time(&mut self) -> Result<()> {
        let limit = self.time_limit();
        self.run(&limit).await
    }

    fn time_limit(&self) -> String {
        self.flavor().time_limit(self.deadline.saturating_duration_since(Instant::now()))
    }

    /// Starts a transaction that reads one snapshot.
    pub(super) async fn begin_reading(&mut self) -> Result<()> {
        self.begin("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY").await
    }

    /// Starts a transaction that adds rows.
    pub(super) async fn begin_writing(&mut self) -> Result<()> {
        self.begin("START TRANSACTION READ WRITE").await
    }

    async fn begin(&mut self, statement: &str) -> Result<()> {
        self.in_transaction = true;
        let statements = format!("{}; {statement}", self.time_limit());
        self.run(&statements).await
    }

    /// Commits the transaction.
    ///
    /// # Errors
    /// If the connection breaks, nobody knows whether the rows were added. The error says so.
    pub(super) async fn commit(&mut self) -> Result<()> {
        let committed = self.run("COMMIT").await;
        self.in_transaction = committed.is_err();
        match committed {
            Err(error) if self.is_busy => {
                Err(error
                    .with_detail(": it is not known whether the rows were added, so look before you add them again"))
            }
            committed => committed,
        }
    }

    /// Ends the transaction, and returns the connection to the pool.
    pub(super) async fn finish(mut self) {
        if self.in_transaction && !self.is_busy && self.run("ROLLBACK").await.is_ok() {
            self.in_transaction = false;
        }
    }

    /// Runs a statement of this program that returns no rows.
    pub(super) async fn run(&mut self, statement: &str) -> Result<()> {
        let deadline = self.deadline;
        let answer = timeout_at(deadline.into(), self.take_up()?.query_drop(statement)).await;
        self.put_down(answer)
    }

    /// Returns the rows of a short query.
    pub(super) async fn rows(&mut self, query: &str, values: Vec<Value>) -> Result<Vec<Row>> {
        let deadline = self.deadline;
        let values = if values.is_empty() { Params::Empty } else { Params::Positional(values) };
        let answer = timeout_at(deadline.into(), self.take_up()?.exec::<Row, _, _>(query, values)).await;
        self.put_down(answer)
    }

    /// Returns the rows of a query in the text protocol, for what a prepared statement would forget.
    pub(super) async fn text_rows(&mut self, query: &str) -> Result<Vec<Row>> {
        let deadline = self.deadline;
        let answer = timeout_at(deadline.into(), self.take_up()?.query::<Row, _>(query)).await;
        self.put_down(answer)
    }

    /// Prepares a statement.
    ///
    /// # Errors
    /// The outer error if the connection fails, the inner one if the server refuses the statement.
    pub(super) async fn prepare(&mut self, query: &str) -> Result<Result<Statement, mysql_async::ServerError>> {
        let deadline = self.deadline;
        match timeout_at(deadline.into(), self.take_up()?.prep(query)).await {
            Ok(Err(mysql_async::Error::Server(refused))) => {
                self.is_busy = false;
                Ok(Err(refused))
            }
            answer => self.put_down(answer).map(Ok),
        }
    }

    /// Closes a statement.
    pub(super) async fn close(&mut self, statement: Statement) -> Result<()> {
        let deadline = self.deadline;
        let answer = timeout_at(deadline.into(), self.take_up()?.close(statement)).await;
        self.put_down(answer)
    }

    /// Executes a statement that changes rows, and returns the number of the server's warnings.
    pub(super) async fn execute(
        &mut self,
        statement: &Statement,
        values: Vec<Value>,
    ) -> Result<Result<u16, mysql_async::ServerError>> {
        let deadline = self.deadline;
        let conn = self.take_up()?;
        let execution = async {
            conn.exec_drop(statement, Params::Positional(values)).await?;
            Ok(conn.get_warnings())
        };
        match timeout_at(deadline.into(), execution).await {
            Ok(Err(mysql_async::Error::Server(refused))) => {
                self.is_busy = false;
                Ok(Err(refused))
            }
            answer => self.put_down(answer).map(Ok),
        }
    }

    /// Executes a query, whose rows [`Session::next`] returns.
    pub(super) async fn start(&mut self, statement: &Statement) -> Result<()> {
        let deadline = self.deadline;
        let started = timeout_at(deadline.into(), self.take_up()?.exec_iter(statement, Params::Empty)).await;
        let started = started.map(|started| started.map(drop));
        self.put_down(started)?;
        self.is_busy = true;
        Ok(())
    }

    /// Returns the next row of a query that was started; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Row>> {
        let deadline = self.deadline;
        let mut result = QueryResult::<BinaryProtocol>::new(self.take_up()?);
        let row = timeout_at(deadline.into(), result.next()).await;
        let row = self.put_down(row)?;
        self.is_busy = row.is_some();
        Ok(row)
    }

    fn take_up(&mut self) -> Result<&mut Conn> {
        let lost = || Error::new(ErrorKind::Internal, "a session lost its connection");
        self.is_busy = true;
        self.connection.as_deref_mut().ok_or_else(lost)
    }

    /// Returns the answer. The server is done unless the connection broke or the time is over.
    fn put_down<T>(&mut self, answer: Result<mysql_async::Result<T>, Elapsed>) -> Result<T> {
        match answer {
            Ok(Ok(value)) => {
                self.is_busy = false;
                Ok(value)
            }
            Ok(Err(error)) => {
                self.is_broken = error.is_fatal();
                self.is_busy = self.is_broken;
                Err(errors::failed(&self.server.origin, &error))
            }
            Err(_) => Err(self.server.origin.late()),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        if !self.is_busy && !self.in_transaction {
            return;
        }
        let (removed, server) = (Removed::new(connection), self.server.clone());
        if self.is_broken {
            return;
        }
        // The task ends after the time limit of a connection attempt.
        self.runtime.spawn(async move {
            if let Some((id, address)) = removed.place() {
                server.kill(id, address).await;
            }
            drop(removed);
        });
    }
}
