//! The text of a drafted product and its contracts.

use std::fmt::Write as _;
use std::path::Path;

use arrow::datatypes::{DataType, Field};
use portolan_catalog::{FileFormat, printable, printable_with};

use super::columns::{ColumnDraft, logical_type};
use super::summary::number;
use super::{PortDraft, Product};

/// The versions of the standards.
const ODPS: &str = "v1.0.0";
const ODCS: &str = "v3.2.0";
const VERSION: &str = "0.1.0";
/// The largest depth of nested columns that a contract describes.
const MAX_DEPTH: usize = 8;

/// Returns the text of the product's descriptor. `ports` are the names of the ports.
pub(super) fn product(product: &Product, ports: &[&str]) -> String {
    let Product { domain, name, owner } = product;
    let mut text = String::from("# Drafted by `portolan product init`. Describe the product and its ports.\n");
    line(&mut text, 0, "apiVersion", ODPS);
    line(&mut text, 0, "kind", "DataProduct");
    line(&mut text, 0, "id", &format!("{domain}.{name}"));
    line(&mut text, 0, "name", name);
    line(&mut text, 0, "version", VERSION);
    line(&mut text, 0, "status", "draft");
    line(&mut text, 0, "domain", domain);
    text.push_str("# description: {purpose: What the product is for}\n");
    match owner {
        Some(owner) => _ = writeln!(text, "team: {{name: {}}}", yaml_string(owner)),
        None => text.push_str("# team: {name: The team that owns the product}\n"),
    }
    text.push_str("outputPorts:\n");
    for port in ports {
        _ = writeln!(text, "- name: {}", yaml_string(port));
        text.push_str("  # description: What one row is\n");
        line(&mut text, 2, "version", VERSION);
        line(&mut text, 2, "contractId", &contract_id(product, port));
    }
    text
}

/// Returns the text of the contract of a port. `folder` is the folder of the file; without it, paths are absolute.
pub(super) fn contract(product: &Product, port: &PortDraft, folder: Option<&Path>) -> String {
    let mut text = String::from("# Drafted by `portolan product init`");
    if let Some(counted) = &port.counted {
        let all = if counted.is_all { "all" } else { "the first" };
        _ = match counted.rows {
            1 => write!(text, " from one row. What is inferred holds for this row"),
            rows => write!(text, " from {all} {rows} rows. What is inferred holds for these rows"),
        };
    }
    text.push_str(".\n");
    head(&mut text, product, &port.name);
    server(&mut text, port, folder);
    _ = writeln!(text, "schema:\n- name: {}\n  properties:", yaml_string(&port.name));
    for column in &port.columns {
        property(&mut text, port, column);
    }
    for left_out in &port.left_out {
        _ = writeln!(text, "  # Left out: {}", printable(left_out));
    }
    text
}

/// Adds what a contract says about itself.
pub(super) fn head(text: &mut String, product: &Product, port: &str) {
    line(text, 0, "apiVersion", ODCS);
    line(text, 0, "kind", "DataContract");
    line(text, 0, "id", &contract_id(product, port));
    line(text, 0, "version", VERSION);
    line(text, 0, "status", "draft");
    line(text, 0, "domain", &product.domain);
    line(text, 0, "dataProduct", &product.name);
}

fn contract_id(product: &Product, port: &str) -> String {
    format!("{}.{}.{}", product.domain, product.name, port)
}

fn server(text: &mut String, port: &PortDraft, folder: Option<&Path>) {
    _ = writeln!(text, "servers:\n- server: {}", yaml_string(&port.server));
    let scheme = port.files.location.split_once("://").map(|(scheme, _)| scheme);
    let kind = match scheme {
        None => "local",
        Some("s3" | "s3a") => "s3",
        Some("az" | "azure" | "abfs" | "abfss" | "adl") => "azure",
        Some(_) => "custom",
    };
    line(text, 2, "type", kind);
    match (scheme, folder) {
        (Some(_), _) => line(text, 2, "location", &port.files.location),
        (None, folder) => line(text, 2, "path", &path(&port.files.location, folder)),
    }
    let format = match port.files.format {
        FileFormat::Parquet => "parquet",
        FileFormat::Csv => "csv",
        FileFormat::Json => "json",
        FileFormat::Arrow => "arrow",
    };
    line(text, 2, "format", format);
    if let Some(encoding) = &port.files.text.encoding {
        line(text, 2, "encoding", encoding);
    }
    let mut settings = vec![];
    if let Some(delimiter) = port.files.delimiter.filter(|delimiter| *delimiter != b',') {
        let name = if delimiter == b'\t' { "tab".to_owned() } else { char::from(delimiter).to_string() };
        settings.push(("portolan.delimiter", quoted(&name)));
    }
    if let Some(quote) = port.files.text.quote.filter(|quote| *quote != b'"') {
        settings.push(("portolan.quote", quoted(&char::from(quote).to_string())));
    }
    if !port.files.has_header {
        settings.push(("portolan.header", "false".to_owned()));
    }
    custom_properties(text, 2, &settings);
}

/// Returns a local path as a contract in `folder` names it.
pub(super) fn path(location: &str, folder: Option<&Path>) -> String {
    let relative = folder.and_then(|folder| pathdiff::diff_paths(location, folder));
    relative.and_then(|path| path.to_str().map(str::to_owned)).unwrap_or_else(|| location.to_owned())
}

fn property(text: &mut String, port: &PortDraft, column: &ColumnDraft) {
    let own = &column.text_type;
    if let Some(note) = own.note {
        _ = writeln!(text, "  # {}: {note}", printable(&column.name));
    }
    _ = writeln!(text, "  - name: {}", yaml_string(&column.name));
    if column.name_in_file != column.name {
        line(text, 4, "physicalName", &column.name_in_file);
    }
    if own.logical_type.is_empty() {
        _ = writeln!(text, "    # No `logicalType`: the standard has none for {}", column.data_type);
    } else {
        line(text, 4, "logicalType", own.logical_type);
    }
    if let Some(pattern) = own.pattern {
        _ = writeln!(text, "    logicalTypeOptions: {{format: {}}}", yaml_string(pattern));
    }
    if let Some((precision, scale)) = own.decimal {
        _ = writeln!(text, "    physicalType: {}", quoted(&format!("DECIMAL({precision},{scale})")));
    }
    if own.logical_type != "string"
        && let Some(parts) = parts(&column.data_type, 4, 0)
    {
        text.push_str(&parts);
    }
    let rows = port.counted.as_ref().map_or(0, |counted| counted.rows);
    if let Some(position) = column.key_position {
        _ = writeln!(text, "    primaryKey: true # inferred: unique in {}", number(rows, "row"));
        if port.columns.iter().filter(|column| column.key_position.is_some()).count() > 1 {
            _ = writeln!(text, "    primaryKeyPosition: {position}");
        }
    } else if column.is_required {
        text.push_str("    required: true # inferred: no file can hold a NULL\n");
    }
    if let Some(reference) = &column.reference {
        let to = format!("{}.{}", reference.port, reference.column);
        let found = match reference.values {
            1 => "inferred: the only value is there".to_owned(),
            values => format!("inferred: all {values} values are there"),
        };
        _ = writeln!(text, "    relationships: [{{to: {}}}] # {found}", yaml_string(&to));
    }
    if column.is_partition {
        text.push_str("    partitioned: true\n");
        let before = port.columns.iter().take_while(|other| other.name != column.name);
        let position = before.filter(|other| other.is_partition).count() + 1;
        _ = writeln!(text, "    partitionKeyPosition: {position}");
    }
    custom_properties(text, 4, &value_settings(column));
}

/// Returns the settings that say how the values of a column are written.
fn value_settings(column: &ColumnDraft) -> Vec<(&'static str, String)> {
    let own = &column.text_type;
    let mut settings = vec![];
    if own.has_decimal_comma {
        settings.push(("portolan.decimalSeparator", quoted(",")));
    }
    if let Some(thousands) = own.thousands {
        settings.push(("portolan.thousandsSeparator", quoted(&thousands.to_string())));
    }
    if let Some((yes, no)) = own.truth_words {
        settings.push(("portolan.trueValues", format!("[{}]", quoted(yes))));
        settings.push(("portolan.falseValues", format!("[{}]", quoted(no))));
    }
    if !own.null_words.is_empty() {
        let words: Vec<_> = own.null_words.iter().map(|word| quoted(word)).collect();
        settings.push(("portolan.nullValues", format!("[{}]", words.join(", "))));
    }
    settings
}

pub(super) fn custom_properties(text: &mut String, indent: usize, settings: &[(&str, String)]) {
    if settings.is_empty() {
        return;
    }
    let space = " ".repeat(indent);
    _ = writeln!(text, "{space}customProperties:");
    for (property, value) in settings {
        _ = writeln!(text, "{space}- {{property: {property}, value: {value}}}");
    }
}

/// Returns the lines about the parts of a nested column. `None` for other columns, and if some part has no logical type:
/// a node reads a column whose parts are declared in full as declared.
pub(super) fn parts(data_type: &DataType, indent: usize, depth: usize) -> Option<String> {
    if depth > MAX_DEPTH {
        return None;
    }
    let space = " ".repeat(indent);
    let part = |field: &Field, indent: usize| -> Option<String> {
        let (inner, space) = (field.data_type(), " ".repeat(indent));
        if *inner == DataType::Null {
            return None;
        }
        let mut text = format!("{space}logicalType: {}\n", logical_type(inner)?);
        if matches!(logical_type(inner), Some("object" | "array")) {
            text.push_str(&parts(inner, indent, depth + 1)?);
        }
        Some(text)
    };
    match data_type {
        DataType::Struct(fields) if !fields.is_empty() => {
            let mut text = format!("{space}properties:\n");
            for field in fields {
                _ = writeln!(text, "{space}- name: {}", yaml_string(field.name()));
                text.push_str(&part(field, indent + 2)?);
            }
            Some(text)
        }
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            Some(format!("{space}items:\n{}", part(item, indent + 2)?))
        }
        _ => None,
    }
}

pub(super) fn line(text: &mut String, indent: usize, key: &str, value: &str) {
    _ = writeln!(text, "{}{key}: {}", " ".repeat(indent), yaml_string(value));
}

/// Returns a string as YAML. A string that YAML could read as something else is between quotes.
pub fn yaml_string(value: &str) -> String {
    let is_usual = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ' ' | ':');
    let is_plain = value.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '/')
        || value.starts_with("../")
        || value.split('.').count() == 3;
    let is_word = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    let is_word = is_word.iter().any(|word| word.eq_ignore_ascii_case(value));
    let is_ambiguous = value.contains(": ") || value.ends_with([':', ' ']) || value.contains(" #");
    match is_plain && !is_word && !is_ambiguous && value.chars().all(is_usual) {
        true => value.to_owned(),
        false => quoted(value),
    }
}

/// Returns a string between quotes. A string of JSON is one of YAML, but YAML has characters only as escapes that JSON
/// has as they are.
pub(super) fn quoted(value: &str) -> String {
    let escape = |c: char, text: &mut String| {
        let code = u32::from(c);
        _ = if code <= 0xffff { write!(text, "\\u{code:04x}") } else { write!(text, "\\U{code:08x}") };
    };
    printable_with(&serde_json::Value::from(value).to_string(), |_| false, escape).into_owned()
}

#[cfg(test)]
mod tests;
