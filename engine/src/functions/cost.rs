//! The cost of a call, row by row, and the sizes of its arguments.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{ByteArrayType, DataType, GenericBinaryType, GenericStringType, Int64Type};
use datafusion::common::Result;
use datafusion::logical_expr::ColumnarValue;

/// The space of an item of a list, or of a value of variable size, beside its bytes.
pub(super) const OF_VALUE: u64 = 16;

/// An upper bound of the cost of one row of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cost {
    /// The characters or items that the call creates.
    pub(super) made: u64,
    /// The size of the result in bytes.
    pub(super) bytes: u64,
    /// The time in units of about a nanosecond, if it is more than a few passes over the arguments and the result.
    pub(super) work: u64,
    /// The further time of searches that check the deadline. No call is refused for it.
    pub(super) searches: u64,
}

impl Cost {
    /// Returns the cost of a string with at most this many bytes.
    pub(super) fn string(bytes: u64) -> Self {
        Self { made: bytes, bytes, ..Self::default() }
    }

    /// Returns the cost of a list with at most this many items and bytes.
    pub(super) fn list(items: u64, bytes: u64) -> Self {
        Self { made: items, bytes, ..Self::default() }
    }

    /// Returns the cost of a small result that takes this time.
    pub(super) fn time(work: u64) -> Self {
        Self { work, ..Self::default() }
    }

    /// Returns the larger of each property of two costs.
    pub(super) fn max(&self, other: &Self) -> Self {
        Self {
            made: self.made.max(other.made),
            bytes: self.bytes.max(other.bytes),
            work: self.work.max(other.work),
            searches: self.searches.max(other.searches),
        }
    }

    /// Returns the whole time.
    pub(super) fn time_in_all(&self) -> u64 {
        self.work.saturating_add(self.searches)
    }
}

/// Returns the cost of a row.
pub(super) type CostOfRow = Box<dyn Fn(usize) -> Cost>;
/// Estimates a call by its arguments.
pub(super) type Estimate = fn(&Arguments) -> CostOfRow;

/// A property of an argument, for each row.
pub(super) enum Measure<T> {
    /// All rows have the same value.
    One(T),
    Each(Vec<T>),
}

impl<T: Copy + Default> Measure<T> {
    /// Returns the number of values.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Each(values) => values.len(),
        }
    }

    pub(super) fn at(&self, row: usize) -> T {
        match self {
            Self::One(value) => *value,
            Self::Each(values) => values.get(row).copied().unwrap_or_default(),
        }
    }
}

/// The arguments of a call.
pub(super) struct Arguments(Vec<Argument>);

struct Argument {
    values: ArrayRef,
    /// True if the one value is that of every row.
    constant: bool,
}

impl Arguments {
    pub(super) fn of(values: &[ColumnarValue]) -> Result<Self> {
        let argument = |value: &ColumnarValue| match value {
            ColumnarValue::Array(array) => Ok(Argument { values: array.clone(), constant: false }),
            ColumnarValue::Scalar(scalar) => Ok(Argument { values: scalar.to_array()?, constant: true }),
        };
        Ok(Self(values.iter().map(argument).collect::<Result<_>>()?))
    }

    /// Returns the number of arguments.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// True if every argument has one value for all rows.
    pub(super) fn are_constant(&self) -> bool {
        self.0.iter().all(|a| a.constant)
    }

    /// True if an argument has one value for all rows.
    pub(super) fn is_constant(&self, place: usize) -> bool {
        self.0.get(place).is_some_and(|a| a.constant)
    }

    /// Returns a property of an argument for each row. NULLs and arguments that are left out have the default.
    pub(super) fn measure<T: Default>(&self, place: usize, one: impl Fn(&dyn Array, usize) -> T) -> Measure<T> {
        let Some(Argument { values, constant }) = self.0.get(place) else { return Measure::One(T::default()) };
        let value = |row| if values.is_null(row) { T::default() } else { one(values.as_ref(), row) };
        match constant {
            true => Measure::One(value(0)),
            false => Measure::Each((0..values.len()).map(value).collect()),
        }
    }

    /// Returns a property of the arguments at these places for each row. An argument that is left out is constant.
    pub(super) fn measure_rows<T>(&self, places: &[usize], mut one: impl FnMut(usize) -> T) -> Measure<T> {
        match places.iter().all(|place| self.0.get(*place).is_none_or(|a| a.constant)) {
            true => Measure::One(one(0)),
            false => {
                let rows = self.0.iter().find(|a| !a.constant).map_or(1, |a| a.values.len());
                Measure::Each((0..rows).map(one).collect())
            }
        }
    }

    /// Returns for which rows an argument is NULL.
    pub(super) fn nulls(&self, place: usize) -> Measure<bool> {
        match self.0.get(place) {
            None => Measure::One(false),
            Some(Argument { values, constant: true }) => Measure::One(values.is_null(0)),
            Some(Argument { values, .. }) => Measure::Each((0..values.len()).map(|row| values.is_null(row)).collect()),
        }
    }

    /// Returns the sizes of an argument, in bytes.
    pub(super) fn bytes(&self, place: usize) -> Measure<u64> {
        self.measure(place, size)
    }

    /// Returns the number of items of an argument that is a list.
    pub(super) fn items(&self, place: usize) -> Measure<u64> {
        self.measure(place, |array, row| items(array, row).map_or(0, |(_, from, to)| (to - from) as u64))
    }

    /// Returns the number of items of an argument that may be a list of lists, down to the innermost list.
    pub(super) fn leaves(&self, place: usize) -> Measure<u64> {
        self.measure(place, leaves)
    }

    /// Returns the values of an argument that is a number of repetitions. A negative one counts as none.
    pub(super) fn counts(&self, place: usize) -> Measure<u64> {
        self.measure(place, |array, row| {
            let number = array.as_primitive_opt::<Int64Type>().map_or(0, |a| a.value(row));
            u64::try_from(number).unwrap_or_default()
        })
    }

    /// Returns a property of an argument that is a string.
    pub(super) fn of_text<T: Default>(&self, place: usize, one: impl Fn(&str) -> T) -> Measure<T> {
        self.measure(place, |array, row| text(array, row).map_or_else(T::default, &one))
    }

    /// Returns one value of an argument that is a string.
    pub(super) fn text(&self, place: usize, row: usize) -> Option<&str> {
        let argument = self.0.get(place)?;
        text(argument.values.as_ref(), if argument.constant { 0 } else { row })
    }

    /// Returns one value of an argument that is an integer; `None` if it is NULL.
    pub(super) fn integer(&self, place: usize, row: usize) -> Option<i64> {
        let argument = self.0.get(place)?;
        let numbers = argument.values.as_primitive_opt::<Int64Type>()?;
        let row = if argument.constant { 0 } else { row };
        numbers.is_valid(row).then(|| numbers.value(row))
    }

    /// Returns the type of an argument.
    pub(super) fn data_type(&self, place: usize) -> Option<&DataType> {
        self.0.get(place).map(|a| a.values.data_type())
    }
}

fn text(array: &dyn Array, row: usize) -> Option<&str> {
    if array.is_null(row) {
        return None;
    }
    match array.data_type() {
        DataType::Utf8 => Some(array.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => Some(array.as_string::<i64>().value(row)),
        DataType::Utf8View => Some(array.as_string_view().value(row)),
        _ => None,
    }
}

/// Returns the items of a list: the array that has them, and their range.
pub(super) fn items(array: &dyn Array, row: usize) -> Option<(&ArrayRef, usize, usize)> {
    match array.data_type() {
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let offsets = list.value_offsets();
            Some((list.values(), offsets[row] as usize, offsets[row + 1] as usize))
        }
        DataType::LargeList(_) => {
            let list = array.as_list::<i64>();
            let offsets = list.value_offsets();
            Some((list.values(), offsets[row] as usize, offsets[row + 1] as usize))
        }
        DataType::FixedSizeList(_, length) => {
            let length = usize::try_from(*length).unwrap_or_default();
            Some((array.as_fixed_size_list().values(), row * length, (row + 1) * length))
        }
        _ => None,
    }
}

fn leaves(array: &dyn Array, row: usize) -> u64 {
    match items(array, row) {
        Some((values, from, to)) if values.data_type().is_nested() => {
            // A list that is NULL counts, too.
            (from..to).map(|row| leaves(values.as_ref(), row).max(1)).sum()
        }
        Some((_, from, to)) => (to - from) as u64,
        None => 1,
    }
}

/// Returns the size of one value, in bytes.
pub(super) fn size(array: &dyn Array, row: usize) -> u64 {
    if array.is_null(row) {
        return 0;
    }
    if let Some(width) = array.data_type().primitive_width() {
        return width as u64;
    }
    if let Some((values, from, to)) = items(array, row) {
        return match values.data_type().primitive_width() {
            Some(width) => ((to - from) * width) as u64,
            None => (from..to).map(|row| OF_VALUE + size(values.as_ref(), row)).sum(),
        };
    }
    match array.data_type() {
        DataType::Utf8 => length::<GenericStringType<i32>>(array, row),
        DataType::LargeUtf8 => length::<GenericStringType<i64>>(array, row),
        DataType::Binary => length::<GenericBinaryType<i32>>(array, row),
        DataType::LargeBinary => length::<GenericBinaryType<i64>>(array, row),
        DataType::Utf8View => array.as_string_view().value(row).len() as u64,
        DataType::BinaryView => array.as_binary_view().value(row).len() as u64,
        DataType::Struct(_) => array.as_struct().columns().iter().map(|column| size(column.as_ref(), row)).sum(),
        DataType::FixedSizeBinary(width) => u64::try_from(*width).unwrap_or_default(),
        DataType::Boolean | DataType::Null => 1,
        DataType::Map(..) => {
            let map = array.as_map();
            let offsets = map.value_offsets();
            (offsets[row] as usize..offsets[row + 1] as usize).map(|row| OF_VALUE + size(map.entries(), row)).sum()
        }
        DataType::Dictionary(_, values) => {
            let value = arrow::compute::cast(&array.slice(row, 1), values);
            value.map_or(u64::MAX, |value| size(value.as_ref(), 0))
        }
        _ => array.slice(row, 1).to_data().get_slice_memory_size().map_or(u64::MAX, |bytes| bytes as u64),
    }
}

fn length<T: ByteArrayType>(array: &dyn Array, row: usize) -> u64 {
    let value: &[u8] = array.as_bytes::<T>().value(row).as_ref();
    value.len() as u64
}
