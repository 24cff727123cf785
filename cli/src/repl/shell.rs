//! Runs the statements and commands of the prompt and of scripts, one after the other.

use std::path::Path;
use std::time::Instant;

use portolan_catalog::printable;
use portolan_node::{Error, Result};

use super::commands::RowLimit;
use super::plan;
use super::progress::ProgressLine;
use super::script::{At, read_file};
use crate::connection::{Connection, Control, Target};
use crate::lexer::{PieceKind, Position, has_content, pieces};
use crate::login::LoginArgs;
use crate::output::{Format, Output, print, print_error};
use crate::render::Expanded;

/// The number of rows of a result that the prompt shows by default.
pub(super) const DEFAULT_ROWS: usize = 1000;
/// The largest number of scripts that run one another.
const MAX_DEPTH: usize = 8;

/// The state of a prompt or of a script.
pub struct Shell {
    pub(super) connection: Connection,
    pub(super) options: Options,
    pub(super) results: Results,
    pub(super) target: Target,
    pub(super) login: LoginArgs,
    /// The login of the command line, whose password `PORTOLAN_PASSWORD` has.
    pub(super) first_login: LoginArgs,
    /// The format of results whose file does not determine one. `None` at the prompt: tables that fit the screen.
    pub(super) format: Option<Format>,
    pub(super) open: OpenStatement,
    pub(super) last: Option<Statement>,
    /// The last statement that has a plan.
    pub(super) planned: Option<String>,
    depth: usize,
    /// True if names may have changed since [`Shell::names_changed`] was called.
    pub(super) changed: bool,
}

/// The switches of a user.
#[derive(Clone, Debug)]
pub(super) struct Options {
    /// True at the prompt, where Ctrl-C cancels a statement and nothing else.
    pub is_interactive: bool,
    /// True if commands confirm what they do. The file that the prompt runs first is silent.
    pub confirms: bool,
    pub timing: bool,
    pub expanded: Expanded,
    pub rows: RowLimit,
    pub pager: bool,
}

/// The destination of results.
pub(super) enum Results {
    /// The screen of the prompt: a limited number of rows, which fit the terminal.
    Screen,
    Output(Output),
}

/// A statement of a script.
#[derive(Clone, Debug)]
pub(super) struct Statement {
    pub text: String,
    pub start: Position,
}

/// The part of a statement that is read.
#[derive(Debug)]
pub(super) struct OpenStatement(Statement);

/// The step after a text.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// The next text.
    Continue,
    /// The end of the prompt or of the script.
    Leave,
    /// The editor, with this text.
    Edit(String),
    /// The history.
    History,
}

impl Shell {
    /// Returns the state of a prompt. With a format for programs, results are written in that format to standard output.
    ///
    /// # Errors
    /// A format that is not for a terminal.
    pub fn prompt(connection: Connection, target: Target, login: LoginArgs, format: Option<Format>) -> Result<Self> {
        let format = format.filter(|format| *format != Format::Table);
        let results = initial_results(format)?;
        Ok(Self::new(connection, target, login, format, results, true))
    }

    /// Returns the state of a script whose results go to `output`.
    pub fn script(
        connection: Connection,
        target: Target,
        login: LoginArgs,
        format: Option<Format>,
        output: Output,
    ) -> Self {
        let format = format.or(Some(Format::Table));
        Self::new(connection, target, login, format, Results::Output(output), false)
    }

    fn new(
        connection: Connection,
        target: Target,
        login: LoginArgs,
        format: Option<Format>,
        results: Results,
        is_interactive: bool,
    ) -> Self {
        let options = Options {
            is_interactive,
            confirms: is_interactive,
            timing: is_interactive,
            expanded: Expanded::Off,
            rows: RowLimit::Most(DEFAULT_ROWS),
            pager: true,
        };
        Self {
            connection,
            options,
            results,
            target,
            first_login: login.clone(),
            login,
            format,
            open: OpenStatement::default(),
            last: None,
            planned: None,
            depth: 0,
            changed: false,
        }
    }

    /// Returns the connection.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// True if the names of tables may have changed since the last call.
    pub fn names_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Takes the text of the statement that is not finished.
    pub fn take_open(&mut self) -> Option<String> {
        self.open.take().map(|statement| statement.text)
    }

    /// Runs a text. An unfinished statement at its end stays open. `name` is the name of the script in errors.
    ///
    /// # Errors
    /// The first statement or command that fails. It ends the text.
    pub async fn run(&mut self, text: &str, name: Option<&str>) -> Result<Next> {
        for piece in pieces(text) {
            match piece.kind {
                PieceKind::Open => self.open.push(piece.text, piece.start),
                PieceKind::Statement => {
                    self.open.push(piece.text, piece.start);
                    self.run_open(name).await?;
                }
                PieceKind::Command => match self.run_command(piece.text, At { name, start: piece.start }).await? {
                    Next::Continue => {}
                    next => return Ok(next),
                },
            }
        }
        Ok(Next::Continue)
    }

    /// Runs a whole script, also a last statement without a semicolon.
    ///
    /// # Errors
    /// The first statement or command that fails.
    pub async fn run_script(&mut self, text: &str, name: Option<&str>) -> Result<Next> {
        match self.run(text, name).await? {
            Next::Continue => self.run_open(name).await.map(|()| Next::Continue),
            Next::Leave => Ok(Next::Leave),
            Next::Edit(_) | Next::History => Err(Error::failed("`\\e` and `\\s` are commands of the prompt")),
        }
    }

    /// Runs the script of a file.
    ///
    /// # Errors
    /// A file that cannot be read, or the first statement or command that fails.
    pub async fn run_file(&mut self, file: &Path) -> Result<Next> {
        let text = read_file(file)?;
        self.run_text_of(file, &text).await
    }

    /// Runs the script of a file with this text.
    pub(super) async fn run_text_of(&mut self, file: &Path, text: &str) -> Result<Next> {
        let name = printable(&file.display().to_string()).into_owned();
        // A statement that is open around the command is none of the script.
        let open = std::mem::take(&mut self.open);
        self.depth += 1;
        let outcome = match self.depth > MAX_DEPTH {
            true => Err(Error::failed(format!("{name}: more than {MAX_DEPTH} scripts run one another"))),
            // The future of a script that runs scripts needs a place of its own.
            false => Box::pin(self.run_script(text, Some(&name))).await,
        };
        self.depth -= 1;
        self.open = open;
        outcome
    }

    /// Runs the script of a file without confirmations of its commands.
    ///
    /// # Errors
    /// The same as for [`Shell::run_file`].
    pub async fn run_quietly(&mut self, file: &Path) -> Result<()> {
        let confirms = std::mem::replace(&mut self.options.confirms, false);
        let outcome = self.run_file(file).await;
        self.options.confirms = confirms;
        outcome.map(|_| ())
    }

    /// Completes the file that results go to, if they go to one. Returns a message about a file that is not written,
    /// because no statement had a result.
    ///
    /// # Errors
    /// The error of the file system.
    pub fn finish(&mut self) -> Result<Option<String>> {
        let Results::Output(output) = std::mem::replace(&mut self.results, Results::Screen) else { return Ok(None) };
        let Some(path) = output.shown_path() else { return Ok(None) };
        if !output.finish()? {
            return Ok(Some(format!("no statement had a result, so {path} is not written")));
        }
        self.say(&format!("{path} is written\n")).map(|()| None)
    }

    async fn run_open(&mut self, name: Option<&str>) -> Result<()> {
        let Some(statement) = self.open.take() else { return Ok(()) };
        self.remember(&statement);
        self.run_statement(&statement, name).await
    }

    pub(super) fn remember(&mut self, statement: &Statement) {
        if let Some(planned) = plan::planned(&statement.text) {
            self.planned = Some(planned.to_owned());
        }
        self.last = Some(statement.clone());
    }

    /// Confirms what a command did, at the prompt.
    pub(super) fn say(&self, text: &str) -> Result<()> {
        if self.options.confirms { print(text) } else { Ok(()) }
    }

    /// Reports what a person should know: at the prompt on the screen, otherwise on standard error. A program may read the
    /// rows of statements from standard output.
    pub(super) fn report(&self, text: &str) -> Result<()> {
        if self.options.confirms {
            return print(text);
        }
        print_error(text);
        Ok(())
    }

    /// Waits for a step of a statement. At the prompt, the progress line shows how far it is, and Ctrl-C interrupts it. A
    /// script shows the progress of uploads.
    pub(super) async fn wait<T>(
        &self,
        control: Option<Control>,
        started: Instant,
        step: impl Future<Output = T>,
    ) -> Result<T> {
        let shows = self.options.is_interactive || matches!(control, Some(Control::Upload(_)));
        let line = shows.then(|| ProgressLine::start(control, started));
        let outcome = if self.options.is_interactive {
            tokio::select! {
                outcome = step => Ok(outcome),
                _ = tokio::signal::ctrl_c() => Err(Error::interrupted()),
            }
        } else {
            Ok(step.await)
        };
        // The line must be gone before anything else is shown.
        drop(line);
        outcome
    }

    /// Sends results to where they went at first.
    pub(super) fn reset_output(&mut self) -> Result<()> {
        self.results = initial_results(self.format)?;
        Ok(())
    }
}

/// Returns where results go at first.
fn initial_results(format: Option<Format>) -> Result<Results> {
    match format {
        None => Ok(Results::Screen),
        Some(format) => Ok(Results::Output(Output::stdout(format)?)),
    }
}

impl Default for OpenStatement {
    fn default() -> Self {
        Self(Statement { text: String::new(), start: Position::START })
    }
}

impl OpenStatement {
    /// Adds a piece of the statement.
    fn push(&mut self, text: &str, start: Position) {
        if self.0.text.trim().is_empty() {
            let trimmed = text.trim_start();
            let start = start.after(&text[..text.len() - trimmed.len()]);
            self.0 = Statement { text: trimmed.to_owned(), start };
        } else {
            self.0.text.push_str(text);
        }
    }

    /// Returns the text.
    pub(super) fn text(&self) -> &str {
        self.0.text.trim_end()
    }

    /// Takes the statement, if it has more than comments.
    pub(super) fn take(&mut self) -> Option<Statement> {
        let Statement { text, start } = std::mem::take(self).0;
        has_content(&text).then(|| Statement { text: text.trim_end().to_owned(), start })
    }
}

#[cfg(test)]
mod tests;
