use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::new_null_array;
use arrow::datatypes::{Field, Fields, IntervalUnit, TimeUnit, UnionFields, UnionMode};

use super::*;

const STRINGS: [Mask; 4] = [Mask::MaskAlphanum, Mask::ShowFirst4, Mask::ShowLast4, Mask::HmacSha256];
const DATES: [Mask; 2] = [Mask::TruncateToYear, Mask::TruncateToMonth];
const HASHES: [Mask; 2] = [Mask::Sha256Global, Mask::Sha256QueryLocal];
const ANY: [Mask; 2] = [Mask::MaskToFixedValue, Mask::ReplaceWithNull];

fn item(data_type: DataType) -> Arc<Field> {
    Arc::new(Field::new("item", data_type, true))
}

fn union_of_integers() -> DataType {
    let fields = UnionFields::from_fields(vec![Field::new("a", DataType::Int32, true)]);
    DataType::Union(fields, UnionMode::Sparse)
}

/// Each type, and the masks that fit it.
fn types() -> Vec<(DataType, Vec<Mask>)> {
    let mut types = vec![];
    for strings in [DataType::Utf8, DataType::LargeUtf8, DataType::Utf8View] {
        types.push((dictionary(DataType::Int32, strings.clone()), [&STRINGS[..], &HASHES, &ANY].concat()));
        types.push((strings, [&STRINGS[..], &HASHES, &ANY].concat()));
    }
    let binaries = [DataType::Binary, DataType::LargeBinary, DataType::BinaryView];
    for hashed in binaries.into_iter().chain([DataType::Int32, DataType::Int64]) {
        types.push((dictionary(DataType::UInt8, hashed.clone()), [HASHES, ANY].concat()));
        types.push((hashed, [HASHES, ANY].concat()));
    }
    for unit in [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond] {
        types.push((DataType::Timestamp(unit, None), [DATES, ANY].concat()));
        types.push((DataType::Timestamp(unit, Some("Europe/Berlin".into())), [DATES, ANY].concat()));
        types.push((dictionary(DataType::Int8, DataType::Timestamp(unit, None)), [DATES, ANY].concat()));
        types.push((DataType::Duration(unit), ANY.to_vec()));
    }
    for date in [DataType::Date32, DataType::Date64] {
        types.push((dictionary(DataType::Int8, date.clone()), [DATES, ANY].concat()));
        types.push((date, [DATES, ANY].concat()));
    }
    let others = [
        DataType::Boolean,
        DataType::Int8,
        DataType::Int16,
        DataType::UInt8,
        DataType::UInt16,
        DataType::UInt32,
        DataType::UInt64,
        DataType::Float16,
        DataType::Float32,
        DataType::Float64,
        DataType::Decimal32(9, 2),
        DataType::Decimal64(18, 2),
        DataType::Decimal128(38, 2),
        DataType::Decimal256(76, 2),
        DataType::Time32(TimeUnit::Second),
        DataType::Time64(TimeUnit::Nanosecond),
        DataType::Interval(IntervalUnit::MonthDayNano),
        DataType::FixedSizeBinary(16),
        DataType::List(item(DataType::Utf8)),
        DataType::LargeList(item(DataType::Utf8)),
        DataType::Struct(Fields::from(vec![Field::new("a", DataType::Utf8, true)])),
    ];
    types.extend(others.into_iter().map(|data_type| (data_type, ANY.to_vec())));
    let only_null = [
        DataType::Null,
        DataType::FixedSizeList(item(DataType::Utf8), 2),
        DataType::ListView(item(DataType::Utf8)),
        DataType::Struct(Fields::from(vec![Field::new("a", DataType::ListView(item(DataType::Utf8)), true)])),
        dictionary(DataType::Int32, DataType::Boolean),
    ];
    types.extend(only_null.into_iter().map(|data_type| (data_type, vec![Mask::ReplaceWithNull])));
    types.push((union_of_integers(), vec![]));
    types.push((DataType::RunEndEncoded(item(DataType::Int16), item(DataType::Utf8)), vec![]));
    types.push((DataType::Struct(Fields::from(vec![Field::new("a", union_of_integers(), true)])), vec![]));
    types
}

/// A kernel exists for each type that a mask fits, and each other type is rejected.
#[test]
fn each_mask_has_a_kernel_for_the_types_that_it_fits() {
    for (data_type, fitting) in types() {
        for kind in Mask::ALL {
            assert_eq!(kind.fits(&data_type).is_ok(), fitting.contains(&kind), "{kind} and {data_type}");
            let array = new_null_array(&data_type, 3);
            match kind.fits(&data_type) {
                Ok(()) => drop(masked(kind, &array)),
                Err(reason) => {
                    assert!(reason.contains(kind.name()) && reason.contains(&data_type.to_string()), "{reason}");
                    let error = mask(kind, &array, Some(SALT.as_bytes())).unwrap_err().to_string();
                    assert_eq!(error, format!("Invalid argument error: {reason}"));
                }
            }
        }
    }
}

#[test]
fn messages_name_the_expected_and_the_given_type() {
    let reason = |kind: Mask, data_type: DataType| kind.fits(&data_type).unwrap_err();
    assert_eq!(
        reason(Mask::ShowLast4, DataType::Int64),
        "the mask `show-last-4` expects a string, got Int64; `replace-with-null` fits more types"
    );
    assert_eq!(
        reason(Mask::TruncateToYear, DataType::Utf8),
        "the mask `truncate-to-year` expects a date or a timestamp, got Utf8; `replace-with-null` fits more types"
    );
    assert_eq!(
        reason(Mask::Sha256Global, DataType::Boolean),
        "the mask `sha-256-global` expects a string, a binary, an Int32 or an Int64, got Boolean; `replace-with-null` \
         fits more types"
    );
    assert!(reason(Mask::ReplaceWithNull, union_of_integers()).ends_with("; hide the column instead"));
}

/// The names, the order and the strictness of masks are tested where they are defined.
#[test]
fn two_masks_take_a_secret() {
    assert_eq!(HashSet::from(Mask::ALL).len(), 10);
    assert_eq!(Mask::ALL.map(Mask::takes_salt).iter().filter(|takes| **takes).count(), 2);
    assert_eq!(Mask::ALL.map(|kind| kind.nullable(false)).iter().filter(|nullable| **nullable).count(), 1);
}
