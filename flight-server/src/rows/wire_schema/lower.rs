//! Converts arrays to the types that clients see, at every depth. Arrow's casts do not support unions, or types whose
//! children differ in metadata or nullability.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeListArray, GenericListArray, MapArray, OffsetSizeTrait, RunArray, StructArray,
    UInt64Array, UnionArray, new_empty_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{CastOptions, cast_with_options, take};
use arrow::datatypes::{
    ArrowNativeType, DataType, FieldRef, Fields, Int16Type, Int32Type, Int64Type, RunEndIndexType, UnionFields,
};
use arrow::error::ArrowError;

/// Converts `array` to the type `to`.
///
/// # Errors
/// If a value does not fit, or the types cannot be converted.
pub(crate) fn lower(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    if array.data_type() == to {
        return Ok(array.clone());
    }
    if array.is_empty() {
        return Ok(new_empty_array(to));
    }
    match (array.data_type(), to) {
        (DataType::Utf8View, DataType::Utf8) => super::views::strings(array),
        (DataType::BinaryView, DataType::Binary) => super::views::binary(array),
        (DataType::Dictionary(..), _) => {
            let dictionary = array.as_any_dictionary();
            // The order matters: with a NULL key, run ends would return their first value.
            take(&lower(dictionary.values(), to)?, dictionary.keys(), None)
        }
        (DataType::RunEndEncoded(ends, _), _) => match ends.data_type() {
            DataType::Int16 => hydrated::<Int16Type>(array, to),
            DataType::Int32 => hydrated::<Int32Type>(array, to),
            _ => hydrated::<Int64Type>(array, to),
        },
        (DataType::ListView(item), DataType::List(_)) => lower(&cast(array, &DataType::List(item.clone()))?, to),
        (DataType::LargeListView(item), DataType::LargeList(_)) => {
            lower(&cast(array, &DataType::LargeList(item.clone()))?, to)
        }
        (DataType::List(_), DataType::List(item)) => list(array.as_list::<i32>(), item),
        (DataType::LargeList(_), DataType::LargeList(item)) => list(array.as_list::<i64>(), item),
        (DataType::FixedSizeList(_, from), DataType::FixedSizeList(item, size)) if from == size => {
            let lists = array.as_fixed_size_list();
            let values = lower(lists.values(), item.data_type())?;
            let nulls = lists.nulls().cloned();
            let lists = FixedSizeListArray::try_new_with_length(item.clone(), *size, values, nulls, lists.len())?;
            Ok(Arc::new(lists))
        }
        (DataType::Struct(from), DataType::Struct(fields)) if from.len() == fields.len() => {
            Ok(Arc::new(structs(array.as_struct(), fields)?))
        }
        (DataType::Map(..), DataType::Map(entries, sorted)) => map(array.as_map(), entries, *sorted),
        (DataType::Union(_, from), DataType::Union(fields, mode)) if from == mode => union(array.as_union(), fields),
        _ => cast(array, to),
    }
}

/// Casts an array, and fails if a value does not fit.
fn cast(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    cast_with_options(array, to, &CastOptions { safe: false, ..CastOptions::default() })
}

/// Expands a run-end encoded array to one value for each row.
fn hydrated<R: RunEndIndexType>(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    let runs: &RunArray<R> = array.as_run();
    let rows: Vec<u64> = (0..runs.len() as u64).collect();
    let places = runs.get_physical_indices(&rows)?;
    take(&lower(runs.values(), to)?, &UInt64Array::from_iter_values(places.into_iter().map(|place| place as u64)), None)
}

fn list<O: OffsetSizeTrait>(lists: &GenericListArray<O>, item: &FieldRef) -> Result<ArrayRef, ArrowError> {
    // A small slice of large lists still contains all of their values.
    let offsets = lists.offsets();
    let (first, last) = (offsets[0].as_usize(), offsets[lists.len()].as_usize());
    let values = lower(&lists.values().slice(first, last - first), item.data_type())?;
    let offsets = rebased(offsets);
    Ok(Arc::new(GenericListArray::try_new(item.clone(), offsets, values, lists.nulls().cloned())?))
}

fn rebased<O: OffsetSizeTrait>(offsets: &OffsetBuffer<O>) -> OffsetBuffer<O> {
    let first = offsets[0];
    if first.as_usize() == 0 {
        return offsets.clone();
    }
    OffsetBuffer::new(offsets.iter().map(|offset| *offset - first).collect())
}

fn structs(from: &StructArray, fields: &Fields) -> Result<StructArray, ArrowError> {
    let columns = from.columns().iter().zip(fields).map(|(c, f)| lower(c, f.data_type())).collect::<Result<_, _>>()?;
    StructArray::try_new_with_length(fields.clone(), columns, from.nulls().cloned(), from.len())
}

fn map(maps: &MapArray, entries: &FieldRef, sorted: bool) -> Result<ArrayRef, ArrowError> {
    let DataType::Struct(fields) = entries.data_type() else {
        return Err(ArrowError::CastError("the entries of a map are not structs".to_owned()));
    };
    let offsets = maps.offsets();
    let (first, last) = (offsets[0].as_usize(), offsets[maps.len()].as_usize());
    let lowered = structs(&maps.entries().slice(first, last - first), fields)?;
    Ok(Arc::new(MapArray::try_new(entries.clone(), rebased(offsets), lowered, maps.nulls().cloned(), sorted)?))
}

fn union(unions: &UnionArray, fields: &UnionFields) -> Result<ArrayRef, ArrowError> {
    let DataType::Union(from, _) = unions.data_type() else { return Err(different_members()) };
    if !from.iter().map(|(id, _)| id).eq(fields.iter().map(|(id, _)| id)) {
        return Err(different_members());
    }
    let children =
        fields.iter().map(|(id, f)| lower(unions.child(id), f.data_type())).collect::<Result<Vec<_>, _>>()?;
    let (ids, offsets) = (unions.type_ids().clone(), unions.offsets().cloned());
    Ok(Arc::new(UnionArray::try_new(fields.clone(), ids, offsets, children)?))
}

fn different_members() -> ArrowError {
    ArrowError::CastError("the members of two unions differ".to_owned())
}
