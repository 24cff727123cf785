//! The values of a column: from the bytes of PostgreSQL into Arrow's builders.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, ListArray, NullBufferBuilder, PrimitiveBuilder, StringArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Decimal256Type, FieldRef, Float32Type, Float64Type,
    Int16Type, Int32Type, Int64Type, IntervalMonthDayNanoType, IntervalUnit, Time64MicrosecondType, TimeUnit,
    TimestampMicrosecondType, UInt32Type,
};

use super::numeric::decimal;
use super::times::{date, interval, time, timestamp};
use super::{Fault, checked_length, fixed};

/// The number of values that a column has place for at the start.
const CAPACITY: usize = 1024;

/// The values of a column that were decoded.
#[derive(Debug)]
pub(super) enum Values {
    Boolean(BooleanBuilder),
    Int16(PrimitiveBuilder<Int16Type>),
    Int32(PrimitiveBuilder<Int32Type>),
    Int64(PrimitiveBuilder<Int64Type>),
    /// PostgreSQL sends it in 8 bytes.
    UInt32(PrimitiveBuilder<UInt32Type>),
    Float32(PrimitiveBuilder<Float32Type>),
    Float64(PrimitiveBuilder<Float64Type>),
    Decimal128(PrimitiveBuilder<Decimal128Type>, u8, i8),
    Decimal256(PrimitiveBuilder<Decimal256Type>, u8, i8),
    /// The bytes of strings. All of them are checked at once.
    Text(BinaryBuilder),
    Binary(BinaryBuilder),
    Date(PrimitiveBuilder<Date32Type>),
    Timestamp(PrimitiveBuilder<TimestampMicrosecondType>),
    Time(PrimitiveBuilder<Time64MicrosecondType>),
    Interval(PrimitiveBuilder<IntervalMonthDayNanoType>),
    List(Box<Lists>),
}

/// The values of a column with arrays.
#[derive(Debug)]
pub(super) struct Lists {
    field: FieldRef,
    items: Values,
    /// The number of items up to the end of each array.
    ends: Vec<i32>,
    nulls: NullBufferBuilder,
}

impl Values {
    /// Returns an empty column; `None` for a type that no column of PostgreSQL is read as.
    pub(super) fn new(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Boolean => Self::Boolean(BooleanBuilder::with_capacity(CAPACITY)),
            DataType::Int16 => Self::Int16(builder(data_type)),
            DataType::Int32 => Self::Int32(builder(data_type)),
            DataType::Int64 => Self::Int64(builder(data_type)),
            DataType::UInt32 => Self::UInt32(builder(data_type)),
            DataType::Float32 => Self::Float32(builder(data_type)),
            DataType::Float64 => Self::Float64(builder(data_type)),
            DataType::Decimal128(precision, scale) => Self::Decimal128(builder(data_type), *precision, *scale),
            DataType::Decimal256(precision, scale) => Self::Decimal256(builder(data_type), *precision, *scale),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Self::Text(BinaryBuilder::new()),
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Self::Binary(BinaryBuilder::new()),
            DataType::Date32 => Self::Date(builder(data_type)),
            DataType::Timestamp(TimeUnit::Microsecond, _) => Self::Timestamp(builder(data_type)),
            DataType::Time64(TimeUnit::Microsecond) => Self::Time(builder(data_type)),
            DataType::Interval(IntervalUnit::MonthDayNano) => Self::Interval(builder(data_type)),
            DataType::List(field) => {
                let items = Self::new(field.data_type()).filter(|items| !matches!(items, Self::List(_)))?;
                let nulls = NullBufferBuilder::new(CAPACITY);
                Self::List(Box::new(Lists { field: field.clone(), items, ends: vec![], nulls }))
            }
            _ => return None,
        })
    }

    /// Appends a value, or NULL.
    #[inline]
    pub(super) fn append(&mut self, value: Option<&[u8]>) -> Result<(), Fault> {
        match self {
            Self::Boolean(values) => values.append_option(value.map(boolean).transpose()?),
            Self::Int16(values) => values.append_option(value.map(|v| fixed(v).map(i16::from_be_bytes)).transpose()?),
            Self::Int32(values) => values.append_option(value.map(|v| fixed(v).map(i32::from_be_bytes)).transpose()?),
            Self::Int64(values) => values.append_option(value.map(|v| fixed(v).map(i64::from_be_bytes)).transpose()?),
            Self::UInt32(values) => values.append_option(value.map(unsigned).transpose()?),
            Self::Float32(values) => values.append_option(value.map(|v| fixed(v).map(f32::from_be_bytes)).transpose()?),
            Self::Float64(values) => values.append_option(value.map(|v| fixed(v).map(f64::from_be_bytes)).transpose()?),
            Self::Decimal128(values, precision, scale) => {
                let value = value.map(|v| decimal::<Decimal128Type>(v, *precision, *scale)).transpose()?;
                values.append_option(value);
            }
            Self::Decimal256(values, precision, scale) => {
                let value = value.map(|v| decimal::<Decimal256Type>(v, *precision, *scale)).transpose()?;
                values.append_option(value);
            }
            Self::Text(values) | Self::Binary(values) => values.append_option(value),
            Self::Date(values) => values.append_option(value.map(date).transpose()?),
            Self::Timestamp(values) => values.append_option(value.map(timestamp).transpose()?),
            Self::Time(values) => values.append_option(value.map(time).transpose()?),
            Self::Interval(values) => values.append_option(value.map(interval).transpose()?),
            Self::List(lists) => lists.append(value)?,
        }
        Ok(())
    }

    /// Returns the values as an array of the type that the column was created with. The column is empty then.
    pub(super) fn finish(&mut self, data_type: &DataType) -> Result<ArrayRef, Fault> {
        Ok(match self {
            Self::Boolean(values) => Arc::new(values.finish()),
            Self::Int16(values) => Arc::new(values.finish()),
            Self::Int32(values) => Arc::new(values.finish()),
            Self::Int64(values) => Arc::new(values.finish()),
            Self::UInt32(values) => Arc::new(values.finish()),
            Self::Float32(values) => Arc::new(values.finish()),
            Self::Float64(values) => Arc::new(values.finish()),
            Self::Decimal128(values, ..) => Arc::new(values.finish()),
            Self::Decimal256(values, ..) => Arc::new(values.finish()),
            Self::Date(values) => Arc::new(values.finish()),
            Self::Timestamp(values) => Arc::new(values.finish()),
            Self::Time(values) => Arc::new(values.finish()),
            Self::Interval(values) => Arc::new(values.finish()),
            Self::Text(values) => {
                let (ends, bytes, nulls) = values.finish().into_parts();
                let texts = StringArray::try_new(ends, bytes, nulls);
                let texts = texts.map_err(|_| Fault::unfit("expected text in UTF-8, got other bytes"))?;
                of_type(Arc::new(texts), data_type)?
            }
            Self::Binary(values) => of_type(Arc::new(values.finish()), data_type)?,
            Self::List(lists) => lists.finish()?,
        })
    }
}

fn builder<T: ArrowPrimitiveType>(data_type: &DataType) -> PrimitiveBuilder<T> {
    PrimitiveBuilder::with_capacity(CAPACITY).with_data_type(data_type.clone())
}

/// Returns strings or bytes in another layout.
fn of_type(values: ArrayRef, data_type: &DataType) -> Result<ArrayRef, Fault> {
    if values.data_type() == data_type {
        return Ok(values);
    }
    cast(&values, data_type).map_err(|e| Fault::unfit(e.to_string()))
}

fn boolean(bytes: &[u8]) -> Result<bool, Fault> {
    match fixed(bytes)? {
        [0] => Ok(false),
        [1] => Ok(true),
        [other] => Err(Fault::malformed(format!("expected a boolean, got the byte {other}"))),
    }
}

fn unsigned(bytes: &[u8]) -> Result<u32, Fault> {
    let number = i64::from_be_bytes(fixed(bytes)?);
    u32::try_from(number).map_err(|_| Fault::unfit(format!("expected a number from 0 to {}, got another", u32::MAX)))
}

impl Lists {
    fn append(&mut self, value: Option<&[u8]>) -> Result<(), Fault> {
        let items = match value {
            Some(value) => self.append_items(value)?,
            None => 0,
        };
        self.nulls.append(value.is_some());
        let end = self.ends.last().copied().unwrap_or(0).checked_add(items);
        self.ends.push(end.ok_or_else(|| Fault::malformed("expected fewer items in an array"))?);
        Ok(())
    }

    /// Appends the items of an array and returns their number.
    fn append_items(&mut self, value: &[u8]) -> Result<i32, Fault> {
        let short = || Fault::malformed("expected an array, got fewer bytes");
        let (head, mut rest) = value.split_first_chunk::<12>().ok_or_else(short)?;
        match i32::from_be_bytes(fixed(&head[..4])?) {
            0 if rest.is_empty() => return Ok(0),
            1 => {}
            2.. => return Err(Fault::unfit("expected an array with one dimension, got one with more")),
            _ => return Err(Fault::malformed("expected the number of an array's dimensions")),
        }
        let (bounds, items) = rest.split_first_chunk::<8>().ok_or_else(short)?;
        rest = items;
        let (count, first) = (i32::from_be_bytes(fixed(&bounds[..4])?), i32::from_be_bytes(fixed(&bounds[4..])?));
        if first != 1 {
            return Err(Fault::unfit(format!("expected an array that begins at 1, got one that begins at {first}")));
        }
        for _ in 0..count {
            let (length, behind) = rest.split_first_chunk().ok_or_else(short)?;
            let item = match i32::from_be_bytes(*length) {
                -1 => None,
                length => Some(behind.split_at_checked(checked_length(length)?).ok_or_else(short)?),
            };
            rest = item.map_or(behind, |(_, rest)| rest);
            self.items.append(item.map(|(item, _)| item))?;
        }
        if count < 0 || !rest.is_empty() {
            return Err(Fault::malformed(format!("expected {count} items in an array, got more bytes")));
        }
        Ok(count)
    }

    fn finish(&mut self) -> Result<ArrayRef, Fault> {
        let items = self.items.finish(self.field.data_type())?;
        let ends = std::mem::take(&mut self.ends);
        let offsets = OffsetBuffer::new(std::iter::once(0).chain(ends).collect());
        let lists = ListArray::try_new(self.field.clone(), offsets, items, self.nulls.finish());
        lists.map(|lists| Arc::new(lists) as ArrayRef).map_err(|e| Fault::unfit(e.to_string()))
    }
}
