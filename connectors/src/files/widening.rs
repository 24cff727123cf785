//! The pairs of types for which a file's column can be read as the port's type without a change of any value, and the
//! casts between them. DataFusion casts every column to the type of its table, whatever the loss.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::compute::kernels::cmp::not_distinct;
use arrow::compute::{CastOptions, can_cast_types, cast_with_options};
use arrow::datatypes::DataType as T;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, TimeUnit};
use datafusion::common::nested_struct::cast_column;

/// True if a column of type `from` can be read as `to`. Every value has an equal in `to`, or is refused when it is
/// read.
pub(super) fn widens(from: &DataType, to: &DataType) -> bool {
    match (from, to) {
        _ if from == to => true,
        (T::Null, _) => true,
        (T::Dictionary(from_key, from), T::Dictionary(to_key, to)) => widens(from_key, to_key) && widens(from, to),
        (T::Dictionary(_, from), _) => widens(from, to),
        (T::RunEndEncoded(_, from), _) => widens(from.data_type(), to),
        // If there are more values than keys, reading fails.
        (_, T::Dictionary(_, to)) => widens(from, to),
        (T::Struct(from), T::Struct(to)) => struct_widens(from, to),
        (T::List(from), T::List(to)) | (T::LargeList(from), T::LargeList(to)) => inner_widens(from, to),
        (T::FixedSizeList(from, n), T::FixedSizeList(to, m)) => n == m && inner_widens(from, to),
        (T::Map(from, _), T::Map(to, _)) => map_widens(from.data_type(), to.data_type()),
        (T::Timestamp(from, from_zone), T::Timestamp(to, to_zone)) => {
            from_zone.is_some() == to_zone.is_some() && fineness(*from) <= fineness(*to)
        }
        (T::Time32(from) | T::Time64(from), T::Time32(to) | T::Time64(to)) => fineness(*from) <= fineness(*to),
        (T::Date32, T::Date64) => true,
        _ if is_text(from) => is_text(to),
        _ if is_bytes(from) => is_bytes(to) && !matches!(to, T::FixedSizeBinary(_)) && can_cast_types(from, to),
        _ => number_widens(from, to),
    }
}

/// True if DataFusion may move the cast to the other side of a comparison and prune by the result: the values of both
/// types have the same order. (DataFusion also moves casts between units of time, and cuts the literal.)
pub(super) fn is_plain(from: &DataType, to: &DataType) -> bool {
    match (from, to) {
        _ if from == to => true,
        (T::Dictionary(_, from), T::Dictionary(_, to)) => is_plain(from, to),
        (T::Dictionary(_, from), _) => is_plain(from, to),
        (_, T::Dictionary(..)) => false,
        (T::Struct(from), T::Struct(to)) => from.iter().all(|f| {
            let same = to.iter().find(|t| t.name() == f.name());
            same.is_some_and(|t| is_plain(f.data_type(), t.data_type()))
        }),
        (T::List(from), T::List(to)) | (T::LargeList(from), T::LargeList(to)) => {
            is_plain(from.data_type(), to.data_type())
        }
        (T::FixedSizeList(from, _), T::FixedSizeList(to, _)) => is_plain(from.data_type(), to.data_type()),
        _ if is_text(from) || is_bytes(from) => true,
        _ => from.is_numeric() && to.is_numeric() && !is_checked(from, to),
    }
}

/// Returns the narrowest type as which columns of both types can be read.
pub(super) fn common_type(a: &DataType, b: &DataType) -> Option<DataType> {
    match (a, b) {
        (T::Dictionary(_, a), T::Dictionary(_, b)) if a != b => common_type(a, b),
        (T::Dictionary(..), T::Dictionary(..)) => widest(a, b),
        (T::Dictionary(_, value), other) | (other, T::Dictionary(_, value)) if *other != T::Null => {
            common_type(value, other)
        }
        (T::Struct(a), T::Struct(b)) => common_struct(a, b),
        (T::List(a), T::List(b)) => Some(T::List(common_field(a, b)?)),
        (T::LargeList(a), T::LargeList(b)) => Some(T::LargeList(common_field(a, b)?)),
        (T::FixedSizeList(a, n), T::FixedSizeList(b, m)) if n == m => Some(T::FixedSizeList(common_field(a, b)?, *n)),
        _ => widest(a, b).or_else(|| common_number(a, b)),
    }
}

/// Reads `array` as type `to`, which must be wider (see [`widens`]).
///
/// # Errors
/// A value that `to` does not hold. The message does not repeat it.
pub(super) fn read_as(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, String> {
    let from = array.data_type();
    if from == to {
        return Ok(array.clone());
    }
    let refused = || format!("a value of type {from} has no equal of type {to}");
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let read = cast_column(array, to, &strict).map_err(|_| refused())?;
    if is_checked(from, to) {
        let back = cast_with_options(&read, from, &CastOptions::default()).map_err(|_| refused())?;
        let same = not_distinct(&back, array).map_err(|_| refused())?;
        if same.true_count() != array.len() {
            return Err(refused());
        }
    }
    Ok(read)
}

/// True if only some values of `from` have an equal in `to`, so that each value must be checked.
fn is_checked(from: &DataType, to: &DataType) -> bool {
    matches!((from, to), (T::Int64 | T::UInt64, T::Float64))
}

fn widest(a: &DataType, b: &DataType) -> Option<DataType> {
    if widens(a, b) {
        return Some(b.clone());
    }
    widens(b, a).then(|| a.clone())
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, T::Utf8 | T::LargeUtf8 | T::Utf8View)
}

fn is_bytes(data_type: &DataType) -> bool {
    matches!(data_type, T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_))
}

fn fineness(unit: TimeUnit) -> u8 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 1,
        TimeUnit::Microsecond => 2,
        TimeUnit::Nanosecond => 3,
    }
}

/// True if an inner field of a nested column can be read as the other: only with a cast that needs no check of each
/// value.
fn inner_widens(from: &FieldRef, to: &FieldRef) -> bool {
    let (source, target) = (from.data_type(), to.data_type());
    (to.is_nullable() || !from.is_nullable()) && widens(source, target) && is_plain(source, target)
}

/// True if one struct can be read as the other. A field that the file lacks is NULL. A field that the port lacks would
/// be lost.
fn struct_widens(from: &Fields, to: &Fields) -> bool {
    let known = |field: &FieldRef| to.iter().any(|t| t.name() == field.name() && inner_widens(field, t));
    let lacking = |field: &&FieldRef| !from.iter().any(|f| f.name() == field.name());
    from.iter().any(|f| to.iter().any(|t| t.name() == f.name()))
        && from.iter().all(known)
        && to.iter().filter(lacking).all(|field| field.is_nullable())
}

/// True if one map's entries can be read as the other's. Writers name the parts of an entry differently. Structs within
/// a map must have the same fields: the cast of a map finds them by position.
fn map_widens(from: &DataType, to: &DataType) -> bool {
    match (from, to) {
        (T::Struct(from), T::Struct(to)) if from.len() == to.len() => {
            from.iter().zip(to).all(|(from, to)| inner_widens(from, to) && has_same_fields(from, to))
        }
        _ => false,
    }
}

/// True if the structs within two columns have fields of the same names in the same order.
fn has_same_fields(a: &FieldRef, b: &FieldRef) -> bool {
    match (a.data_type(), b.data_type()) {
        (T::Struct(a), T::Struct(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.name() == b.name() && has_same_fields(a, b))
        }
        (T::List(a), T::List(b)) | (T::LargeList(a), T::LargeList(b)) => has_same_fields(a, b),
        (T::FixedSizeList(a, _), T::FixedSizeList(b, _)) => has_same_fields(a, b),
        _ => true,
    }
}

fn common_struct(a: &Fields, b: &Fields) -> Option<DataType> {
    let mut fields: Vec<FieldRef> = Vec::with_capacity(a.len());
    for field in a {
        fields.push(match b.iter().find(|other| other.name() == field.name()) {
            Some(other) => common_field(field, other)?,
            None => Arc::new(field.as_ref().clone().with_nullable(true)),
        });
    }
    let added: Vec<_> = b.iter().filter(|field| !a.iter().any(|known| known.name() == field.name())).collect();
    // Two structs without a common field are unrelated.
    if added.len() == b.len() && !b.is_empty() && !a.is_empty() {
        return None;
    }
    fields.extend(added.into_iter().map(|field| Arc::new(field.as_ref().clone().with_nullable(true))));
    Some(T::Struct(fields.into()))
}

fn common_field(a: &FieldRef, b: &FieldRef) -> Option<FieldRef> {
    let common = common_type(a.data_type(), b.data_type())?;
    if !is_plain(a.data_type(), &common) || !is_plain(b.data_type(), &common) {
        return None;
    }
    let nullable = a.is_nullable() || b.is_nullable();
    let field = Field::new(a.name(), common, nullable).with_metadata(a.metadata().clone());
    Some(Arc::new(field))
}

/// Describes an integer type: whether it has a sign, and how many bits it has.
fn whole(data_type: &DataType) -> Option<(bool, u8)> {
    Some(match data_type {
        T::Int8 => (true, 8),
        T::Int16 => (true, 16),
        T::Int32 => (true, 32),
        T::Int64 => (true, 64),
        T::UInt8 => (false, 8),
        T::UInt16 => (false, 16),
        T::UInt32 => (false, 32),
        T::UInt64 => (false, 64),
        _ => return None,
    })
}

/// Returns the numbers of digits before and after the point.
fn digits(data_type: &DataType) -> Option<(i32, i32)> {
    match data_type {
        T::Decimal32(p, s) | T::Decimal64(p, s) | T::Decimal128(p, s) | T::Decimal256(p, s) => {
            Some((i32::from(*p) - i32::from(*s), i32::from(*s)))
        }
        other => whole(other).map(|(signed, bits)| match (signed, bits) {
            (_, 8) => (3, 0),
            (_, 16) => (5, 0),
            (_, 32) => (10, 0),
            (true, _) => (19, 0),
            (false, _) => (20, 0),
        }),
    }
}

fn number_widens(from: &DataType, to: &DataType) -> bool {
    match (whole(from), whole(to)) {
        (Some((true, a)), Some((true, b))) | (Some((false, a)), Some((false, b))) => return a <= b,
        (Some((false, a)), Some((true, b))) => return a < b,
        (Some(_), Some(_)) => return false,
        _ => {}
    }
    match (from, to) {
        (T::Float16, T::Float32 | T::Float64) | (T::Float32, T::Float64) => true,
        (_, T::Float32) => whole(from).is_some_and(|(_, bits)| bits <= 16),
        (_, T::Float64) => whole(from).is_some(),
        _ if to.is_decimal() => match (digits(from), digits(to)) {
            (Some((before, after)), Some((room_before, room_after))) => before <= room_before && after <= room_after,
            _ => false,
        },
        _ => false,
    }
}

/// Returns a wider type for two types of which neither holds the other.
fn common_number(a: &DataType, b: &DataType) -> Option<DataType> {
    if let (Some((a_signed, a_bits)), Some((b_signed, b_bits))) = (whole(a), whole(b)) {
        let unsigned = if a_signed { b_bits } else { a_bits };
        let wider = match unsigned {
            8 => T::Int16,
            16 => T::Int32,
            32 => T::Int64,
            _ => T::Decimal128(20, 0),
        };
        return (a_signed != b_signed).then_some(wider);
    }
    if (a.is_floating() || b.is_floating()) && widens(a, &T::Float64) && widens(b, &T::Float64) {
        return Some(T::Float64);
    }
    let ((a_before, a_after), (b_before, b_after)) = (digits(a)?, digits(b)?);
    let after = a_after.max(b_after);
    let (precision, scale) = (u8::try_from(a_before.max(b_before) + after).ok()?, i8::try_from(after).ok()?);
    match precision {
        ..=38 => Some(T::Decimal128(precision, scale)),
        39..=76 => Some(T::Decimal256(precision, scale)),
        _ => None,
    }
}
