//! Properties of all masks over random arrays of all types that they fit.

use std::sync::Arc;

use arrow::array::{
    BinaryArray, BooleanArray, FixedSizeBinaryArray, Int32Array, Int64Array, ListArray, StructArray, new_empty_array,
};
use arrow::datatypes::{Field, Fields, Int32Type, TimeUnit};

use super::*;

/// A generator of numbers that look random, and are the same in each run (xorshift64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// Returns `None` for one row of five.
    fn optional<T>(&mut self, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.below(5) > 0).then(|| value(self))
    }

    fn text(&mut self) -> String {
        const CHARACTERS: [char; 14] = ['a', 'Z', '0', '9', '-', '@', ' ', 'é', 'ß', '日', '\u{301}', '🙂', '_', '.'];
        let length = self.below(20);
        (0..length).map(|_| CHARACTERS[self.below(CHARACTERS.len())]).collect()
    }
}

/// Returns random arrays of the same length, of each type that has a kernel.
fn arrays(numbers: &mut Numbers, rows: usize) -> Vec<ArrayRef> {
    let texts: Vec<_> = (0..rows).map(|_| numbers.optional(Numbers::text)).collect();
    let bytes: Vec<_> = texts.iter().map(|text| text.as_deref().map(str::as_bytes)).collect();
    let integers = Int32Array::from_iter((0..rows).map(|_| numbers.optional(|n| n.next() as i32)));
    let long: Int64Array = (0..rows).map(|_| numbers.optional(|n| n.next() as i64)).collect();
    let small = Int64Array::from_iter(long.iter().map(|number| number.map(|n| n % 1000)));
    let items = (0..rows).map(|row| (row % 3 > 0).then(|| vec![Some(row as i32), None]));
    let fixed = long.iter().map(|number| number.map(i64::to_le_bytes));
    let (strings, binaries) = (StringArray::from(texts.clone()), BinaryArray::from_opt_vec(bytes));
    let field = Fields::from(vec![Field::new("text", DataType::Utf8, true)]);
    let mut arrays: Vec<ArrayRef> = vec![
        Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(items)),
        Arc::new(StructArray::new(field, vec![Arc::new(strings.clone())], integers.nulls().cloned())),
        Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(fixed, 8).unwrap()),
        Arc::new(BooleanArray::from_iter(small.iter().map(|number| number.map(|n| n > 0)))),
    ];
    let mut add = |array: &dyn Array, types: &[DataType]| {
        arrays.extend(types.iter().map(|data_type| cast(array, data_type).unwrap()));
    };
    let packed = |values: DataType| dictionary(DataType::Int16, values);
    let layouts = [DataType::Utf8, DataType::LargeUtf8, DataType::Utf8View];
    add(&strings, &layouts);
    add(&strings, &layouts.map(packed));
    let layouts = [DataType::Binary, DataType::LargeBinary, DataType::BinaryView];
    add(&binaries, &layouts);
    add(&binaries, &layouts.map(packed));
    add(&integers, &[DataType::Int32, DataType::Date32, packed(DataType::Int32), packed(DataType::Date32)]);
    add(&small, &[DataType::Int16, DataType::Float32, DataType::Decimal32(9, 2), DataType::Decimal256(40, 2)]);
    add(&long, &[DataType::Int64, DataType::Date64, DataType::Float64]);
    for unit in [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond] {
        let zoned = DataType::Timestamp(unit, Some("Asia/Kathmandu".into()));
        add(&long, &[DataType::Timestamp(unit, None), zoned.clone(), packed(zoned)]);
    }
    arrays
}

#[test]
fn the_mask_of_a_slice_is_the_slice_of_the_mask() {
    let numbers = &mut Numbers(0x9E37_79B9_7F4A_7C15);
    for round in 0..20 {
        let rows = numbers.below(70);
        for array in arrays(numbers, rows) {
            for kind in Mask::ALL.into_iter().filter(|kind| kind.fits(array.data_type()).is_ok()) {
                let whole = masked(kind, &array);
                for _ in 0..4 {
                    let start = numbers.below(rows + 1);
                    let length = numbers.below(rows - start + 1);
                    let sliced = masked(kind, &array.slice(start, length));
                    let context = format!("round {round}: {kind} of {}, {start}+{length}", array.data_type());
                    assert_eq!(&sliced, &whole.slice(start, length), "{context}");
                }
            }
        }
    }
}

#[test]
fn a_second_mask_changes_nothing() {
    let numbers = &mut Numbers(0xD1B5_4A32_D192_ED03);
    for array in arrays(numbers, 200) {
        for kind in [Mask::MaskToFixedValue, Mask::ReplaceWithNull, Mask::TruncateToYear, Mask::TruncateToMonth] {
            if kind.fits(array.data_type()).is_ok() {
                let once = masked(kind, &array);
                assert_eq!(&masked(kind, &once), &once, "{kind} of {}", array.data_type());
            }
        }
    }
}

/// The masked value of a row depends on this row only: the mask of two parts is the two parts of the mask.
#[test]
fn equal_values_have_equal_masks() {
    let numbers = &mut Numbers(0x2545_F491_4F6C_DD1D);
    for array in arrays(numbers, 60) {
        let twice = arrow::compute::concat(&[&array, &array]).unwrap();
        for kind in Mask::ALL.into_iter().filter(|kind| kind.fits(array.data_type()).is_ok()) {
            let (once, twice) = (masked(kind, &array), masked(kind, &twice));
            assert_eq!(&twice.slice(0, 60), &once, "{kind} of {}", array.data_type());
            assert_eq!(&twice.slice(60, 60), &once, "{kind} of {}", array.data_type());
        }
    }
    assert!(masked(Mask::MaskToFixedValue, &new_empty_array(&DataType::Utf8)).is_empty());
}
