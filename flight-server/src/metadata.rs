//! The tables that Flight SQL gives about the catalog: catalogs, schemas, tables, keys, types. They come from the mesh
//! as it is known now, so that browsing never waits for a node.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow_flight::sql::{
    Command, CommandGetCatalogs, CommandGetDbSchemas, CommandGetPrimaryKeys, CommandGetTableTypes, CommandGetTables,
};
use futures::TryStreamExt;
use portolan_catalog::{MeshSnapshot, Port};
use portolan_engine::{Engine, Principal, Result};
use tokio::sync::OnceCell;

use crate::failure::{arrow, encoding};
use crate::service::Service;
use crate::sql_info::sql_info;
use crate::wire_schema::wire_schema;
use crate::xdbc::type_info;

/// What output ports are to clients, who ask for `TABLE` and know no other word.
const TABLE: &str = "TABLE";
/// What the node's own tables are.
const VIEW: &str = "VIEW";
/// The catalog that every node has.
const SYSTEM_CATALOG: &str = "portolan";

/// The node's own tables, looked up once: they do not change while it runs.
#[derive(Debug, Default)]
pub(crate) struct SystemViews(OnceCell<Vec<SystemView>>);

#[derive(Debug)]
struct SystemView {
    schema: String,
    name: String,
    columns: SchemaRef,
}

impl Service {
    /// The table that answers `command`; `None` if it is none about the catalog.
    pub(crate) async fn metadata(&self, command: &Command) -> Result<Option<RecordBatch>> {
        let mesh = self.engine.mesh();
        let table = match command {
            Command::CommandGetCatalogs(query) => catalogs(*query, &mesh)?,
            Command::CommandGetDbSchemas(query) => {
                schemas(query.clone(), &mesh, self.system_views.get(&self.engine).await)?
            }
            Command::CommandGetTables(query) => {
                tables(query.clone(), &mesh, self.system_views.get(&self.engine).await)?
            }
            Command::CommandGetTableTypes(query) => table_types(*query)?,
            Command::CommandGetPrimaryKeys(query) => primary_keys(query, &mesh)?,
            Command::CommandGetExportedKeys(_)
            | Command::CommandGetImportedKeys(_)
            | Command::CommandGetCrossReference(_) => no_references()?,
            Command::CommandGetSqlInfo(query) => sql_info(&query.info)?,
            Command::CommandGetXdbcTypeInfo(query) => type_info(query.data_type)?,
            _ => return Ok(None),
        };
        Ok(Some(table))
    }
}

impl SystemViews {
    async fn get(&self, engine: &Engine) -> &[SystemView] {
        let found = self.0.get_or_try_init(|| find_system_views(engine)).await;
        // Browsing goes on without them.
        found.map(Vec::as_slice).unwrap_or_else(|e| {
            tracing::warn!("the node's own tables are missing from the catalog: {}", e.chain());
            &[]
        })
    }
}

async fn find_system_views(engine: &Engine) -> Result<Vec<SystemView>> {
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
            let columns = wire_schema(&statement.schema());
            views.push(SystemView { schema: schema.to_owned(), name: name.to_owned(), columns });
        }
    }
    Ok(views)
}

fn text(column: &ArrayRef) -> Result<ArrayRef> {
    arrow::compute::cast(column, &DataType::Utf8).map_err(arrow)
}

fn catalogs(query: CommandGetCatalogs, mesh: &MeshSnapshot) -> Result<RecordBatch> {
    let mut builder = query.into_builder();
    for domain in mesh.domains.keys() {
        builder.append(domain.as_str());
    }
    builder.append(SYSTEM_CATALOG);
    builder.build().map_err(encoding)
}

fn schemas(query: CommandGetDbSchemas, mesh: &MeshSnapshot, views: &[SystemView]) -> Result<RecordBatch> {
    let mut builder = query.into_builder();
    for (domain, entry) in &mesh.domains {
        for product in entry.catalog.products.keys() {
            builder.append(domain.as_str(), product.as_str());
        }
    }
    let mut own: Vec<&str> = views.iter().map(|view| view.schema.as_str()).collect();
    own.sort_unstable();
    own.dedup();
    for schema in own {
        builder.append(SYSTEM_CATALOG, schema);
    }
    builder.build().map_err(encoding)
}

fn tables(query: CommandGetTables, mesh: &MeshSnapshot, views: &[SystemView]) -> Result<RecordBatch> {
    let mut builder = query.into_builder();
    for port in mesh.ports() {
        // The columns of a port are not known before its owner opened it.
        let columns = port.schema().map_or_else(|| Arc::new(Schema::empty()), |columns| wire_schema(&columns));
        let name = &port.name;
        builder
            .append(name.domain.as_str(), name.product.as_str(), name.port.as_str(), TABLE, &columns)
            .map_err(encoding)?;
    }
    for view in views {
        builder.append(SYSTEM_CATALOG, &view.schema, &view.name, VIEW, &view.columns).map_err(encoding)?;
    }
    builder.build().map_err(encoding)
}

fn table_types(query: CommandGetTableTypes) -> Result<RecordBatch> {
    let mut builder = query.into_builder();
    builder.append(TABLE);
    builder.append(VIEW);
    builder.build().map_err(encoding)
}

/// The keys that contracts declare. Names are compared as they stand: these are no patterns.
fn primary_keys(query: &CommandGetPrimaryKeys, mesh: &MeshSnapshot) -> Result<RecordBatch> {
    let wanted = |port: &&Port| {
        let name = &port.name;
        query.catalog.as_ref().is_none_or(|c| c == name.domain.as_str())
            && query.db_schema.as_ref().is_none_or(|s| s == name.product.as_str())
            && query.table == name.port.as_str()
    };
    let keys: Vec<(&Port, &str, i32)> = mesh
        .ports()
        .filter(wanted)
        .flat_map(|port| port.primary_key.iter().zip(1..).map(move |(column, place)| (port, column.as_str(), place)))
        .collect();
    let names = |of: &dyn Fn(&Port) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(keys.iter().map(|(port, ..)| of(port))))
    };
    let schema = Schema::new(vec![
        Field::new("catalog_name", DataType::Utf8, true),
        Field::new("db_schema_name", DataType::Utf8, true),
        Field::new("table_name", DataType::Utf8, false),
        Field::new("column_name", DataType::Utf8, false),
        Field::new("key_name", DataType::Utf8, true),
        Field::new("key_sequence", DataType::Int32, false),
    ]);
    let columns: Vec<ArrayRef> = vec![
        names(&|port| port.name.domain.as_str()),
        names(&|port| port.name.product.as_str()),
        names(&|port| port.name.port.as_str()),
        Arc::new(StringArray::from_iter_values(keys.iter().map(|(_, column, _)| *column))),
        Arc::new(StringArray::new_null(keys.len())),
        Arc::new(Int32Array::from_iter_values(keys.iter().map(|(.., place)| *place))),
    ];
    RecordBatch::try_new(Arc::new(schema), columns).map_err(arrow)
}

/// References between tables: contracts declare none yet.
fn no_references() -> Result<RecordBatch> {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    let schema = Schema::new(vec![
        text("pk_catalog_name", true),
        text("pk_db_schema_name", true),
        text("pk_table_name", false),
        text("pk_column_name", false),
        text("fk_catalog_name", true),
        text("fk_db_schema_name", true),
        text("fk_table_name", false),
        text("fk_column_name", false),
        Field::new("key_sequence", DataType::Int32, false),
        text("fk_key_name", true),
        text("pk_key_name", true),
        Field::new("update_rule", DataType::UInt8, false),
        Field::new("delete_rule", DataType::UInt8, false),
    ]);
    Ok(RecordBatch::new_empty(Arc::new(schema)))
}

#[cfg(test)]
mod tests;
