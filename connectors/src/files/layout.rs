//! Matches the columns that a contract declares with the columns of the files and of the folders' names. Finds the type
//! of each column, and reports the columns that do not fit.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use portolan_catalog::logical_type::{declared_type, fits};
use portolan_catalog::nearest::nearest;
use portolan_catalog::{Column, Diagnostic, Diagnostics, FileFormat, FileSource, Port, PortSource};

use super::format::Encoding;
use crate::data_fault::shown;

/// Delimiters of CSV that a header may have instead of the declared one.
const DELIMITERS: [(char, &str); 4] = [(';', ";"), (',', ","), ('\t', "tab"), ('|', "|")];

/// The columns of a port, and the origin of each column.
///
/// Every column may be NULL, also if the contract says `required`. The node does not check each value, and a plan that
/// relied on `required` could return wrong rows.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// The columns, in the order of the contract.
    pub(super) schema: SchemaRef,
    /// The columns that are read from the files, with their names in the files.
    pub(super) file_schema: SchemaRef,
    /// The columns whose values are in the names of folders, with their names there.
    pub(super) partitions: Vec<FieldRef>,
    /// The position of each column of `schema` in `file_schema` followed by `partitions`.
    pub(super) positions: Vec<usize>,
    /// True for each column of `file_schema` that the contract requires.
    pub(super) required: Vec<bool>,
}

impl Layout {
    /// Finds each declared column of `port` among `found`, the columns of the files, and `partitions`, the names in
    /// folders.
    ///
    /// # Errors
    /// Every column that is missing or has another type.
    pub(super) fn new(
        port: &Port,
        (source, files): (&PortSource, &FileSource),
        encoding: &Encoding,
        found: &Schema,
        partitions: &[String],
    ) -> Result<Self, Diagnostics> {
        let resolver = Resolver { port, source, files, encoding, partitions, problems: Vec::new() };
        resolver.resolve(found)
    }

    /// Returns the columns of the files that the contract requires.
    pub(super) fn required_columns(&self) -> Vec<String> {
        let columns = self.file_schema.fields().iter().zip(&self.required);
        columns.filter(|(_, is_required)| **is_required).map(|(field, _)| field.name().clone()).collect()
    }

    /// Returns the columns whose values are in the names of folders, with their names in SQL.
    pub(super) fn partition_columns(&self) -> Vec<FieldRef> {
        let offset = self.file_schema.fields().len();
        let in_sql = |position: usize| {
            let column = self.positions.iter().position(|p| *p == position)?;
            self.schema.fields().get(column).cloned()
        };
        (offset..offset + self.partitions.len()).filter_map(in_sql).collect()
    }

    /// Returns the names in the folders of `path` that stand for declared columns, in the order of the folders.
    pub(super) fn partitions_in(port: &Port, files: &FileSource, path: &str) -> Vec<String> {
        let folders = path.rsplit_once('/').map_or("", |(folders, _)| folders);
        let keys = folders.split('/').filter_map(|folder| folder.split_once('=')).map(|(key, _)| key);
        let mut names: Vec<String> = Vec::new();
        for key in keys {
            let is_declared = port.columns.iter().any(|c| files.name_in_file(&c.name) == key);
            if is_declared && !names.iter().any(|n| n == key) {
                names.push(key.to_owned());
            }
        }
        names
    }
}

/// Finds the columns of a port, and collects the problems.
struct Resolver<'a> {
    port: &'a Port,
    source: &'a PortSource,
    files: &'a FileSource,
    encoding: &'a Encoding,
    partitions: &'a [String],
    problems: Vec<Diagnostic>,
}

impl Resolver<'_> {
    fn resolve(mut self, found: &Schema) -> Result<Layout, Diagnostics> {
        if self.port.columns.is_empty() {
            let message = format!("port {} declares no columns", self.port.name);
            return Err(Diagnostics::one(self.source.place.clone(), message));
        }
        let found = self.name_by_position(found)?;
        let (mut file_fields, mut partitions, mut required): (Vec<FieldRef>, Vec<FieldRef>, Vec<bool>) =
            Default::default();
        let (mut places, mut fields) = (Vec::new(), Vec::new());
        for column in &self.port.columns {
            let name = self.files.name_in_file(&column.name);
            let data_type = if self.partitions.iter().any(|p| p == name) {
                let data_type = self.declared_type(column).unwrap_or(DataType::Utf8);
                places.push((true, partitions.len()));
                partitions.push(Arc::new(Field::new(name, data_type.clone(), true)));
                data_type
            } else if let Some(index) = self.find(column, name, &found) {
                let data_type = self.data_type(column, found.field(index).data_type());
                places.push((false, file_fields.len()));
                file_fields.push(Arc::new(Field::new(name, data_type.clone(), true)));
                required.push(!column.nullable);
                data_type
            } else {
                continue;
            };
            fields.push(Field::new(&column.name, data_type, true));
        }
        if !self.problems.is_empty() {
            return Err(Diagnostics(self.problems));
        }
        let offset = file_fields.len();
        let positions = places.iter().map(|&(p, i)| if p { offset + i } else { i }).collect();
        let file_schema = Arc::new(Schema::new(file_fields));
        Ok(Layout { schema: Arc::new(Schema::new(fields)), file_schema, partitions, positions, required })
    }

    /// Names the columns of CSV files without a header: the contract's columns, in the order of the contract.
    fn name_by_position(&self, found: &Schema) -> Result<Schema, Diagnostics> {
        if self.encoding.format != FileFormat::Csv || self.encoding.has_header {
            return Ok(Schema::new(found.fields().clone()));
        }
        let names = self.port.columns.iter().map(|c| self.files.name_in_file(&c.name));
        let declared: Vec<&str> = names.filter(|name| !self.partitions.iter().any(|p| p == name)).collect();
        let (in_files, in_contract) = (found.fields().len(), declared.len());
        let text = &self.encoding.text;
        if (in_files > in_contract && !text.allows_long_rows) || (in_files < in_contract && !text.allows_short_rows) {
            let message = format!(
                "the files have {in_files} columns and the contract declares {in_contract}: without a header they are read \
                 by position, so declare every one, or set `portolan.allowLongRows` or `portolan.allowShortRows`"
            );
            return Err(Diagnostics::one(self.source.place.clone(), message));
        }
        let field = |(i, name): (usize, &&str)| {
            Field::new(*name, found.fields().get(i).map_or(DataType::Null, |f| f.data_type().clone()), true)
        };
        Ok(Schema::new(declared.iter().enumerate().map(field).collect::<Vec<_>>()))
    }

    /// Returns the position of a declared column among the columns of the files. Reports a column that is missing or
    /// not unique.
    fn find(&mut self, column: &Column, name: &str, found: &Schema) -> Option<usize> {
        let mut matches = found.fields().iter().enumerate().filter(|(_, f)| f.name() == name).map(|(i, _)| i);
        let first = matches.next();
        if matches.next().is_some() {
            self.report(column, format!("the source has more than one column `{name}`"), None);
            return None;
        }
        if first.is_none() {
            let names = found.fields().iter().map(|f| f.name().as_str());
            let suggestion = nearest(name, names.chain(self.partitions.iter().map(String::as_str)));
            let message = match name == column.name {
                true => format!("column `{name}` is not in the source"),
                false => format!("column `{name}`, the `physicalName` of `{}`, is not in the source", column.name),
            };
            let (suggestion, hint) = (suggestion.map(str::to_owned), self.delimiter_hint(found).unwrap_or_default());
            self.report(column, message + &hint, suggestion);
        }
        first
    }

    /// Returns a hint if the only column of a CSV file has another delimiter in its name.
    fn delimiter_hint(&self, found: &Schema) -> Option<String> {
        let [only] = &found.fields()[..] else { return None };
        let (_, delimiter) = DELIMITERS.iter().find(|(delimiter, _)| only.name().contains(*delimiter))?;
        (self.encoding.format == FileFormat::Csv).then(|| {
            let only = shown(only.name());
            format!(", which has the one column `{only}`: is `{delimiter}` the delimiter? `portolan.delimiter` says so")
        })
    }

    /// Returns the type of a declared column. Reports a column of another type.
    fn data_type(&mut self, column: &Column, real: &DataType) -> DataType {
        if self.encoding.is_text() {
            return match self.declared_type(column) {
                Some(declared) => declared,
                None if *real == DataType::Null => DataType::Utf8,
                None => real.clone(),
            };
        }
        if let Some(logical) = &column.logical_type
            && !fits(logical, real)
        {
            let message = format!("column `{}` is {logical} here and {real} in the source", column.name);
            self.report(column, message, None);
        }
        real.clone()
    }

    fn declared_type(&self, column: &Column) -> Option<DataType> {
        declared_type(column, Some(self.source))
    }

    fn report(&mut self, column: &Column, message: String, suggestion: Option<String>) {
        let place = self.source.declared_at.get(&column.name).unwrap_or(&self.source.place).clone();
        self.problems.push(Diagnostic { place, message, suggestion });
    }
}
