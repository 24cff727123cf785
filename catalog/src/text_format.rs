//! The notation of CSV and JSON files: the way in which they write records and values, as a contract declares it.

use arrow_schema::DataType;

/// The notation of text files as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextFormat {
    /// The name of the character encoding, as the WHATWG standard spells it. `None` stands for UTF-8, or for the
    /// encoding that the byte order mark of a file names.
    pub encoding: Option<String>,
    /// CSV: the character around values with delimiters or line breaks. `None` if no value has quotes.
    pub quote: Option<u8>,
    /// CSV: the character before a quote within quotes. A doubled quote always stands for a quote.
    pub escape: Option<u8>,
    /// CSV: the first character of lines that are not records.
    pub comment: Option<u8>,
    /// CSV: true if a record may have fewer values than the header. The missing values are NULL.
    pub allows_short_rows: bool,
    /// CSV: true if a record may have more values than the header. The values without a column are ignored.
    pub allows_long_rows: bool,
}

impl Default for TextFormat {
    fn default() -> Self {
        Self {
            encoding: None,
            quote: Some(b'"'),
            escape: None,
            comment: None,
            allows_short_rows: false,
            allows_long_rows: false,
        }
    }
}

/// The notation of one column in files.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ColumnFormat {
    /// The name of the column in the files, if it differs from the name in SQL.
    pub name_in_file: Option<String>,
    /// The type as which text is read, if the contract says more about it than the `logicalType`.
    pub data_type: Option<DataType>,
    /// The strings that stand for NULL. `None` stands for the empty string in CSV, and for no string in JSON.
    pub null_values: Option<Vec<String>>,
    /// The strings that stand for true. `None` stands for `true`.
    pub true_values: Option<Vec<String>>,
    /// The strings that stand for false. `None` stands for `false`.
    pub false_values: Option<Vec<String>>,
    /// True if a comma separates the fraction of a number, and not a point.
    pub has_decimal_comma: bool,
    /// The character between groups of three digits.
    pub thousands_separator: Option<char>,
    /// The pattern of dates, times or timestamps. `None` stands for ISO 8601.
    pub pattern: Option<TimePattern>,
}

/// A pattern of dates, times or timestamps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimePattern {
    /// The pattern in the notation of the contract, which is that of JDK's `DateTimeFormatter`.
    pub text: String,
    /// The same pattern as a format description of the `time` crate, version 2.
    pub description: String,
    /// True if the pattern has a time of day.
    pub has_time: bool,
}
