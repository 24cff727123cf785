//! The common columns of several texts, each of which was sampled.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, Schema};

/// Returns the columns of both texts.
pub(super) fn common_columns(a: &Schema, b: &Schema) -> Schema {
    let columns = |schema: &Schema| DataType::Struct(schema.fields().clone());
    match common_guess(&columns(a), &columns(b)) {
        DataType::Struct(fields) => Schema::new(fields),
        _ => a.clone(),
    }
}

/// Returns the common type of a text column whose samples have one type in one file and another type in the next.
pub(super) fn common_guess(a: &DataType, b: &DataType) -> DataType {
    match (a, b) {
        _ if a == b => a.clone(),
        (DataType::Null, other) | (other, DataType::Null) => other.clone(),
        (DataType::Int64, DataType::Float64) | (DataType::Float64, DataType::Int64) => DataType::Float64,
        (DataType::List(a), DataType::List(b)) => {
            let item = common_guess(a.data_type(), b.data_type());
            DataType::List(Arc::new(a.as_ref().clone().with_data_type(item)))
        }
        (DataType::Struct(a), DataType::Struct(b)) => {
            let mut parts: Vec<FieldRef> = a.iter().cloned().collect();
            for part in b {
                match parts.iter_mut().find(|known| known.name() == part.name()) {
                    Some(known) => {
                        let common = common_guess(known.data_type(), part.data_type());
                        *known = Arc::new(part.as_ref().clone().with_data_type(common));
                    }
                    None => parts.push(part.clone()),
                }
            }
            DataType::Struct(parts.into())
        }
        _ => DataType::Utf8,
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Field;

    use super::*;

    #[test]
    fn nested_columns_have_the_parts_of_both() {
        let object = |parts: &[(&str, DataType)]| {
            DataType::Struct(parts.iter().map(|(name, part)| Field::new(*name, part.clone(), true)).collect())
        };
        let list = |item: DataType| DataType::new_list(item, true);
        let a = object(&[("x", DataType::Int64), ("l", list(DataType::Null))]);
        let b =
            object(&[("l", list(object(&[("y", DataType::Utf8)]))), ("x", DataType::Float64), ("z", DataType::Null)]);
        let expected =
            object(&[("x", DataType::Float64), ("l", list(object(&[("y", DataType::Utf8)]))), ("z", DataType::Null)]);
        assert_eq!(common_guess(&a, &b), expected);
        assert_eq!(common_guess(&a, &DataType::Int64), DataType::Utf8);
        let columns = |data_type: &DataType| Schema::new(vec![Field::new("c", data_type.clone(), true)]);
        assert_eq!(common_columns(&columns(&a), &columns(&b)), columns(&expected));
    }
}
