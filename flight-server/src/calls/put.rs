//! `DoPut`: statements that change data, parameters of prepared statements, and rows for a table.

use arrow::datatypes::{Schema, SchemaRef};
use arrow_flight::sql::{
    Command, CommandStatementIngest, TableDefinitionOptions, TableExistsOption, TableNotExistOption,
};
use portolan_engine::{IngestMode, IngestTarget, Result};

use super::service::Service;
use crate::callers::Caller;
use crate::dispatch::{PutAnswer, Request, Upload, UploadedRows, unknown};
use crate::failure::{invalid, unsupported};
use crate::statements::{Bound, apply, bind, bound, parameters, prepare, refuse_transaction};

/// The largest size of one upload's parameters, in bytes.
const PARAMETER_BYTES: usize = 64 << 20;

impl Service {
    /// Handles an upload.
    pub(crate) async fn take(&self, caller: &Caller, request: Request, upload: Upload) -> Result<PutAnswer> {
        match request.sql()? {
            Command::CommandStatementUpdate(update) => {
                let prepared = prepare(caller, &update.query, update.transaction_id.as_ref()).await?;
                updated(apply(caller, &prepared, &[]).await?)
            }
            Command::CommandPreparedStatementUpdate(update) => {
                let uploaded = parameters(upload.all_rows(PARAMETER_BYTES).await?);
                let Bound { prepared, parameters: before, .. } =
                    bound(caller, &self.statements, &update.prepared_statement_handle)?;
                updated(apply(caller, &prepared, &uploaded.unwrap_or(before)).await?)
            }
            Command::CommandPreparedStatementQuery(query) => {
                let values = parameters(upload.all_rows(PARAMETER_BYTES).await?);
                let handle = query.prepared_statement_handle;
                bind(caller, &self.statements, &handle, values.unwrap_or_default())?;
                Ok(PutAnswer::Bound(handle))
            }
            Command::CommandStatementIngest(ingest) => self.ingest(caller, ingest, upload).await,
            other => Err(unknown(other.type_url())),
        }
    }

    async fn ingest(&self, caller: &Caller, ingest: CommandStatementIngest, upload: Upload) -> Result<PutAnswer> {
        refuse_transaction(ingest.transaction_id.as_ref())?;
        let mode = mode(ingest.table_definition_options.as_ref())?;
        let target = IngestTarget { catalog: ingest.catalog, schema: ingest.schema, table: ingest.table };
        if target.table.is_empty() {
            return Err(invalid("the upload names no table"));
        }
        if target.is_of_session() {
            caller.require_kept_session()?;
        } else if ingest.temporary {
            return Err(invalid("a temporary table belongs to the session: name neither catalog nor schema"));
        }
        let UploadedRows { schema, batches } = upload.rows().await?;
        let columns = schema.unwrap_or_else(|| SchemaRef::new(Schema::empty()));
        updated(caller.session.ingest(&target, mode, columns, batches).await?)
    }
}

fn updated(rows: u64) -> Result<PutAnswer> {
    Ok(PutAnswer::Updated(i64::try_from(rows).unwrap_or(i64::MAX)))
}

/// Combines the two options into a mode. If an option is unset, its case is an error, as the protocol requires.
fn mode(options: Option<&TableDefinitionOptions>) -> Result<IngestMode> {
    let (if_not_exist, if_exists) = options.map_or_else(Default::default, |o| (o.if_not_exist(), o.if_exists()));
    Ok(match (if_not_exist, if_exists) {
        (TableNotExistOption::Create, TableExistsOption::Append) => IngestMode::CreateAppend,
        (TableNotExistOption::Create, TableExistsOption::Replace) => IngestMode::Replace,
        (TableNotExistOption::Create, _) => IngestMode::Create,
        (_, TableExistsOption::Append) => IngestMode::Append,
        (_, TableExistsOption::Replace) => {
            return Err(unsupported("uploaded rows can replace a table only if the upload may also create it"));
        }
        _ => {
            return Err(invalid("the upload must say what to do if the table exists, and if it does not exist"));
        }
    })
}
