//! Turns the `relationships` of an ODCS contract into references between ports. A relationship whose parts do not fit
//! together is an error. Names in the standard's long form that are not of this contract are only documentation.

use serde::Deserialize;

use super::SchemaObject;
use crate::model::Reference;
use crate::nearest::nearest;
use crate::yaml::Step;

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

/// A declared reference, and the path of its relationship in the contract.
#[derive(Debug)]
pub(crate) struct Declared {
    pub(crate) reference: Reference,
    pub(crate) path: Vec<Step>,
}

/// The fault of a relationship: the path in the contract, the message, and the nearest valid name.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) path: Vec<Step>,
    pub(crate) message: String,
    pub(crate) suggestion: Option<String>,
}

/// A reason why a relationship declares no reference.
enum Undeclared {
    /// It is only documentation.
    Documentation,
    /// The key with the fault, the message, and the nearest valid name.
    Fault(&'static str, String, Option<String>),
}

/// Returns the references that `objects[index]` and its properties declare, and the faults of the relationships.
pub(crate) fn references(objects: &[SchemaObject], index: usize) -> (Vec<Declared>, Vec<Fault>) {
    let (mut declared, mut faults) = (vec![], vec![]);
    let Some(object) = objects.get(index) else { return (declared, faults) };
    let mut add = |path: Vec<Step>, result: Result<Reference, Undeclared>| match result {
        Ok(reference) => declared.push(Declared { reference, path }),
        Err(Undeclared::Documentation) => {}
        Err(Undeclared::Fault(key, message, suggestion)) => {
            let path = path.into_iter().chain([key.into()]).collect();
            faults.push(Fault { path, message, suggestion });
        }
    };
    let here: [Step; 2] = ["schema".into(), index.into()];
    for (i, property) in object.columns() {
        for (k, relationship) in property.relationships.iter().enumerate() {
            let path = here.iter().cloned().chain(["properties".into(), i.into(), "relationships".into(), k.into()]);
            add(path.collect(), reference(objects, relationship, vec![property.name.clone()]));
        }
    }
    for (k, relationship) in object.relationships.iter().enumerate() {
        let path = here.iter().cloned().chain(["relationships".into(), k.into()]).collect();
        let columns = referring(objects, object, relationship);
        add(path, columns.and_then(|columns| reference(objects, relationship, columns)));
    }
    (declared, faults)
}

/// Returns the columns of an object that refer.
fn referring(
    objects: &[SchemaObject],
    object: &SchemaObject,
    relationship: &Relationship,
) -> Result<Vec<String>, Undeclared> {
    let Some(from) = &relationship.from else { return Err(Undeclared::Documentation) };
    let columns = targets(objects, "from", from)?;
    for ColumnRef { table, column } in &columns {
        let (named, own) = (table.join("."), &object.name);
        if table.last() != Some(own) {
            let message = format!("expected columns of `{own}`, got one of `{named}`");
            return Err(Undeclared::Fault("from", message, None));
        }
        if !has_column(object, column) {
            let suggestion = nearest(column, object.columns().map(|(_, property)| property.name.as_str()));
            let message = format!("`{own}` has no column `{column}`");
            return Err(Undeclared::Fault("from", message, suggestion.map(str::to_owned)));
        }
    }
    Ok(columns.into_iter().map(|column| column.column).collect())
}

fn reference(
    objects: &[SchemaObject],
    relationship: &Relationship,
    columns: Vec<String>,
) -> Result<Reference, Undeclared> {
    let fault = |message: String| Err(Undeclared::Fault("to", message, None));
    let to = targets(objects, "to", &relationship.to)?;
    if to.len() != columns.len() {
        let end = if columns.len() == 1 { "" } else { "s" };
        return fault(format!("expected {} referenced column{end}, as many as refer, got {}", columns.len(), to.len()));
    }
    let Some(table) = to.first().map(|first| first.table.clone()) else { return Err(Undeclared::Documentation) };
    if let Some(other) = to.iter().find(|column| column.table != table) {
        let (table, other) = (table.join("."), other.table.join("."));
        return fault(format!("expected columns of one port, got columns of `{table}` and `{other}`"));
    }
    let referenced_columns = to.into_iter().map(|c| c.column).collect();
    Ok(Reference { name: relationship.id.clone(), columns, table, referenced_columns })
}

fn targets(objects: &[SchemaObject], key: &'static str, named: &OneOrMany) -> Result<Vec<ColumnRef>, Undeclared> {
    let named = match named {
        OneOrMany::One(one) => std::slice::from_ref(one),
        OneOrMany::Many(many) => many,
    };
    named.iter().map(|text| target(objects, key, text)).collect()
}

/// Parses `table.column`, with a product and a domain before it if the table is elsewhere, or
/// `schema/table/properties/column`, which may have ids instead of names.
fn target(objects: &[SchemaObject], key: &'static str, text: &str) -> Result<ColumnRef, Undeclared> {
    if !text.contains('/') {
        let mut parts: Vec<String> = text.split('.').map(str::to_owned).collect();
        let column = parts.pop().unwrap_or_default();
        if (1..=3).contains(&parts.len()) {
            return Ok(ColumnRef { table: parts, column });
        }
        let message =
            format!("expected `port.column`, `product.port.column` or `domain.product.port.column`, got `{text}`");
        return Err(Undeclared::Fault(key, message, None));
    }
    let (file, path) = text.rsplit_once('#').unwrap_or(("", text));
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let ["schema", table, "properties", column] = parts.as_slice() else { return Err(Undeclared::Documentation) };
    // This function does not know the ids in other files. In most files, the ids are the names.
    let object = objects.iter().find(|o| file.is_empty() && (o.id.as_deref() == Some(*table) || o.name == *table));
    let property =
        object.and_then(|o| o.properties.iter().find(|p| p.id.as_deref() == Some(*column) || p.name == *column));
    Ok(ColumnRef {
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

    /// Compares the references that the first of these objects declares, and the messages about its relationships.
    fn check(declared: &str, expected: &[&str], wrong: &[&str]) {
        let objects: Vec<SchemaObject> = serde_json::from_str(declared).unwrap();
        let (references, faults) = references(&objects, 0);
        let found: Vec<String> = references
            .iter()
            .map(|Declared { reference: r, .. }| {
                let (from, to) = (r.columns.join(","), r.referenced_columns.join(","));
                format!("{}({from}) -> {}({to})", r.name.as_deref().unwrap_or("_"), r.table.join("."))
            })
            .collect();
        assert_eq!(found, expected);
        assert_eq!(faults.iter().map(|fault| fault.message.as_str()).collect::<Vec<_>>(), wrong);
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
            &["expected 1 referenced column, as many as refer, got 2"],
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
            &[
                "expected columns of one port, got columns of `parts` and `other`",
                "expected 2 referenced columns, as many as refer, got 1",
                "`items` has no column `missing`",
                "expected columns of `items`, got one of `others`",
            ],
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
            &[],
        );
    }
}
