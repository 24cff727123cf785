//! Rows that go from an owner to a client of this node without being decoded here. This is possible if a query is one
//! fragment, so that nothing is left to do here, and if the owner sends the columns that the client was announced.

use std::pin::Pin;
use std::task::{Context, Poll};

use arrow::datatypes::{DataType, Schema, SchemaRef};
use futures::Stream;
use futures::stream::BoxStream;
use portolan_connectors::RelayedColumns;

use super::{QueryStream, Ready};
use crate::Result;
use crate::execution::part::RowPart;
use crate::plan::Exchange;

/// The permission to relay the rows of a statement to a client, with the columns that the client was announced.
#[derive(Clone, Debug)]
pub struct Relay {
    /// The announced columns. Their messages have no dictionaries and no compression.
    pub schema: SchemaRef,
    /// True if the announced columns are those in which a node sends the rows of the plan in
    /// [plain](RelayedColumns::Plain) columns.
    pub is_plain: bool,
}

/// The rows of a running query in parts. Some may be messages of an owner, if the query may [relay](Relay) its rows.
#[derive(Debug)]
pub struct RowParts(QueryStream);

impl Relay {
    /// Returns the messages of the owner that runs the whole query, whose columns are `promised`; `None` if the rows must
    /// be decoded here.
    pub(super) fn messages(&self, ready: &Ready, promised: &Schema) -> Option<BoxStream<'static, Result<RowPart>>> {
        let fragment = &Exchange::of(&ready.planned.plan)?.fragment;
        let columns = self.columns(fragment.schema.as_arrow(), promised)?;
        // An edge that is not found is an error of the plan, which reports it.
        ready.edges.relay(fragment, self.schema.clone(), columns).ok().flatten()
    }

    /// Returns the columns to request of an owner whose plan has the columns `theirs`; `None` if the rows would have to be
    /// converted here.
    fn columns(&self, theirs: &Schema, promised: &Schema) -> Option<RelayedColumns> {
        if !have_same_types(theirs, promised) || has_union(theirs) {
            return None;
        }
        match have_same_types(theirs, &self.schema) {
            true => Some(RelayedColumns::Unchanged),
            false => self.is_plain.then_some(RelayedColumns::Plain),
        }
    }
}

fn have_same_types(a: &Schema, b: &Schema) -> bool {
    a.fields().iter().map(|field| field.data_type()).eq(b.fields().iter().map(|field| field.data_type()))
}

/// True if a value may be one of a union. Only decoding checks that the union has the member that the value names.
fn has_union(columns: &Schema) -> bool {
    columns.flattened_fields().iter().any(|field| matches!(field.data_type(), DataType::Union(..)))
}

impl RowParts {
    /// Returns the rows of a query in parts.
    pub(crate) fn of(rows: QueryStream) -> Self {
        Self(rows)
    }
}

impl Stream for RowParts {
    type Item = Result<RowPart>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_part(cx)
    }
}

#[cfg(test)]
mod tests;
