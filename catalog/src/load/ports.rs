//! A port as its contract describes it.

use std::collections::HashMap;
use std::sync::Arc;

use super::without_field;
use crate::model::{Column, Port, Reference};
use crate::nearest::nearest;
use crate::odcs::{Property, ReadContract, wrong};
use crate::odps::OutputPort;
use crate::source::port_source;
use crate::{Diagnostic, Place, PortRef};

/// Returns the port as its contract describes it, and the places of its references.
pub(super) fn port_of(
    name: PortRef,
    output: &OutputPort,
    read: &ReadContract,
    at: &impl Fn(&str) -> Place,
) -> Result<(Port, Vec<Place>), Vec<Diagnostic>> {
    let object = object_of(output, read, at).map_err(|e| vec![e])?;
    let schema = &read.contract.schema[object];
    let mut errors = vec![];
    let mut first: HashMap<&str, usize> = HashMap::new();
    for (i, property) in schema.columns() {
        let place = read.property_place(object, i);
        if property.name.is_empty() {
            errors.push(wrong(place.clone(), "a column's name may not be empty"));
        }
        if let Some(other) = first.insert(&property.name, i) {
            let other = without_field(read.property_place(object, other));
            errors.push(wrong(place, format!("the column `{}` is also at {other}", property.name)));
        }
    }
    if first.is_empty() {
        let place = read.document.place(&["schema".into(), object.into()]);
        let message = format!("`{}` has no `properties`: a port publishes the columns that they name", schema.name);
        errors.push(wrong(place, message));
    }
    let primary_key = schema.primary_key().unwrap_or_else(|(i, message)| {
        errors.push(wrong(read.property_place(object, i), message));
        vec![]
    });
    let source = port_source(read, object).map_err(|e| errors.extend(e)).ok();
    let references = read.references(object).map_err(|e| errors.extend(e)).unwrap_or_default();
    let keys = read.key_uses(object).map_err(|e| errors.extend(e)).unwrap_or_default();
    let processed_at = read.processed_at(object).map_err(|e| errors.extend(e)).unwrap_or_default();
    if !errors.is_empty() {
        return Err(errors);
    }
    let (references, places): (Vec<Reference>, Vec<Place>) = references.into_iter().unzip();
    let column = |(_, property): (usize, &Property)| Column {
        key_use: keys.get(&property.name).copied(),
        ..property.column(&primary_key)
    };
    let columns = schema.columns().map(column).collect();
    let port = Port {
        name,
        version: output.version.clone().or_else(|| Some(read.contract.version.clone())),
        description: output.description.clone().or_else(|| schema.description.clone()),
        contract: Some(read.contract.id.clone()),
        columns,
        primary_key,
        rules: read.rules(object, &references),
        references,
        statistics: Arc::default(),
        tags: output.tags.iter().chain(&schema.tags).cloned().collect(),
        load_error: None,
        derived_from: vec![],
        hidden_from_some: false,
        processed_at,
        source,
        place: None,
    };
    Ok((port, places))
}

/// Returns the index of the schema object that describes a port's rows: the one with the port's name, or the only one.
fn object_of(output: &OutputPort, read: &ReadContract, at: &impl Fn(&str) -> Place) -> Result<usize, Diagnostic> {
    let schema = &read.contract.schema;
    let named = schema.iter().position(|o| o.name == output.name);
    if let Some(object) = named.or((schema.len() == 1).then_some(0)) {
        return Ok(object);
    }
    let id = &read.contract.id;
    if schema.is_empty() {
        return Err(wrong(read.document.place(&["schema".into()]), format!("contract `{id}` has no schema objects")));
    }
    let names: Vec<&str> = schema.iter().map(|o| o.name.as_str()).collect();
    let suggestion = nearest(&output.name, names.iter().copied()).map(str::to_string);
    let list = names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
    let message =
        format!("contract `{id}` has several schema objects and none is called `{}`; it has {list}", output.name);
    Err(Diagnostic { place: at("name"), message, suggestion })
}
