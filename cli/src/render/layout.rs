//! The layout of a table: the width of each column, and which columns are shown. On a terminal no line wraps. Long text
//! is cut with a mark. Numbers and times are not cut: if they do not fit, the table omits columns in its middle.

use arrow::datatypes::{DataType, Schema};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use portolan_catalog::printable;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::cells::{cells, pages};

/// The smallest width to which text is cut.
const NARROWEST_TEXT: usize = 10;
/// The smallest width to which the name of a column is cut.
const NARROWEST_NAME: usize = 6;
/// The space on both sides of a column, and the line to the next one.
const FRAME: usize = 3;
/// The mark in the place of columns that are not shown.
const GAP: &str = "…";

/// The layout of a table. The first rows fix it, so that later rows can be written as they arrive.
#[derive(Clone, Debug)]
pub struct Layout {
    columns: Vec<Column>,
    /// The columns that are shown: so many from the left, and so many from the right.
    shown: (usize, usize),
    /// True if the lines must not be longer than the terminal.
    is_bound: bool,
    /// True if some value or name is cut.
    cuts: bool,
    /// True for plans. They are pages of text, shown unchanged below a title.
    pages: bool,
}

#[derive(Clone, Debug)]
struct Column {
    name: String,
    width: usize,
    /// The largest width: values of later rows that must not be cut widen the column.
    most: usize,
    right: bool,
}

/// The columns of EXPLAIN.
pub(super) const PLAN_COLUMNS: [&str; 2] = ["plan_type", "plan"];

impl Layout {
    /// Returns a layout that fits `rows`, and a terminal of `width` columns if there is one.
    ///
    /// # Errors
    /// Values that cannot be shown.
    pub fn new(schema: &Schema, rows: &[RecordBatch], width: Option<usize>) -> Result<Self, ArrowError> {
        let names: Vec<_> = schema.fields().iter().map(|f| printable(f.name()).into_owned()).collect();
        let pages = names == PLAN_COLUMNS;
        let mut values = vec![0; names.len()];
        for batch in rows {
            for row in cells(batch)? {
                for (width, cell) in values.iter_mut().zip(&row) {
                    *width = (*width).max(cell.width());
                }
            }
        }
        let mut widths: Vec<_> = names.iter().zip(&values).map(|(name, value)| name.width().max(*value)).collect();
        let mut shown = (names.len(), 0);
        let wanted = widths.clone();
        if let Some(room) = width {
            let least: Vec<_> = schema
                .fields()
                .iter()
                .zip(names.iter().zip(&values))
                .map(|(field, (name, value))| {
                    let name = name.width().min(NARROWEST_NAME);
                    let value = if is_rigid(field.data_type()) { *value } else { (*value).min(NARROWEST_TEXT) };
                    // A column that is wider than the terminal is cut in any case.
                    name.max(value).min(room.saturating_sub(2 * FRAME)).max(1)
                })
                .collect();
            shown = fitting(&least, room);
            shrink(&mut widths, &least, shown, room);
        }
        let cuts = widths.iter().zip(&wanted).any(|(width, wanted)| width < wanted);
        let columns = names.into_iter().zip(widths).zip(schema.fields());
        let terminal = width;
        let columns = columns.map(|((name, width), field)| {
            let room =
                terminal.filter(|_| is_rigid(field.data_type())).map_or(0, |room| room.saturating_sub(2 * FRAME));
            Column { name, width, most: width.max(room), right: is_number(field.data_type()) }
        });
        Ok(Self { columns: columns.collect(), shown, is_bound: terminal.is_some(), cuts, pages })
    }

    /// Returns the names of the columns and the line below them.
    pub fn head(&self) -> String {
        if self.pages {
            return String::new();
        }
        let names = self.line(|column| self.field(&column.name, column, false), GAP);
        let lines = self.shown(|column| "─".repeat(column.width + 2), "─".repeat(GAP.width() + 2));
        format!("{names}\n{}\n", lines.join("┼"))
    }

    /// Returns the rows, one per line.
    ///
    /// # Errors
    /// Values that cannot be shown.
    pub fn rows(&mut self, batch: &RecordBatch) -> Result<String, ArrowError> {
        if self.pages {
            return pages(batch);
        }
        let mut text = String::new();
        for row in cells(batch)? {
            for (column, cell) in self.columns.iter_mut().zip(&row) {
                column.width = column.width.max(cell.width().min(column.most));
            }
            self.cuts |= self.is_bound && self.columns.iter().zip(&row).any(|(c, cell)| cell.width() > c.width);
            let mut cells = row.iter();
            let line =
                self.line(|column| self.field(cells.next().map_or("", String::as_str), column, column.right), GAP);
            text.push_str(&line);
            text.push('\n');
        }
        Ok(text)
    }

    /// True if the table consists of pages of text.
    pub(super) fn has_pages(&self) -> bool {
        self.pages
    }

    /// True if every value of the measured rows is shown in full.
    pub(super) fn is_complete(&self) -> bool {
        !self.cuts && self.hidden() == 0
    }

    /// Describes what the table does not show, if it omits something.
    pub(super) fn omissions(&self) -> Option<String> {
        if self.pages {
            return None;
        }
        let hidden = match self.hidden() {
            0 => None,
            1 => Some(format!("1 of {} columns does not fit", self.columns.len())),
            hidden => Some(format!("{hidden} of {} columns do not fit", self.columns.len())),
        };
        let cut = self.cuts.then(|| "… marks what is cut".to_owned());
        let parts: Vec<_> = hidden.into_iter().chain(cut).collect();
        (!parts.is_empty()).then(|| format!("{}: `\\x` shows everything", parts.join(", ")))
    }

    fn hidden(&self) -> usize {
        self.columns.len() - self.shown.0 - self.shown.1
    }

    /// Returns the text of each column in order, with `gap` in the place of the columns that are not shown.
    fn shown(&self, mut text: impl FnMut(&Column) -> String, gap: String) -> Vec<String> {
        let (left, right) = (self.shown.0, self.columns.len() - self.shown.1);
        let mut gap = Some(gap);
        let texts = self.columns.iter().enumerate().filter_map(|(place, column)| {
            let text = text(column);
            if place < left || place >= right { Some(text) } else { gap.take() }
        });
        texts.collect()
    }

    fn line(&self, mut text: impl FnMut(&Column) -> String, gap: &str) -> String {
        self.shown(|column| format!(" {} ", text(column)), format!(" {gap} ")).join("│").trim_end().to_owned()
    }

    /// Returns a text in the width of a column. A file gets all of it, even if it is wider.
    fn field(&self, text: &str, column: &Column, right: bool) -> String {
        let width = if self.is_bound { column.width } else { column.width.max(text.width()) };
        fit(text, width, right)
    }
}

/// Returns how many columns from the left and from the right fit into `room` if each has its least width.
fn fitting(least: &[usize], room: usize) -> (usize, usize) {
    let cost = |column: usize| least[column] + FRAME;
    if (0..least.len()).map(cost).sum::<usize>() <= room || least.len() < 2 {
        return (least.len(), 0);
    }
    let (mut left, mut right) = (1, 0);
    let mut used = cost(0) + GAP.width() + FRAME;
    let (mut at_right, mut refused) = (true, 0);
    while refused < 2 && left + right < least.len() {
        let next = cost(if at_right { least.len() - 1 - right } else { left });
        if used + next > room {
            refused += 1;
        } else {
            (used, refused) = (used + next, 0);
            if at_right { right += 1 } else { left += 1 }
        }
        at_right = !at_right;
    }
    (left, right)
}

/// Shrinks the widest columns until those that are shown fit into `room`, but none below its least width.
fn shrink(widths: &mut [usize], least: &[usize], shown: (usize, usize), room: usize) {
    let hidden = shown.0..widths.len() - shown.1;
    let gap = if hidden.is_empty() { 0 } else { GAP.width() + FRAME };
    let visible: Vec<_> = (0..widths.len()).filter(|column| !hidden.contains(column)).collect();
    let room = room.saturating_sub(gap + visible.len() * FRAME);
    for column in &visible {
        widths[*column] = widths[*column].min(room.max(least[*column]));
    }
    while visible.iter().map(|column| widths[*column]).sum::<usize>() > room {
        let shrinkable = visible.iter().filter(|column| widths[**column] > least[**column]);
        let Some(widest) = shrinkable.max_by_key(|column| widths[**column]) else { return };
        widths[*widest] -= 1;
    }
}

/// True if a cut value would be read as another value.
fn is_rigid(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_rigid(values),
        DataType::RunEndEncoded(_, values) => is_rigid(values.data_type()),
        other => other.is_numeric() || other.is_temporal() || matches!(other, DataType::Boolean | DataType::Null),
    }
}

fn is_number(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_number(values),
        DataType::RunEndEncoded(_, values) => is_number(values.data_type()),
        other => other.is_numeric(),
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
    // Several characters can be one on the screen, with another width.
    let space = width.saturating_sub(kept.width());
    kept.push_str(&" ".repeat(space));
    kept
}
