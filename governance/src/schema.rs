//! The schemas that policies are validated and evaluated with, generated from the catalog: one for each port, and one
//! for all columns. A schema has one type of resources, so that a rule is checked only against what its scope admits.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::Schema;
use portolan_catalog::Port;
use serde_json::{Map, Value, json};

use crate::decision::Action;
use crate::entity::{COLUMN, ColumnKind, USER, entity_type};

/// The columns of a port, as Cedar sees them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Columns {
    /// The columns that Cedar can read.
    pub(crate) kinds: BTreeMap<String, ColumnKind>,
    /// Those of them that are never NULL, by the schema of the open source.
    pub(crate) required: BTreeSet<String>,
    /// The others, with their types.
    pub(crate) unreadable: BTreeMap<String, String>,
}

impl Columns {
    /// Returns the columns of a port.
    pub(crate) fn of(port: &Port) -> Self {
        let mut columns = Self::default();
        for column in &port.columns {
            let name = column.name.clone();
            match ColumnKind::of_column(column) {
                Some(kind) => {
                    if !column.nullable && column.data_type.is_some() {
                        columns.required.insert(name.clone());
                    }
                    columns.kinds.insert(name, kind);
                }
                None => {
                    let ty = column.data_type.as_ref().map_or_else(|| "unknown".to_owned(), ToString::to_string);
                    columns.unreadable.insert(name, ty);
                }
            }
        }
        columns
    }

    /// Returns the names of all columns.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.kinds.keys().chain(self.unreadable.keys()).map(String::as_str)
    }
}

/// Returns the schema of requests for a port.
///
/// # Errors
/// The message of Cedar.
pub(crate) fn of_port(port: &Port, columns: &Columns) -> Result<Schema, String> {
    let ty = entity_type(&port.name);
    let attributes: Map<String, Value> = columns
        .kinds
        .iter()
        .map(|(name, kind)| {
            let mut attribute = match kind {
                ColumnKind::Bool => json!({"type": "Boolean"}),
                ColumnKind::Long => json!({"type": "Long"}),
                ColumnKind::String => json!({"type": "String"}),
                ColumnKind::Date | ColumnKind::Timestamp => json!({"type": "Extension", "name": "datetime"}),
                ColumnKind::Decimal => json!({"type": "Extension", "name": "decimal"}),
            };
            attribute["required"] = columns.required.contains(name).into();
            (name.clone(), attribute)
        })
        .collect();
    let (namespace, name) = ty.rsplit_once("::").unwrap_or(("", &ty));
    let entity = json!({
        "memberOfTypes": ["Domain", "Product", "Port", "Tag"],
        "shape": {"type": "Record", "attributes": attributes},
    });
    let mut schema = json!({"": own_types(&ty, &Action::ALL)});
    schema[namespace] = json!({"entityTypes": {name: entity}, "actions": {}});
    Schema::from_json_value(schema).map_err(|e| e.to_string())
}

/// Returns the schema of requests for columns.
///
/// # Errors
/// The message of Cedar.
pub(crate) fn of_columns() -> Result<Schema, String> {
    Schema::from_json_value(json!({"": own_types(COLUMN, &[Action::Read])})).map_err(|e| e.to_string())
}

/// Returns the empty namespace: the types of the schema itself, and actions for this type of resources.
fn own_types(resource: &str, actions: &[Action]) -> Value {
    let strings = json!({"type": "Set", "element": {"type": "String"}});
    let context = json!({"type": "Record", "attributes": {
        "purpose": {"type": "String", "required": false},
        "now": {"type": "Extension", "name": "datetime"},
        "via": strings,
    }});
    let applies = json!({"principalTypes": [USER], "resourceTypes": [resource], "context": context});
    let actions: Map<String, Value> =
        actions.iter().map(|action| (action.name().to_owned(), json!({"appliesTo": applies}))).collect();
    json!({
        "entityTypes": {
            "User": {
                "memberOfTypes": ["Group"],
                "shape": {"type": "Record", "attributes": {"name": {"type": "String"}}},
                "tags": strings,
            },
            "Group": {},
            "Domain": {},
            "Tag": {},
            "Classification": {},
            "Product": {"memberOfTypes": ["Domain"]},
            "Port": {"memberOfTypes": ["Product", "Domain", "Tag"]},
            "Column": {"memberOfTypes": ["Port", "Product", "Domain", "Tag", "Classification"]},
        },
        "actions": actions,
    })
}
