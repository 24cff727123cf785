//! Runs one statement, and shows or writes its result.

use std::time::{Duration, Instant};

use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use portolan_node::{Error, Result};

use super::commands::RowLimit;
use super::describe::Description;
use super::script::At;
use super::shell::{DEFAULT_ROWS, Results, Shell, Statement};
use super::{label, pager, plan};
use crate::connection::{Control, Running};
use crate::lexer::Position;
use crate::output::{Format, Output, print, print_error};
use crate::place::{draw, line};
use crate::render::{Drawing, View};
use crate::terminal;
use crate::units::{show_number, show_time};

/// The memory that the rows on the screen may take, in bytes. If more arrive, the rest is not shown.
const MAX_SHOWN_BYTES: usize = 128 << 20;

/// A statement to run.
struct Job<'a> {
    sql: &'a str,
    at: At<'a>,
    view: View,
    rows: RowLimit,
}

/// The part of a result that is shown.
struct Shown {
    running: Running,
    batches: Vec<RecordBatch>,
    /// True if the result has more rows.
    more: bool,
}

impl Shell {
    /// Runs a statement. `name` is the name of the script in errors.
    pub(super) async fn run_statement(&mut self, statement: &Statement, name: Option<&str>) -> Result<()> {
        let rows = if plan::has_plan(&statement.text) { self.options.rows } else { self.metadata_rows() };
        let view = View { expanded: self.options.expanded, ..View::default() };
        let job = Job { sql: &statement.text, at: At { name, start: statement.start }, view, rows };
        Box::pin(self.run_job(job)).await
    }

    /// Runs the query of a command.
    pub(super) async fn run_metadata(&mut self, description: Description) -> Result<()> {
        let Description { sql, title, notes } = description;
        let view = View { expanded: self.options.expanded, title, notes };
        let at = At { name: None, start: Position::START };
        Box::pin(self.run_job(Job { sql: &sql, at, view, rows: self.metadata_rows() })).await
    }

    /// Returns the limit of rows for what describes the mesh or the session. A part of it would be of no use, so the
    /// limit is at least the default.
    fn metadata_rows(&self) -> RowLimit {
        match self.options.rows {
            RowLimit::Most(rows) => RowLimit::Most(rows.max(DEFAULT_ROWS)),
            RowLimit::All => RowLimit::All,
        }
    }

    async fn run_job(&mut self, job: Job<'_>) -> Result<()> {
        let started = Instant::now();
        let has_uploads = self.options.is_interactive || self.connection.has_uploads(job.sql);
        let uploads = has_uploads.then(|| self.connection.uploads());
        let running = self.wait(uploads, started, self.connection.start(job.sql)).await?;
        let running = running.map_err(|e| job.failed(&e))?;
        if running.schema.fields().is_empty() {
            // The statement may have changed the tables, or the default catalog and schema.
            self.changed = true;
            return self.run_to_end(&job, running, started).await;
        }
        match std::mem::replace(&mut self.results, Results::Screen) {
            Results::Screen => self.show(&job, running, started).await,
            Results::Output(mut output) => {
                if let Err(error) = output.check_room() {
                    self.results = Results::Output(output);
                    return Err(job.at.command_error(error));
                }
                let results = output.results();
                let written = self.write(&job, running, started, &mut output).await;
                match output.shown_path().filter(|_| written.is_err()) {
                    None => self.results = Results::Output(output),
                    Some(path) if output.take_back(results) => {
                        self.results = Results::Output(output);
                        self.say(&format!("{path} has no rows of this statement\n"))?;
                    }
                    Some(path) => {
                        self.reset_output()?;
                        self.say(&format!("{path} has a part of the rows\n"))?;
                    }
                }
                written
            }
        }
    }

    /// Waits for a step of a running statement. If Ctrl-C interrupts the step, cancels the statement.
    async fn wait_or_cancel<T>(&self, control: &Control, started: Instant, step: impl Future<Output = T>) -> Result<T> {
        let outcome = self.wait(Some(control.clone()), started, step).await;
        if outcome.is_err() {
            control.cancel().await;
        }
        outcome
    }

    /// Waits for the end of a statement that returns no columns.
    async fn run_to_end(&self, job: &Job<'_>, mut running: Running, started: Instant) -> Result<()> {
        let control = running.control.clone();
        let drained = async {
            while let Some(batch) = running.rows.next().await {
                batch.map_err(|e| job.failed(&e))?;
            }
            Ok::<(), Error>(())
        };
        self.wait_or_cancel(&control, started, drained).await??;
        let changed = running.changed.map(|rows| format!("{} changed", show_number(rows, "row")));
        if !self.options.confirms {
            return changed.map_or(Ok(()), |changed| self.report(&format!("{changed}\n")));
        }
        let done = changed.unwrap_or_else(|| "done".into());
        print(&self.timed(started.elapsed()).map_or(format!("{done}\n"), |time| format!("{done} ({time})\n")))
    }

    /// Shows a part of the rows on the screen.
    async fn show(&self, job: &Job<'_>, running: Running, started: Instant) -> Result<()> {
        let control = running.control.clone();
        let shown = self.wait_or_cancel(&control, started, collect(running, job.rows)).await?;
        let shown = shown.map_err(|e| job.failed(&e))?;
        let elapsed = started.elapsed();
        let label = control.progress().await.and_then(|progress| label::line(&progress.label, terminal::width()));
        if shown.more {
            control.cancel().await;
        }
        let failed = |e| Error::failed("cannot show the rows").with_source(e);
        let mut drawing = Drawing::new(shown.running.schema.clone(), job.view.clone(), terminal::width());
        let mut text = drawing.draw(&shown.batches).map_err(failed)?;
        let more = match job.rows {
            RowLimit::Most(_) => "… there are more: `\\rows N` raises the limit",
            RowLimit::All => "… there are more: `\\o FILE` writes them to a file",
        };
        let time = self.options.timing.then_some(elapsed);
        text.push_str(&drawing.end(time, shown.more.then_some(more)).map_err(failed)?);
        text.push_str(&label.unwrap_or_default());
        pager::show(&text, self.options.pager && self.options.confirms)
    }

    /// Writes all rows to an output.
    async fn write(&self, job: &Job<'_>, mut running: Running, started: Instant, output: &mut Output) -> Result<()> {
        let control = running.control.clone();
        let timing = self.options.timing;
        let written = async {
            let writer = output.begin(&running.schema, job.view.clone());
            let mut writer = writer.map_err(|e| job.at.command_error(e))?;
            while let Some(batch) = running.rows.next().await {
                writer.write(&batch.map_err(|e| job.failed(&e))?)?;
            }
            writer.finish(timing.then(|| started.elapsed()))
        };
        let rows = self.wait_or_cancel(&control, started, written).await??;
        let rows = show_number(rows as u64, "row");
        let time = self.timed(started.elapsed()).map(|time| format!(", {time}")).unwrap_or_default();
        match output.shown_path() {
            Some(path) => self.say(&format!("({rows} to {path}{time})\n")),
            // A table shows its time. A program may read the other formats from standard output.
            None if timing && output.format() != Format::Table => {
                print_error(&format!("({rows}{time})\n"));
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Returns the time of a statement as text, if times are shown.
    fn timed(&self, time: Duration) -> Option<String> {
        self.options.timing.then(|| show_time(time))
    }
}

impl Job<'_> {
    /// Returns the error of the statement, with its place in the script.
    fn failed(&self, error: &portolan_engine::Error) -> Error {
        let message = error.owner_chain();
        let drawn = Error::failed(draw(&message, self.sql, self.at.start));
        self.at.locate(line(&message, self.at.start), drawn)
    }
}

/// Reads a limited number of rows, and checks if there are more.
async fn collect(mut running: Running, limit: RowLimit) -> portolan_engine::Result<Shown> {
    let (mut batches, mut bytes, mut more) = (vec![], 0, false);
    let mut left = match limit {
        RowLimit::Most(rows) => rows,
        RowLimit::All => usize::MAX,
    };
    while let Some(batch) = running.rows.next().await {
        let batch = batch?;
        let taken = if bytes > MAX_SHOWN_BYTES { 0 } else { batch.num_rows().min(left) };
        more = taken < batch.num_rows();
        left -= taken;
        bytes += batch.get_array_memory_size();
        batches.push(batch.slice(0, taken));
        if more {
            break;
        }
    }
    Ok(Shown { running, batches, more })
}
