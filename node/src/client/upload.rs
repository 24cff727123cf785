//! Uploads rows into a table of a node. The upload is complete, or the node stores nothing.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::sql::{
    CommandStatementIngest, DoPutUpdateResult, ProstMessageExt, TableDefinitionOptions, TableExistsOption,
    TableNotExistOption,
};
use arrow_flight::{FlightData, FlightDescriptor, PutResult};
use futures::stream::{self, BoxStream, Stream, StreamExt, TryStreamExt};
use portolan_connectors::{Error, ErrorKind, Result};
use portolan_engine::{IngestMode, IngestTarget};
use prost::Message;
use tokio::sync::oneshot;

use super::Client;

impl Client {
    /// Stores rows in a table of the node, as `Session::ingest` of the engine does, and returns their number. Dropping the
    /// future cancels the upload, unless the node has all rows already: then it may store them.
    ///
    /// # Errors
    /// The error that `rows` ends with; the node's error; `Unsupported` for a `mode` that Flight SQL does not have.
    pub async fn ingest(
        &self,
        target: &IngestTarget,
        mode: IngestMode,
        columns: SchemaRef,
        rows: BoxStream<'static, Result<RecordBatch>>,
    ) -> Result<u64> {
        let descriptor = FlightDescriptor::new_cmd(command(target, mode)?.as_any().encode_to_vec());
        let columns = plain_schema(&columns);
        let plain = columns.clone();
        let rows =
            rows.map(move |batch| sendable(&batch?, &plain)).map_err(|e| FlightError::ExternalError(Box::new(e)));
        let builder = FlightDataEncoderBuilder::new().with_schema(columns).with_flight_descriptor(Some(descriptor));
        let (failed, failure) = oneshot::channel();
        let messages = messages(builder.build(rows).boxed(), failed);
        let put = async {
            let answers = self.flight().do_put(self.request(messages)).await.map_err(|s| self.error(&s))?;
            let answers: Vec<PutResult> = answers.into_inner().try_collect().await.map_err(|s| self.error(&s))?;
            let count = answers.first().and_then(|answer| DoPutUpdateResult::decode(&*answer.app_metadata).ok());
            let count = count.ok_or_else(|| self.nonsense("no number of rows after an upload"))?;
            Ok::<u64, Error>(u64::try_from(count.record_count).unwrap_or(0))
        };
        tokio::select! {
            biased;
            Ok(error) = failure => Err(error),
            stored = put => stored,
        }
    }
}

fn command(target: &IngestTarget, mode: IngestMode) -> Result<CommandStatementIngest> {
    let (if_not_exist, if_exists) = match mode {
        IngestMode::Create => (TableNotExistOption::Create, TableExistsOption::Fail),
        IngestMode::Append => (TableNotExistOption::Fail, TableExistsOption::Append),
        IngestMode::Replace => (TableNotExistOption::Create, TableExistsOption::Replace),
        IngestMode::CreateAppend => (TableNotExistOption::Create, TableExistsOption::Append),
        other => return Err(Error::new(ErrorKind::Unsupported, format!("a client cannot upload rows as {other:?}"))),
    };
    let options = TableDefinitionOptions { if_not_exist: if_not_exist.into(), if_exists: if_exists.into() };
    Ok(CommandStatementIngest {
        table_definition_options: Some(options),
        table: target.table.clone(),
        schema: target.schema.clone(),
        catalog: target.catalog.clone(),
        temporary: false,
        transaction_id: None,
        options: HashMap::new(),
    })
}

/// Returns the messages of an upload. The first error goes to `failed`, and the stream then stays open: its end would make
/// a complete upload of the rows before the error.
fn messages(
    encoded: BoxStream<'static, Result<FlightData, FlightError>>,
    failed: oneshot::Sender<Error>,
) -> impl Stream<Item = FlightData> + Send + 'static {
    stream::unfold((encoded, Some(failed)), |(mut encoded, mut failed)| async move {
        match encoded.next().await {
            Some(Ok(message)) => Some((message, (encoded, failed))),
            Some(Err(error)) => {
                if let Some(failed) = failed.take() {
                    // The caller may have dropped the upload.
                    let _ = failed.send(ours(error));
                }
                futures::future::pending().await
            }
            None => None,
        }
    })
}

fn ours(error: FlightError) -> Error {
    let unsendable = |source: Box<dyn std::error::Error + Send + Sync>| {
        Error::new(ErrorKind::Internal, "the rows cannot be sent").with_source(source)
    };
    match error {
        FlightError::ExternalError(inner) => match inner.downcast::<Error>() {
            Ok(ours) => *ours,
            Err(other) => unsendable(other),
        },
        other => unsendable(Box::new(other)),
    }
}

/// Returns a batch with the columns that are sent. A message with a part of a view would have all of its strings.
fn sendable(batch: &RecordBatch, plain: &SchemaRef) -> Result<RecordBatch> {
    let columns = batch.columns().iter().zip(plain.fields()).map(|(column, field)| cast(column, field.data_type()));
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let sent = columns
        .collect::<Result<Vec<_>, ArrowError>>()
        .and_then(|columns| RecordBatch::try_new_with_options(plain.clone(), columns, &options));
    sent.map_err(|e| Error::new(ErrorKind::Internal, "the rows cannot be sent").with_source(e))
}

fn plain_schema(schema: &Schema) -> SchemaRef {
    Arc::new(Schema::new(schema.fields().iter().map(plain_field).collect::<Vec<_>>()))
}

/// Returns a nullable column without views, at every depth.
fn plain_field(field: &FieldRef) -> FieldRef {
    Arc::new(Field::new(field.name(), plain_type(field.data_type()), true))
}

fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::List(item) | DataType::ListView(item) => DataType::List(plain_field(item)),
        DataType::LargeList(item) | DataType::LargeListView(item) => DataType::LargeList(plain_field(item)),
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(plain_field(item), *size),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(plain_field).collect()),
        DataType::Dictionary(_, values) => plain_type(values),
        DataType::RunEndEncoded(_, values) => plain_type(values.data_type()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use arrow::array::{Array, ArrayRef, AsArray, StringViewArray, StructArray};

    use super::*;

    #[test]
    fn views_are_sent_as_plain_strings_at_every_depth() {
        let strings: ArrayRef = Arc::new(StringViewArray::from(vec![Some("a string that no view holds itself"), None]));
        let field = Arc::new(Field::new("s", DataType::Utf8View, true));
        let nested: ArrayRef = Arc::new(StructArray::from(vec![(field, strings.clone())]));
        let batch = RecordBatch::try_from_iter_with_nullable([("s", strings, true), ("n", nested, true)]).unwrap();
        let plain = plain_schema(&batch.schema());
        let sent = sendable(&batch, &plain).unwrap();
        assert_eq!(sent.column(0).as_string::<i32>().value(0), "a string that no view holds itself");
        assert!(sent.column(0).is_null(1));
        let inner = sent.column(1).as_struct().column(0);
        assert_eq!(inner.data_type(), &DataType::Utf8);
    }

    #[tokio::test]
    async fn the_messages_of_a_failed_upload_have_no_end() {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
        let error = Error::new(ErrorKind::NotFound, "the file is gone");
        let rows = stream::iter([Err(FlightError::ExternalError(Box::new(error)))]);
        let encoded = FlightDataEncoderBuilder::new().with_schema(schema).build(rows).boxed();
        let (failed, failure) = oneshot::channel();
        let mut messages = Box::pin(messages(encoded, failed));
        // The schema.
        assert!(messages.next().await.is_some());
        let end = tokio::time::timeout(std::time::Duration::from_millis(50), messages.next()).await;
        assert!(end.is_err());
        assert_eq!(failure.await.unwrap().kind(), ErrorKind::NotFound);
    }
}
