//! Matches the columns that a contract declares with the columns of the files and of the folders' names. Finds the type
//! of each column, and reports the columns that do not fit.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use portolan_catalog::logical_type::{fits, type_of_text};
use portolan_catalog::nearest::nearest;
use portolan_catalog::{Column, Diagnostic, Diagnostics, FileFormat, Place, Port, PortSource};

use super::format::Encoding;

/// The columns of a port, and the origin of each column.
///
/// Every column may be NULL, also if the contract says `required`. The node does not check each value, and a plan that
/// relied on `required` could return wrong rows.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// The columns, in the order of the contract.
    pub(super) schema: SchemaRef,
    /// The columns that are read from the files. CSV is read by position, so these are all columns of the files.
    pub(super) file_schema: SchemaRef,
    /// The columns whose values are in the names of folders.
    pub(super) partitions: Vec<FieldRef>,
    /// The position of each column of `schema` in `file_schema` followed by `partitions`.
    pub(super) positions: Vec<usize>,
    /// True for each column of `file_schema` that the contract requires.
    pub(super) required: Vec<bool>,
}

impl Layout {
    /// Finds each declared column of `port` among `found`, the columns of the files, and `partitions`.
    ///
    /// # Errors
    /// Every column that is missing or has another type.
    pub(super) fn new(
        port: &Port,
        source: &PortSource,
        encoding: &Encoding,
        found: &Schema,
        partitions: &[String],
    ) -> Result<Self, Diagnostics> {
        let resolver = Resolver { port, source, encoding, partitions, problems: Vec::new() };
        resolver.resolve(found)
    }

    /// Returns the columns of the files that the contract requires.
    pub(super) fn required_columns(&self) -> Vec<String> {
        let columns = self.file_schema.fields().iter().zip(&self.required);
        columns.filter(|(_, is_required)| **is_required).map(|(field, _)| field.name().clone()).collect()
    }

    /// Returns the declared columns that the folders of `path` name, in the order of the folders.
    pub(super) fn partitions_in(port: &Port, path: &str) -> Vec<String> {
        let folders = path.rsplit_once('/').map_or("", |(folders, _)| folders);
        let keys = folders.split('/').filter_map(|folder| folder.split_once('=')).map(|(key, _)| key);
        let mut names: Vec<String> = Vec::new();
        for key in keys {
            if port.columns.iter().any(|c| c.name == key) && !names.iter().any(|n| n == key) {
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
    encoding: &'a Encoding,
    partitions: &'a [String],
    problems: Vec<Diagnostic>,
}

impl Resolver<'_> {
    fn resolve(mut self, found: &Schema) -> Result<Layout, Diagnostics> {
        if self.port.columns.is_empty() {
            return Err(one(&self.source.place, format!("port {} declares no columns", self.port.name)));
        }
        let found = self.name_by_position(found)?;
        let by_position = self.encoding.format == FileFormat::Csv;
        let mut file_fields: Vec<FieldRef> = Vec::new();
        if by_position {
            file_fields.extend(found.fields().iter().map(|f| self.field_in_text(f)));
            self.rename_undeclared(&mut file_fields);
        }
        let mut partitions: Vec<FieldRef> = Vec::new();
        let mut places = Vec::new();
        for column in &self.port.columns {
            if self.partitions.contains(&column.name) {
                places.push((true, partitions.len()));
                let data_type = declared_type(column).unwrap_or(DataType::Utf8);
                partitions.push(Arc::new(Field::new(&column.name, data_type, true)));
            } else if let Some(index) = self.find(column, &found) {
                if by_position {
                    places.push((false, index));
                } else {
                    places.push((false, file_fields.len()));
                    file_fields.push(self.field(column, found.field(index)));
                }
            }
        }
        if !self.problems.is_empty() {
            return Err(Diagnostics(self.problems));
        }
        let offset = file_fields.len();
        let positions: Vec<usize> = places.iter().map(|&(p, i)| if p { offset + i } else { i }).collect();
        let all: Vec<&FieldRef> = file_fields.iter().chain(&partitions).collect();
        let schema =
            Schema::new(positions.iter().filter_map(|&i| all.get(i)).map(|f| (*f).clone()).collect::<Vec<_>>());
        let is_required = |f: &FieldRef| self.port.columns.iter().any(|c| c.name == *f.name() && !c.nullable);
        let required = file_fields.iter().map(is_required).collect();
        let file_schema = Arc::new(Schema::new(file_fields));
        Ok(Layout { schema: Arc::new(schema), file_schema, partitions, positions, required })
    }

    /// Names the columns of CSV files without a header: the contract's columns, in the order of the contract.
    fn name_by_position(&self, found: &Schema) -> Result<Schema, Diagnostics> {
        if self.encoding.format != FileFormat::Csv || self.encoding.has_header {
            return Ok(Schema::new(found.fields().clone()));
        }
        let declared: Vec<&Column> = self.port.columns.iter().filter(|c| !self.partitions.contains(&c.name)).collect();
        if declared.len() != found.fields().len() {
            let message = format!(
                "the files have {} columns and the contract declares {}: without a header they are read by position, \
                 so declare every one",
                found.fields().len(),
                declared.len()
            );
            return Err(one(&self.source.place, message));
        }
        let rename = |(column, field): (&&Column, &FieldRef)| field.as_ref().clone().with_name(&column.name);
        Ok(Schema::new(declared.iter().zip(found.fields()).map(rename).collect::<Vec<_>>()))
    }

    /// Returns the position of a declared column among the columns of the files. Reports a column that is missing or
    /// not unique.
    fn find(&mut self, column: &Column, found: &Schema) -> Option<usize> {
        let mut matches = found.fields().iter().enumerate().filter(|(_, f)| *f.name() == column.name).map(|(i, _)| i);
        let first = matches.next();
        if matches.next().is_some() {
            self.report(column, format!("the source has more than one column `{}`", column.name), None);
            return None;
        }
        if first.is_none() {
            let names = found.fields().iter().map(|f| f.name().as_str());
            let suggestion = nearest(&column.name, names.chain(self.partitions.iter().map(String::as_str)));
            let message = format!("column `{}` is not in the source", column.name);
            self.report(column, message, suggestion.map(str::to_owned));
        }
        first
    }

    /// Returns the field of a CSV column. The contract decides the type of a declared column. Other columns are text.
    fn field_in_text(&mut self, found: &Field) -> FieldRef {
        let is_declared = |c: &&Column| c.name == *found.name() && !self.partitions.contains(&c.name);
        match self.port.columns.iter().find(is_declared) {
            Some(column) => self.field(column, found),
            None => Arc::new(Field::new(found.name(), DataType::Utf8, true)),
        }
    }

    /// Gives columns that the contract does not declare names of their own. A file may have such a name twice, or use
    /// the name of a folder. The columns are found by position, not by name.
    fn rename_undeclared(&self, fields: &mut [FieldRef]) {
        let mut taken: Vec<String> = self.port.columns.iter().map(|c| c.name.clone()).collect();
        for (i, field) in fields.iter_mut().enumerate() {
            let is_declared = taken[..self.port.columns.len()].contains(field.name());
            if is_declared && !self.partitions.contains(field.name()) {
                continue;
            }
            let mut name = field.name().clone();
            while taken.contains(&name) {
                name = format!("{name} ({i})");
            }
            *field = Arc::new(field.as_ref().clone().with_name(&name));
            taken.push(name);
        }
    }

    /// Returns the field of a declared column. Reports a column of another type.
    fn field(&mut self, column: &Column, found: &Field) -> FieldRef {
        let real = found.data_type();
        let data_type = if self.encoding.is_text() {
            // Our reader of JSON accepts `2.0` as an integer, and checks each value. Arrow's reader of CSV accepts
            // none.
            let has_fractions = matches!((declared_type(column), real), (Some(DataType::Int64), DataType::Float64));
            if has_fractions && self.encoding.format == FileFormat::Csv {
                self.report(column, format!("column `{}` is integer here and has fractions", column.name), None);
            }
            match declared_type(column) {
                Some(declared) => declared,
                None if *real == DataType::Null => DataType::Utf8,
                None => real.clone(),
            }
        } else {
            if let Some(logical) = &column.logical_type
                && !fits(logical, real)
            {
                self.report(
                    column,
                    format!("column `{}` is {logical} here and {real} in the source", column.name),
                    None,
                );
            }
            real.clone()
        };
        Arc::new(Field::new(&column.name, data_type, true))
    }

    fn report(&mut self, column: &Column, message: String, suggestion: Option<String>) {
        let place = self.source.declared_at.get(&column.name).unwrap_or(&self.source.place).clone();
        self.problems.push(Diagnostic { place, message, suggestion });
    }
}

/// Returns a single diagnostic.
pub(super) fn one(place: &Place, message: String) -> Diagnostics {
    Diagnostics(vec![Diagnostic { place: place.clone(), message, suggestion: None }])
}

/// Returns the type as which text is read, if the contract decides it.
pub(super) fn declared_type(column: &Column) -> Option<DataType> {
    type_of_text(column.logical_type.as_deref()?)
}
