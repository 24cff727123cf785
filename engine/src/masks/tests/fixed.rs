use std::sync::Arc;

use arrow::array::{
    BinaryArray, Int32Array, LargeListArray, ListArray, MapBuilder, StringBuilder, StructArray, new_null_array,
};
use arrow::datatypes::{Field, Fields, Int32Type, IntervalUnit, TimeUnit};
use arrow::util::display::array_value_to_string;

use super::*;

/// The fixed value of each type, as Arrow displays it.
#[test]
fn fixed_values_are_those_of_the_specification() {
    let midnight = "1970-01-01T00:00:00";
    let zone = || Some("+02:00".into());
    let in_zone = "1970-01-01T02:00:00+02:00";
    let cases = [
        (DataType::Boolean, "false"),
        (DataType::Int8, "0"),
        (DataType::Int16, "0"),
        (DataType::Int32, "0"),
        (DataType::Int64, "0"),
        (DataType::UInt8, "0"),
        (DataType::UInt16, "0"),
        (DataType::UInt32, "0"),
        (DataType::UInt64, "0"),
        (DataType::Float16, "0"),
        (DataType::Float32, "0.0"),
        (DataType::Float64, "0.0"),
        (DataType::Decimal32(9, 2), "0.00"),
        (DataType::Decimal64(18, 0), "0"),
        (DataType::Decimal128(38, 10), "0.0000000000"),
        (DataType::Decimal256(76, 1), "0.0"),
        (DataType::Date32, "1970-01-01"),
        (DataType::Date64, midnight),
        (DataType::Time32(TimeUnit::Second), "00:00:00"),
        (DataType::Time32(TimeUnit::Millisecond), "00:00:00"),
        (DataType::Time64(TimeUnit::Microsecond), "00:00:00"),
        (DataType::Time64(TimeUnit::Nanosecond), "00:00:00"),
        (DataType::Timestamp(TimeUnit::Second, None), midnight),
        (DataType::Timestamp(TimeUnit::Millisecond, None), midnight),
        (DataType::Timestamp(TimeUnit::Microsecond, None), midnight),
        (DataType::Timestamp(TimeUnit::Nanosecond, None), midnight),
        (DataType::Timestamp(TimeUnit::Second, zone()), in_zone),
        (DataType::Timestamp(TimeUnit::Millisecond, zone()), in_zone),
        (DataType::Timestamp(TimeUnit::Microsecond, zone()), in_zone),
        (DataType::Timestamp(TimeUnit::Nanosecond, zone()), in_zone),
        (DataType::Duration(TimeUnit::Second), "P0D"),
        (DataType::Interval(IntervalUnit::YearMonth), "0 years 0 mons"),
        (DataType::Utf8, "XXXXXXXX"),
        (DataType::LargeUtf8, "XXXXXXXX"),
        (DataType::Utf8View, "XXXXXXXX"),
        (DataType::Binary, ""),
        (DataType::LargeBinary, ""),
        (DataType::BinaryView, ""),
        (DataType::FixedSizeBinary(3), "000000"),
        (DataType::FixedSizeBinary(0), ""),
        (dictionary(DataType::Int8, DataType::Utf8), "XXXXXXXX"),
        (dictionary(DataType::UInt64, DataType::Utf8View), "XXXXXXXX"),
        (dictionary(DataType::Int32, DataType::Int64), "0"),
        (dictionary(DataType::Int32, DataType::Date32), "1970-01-01"),
        (dictionary(DataType::Int32, DataType::Timestamp(TimeUnit::Second, zone())), in_zone),
        (dictionary(DataType::Int32, DataType::Decimal128(5, 1)), "0.0"),
        (dictionary(DataType::Int32, DataType::FixedSizeBinary(2)), "0000"),
    ];
    for (data_type, expected) in cases {
        // All other values of a type have the same loop, so NULLs stand for them.
        let result = masked(Mask::MaskToFixedValue, &new_null_array(&data_type, 300));
        for row in [0, 1, 299] {
            assert_eq!(array_value_to_string(&result, row).unwrap(), expected, "{data_type}");
        }
        assert!(masked(Mask::MaskToFixedValue, &new_null_array(&data_type, 0)).is_empty());
    }
}

#[test]
fn values_and_nulls_become_one_value() {
    let numbers = Int32Array::from(vec![Some(i32::MIN), None, Some(-1), Some(0), Some(i32::MAX)]);
    assert_eq!(masked_values::<Int32Type>(Mask::MaskToFixedValue, &numbers), [Some(0); 5]);
    assert_eq!(masked_values::<Int32Type>(Mask::MaskToFixedValue, &numbers.slice(1, 2)), [Some(0); 2]);
    check_fixed_strings(&StringArray::from(vec![Some("secret"), None, Some("")]));
    let binaries = BinaryArray::from_opt_vec(vec![Some(b"secret".as_slice()), None]);
    assert_eq!(masked(Mask::MaskToFixedValue, &binaries).as_binary::<i32>(), &BinaryArray::from_vec(vec![b"", b""]));
}

fn check_fixed_strings(strings: &StringArray) {
    let result = masked(Mask::MaskToFixedValue, strings);
    assert!(result.as_string::<i32>().iter().all(|text| text == Some("XXXXXXXX")));
}

fn nested() -> (ListArray, LargeListArray, ArrayRef) {
    let items = || [Some(vec![Some(1), None, Some(3)]), None, Some(vec![])];
    let mut map = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    for row in 0..3 {
        map.keys().append_value("key");
        map.values().append_value("secret");
        map.append(row != 1).unwrap();
    }
    (
        ListArray::from_iter_primitive::<Int32Type, _, _>(items()),
        LargeListArray::from_iter_primitive::<Int32Type, _, _>(items()),
        Arc::new(map.finish()),
    )
}

#[test]
fn lists_and_maps_become_empty() {
    let (list, large, map) = nested();
    assert!(masked(Mask::MaskToFixedValue, &list).as_list::<i32>().iter().all(|items| items.unwrap().is_empty()));
    assert!(masked(Mask::MaskToFixedValue, &large).as_list::<i64>().iter().all(|items| items.unwrap().is_empty()));
    assert!(masked(Mask::MaskToFixedValue, &map).as_map().iter().all(|entries| entries.unwrap().is_empty()));
}

#[test]
fn fields_of_a_struct_become_fixed() {
    let (list, _, map) = nested();
    let fields = Fields::from(vec![
        Field::new("id", DataType::Int32, false),
        Field::new("name", DataType::Utf8, true),
        Field::new("list", list.data_type().clone(), true),
        Field::new("map", map.data_type().clone(), true),
    ]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(vec![1, 2, 3])),
        Arc::new(StringArray::from(vec![Some("a"), None, Some("c")])),
        Arc::new(list),
        map,
    ];
    let array = StructArray::new(fields, columns, Some(vec![true, false, true].into()));
    let result = masked(Mask::MaskToFixedValue, &array);
    for row in 0..3 {
        let text = array_value_to_string(&result, row).unwrap();
        assert_eq!(text, "{id: 0, name: XXXXXXXX, list: [], map: {}}");
    }
    let no_fields = StructArray::new_empty_fields(4, None);
    assert_eq!(masked(Mask::MaskToFixedValue, &no_fields).len(), 4);
}

#[test]
fn nested_values_become_null() {
    let (list, large, map) = nested();
    for array in [&list as &dyn Array, &large, &map] {
        assert_eq!(masked(Mask::ReplaceWithNull, array).null_count(), 3);
        assert_eq!(masked(Mask::ReplaceWithNull, &array.slice(1, 2)).null_count(), 2);
    }
    let required = DataType::Struct(Fields::from(vec![Field::new("id", DataType::Int32, false)]));
    let of_three = DataType::FixedSizeList(Arc::new(Field::new("item", DataType::Int32, false)), 3);
    for data_type in [required, of_three, DataType::Null, dictionary(DataType::Int8, DataType::Boolean)] {
        masked(Mask::ReplaceWithNull, &new_null_array(&data_type, 5));
    }
}
