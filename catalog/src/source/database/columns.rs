//! The columns of a port in a database: their names there, and what the contract says about their types.

use std::collections::{BTreeMap, HashMap};

use arrow_schema::DataType;

use crate::Diagnostic;
use crate::odcs::{Property, ReadContract, wrong};
use crate::source::files::decimal_of;
use crate::source::query::column_place;

/// The columns of a port, by their names in SQL.
#[derive(Default)]
pub(super) struct Columns {
    /// The names in the database, if they are other ones.
    pub(super) names: BTreeMap<String, String>,
    /// The types of which the contract says more than the logical type.
    pub(super) types: BTreeMap<String, DataType>,
    /// The types in the database as the contract declares them.
    pub(super) physical_types: BTreeMap<String, String>,
}

impl Columns {
    /// Returns the columns of `read.contract.schema[object]`. Adds every fault to `errors`.
    pub(super) fn of(read: &ReadContract, object: usize, errors: &mut Vec<Diagnostic>) -> Self {
        let mut columns = Self::default();
        let mut in_database: HashMap<&str, &str> = HashMap::new();
        for (i, property) in read.contract.schema[object].columns() {
            let name = property.other_name().unwrap_or(&property.name);
            match in_database.insert(name, &property.name) {
                // Two columns of one name in SQL are reported elsewhere.
                Some(other) if other != property.name => {
                    let message = format!("the column `{other}` has the name `{name}` in the database, too");
                    errors.push(wrong(column_place(read, object, i, ["physicalName".into()]), message));
                }
                _ => {}
            }
            let own = || property.name.clone();
            columns.names.extend(property.other_name().map(|name| (own(), name.to_owned())));
            columns.physical_types.extend(property.physical_type.iter().map(|text| (own(), text.clone())));
            match exact_type(property) {
                Ok(data_type) => columns.types.extend(data_type.map(|data_type| (own(), data_type))),
                Err(message) => {
                    errors.push(wrong(column_place(read, object, i, ["physicalType".into()]), message));
                }
            }
        }
        columns
    }
}

/// Returns the decimal type that the contract declares. The type of a database may leave the digits to the values
/// (`numeric`), or have a scale that Arrow does not have (`numeric(3,-2)`): the database then determines the type.
fn exact_type(property: &Property) -> Result<Option<DataType>, String> {
    let text = property.physical_type.as_deref().unwrap_or_default();
    let digits = text.split_once('(').map(|(_, rest)| rest.trim_end().trim_end_matches(')'));
    let is_own = digits.is_none_or(|digits| {
        let numbers: Option<Vec<i32>> = digits.split(',').map(|number| number.trim().parse().ok()).collect();
        matches!(numbers.as_deref(), Some([precision, scale]) if scale < &0 || scale > precision)
    });
    if is_own { Ok(None) } else { decimal_of(property) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn type_of(logical_type: &str, physical_type: &str) -> Result<Option<DataType>, String> {
        let json = serde_json::json!({"name": "c", "logicalType": logical_type, "physicalType": physical_type});
        exact_type(&serde_json::from_value(json).unwrap())
    }

    #[test]
    fn decimal_types_have_digits() {
        assert_eq!(type_of("number", "numeric(10,2)"), Ok(Some(DataType::Decimal128(10, 2))));
        assert_eq!(type_of("integer", "DECIMAL(40)"), Ok(Some(DataType::Decimal256(40, 0))));
        for text in ["numeric", "money", "integer", "double precision", "numeric(3,-2)", "numeric(2, 5)", "varchar(20)"]
        {
            assert_eq!(type_of("number", text), Ok(None), "{text}");
        }
        assert_eq!(type_of("string", "numeric(10,2)"), Ok(None));
        for text in ["numeric(", "numeric(x,2)", "numeric(77,2)", "decimal(0)"] {
            assert!(type_of("number", text).is_err(), "{text}");
        }
        assert!(type_of("integer", "numeric(10,2)").unwrap_err().contains("no fraction"));
    }
}
