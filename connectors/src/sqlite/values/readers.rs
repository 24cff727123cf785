//! A reader for each type.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, BooleanBuilder, GenericBinaryBuilder, GenericStringBuilder, NullArray,
    OffsetSizeTrait, PrimitiveBuilder,
};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    Time64MicrosecondType, Time64NanosecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use rusqlite::types::ValueRef;

use super::decimals::{decimal_of_integer, decimal_of_real, parse_decimal};
use super::{ColumnReader, Misfit, ticks, times};

/// The integers up to this one are all floating-point numbers.
const MAX_EXACT: u64 = 1 << 53;

/// Returns a reader; `None` for a type that SQLite's values are not read as.
pub(in super::super) fn reader(data_type: &DataType) -> Option<Box<dyn ColumnReader>> {
    use DataType as T;
    Some(match data_type {
        T::Null => Box::new(Nulls(0)),
        T::Boolean => Box::new(Booleans(BooleanBuilder::new())),
        T::Int8 => integers::<Int8Type>(data_type),
        T::Int16 => integers::<Int16Type>(data_type),
        T::Int32 => integers::<Int32Type>(data_type),
        T::Int64 => integers::<Int64Type>(data_type),
        T::UInt8 => integers::<UInt8Type>(data_type),
        T::UInt16 => integers::<UInt16Type>(data_type),
        T::UInt32 => integers::<UInt32Type>(data_type),
        T::UInt64 => integers::<UInt64Type>(data_type),
        T::Float32 => primitives::<Float32Type>(data_type, |value| {
            let real = real(value)?;
            let narrow = real as f32;
            if f64::from(narrow) == real {
                Ok(narrow)
            } else {
                Err(Misfit::new("a number of 32 bits", "one of 64 bits"))
            }
        }),
        T::Float64 => primitives::<Float64Type>(data_type, real),
        T::Decimal128(precision, scale) => {
            let (precision, scale) = (*precision, *scale);
            primitives::<Decimal128Type>(data_type, move |value| decimal(value, precision, scale))
        }
        T::Date32 => primitives::<Date32Type>(data_type, |value| {
            let expected = "a date as text, `YYYY-MM-DD`";
            times::parse_date(text(value, expected)?).ok_or(Misfit::new(expected, "other text"))
        }),
        T::Timestamp(unit, _) => match unit {
            TimeUnit::Second => timestamps::<TimestampSecondType>(data_type, *unit),
            TimeUnit::Millisecond => timestamps::<TimestampMillisecondType>(data_type, *unit),
            TimeUnit::Microsecond => timestamps::<TimestampMicrosecondType>(data_type, *unit),
            TimeUnit::Nanosecond => timestamps::<TimestampNanosecondType>(data_type, *unit),
        },
        T::Time64(TimeUnit::Nanosecond) => primitives::<Time64NanosecondType>(data_type, |value| time(value, 1)),
        T::Time64(_) => primitives::<Time64MicrosecondType>(data_type, |value| time(value, 1000)),
        T::Utf8 => Box::new(Strings::<i32>::default()),
        T::LargeUtf8 => Box::new(Strings::<i64>::default()),
        T::Binary => Box::new(Blobs::<i32>::default()),
        T::LargeBinary => Box::new(Blobs::<i64>::default()),
        T::Utf8View => Box::new(Views { values: Box::new(Strings::<i32>::default()), data_type: T::Utf8View }),
        T::BinaryView => Box::new(Views { values: Box::new(Blobs::<i32>::default()), data_type: T::BinaryView }),
        _ => return None,
    })
}

fn integers<T>(data_type: &DataType) -> Box<dyn ColumnReader>
where
    T: ArrowPrimitiveType,
    T::Native: TryFrom<i64>,
{
    let expected = format!("an integer in the range of {data_type}");
    primitives::<T>(data_type, move |value| match value {
        ValueRef::Integer(value) => {
            T::Native::try_from(value).map_err(|_| Misfit::new(expected.clone(), "an integer out of range"))
        }
        other => Err(Misfit::class("an integer", other)),
    })
}

fn primitives<T: ArrowPrimitiveType>(
    data_type: &DataType,
    read: impl Fn(ValueRef<'_>) -> Result<T::Native, Misfit> + Send + 'static,
) -> Box<dyn ColumnReader> {
    let values = PrimitiveBuilder::<T>::new().with_data_type(data_type.clone());
    Box::new(Primitives { values, read })
}

fn timestamps<T: ArrowPrimitiveType<Native = i64>>(data_type: &DataType, unit: TimeUnit) -> Box<dyn ColumnReader> {
    let ticks = ticks(unit);
    primitives::<T>(data_type, move |value| {
        let expected = "a timestamp as text, `YYYY-MM-DD HH:MM:SS`";
        let parsed = times::parse_timestamp(text(value, expected)?);
        let (seconds, nanos) = parsed.ok_or(Misfit::new(expected, "other text"))?;
        let nanos_a_tick = 1_000_000_000 / ticks;
        if nanos % nanos_a_tick != 0 {
            return Err(Misfit::new(expected, "more digits of the second than the type has"));
        }
        let value = seconds.checked_mul(ticks).and_then(|value| value.checked_add(nanos / nanos_a_tick));
        value.ok_or(Misfit::new(expected, "a timestamp out of range"))
    })
}

/// Returns a time of day in units of so many nanoseconds.
fn time(value: ValueRef<'_>, unit: i64) -> Result<i64, Misfit> {
    let expected = "a time of day as text, `HH:MM:SS`";
    let nanos = times::parse_time(text(value, expected)?).ok_or(Misfit::new(expected, "other text"))?;
    let is_exact = nanos % unit == 0;
    is_exact.then_some(nanos / unit).ok_or(Misfit::new(expected, "more digits of the second than the type has"))
}

fn real(value: ValueRef<'_>) -> Result<f64, Misfit> {
    match value {
        ValueRef::Real(value) => Ok(value),
        ValueRef::Integer(value) if value.unsigned_abs() <= MAX_EXACT => Ok(value as f64),
        ValueRef::Integer(_) => Err(Misfit::new("a floating-point number", "an integer that none is equal to")),
        other => Err(Misfit::class("a floating-point number", other)),
    }
}

fn decimal(value: ValueRef<'_>, precision: u8, scale: i8) -> Result<i128, Misfit> {
    let expected = || format!("a decimal number with at most {precision} digits, {scale} of them after the point");
    let (decimal, got) = match value {
        ValueRef::Integer(value) => (decimal_of_integer(value, precision, scale), "an integer with more digits"),
        ValueRef::Real(value) => (decimal_of_real(value, precision, scale), "a floating-point number with more digits"),
        ValueRef::Text(bytes) => {
            let text = std::str::from_utf8(bytes).ok();
            (text.and_then(|text| parse_decimal(text, precision, scale)), "other text")
        }
        other => return Err(Misfit::class(expected(), other)),
    };
    decimal.ok_or_else(|| Misfit::new(expected(), got))
}

fn text<'a>(value: ValueRef<'a>, expected: &'static str) -> Result<&'a str, Misfit> {
    match value {
        ValueRef::Text(bytes) => {
            std::str::from_utf8(bytes).map_err(|_| Misfit::new(expected, "text that is not valid UTF-8"))
        }
        other => Err(Misfit::class(expected, other)),
    }
}

struct Primitives<T: ArrowPrimitiveType, F> {
    values: PrimitiveBuilder<T>,
    read: F,
}

impl<T, F> ColumnReader for Primitives<T, F>
where
    T: ArrowPrimitiveType,
    F: Fn(ValueRef<'_>) -> Result<T::Native, Misfit> + Send,
{
    fn push(&mut self, value: ValueRef<'_>) -> Result<(), Misfit> {
        match value {
            ValueRef::Null => self.values.append_null(),
            value => self.values.append_value((self.read)(value)?),
        }
        Ok(())
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.values.finish())
    }
}

struct Booleans(BooleanBuilder);

impl ColumnReader for Booleans {
    fn push(&mut self, value: ValueRef<'_>) -> Result<(), Misfit> {
        match value {
            ValueRef::Null => self.0.append_null(),
            ValueRef::Integer(value @ (0 | 1)) => self.0.append_value(value == 1),
            ValueRef::Integer(_) => return Err(Misfit::new("0 or 1", "another integer")),
            other => return Err(Misfit::class("0 or 1", other)),
        }
        Ok(())
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.0.finish())
    }
}

#[derive(Default)]
struct Strings<O: OffsetSizeTrait>(GenericStringBuilder<O>);

impl<O: OffsetSizeTrait> ColumnReader for Strings<O> {
    fn push(&mut self, value: ValueRef<'_>) -> Result<(), Misfit> {
        match value {
            ValueRef::Null => self.0.append_null(),
            value => self.0.append_value(text(value, "text")?),
        }
        Ok(())
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.0.finish())
    }
}

#[derive(Default)]
struct Blobs<O: OffsetSizeTrait>(GenericBinaryBuilder<O>);

impl<O: OffsetSizeTrait> ColumnReader for Blobs<O> {
    fn push(&mut self, value: ValueRef<'_>) -> Result<(), Misfit> {
        match value {
            ValueRef::Null => self.0.append_null(),
            ValueRef::Blob(bytes) => self.0.append_value(bytes),
            other => return Err(Misfit::class("a blob", other)),
        }
        Ok(())
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.0.finish())
    }
}

/// Values that become views when a batch is complete.
struct Views {
    values: Box<dyn ColumnReader>,
    data_type: DataType,
}

impl ColumnReader for Views {
    fn push(&mut self, value: ValueRef<'_>) -> Result<(), Misfit> {
        self.values.push(value)
    }

    fn finish(&mut self) -> ArrayRef {
        let values = self.values.finish();
        // A cast of strings to views does not fail.
        cast(&values, &self.data_type).unwrap_or(values)
    }
}

struct Nulls(usize);

impl ColumnReader for Nulls {
    fn push(&mut self, value: ValueRef<'_>) -> Result<(), Misfit> {
        match value {
            ValueRef::Null => self.0 += 1,
            other => return Err(Misfit::class("NULL", other)),
        }
        Ok(())
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(NullArray::new(std::mem::take(&mut self.0)))
    }
}
