//! The parts of an ODCS contract that the engine uses. The standard's schema has checked the rest.

mod relationships;
mod residency;
mod rules;

use serde::Deserialize;

use crate::model::{Column, Reference};
use crate::rules::{Rule, text_of};
use crate::yaml::{Document, Step};
use crate::{Diagnostic, Place};

use self::relationships::{Declared, Fault, Relationship, references};
pub(crate) use self::residency::{KEYS, PROCESSED_AT};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Contract {
    pub(crate) id: String,
    pub(crate) version: String,
    #[serde(default)]
    pub(crate) servers: Vec<ContractServer>,
    #[serde(default)]
    pub(crate) schema: Vec<SchemaObject>,
    #[serde(default)]
    pub(crate) custom_properties: Vec<CustomProperty>,
}

/// The location of the data. The keys depend on `type`. The standard's schema has checked that they fit the type.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ContractServer {
    pub(crate) server: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) path: Option<String>,
    pub(crate) location: Option<String>,
    pub(crate) endpoint_url: Option<String>,
    pub(crate) format: Option<String>,
    pub(crate) encoding: Option<String>,
    pub(crate) delimiter: Option<String>,
    pub(crate) host: Option<String>,
    pub(crate) port: Option<serde_json::Value>,
    pub(crate) database: Option<String>,
    pub(crate) schema: Option<String>,
    pub(crate) account: Option<String>,
    #[serde(default)]
    pub(crate) custom_properties: Vec<CustomProperty>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct CustomProperty {
    pub(crate) property: String,
    pub(crate) value: serde_json::Value,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SchemaObject {
    pub(crate) id: Option<String>,
    pub(crate) name: String,
    pub(crate) physical_name: Option<String>,
    pub(crate) description: Option<String>,
    #[serde(default)]
    pub(crate) tags: Vec<String>,
    #[serde(default)]
    pub(crate) properties: Vec<Property>,
    #[serde(default)]
    pub(crate) relationships: Vec<Relationship>,
    #[serde(default)]
    pub(crate) custom_properties: Vec<CustomProperty>,
}

/// A column, or a part of a nested column. The items of a list and the parts of a map have no name.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Property {
    pub(crate) id: Option<String>,
    #[serde(default)]
    pub(crate) name: String,
    pub(crate) logical_type: Option<String>,
    pub(crate) logical_type_options: Option<LogicalTypeOptions>,
    pub(crate) physical_type: Option<String>,
    pub(crate) physical_name: Option<String>,
    #[serde(default)]
    pub(crate) properties: Vec<Property>,
    pub(crate) items: Option<Box<Property>>,
    pub(crate) map: Option<MapParts>,
    #[serde(default)]
    pub(crate) custom_properties: Vec<CustomProperty>,
    description: Option<String>,
    classification: Option<String>,
    semantic_type: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    required: bool,
    #[serde(default)]
    unique: bool,
    #[serde(default)]
    primary_key: bool,
    primary_key_position: Option<i64>,
    #[serde(default)]
    partitioned: bool,
    partition_key_position: Option<i64>,
    #[serde(default, rename = "enum")]
    enumeration: Vec<EnumValue>,
    #[serde(default)]
    pub(crate) relationships: Vec<Relationship>,
}

/// The options of a logical type that decide how text is read.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LogicalTypeOptions {
    pub(crate) format: Option<String>,
    pub(crate) default_timezone: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct MapParts {
    pub(crate) key: Box<Property>,
    pub(crate) value: Box<Property>,
}

#[derive(Debug, Deserialize)]
struct EnumValue {
    value: serde_json::Value,
}

/// A contract that was read, and its document.
#[derive(Debug)]
pub(crate) struct ReadContract {
    pub(crate) contract: Contract,
    pub(crate) document: Document,
    /// The rules about the data of each schema object, without the references.
    rules: Vec<Vec<Rule>>,
}

impl ReadContract {
    /// Returns a contract. `json` is the document as JSON.
    pub(crate) fn new(contract: Contract, document: Document, json: &serde_json::Value) -> Self {
        let rules = rules::rules(&contract, &document, json);
        Self { contract, document, rules }
    }

    /// Returns the place of `schema[object].properties[property]`.
    pub(crate) fn property_place(&self, object: usize, property: usize) -> Place {
        let steps = ["schema".into(), object.into(), "properties".into(), property.into()];
        self.document.place(&steps)
    }

    /// Returns the references that `schema[object]` and its properties declare, each with its place.
    ///
    /// # Errors
    /// The faults of relationships.
    pub(crate) fn references(&self, object: usize) -> Result<Vec<(Reference, Place)>, Vec<Diagnostic>> {
        let (declared, faults) = references(&self.contract.schema, object);
        let fault = |Fault { path, message, suggestion }: Fault| {
            let place = self.document.place(&path);
            Diagnostic { place, message, suggestion }
        };
        if !faults.is_empty() {
            return Err(faults.into_iter().map(fault).collect());
        }
        let placed = |Declared { reference, path }: Declared| (reference, self.document.place(&path));
        Ok(declared.into_iter().map(placed).collect())
    }
}

impl SchemaObject {
    /// Returns the columns of the rows, in order. A `measure` is not a column: clients compute it.
    pub(crate) fn columns(&self) -> impl Iterator<Item = (usize, &Property)> {
        self.properties.iter().enumerate().filter(|(_, p)| p.semantic_type.as_deref() != Some("measure"))
    }

    /// Returns the columns of the primary key, in key order.
    ///
    /// # Errors
    /// Two columns have the same position. The error has the index of the second.
    pub(crate) fn primary_key(&self) -> Result<Vec<String>, (usize, String)> {
        self.in_order("primaryKeyPosition", |p| p.primary_key.then_some(p.primary_key_position))
    }

    /// Returns the columns that the data is partitioned by, outermost first.
    ///
    /// # Errors
    /// The same as for [`Self::primary_key`].
    pub(crate) fn partition_columns(&self) -> Result<Vec<String>, (usize, String)> {
        self.in_order("partitionKeyPosition", |p| p.partitioned.then_some(p.partition_key_position))
    }

    /// Returns the columns for which `position` returns `Some`, sorted by position. Columns without a position come
    /// last, in the order of the contract.
    fn in_order(
        &self,
        key: &str,
        position: impl Fn(&Property) -> Option<Option<i64>>,
    ) -> Result<Vec<String>, (usize, String)> {
        let mut taken: Vec<(i64, &str)> = vec![];
        for (i, property) in self.columns() {
            let Some(position) = position(property) else { continue };
            let position = position.filter(|p| *p > 0).unwrap_or(i64::MAX);
            if let Some((_, other)) = taken.iter().find(|(p, _)| *p == position && position != i64::MAX) {
                return Err((i, format!("`{other}` has the same `{key}` {position}")));
            }
            taken.push((position, &property.name));
        }
        taken.sort_by_key(|(position, _)| *position);
        Ok(taken.into_iter().map(|(_, name)| name.to_string()).collect())
    }
}

impl Property {
    /// Returns the name of the column where its values are stored, if this is another one than in SQL.
    pub(crate) fn other_name(&self) -> Option<&str> {
        self.physical_name.as_deref().filter(|name| *name != self.name && !name.is_empty())
    }

    /// Returns the property as a column, without the declared use of its values as join keys. The Arrow type of the column
    /// is not known yet.
    pub(crate) fn column(&self, primary_key: &[String]) -> Column {
        Column {
            name: self.name.clone(),
            data_type: None,
            nullable: !self.required && !self.primary_key,
            logical_type: self.logical_type.clone(),
            description: self.description.clone(),
            classification: self.classification.clone(),
            key_use: None,
            unique: self.unique || primary_key == [self.name.as_str()],
            enumeration: self.enumeration.iter().map(|e| text_of(&e.value)).collect(),
            tags: self.tags.clone(),
        }
    }
}

impl From<&str> for Step {
    fn from(key: &str) -> Self {
        Self::Key(key.into())
    }
}

impl From<usize> for Step {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

/// Returns a diagnostic at `place`, without a suggestion.
pub(crate) fn wrong(place: Place, message: impl Into<String>) -> Diagnostic {
    Diagnostic::new(place, message)
}
