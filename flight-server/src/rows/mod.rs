//! Rows as clients see them: columns, SQL types and messages.

mod encode;
mod ipc_messages;
mod split;
mod sql_types;
mod wire_schema;

pub(crate) use encode::{
    fragment_messages, ipc_schema, labelled, no_rows, statement_messages, table_messages, until_cancelled,
};
pub(crate) use sql_types::{SqlType, sql_type};
#[cfg(test)]
pub(crate) use wire_schema::tests::{random_batch, types};
pub(crate) use wire_schema::{Strings, describe_table_column, plain_schema, same_columns, to_wire, wire_schema};
