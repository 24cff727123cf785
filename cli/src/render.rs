//! Renders results as text for people: a table, or one block for each row. Characters that could control the terminal
//! or mislead the reader are escapes.

mod cells;
mod layout;

use std::time::Duration;

use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

pub(crate) use self::cells::plan_document;
use self::layout::Layout;
pub(crate) use self::layout::fit;
use crate::units::{show_number, show_time};

/// The choice between a line and a block for each row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expanded {
    /// A line for each row.
    #[default]
    Off,
    /// A block for each row.
    On,
    /// Blocks if the lines would not fit the terminal.
    Auto,
}

/// The look of a result for people.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// A line or a block for each row.
    pub expanded: Expanded,
    /// The text above the result, which ends with a line break. Empty for none.
    pub title: String,
    /// The text below the result, which ends with a line break. Empty for none.
    pub notes: String,
}

/// A result that is drawn batch by batch. The first rows fix the layout.
#[derive(Debug)]
pub struct Drawing {
    view: View,
    schema: SchemaRef,
    width: Option<usize>,
    layout: Option<Layout>,
    is_expanded: bool,
    rows: usize,
}

impl Drawing {
    /// Returns a drawing without rows, for a terminal of `width` columns if there is one.
    pub fn new(schema: SchemaRef, view: View, width: Option<usize>) -> Self {
        Self { view, schema, width, layout: None, is_expanded: false, rows: 0 }
    }

    /// Returns the text of the next rows.
    ///
    /// # Errors
    /// Values that cannot be shown.
    pub fn draw(&mut self, batches: &[RecordBatch]) -> Result<String, ArrowError> {
        if self.layout.is_none() && batches.iter().all(|batch| batch.num_rows() == 0) {
            return Ok(String::new());
        }
        self.draw_all(batches)
    }

    fn draw_all(&mut self, batches: &[RecordBatch]) -> Result<String, ArrowError> {
        let mut text = String::new();
        let layout = match &mut self.layout {
            Some(layout) => layout,
            None => {
                let layout = Layout::new(&self.schema, batches, self.width)?;
                let wanted = match self.view.expanded {
                    Expanded::Off => false,
                    Expanded::On => true,
                    Expanded::Auto => self.schema.fields().len() > 1 && !layout.is_complete(),
                };
                self.is_expanded = wanted && !layout.has_pages();
                text.push_str(&self.view.title);
                if !self.is_expanded {
                    text.push_str(&layout.head());
                }
                self.layout.insert(layout)
            }
        };
        for batch in batches {
            let drawn = if self.is_expanded { cells::blocks(batch, self.rows + 1)? } else { layout.rows(batch)? };
            text.push_str(&drawn);
            self.rows += batch.num_rows();
        }
        Ok(text)
    }

    /// Returns the end of the result: the number of rows, and what else there is to know.
    ///
    /// # Errors
    /// Values that cannot be shown.
    pub fn end(&mut self, time: Option<Duration>, remark: Option<&str>) -> Result<String, ArrowError> {
        let mut text = if self.layout.is_none() { self.draw_all(&[])? } else { String::new() };
        let omissions = self.layout.as_ref().filter(|_| !self.is_expanded).and_then(Layout::omissions);
        text.push('(');
        text.push_str(&show_number(self.rows as u64, "row"));
        if let Some(time) = time {
            text.push_str(&format!(", {}", show_time(time)));
        }
        for remark in remark.map(str::to_owned).into_iter().chain(omissions) {
            text.push_str(&format!("; {remark}"));
        }
        text.push_str(")\n");
        text.push_str(&self.view.notes);
        Ok(text)
    }
}

#[cfg(test)]
mod tests;
