//! The schemas that Flight SQL specifies for its metadata, and those of the scenarios' results.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::DataType::{Binary, Boolean, Int32, Int64, UInt8, UInt32, Utf8};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UnionFields, UnionMode};
use arrow_flight::sql::Command;
use portolan_flight_server::Result;

use super::unexpected;

/// A name, a type, and true if the column may have NULLs.
type Column = (&'static str, DataType, bool);

fn columns(columns: impl IntoIterator<Item = Column>) -> SchemaRef {
    let fields: Vec<_> = columns.into_iter().map(|(name, kind, nullable)| Field::new(name, kind, nullable)).collect();
    Arc::new(Schema::new(fields))
}

/// Returns the columns of a metadata command.
pub(super) fn metadata(command: &Command) -> Result<SchemaRef> {
    Ok(match command {
        Command::CommandGetCatalogs(_) => columns([("catalog_name", Utf8, false)]),
        Command::CommandGetDbSchemas(_) => columns([("catalog_name", Utf8, true), ("db_schema_name", Utf8, false)]),
        Command::CommandGetTables(tables) => {
            let schema = tables.include_schema.then_some(("table_schema", Binary, false));
            let names = [
                ("catalog_name", Utf8, true),
                ("db_schema_name", Utf8, true),
                ("table_name", Utf8, false),
                ("table_type", Utf8, false),
            ];
            columns(names.into_iter().chain(schema))
        }
        Command::CommandGetTableTypes(_) => columns([("table_type", Utf8, false)]),
        Command::CommandGetPrimaryKeys(_) => columns([
            ("catalog_name", Utf8, true),
            ("db_schema_name", Utf8, true),
            ("table_name", Utf8, false),
            ("column_name", Utf8, false),
            ("key_sequence", Int32, false),
            ("key_name", Utf8, true),
        ]),
        Command::CommandGetExportedKeys(_)
        | Command::CommandGetImportedKeys(_)
        | Command::CommandGetCrossReference(_) => foreign_keys(),
        Command::CommandGetSqlInfo(_) => columns([("info_name", UInt32, false), ("value", info_value(), false)]),
        Command::CommandGetXdbcTypeInfo(_) => type_info(),
        other => return Err(unexpected(other)),
    })
}

/// Returns the type of the server's properties. None of its members is nullable.
fn info_value() -> DataType {
    let list = |of| DataType::List(Arc::new(Field::new("item", of, true)));
    let pair = vec![Field::new("key", Int32, false), Field::new("value", list(Int32), true)];
    let entries = Field::new("entries", DataType::Struct(pair.into()), false);
    let kinds = [
        Field::new("string_value", Utf8, false),
        Field::new("bool_value", Boolean, false),
        Field::new("bigint_value", Int64, false),
        Field::new("int32_bitmask", Int32, false),
        Field::new("string_list", list(Utf8), false),
        Field::new("int32_to_int32_list_map", DataType::Map(Arc::new(entries), false), false),
    ];
    DataType::Union(UnionFields::from_fields(kinds), UnionMode::Dense)
}

fn foreign_keys() -> SchemaRef {
    columns([
        ("pk_catalog_name", Utf8, true),
        ("pk_db_schema_name", Utf8, true),
        ("pk_table_name", Utf8, false),
        ("pk_column_name", Utf8, false),
        ("fk_catalog_name", Utf8, true),
        ("fk_db_schema_name", Utf8, true),
        ("fk_table_name", Utf8, false),
        ("fk_column_name", Utf8, false),
        ("key_sequence", Int32, false),
        ("fk_key_name", Utf8, true),
        ("pk_key_name", Utf8, true),
        ("update_rule", UInt8, false),
        ("delete_rule", UInt8, false),
    ])
}

fn type_info() -> SchemaRef {
    columns([
        ("type_name", Utf8, false),
        ("data_type", Int32, false),
        ("column_size", Int32, true),
        ("literal_prefix", Utf8, true),
        ("literal_suffix", Utf8, true),
        ("create_params", DataType::List(Arc::new(Field::new("item", Utf8, false))), true),
        ("nullable", Int32, false),
        ("case_sensitive", Boolean, false),
        ("searchable", Int32, false),
        ("unsigned_attribute", Boolean, true),
        ("fixed_prec_scale", Boolean, false),
        ("auto_increment", Boolean, true),
        ("local_type_name", Utf8, true),
        ("minimum_scale", Int32, true),
        ("maximum_scale", Int32, true),
        ("sql_data_type", Int32, false),
        ("datetime_subcode", Int32, true),
        ("num_prec_radix", Int32, true),
        ("interval_precision", Int32, true),
    ])
}

/// Returns the columns of a query's result, in a transaction or outside.
pub(super) fn query(in_transaction: bool) -> SchemaRef {
    let (name, kind) = if in_transaction { ("pkey", Int32) } else { ("id", Int64) };
    let metadata = [
        ("CATALOG_NAME", "catalog_test"),
        ("SCHEMA_NAME", "schema_test"),
        ("TABLE_NAME", "test"),
        ("TYPE_NAME", "type_test"),
        ("PRECISION", "100"),
        ("IS_AUTO_INCREMENT", "1"),
        ("IS_CASE_SENSITIVE", "0"),
        ("IS_SEARCHABLE", "1"),
        ("REMARKS", "test column"),
    ];
    let metadata: HashMap<_, _> =
        metadata.into_iter().map(|(key, value)| (format!("ARROW:FLIGHT:SQL:{key}"), value.to_owned())).collect();
    Arc::new(Schema::new(vec![Field::new(name, kind, true).with_metadata(metadata)]))
}
