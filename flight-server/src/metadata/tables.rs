//! `GetTables`: the ports of all domains, the node's own tables, and the session's tables and views. They are filtered
//! before any row is built.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryBuilder, RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow_flight::sql::CommandGetTables;
use bytes::Bytes;
use portolan_catalog::MeshSnapshot;
use portolan_connectors::node::protocol::TARGET_MESSAGE_BYTES;
use portolan_engine::Result;

use super::cache::{ListedPort, SchemaCache};
use super::listing::Listing;
use super::names::{SYSTEM_CATALOG, TABLE, VIEW};
use super::pattern::{Pattern, named};
use super::system_views::ListedView;
use crate::failure::arrow;
use crate::rows::{Strings, describe_table_column, ipc_schema, plain_schema};

/// The largest number of rows in a batch.
const BATCH_ROWS: usize = 8192;
/// The size at which a batch ends, in bytes. A single larger row still goes into one message.
const BATCH_BYTES: usize = TARGET_MESSAGE_BYTES / 2;

/// A table or a view that a session has created.
#[derive(Clone, Debug)]
pub(crate) struct OwnTable {
    pub(crate) schema: String,
    pub(crate) name: String,
    /// The type of a session's tables, or of views.
    pub(crate) kind: &'static str,
    pub(crate) columns: SchemaRef,
}

/// The tables that a query may list: ports of the mesh, tables of the node, and tables and views of the session.
pub(super) struct TableSources<'a> {
    pub(super) mesh: &'a MeshSnapshot,
    pub(super) system: &'a [ListedView],
    pub(super) own: Vec<OwnTable>,
}

/// A table in the list.
enum Row {
    Port(Arc<ListedPort>),
    Other { schema: String, name: String, kind: &'static str, columns: SchemaRef },
}

/// Returns the tables that `query` selects, ordered by catalog, schema, name and type.
pub(super) fn tables(
    query: &CommandGetTables,
    sources: TableSources<'_>,
    cache: &SchemaCache,
    strings: Strings,
) -> Result<Listing> {
    let rows = filtered(query, sources, cache);
    let include_schema = query.include_schema;
    let schema = schema(include_schema);
    let listing = TableBatches { rows: rows.into_iter(), schema: schema.clone(), include_schema, strings };
    Ok(Listing { schema, rows: listing.rows.len(), batches: Box::new(listing) })
}

fn filtered(query: &CommandGetTables, sources: TableSources<'_>, cache: &SchemaCache) -> Vec<Row> {
    let pattern = |text: &Option<String>| text.as_deref().map_or(Pattern::Any, Pattern::new);
    let (schemas, names) = (pattern(&query.db_schema_filter_pattern), pattern(&query.table_name_filter_pattern));
    let has_type = |kind: &str| query.table_types.is_empty() || query.table_types.iter().any(|t| t == kind);
    let mut rows = Vec::new();
    if has_type(TABLE) {
        for (_, domain) in named(&sources.mesh.domains, query.catalog.as_deref()) {
            let tables = cache.tables(sources.mesh, &domain.catalog);
            for (_, ports) in schemas.among(&tables.products) {
                rows.extend(names.among(ports).map(|(_, port)| Row::Port(port.clone())));
            }
        }
    }
    if query.catalog.as_deref().is_none_or(|catalog| catalog == SYSTEM_CATALOG) {
        let wanted = |schema: &str, name: &str| schemas.matches(schema) && names.matches(name);
        if has_type(VIEW) {
            let views = sources.system.iter().filter(|view| wanted(&view.schema, &view.name));
            rows.extend(views.map(|view| Row::Other {
                schema: view.schema.clone(),
                name: view.name.clone(),
                kind: VIEW,
                columns: view.columns.clone(),
            }));
        }
        let own = sources.own.into_iter().filter(|table| has_type(table.kind) && wanted(&table.schema, &table.name));
        rows.extend(own.map(|OwnTable { schema, name, kind, columns }| Row::Other { schema, name, kind, columns }));
        // The ports are already sorted, which makes this fast.
        rows.sort_by(|a, b| a.place().cmp(&b.place()));
    }
    rows
}

impl Row {
    /// Returns catalog, schema, name and type.
    fn place(&self) -> (&str, &str, &str, &'static str) {
        match self {
            Self::Port(port) => (port.name.domain.as_str(), port.name.product.as_str(), port.name.port.as_str(), TABLE),
            Self::Other { schema, name, kind, .. } => (SYSTEM_CATALOG, schema, name, kind),
        }
    }

    fn columns(&self, strings: Strings) -> Result<Bytes> {
        match self {
            Self::Port(port) => port.columns(strings),
            Self::Other { columns, .. } => {
                let plain = plain_schema(columns, strings);
                let fields: Vec<_> = plain.fields().iter().map(|field| describe_table_column(field, None)).collect();
                ipc_schema(&Schema::new(fields))
            }
        }
    }
}

/// The rows in batches that fit into messages.
struct TableBatches {
    rows: std::vec::IntoIter<Row>,
    schema: SchemaRef,
    include_schema: bool,
    strings: Strings,
}

impl Iterator for TableBatches {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        (self.rows.len() > 0).then(|| self.batch())
    }
}

impl TableBatches {
    fn batch(&mut self) -> Result<RecordBatch> {
        let mut texts: [StringBuilder; 4] = Default::default();
        let mut columns = BinaryBuilder::new();
        let (mut rows, mut bytes) = (0, 0);
        while rows < BATCH_ROWS && bytes < BATCH_BYTES {
            let Some(row) = self.rows.next() else { break };
            let (catalog, schema, name, kind) = row.place();
            for (text, builder) in [catalog, schema, name, kind].into_iter().zip(&mut texts) {
                bytes += text.len();
                builder.append_value(text);
            }
            if self.include_schema {
                let encoded = row.columns(self.strings)?;
                bytes += encoded.len();
                columns.append_value(encoded);
            }
            rows += 1;
        }
        let mut arrays: Vec<ArrayRef> = texts.iter_mut().map(|text| Arc::new(text.finish()) as ArrayRef).collect();
        if self.include_schema {
            arrays.push(Arc::new(columns.finish()));
        }
        RecordBatch::try_new(self.schema.clone(), arrays).map_err(arrow)
    }
}

fn schema(include_schema: bool) -> SchemaRef {
    let mut fields = vec![
        Field::new("catalog_name", DataType::Utf8, true),
        Field::new("db_schema_name", DataType::Utf8, true),
        Field::new("table_name", DataType::Utf8, false),
        Field::new("table_type", DataType::Utf8, false),
    ];
    if include_schema {
        fields.push(Field::new("table_schema", DataType::Binary, false));
    }
    Arc::new(Schema::new(fields))
}
