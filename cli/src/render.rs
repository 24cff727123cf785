//! Renders batches as text for people: a table, or one block for each row. Characters that could control the terminal
//! or mislead the reader are escapes.

use std::fmt::Write as _;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Schema};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use portolan_catalog::printable;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The smallest width to which a column is shrunk to fit the terminal.
const NARROWEST: usize = 6;

/// The layout of a table. The first rows fix it, so that later rows can be written as they arrive.
#[derive(Clone, Debug)]
pub struct Layout {
    names: Vec<String>,
    widths: Vec<usize>,
    right: Vec<bool>,
    /// True for plans. They are pages of text, shown unchanged below a title.
    pages: bool,
}

/// The columns of EXPLAIN.
const PLAN_COLUMNS: [&str; 2] = ["plan_type", "plan"];

impl Layout {
    /// Returns a layout that fits `rows`, and a terminal of `width` columns if there is one.
    ///
    /// # Errors
    /// Values that cannot be shown.
    pub fn new(schema: &Schema, rows: &[RecordBatch], width: Option<usize>) -> Result<Self, ArrowError> {
        let names: Vec<_> = schema.fields().iter().map(|f| printable(f.name()).into_owned()).collect();
        let pages = names == PLAN_COLUMNS;
        let mut widths: Vec<_> = names.iter().map(|name| name.width()).collect();
        for batch in rows {
            for row in cells(batch)? {
                for (width, cell) in widths.iter_mut().zip(&row) {
                    *width = (*width).max(cell.width());
                }
            }
        }
        if let Some(width) = width {
            // Each column has a space on both sides, and a line separates it from the next.
            shrink(&mut widths, width.saturating_sub(names.len() * 3));
        }
        let right = schema.fields().iter().map(|f| is_number(f.data_type())).collect();
        Ok(Self { names, widths, right, pages })
    }

    /// Returns the names of the columns and the line below them.
    pub fn head(&self) -> String {
        if self.pages {
            return String::new();
        }
        let names = self.names.iter().zip(&self.widths).map(|(name, width)| format!(" {} ", fit(name, *width, false)));
        let lines = self.widths.iter().map(|width| "─".repeat(width + 2));
        format!("{}\n{}\n", names.collect::<Vec<_>>().join("│").trim_end(), lines.collect::<Vec<_>>().join("┼"))
    }

    /// Returns the rows, one per line.
    ///
    /// # Errors
    /// Values that cannot be shown.
    pub fn rows(&self, batch: &RecordBatch) -> Result<String, ArrowError> {
        if self.pages {
            return pages(batch);
        }
        let mut text = String::new();
        for row in cells(batch)? {
            let cells =
                row.iter().enumerate().map(|(i, cell)| format!(" {} ", fit(cell, self.widths[i], self.right[i])));
            text.push_str(cells.collect::<Vec<_>>().join("│").trim_end());
            text.push('\n');
        }
        Ok(text)
    }
}

/// Returns each row as a block of `name │ value` lines. `first` is the number of the first row.
///
/// # Errors
/// Values that cannot be shown.
pub fn expanded(batch: &RecordBatch, first: usize) -> Result<String, ArrowError> {
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

fn cells(batch: &RecordBatch) -> Result<Vec<Vec<String>>, ArrowError> {
    let options = FormatOptions::default().with_display_error(false);
    let columns = batch.columns().iter().map(|c| ArrayFormatter::try_new(c.as_ref(), &options));
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    (0..batch.num_rows())
        .map(|row| {
            let cell = |(formatter, array): (&ArrayFormatter<'_>, &arrow::array::ArrayRef)| {
                if array.is_null(row) {
                    Ok("NULL".into())
                } else {
                    formatter.value(row).try_to_string().map(|text| printable(&text).into_owned())
                }
            };
            columns.iter().zip(batch.columns()).map(cell).collect()
        })
        .collect()
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
fn pages(batch: &RecordBatch) -> Result<String, ArrowError> {
    let options = FormatOptions::default();
    let formatters =
        batch.columns().iter().map(|c| ArrayFormatter::try_new(c.as_ref(), &options)).collect::<Result<Vec<_>, _>>()?;
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

fn is_number(data_type: &DataType) -> bool {
    data_type.is_numeric()
}

/// Shrinks the widest columns until all fit, but not below [`NARROWEST`].
fn shrink(widths: &mut [usize], room: usize) {
    while widths.iter().sum::<usize>() > room {
        let Some(widest) = widths.iter_mut().max() else { return };
        if *widest <= NARROWEST {
            return;
        }
        *widest -= 1;
    }
}

/// Returns the text in a field of `width` columns, cut or padded.
pub(crate) fn fit(text: &str, width: usize, right: bool) -> String {
    let taken = text.width();
    if taken <= width {
        let space = " ".repeat(width - taken);
        return if right { format!("{space}{text}") } else { format!("{text}{space}") };
    }
    let (mut kept, mut left) = (String::new(), width.saturating_sub(1));
    for c in text.chars() {
        let wide = c.width().unwrap_or(0);
        if wide > left {
            break;
        }
        left -= wide;
        kept.push(c);
    }
    kept.push('…');
    kept.push_str(&" ".repeat(left));
    kept
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    fn batch() -> RecordBatch {
        let name: ArrayRef = Arc::new(StringArray::from(vec![Some("Ärmel"), None, Some("a\u{1b}[31m\nb")]));
        let count: ArrayRef = Arc::new(Int64Array::from(vec![7, 1234, 0]));
        RecordBatch::try_from_iter([("name", name), ("count", count)]).unwrap()
    }

    #[test]
    fn a_table_is_drawn() {
        let batch = batch();
        let layout = Layout::new(&batch.schema(), std::slice::from_ref(&batch), None).unwrap();
        let text = format!("{}{}", layout.head(), layout.rows(&batch).unwrap());
        let expected = [
            " name           │ count",
            "────────────────┼───────",
            " Ärmel          │     7",
            " NULL           │  1234",
            r" a\u{1b}[31m\nb │     0",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn text_that_misleads_is_escaped() {
        let name: ArrayRef = Arc::new(StringArray::from(vec!["a\u{202e}b", "x\u{200b}y"]));
        let batch = RecordBatch::try_from_iter([("n\u{9b}1m", name)]).unwrap();
        let layout = Layout::new(&batch.schema(), std::slice::from_ref(&batch), None).unwrap();
        let table = format!("{}{}{}", layout.head(), layout.rows(&batch).unwrap(), expanded(&batch, 1).unwrap());
        for escape in [r"n\u{9b}1m", r"a\u{202e}b", r"x\u{200b}y"] {
            assert_eq!(table.matches(escape).count(), if escape.starts_with('n') { 3 } else { 2 }, "{table}");
        }
        assert!(portolan_catalog::is_printable(&table.replace('\n', "")), "{table}");
    }

    #[test]
    fn a_table_fits_the_terminal() {
        let batch = batch();
        let layout = Layout::new(&batch.schema(), std::slice::from_ref(&batch), Some(17)).unwrap();
        let text = layout.rows(&batch).unwrap();
        assert!(text.lines().all(|line| line.width() <= 17), "{text}");
        assert!(text.contains("…"), "{text}");
        assert!(text.contains("Ärmel"), "{text}");
    }

    #[test]
    fn rows_are_drawn_as_blocks() {
        let text = expanded(&batch().slice(0, 1), 5).unwrap();
        assert_eq!(text.lines().skip(1).collect::<Vec<_>>(), ["name  │ Ärmel", "count │ 7"]);
        assert!(text.starts_with("─ row 5 ─"), "{text}");
    }
}
