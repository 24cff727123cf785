//! The costs of functions over lists.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Int64Type, IntervalMonthDayNanoType, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};

use super::strings::COMPARED_AT_ONCE;
use super::widths::printed;
use crate::functions::cost::{Arguments, Cost, CostOfRow, OF_VALUE};

/// The time that a date takes, in nanoseconds.
const DATE: u64 = 50;
const NANOS_A_DAY: i128 = 86_400_000_000_000;
/// The shortest month.
const DAYS_A_MONTH: i128 = 28;

/// `range(stop)`, `range(start, stop)`, `range(start, stop, step)`
pub(in crate::functions) fn range(arguments: &Arguments) -> CostOfRow {
    let places = arguments.len();
    let bounds: Vec<_> = (0..places.min(2)).map(|place| arguments.measure(place, number)).collect();
    let step = arguments.measure(2, step);
    let nulls: Vec<_> = (0..places).map(|place| arguments.nulls(place)).collect();
    let work = match arguments.data_type(0) {
        Some(DataType::Int64 | DataType::Null) | None => 0,
        Some(_) => DATE,
    };
    Box::new(move |row| {
        if nulls.iter().any(|is_null| is_null.at(row)) {
            return Cost::default();
        }
        let at = |place: usize| bounds.get(place).map_or(0, |bound| bound.at(row));
        let (start, stop) = if places == 1 { (0, at(0)) } else { (at(0), at(1)) };
        let items = match if places < 3 { Step::By(1) } else { step.at(row) } {
            // The function refuses a step of nothing.
            Step::Nothing => 0,
            Step::Endless => u64::MAX,
            Step::By(step) if (stop - start).signum() == -step.signum() => 0,
            Step::By(step) => u64::try_from(stop.abs_diff(start) / step.unsigned_abs().max(1) + 1).unwrap_or(u64::MAX),
        };
        Cost { work: items.saturating_mul(work), ..Cost::list(items, items.saturating_mul(8)) }
    })
}

/// The step of a range.
#[derive(Clone, Copy, Default)]
enum Step {
    #[default]
    Nothing,
    /// At least this far.
    By(i128),
    /// The parts of an interval go in both directions, so that the range may not move.
    Endless,
}

fn step(array: &dyn Array, row: usize) -> Step {
    let Some(intervals) = array.as_primitive_opt::<IntervalMonthDayNanoType>() else {
        let step = number(array, row);
        return if step == 0 { Step::Nothing } else { Step::By(step) };
    };
    let step = intervals.value(row);
    let parts = [i128::from(step.months) * DAYS_A_MONTH * NANOS_A_DAY, i128::from(step.days) * NANOS_A_DAY]
        .into_iter()
        .chain([i128::from(step.nanoseconds)]);
    let (backward, forward): (Vec<i128>, Vec<i128>) = parts.filter(|part| *part != 0).partition(|part| *part < 0);
    match (backward.is_empty(), forward.is_empty()) {
        (true, true) => Step::Nothing,
        (false, false) => Step::Endless,
        _ => Step::By(backward.into_iter().chain(forward).sum()),
    }
}

/// Returns a bound or a step of a range: an integer, or nanoseconds.
fn number(array: &dyn Array, row: usize) -> i128 {
    match array.data_type() {
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).into(),
        DataType::Date32 => i128::from(array.as_primitive::<Date32Type>().value(row)) * NANOS_A_DAY,
        DataType::Date64 => i128::from(array.as_primitive::<Date64Type>().value(row)) * 1_000_000,
        DataType::Timestamp(TimeUnit::Second, _) => {
            i128::from(array.as_primitive::<TimestampSecondType>().value(row)) * 1_000_000_000
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            i128::from(array.as_primitive::<TimestampMillisecondType>().value(row)) * 1_000_000
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            i128::from(array.as_primitive::<TimestampMicrosecondType>().value(row)) * 1_000
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            array.as_primitive::<TimestampNanosecondType>().value(row).into()
        }
        _ => 0,
    }
}

/// `arrays_zip(list, …)`. Each list is filled up to the length of the longest.
pub(in crate::functions) fn zip(arguments: &Arguments) -> CostOfRow {
    let places = 0..arguments.len();
    let parts: Vec<_> = places.map(|place| (arguments.items(place), arguments.bytes(place))).collect();
    Box::new(move |row| {
        let longest = parts.iter().map(|(items, _)| items.at(row)).max().unwrap_or_default();
        let items = longest.saturating_mul(parts.len() as u64);
        let bytes = parts.iter().map(|(_, bytes)| bytes.at(row)).fold(0, u64::saturating_add);
        Cost::list(items, bytes.saturating_add(items.saturating_mul(OF_VALUE)))
    })
}

/// A function that puts its arguments together.
pub(in crate::functions) fn all(arguments: &Arguments) -> CostOfRow {
    let places = 0..arguments.len();
    let parts: Vec<_> = places.map(|place| (arguments.items(place), arguments.bytes(place))).collect();
    Box::new(move |row| {
        let (mut items, mut bytes) = (0_u64, 0_u64);
        for (of_part, size) in &parts {
            items = items.saturating_add(of_part.at(row)).saturating_add(1);
            bytes = bytes.saturating_add(size.at(row)).saturating_add(OF_VALUE);
        }
        Cost::list(items, bytes)
    })
}

/// `struct(value, …)`, `named_struct(name, value, …)`
pub(in crate::functions) fn row(arguments: &Arguments) -> CostOfRow {
    let parts: Vec<_> = (0..arguments.len()).map(|place| arguments.bytes(place)).collect();
    Box::new(move |row| Cost::list(0, parts.iter().map(|part| part.at(row)).fold(0, u64::saturating_add)))
}

/// `array_repeat(item, number)`
pub(in crate::functions) fn repeat(arguments: &Arguments) -> CostOfRow {
    let (item, items, number) = (arguments.bytes(0), arguments.items(0), arguments.counts(1));
    Box::new(move |row| {
        let number = number.at(row);
        let inner = number.saturating_mul(items.at(row).max(1));
        Cost::list(inner, number.saturating_mul(item.at(row).saturating_add(OF_VALUE)))
    })
}

/// `array_resize(list, number, filling)`
pub(in crate::functions) fn resize(arguments: &Arguments) -> CostOfRow {
    let (list, number, filling) = (arguments.bytes(0), arguments.counts(1), arguments.bytes(2));
    Box::new(move |row| {
        let number = number.at(row);
        let added = number.saturating_mul(filling.at(row).saturating_add(OF_VALUE));
        Cost::list(number, list.at(row).saturating_add(added))
    })
}

/// `array_replace(list, from, to)`, also for several items.
pub(in crate::functions) fn replace(arguments: &Arguments) -> CostOfRow {
    let (list, items, to) = (arguments.bytes(0), arguments.items(0), arguments.bytes(2));
    Box::new(move |row| {
        let replaced = items.at(row).saturating_mul(to.at(row).saturating_add(OF_VALUE));
        Cost::list(items.at(row), list.at(row).saturating_add(replaced))
    })
}

/// `array_to_string(list, delimiter, text of NULL)`
pub(in crate::functions) fn to_string(arguments: &Arguments) -> CostOfRow {
    let (texts, items) = (arguments.measure(0, printed), arguments.leaves(0));
    let (delimiter, null) = (arguments.bytes(1), arguments.bytes(2));
    Box::new(move |row| {
        let around = delimiter.at(row).saturating_add(null.at(row));
        Cost::string(texts.at(row).saturating_add(items.at(row).saturating_mul(around)))
    })
}

/// A function that may compare each item of one list with each of the other.
pub(in crate::functions) fn pairs(arguments: &Arguments) -> CostOfRow {
    let (left, right, bytes) = (arguments.items(0), arguments.items(1), arguments.bytes(1));
    Box::new(move |row| {
        let compared = right.at(row).saturating_add(bytes.at(row) / COMPARED_AT_ONCE);
        Cost::time(left.at(row).saturating_mul(compared))
    })
}
