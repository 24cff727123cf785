//! The node's own tables, as clients list them.

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use futures::TryStreamExt;
use portolan_engine::{Engine, Principal, Result};
use tokio::sync::OnceCell;

use super::names::SYSTEM_CATALOG;
use crate::failure::arrow;

/// The node's own tables, looked up once because they do not change while the node runs.
#[derive(Debug, Default)]
pub(crate) struct SystemViews(OnceCell<Vec<ListedView>>);

/// One of the node's own tables.
#[derive(Debug)]
pub(super) struct ListedView {
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) columns: SchemaRef,
}

impl SystemViews {
    pub(super) async fn get(&self, engine: &Engine) -> &[ListedView] {
        let found = self.0.get_or_try_init(|| find_system_views(engine)).await;
        // The catalog is listed without them.
        found.map(Vec::as_slice).unwrap_or_else(|e| {
            tracing::warn!("the node's own tables are missing from the catalog: {}", e.chain());
            &[]
        })
    }
}

async fn find_system_views(engine: &Engine) -> Result<Vec<ListedView>> {
    let session = engine.session(Principal::anonymous());
    let names = format!(
        "SELECT CAST(table_schema AS VARCHAR) AS s, CAST(table_name AS VARCHAR) AS t \
         FROM {SYSTEM_CATALOG}.information_schema.tables WHERE table_catalog = '{SYSTEM_CATALOG}'"
    );
    let batches: Vec<RecordBatch> = session.sql(&names).await?.try_collect().await?;
    let mut views = Vec::new();
    for batch in batches {
        let (schemas, tables) = (text(batch.column(0))?, text(batch.column(1))?);
        let (schemas, tables) = (schemas.as_string::<i32>(), tables.as_string::<i32>());
        for (schema, name) in schemas.iter().flatten().zip(tables.iter().flatten()) {
            let statement = session.prepare(&format!("SELECT * FROM {SYSTEM_CATALOG}.{schema}.{name}")).await?;
            views.push(ListedView { schema: schema.to_owned(), name: name.to_owned(), columns: statement.schema() });
        }
    }
    Ok(views)
}

fn text(column: &ArrayRef) -> Result<ArrayRef> {
    arrow::compute::cast(column, &DataType::Utf8).map_err(arrow)
}
