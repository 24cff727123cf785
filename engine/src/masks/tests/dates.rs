use std::sync::Arc;

use arrow::array::{
    Date32Array, Date64Array, TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray,
    TimestampSecondArray,
};
use arrow::datatypes::{
    Date32Type, Date64Type, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};

use super::*;

/// Days since 1970, with the first day of the year and of the month. Python's `datetime` has the same numbers.
const DAYS: [(i32, i32, i32); 19] = [
    (0, 0, 0),                         // 1970-01-01
    (364, 0, 334),                     // 1970-12-31
    (-1, -365, -31),                   // 1969-12-31
    (-365, -365, -365),                // 1969-01-01
    (-1646, -1826, -1675),             // 1965-06-30
    (19_782, 19_723, 19_754),          // 2024-02-29
    (20_088, 19_723, 20_058),          // 2024-12-31
    (19_919, 19_723, 19_905),          // 2024-07-15
    (19_417, 19_358, 19_417),          // 2023-03-01
    (-25_509, -25_567, -25_536),       // 1900-02-28, in no leap year
    (-25_508, -25_567, -25_508),       // 1900-03-01
    (11_016, 10_957, 10_988),          // 2000-02-29
    (11_047, 10_957, 11_017),          // 2000-03-31
    (2_932_896, 2_932_532, 2_932_866), // 9999-12-31
    (-719_162, -719_162, -719_162),    // 0001-01-01
    (-718_798, -719_162, -718_828),    // 0001-12-31
    (-719_163, -719_528, -719_193),    // 0000-12-31, in a leap year
    (-719_469, -719_528, -719_497),    // 0000-02-29
    (-719_529, -719_893, -719_559),    // -0001-12-31
];

const KINDS: [Mask; 2] = [Mask::TruncateToYear, Mask::TruncateToMonth];

fn first_day(kind: Mask, day: &(i32, i32, i32)) -> i32 {
    if kind == Mask::TruncateToYear { day.1 } else { day.2 }
}

#[test]
fn days_are_truncated() {
    for kind in KINDS {
        let given: Vec<_> = DAYS.iter().flat_map(|day| [Some(day.0), None]).collect();
        let expected: Vec<_> = DAYS.iter().flat_map(|day| [Some(first_day(kind, day)), None]).collect();
        let given = Date32Array::from(given);
        assert_eq!(masked_values::<Date32Type>(kind, &given), expected, "{kind}");
        let packed = cast(&given, &dictionary(DataType::Int16, DataType::Date32)).unwrap();
        let unpacked = cast(&masked(kind, &packed), &DataType::Date32).unwrap();
        assert_eq!(unpacked.as_primitive::<Date32Type>().iter().collect::<Vec<_>>(), expected, "{kind}");
    }
}

/// Each instant of a day becomes the start of the first day.
#[test]
fn instants_are_truncated() {
    macro_rules! check {
        ($array:ty, $primitive:ty, $units:expr, $zones:expr) => {
            for kind in KINDS {
                for zone in $zones {
                    let units: i64 = $units;
                    for time in [0, 1, units / 2, units - 1] {
                        let given = DAYS.iter().map(|day| Some(i64::from(day.0) * units + time)).chain([None]);
                        let given = <$array>::from(given.collect::<Vec<_>>());
                        let given: ArrayRef = zone(given);
                        let expected =
                            DAYS.iter().map(|day| Some(i64::from(first_day(kind, day)) * units)).chain([None]);
                        let expected: Vec<_> = expected.collect();
                        assert_eq!(masked_values::<$primitive>(kind, &given), expected, "{kind} {}", given.data_type());
                    }
                }
            }
        };
    }
    macro_rules! zones {
        ($array:ty) => {
            [
                |array: $array| -> ArrayRef { Arc::new(array) },
                |array: $array| -> ArrayRef { Arc::new(array.with_timezone("UTC")) },
                |array: $array| -> ArrayRef { Arc::new(array.with_timezone("+13:45")) },
                |array: $array| -> ArrayRef { Arc::new(array.with_timezone("America/New_York")) },
            ]
        };
    }
    const DAY: i64 = 86_400;
    check!(Date64Array, Date64Type, DAY * 1000, [|array: Date64Array| -> ArrayRef { Arc::new(array) }]);
    check!(TimestampSecondArray, TimestampSecondType, DAY, zones!(TimestampSecondArray));
    check!(TimestampMillisecondArray, TimestampMillisecondType, DAY * 1000, zones!(TimestampMillisecondArray));
    check!(TimestampMicrosecondArray, TimestampMicrosecondType, DAY * 1_000_000, zones!(TimestampMicrosecondArray));
    check_nanoseconds();
}

/// Nanoseconds hold the years 1678 to 2261.
fn check_nanoseconds() {
    const DAY: i64 = 86_400_000_000_000;
    let days: Vec<_> = DAYS.iter().filter(|day| (-100_000..100_000).contains(&day.0)).collect();
    for kind in KINDS {
        for time in [0, 1, DAY - 1] {
            let given = TimestampNanosecondArray::from_iter(days.iter().map(|day| Some(i64::from(day.0) * DAY + time)));
            let given = given.with_timezone("-03:30");
            let expected: Vec<_> = days.iter().map(|day| Some(i64::from(first_day(kind, day)) * DAY)).collect();
            assert_eq!(masked_values::<TimestampNanosecondType>(kind, &given), expected, "{kind}");
        }
    }
}

/// The smallest values of a type become the smallest value, because the type has no start of their year.
#[test]
fn the_ends_of_a_type_are_truncated() {
    // The years -5877641 and 5881580: the type ends on -5877641-06-23 and 5881580-07-11.
    let ends = Date32Array::from(vec![i32::MIN, i32::MIN + 7, i32::MIN + 8, i32::MIN + 191, i32::MIN + 192, i32::MAX]);
    let years = masked_values::<Date32Type>(Mask::TruncateToYear, &ends);
    let (min, max) = (i32::MIN, i32::MAX);
    assert_eq!(years, [min, min, min, min, min + 192, max - 192].map(Some));
    let months = masked_values::<Date32Type>(Mask::TruncateToMonth, &ends);
    assert_eq!(months, [min, min, min + 8, min + 161, min + 192, max - 10].map(Some));

    // -292277022657-01-27T08:29:52 to 292277026596-12-04T15:30:07.
    let ends = TimestampSecondArray::from(vec![i64::MIN, i64::MAX]);
    let first_of_december = i64::MAX - (3 * 86_400 + 15 * 3600 + 30 * 60 + 7);
    assert_eq!(
        masked_values::<TimestampSecondType>(Mask::TruncateToMonth, &ends),
        [i64::MIN, first_of_december].map(Some)
    );
    let first_of_year = first_of_december - (366 - 31) * 86_400;
    assert_eq!(masked_values::<TimestampSecondType>(Mask::TruncateToYear, &ends), [i64::MIN, first_of_year].map(Some));

    // 1677-09-21T00:12:43.145224192 to 2262-04-11T23:47:16.854775807.
    let ends = TimestampNanosecondArray::from(vec![i64::MIN, i64::MIN + 1, i64::MAX]);
    let year_2262 = 106_651 * 86_400_000_000_000;
    let years = masked_values::<TimestampNanosecondType>(Mask::TruncateToYear, &ends);
    assert_eq!(years, [i64::MIN, i64::MIN, year_2262].map(Some));
    for kind in [Mask::TruncateToYear, Mask::TruncateToMonth] {
        let milliseconds = TimestampMillisecondArray::from(vec![i64::MIN, i64::MAX]);
        masked(kind, &milliseconds);
        masked(kind, &TimestampMicrosecondArray::from(vec![i64::MIN, i64::MAX]));
        masked(kind, &Date64Array::from(vec![i64::MIN, i64::MAX]));
    }
}
