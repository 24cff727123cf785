//! The columns of a port that is being opened. The columns of its files are merged into one schema and compared with
//! the contract.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::error::DataFusionError;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectMeta;
use object_store::path::Path;
use portolan_catalog::logical_type::{declared_type, fits};
use portolan_catalog::{Column, Diagnostics, FileFormat};

use super::checked::{CheckedFiles, FileColumns};
use super::format::{Encoding, FoundColumns};
use super::guesses::{common_columns, common_guess};
use super::layout::Layout;
use super::opening::Opening;
use super::origin::is_unanswered;
use super::sample;
use super::widening::common_type;
use crate::error::Error;
use crate::panics::caught_async;
use crate::source::OpenError;

/// The largest number of files whose columns are read when a port is opened. Other files are checked when they are
/// scanned.
pub(super) const SCHEMA_FILES: usize = 10_000;

/// The number of files that are read at once.
pub(super) const CONCURRENCY: usize = 16;

/// The largest number of wrong files that an error names.
const NAMED: usize = 10;

/// The columns of a port's files.
#[derive(Debug)]
pub(super) struct Columns {
    /// The columns of all files.
    pub(super) merged: Schema,
    /// The columns of each file.
    pub(super) files: Vec<(ObjectMeta, FoundColumns)>,
    /// True if no record of JSON without a contract can have other columns.
    pub(super) are_all: bool,
}

impl Opening<'_> {
    /// Reads the columns of the files.
    pub(super) async fn columns(&self, encoding: &Encoding, all: &[ObjectMeta]) -> Result<Columns, OpenError> {
        // Text is sampled: the first file with rows shows as much as all files.
        let count = if encoding.is_text() { CONCURRENCY } else { SCHEMA_FILES };
        let files: Vec<(ObjectMeta, FoundColumns)> = stream::iter(all.iter().take(count).cloned())
            .map(|file| async move {
                let found = self.caught(&file, encoding.columns_of(&self.session, &self.store, &file)).await?;
                Ok::<_, OpenError>((file, found))
            })
            .buffered(CONCURRENCY)
            .try_collect()
            .await?;
        let mut merged = self.merge(encoding, &files)?;
        let mut are_all = true;
        match encoding.format {
            FileFormat::Json if self.origin.has_port => self.add_late_keys(encoding, &files, &mut merged).await?,
            FileFormat::Json => are_all = self.add_unsampled(encoding, all, &files, &mut merged).await?,
            _ => {}
        }
        if encoding.format == FileFormat::Csv && encoding.has_header {
            self.add_late_columns(encoding, all, &mut merged).await?;
        }
        Ok(Columns { merged, files, are_all })
    }

    /// Awaits a reading of a file. A panic of a reader is an error of the file.
    async fn caught<T>(
        &self,
        file: &ObjectMeta,
        reading: impl Future<Output = Result<T, DataFusionError>>,
    ) -> Result<T, OpenError> {
        match caught_async(reading).await {
            Ok(read) => read.map_err(|error| self.unreadable(&file.location, error)),
            Err(panic) => Err(self.wrong(owner_message(&self.origin.broken(&file.location, &panic))).into()),
        }
    }

    pub(super) fn unreadable(&self, file: &Path, error: DataFusionError) -> OpenError {
        let is_unanswered = is_unanswered(&error);
        let wrong = self.wrong(owner_message(&self.origin.unreadable(file, error)));
        if is_unanswered { OpenError::Unavailable(wrong) } else { OpenError::Faulty(wrong) }
    }

    /// Merges the columns of all files into one schema. Each column has the type that holds the values of all files.
    fn merge(&self, encoding: &Encoding, files: &[(ObjectMeta, FoundColumns)]) -> Result<Schema, Diagnostics> {
        let Some(((first_file, first), others)) = files.split_first() else { return self.declared() };
        let first = &first.schema;
        let mut merged: Vec<Field> = first.fields().iter().map(|f| f.as_ref().clone()).collect();
        for (file, FoundColumns { schema, .. }) in
            others.iter().filter(|(_, found)| found.schema.fields() != first.fields())
        {
            for field in schema.fields() {
                let Some(known) = merged.iter_mut().find(|m| m.name() == field.name()) else {
                    merged.push(field.as_ref().clone());
                    continue;
                };
                let (a, b) = (known.data_type().clone(), field.data_type());
                let common = if encoding.is_text() { Some(common_guess(&a, b)) } else { common_type(&a, b) };
                match common.filter(|common| encoding.is_text() || self.is_promised(field.name(), common)) {
                    Some(common) => known.set_data_type(common),
                    None if !self.is_declared(field.name()) => {}
                    None => {
                        let (first, file) = (self.name_of(first_file), self.name_of(file));
                        let message = format!("column `{}` is {a} in {first} and {b} in {file}", field.name());
                        return Err(self.wrong(message));
                    }
                }
            }
        }
        Ok(Schema::new(merged))
    }

    /// Returns the columns of a port that has no file yet, with their names in files: the contract alone gives their
    /// types.
    fn declared(&self) -> Result<Schema, Diagnostics> {
        let field = |column: &Column| {
            let data_type = declared_type(column, Some(self.source))?;
            Some(Field::new(self.file_source.name_in_file(&column.name), data_type, true))
        };
        let columns = self.port.columns.iter().map(|column| field(column).ok_or(column));
        columns.collect::<Result<Vec<_>, _>>().map(Schema::new).map_err(|column| {
            let message = format!(
                "there is no file yet, and the contract does not give the type of column `{}`: write a first file, or \
                 use a `logicalType` such as string, integer, number, date or timestamp",
                column.name
            );
            let place = self.source.declared_at.get(&column.name).unwrap_or(&self.source.place);
            Diagnostics::one(place.clone(), message)
        })
    }

    /// True unless the contract promises a column of another kind. `name` is that in the files.
    fn is_promised(&self, name: &str, data_type: &DataType) -> bool {
        let column = self.port.columns.iter().find(|c| self.file_source.name_in_file(&c.name) == name);
        column.and_then(|c| c.logical_type.as_deref()).is_none_or(|logical| fits(logical, data_type))
    }

    /// True if the contract declares a column. Without a contract, each column of the files counts.
    fn is_declared(&self, name: &str) -> bool {
        !self.origin.has_port || self.port.columns.iter().any(|c| self.file_source.name_in_file(&c.name) == name)
    }

    /// Adds columns of CSV that no sample has, but that the header of a later file has: the declared ones, or all
    /// without a contract.
    async fn add_late_columns(
        &self,
        encoding: &Encoding,
        all: &[ObjectMeta],
        merged: &mut Schema,
    ) -> Result<(), OpenError> {
        let in_folders =
            all.first().map(|file| Layout::partitions_in(self.port, self.file_source, file.location.as_ref()));
        let is_in_folder = |name: &str| in_folders.iter().flatten().any(|folder| folder == name);
        let names = self.port.columns.iter().map(|c| self.file_source.name_in_file(&c.name));
        let mut late: BTreeSet<&str> =
            names.filter(|name| merged.index_of(name).is_err() && !is_in_folder(name)).collect();
        let rest = all.iter().skip(CONCURRENCY).take(SCHEMA_FILES).cloned();
        let headers = stream::iter(rest)
            .map(|file| async move { self.caught(&file, encoding.names_in(&self.store, &file)).await })
            .buffered(CONCURRENCY);
        let mut headers = pin!(headers);
        let mut fields = merged.fields().to_vec();
        while (!late.is_empty() || !self.origin.has_port)
            && let Some(found) = headers.try_next().await?
        {
            let found = found.map(|found| found.schema.fields().to_vec()).unwrap_or_default();
            for field in found {
                let is_new = || fields.iter().all(|known| known.name() != field.name());
                if late.remove(field.name().as_str()) || (!self.origin.has_port && is_new()) {
                    fields.push(field);
                }
            }
        }
        *merged = Schema::new(fields);
        Ok(())
    }

    /// Adds declared columns of JSON that no sample has, but that a later record has.
    async fn add_late_keys(
        &self,
        encoding: &Encoding,
        files: &[(ObjectMeta, FoundColumns)],
        merged: &mut Schema,
    ) -> Result<(), OpenError> {
        let cut: Vec<ObjectMeta> = files.iter().filter(|(_, f)| !f.is_whole).map(|(file, _)| file.clone()).collect();
        let named = self.port.columns.iter().map(|c| (c, self.file_source.name_in_file(&c.name)));
        let late: Vec<(&str, DataType)> = named
            .filter(|(_, name)| merged.index_of(name).is_err())
            .filter_map(|(column, name)| Some((name, declared_type(column, Some(self.source))?)))
            .collect();
        if cut.is_empty() || late.is_empty() {
            return Ok(());
        }
        let sought: Vec<&str> = late.iter().map(|(name, _)| *name).collect();
        let search = sample::search(encoding, &self.store, &cut, &sought).await;
        let search = search.map_err(|(path, error)| self.unreadable(&path, error))?;
        let mut fields = merged.fields().to_vec();
        for (name, data_type) in late {
            if !search.lacking.contains(name) {
                fields.push(Field::new(name, data_type, true).into());
            } else if !search.is_whole {
                tracing::warn!(
                    port = %self.port.name,
                    "column `{name}` was not found in the searched part of the files: it is NULL in records \
                     without it"
                );
                fields.push(Field::new(name, data_type, true).into());
            }
        }
        *merged = Schema::new(fields);
        Ok(())
    }

    /// Adds the columns that JSON without a contract has after its samples. Returns true if all records were read for them.
    async fn add_unsampled(
        &self,
        encoding: &Encoding,
        all: &[ObjectMeta],
        files: &[(ObjectMeta, FoundColumns)],
        merged: &mut Schema,
    ) -> Result<bool, OpenError> {
        let cut = files.iter().filter(|(_, found)| !found.is_whole).map(|(file, _)| file.clone());
        let unsampled: Vec<ObjectMeta> = cut.chain(all.iter().skip(files.len()).cloned()).collect();
        let found = sample::columns(encoding, &self.store, &unsampled).await;
        let (found, are_all) = found.map_err(|(path, error)| self.unreadable(&path, error))?;
        *merged = common_columns(merged, &found);
        Ok(are_all)
    }

    /// Checks the columns of each file against those of the port, and logs the files that lack a column.
    pub(super) fn check(
        &self,
        encoding: &Encoding,
        layout: &Layout,
        files: Vec<(ObjectMeta, FoundColumns)>,
    ) -> Result<CheckedFiles, Diagnostics> {
        let checked = CheckedFiles::default();
        if encoding.format == FileFormat::Csv && !encoding.has_header {
            return Ok(checked);
        }
        let count = files.len();
        let mut lacking: BTreeMap<usize, (usize, String)> = BTreeMap::new();
        let mut wrong = vec![];
        for (file, found) in files {
            let name = self.name_of(&file);
            // Text without any key has no record either.
            if encoding.is_text() && found.schema.fields().is_empty() {
                continue;
            }
            match FileColumns::new(layout, &found, !encoding.is_text()) {
                Err(what) => wrong.extend(self.wrong(format!("{name}: {what}")).0),
                Ok(columns) => {
                    for column in columns.lacking() {
                        lacking.entry(column).or_insert_with(|| (0, name.clone())).0 += 1;
                    }
                    checked.put(&file, columns);
                }
            }
        }
        wrong.truncate(NAMED);
        if !wrong.is_empty() {
            return Err(Diagnostics(wrong));
        }
        for (column, (times, first)) in lacking.into_iter().filter(|_| encoding.format != FileFormat::Json) {
            let column = layout.file_schema.field(column).name();
            let first = self.origin.redact.clean(&first);
            tracing::warn!(
                port = %self.port.name,
                "column `{column}` is missing from {times} of {count} files, first from {first}: it is NULL there"
            );
        }
        Ok(checked)
    }
}

/// Returns the message of an error for the owner, with its causes.
fn owner_message(error: &DataFusionError) -> String {
    match error {
        DataFusionError::External(inner) => {
            inner.downcast_ref::<Error>().map_or_else(|| inner.to_string(), Error::owner_chain)
        }
        other => other.to_string(),
    }
}
