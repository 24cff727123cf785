//! The costs of functions over lists.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Date32Type, Int64Type, IntervalMonthDayNanoType, TimeUnit, TimestampNanosecondType};

use crate::functions::cost::{Arguments, Cost, CostOfRow};

/// The space of an item beside its own size.
const ITEM: u64 = 16;
/// The longest text of a number.
const NUMBER: u64 = 24;
/// The time that a date takes, in nanoseconds.
const DATE: u64 = 50;
const NANOS_A_DAY: i128 = 86_400_000_000_000;
/// The shortest month.
const DAYS_A_MONTH: i128 = 28;

/// `range(stop)`, `range(start, stop)`, `range(start, stop, step)`
pub(in crate::functions) fn range(arguments: &Arguments) -> CostOfRow {
    let bounds: Vec<_> = (0..arguments.len()).map(|place| arguments.measure(place, number)).collect();
    let work = match arguments.data_type(0) {
        Some(DataType::Int64 | DataType::Null) | None => 0,
        Some(_) => DATE,
    };
    Box::new(move |row| {
        let at = |place: usize| bounds.get(place).map_or(0, |bound| bound.at(row));
        let (start, stop, step) = match bounds.len() {
            1 => (0, at(0), 1),
            2 => (at(0), at(1), 1),
            _ => (at(0), at(1), at(2)),
        };
        // A step of zero is refused by the function.
        let items = stop.abs_diff(start) / step.unsigned_abs().max(1) + 1;
        let items = u64::try_from(items).unwrap_or(u64::MAX);
        Cost { work: items.saturating_mul(work), ..Cost::list(items, items.saturating_mul(8)) }
    })
}

/// Returns a bound or a step of a range: an integer, or nanoseconds. A step in months is at most this long.
fn number(array: &dyn Array, row: usize) -> i128 {
    match array.data_type() {
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).into(),
        DataType::Date32 => i128::from(array.as_primitive::<Date32Type>().value(row)) * NANOS_A_DAY,
        DataType::Interval(_) => array.as_primitive_opt::<IntervalMonthDayNanoType>().map_or(0, |intervals| {
            let step = intervals.value(row);
            let days = i128::from(step.months) * DAYS_A_MONTH + i128::from(step.days);
            days * NANOS_A_DAY + i128::from(step.nanoseconds)
        }),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            array.as_primitive::<TimestampNanosecondType>().value(row).into()
        }
        DataType::Timestamp(..) | DataType::Date64 => {
            let nanoseconds = DataType::Timestamp(TimeUnit::Nanosecond, None);
            let moment = arrow::compute::cast(&array.slice(row, 1), &nanoseconds).ok();
            moment.map_or(0, |moment| moment.as_primitive::<TimestampNanosecondType>().value(0).into())
        }
        _ => 0,
    }
}

/// A function that puts its arguments together.
pub(in crate::functions) fn all(arguments: &Arguments) -> CostOfRow {
    let places = 0..arguments.len();
    let parts: Vec<_> = places.map(|place| (arguments.items(place), arguments.bytes(place))).collect();
    Box::new(move |row| {
        let (mut items, mut bytes) = (0_u64, 0_u64);
        for (of_part, size) in &parts {
            items = items.saturating_add(of_part.at(row)).saturating_add(1);
            bytes = bytes.saturating_add(size.at(row)).saturating_add(ITEM);
        }
        Cost::list(items, bytes)
    })
}

/// `array_repeat(item, number)`
pub(in crate::functions) fn repeat(arguments: &Arguments) -> CostOfRow {
    let (item, items, number) = (arguments.bytes(0), arguments.items(0), arguments.integers(1));
    Box::new(move |row| {
        let number = count(number.at(row));
        let inner = number.saturating_mul(items.at(row).max(1));
        Cost::list(inner, number.saturating_mul(item.at(row).saturating_add(ITEM)))
    })
}

/// `array_resize(list, number, filling)`
pub(in crate::functions) fn resize(arguments: &Arguments) -> CostOfRow {
    let (list, number, filling) = (arguments.bytes(0), arguments.integers(1), arguments.bytes(2));
    Box::new(move |row| {
        let number = count(number.at(row));
        let added = number.saturating_mul(filling.at(row).saturating_add(ITEM));
        Cost::list(number, list.at(row).saturating_add(added))
    })
}

/// `array_replace(list, from, to)`, also for several items.
pub(in crate::functions) fn replace(arguments: &Arguments) -> CostOfRow {
    let (list, items, to) = (arguments.bytes(0), arguments.items(0), arguments.bytes(2));
    Box::new(move |row| {
        let replaced = items.at(row).saturating_mul(to.at(row).saturating_add(ITEM));
        Cost::list(items.at(row), list.at(row).saturating_add(replaced))
    })
}

/// `array_to_string(list, delimiter, text of NULL)`
pub(in crate::functions) fn to_string(arguments: &Arguments) -> CostOfRow {
    let (list, items) = (arguments.bytes(0), arguments.leaves(0));
    let (delimiter, null) = (arguments.bytes(1), arguments.bytes(2));
    Box::new(move |row| {
        let around = delimiter.at(row).saturating_add(null.at(row)).saturating_add(NUMBER);
        Cost::string(list.at(row).saturating_add(items.at(row).saturating_mul(around)))
    })
}

/// A function that may compare each item of one list with each of the other.
pub(in crate::functions) fn pairs(arguments: &Arguments) -> CostOfRow {
    let (left, right) = (arguments.items(0), arguments.items(1));
    Box::new(move |row| Cost::time(left.at(row).saturating_mul(right.at(row))))
}

fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}
