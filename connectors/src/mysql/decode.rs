//! Rows of the binary protocol as batches. Each value has exactly the type of its column, or it is an error.

use std::sync::Arc;

use arrow::array::{
    ArrayBuilder, ArrayRef, BinaryBuilder, BooleanBuilder, PrimitiveBuilder, RecordBatch, RecordBatchOptions,
    StringBuilder,
};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, SchemaRef, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use mysql_async::{Row, Value};

use super::values::{date_of, decimal_of, integer_of, shown, time_of, timestamp_of};
use crate::databases::Origin;
use crate::error::{Error, ErrorKind, Result};

/// The largest number of rows of a batch.
const BATCH_ROWS: usize = 8192;
/// The number of bytes at which a batch is complete.
const BATCH_BYTES: usize = 4 << 20;

/// A batch in the making.
pub(super) struct BatchReader {
    origin: Origin,
    schema: SchemaRef,
    columns: Vec<Box<dyn ColumnReader>>,
    rows: usize,
    bytes: usize,
}

/// A column in the making.
trait ColumnReader: Send {
    /// Adds a value, and returns its size; `None` if the value is not one of the column's type.
    fn push(&mut self, value: &Value) -> Option<usize>;

    fn finish(&mut self) -> ArrayRef;
}

impl BatchReader {
    /// Returns a reader of rows with these columns.
    ///
    /// # Errors
    /// `Internal` for a type that no value of the server has.
    pub(super) fn new(origin: &Origin, schema: SchemaRef) -> Result<Self> {
        let columns = schema.fields().iter().map(|field| {
            column_reader(field.data_type()).ok_or_else(|| {
                let (name, data_type) = (field.name(), field.data_type());
                Error::new(
                    ErrorKind::Internal,
                    format!("column `{name}` has the type {data_type}, which no query returns"),
                )
            })
        });
        let columns = columns.collect::<Result<_>>()?;
        Ok(Self { origin: origin.clone(), schema, columns, rows: 0, bytes: 0 })
    }

    /// Adds a row.
    ///
    /// # Errors
    /// `InvalidData` for a value that does not fit the type of its column.
    pub(super) fn push(&mut self, row: &Row) -> Result<()> {
        // A query without columns has one in SQL.
        if row.len() != self.columns.len() && !self.columns.is_empty() {
            let (expected, found) = (self.columns.len(), row.len());
            let context = format!("expected {expected} columns from {}, got {found}", self.origin.shown);
            return Err(Error::new(ErrorKind::Internal, context));
        }
        for (i, column) in self.columns.iter_mut().enumerate() {
            let value = row.as_ref(i).unwrap_or(&Value::NULL);
            match column.push(value) {
                Some(size) => self.bytes += size,
                None => return Err(self.refused(i, value)),
            }
        }
        self.rows += 1;
        Ok(())
    }

    fn refused(&self, column: usize, value: &Value) -> Error {
        let field = self.schema.field(column);
        let expected = expected(field.data_type());
        // Only the owner sees the value: the column may be classified.
        let what = format!("{}, column `{}`: expected {expected}, got", self.origin.shown, field.name());
        Error::new(ErrorKind::InvalidData, format!("{what} another value"))
            .for_owner(format!("{what} {}", shown(value)))
    }

    pub(super) fn is_full(&self) -> bool {
        self.rows >= BATCH_ROWS || self.bytes >= BATCH_BYTES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Returns the rows so far, and starts a new batch.
    pub(super) fn finish(&mut self) -> Result<RecordBatch> {
        let columns = self.columns.iter_mut().map(|column| column.finish()).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        (self.rows, self.bytes) = (0, 0);
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(|e| Error::new(ErrorKind::Internal, format!("rows of {} are no batch: {e}", self.origin.shown)))
    }
}

/// Returns a reader of values of a type; `None` if no value of the server has the type.
fn column_reader(data_type: &DataType) -> Option<Box<dyn ColumnReader>> {
    use DataType as T;
    Some(match data_type {
        T::Boolean => Box::new(Booleans(BooleanBuilder::new())),
        T::Int8 => integers::<Int8Type>(),
        T::Int16 => integers::<Int16Type>(),
        T::Int32 => integers::<Int32Type>(),
        T::Int64 => integers::<Int64Type>(),
        T::UInt8 => integers::<UInt8Type>(),
        T::UInt16 => integers::<UInt16Type>(),
        T::UInt32 => integers::<UInt32Type>(),
        T::UInt64 => integers::<UInt64Type>(),
        T::Float32 => primitives(PrimitiveBuilder::<Float32Type>::new(), |value| match value {
            Value::Float(value) => Some(*value),
            Value::Double(value) => {
                Some(*value as f32).filter(|narrow| f64::from(*narrow).to_bits() == value.to_bits())
            }
            _ => None,
        }),
        T::Float64 => primitives(PrimitiveBuilder::<Float64Type>::new(), |value| match value {
            Value::Float(value) => Some(f64::from(*value)),
            Value::Double(value) => Some(*value),
            _ => None,
        }),
        T::Decimal128(precision, scale) => {
            let (precision, scale) = (*precision, *scale);
            let builder = PrimitiveBuilder::<Decimal128Type>::new().with_data_type(data_type.clone());
            primitives(builder, move |value| decimal_of::<Decimal128Type>(value, precision, scale))
        }
        T::Decimal256(precision, scale) => {
            let (precision, scale) = (*precision, *scale);
            let builder = PrimitiveBuilder::<Decimal256Type>::new().with_data_type(data_type.clone());
            primitives(builder, move |value| decimal_of::<Decimal256Type>(value, precision, scale))
        }
        T::Date32 => primitives(PrimitiveBuilder::<Date32Type>::new(), date_of),
        T::Timestamp(TimeUnit::Microsecond, _) => {
            let builder = PrimitiveBuilder::<TimestampMicrosecondType>::new().with_data_type(data_type.clone());
            primitives(builder, timestamp_of)
        }
        T::Time64(TimeUnit::Microsecond) => primitives(PrimitiveBuilder::<Time64MicrosecondType>::new(), time_of),
        T::Utf8 => Box::new(Strings(StringBuilder::new())),
        T::Binary => Box::new(Bytes(BinaryBuilder::new())),
        _ => return None,
    })
}

/// Returns the values of a type in words.
fn expected(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "0 or 1 for false or true".to_owned(),
        DataType::Date32 => "a date of the calendar".to_owned(),
        DataType::Timestamp(..) => "a date of the calendar with a time".to_owned(),
        DataType::Time64(_) => "a time of day from 00:00:00 to 23:59:59.999999".to_owned(),
        DataType::Utf8 => "text in UTF-8".to_owned(),
        other => format!("a value of the type {other}"),
    }
}

struct Primitives<T: ArrowPrimitiveType, F> {
    builder: PrimitiveBuilder<T>,
    read: F,
}

fn primitives<T, F>(builder: PrimitiveBuilder<T>, read: F) -> Box<dyn ColumnReader>
where
    T: ArrowPrimitiveType,
    F: Fn(&Value) -> Option<T::Native> + Send + 'static,
{
    Box::new(Primitives { builder, read })
}

fn integers<T: ArrowPrimitiveType<Native: TryFrom<i128>>>() -> Box<dyn ColumnReader> {
    primitives(PrimitiveBuilder::<T>::new(), |value| T::Native::try_from(integer_of(value)?).ok())
}

impl<T, F> ColumnReader for Primitives<T, F>
where
    T: ArrowPrimitiveType,
    F: Fn(&Value) -> Option<T::Native> + Send,
{
    fn push(&mut self, value: &Value) -> Option<usize> {
        match value {
            Value::NULL => self.builder.append_null(),
            value => self.builder.append_value((self.read)(value)?),
        }
        Some(size_of::<T::Native>())
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.builder.finish())
    }
}

struct Booleans(BooleanBuilder);

impl ColumnReader for Booleans {
    fn push(&mut self, value: &Value) -> Option<usize> {
        match (value, integer_of(value)) {
            (Value::NULL, _) => self.0.append_null(),
            (_, Some(value @ (0 | 1))) => self.0.append_value(value == 1),
            _ => return None,
        }
        Some(1)
    }

    fn finish(&mut self) -> ArrayRef {
        ArrayBuilder::finish(&mut self.0)
    }
}

struct Strings(StringBuilder);

impl ColumnReader for Strings {
    fn push(&mut self, value: &Value) -> Option<usize> {
        match value {
            Value::NULL => self.0.append_null(),
            Value::Bytes(bytes) => self.0.append_value(std::str::from_utf8(bytes).ok()?),
            _ => return None,
        }
        Some(size_of::<i32>() + size_of_value(value))
    }

    fn finish(&mut self) -> ArrayRef {
        ArrayBuilder::finish(&mut self.0)
    }
}

struct Bytes(BinaryBuilder);

impl ColumnReader for Bytes {
    fn push(&mut self, value: &Value) -> Option<usize> {
        match value {
            Value::NULL => self.0.append_null(),
            Value::Bytes(bytes) => self.0.append_value(bytes),
            _ => return None,
        }
        Some(size_of::<i32>() + size_of_value(value))
    }

    fn finish(&mut self) -> ArrayRef {
        ArrayBuilder::finish(&mut self.0)
    }
}

fn size_of_value(value: &Value) -> usize {
    match value {
        Value::Bytes(bytes) => bytes.len(),
        _ => 0,
    }
}
