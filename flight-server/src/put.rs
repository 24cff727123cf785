//! `DoPut`: settings that come as updates, and the parameters of prepared statements.

use arrow_flight::sql::Command;
use portolan_engine::Result;

use crate::caller::Caller;
use crate::dispatch::{PutAnswer, Request, Upload, unknown};
use crate::prepared::{apply, bind, bound, parameters, prepare};
use crate::service::Service;

impl Service {
    /// Takes an upload.
    pub(crate) async fn take(&self, caller: &Caller, request: Request, upload: Upload) -> Result<PutAnswer> {
        match request.sql()? {
            Command::CommandStatementUpdate(update) => {
                let prepared = prepare(caller, &update.query, update.transaction_id.as_ref()).await?;
                apply(caller, &prepared, &[]).await?;
                Ok(PutAnswer::Updated(0))
            }
            Command::CommandPreparedStatementUpdate(update) => {
                let uploaded = parameters(&upload.all_rows(self.request_bytes).await?)?;
                let (prepared, before) = bound(caller, &self.statements, &update.prepared_statement_handle)?;
                let values = if uploaded.is_empty() { before } else { uploaded };
                apply(caller, &prepared, &values).await?;
                Ok(PutAnswer::Updated(0))
            }
            Command::CommandPreparedStatementQuery(query) => {
                let values = parameters(&upload.all_rows(self.request_bytes).await?)?;
                let handle = query.prepared_statement_handle;
                bind(caller, &self.statements, &handle, values)?;
                Ok(PutAnswer::Bound(handle))
            }
            other => Err(unknown(other.type_url())),
        }
    }
}
