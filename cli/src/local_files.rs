//! The files of this machine that statements and commands name: their rows, and their uploads into tables of a session on
//! another node.
//!
//! The node finds the rows of `FROM 'data.csv'` in the table of the session that is called like this text. So a statement
//! is sent as it is, after its files are uploaded. A file is uploaded again only if it has changed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use portolan_connectors::files::StatementFiles;
use portolan_connectors::{FileReference, Footprint, lock};
use portolan_engine::server::files_of;
use portolan_engine::{
    Engine, Error, ErrorKind, IngestMode, IngestTarget, Limits, Position, Principal, QueryStream, Result, Session,
};
use portolan_node::client::Client;
use tokio::sync::OnceCell;

use crate::lexer::{self, Kind, literal, tokens};
use crate::units::{show_bytes, show_count};

/// The time limit for reading a file. The node that receives the rows may be far away.
const READ_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// The files of this machine, for one session. Clones share the uploads.
#[derive(Clone, Debug, Default)]
pub struct LocalFiles(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// The session whose statements read files, once a file was read.
    reader: OnceCell<Session>,
    /// The state of each uploaded file at its upload, by the name of its table. `None` for a file whose upload has
    /// started: if it is cancelled, nobody knows whether the node has stored the rows.
    uploaded: tokio::sync::Mutex<BTreeMap<String, Option<Footprint>>>,
    /// The upload that is running.
    running: Mutex<Option<Upload>>,
}

#[derive(Debug)]
struct Upload {
    what: String,
    rows: u64,
    bytes: u64,
}

/// Reports an upload as running until it is dropped.
struct Running(Arc<Shared>);

impl LocalFiles {
    /// Uploads the files that a statement names, except those that the session has already.
    ///
    /// # Errors
    /// A file that cannot be read; the node's error about the upload, such as a file that is too large.
    pub async fn upload_files_of(&self, client: &Client, sql: &str) -> Result<()> {
        for file in files_of(sql)? {
            let uploaded = self.upload(client, &file).await;
            uploaded.map_err(|e| e.within(format!("`{}`", file.name)).at(position_of(sql, &file.location)))?;
        }
        Ok(())
    }

    async fn upload(&self, client: &Client, file: &FileReference) -> Result<()> {
        let mut uploaded = self.0.uploaded.lock().await;
        let found = StatementFiles::default().footprint(file).await?;
        let known = uploaded.get(&file.name);
        if known.and_then(Option::as_ref) == Some(&found) && has_table(client, &file.name).await? {
            return Ok(());
        }
        // The first upload replaces no table that somebody else has made.
        let mode = if known.is_some() { IngestMode::Replace } else { IngestMode::Create };
        let target = IngestTarget { table: file.name.clone(), ..IngestTarget::default() };
        let rows = self.read(file).await?;
        let (columns, rows) = (rows.schema(), self.reported(&file.location, rows));
        uploaded.insert(file.name.clone(), None);
        match client.ingest(&target, mode, columns, rows).await {
            Ok(_) => {
                uploaded.insert(file.name.clone(), Some(found));
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                uploaded.remove(&file.name);
                Err(error)
            }
            Err(error) if error.kind() == ErrorKind::ResourceExhausted => Err(error.within(format!(
                "the file of {} cannot be uploaded into a table of the session",
                show_bytes(found.bytes)
            ))),
            Err(error) => Err(error),
        }
    }

    /// Returns the rows of a file.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub async fn read(&self, file: &FileReference) -> Result<QueryStream> {
        let reader = self.0.reader.get_or_try_init(|| async {
            let engine = Engine::builder().limits(patient(Limits::default()));
            let engine = engine.local_files(Arc::new(StatementFiles::default())).build()?;
            Ok::<Session, Error>(engine.session(Principal::anonymous()))
        });
        let rows = reader.await?.sql(&format!("SELECT * FROM {}", file.name)).await;
        rows.map_err(Error::without_position)
    }

    /// Returns the same rows, and reports them as an upload of `what` while they are read.
    pub fn reported(&self, what: &str, rows: QueryStream) -> BoxStream<'static, Result<RecordBatch>> {
        let running = Running(self.0.clone());
        *lock(&self.0.running) = Some(Upload { what: what.to_owned(), rows: 0, bytes: 0 });
        let count = move |batch: &RecordBatch| {
            if let Some(upload) = lock(&running.0.running).as_mut() {
                upload.rows += batch.num_rows() as u64;
                upload.bytes += batch.get_array_memory_size() as u64;
            }
        };
        rows.inspect_ok(count).boxed()
    }

    /// Returns the progress of the upload that is running, as text for people.
    pub fn progress(&self) -> Option<String> {
        let running = lock(&self.0.running);
        let Upload { what, rows, bytes } = running.as_ref()?;
        Some(format!("uploading {what}: {} rows, {}", show_count(*rows), show_bytes(*bytes)))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        *lock(&self.0.running) = None;
    }
}

fn patient(mut limits: Limits) -> Limits {
    limits.query_timeout = READ_TIMEOUT;
    limits
}

/// True if the session on the node still has a table.
async fn has_table(client: &Client, name: &str) -> Result<bool> {
    let sql = format!(
        "SELECT 1 FROM information_schema.tables WHERE table_catalog = 'portolan' AND table_schema = 'session' \
         AND table_name = {}",
        literal(name)
    );
    let (_, batches) = client.query(&sql).await?;
    Ok(batches.iter().any(|batch| batch.num_rows() > 0))
}

/// Returns the position of a string in a statement, if the statement has the string.
fn position_of(sql: &str, string: &str) -> Option<Position> {
    let literal = literal(string);
    let token =
        tokens(sql).into_iter().find(|token| token.kind == Kind::Text && sql[token.range.clone()] == literal)?;
    let lexer::Position { line, column } = lexer::Position::START.after(&sql[..token.range.start]);
    Some(Position { line: line as u64, column: column as u64 })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_position_of_a_file_is_found() {
        let position = position_of("SELECT 'ä',\n  * FROM 'o''x.csv'", "o'x.csv");
        assert_eq!(position, Some(Position { line: 2, column: 10 }));
        assert_eq!(position_of("SELECT 1", "x.csv"), None);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn rows_are_reported_while_they_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv").display().to_string();
        std::fs::write(&path, "n\n1\n2\n").unwrap();
        let files = LocalFiles::default();
        let reference = files_of(&format!("SELECT * FROM '{path}'")).unwrap().remove(0);
        let mut rows = files.reported("a.csv", files.read(&reference).await.unwrap());
        assert_eq!(files.progress().unwrap(), "uploading a.csv: 0 rows, 0 B");
        assert_eq!(rows.next().await.unwrap().unwrap().num_rows(), 2);
        assert!(files.progress().unwrap().starts_with("uploading a.csv: 2 rows, "));
        drop(rows);
        assert_eq!(files.progress(), None);
    }
}
