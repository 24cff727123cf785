//! The custom properties that describe files: of a contract, of one of its servers, or of one column.

use crate::model::FileFormat;
use crate::odcs::{CustomProperty, KEYS, PROCESSED_AT, ReadContract, wrong};
use crate::source::{PREFIX, unknown_setting};
use crate::text_format::TextFormat;
use crate::yaml::Step;
use crate::{Diagnostic, Place};

const HEADER: &str = "portolan.header";
const DELIMITER: &str = "portolan.delimiter";
const QUOTE: &str = "portolan.quote";
const ESCAPE: &str = "portolan.escape";
const COMMENT: &str = "portolan.comment";
const ALLOW_SHORT_ROWS: &str = "portolan.allowShortRows";
const ALLOW_LONG_ROWS: &str = "portolan.allowLongRows";
const NULL_VALUES: &str = "portolan.nullValues";
const TRUE_VALUES: &str = "portolan.trueValues";
const FALSE_VALUES: &str = "portolan.falseValues";
const DECIMAL_SEPARATOR: &str = "portolan.decimalSeparator";
const THOUSANDS_SEPARATOR: &str = "portolan.thousandsSeparator";
const PARTITION_COLUMNS: &str = "portolan.partitionColumns";

/// The custom properties that describe files.
pub(crate) const SETTINGS: [&str; 13] = [
    HEADER,
    DELIMITER,
    QUOTE,
    ESCAPE,
    COMMENT,
    ALLOW_SHORT_ROWS,
    ALLOW_LONG_ROWS,
    NULL_VALUES,
    TRUE_VALUES,
    FALSE_VALUES,
    DECIMAL_SEPARATOR,
    THOUSANDS_SEPARATOR,
    PARTITION_COLUMNS,
];

/// Those that a single column can have.
pub(crate) const COLUMN_SETTINGS: [&str; 5] =
    [NULL_VALUES, TRUE_VALUES, FALSE_VALUES, DECIMAL_SEPARATOR, THOUSANDS_SEPARATOR];

/// Those that have a meaning in CSV only.
const CSV_SETTINGS: [&str; 7] = [HEADER, DELIMITER, QUOTE, ESCAPE, COMMENT, ALLOW_SHORT_ROWS, ALLOW_LONG_ROWS];

const CHARACTER: &str = "expected a single ASCII character, or `tab`";
const WORDS: &str = "expected a list of strings: put `\"NULL\"`, numbers and `\"true\"` in quotes";

/// The custom properties at one level of the contract.
pub(super) struct Level<'a> {
    read: &'a ReadContract,
    properties: &'a [CustomProperty],
    /// The path of the object that has them.
    parent: Vec<Step>,
}

/// The settings at one level of the contract.
#[derive(Default)]
pub(super) struct FileSettings {
    pub(super) header: Option<bool>,
    pub(super) delimiter: Option<u8>,
    /// The outer `None` stands for no setting, the inner one for no quotes.
    quote: Option<Option<u8>>,
    escape: Option<u8>,
    comment: Option<u8>,
    allows_short_rows: Option<bool>,
    allows_long_rows: Option<bool>,
    pub(super) partition_columns: Option<(Vec<String>, Place)>,
    pub(super) values: ValueSettings,
    /// The settings with valid values, and their places.
    places: Vec<(String, Place)>,
}

/// The settings that describe how values are written.
#[derive(Clone, Default)]
pub(super) struct ValueSettings {
    pub(super) null_values: Option<Vec<String>>,
    pub(super) true_values: Option<Vec<String>>,
    pub(super) false_values: Option<Vec<String>>,
    pub(super) has_decimal_comma: Option<bool>,
    /// The outer `None` stands for no setting, the inner one for no separator.
    pub(super) thousands_separator: Option<Option<char>>,
}

impl<'a> Level<'a> {
    pub(super) fn new(read: &'a ReadContract, properties: &'a [CustomProperty], parent: Vec<Step>) -> Self {
        Self { read, properties, parent }
    }

    fn place(&self, index: usize, key: &str) -> Place {
        let own: [Step; 3] = ["customProperties".into(), index.into(), key.into()];
        let steps: Vec<Step> = self.parent.iter().cloned().chain(own).collect();
        self.read.document.place(&steps)
    }
}

impl FileSettings {
    /// Reads the settings at one level.
    pub(super) fn read(level: &Level<'_>, errors: &mut Vec<Diagnostic>) -> Self {
        let mut settings = Self::default();
        for (i, CustomProperty { property, value }) in level.properties.iter().enumerate() {
            // The places of these two are checked with the whole contract.
            let is_residency = property == KEYS || property == PROCESSED_AT;
            if !property.starts_with(PREFIX) || is_residency {
                continue;
            }
            let place = level.place(i, "value");
            match settings.set(property, value, &place) {
                Some(Ok(())) => settings.places.push((property.clone(), place)),
                Some(Err(expected)) => errors.push(wrong(place, expected)),
                None => errors.push(unknown_setting(property, level.place(i, "property"))),
            }
        }
        settings
    }

    /// Sets one value. Returns `None` if there is no setting of that name.
    fn set(&mut self, name: &str, value: &serde_json::Value, place: &Place) -> Option<Result<(), &'static str>> {
        let set = match name {
            HEADER => {
                put(&mut self.header, value.as_bool(), "expected a boolean: whether the first line names the columns")
            }
            DELIMITER => put(&mut self.delimiter, value.as_str().and_then(|v| delimiter(v).ok()), CHARACTER),
            QUOTE => put(&mut self.quote, quote(value), "expected a single ASCII character, or `none`"),
            ESCAPE => put(&mut self.escape, character(value), CHARACTER),
            COMMENT => put(&mut self.comment, character(value), CHARACTER),
            ALLOW_SHORT_ROWS => put(&mut self.allows_short_rows, value.as_bool(), "expected a boolean"),
            ALLOW_LONG_ROWS => put(&mut self.allows_long_rows, value.as_bool(), "expected a boolean"),
            PARTITION_COLUMNS => {
                let names = strings(value).map(|names| (names, place.clone()));
                put(&mut self.partition_columns, names, "expected a list of column names, outermost first")
            }
            _ => return self.values.set(name, value),
        };
        Some(set)
    }

    /// Rejects the settings of a format that the server does not have.
    pub(super) fn check_format(&self, format: FileFormat, errors: &mut Vec<Diagnostic>) {
        for (name, place) in &self.places {
            let what = match format {
                FileFormat::Csv => continue,
                _ if CSV_SETTINGS.contains(&name.as_str()) => "format `csv`",
                FileFormat::Parquet | FileFormat::Arrow if COLUMN_SETTINGS.contains(&name.as_str()) => {
                    "formats `csv` and `json`"
                }
                _ => continue,
            };
            errors.push(wrong(place.clone(), format!("`{name}` goes with the {what} only")));
        }
    }

    /// Rejects two characters of CSV that are the same. `place` is that of the server.
    pub(super) fn check_characters(&self, delimiter: Option<u8>, place: &Place, errors: &mut Vec<Diagnostic>) {
        let quote = self.quote.unwrap_or(Some(b'"'));
        let escape = self.escape.filter(|escape| Some(*escape) != quote);
        let own = [
            ("delimiter", Some(delimiter.unwrap_or(b','))),
            ("quote", quote),
            ("comment", self.comment),
            ("escape", escape),
        ];
        for (i, (name, character)) in own.iter().enumerate() {
            let same = own[..i].iter().find(|(_, other)| character.is_some() && other == character);
            if let (Some((other, _)), Some(character)) = (same, character) {
                let message = format!("`{}` is the {other} and the {name}: choose another one", char::from(*character));
                errors.push(wrong(place.clone(), message));
            }
        }
        if let Some(escape) = self.escape.filter(|escape| Some(*escape) == quote || quote.is_none()) {
            let message = match quote {
                Some(_) => "a doubled quote stands for a quote in any case: leave `portolan.escape` out".to_owned(),
                None => format!("`{}` can escape quotes only, and `portolan.quote` is `none`", char::from(escape)),
            };
            errors.push(wrong(place.clone(), message));
        }
    }

    /// Returns these settings, and those of `outer` that are not among them.
    pub(super) fn or(self, outer: Self) -> Self {
        Self {
            header: self.header.or(outer.header),
            delimiter: self.delimiter.or(outer.delimiter),
            quote: self.quote.or(outer.quote),
            escape: self.escape.or(outer.escape),
            comment: self.comment.or(outer.comment),
            allows_short_rows: self.allows_short_rows.or(outer.allows_short_rows),
            allows_long_rows: self.allows_long_rows.or(outer.allows_long_rows),
            partition_columns: self.partition_columns.or(outer.partition_columns),
            values: self.values.or(outer.values),
            places: self.places,
        }
    }

    /// Returns the notation of text.
    pub(super) fn text(&self, encoding: Option<String>) -> TextFormat {
        TextFormat {
            encoding,
            quote: self.quote.unwrap_or(Some(b'"')),
            escape: self.escape,
            comment: self.comment,
            allows_short_rows: self.allows_short_rows.unwrap_or_default(),
            allows_long_rows: self.allows_long_rows.unwrap_or_default(),
        }
    }
}

impl ValueSettings {
    /// Sets one value. Returns `None` if there is no setting of that name.
    fn set(&mut self, name: &str, value: &serde_json::Value) -> Option<Result<(), &'static str>> {
        Some(match name {
            NULL_VALUES => put(&mut self.null_values, strings(value), WORDS),
            TRUE_VALUES => put(&mut self.true_values, strings(value), WORDS),
            FALSE_VALUES => put(&mut self.false_values, strings(value), WORDS),
            DECIMAL_SEPARATOR => {
                let is_comma = match value.as_str() {
                    Some(".") => Some(false),
                    Some(",") => Some(true),
                    _ => None,
                };
                put(&mut self.has_decimal_comma, is_comma, "expected `.` or `,`")
            }
            THOUSANDS_SEPARATOR => put(
                &mut self.thousands_separator,
                separator(value),
                "expected a single character that no number has, or `none`",
            ),
            _ => return None,
        })
    }

    /// Returns these settings, and those of `outer` that are not among them.
    pub(super) fn or(self, outer: Self) -> Self {
        Self {
            null_values: self.null_values.or(outer.null_values),
            true_values: self.true_values.or(outer.true_values),
            false_values: self.false_values.or(outer.false_values),
            has_decimal_comma: self.has_decimal_comma.or(outer.has_decimal_comma),
            thousands_separator: self.thousands_separator.or(outer.thousands_separator),
        }
    }
}

fn put<T>(place: &mut Option<T>, value: Option<T>, expected: &'static str) -> Result<(), &'static str> {
    *place = value;
    if place.is_some() { Ok(()) } else { Err(expected) }
}

/// Parses a delimiter.
///
/// # Errors
/// The reason why the text is none.
pub(super) fn delimiter(text: &str) -> Result<u8, String> {
    match (text, text.as_bytes()) {
        ("tab" | "\\t", _) => Ok(b'\t'),
        (_, [b'\n' | b'\r' | b'"', ..]) => Err("a line break or a quote cannot separate values".into()),
        (_, [byte]) if byte.is_ascii() => Ok(*byte),
        _ => Err("expected a single ASCII character, or `tab`".into()),
    }
}

fn character(value: &serde_json::Value) -> Option<u8> {
    match value.as_str()?.as_bytes() {
        b"tab" => Some(b'\t'),
        [byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r') => Some(*byte),
        _ => None,
    }
}

/// Returns a quote, or `Some(None)` for `none`.
fn quote(value: &serde_json::Value) -> Option<Option<u8>> {
    if value.as_str() == Some("none") { Some(None) } else { character(value).map(Some) }
}

/// Returns a separator of thousands, or `Some(None)` for `none`.
fn separator(value: &serde_json::Value) -> Option<Option<char>> {
    let mut characters = value.as_str()?.chars();
    match (characters.next(), characters.next()) {
        (Some(c), None) if !c.is_alphanumeric() && !c.is_control() && !matches!(c, '+' | '-') => Some(Some(c)),
        _ => (value.as_str() == Some("none")).then_some(None),
    }
}

fn strings(value: &serde_json::Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|v| v.as_str().map(str::to_owned)).collect()
}
