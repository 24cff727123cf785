#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod dates;
mod fits;
mod fixed;
mod function;
mod hashes;
mod leaks;
mod slices;
mod strings;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;

use super::*;

/// A salt whose bytes are 0 to 31.
const SALT: Salt = {
    let mut bytes = [0; Salt::LENGTH];
    let mut at = 0;
    while at < bytes.len() {
        bytes[at] = at as u8;
        at += 1;
    }
    Salt::new(bytes)
};

/// Returns the masked array, and checks what holds for all masks.
fn masked(kind: Mask, array: &dyn Array) -> ArrayRef {
    let result = mask(kind, array, Some(SALT.as_bytes())).unwrap();
    assert_eq!(result.data_type(), array.data_type(), "{kind}");
    assert_eq!(result.len(), array.len(), "{kind} of {}", array.data_type());
    result.to_data().validate_full().unwrap();
    match kind {
        Mask::ReplaceWithNull => {
            assert_eq!(result.logical_null_count(), array.len(), "{kind} of {}", array.data_type())
        }
        Mask::MaskToFixedValue => assert_eq!(result.logical_null_count(), 0, "{kind} of {}", array.data_type()),
        _ => assert_eq!(nulls(&result), nulls(array), "{kind} of {}", array.data_type()),
    }
    result
}

/// Returns which rows are NULL.
fn nulls(array: &dyn Array) -> Vec<bool> {
    let nulls = array.logical_nulls();
    (0..array.len()).map(|row| nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))).collect()
}

fn dictionary(keys: DataType, values: DataType) -> DataType {
    DataType::Dictionary(Box::new(keys), Box::new(values))
}

/// Checks the masks of strings in each layout of strings, with a NULL before, between and after them, and as slices.
fn check_strings(kind: Mask, cases: &[(&str, &str)]) {
    let layouts = [
        DataType::Utf8,
        DataType::LargeUtf8,
        DataType::Utf8View,
        dictionary(DataType::Int8, DataType::Utf8),
        dictionary(DataType::UInt16, DataType::LargeUtf8),
        dictionary(DataType::Int32, DataType::Utf8View),
    ];
    let spaced = |strings: Vec<&str>| {
        let spaced = strings.into_iter().flat_map(|text| [None, Some(text.to_owned())]);
        StringArray::from(spaced.chain([None]).collect::<Vec<_>>())
    };
    let plain = |strings: Vec<&str>| StringArray::from(strings);
    let given: Vec<&str> = cases.iter().map(|case| case.0).collect();
    let expected: Vec<&str> = cases.iter().map(|case| case.1).collect();
    for layout in layouts {
        for (given, expected) in
            [(plain(given.clone()), plain(expected.clone())), (spaced(given.clone()), spaced(expected.clone()))]
        {
            let given = cast(&given, &layout).unwrap();
            let result = cast(&masked(kind, &given), &DataType::Utf8).unwrap();
            assert_eq!(result.as_string::<i32>(), &expected, "{kind} of {layout}");
            let start = given.len() / 3;
            let sliced = masked(kind, &given.slice(start, given.len() - start));
            let sliced = cast(&sliced, &DataType::Utf8).unwrap();
            assert_eq!(sliced.as_string::<i32>(), &expected.slice(start, given.len() - start), "{kind} of {layout}");
        }
    }
}

/// Returns the masked values of a primitive array.
fn masked_values<T: ArrowPrimitiveType>(kind: Mask, array: &dyn Array) -> Vec<Option<T::Native>> {
    masked(kind, array).as_primitive::<T>().iter().collect()
}
