//! The text of a drafted contract over a table.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use arrow::datatypes::DataType;
use portolan_catalog::{DatabaseAddress, DatabaseKind, printable};

use super::columns::logical_type;
use super::descriptors::{custom_properties, head, line, parts, path, quoted, yaml_string};
use super::summary::number;
use super::tables::{TableColumn, TableDraft, TableReference};
use super::{DraftedPort, Product};

/// The largest number of characters of a comment that become a description.
const MAX_DESCRIPTION: usize = 4000;
/// The names of types that a contract reads as a decimal type.
const DECIMALS: [&str; 5] = ["DECIMAL", "NUMERIC", "DEC", "MONEY", "NUMBER"];

/// Returns the text of the contract of a port. `folder` is the folder of the file; without it, a path is absolute.
pub(super) fn contract(product: &Product, port: &TableDraft, folder: Option<&Path>) -> String {
    let what = if port.is_view { "view" } else { "table" };
    let kind = port.access.kind.product();
    let table = printable(&port.table);
    let mut text = format!("# Drafted by `portolan product init` from the {what} `{table}` of {kind}.\n");
    head(&mut text, product, &port.name);
    server(&mut text, port, folder);
    _ = writeln!(text, "schema:\n- name: {}", yaml_string(&port.name));
    let physical = table_name(&port.table);
    if physical != port.name {
        line(&mut text, 2, "physicalName", &physical);
    }
    line(&mut text, 2, "physicalType", what);
    description(&mut text, 2, port.comment.as_deref());
    text.push_str("  properties:\n");
    for column in &port.columns {
        property(&mut text, port, column);
    }
    for left_out in &port.left_out {
        _ = writeln!(text, "  # Left out: {}", printable(left_out));
    }
    let composite: Vec<&TableReference> = port.references.iter().filter(|own| own.columns.len() > 1).collect();
    if !composite.is_empty() {
        text.push_str("  relationships:\n");
    }
    for reference in composite {
        let list = |port: &str, columns: &[String]| {
            columns.iter().map(|column| yaml_string(&format!("{port}.{column}"))).collect::<Vec<_>>().join(", ")
        };
        _ = writeln!(text, "  - from: [{}]", list(&port.name, &reference.columns));
        _ = writeln!(text, "    to: [{}]", list(&reference.port, &reference.referenced_columns));
    }
    text
}

fn server(text: &mut String, port: &TableDraft, folder: Option<&Path>) {
    let access = &port.access;
    _ = writeln!(text, "servers:\n- server: {}", yaml_string(&access.server));
    // The standard has no type for MariaDB and SQLite.
    let (own, kind) = match access.kind {
        DatabaseKind::Postgres => ("postgres", None),
        DatabaseKind::MySql => ("mysql", None),
        DatabaseKind::MariaDb => ("mysql", Some(access.kind)),
        DatabaseKind::Sqlite => ("custom", Some(access.kind)),
    };
    line(text, 2, "type", own);
    match &access.address {
        DatabaseAddress::Server { host, port, database } => {
            line(text, 2, "host", host);
            _ = writeln!(text, "  port: {port}");
            line(text, 2, "database", database);
        }
        DatabaseAddress::File { path: file, .. } => line(text, 2, "path", &path(file, folder)),
    }
    if let Some(schema) = &access.schema {
        line(text, 2, "schema", schema);
    }
    let settings: Vec<_> = kind.iter().map(|kind| ("portolan.type", kind.type_name().to_owned())).collect();
    custom_properties(text, 2, &settings);
}

/// Returns the name of a table as a `physicalName`, where a dot separates a schema from a table.
fn table_name(name: &str) -> String {
    match name.contains(['.', '"']) {
        true => format!("\"{}\"", name.replace('"', "\"\"")),
        false => name.to_owned(),
    }
}

fn description(text: &mut String, indent: usize, comment: Option<&str>) {
    let Some(comment) = comment.map(str::trim).filter(|comment| !comment.is_empty()) else { return };
    let short: String = comment.chars().take(MAX_DESCRIPTION).collect();
    let end = if short.len() < comment.len() { "…" } else { "" };
    line(text, indent, "description", &format!("{short}{end}"));
}

fn property(text: &mut String, port: &TableDraft, own: &TableColumn) {
    let column = &own.column;
    if let Some(note) = &column.note {
        _ = writeln!(text, "  # {}: {}", printable(&own.name), printable(note));
    }
    _ = writeln!(text, "  - name: {}", yaml_string(&own.name));
    if column.name != own.name {
        line(text, 4, "physicalName", &column.name);
    }
    match logical_type(&own.data_type) {
        Some(logical_type) => line(text, 4, "logicalType", logical_type),
        None => _ = writeln!(text, "    # No `logicalType`: the standard has none for {}", own.data_type),
    }
    if let Some(physical_type) = physical_type(own) {
        _ = writeln!(text, "    physicalType: {}", quoted(&physical_type));
    }
    if let Some(parts) = parts(&own.data_type, 4, 0) {
        text.push_str(&parts);
    }
    description(text, 4, column.comment.as_deref());
    let is_composite = port.columns.iter().filter(|other| other.key_position.is_some()).count() > 1;
    if let Some(position) = own.key_position {
        text.push_str("    primaryKey: true\n");
        if is_composite {
            _ = writeln!(text, "    primaryKeyPosition: {position}");
        }
    } else if !column.nullable {
        text.push_str("    required: true\n");
    }
    if column.unique && (is_composite || own.key_position.is_none()) {
        text.push_str("    unique: true\n");
    }
    let mut values = BTreeSet::new();
    let values: Vec<&String> = column.enumeration.iter().filter(|value| values.insert(value.as_str())).collect();
    if !values.is_empty() {
        let values = values.into_iter().map(|value| format!("{{value: {}}}", enum_value(value, &own.data_type)));
        _ = writeln!(text, "    enum: [{}]", values.collect::<Vec<_>>().join(", "));
    }
    let mut references = port.references.iter().filter(|reference| reference.columns == [own.name.as_str()]).peekable();
    if references.peek().is_some() {
        let to = |reference: &TableReference| {
            let column = reference.referenced_columns.first().map(String::as_str).unwrap_or_default();
            format!("{{to: {}}}", yaml_string(&format!("{}.{column}", reference.port)))
        };
        _ = writeln!(text, "    relationships: [{}]", references.map(to).collect::<Vec<_>>().join(", "));
    }
}

/// Returns the type in the database as the contract declares it. `None` if the contract would mean another type by it.
fn physical_type(own: &TableColumn) -> Option<String> {
    use DataType as T;

    let native = own.column.native_type.trim();
    let (name, digits) = native.split_once('(').map_or((native, None), |(name, digits)| (name, Some(digits)));
    let is_decimal = DECIMALS.iter().any(|decimal| name.trim().eq_ignore_ascii_case(decimal)) && digits.is_some();
    match &own.data_type {
        T::Decimal128(precision, scale) | T::Decimal256(precision, scale) => {
            let is_odd = !is_decimal || digits.is_some_and(|digits| !digits.ends_with(')'));
            let is_needed = own.column.is_chosen || (digits.is_some() && is_odd);
            let is_valid = *scale >= 0 && i16::from(*scale) <= i16::from(*precision);
            let declared = (is_needed && is_valid).then(|| format!("DECIMAL({precision},{scale})"));
            Some(declared.unwrap_or_else(|| native.to_owned()))
        }
        other if other.is_numeric() && is_decimal => None,
        _ => Some(native.to_owned()),
    }
    .filter(|text| !text.is_empty())
}

/// Returns a permitted value as YAML: a number in a column of integers, and a string in others.
fn enum_value(value: &str, data_type: &DataType) -> String {
    match data_type.is_integer() {
        true => value.parse::<i64>().map_or_else(|_| quoted(value), |number| number.to_string()),
        false => quoted(value),
    }
}

/// Returns the line about a port: the columns, the key, the references, and what is left out.
pub(super) fn summary(port: &TableDraft) -> String {
    let view = if port.is_view { "a view, " } else { "" };
    let mut text = format!("{}: {view}{}", port.name(), number(port.columns.len() as u64, "column"));
    let mut key: Vec<_> = port.columns.iter().filter(|own| own.key_position.is_some()).collect();
    key.sort_by_key(|own| own.key_position);
    if !key.is_empty() {
        let names: Vec<_> = key.iter().map(|own| own.name.as_str()).collect();
        text.push_str(&format!(", key {}", names.join(" and ")));
    }
    for reference in &port.references {
        let verb = if reference.columns.len() == 1 { "refers" } else { "refer" };
        text.push_str(&format!(", {} {verb} to {}", reference.columns.join(" and "), reference.port));
    }
    if !port.left_out.is_empty() {
        text.push_str(&format!(", left out {}", port.left_out.join("; ")));
    }
    text
}
