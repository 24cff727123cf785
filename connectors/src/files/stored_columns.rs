//! The columns that files with a schema store. DataFusion's schema inference merges columns of one name into one, and the
//! others would be lost without a word: here, all of them are found.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::buffer::Buffer;
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::ipc::reader::StreamDecoder;
use datafusion::catalog::Session;
use datafusion::datasource::file_format::FileFormat as Reader;
use datafusion::error::{DataFusionError, Result};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use super::footers::{forget_other_version, stored_names};
use crate::data_fault::DataFault;

/// The beginning of an Arrow file. Zeros fill it up to 8 bytes or, by some writers, to 64. A stream begins with its schema.
const ARROW_MAGIC: &[u8] = b"ARROW1";
const ARROW_WORD: usize = 8;
const MOST_ARROW_PREFIX: usize = 64;

/// The largest number of bytes of an Arrow file that are read for its schema.
const MOST_SCHEMA_BYTES: usize = 16 << 20;

/// Returns the columns of a Parquet file. Columns that have the name of another one come last.
pub(super) async fn of_parquet(
    reader: &dyn Reader,
    session: &dyn Session,
    store: &Arc<dyn ObjectStore>,
    file: &ObjectMeta,
) -> Result<SchemaRef> {
    let cache = session.runtime_env().cache_manager.get_file_metadata_cache();
    forget_other_version(cache.as_ref(), file);
    let inferred = reader.infer_schema(session, store, std::slice::from_ref(file)).await;
    let names = stored_names(store.as_ref(), file, cache.as_ref()).await;
    let again = names.map(|names| repeated(names.iter().map(String::as_str)));
    let (schema, again) = match (inferred, again) {
        (Ok(schema), again) => (schema, again?),
        (Err(error), Ok(again)) => {
            // Columns of one name and of several types cannot be merged.
            return Err(again.first().map_or(error, |name| several_types(name)));
        }
        (Err(error), Err(_)) => return Err(error),
    };
    if again.is_empty() {
        return Ok(schema);
    }
    let copies = again.iter().filter_map(|name| schema.field_with_name(name).ok().cloned());
    let fields: Vec<Field> = schema.fields().iter().map(|field| field.as_ref().clone()).chain(copies).collect();
    Ok(Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone())))
}

/// Returns the columns of an Arrow file or stream, in its order.
pub(super) async fn of_arrow(
    reader: &dyn Reader,
    session: &dyn Session,
    store: &Arc<dyn ObjectStore>,
    file: &ObjectMeta,
) -> Result<SchemaRef> {
    let stored = arrow_schema(store, &file.location).await?;
    match stored.filter(|schema| !repeated(schema.fields().iter().map(|field| field.name().as_str())).is_empty()) {
        Some(schema) => Ok(schema),
        None => reader.infer_schema(session, store, std::slice::from_ref(file)).await,
    }
}

/// Returns the schema at the beginning of an Arrow file or stream; `None` if there is none. The reader reports that.
async fn arrow_schema(store: &Arc<dyn ObjectStore>, path: &Path) -> Result<Option<SchemaRef>> {
    let mut chunks = store.get(path).await?.into_stream();
    let (mut decoder, mut pending, mut read) = (StreamDecoder::new(), Vec::new(), 0);
    while decoder.schema().is_none()
        && read < MOST_SCHEMA_BYTES
        && let Some(chunk) = chunks.try_next().await?
    {
        pending.extend_from_slice(&chunk);
        if pending.len() <= MOST_ARROW_PREFIX {
            continue;
        }
        let is_first = read == 0;
        read += pending.len();
        let mut bytes = Buffer::from(std::mem::take(&mut pending));
        if is_first && bytes.starts_with(ARROW_MAGIC) {
            bytes.advance(ARROW_WORD);
            while bytes.starts_with(&[0; ARROW_WORD]) {
                bytes.advance(ARROW_WORD);
            }
        }
        if decoder.decode(&mut bytes).is_err() {
            break;
        }
    }
    Ok(decoder.schema())
}

/// Returns the names that were there before, once for each time.
fn repeated<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut known = HashSet::new();
    names.filter(|name| !known.insert(*name)).map(str::to_owned).collect()
}

fn several_types(name: &str) -> DataFusionError {
    let found = format!("several columns `{name}` of different types");
    DataFusionError::External(Box::new(DataFault::of_record(None, "columns of different names", found)))
}
