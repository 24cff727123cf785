//! Turns the `relationships` of an ODCS contract into references between ports. A relationship that names no columns of
//! this contract, or whose parts do not fit together, declares no reference: it is only documentation.

use serde::Deserialize;

use super::SchemaObject;
use crate::model::Reference;

/// A relationship of a property or of a schema object. The only valid `type` is `foreignKey`.
#[derive(Debug, Deserialize)]
pub(crate) struct Relationship {
    id: Option<String>,
    /// The columns that refer. Only for a schema object: a property's relationship starts at the property.
    from: Option<OneOrMany>,
    to: OneOrMany,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// A column that a relationship names: the parts of the table's name, outermost first, and the column's name.
#[derive(Debug, PartialEq, Eq)]
struct ColumnRef {
    table: Vec<String>,
    column: String,
}

/// Returns the references that `objects[index]` and its properties declare.
pub(crate) fn references(objects: &[SchemaObject], index: usize) -> Vec<Reference> {
    let Some(object) = objects.get(index) else { return vec![] };
    let own = object.columns().flat_map(|(_, property)| {
        let columns = || vec![property.name.clone()];
        property.relationships.iter().filter_map(move |r| reference(objects, r, columns()))
    });
    let whole = object.relationships.iter().filter_map(|relationship| {
        let columns = targets(objects, relationship.from.as_ref()?)?;
        let of_this = |c: &ColumnRef| c.table.last() == Some(&object.name) && has_column(object, &c.column);
        if !columns.iter().all(of_this) {
            return None;
        }
        reference(objects, relationship, columns.into_iter().map(|c| c.column).collect())
    });
    own.chain(whole).collect()
}

fn reference(objects: &[SchemaObject], relationship: &Relationship, columns: Vec<String>) -> Option<Reference> {
    let to = targets(objects, &relationship.to)?;
    let table = to.first()?.table.clone();
    if to.len() != columns.len() || to.iter().any(|c| c.table != table) {
        return None;
    }
    let referenced_columns = to.into_iter().map(|c| c.column).collect();
    Some(Reference { name: relationship.id.clone(), columns, table, referenced_columns })
}

fn targets(objects: &[SchemaObject], named: &OneOrMany) -> Option<Vec<ColumnRef>> {
    let named = match named {
        OneOrMany::One(one) => std::slice::from_ref(one),
        OneOrMany::Many(many) => many,
    };
    named.iter().map(|text| target(objects, text)).collect()
}

/// Parses `table.column`, with a product and a domain before it if the table is elsewhere, or
/// `schema/table/properties/column`, which may have ids instead of names.
fn target(objects: &[SchemaObject], text: &str) -> Option<ColumnRef> {
    if !text.contains('/') {
        let mut parts: Vec<String> = text.split('.').map(str::to_owned).collect();
        let column = parts.pop()?;
        return (1..=3).contains(&parts.len()).then_some(ColumnRef { table: parts, column });
    }
    let (file, path) = text.rsplit_once('#').unwrap_or(("", text));
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let ["schema", table, "properties", column] = parts.as_slice() else { return None };
    // This function does not know the ids in other files. In most files, the ids are the names.
    let object = objects.iter().find(|o| file.is_empty() && (o.id.as_deref() == Some(*table) || o.name == *table));
    let property =
        object.and_then(|o| o.properties.iter().find(|p| p.id.as_deref() == Some(*column) || p.name == *column));
    Some(ColumnRef {
        table: vec![object.map_or_else(|| (*table).to_owned(), |o| o.name.clone())],
        column: property.map_or_else(|| (*column).to_owned(), |p| p.name.clone()),
    })
}

fn has_column(object: &SchemaObject, name: &str) -> bool {
    object.columns().any(|(_, property)| property.name == name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn check(declared: &str, expected: &[&str]) {
        let objects: Vec<SchemaObject> = serde_json::from_str(declared).unwrap();
        let found: Vec<String> = references(&objects, 0)
            .iter()
            .map(|r| {
                let (from, to) = (r.columns.join(","), r.referenced_columns.join(","));
                format!("{}({from}) -> {}({to})", r.name.as_deref().unwrap_or("_"), r.table.join("."))
            })
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn properties_refer() {
        check(
            r#"[{"name": "orders", "properties": [
                {"name": "c", "relationships": [{"to": "customer.id"}, {"id": "far", "to": "geo.places.nation.id"}]},
                {"name": "d", "relationships": [{"to": ["days.day"]}, {"to": ["days.day", "days.hour"]}]},
                {"name": "sum", "semanticType": "measure", "relationships": [{"to": "customer.id"}]}
            ]}]"#,
            &["_(c) -> customer(id)", "far(c) -> geo.places.nation(id)", "_(d) -> days(day)"],
        );
    }

    #[test]
    fn objects_refer_by_several_columns() {
        check(
            r#"[{"name": "items", "properties": [{"name": "a"}, {"name": "b"}], "relationships": [
                {"from": ["items.a", "items.b"], "to": ["parts.x", "parts.y"]},
                {"from": "items.a", "to": "items.b"},
                {"from": ["items.a", "items.b"], "to": ["parts.x", "other.y"]},
                {"from": ["items.a", "items.b"], "to": ["parts.x"]},
                {"from": "items.missing", "to": "parts.x"},
                {"from": "others.a", "to": "parts.x"}
            ]}]"#,
            &["_(a,b) -> parts(x,y)", "_(a) -> items(b)"],
        );
    }

    #[test]
    fn ids_stand_for_names() {
        check(
            r#"[{"name": "orders", "properties": [{"name": "c", "relationships": [
                    {"to": "schema/customer_tbl/properties/cust_id"},
                    {"to": "/schema/customer/properties/id"},
                    {"to": "other.yaml#/schema/customer_tbl/properties/cust_id"},
                    {"to": "schema/customer_tbl"},
                    {"to": "schema/customer_tbl/properties/address/properties/street"}
                ]}]},
                {"id": "customer_tbl", "name": "customer", "properties": [{"id": "cust_id", "name": "id"}]}]"#,
            &["_(c) -> customer(id)", "_(c) -> customer(id)", "_(c) -> customer_tbl(cust_id)"],
        );
    }
}
