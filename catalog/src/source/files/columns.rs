//! The notation of a port's columns in its files: names, types, and the ways in which values are written.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields};

use crate::logical_type::type_of_text;
use crate::model::FileFormat;
use crate::odcs::{Property, ReadContract, wrong};
use crate::text_format::{ColumnFormat, TimePattern};
use crate::yaml::Step;
use crate::{Diagnostic, Place};

use super::decimal_type::decimal_type;
use super::settings::{FileSettings, Level, ValueSettings};
use super::time_pattern::time_pattern;

/// The names of the time zone in which the node reads times without an offset.
const UTC: [&str; 5] = ["UTC", "Etc/UTC", "Z", "GMT", "Etc/GMT"];

/// Finds the notation of the columns of `read.contract.schema[object]`.
pub(super) struct Columns<'a> {
    pub(super) read: &'a ReadContract,
    pub(super) object: usize,
    pub(super) format: FileFormat,
    /// The settings of the server and of the whole contract.
    pub(super) shared: &'a ValueSettings,
}

impl Columns<'_> {
    /// Returns the notation of each column, by the column's name in SQL. Adds everything that the node cannot read as
    /// the contract says to `errors`.
    pub(super) fn formats(&self, errors: &mut Vec<Diagnostic>) -> BTreeMap<String, ColumnFormat> {
        let mut formats = BTreeMap::new();
        let mut in_files: HashMap<String, &str> = HashMap::new();
        for (i, property) in self.read.contract.schema[self.object].columns() {
            let format = self.format_of(i, property, errors);
            let name = format.name_in_file.as_deref().unwrap_or(&property.name).to_owned();
            match in_files.get(name.as_str()) {
                // Two columns of one name in SQL are reported elsewhere.
                Some(other) if *other != property.name => {
                    let message = format!("the column `{other}` has the name `{name}` in the files, too");
                    errors.push(wrong(self.place(i, &["physicalName"]), message));
                }
                _ => {
                    in_files.insert(name, &property.name);
                }
            }
            formats.insert(property.name.clone(), format);
        }
        formats
    }

    fn format_of(&self, i: usize, property: &Property, errors: &mut Vec<Diagnostic>) -> ColumnFormat {
        let level = Level::new(self.read, &property.custom_properties, self.steps(i, &[]));
        let own = FileSettings::read(&level, errors);
        own.check_format(self.format, errors);
        let values = own.values.or(self.shared.clone());
        let mut format = ColumnFormat {
            name_in_file: property.other_name().map(str::to_owned),
            data_type: None,
            null_values: values.null_values,
            true_values: values.true_values,
            false_values: values.false_values,
            has_decimal_comma: values.has_decimal_comma.unwrap_or_default(),
            thousands_separator: values.thousands_separator.flatten(),
            pattern: None,
        };
        let mut faults = vec![];
        format.data_type = data_type(property).unwrap_or_else(|message| {
            faults.push((vec!["physicalType"], message));
            None
        });
        format.pattern = pattern(property).unwrap_or_else(|message| {
            faults.push((vec!["logicalTypeOptions", "format"], message));
            None
        });
        if let Some(zone) = foreign_zone(property) {
            faults.push((vec!["logicalTypeOptions", "defaultTimezone"], foreign_zone_message(zone)));
        }
        if let Some(message) = nested_in_csv(self.format, property) {
            faults.push((vec!["logicalType"], message));
        }
        faults.extend(ambiguity(&format).map(|message| (vec![], message)));
        // Other formats have types of their own, which the node compares with the contract.
        let is_text = matches!(self.format, FileFormat::Csv | FileFormat::Json);
        if is_text {
            errors.extend(faults.into_iter().map(|(keys, message)| wrong(self.place(i, &keys), message)));
        }
        let unsupported = unsupported_within(property, is_text);
        errors.extend(unsupported.map(|message| wrong(self.place(i, &[]), message)));
        format
    }

    fn steps(&self, i: usize, keys: &[&str]) -> Vec<Step> {
        let column: [Step; 4] = ["schema".into(), self.object.into(), "properties".into(), i.into()];
        column.into_iter().chain(keys.iter().map(|key| Step::from(*key))).collect()
    }

    fn place(&self, i: usize, keys: &[&str]) -> Place {
        self.read.document.place(&self.steps(i, keys))
    }
}

/// Returns the type of a column, if the contract says more about it than the logical type.
///
/// # Errors
/// A decimal type that the node does not have, or that does not fit the logical type.
fn data_type(property: &Property) -> Result<Option<DataType>, String> {
    match property.logical_type.as_deref() {
        Some("object" | "array" | "map") => Ok(nested_type(property)),
        _ => decimal_of(property),
    }
}

/// Returns the decimal type of a column, if the contract declares one.
///
/// # Errors
/// A decimal type that the node does not have, or that does not fit the logical type.
pub(in crate::source) fn decimal_of(property: &Property) -> Result<Option<DataType>, String> {
    let logical_type = property.logical_type.as_deref();
    let Some(physical_type) = &property.physical_type else { return Ok(None) };
    if !matches!(logical_type, None | Some("number" | "integer")) {
        return Ok(None);
    }
    let decimal = decimal_type(physical_type)?;
    match decimal {
        Some(DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale))
            if scale != 0 && logical_type == Some("integer") =>
        {
            Err(format!("an integer has no fraction, and the type has {scale} digits of one"))
        }
        decimal => Ok(decimal),
    }
}

/// Returns the type of a nested column. `None` if the contract does not declare all of its parts: the node then infers
/// the type from the data.
fn nested_type(property: &Property) -> Option<DataType> {
    let part = |part: &Property| match part.logical_type.as_deref()? {
        "object" | "array" | "map" => nested_type(part),
        logical_type => data_type(part).ok()?.or_else(|| type_of_text(logical_type)),
    };
    match property.logical_type.as_deref()? {
        "object" if !property.properties.is_empty() => {
            let field = |child: &Property| Some(Field::new(&child.name, part(child)?, true));
            let fields: Option<Vec<Field>> = property.properties.iter().map(field).collect();
            Some(DataType::Struct(Fields::from(fields?)))
        }
        "array" => {
            let items = part(property.items.as_deref()?)?;
            Some(DataType::List(Arc::new(Field::new_list_field(items, true))))
        }
        "map" => {
            let parts = property.map.as_ref()?;
            let key = parts.key.logical_type.as_deref();
            let value = part(&parts.value)?;
            let fields = vec![Field::new("key", DataType::Utf8, false), Field::new("value", value, true)];
            let entries = Field::new("entries", DataType::Struct(Fields::from(fields)), false);
            (key == Some("string")).then(|| DataType::Map(Arc::new(entries), false))
        }
        _ => None,
    }
}

/// Returns the pattern of a column of dates, times or timestamps.
fn pattern(property: &Property) -> Result<Option<TimePattern>, String> {
    let format = property.logical_type_options.as_ref().and_then(|options| options.format.as_deref());
    match (property.logical_type.as_deref(), format) {
        (Some(logical_type @ ("date" | "timestamp" | "time")), Some(format)) => {
            time_pattern(logical_type, format).map(Some)
        }
        _ => Ok(None),
    }
}

fn foreign_zone(property: &Property) -> Option<&str> {
    let zone = property.logical_type_options.as_ref()?.default_timezone.as_deref()?;
    (!UTC.contains(&zone)).then_some(zone)
}

fn foreign_zone_message(zone: &str) -> String {
    format!("times are read as they are written, or in UTC; `{zone}` is not supported")
}

/// Returns the reason why CSV cannot hold a column.
fn nested_in_csv(format: FileFormat, property: &Property) -> Option<String> {
    let logical_type = property.logical_type.as_deref()?;
    let is_nested = matches!(logical_type, "object" | "array" | "map" | "vector");
    (is_nested && format == FileFormat::Csv)
        .then(|| format!("CSV holds no column of type `{logical_type}`: declare it as `string`"))
}

/// Returns the reason why values of a column could be read in two ways.
fn ambiguity(format: &ColumnFormat) -> Option<String> {
    let decimal = if format.has_decimal_comma { ',' } else { '.' };
    if format.thousands_separator == Some(decimal) {
        return Some(format!("`{decimal}` separates both thousands and the fraction: choose another character"));
    }
    let default = |words: &Option<Vec<String>>, word: &str| words.clone().unwrap_or_else(|| vec![word.to_owned()]);
    let (yes, no) = (default(&format.true_values, "true"), default(&format.false_values, "false"));
    let both = yes.iter().find(|word| no.iter().any(|other| other.eq_ignore_ascii_case(word)))?;
    Some(format!("`{both}` stands for both true and false"))
}

/// Returns the reason why a part of a nested column cannot be read as the contract says. `is_text` is true for formats
/// without types of their own.
fn unsupported_within(property: &Property, is_text: bool) -> Option<String> {
    let parts = property.properties.iter().chain(property.items.as_deref());
    let mut parts = parts.chain(property.map.iter().flat_map(|map| [map.key.as_ref(), map.value.as_ref()]));
    parts.find_map(|part| {
        if part.other_name().is_some() && !part.name.is_empty() {
            return Some(format!("`{}` has another `physicalName`, which only whole columns can have", part.name));
        }
        if is_text && !matches!(pattern(part), Ok(None)) {
            return Some("a part of the column has a `format`, which only whole columns can have".to_owned());
        }
        // Without these, the node would infer the type of the whole column, or read other times.
        if is_text && let Err(message) = data_type(part) {
            return Some(format!("a part of the column: {message}"));
        }
        if is_text && let Some(zone) = foreign_zone(part) {
            return Some(foreign_zone_message(zone));
        }
        unsupported_within(part, is_text)
    })
}
