//! The tables that Flight SQL returns about the catalog: catalogs, schemas, tables, keys, types. They come from the
//! current view of the mesh, so browsing never waits for a node.

mod cache;
mod keys;
mod listing;
mod names;
mod pattern;
mod sql_info;
mod system_views;
mod tables;
mod xdbc;

use arrow::array::RecordBatch;
use arrow_flight::sql::metadata::SqlInfoData;
use arrow_flight::sql::{Command, CommandGetCatalogs, CommandGetDbSchemas, CommandGetTableTypes};
use portolan_catalog::MeshSnapshot;
use portolan_engine::{Engine, Result, Session, server};

use crate::failure::encoding;
use crate::options::ServerLimits;
use crate::rows::Strings;

use cache::SchemaCache;
pub(crate) use listing::Listing;
use names::{LOCAL_TEMPORARY, SESSION_SCHEMA, SYSTEM_CATALOG, TABLE, VIEW};
use pattern::Pattern;
use sql_info::{Facts, answers, sql_info};
use system_views::{ListedView, SystemViews};
use tables::OwnTable;
use xdbc::type_info;

/// The answers to the catalog commands of Flight SQL, with the state that many answers need.
pub(crate) struct Metadata {
    engine: Engine,
    system_views: SystemViews,
    schemas: SchemaCache,
    sql_info: SqlInfoData,
}

impl Metadata {
    pub(crate) fn new(engine: Engine, limits: &ServerLimits) -> Result<Self> {
        let sql_info = sql_info(&Facts { engine: &engine, limits })?;
        Ok(Self { engine, system_views: SystemViews::default(), schemas: SchemaCache::default(), sql_info })
    }

    /// Returns the table that answers `command` in `session`; `None` if it is not a catalog command.
    pub(crate) async fn table(&self, session: &Session, command: &Command) -> Result<Option<Listing>> {
        let mesh = server::mesh_of(session).await;
        let table = match command {
            Command::CommandGetCatalogs(query) => catalogs(*query, &mesh)?,
            Command::CommandGetDbSchemas(query) => {
                schemas(query, &mesh, self.system_views.get(&self.engine).await, &own_tables(session))?
            }
            Command::CommandGetTables(query) => {
                let sources = tables::TableSources {
                    mesh: &mesh,
                    system: self.system_views.get(&self.engine).await,
                    own: own_tables(session),
                };
                let strings = Strings::of(&session.settings());
                return tables::tables(query, sources, &self.schemas, strings).map(Some);
            }
            Command::CommandGetTableTypes(query) => table_types(*query)?,
            Command::CommandGetPrimaryKeys(query) => keys::primary_keys(query, &mesh)?,
            Command::CommandGetExportedKeys(query) => keys::exported_keys(query, &mesh)?,
            Command::CommandGetImportedKeys(query) => keys::imported_keys(query, &mesh)?,
            Command::CommandGetCrossReference(query) => keys::cross_reference(query, &mesh)?,
            Command::CommandGetSqlInfo(query) => answers(&self.sql_info, &query.info)?,
            Command::CommandGetXdbcTypeInfo(query) => type_info(query.data_type)?,
            _ => return Ok(None),
        };
        Ok(Some(Listing::whole(table)))
    }
}

/// Returns the tables and views that a session has created.
fn own_tables(session: &Session) -> Vec<OwnTable> {
    let own = |kind| move |(name, columns)| OwnTable { schema: SESSION_SCHEMA.to_owned(), name, kind, columns };
    let tables = session.tables().into_iter().map(own(LOCAL_TEMPORARY));
    tables.chain(session.views().into_iter().map(own(VIEW))).collect()
}

fn catalogs(query: CommandGetCatalogs, mesh: &MeshSnapshot) -> Result<RecordBatch> {
    let mut builder = query.into_builder();
    for domain in mesh.domains.keys() {
        builder.append(domain.as_str());
    }
    builder.append(SYSTEM_CATALOG);
    builder.build().map_err(encoding)
}

fn schemas(
    query: &CommandGetDbSchemas,
    mesh: &MeshSnapshot,
    system: &[ListedView],
    own: &[OwnTable],
) -> Result<RecordBatch> {
    let wanted = query.db_schema_filter_pattern.as_deref().map_or(Pattern::Any, Pattern::new);
    // The rows are already filtered, and the builder sorts them.
    let mut builder = CommandGetDbSchemas::default().into_builder();
    for (domain, entry) in pattern::named(&mesh.domains, query.catalog.as_deref()) {
        for product in wanted.among(&entry.catalog.products).map(|(name, _)| name) {
            builder.append(domain.as_str(), product.as_str());
        }
    }
    if query.catalog.as_deref().is_none_or(|catalog| catalog == SYSTEM_CATALOG) {
        let system = system.iter().map(|view| view.schema.as_str());
        let mut names: Vec<&str> = system.chain(own.iter().map(|table| table.schema.as_str())).collect();
        names.sort_unstable();
        names.dedup();
        for name in names.into_iter().filter(|name| wanted.matches(name)) {
            builder.append(SYSTEM_CATALOG, name);
        }
    }
    builder.build().map_err(encoding)
}

fn table_types(query: CommandGetTableTypes) -> Result<RecordBatch> {
    let mut builder = query.into_builder();
    for name in [LOCAL_TEMPORARY, TABLE, VIEW] {
        builder.append(name);
    }
    builder.build().map_err(encoding)
}

#[cfg(test)]
mod tests;
