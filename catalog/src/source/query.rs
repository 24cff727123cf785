//! The query of a port: the custom property of a schema object, or of a contract with one schema object.

use std::collections::BTreeMap;

use arrow_schema::DataType;

use super::files::{self, COLUMN_SETTINGS, decimal_of};
use super::without_files;
use crate::model::QuerySource;
use crate::odcs::{CustomProperty, ReadContract, wrong};
use crate::yaml::Step;
use crate::{Diagnostic, Place};

/// The custom property that has the query.
pub(crate) const QUERY: &str = "portolan.query";

/// The largest size of a query, in bytes. Each statement that reads the port contains the plan of its query.
const MAX_BYTES: usize = 64 << 10;

/// The query of a port, as the contract has it.
pub(super) struct PortQuery {
    /// The text; `None` if the value is not the text of a query.
    pub(super) text: Option<String>,
    /// The place of the value.
    pub(super) place: Place,
    /// True if the query is in the contract, and not in a schema object.
    is_shared: bool,
}

/// Returns the query of the port whose rows are `read.contract.schema[object]`. `None` if the port has no query. Adds
/// its faults to `errors`: a value that is no query, a second query, a query for several schema objects. `example` is a
/// query for messages.
pub(super) fn port_query(
    read: &ReadContract,
    object: usize,
    example: &str,
    errors: &mut Vec<Diagnostic>,
) -> Option<PortQuery> {
    let contract = &read.contract;
    let own = queries(&contract.schema[object].custom_properties).map(|(i, value)| (Some(object), i, value));
    let mut found = own.chain(queries(&contract.custom_properties).map(|(i, value)| (None, i, value)));
    let (of, i, value) = found.next()?;
    let is_shared = of.is_none();
    let at = |key: &str| property_place(read, of, i, key);
    let of_one = contract.schema.len() == 1;
    for (of, i, _) in found.filter(|(of, ..)| of.is_some() || of_one) {
        let used = Place { field: String::new(), ..at("property") };
        let message = format!("the query of the port is also at {used}: remove one of them");
        errors.push(wrong(property_place(read, of, i, "property"), message));
    }
    if is_shared && contract.schema.len() > 1 {
        let message = format!("the contract has several schema objects: put `{QUERY}` into one of them");
        errors.push(wrong(at("property"), message));
    }
    let text = value.as_str().filter(|text| !text.trim().is_empty());
    match text {
        None => errors.push(wrong(at("value"), format!("expected the text of a query, such as `{example}`"))),
        Some(text) if text.len() > MAX_BYTES => {
            let message = format!("the query has {} bytes, and the limit is {MAX_BYTES}", text.len());
            errors.push(wrong(at("value"), message));
        }
        Some(_) => {}
    }
    Some(PortQuery { text: text.map(str::to_owned), place: at("value"), is_shared })
}

/// Returns the query of the derived port whose rows are `read.contract.schema[object]`, with its place. `None` if the
/// port has no query.
///
/// # Errors
/// Every fault: those of [`port_query`], a server of files that no port reads, properties of columns that describe files,
/// a decimal type without valid digits.
pub(super) fn query_source(
    read: &ReadContract,
    object: usize,
) -> Option<Result<(QuerySource, Place), Vec<Diagnostic>>> {
    let contract = &read.contract;
    let mut errors = without_files(read);
    let query = port_query(read, object, "SELECT id FROM product.port", &mut errors)?;
    // A server may hold the files of other schema objects.
    let reads_servers = contract.schema.iter().any(|object| queries(&object.custom_properties).next().is_none());
    if let Some(server) = contract.servers.iter().position(files::holds_files)
        && (query.is_shared || !reads_servers)
    {
        let place = read.document.place(&["servers".into(), server.into()]);
        errors.push(wrong(place, format!("the port has a query, and reads no files: remove the server, or `{QUERY}`")));
    }
    errors.extend(settings_of_files(read, object, "the port has a query"));
    let types = decimal_types(read, object, &mut errors);
    let PortQuery { text, place, .. } = query;
    match text {
        Some(text) if errors.is_empty() => Some(Ok((QuerySource { text, types }, place))),
        _ => Some(Err(errors)),
    }
}

/// Returns the errors for the custom properties of columns that describe files. `reason` says why there are none.
pub(super) fn settings_of_files(read: &ReadContract, object: usize, reason: &str) -> Vec<Diagnostic> {
    let mut errors = vec![];
    for (column, property) in read.contract.schema[object].columns() {
        for (i, own) in property.custom_properties.iter().enumerate() {
            if COLUMN_SETTINGS.contains(&own.property.as_str()) {
                let part = ["customProperties".into(), i.into(), "property".into()];
                let place = column_place(read, object, column, part);
                errors.push(wrong(place, format!("`{}` describes files, and {reason}", own.property)));
            }
        }
    }
    errors
}

/// Returns the decimal types that the contract declares for columns.
fn decimal_types(read: &ReadContract, object: usize, errors: &mut Vec<Diagnostic>) -> BTreeMap<String, DataType> {
    let mut types = BTreeMap::new();
    for (column, property) in read.contract.schema[object].columns() {
        match decimal_of(property) {
            Ok(decimal) => types.extend(decimal.map(|decimal| (property.name.clone(), decimal))),
            Err(message) => {
                errors.push(wrong(column_place(read, object, column, ["physicalType".into()]), message));
            }
        }
    }
    types
}

/// Returns the place of a part of a column.
pub(super) fn column_place<const N: usize>(
    read: &ReadContract,
    object: usize,
    column: usize,
    part: [Step; N],
) -> Place {
    let property: [Step; 4] = ["schema".into(), object.into(), "properties".into(), column.into()];
    read.document.place(&property.into_iter().chain(part).collect::<Vec<_>>())
}

/// Returns the queries among custom properties, each with its position.
fn queries(properties: &[CustomProperty]) -> impl Iterator<Item = (usize, &serde_json::Value)> {
    properties.iter().enumerate().filter(|(_, own)| own.property == QUERY).map(|(i, own)| (i, &own.value))
}

/// Returns the place of a part of a custom property of a schema object; of the contract if `of` is `None`.
fn property_place(read: &ReadContract, of: Option<usize>, i: usize, key: &str) -> Place {
    let object = of.into_iter().flat_map(|object| [Step::from("schema"), object.into()]);
    let property: [Step; 3] = ["customProperties".into(), i.into(), key.into()];
    read.document.place(&object.chain(property).collect::<Vec<_>>())
}
