//! The keys that contracts declare: primary keys, and references between ports. The names in these requests are
//! literal, not patterns.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray, UInt8Array};
use arrow::datatypes::{DataType, Field, Schema};
use arrow_flight::sql::{
    CommandGetCrossReference, CommandGetExportedKeys, CommandGetImportedKeys, CommandGetPrimaryKeys, UpdateDeleteRules,
};
use portolan_catalog::{MeshSnapshot, Port, PortRef, Reference};
use portolan_engine::Result;

use super::pattern::named;
use crate::failure::arrow;

/// A table that a client names: a table name, with an optional catalog and schema.
#[derive(Clone, Copy)]
struct Named<'a> {
    catalog: Option<&'a str>,
    schema: Option<&'a str>,
    table: &'a str,
}

/// A reference between two ports that exist.
struct ForeignKey<'a> {
    from: &'a Port,
    to: &'a Port,
    reference: &'a Reference,
}

/// Answers `GetPrimaryKeys` with the columns of a table's key.
pub(super) fn primary_keys(query: &CommandGetPrimaryKeys, mesh: &MeshSnapshot) -> Result<RecordBatch> {
    let wanted = Named { catalog: query.catalog.as_deref(), schema: query.db_schema.as_deref(), table: &query.table };
    let keys: Vec<(&Port, &str, i32)> = wanted
        .ports(mesh)
        .flat_map(|port| port.primary_key.iter().zip(1..).map(move |(column, place)| (port, column.as_str(), place)))
        .collect();
    let columns: Vec<ArrayRef> = vec![
        texts(&keys, |(port, ..)| port.name.domain.as_str()),
        texts(&keys, |(port, ..)| port.name.product.as_str()),
        texts(&keys, |(port, ..)| port.name.port.as_str()),
        texts(&keys, |(_, column, _)| *column),
        Arc::new(Int32Array::from_iter_values(keys.iter().map(|(.., place)| *place))),
        texts(&keys, |(port, ..)| primary_key_name(&port.name)),
    ];
    // For the last two columns, the specification's text puts the name first, but Arrow's own clients and servers put
    // the sequence first.
    let schema = Schema::new(vec![
        Field::new("catalog_name", DataType::Utf8, true),
        Field::new("db_schema_name", DataType::Utf8, true),
        Field::new("table_name", DataType::Utf8, false),
        Field::new("column_name", DataType::Utf8, false),
        Field::new("key_sequence", DataType::Int32, false),
        Field::new("key_name", DataType::Utf8, true),
    ]);
    RecordBatch::try_new(Arc::new(schema), columns).map_err(arrow)
}

/// Answers `GetExportedKeys` with the references to a table.
pub(super) fn exported_keys(query: &CommandGetExportedKeys, mesh: &MeshSnapshot) -> Result<RecordBatch> {
    let wanted = Named { catalog: query.catalog.as_deref(), schema: query.db_schema.as_deref(), table: &query.table };
    let mut links: Vec<ForeignKey<'_>> = mesh.ports().flat_map(|port| links(port, mesh, wanted)).collect();
    links.sort_by(|a, b| a.order(a.from).cmp(&b.order(b.from)));
    references(&links)
}

/// Answers `GetImportedKeys` with the references from a table.
pub(super) fn imported_keys(query: &CommandGetImportedKeys, mesh: &MeshSnapshot) -> Result<RecordBatch> {
    let wanted = Named { catalog: query.catalog.as_deref(), schema: query.db_schema.as_deref(), table: &query.table };
    let mut links: Vec<ForeignKey<'_>> = wanted.ports(mesh).flat_map(|port| all_links(port, mesh)).collect();
    links.sort_by(|a, b| a.order(a.to).cmp(&b.order(b.to)));
    references(&links)
}

/// Answers `GetCrossReference` with the references from one table to another.
pub(super) fn cross_reference(query: &CommandGetCrossReference, mesh: &MeshSnapshot) -> Result<RecordBatch> {
    let to =
        Named { catalog: query.pk_catalog.as_deref(), schema: query.pk_db_schema.as_deref(), table: &query.pk_table };
    let from =
        Named { catalog: query.fk_catalog.as_deref(), schema: query.fk_db_schema.as_deref(), table: &query.fk_table };
    let mut links: Vec<ForeignKey<'_>> = from.ports(mesh).flat_map(|port| links(port, mesh, to)).collect();
    links.sort_by(|a, b| a.order(a.from).cmp(&b.order(b.from)));
    references(&links)
}

impl<'a> Named<'a> {
    fn ports<'m>(self, mesh: &'m MeshSnapshot) -> impl Iterator<Item = &'m Port> + use<'a, 'm> {
        named(&mesh.domains, self.catalog)
            .flat_map(move |(_, domain)| named(&domain.catalog.products, self.schema))
            .flat_map(move |(_, product)| named(&product.ports, Some(self.table)))
            .map(|(_, port)| port)
    }

    fn means(self, name: &PortRef) -> bool {
        self.table == name.port.as_str()
            && self.catalog.is_none_or(|catalog| catalog == name.domain.as_str())
            && self.schema.is_none_or(|schema| schema == name.product.as_str())
    }
}

impl ForeignKey<'_> {
    /// Returns the sort key that the specification requires, by the port of one side.
    fn order<'a>(&'a self, side: &'a Port) -> (&'a PortRef, String) {
        (&side.name, self.name())
    }

    fn name(&self) -> String {
        let columns = || self.reference.columns.join("_");
        self.reference.name.clone().unwrap_or_else(|| format!("{}_{}_fkey", self.from.name.port, columns()))
    }
}

/// Returns the references of a port to the table `to`. The name alone excludes most others.
fn links<'a>(port: &'a Port, mesh: &'a MeshSnapshot, to: Named<'_>) -> impl Iterator<Item = ForeignKey<'a>> {
    let named_so = move |reference: &&Reference| reference.table.last().is_some_and(|table| table == to.table);
    let links = port.references.iter().filter(named_so).filter_map(move |reference| link(port, mesh, reference));
    links.filter(move |link| to.means(&link.to.name))
}

fn all_links<'a>(port: &'a Port, mesh: &'a MeshSnapshot) -> impl Iterator<Item = ForeignKey<'a>> {
    port.references.iter().filter_map(move |reference| link(port, mesh, reference))
}

fn link<'a>(from: &'a Port, mesh: &'a MeshSnapshot, reference: &'a Reference) -> Option<ForeignKey<'a>> {
    mesh.referenced(&from.name, reference).map(|to| ForeignKey { from, to, reference })
}

fn references(links: &[ForeignKey<'_>]) -> Result<RecordBatch> {
    let mut rows: Vec<(&ForeignKey<'_>, (&String, &String), i32)> = vec![];
    for link in links {
        let pairs = link.reference.referenced_columns.iter().zip(&link.reference.columns);
        rows.extend(pairs.zip(1..).map(|(pair, place)| (link, pair, place)));
    }
    // The references are declared, not enforced.
    let rule = || -> ArrayRef { Arc::new(UInt8Array::from(vec![UpdateDeleteRules::NoAction as u8; rows.len()])) };
    let columns: Vec<ArrayRef> = vec![
        texts(&rows, |(link, ..)| link.to.name.domain.as_str()),
        texts(&rows, |(link, ..)| link.to.name.product.as_str()),
        texts(&rows, |(link, ..)| link.to.name.port.as_str()),
        texts(&rows, |(_, (to, _), _)| to.as_str()),
        texts(&rows, |(link, ..)| link.from.name.domain.as_str()),
        texts(&rows, |(link, ..)| link.from.name.product.as_str()),
        texts(&rows, |(link, ..)| link.from.name.port.as_str()),
        texts(&rows, |(_, (_, from), _)| from.as_str()),
        Arc::new(Int32Array::from_iter_values(rows.iter().map(|(.., place)| *place))),
        texts(&rows, |(link, ..)| link.name()),
        Arc::new(StringArray::from_iter(rows.iter().map(|(link, ..)| referenced_key_name(link)))),
        rule(),
        rule(),
    ];
    RecordBatch::try_new(Arc::new(reference_schema()), columns).map_err(arrow)
}

/// Returns the name of a primary key, because contracts do not name primary keys.
fn primary_key_name(table: &PortRef) -> String {
    format!("{}_pkey", table.port)
}

/// Returns the name of the referenced primary key, if the columns are a primary key.
fn referenced_key_name(link: &ForeignKey<'_>) -> Option<String> {
    let (mut key, mut columns) = (link.to.primary_key.clone(), link.reference.referenced_columns.clone());
    key.sort();
    columns.sort();
    (key == columns).then(|| primary_key_name(&link.to.name))
}

fn texts<T, S: AsRef<str>>(rows: &[T], text: impl Fn(&T) -> S) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(rows.iter().map(text)))
}

fn reference_schema() -> Schema {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    Schema::new(vec![
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
    ])
}
