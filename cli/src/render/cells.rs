//! Values as text for people. Characters that could control the terminal or mislead the reader are escapes.

use std::fmt::Write as _;

use arrow::array::AsArray;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, DurationFormat, FormatOptions};
use portolan_catalog::printable;
use unicode_width::UnicodeWidthStr;

use super::layout::{PLAN_COLUMNS, fit};

/// Values as text. NULL is a word, also within lists and structs.
const OPTIONS: FormatOptions<'static> =
    FormatOptions::new().with_display_error(false).with_null("NULL").with_duration_format(DurationFormat::Pretty);

/// Returns the values of each row.
///
/// # Errors
/// Values that cannot be shown.
pub(super) fn cells(batch: &RecordBatch) -> Result<Vec<Vec<String>>, ArrowError> {
    let formatters = formatters(batch)?;
    (0..batch.num_rows())
        .map(|row| {
            let text = |formatter: &ArrayFormatter<'_>| formatter.value(row).try_to_string();
            formatters.iter().map(|f| text(f).map(|text| printable(&text).into_owned())).collect()
        })
        .collect()
}

fn formatters(batch: &RecordBatch) -> Result<Vec<ArrayFormatter<'_>>, ArrowError> {
    batch.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &OPTIONS)).collect()
}

/// Returns each row as a block of `name │ value` lines. `first` is the number of the first row.
///
/// # Errors
/// Values that cannot be shown.
pub(super) fn blocks(batch: &RecordBatch, first: usize) -> Result<String, ArrowError> {
    let names: Vec<_> = batch.schema().fields().iter().map(|f| printable(f.name()).into_owned()).collect();
    let width = names.iter().map(|name| name.width()).max().unwrap_or(0);
    let mut text = String::new();
    for (i, row) in cells(batch)?.into_iter().enumerate() {
        let title = format!("─ row {} ", first + i);
        let _ = writeln!(text, "{title}{}", "─".repeat((width + 12).saturating_sub(title.width())));
        for (name, cell) in names.iter().zip(row) {
            let _ = writeln!(text, "{} │ {cell}", fit(name, width, false));
        }
    }
    Ok(text)
}

/// Returns the document of an EXPLAIN in JSON, Graphviz or SVG. Documents are for programs, so nothing is added to
/// them.
pub(crate) fn plan_document(batch: &RecordBatch) -> Option<String> {
    let schema = batch.schema();
    let are_plans = schema.fields().iter().map(|f| f.name().as_str()).eq(PLAN_COLUMNS);
    let [kinds, plans] = batch.columns() else { return None };
    let (kinds, plans) = (kinds.as_string_opt::<i32>()?, plans.as_string_opt::<i32>()?);
    let is_document = are_plans && batch.num_rows() == 1 && ["json", "graphviz", "svg"].contains(&kinds.value(0));
    is_document.then(|| format!("{}\n", plans.value(0).trim_end()))
}

/// Returns each row as a title and the text below it. Line breaks are kept.
///
/// # Errors
/// Values that cannot be shown.
pub(super) fn pages(batch: &RecordBatch) -> Result<String, ArrowError> {
    let formatters = formatters(batch)?;
    let mut text = String::new();
    for row in 0..batch.num_rows() {
        let [title, page] = formatters.as_slice() else { return Ok(text) };
        let _ = writeln!(text, "── {} ──", printable(&title.value(row).to_string()));
        for line in page.value(row).to_string().lines() {
            let _ = writeln!(text, "{}", printable(line));
        }
        text.push('\n');
    }
    Ok(text)
}
