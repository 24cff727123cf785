//! `DoPut`: settings that come as updates, and the parameters of prepared statements.

use std::time::Duration;

use arrow::record_batch::RecordBatch;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::sql::{Command, DoPutPreparedStatementResult, DoPutUpdateResult};
use arrow_flight::{FlightData, PutResult};
use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use portolan_connectors::node::message::check_message;
use portolan_engine::{Error, ErrorKind, Result};
use prost::Message;
use tokio::time::timeout;
use tonic::{Code, Status};

use crate::caller::Caller;
use crate::commands::{self, unknown};
use crate::failure::invalid;
use crate::oversize::too_large;
use crate::prepared::{Bound, apply, bind, bound, parameters, prepare};
use crate::service::Service;

/// How long the next message of an upload may take.
const NEXT_MESSAGE: Duration = Duration::from_secs(30);
/// Messages of one upload: parameters are one row, whatever the number of batches that it comes in.
const MOST_MESSAGES: usize = 64;

impl Service {
    /// Takes an upload.
    pub(crate) async fn put(
        &self,
        caller: &Caller,
        messages: impl Stream<Item = Result<FlightData, Status>> + Send + Unpin + 'static,
    ) -> Result<PutResult> {
        let mut messages = bounded(messages, self.request_bytes).boxed();
        let first = messages.try_next().await?.ok_or_else(|| invalid("the upload is empty"))?;
        let descriptor =
            first.flight_descriptor.as_ref().ok_or_else(|| invalid("the upload does not say what it is for"))?;
        let command = commands::command(descriptor)?;
        let metadata = match command {
            Command::CommandStatementUpdate(update) => {
                let prepared = prepare(caller, &update.query, update.transaction_id.as_ref()).await?;
                apply(caller, &prepared, &[]).await?;
                updated()
            }
            Command::CommandPreparedStatementUpdate(update) => {
                let uploaded = parameters(&rows(first, messages).await?)?;
                let Bound { prepared, parameters: before, .. } =
                    bound(caller, &self.statements, &update.prepared_statement_handle)?;
                let values = if uploaded.is_empty() { before } else { uploaded };
                apply(caller, &prepared, &values).await?;
                updated()
            }
            Command::CommandPreparedStatementQuery(query) => {
                let values = parameters(&rows(first, messages).await?)?;
                let handle = query.prepared_statement_handle;
                bind(caller, &self.statements, &handle, values)?;
                DoPutPreparedStatementResult { prepared_statement_handle: Some(handle) }.encode_to_vec()
            }
            other => return Err(unknown(other.type_url())),
        };
        Ok(PutResult { app_metadata: Bytes::from(metadata) })
    }
}

/// Settings change no rows.
fn updated() -> Vec<u8> {
    DoPutUpdateResult { record_count: 0 }.encode_to_vec()
}

/// The messages of an upload, with a bound on their number and on the wait for each.
fn bounded(
    messages: impl Stream<Item = Result<FlightData, Status>> + Send + Unpin + 'static,
    message_bytes: usize,
) -> impl Stream<Item = Result<FlightData>> + Send {
    stream::unfold((messages, 0), move |(mut messages, count)| async move {
        if count == MOST_MESSAGES {
            let error = format!("an upload of parameters has at most {MOST_MESSAGES} messages");
            return Some((Err(Error::new(ErrorKind::ResourceExhausted, error)), (messages, count)));
        }
        let item = match timeout(NEXT_MESSAGE, messages.next()).await {
            Ok(None) => return None,
            Ok(Some(Ok(data))) => Ok(data),
            Ok(Some(Err(status))) if status.code() == Code::OutOfRange => Err(too_large(message_bytes)),
            Ok(Some(Err(status))) => {
                Err(Error::new(ErrorKind::Cancelled, format!("the upload broke off: {}", status.message())))
            }
            Err(_) => Err(Error::new(ErrorKind::DeadlineExceeded, "the upload did not go on for 30 seconds")),
        };
        Some((item, (messages, count + 1)))
    })
}

/// The rows of an upload. Malformed messages make the decoder panic in places; that must stay the caller's error.
async fn rows(
    first: FlightData,
    rest: impl Stream<Item = Result<FlightData>> + Send + 'static,
) -> Result<Vec<RecordBatch>> {
    let messages = stream::iter([Ok(first)])
        .chain(rest)
        .try_filter(|data| std::future::ready(!data.data_header.is_empty()))
        .map_err(|error| FlightError::from_external_error(Box::new(error)))
        .and_then(|data| std::future::ready(check_message(&data).map(|()| data).map_err(FlightError::DecodeError)));
    let batches = FlightRecordBatchStream::new_from_flight_data(messages);
    let decoded = std::panic::AssertUnwindSafe(batches.try_collect::<Vec<_>>());
    match futures::FutureExt::catch_unwind(decoded).await {
        Ok(Ok(batches)) => Ok(batches),
        Ok(Err(FlightError::ExternalError(inner))) => match inner.downcast::<Error>() {
            Ok(ours) => Err(*ours),
            Err(other) => Err(invalid("the uploaded rows cannot be read").with_source(other)),
        },
        Ok(Err(error)) => Err(invalid("the uploaded rows cannot be read").with_source(error)),
        Err(_) => Err(invalid("the uploaded rows cannot be read")),
    }
}
