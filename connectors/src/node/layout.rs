//! The parts of record batch messages, by their columns. A relayed message is compared with them, because its body is
//! not decoded. Of the values, only those are read that point to others.

mod pointers;

use arrow::datatypes::{DataType, FieldRef, Schema, UnionMode};
use arrow::ipc::{Message, MetadataVersion};

use self::pointers::{are_in_order, are_inside};

/// The alignment of buffers in a body, in bytes.
const ALIGNMENT: i64 = 8;
/// The size of a view of a string, in bytes.
const VIEW: i64 = 16;

/// The parts of a record batch message with certain columns.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// The columns and the fields inside of them, in the order of their nodes.
    fields: Vec<FieldParts>,
}

/// The parts of a column, or of a field inside of one.
#[derive(Debug)]
struct FieldParts {
    rows: Rows,
    may_be_null: bool,
    /// The buffers, without those behind views.
    buffers: Vec<Size>,
    /// True if the values are views, which have any number of further buffers.
    has_views: bool,
}

/// The number of values of a field.
#[derive(Clone, Copy, Debug)]
enum Rows {
    /// One for each row of the batch.
    Batch,
    /// So many for each value of the field at this place.
    Of(usize, i64),
    /// As many as values in the body say.
    Any,
}

/// The least size of a buffer.
#[derive(Clone, Copy, Debug)]
enum Size {
    /// A bit for each value. The buffer may be empty if no value is NULL.
    Validity,
    /// A bit for each value.
    Bits,
    /// So many bytes for each value.
    Values(i64),
    /// So many bytes for each value, and for the end of the last one.
    Offsets(i64),
    /// Values in the body decide.
    Any,
}

impl Size {
    /// Returns the least number of bytes for a field with so many values.
    fn least(self, rows: i64, nulls: i64) -> i64 {
        let bits = rows.saturating_add(7) / 8;
        match self {
            Self::Validity if nulls > 0 => bits,
            Self::Bits => bits,
            Self::Values(width) => rows.saturating_mul(width),
            Self::Offsets(width) if rows > 0 => rows.saturating_add(1).saturating_mul(width),
            // Without values, there may be no offset.
            Self::Validity | Self::Offsets(_) | Self::Any => 0,
        }
    }
}

impl Layout {
    /// Returns the parts of messages with these columns.
    pub(super) fn of(schema: &Schema) -> Self {
        let mut layout = Self::default();
        schema.fields().iter().for_each(|field| layout.add(field, Rows::Batch, field.is_nullable()));
        layout
    }

    /// Adds the parts of a field and of those inside of it (Arrow's format, "Buffer Listing for Each Layout").
    fn add(&mut self, field: &FieldRef, rows: Rows, may_be_null: bool) {
        use Size::{Any, Bits, Offsets, Validity, Values};
        let (place, data_type) = (self.fields.len(), field.data_type());
        let has_views = matches!(data_type, DataType::Utf8View | DataType::BinaryView);
        let (buffers, inner): (Vec<Size>, Vec<(&FieldRef, Rows)>) = match data_type {
            DataType::Null => (vec![], vec![]),
            DataType::Boolean => (vec![Validity, Bits], vec![]),
            DataType::Utf8View | DataType::BinaryView => (vec![Validity, Values(VIEW)], vec![]),
            DataType::Utf8 | DataType::Binary => (vec![Validity, Offsets(4), Any], vec![]),
            DataType::LargeUtf8 | DataType::LargeBinary => (vec![Validity, Offsets(8), Any], vec![]),
            DataType::List(item) | DataType::Map(item, _) => (vec![Validity, Offsets(4)], vec![(item, Rows::Any)]),
            DataType::LargeList(item) => (vec![Validity, Offsets(8)], vec![(item, Rows::Any)]),
            DataType::ListView(item) => (vec![Validity, Values(4), Values(4)], vec![(item, Rows::Any)]),
            DataType::LargeListView(item) => (vec![Validity, Values(8), Values(8)], vec![(item, Rows::Any)]),
            DataType::FixedSizeList(item, size) => (vec![Validity], vec![(item, Rows::Of(place, i64::from(*size)))]),
            DataType::Struct(fields) => (vec![Validity], fields.iter().map(|f| (f, Rows::Of(place, 1))).collect()),
            DataType::Union(fields, UnionMode::Sparse) => {
                (vec![Values(1)], fields.iter().map(|(_, f)| (f, Rows::Of(place, 1))).collect())
            }
            DataType::Union(fields, UnionMode::Dense) => {
                (vec![Values(1), Values(4)], fields.iter().map(|(_, f)| (f, Rows::Any)).collect())
            }
            DataType::RunEndEncoded(ends, values) => (vec![], vec![(ends, Rows::Any), (values, Rows::Any)]),
            other => (vec![Validity, Values(width(other))], vec![]),
        };
        self.fields.push(FieldParts { rows, may_be_null, buffers, has_views });
        // A member of a union may be NULL where the union has another member.
        let is_union = matches!(data_type, DataType::Union(..));
        inner.into_iter().for_each(|(field, rows)| self.add(field, rows, is_union || field.is_nullable()));
    }

    /// Checks that a message is a record batch of these columns with this body, and returns the number of rows.
    ///
    /// # Errors
    /// The difference.
    pub(super) fn rows(&self, message: &Message<'_>, body: &[u8]) -> Result<usize, String> {
        let batch = message.header_as_record_batch().ok_or("a message is no record batch")?;
        let length = i64::try_from(body.len()).map_err(|_| "a body is too large")?;
        if message.version() != MetadataVersion::V5 || message.bodyLength() != length {
            return Err(format!(
                "expected metadata of version 5 and a body of {} bytes, got version {} and {length} bytes",
                message.bodyLength(),
                i32::from(message.version().0) + 1
            ));
        }
        if message.custom_metadata().is_some_and(|metadata| !metadata.is_empty()) {
            return Err("a message of rows has metadata of its own".to_owned());
        }
        let nodes: Vec<_> = batch.nodes().into_iter().flatten().map(|n| (n.length(), n.null_count())).collect();
        self.check_nodes(&nodes, batch.length())?;
        let behind_views: Vec<i64> = batch.variadicBufferCounts().into_iter().flatten().collect();
        let buffers: Vec<_> = batch.buffers().into_iter().flatten().map(|b| (b.offset(), b.length())).collect();
        self.check_buffers(&buffers, &behind_views, length)?;
        self.check_values(&nodes, &buffers, &behind_views, body)?;
        usize::try_from(batch.length()).map_err(|_| "a batch has a negative number of rows".to_owned())
    }

    /// Checks the numbers of values and NULLs of each field in a batch of `rows` rows.
    fn check_nodes(&self, nodes: &[(i64, i64)], rows: i64) -> Result<(), String> {
        if nodes.len() != self.fields.len() {
            return Err(format!("expected a batch of {} fields, got {}", self.fields.len(), nodes.len()));
        }
        for (field, (length, nulls)) in self.fields.iter().zip(nodes) {
            if !(0..=*length).contains(nulls) {
                return Err("a field has more NULLs than values".to_owned());
            }
            let (expected, nulls_around) = match field.rows {
                Rows::Batch => (rows, 0),
                Rows::Of(place, times) => {
                    let (length, nulls) = nodes.get(place).copied().unwrap_or_default();
                    (length.saturating_mul(times), nulls)
                }
                Rows::Any => (*length, 0),
            };
            if *length != expected {
                return Err(format!("a field has {length} values in place of {expected}, in a batch of {rows} rows"));
            }
            // What stands behind a NULL may be NULL, too.
            if *nulls > 0 && !field.may_be_null && nulls_around == 0 {
                return Err("a field has NULL, but may have none".to_owned());
            }
        }
        Ok(())
    }

    /// Checks the number and the places of the buffers in a body of `length` bytes.
    fn check_buffers(&self, buffers: &[(i64, i64)], behind_views: &[i64], length: i64) -> Result<(), String> {
        let fixed: usize = self.fields.iter().map(|field| field.buffers.len()).sum();
        let expected = behind_views.iter().try_fold(fixed, |sum, n| sum.checked_add(usize::try_from(*n).ok()?));
        let views = self.fields.iter().filter(|field| field.has_views).count();
        if behind_views.len() != views || expected != Some(buffers.len()) {
            return Err(format!("the {} buffers of a batch are not those of its columns", buffers.len()));
        }
        let is_outside = |(start, size): &(i64, i64)| {
            let is_valid = *start >= 0 && *size >= 0 && start % ALIGNMENT == 0;
            !is_valid || start.checked_add(*size).is_none_or(|end| end > length)
        };
        match buffers.iter().any(is_outside) {
            true => Err("a buffer is outside of its message".to_owned()),
            false => Ok(()),
        }
    }

    /// Checks that each buffer has room for the values of its field, and that values point to others of their field: a
    /// client may use them without a check.
    fn check_values(
        &self,
        nodes: &[(i64, i64)],
        buffers: &[(i64, i64)],
        behind_views: &[i64],
        body: &[u8],
    ) -> Result<(), String> {
        let (mut left, mut behind_views) = (buffers, behind_views.iter());
        for (place, (field, (rows, nulls))) in self.fields.iter().zip(nodes).enumerate() {
            let further = if field.has_views { behind_views.next() } else { None };
            let further = further.and_then(|n| usize::try_from(*n).ok()).unwrap_or_default();
            let (own, rest) = left.split_at_checked(field.buffers.len()).ok_or("a buffer is missing")?;
            let (behind, rest) = rest.split_at_checked(further).ok_or("a buffer is missing")?;
            left = rest;
            if field.buffers.iter().zip(own).any(|(part, (_, size))| *size < part.least(*rows, *nulls)) {
                return Err(format!("a buffer is too short for the {rows} values of its field"));
            }
            let values = own.get(1).map(|buffer| bytes(body, *buffer)).unwrap_or_default();
            let count = usize::try_from(*rows).unwrap_or_default();
            let is_inside = match field.buffers.get(1) {
                Some(Size::Offsets(width)) => {
                    // Offsets of strings point into the next buffer, and those of lists into the next field.
                    let inner = nodes.get(place + 1).map(|(length, _)| *length);
                    let end = own.get(2).map(|(_, size)| *size).or(inner).unwrap_or_default();
                    are_in_order(values, *width, count, end)
                }
                _ if field.has_views => are_inside(values, count, behind),
                _ => true,
            };
            if !is_inside {
                return Err("a value points outside of its buffers".to_owned());
            }
        }
        Ok(())
    }
}

/// Returns the bytes of a buffer that is inside of the body.
fn bytes(body: &[u8], (start, size): (i64, i64)) -> &[u8] {
    let place = usize::try_from(start).ok().zip(usize::try_from(size).ok());
    place.and_then(|(start, size)| body.get(start..start.checked_add(size)?)).unwrap_or_default()
}

/// Returns the bytes of a value of a fixed size.
fn width(data_type: &DataType) -> i64 {
    match data_type {
        DataType::FixedSizeBinary(width) => i64::from(*width),
        DataType::Dictionary(keys, _) => width(keys),
        other => other.primitive_width().and_then(|width| i64::try_from(width).ok()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests;
