//! Rows for a table, in one transaction.

use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use futures::stream::BoxStream;
use mysql_async::{Statement, Value};
use portolan_catalog::DatabaseRelation;
use portolan_catalog::nearest::nearest;
use tokio::time::timeout_at;

use super::metadata::{self, ColumnFacts};
use super::session::Session;
use super::values::{number, text};
use super::{encode, errors};
use crate::error::{Error, ErrorKind, Result};
use crate::sql::quoted_name;

/// The largest number of parameters of a statement.
const MAX_PARAMETERS: usize = 65_535;
/// The largest number of rows of a statement.
const MAX_ROWS: usize = 1000;
/// The number of bytes of rows at which a statement is complete, if the server allows as many.
const STATEMENT_BYTES: usize = 4 << 20;
/// The bytes of a packet that the parameters do not use.
const PACKET_RESERVE: u64 = 128 << 10;

/// Adds rows to a table, and returns their number. `table` is its name in SQL.
pub(super) async fn append(
    mut session: Session,
    relation: &DatabaseRelation,
    table: &str,
    columns: &[String],
    mut rows: BoxStream<'static, Result<RecordBatch>>,
) -> Result<u64> {
    let DatabaseRelation::Table { schema, name } = relation else {
        let context =
            format!("rows can be added to tables of {} only, and the port is a query", session.origin().shown);
        return Err(Error::new(ErrorKind::InvalidQuery, context));
    };
    session.limit_time().await?;
    let targets = targets(&mut session, schema.as_deref(), name, columns).await?;
    let packet = session.rows("SELECT @@max_allowed_packet", vec![]).await?;
    let packet = packet.first().and_then(|row| number(row, 0)).unwrap_or_default().saturating_sub(PACKET_RESERVE);
    let mut inserts = Inserts::new(session, table, targets, usize::try_from(packet).unwrap_or(usize::MAX));
    inserts.session.begin_writing().await?;
    let deadline = inserts.session.deadline();
    loop {
        let Ok(batch) = timeout_at(deadline.into(), rows.next()).await else {
            return Err(inserts.session.origin().late());
        };
        match batch {
            Some(batch) => inserts.add(&batch?).await?,
            None => return inserts.commit().await,
        }
    }
}

/// Returns the columns that get values. A table without transactions would keep the rows of a failed statement.
async fn targets(
    session: &mut Session,
    schema: Option<&str>,
    name: &str,
    columns: &[String],
) -> Result<Vec<ColumnFacts>> {
    let shown = session.origin().shown.clone();
    let Some(table) = metadata::table(session, schema, name).await? else {
        return Err(Error::new(ErrorKind::NotFound, format!("{shown} has no table `{name}` that its account may see")));
    };
    if table.is_view || !table.has_transactions {
        let why = if table.is_view { "is a view" } else { "has an engine without transactions" };
        let context = format!("rows cannot be added to `{name}` of {shown}: it {why}");
        return Err(Error::new(ErrorKind::InvalidQuery, context));
    }
    let known = metadata::columns(session, schema, name).await?;
    let target = |column: &String| {
        let found = known.iter().find(|facts| facts.name == *column).cloned();
        found.ok_or_else(|| {
            let near = nearest(column, known.iter().map(|facts| facts.name.as_str()));
            Error::new(ErrorKind::NotFound, format!("`{name}` of {shown} has no column `{column}`")).suggesting(near)
        })
    };
    columns.iter().map(target).collect()
}

/// Rows on their way into a table.
struct Inserts {
    session: Session,
    table: String,
    targets: Vec<ColumnFacts>,
    /// The largest number of bytes of a row.
    packet: usize,
    /// The number of rows of a full statement.
    rows_at_once: usize,
    /// The statement for that number of rows.
    full: Option<Statement>,
    waiting: Vec<Value>,
    waiting_rows: usize,
    waiting_bytes: usize,
    added: u64,
}

impl Inserts {
    fn new(session: Session, table: &str, targets: Vec<ColumnFacts>, packet: usize) -> Self {
        let rows_at_once = (MAX_PARAMETERS / targets.len().max(1)).clamp(1, MAX_ROWS);
        Self {
            session,
            table: table.to_owned(),
            targets,
            packet,
            rows_at_once,
            full: None,
            waiting: vec![],
            waiting_rows: 0,
            waiting_bytes: 0,
            added: 0,
        }
    }

    /// Adds the rows of a batch, or lets them wait for more.
    async fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_columns() != self.targets.len() {
            return Err(Error::new(ErrorKind::Internal, "the rows have other columns than the table"));
        }
        for row in 0..batch.num_rows() {
            let values = encode::row(batch, row, &self.targets).map_err(|reason| self.refused(&reason))?;
            let bytes: usize = values.iter().map(encode::size).sum();
            if bytes > self.packet {
                let limit = format!("a row of {bytes} bytes is larger than `max_allowed_packet` of the server");
                return Err(self.refused(&limit));
            }
            if self.waiting_bytes + bytes > STATEMENT_BYTES.min(self.packet) {
                self.insert().await?;
            }
            self.waiting.extend(values);
            self.waiting_bytes += bytes;
            self.waiting_rows += 1;
            if self.waiting_rows == self.rows_at_once {
                self.insert().await?;
            }
        }
        Ok(())
    }

    fn refused(&self, reason: &str) -> Error {
        let context = format!("{} cannot hold a row: {reason}", self.session.origin().shown);
        Error::new(ErrorKind::InvalidQuery, context)
    }

    /// Adds the waiting rows.
    async fn insert(&mut self) -> Result<()> {
        if self.waiting_rows == 0 {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.waiting_rows);
        let values = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        let is_full = rows == self.rows_at_once;
        let statement = match self.full.clone().filter(|_| is_full) {
            Some(statement) => statement,
            None => self.statement(rows).await?,
        };
        let warnings = self.session.execute(&statement, values).await?;
        let warnings = warnings.map_err(|refused| errors::not_added(self.session.origin(), &refused))?;
        if warnings > 0 {
            return Err(self.changed().await);
        }
        if is_full {
            self.full = Some(statement);
        } else {
            self.session.close(statement).await?;
        }
        self.added += rows as u64;
        Ok(())
    }

    /// Returns the statement that adds a number of rows.
    async fn statement(&mut self, rows: usize) -> Result<Statement> {
        let dialect = self.session.flavor().dialect();
        let names: Vec<_> = self.targets.iter().map(|target| quoted_name(&target.name, dialect)).collect();
        let row = format!("({})", vec!["?"; names.len()].join(", "));
        let insert =
            format!("INSERT INTO {} ({}) VALUES {}", self.table, names.join(", "), vec![row.as_str(); rows].join(", "));
        let prepared = self.session.prepare(&insert).await?;
        prepared.map_err(|refused| errors::not_added(self.session.origin(), &refused))
    }

    /// Returns the error for values that the server has changed: it reports them as warnings.
    async fn changed(&mut self) -> Error {
        let warnings = self.session.text_rows("SHOW WARNINGS").await;
        let first = warnings.ok().and_then(|rows| rows.first().and_then(|row| text(row, 2)));
        self.refused(&first.unwrap_or_else(|| "the server changed a value".to_owned()))
    }

    async fn commit(mut self) -> Result<u64> {
        self.insert().await?;
        if let Some(statement) = self.full.take() {
            self.session.close(statement).await?;
        }
        self.session.commit().await?;
        self.session.finish().await;
        Ok(self.added)
    }
}
