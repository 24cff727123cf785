//! Uploads: rows of every type as messages, whole and broken.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, NullArray, RecordBatch, StringArray, new_null_array};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::ipc::CompressionType;
use arrow::ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions};
use arrow_flight::{FlightData, FlightDescriptor, SchemaAsIpc};
use bytes::Bytes;
use prost::Message;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use super::mutate::damaged;
use super::random;

/// The messages of an upload to `command`.
pub(super) fn upload(random: &mut StdRng, command: Bytes) -> Vec<Bytes> {
    let mut messages = messages(random);
    if random.random_bool(0.4) {
        break_order(random, &mut messages);
    }
    if random.random_bool(0.4) && !messages.is_empty() {
        let at = random.random_range(0..messages.len());
        let message = &mut messages[at];
        if random.random_bool(0.7) {
            message.data_header = damaged(random, &message.data_header);
        }
        if random.random_bool(0.4) {
            message.data_body = damaged(random, &message.data_body);
        }
    }
    let descriptor = FlightDescriptor::new_cmd(command);
    match messages.first_mut() {
        Some(first) if random.random_bool(0.7) => first.flight_descriptor = Some(descriptor),
        _ => messages.insert(0, FlightData { flight_descriptor: Some(descriptor), ..FlightData::default() }),
    }
    messages.iter().map(|message| Bytes::from(message.encode_to_vec())).collect()
}

fn break_order(random: &mut StdRng, messages: &mut Vec<FlightData>) {
    match random.random_range(0..6) {
        0 => messages.truncate(1),
        1 if !messages.is_empty() => drop(messages.remove(0)),
        2 => messages.shuffle(random),
        3 => {
            let more = messages.clone();
            messages.extend(more);
        }
        4 => messages.extend(self::messages(random)),
        _ => messages.insert(
            random.random_range(0..=messages.len()),
            FlightData { data_body: vec![7; random.random_range(0..9)].into(), ..FlightData::default() },
        ),
    }
}

fn messages(random: &mut StdRng) -> Vec<FlightData> {
    let mut batches = match random.random_range(0..10) {
        0..5 => vec![fitting(random)],
        5..8 => vec![random::batch(random)],
        8 => vec![nulls(random)],
        _ => vec![],
    };
    let schema = batches.first().map_or_else(|| Arc::new(Schema::empty()), RecordBatch::schema);
    for _ in 0..random.random_range(0..3) {
        if let Some(batch) = batches.first() {
            batches.push(batch.slice(0, random.random_range(0..=batch.num_rows())));
        }
    }
    let compression = random.random_bool(0.1).then_some(CompressionType::ZSTD);
    let options = IpcWriteOptions::default().try_with_compression(compression).unwrap();
    encoded(&schema, &batches, &options)
}

/// What the statements that are asked take as parameters or as rows.
fn fitting(random: &mut StdRng) -> RecordBatch {
    let rows = random.random_range(0..4);
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter((0..rows).map(|n| (n % 2 == 0).then_some(n))));
    let texts: ArrayRef = Arc::new(StringArray::from_iter((0..rows).map(|n| Some("%".repeat(n as usize)))));
    let mut columns = vec![("a", numbers.clone()), ("b", texts), ("c", numbers)];
    columns.truncate(random.random_range(1..4));
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

/// Rows that take no space.
fn nulls(random: &mut StdRng) -> RecordBatch {
    let rows = [0, 1, 1 << 20, 1 << 33, 1 << 40, 1 << 60, i64::MAX as usize][random.random_range(0..7)];
    let columns: Vec<(&str, ArrayRef)> = match random.random_range(0..3) {
        0 => vec![("a", Arc::new(NullArray::new(rows)))],
        1 => vec![("a", Arc::new(NullArray::new(rows))), ("b", Arc::new(NullArray::new(rows)))],
        _ => {
            let nothing = DataType::FixedSizeList(Arc::new(Field::new("item", DataType::Int8, true)), 0);
            vec![("a", new_null_array(&nothing, rows.min(1 << 20)))]
        }
    };
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

fn encoded(schema: &Schema, batches: &[RecordBatch], options: &IpcWriteOptions) -> Vec<FlightData> {
    let (generator, mut dictionaries) = (IpcDataGenerator::default(), DictionaryTracker::new(false));
    let mut messages = vec![FlightData::from(SchemaAsIpc::new(schema, options))];
    // The tracker numbers the dictionaries as the schema is written.
    let _ = generator.schema_to_bytes_with_dictionary_tracker(schema, &mut dictionaries, options);
    for batch in batches {
        let encoded = generator.encode(batch, &mut dictionaries, options, &mut IpcWriteContext::default());
        if let Ok((dictionaries, batch)) = encoded {
            messages.extend(dictionaries.into_iter().chain([batch]).map(FlightData::from));
        }
    }
    messages
}
