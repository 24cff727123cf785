//! Names of types in other databases that DataFusion lacks.

use arrow::datatypes::DataType;
use sqlparser::ast::{DataType as SqlType, ExactNumberInfo};

/// The largest number of binary digits of a `REAL`. `FLOAT(53)` has more.
const DIGITS_OF_REAL: u64 = 24;

/// Returns the type that a name stands for; `None` for the names that DataFusion knows, and for all others. The length of
/// a string has no effect, as in `VARCHAR(10)`.
pub(crate) fn type_of(name: &SqlType) -> Option<DataType> {
    Some(match name {
        SqlType::CharacterVarying(_)
        | SqlType::CharVarying(_)
        | SqlType::Character(_)
        | SqlType::Nvarchar(_)
        | SqlType::Clob(_)
        | SqlType::TinyText
        | SqlType::MediumText
        | SqlType::LongText => DataType::Utf8View,
        SqlType::Binary(_) | SqlType::Varbinary(_) | SqlType::Bytes(_) => DataType::Binary,
        SqlType::Int16 => DataType::Int16,
        SqlType::Int32 => DataType::Int32,
        SqlType::Int64 => DataType::Int64,
        SqlType::Float32 => DataType::Float32,
        SqlType::Float64 => DataType::Float64,
        SqlType::UTinyInt => DataType::UInt8,
        SqlType::USmallInt => DataType::UInt16,
        SqlType::UBigInt => DataType::UInt64,
        // DataFusion ignores the number.
        SqlType::Float(ExactNumberInfo::Precision(digits)) if *digits > DIGITS_OF_REAL => DataType::Float64,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use sqlparser::parser::Parser;

    use super::super::Syntax;
    use super::*;

    #[test]
    fn names_of_other_databases_stand_for_types() {
        for (name, expected) in [
            ("CHARACTER VARYING(5)", Some(DataType::Utf8View)),
            ("NVARCHAR(10)", Some(DataType::Utf8View)),
            ("VARBINARY(8)", Some(DataType::Binary)),
            ("INT64", Some(DataType::Int64)),
            ("FLOAT64", Some(DataType::Float64)),
            ("FLOAT(53)", Some(DataType::Float64)),
            ("FLOAT(24)", None),
            ("FLOAT", None),
            ("VARCHAR(5)", None),
            ("MONEY", None),
        ] {
            let parsed = Parser::new(&Syntax::default()).try_with_sql(name).unwrap().parse_data_type().unwrap();
            assert_eq!(type_of(&parsed), expected, "{name}: {parsed:?}");
        }
    }
}
