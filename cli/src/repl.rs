//! The prompt: reads statements and commands, runs them on a connection, and shows the results.

pub mod commands;
mod complete;
pub mod copy;
mod editor;
mod names;
mod pager;
mod plan;
pub mod progress;

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use nu_ansi_term::Color;
use portolan_catalog::{printable, printable_lines};
use portolan_node::{Error, ErrorKind, Result};
use reedline::{Reedline, Signal};

use self::commands::PromptCommand;
use self::complete::SqlCompleter;
use self::editor::SqlPrompt;
use self::names::NameCache;
use self::progress::ProgressLine;
use crate::connection::{Connection, Running};
use crate::lexer::statements;
use crate::output::{print, rows_changed};
use crate::place::draw;
use crate::render::{Layout, expanded};
use crate::units::{show_count, show_time};

/// The number of rows of a result that are shown by default.
const DEFAULT_ROWS: usize = 1000;

/// The prompt.
pub struct Repl {
    connection: Connection,
    editor: Reedline,
    names: NameCache,
    timing: bool,
    expanded: bool,
    rows: usize,
    /// The last statement that has a plan.
    last: Option<String>,
}

enum Next {
    Continue,
    Leave,
}

/// The part of a result that is shown.
struct Shown {
    running: Running,
    batches: Vec<RecordBatch>,
    rows: usize,
    /// True if the result has more rows.
    more: bool,
}

impl Repl {
    /// Returns a prompt on this connection.
    ///
    /// # Errors
    /// A history file that cannot be used.
    pub fn new(connection: Connection) -> Result<Self> {
        let names = NameCache::default();
        let editor = editor::editor(Box::new(SqlCompleter::new(names.reader())))?;
        Ok(Self { connection, editor, names, timing: true, expanded: false, rows: DEFAULT_ROWS, last: None })
    }

    /// Runs the prompt until Ctrl-D or `\q`.
    ///
    /// # Errors
    /// A terminal that cannot be used.
    pub async fn run(mut self) -> Result<()> {
        let name = printable(self.connection.name());
        print(&format!("connected to {name}; \\? lists the commands, Ctrl-D quits\n"))?;
        loop {
            self.names.refresh(&self.connection);
            let line = tokio::task::block_in_place(|| self.editor.read_line(&SqlPrompt));
            match line {
                Ok(Signal::Success(line)) => match self.run_line(&line).await {
                    Ok(Next::Continue) => {}
                    Ok(Next::Leave) => return Ok(()),
                    Err(e) if e.kind() == ErrorKind::BrokenPipe => return Err(e),
                    Err(e) => eprintln!("{} {}", Color::Red.bold().paint("error:"), printable_lines(&e.owner_chain())),
                },
                Ok(Signal::CtrlD) => return Ok(()),
                Ok(_) => {}
                Err(e) => return Err(Error::failed("cannot read from the terminal").with_source(e)),
            }
        }
    }

    async fn run_line(&mut self, line: &str) -> Result<Next> {
        let line = line.trim();
        if commands::is_command(line) {
            return self.command(PromptCommand::parse(line)?).await;
        }
        for statement in statements(line) {
            if plan::has_plan(statement.text) {
                self.last = Some(statement.text.to_owned());
                self.run_statement(statement.text, self.rows).await?;
            } else {
                self.run_metadata(statement.text).await?;
            }
        }
        Ok(Next::Continue)
    }

    async fn command(&mut self, command: PromptCommand) -> Result<Next> {
        match command {
            PromptCommand::Describe(None) => self.run_metadata(&commands::list_ports()).await?,
            PromptCommand::Describe(Some(name)) => {
                let sql = commands::describe(&self.connection, &name).await?;
                self.run_metadata(&sql).await?;
            }
            PromptCommand::Domains => self.run_metadata(&commands::list_domains()).await?,
            PromptCommand::Nodes => self.run_metadata(&commands::list_nodes()).await?,
            PromptCommand::Plan(sql) => self.show_plan(sql).await?,
            PromptCommand::Timing(wanted) => {
                self.timing = wanted.unwrap_or(!self.timing);
                print(&format!("times are {}\n", if self.timing { "shown" } else { "not shown" }))?;
            }
            PromptCommand::Expanded(wanted) => {
                self.expanded = wanted.unwrap_or(!self.expanded);
                print(&format!("each row is shown as a {}\n", if self.expanded { "block" } else { "line" }))?;
            }
            PromptCommand::Rows(wanted) => {
                self.rows = wanted.unwrap_or(self.rows);
                print(&format!("at most {} rows are shown\n", show_count(self.rows as u64)))?;
            }
            PromptCommand::Set(None) => self.run_metadata("SHOW portolan.all").await?,
            PromptCommand::Set(Some((name, value))) => {
                let value = value.trim_matches('\'').replace('\'', "''");
                self.run_metadata(&format!("SET {name} = '{value}'")).await?;
            }
            PromptCommand::Copy(arguments) => self.copy(&arguments).await?,
            PromptCommand::Help => print(&commands::help())?,
            PromptCommand::Quit => return Ok(Next::Leave),
        }
        Ok(Next::Continue)
    }

    async fn copy(&mut self, arguments: &str) -> Result<()> {
        let started = Instant::now();
        let copied = {
            let _line = ProgressLine::start(Some(self.connection.uploads()), started);
            tokio::select! {
                copied = copy::copy(&self.connection, arguments) => copied?,
                _ = tokio::signal::ctrl_c() => return print("cancelled\n"),
            }
        };
        // The command may have made a table.
        self.names.expire();
        let time = if self.timing { format!(" ({})", show_time(started.elapsed())) } else { String::new() };
        print(&format!("{copied}{time}\n"))
    }

    async fn show_plan(&mut self, sql: Option<String>) -> Result<()> {
        let sql = sql.or_else(|| self.last.clone());
        let sql = sql.ok_or_else(|| Error::failed("there is no last statement; use `\\plan SQL`"))?;
        let plan = tokio::select! {
            plan = plan::ask(&self.connection, &sql) => plan?,
            _ = tokio::signal::ctrl_c() => return print("cancelled\n"),
        };
        self.last = Some(sql);
        let is_terminal = std::io::stdout().is_terminal();
        let colours = is_terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        let terminal = crossterm::terminal::size().ok().map(|(columns, _)| columns.into());
        pager::show(&plan.show(colours, terminal.filter(|_| is_terminal && !pager::scrolls())))
    }

    /// Runs a statement about the mesh or the session. A part of the result would be of no use, so the limit on rows is
    /// at least the default.
    async fn run_metadata(&mut self, sql: &str) -> Result<()> {
        self.run_statement(sql, self.rows.max(DEFAULT_ROWS)).await
    }

    /// Runs a statement and shows at most `most` rows. Ctrl-C cancels the statement, but does not quit the prompt.
    async fn run_statement(&mut self, sql: &str, most: usize) -> Result<()> {
        let started = Instant::now();
        let failed = |e: portolan_engine::Error| Error::failed(draw(&e.owner_chain(), sql));
        let running = {
            let _line = ProgressLine::start(Some(self.connection.uploads()), started);
            tokio::select! {
                running = self.connection.start(sql) => running.map_err(failed)?,
                _ = tokio::signal::ctrl_c() => return print("cancelled\n"),
            }
        };
        let control = running.control.clone();
        let shown = {
            let _line = ProgressLine::start(Some(control.clone()), started);
            tokio::select! {
                shown = collect(running, most) => Some(shown.map_err(failed)?),
                _ = tokio::signal::ctrl_c() => None,
            }
        };
        let Some(shown) = shown else {
            control.cancel().await;
            return print("cancelled\n");
        };
        let elapsed = started.elapsed();
        if shown.more {
            control.cancel().await;
        }
        if shown.running.schema.fields().is_empty() {
            // The statement may have changed the tables, or the default catalog and schema.
            self.names.expire();
        }
        self.show(&shown, elapsed)
    }

    fn show(&self, shown: &Shown, elapsed: Duration) -> Result<()> {
        let time = if self.timing { show_time(elapsed) } else { String::new() };
        let schema = &shown.running.schema;
        if schema.fields().is_empty() {
            let done = shown.running.changed.map_or_else(|| "done".to_string(), rows_changed);
            return print(&if time.is_empty() { format!("{done}\n") } else { format!("{done} ({time})\n") });
        }
        let failed = |e| Error::failed("cannot show the rows").with_source(e);
        let mut text = String::new();
        if self.expanded {
            let mut first = 1;
            for batch in &shown.batches {
                text.push_str(&expanded(batch, first).map_err(failed)?);
                first += batch.num_rows();
            }
        } else {
            let terminal = crossterm::terminal::size().ok().map(|(columns, _)| columns.into());
            let width = terminal.filter(|_| !pager::scrolls());
            let layout = Layout::new(schema, &shown.batches, width).map_err(failed)?;
            text.push_str(&layout.head());
            for batch in &shown.batches {
                text.push_str(&layout.rows(batch).map_err(failed)?);
            }
        }
        let noun = if shown.rows == 1 { "row" } else { "rows" };
        let more = if shown.more { "; … there are more: `\\rows N` raises the limit" } else { "" };
        let time = if time.is_empty() { time } else { format!(", {time}") };
        text.push_str(&format!("({} {noun}{time}{more})\n", show_count(shown.rows as u64)));
        pager::show(&text)
    }
}

/// Reads at most `limit` rows, and checks if there are more.
async fn collect(mut running: Running, limit: usize) -> portolan_engine::Result<Shown> {
    let (mut batches, mut rows, mut more) = (vec![], 0, false);
    while let Some(batch) = running.rows.next().await {
        let batch = batch?;
        let taken = batch.slice(0, batch.num_rows().min(limit - rows));
        more = taken.num_rows() < batch.num_rows();
        rows += taken.num_rows();
        batches.push(taken);
        if more {
            break;
        }
    }
    Ok(Shown { running, batches, rows, more })
}
