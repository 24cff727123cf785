//! What each command does.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use portolan_catalog::printable;
use portolan_node::{Error, Result};

use super::commands::{self, PromptCommand, RowLimit};
use super::describe::{self, Description};
use super::script::{At, read_file};
use super::shell::{Next, Results, Shell, Statement};
use super::{copy, lists, pager, plan};
use crate::connection::{Connection, Target};
use crate::lexer::literal;
use crate::login::LoginArgs;
use crate::output::{Format, Output, print};
use crate::render::Expanded;
use crate::terminal;
use crate::units::{show_count, show_time};

impl Shell {
    pub(super) async fn run_command(&mut self, line: &str, at: At<'_>) -> Result<Next> {
        let command = PromptCommand::parse(line).map_err(|e| at.command_error(e))?;
        // Scripts run scripts. The futures of commands have places of their own, so that a level takes little of the stack.
        let done = match command {
            PromptCommand::Quit => return Ok(Next::Leave),
            PromptCommand::History => return Ok(Next::History),
            PromptCommand::Edit => {
                let open = self.open.take().or_else(|| self.last.clone());
                return Ok(Next::Edit(open.map(|statement| statement.text).unwrap_or_default()));
            }
            // The errors of these have the places of the statements.
            PromptCommand::Include(file) => {
                let text = read_file(&file).map_err(|e| at.command_error(e))?;
                // The end of the script is not the end of the prompt.
                return self.run_text_of(&file, &text).await.map(|_| Next::Continue);
            }
            PromptCommand::Go { expanded, file } => return Box::pin(self.go(expanded, file, at)).await,
            PromptCommand::Watch { interval, times } => return Box::pin(self.watch(interval, times, at)).await,
            PromptCommand::Describe(None) => self.list(lists::ports(None)).await,
            PromptCommand::Describe(Some(name)) => Box::pin(self.describe(&name)).await,
            PromptCommand::Tables(pattern) => self.list(lists::ports(pattern.as_deref())).await,
            PromptCommand::Functions(pattern) => self.list(lists::functions(pattern.as_deref())).await,
            PromptCommand::Domains => self.list(lists::domains()).await,
            PromptCommand::Nodes => self.list(lists::nodes()).await,
            PromptCommand::Plan(sql) => Box::pin(self.show_plan(sql)).await,
            PromptCommand::Set(None) => self.list("SHOW portolan.all".into()).await,
            PromptCommand::Set(Some((name, value))) => {
                self.list(format!("SET {name} = {}", literal(value.trim_matches('\'')))).await
            }
            PromptCommand::Copy(arguments) => Box::pin(self.copy(&arguments)).await,
            PromptCommand::Output(file) => self.redirect(file.as_deref()),
            PromptCommand::Connect(to) => Box::pin(self.connect(to)).await,
            PromptCommand::ConnectionInfo => print(&self.connection_info()),
            PromptCommand::Help => print(&commands::help()),
            switch => self.switch(&switch),
        };
        done.map(|()| Next::Continue).map_err(|e| at.command_error(e))
    }

    /// Runs the open statement, or else the last one.
    async fn go(&mut self, expanded: bool, file: Option<PathBuf>, at: At<'_>) -> Result<Next> {
        let statement = self.take_statement().map_err(|e| at.command_error(e))?;
        let before = match file {
            None => None,
            Some(file) => {
                let output = Output::file(&file, None, self.format.unwrap_or(Format::Table));
                let output = Results::Output(output.map_err(|e| at.command_error(e))?);
                Some(std::mem::replace(&mut self.results, output))
            }
        };
        let shown = self.options.expanded;
        if expanded {
            self.options.expanded = Expanded::On;
        }
        let outcome = self.run_statement(&statement, at.name).await;
        self.options.expanded = shown;
        let Some(before) = before else { return outcome.map(|()| Next::Continue) };
        let written = std::mem::replace(&mut self.results, before);
        outcome?;
        let written = match written {
            Results::Output(output) => output.finish().map_err(|e| at.command_error(e))?,
            Results::Screen => false,
        };
        if !written {
            self.report("the statement has no result, so the file is not written\n")?;
        }
        Ok(Next::Continue)
    }

    /// Runs the open statement, or else the last one, again and again.
    async fn watch(&mut self, interval: Duration, times: Option<u64>, at: At<'_>) -> Result<Next> {
        let statement = self.take_statement().map_err(|e| at.command_error(e))?;
        let pager = std::mem::replace(&mut self.options.pager, false);
        let outcome = self.repeat(&statement, interval, times, at.name).await;
        self.options.pager = pager;
        outcome.map(|()| Next::Continue)
    }

    async fn repeat(
        &mut self,
        statement: &Statement,
        interval: Duration,
        times: Option<u64>,
        name: Option<&str>,
    ) -> Result<()> {
        for run in 1.. {
            self.say(&format!("run {run}, every {}\n", show_time(interval)))?;
            self.run_statement(statement, name).await?;
            if times.is_some_and(|times| run >= times) {
                break;
            }
            self.wait(None, Instant::now(), tokio::time::sleep(interval)).await?;
        }
        Ok(())
    }

    fn take_statement(&mut self) -> Result<Statement> {
        if let Some(statement) = self.open.take() {
            self.remember(&statement);
        }
        self.last.clone().ok_or_else(|| Error::failed("there is no last statement"))
    }

    async fn describe(&mut self, name: &str) -> Result<()> {
        let description = describe::describe(&self.connection, name, "`\\d`").await?;
        self.run_metadata(description).await
    }

    async fn list(&mut self, sql: String) -> Result<()> {
        self.run_metadata(Description { sql, ..Description::default() }).await
    }

    async fn copy(&mut self, arguments: &str) -> Result<()> {
        let started = Instant::now();
        let uploads = Some(self.connection.uploads());
        let copied = self.wait(uploads, started, copy::copy(&self.connection, arguments)).await??;
        // The command may have made a table.
        self.changed = true;
        let time = if self.options.timing { format!(" ({})", show_time(started.elapsed())) } else { String::new() };
        self.report(&format!("{}{time}\n", printable(&copied)))
    }

    async fn show_plan(&mut self, sql: Option<String>) -> Result<()> {
        let open = || plan::planned(self.open.text()).map(str::to_owned);
        let sql = sql.or_else(open).or_else(|| self.planned.clone());
        let sql = sql.ok_or_else(|| Error::failed("there is no last statement; use `\\plan SQL`"))?;
        let plan = self.wait(None, Instant::now(), plan::fetch(&self.connection, &sql)).await??;
        self.planned = Some(sql);
        let colours = terminal::has_colours(&std::io::stdout());
        pager::show(&plan.show(colours, terminal::width()), self.options.pager && self.options.confirms)
    }

    /// Sends results to a file, or to where they went at first.
    fn redirect(&mut self, file: Option<&Path>) -> Result<()> {
        // The new file is created first: a wrong name leaves everything as it was.
        let output = match file {
            Some(file) => Some(Output::file(file, None, self.format.unwrap_or(Format::Table))?),
            None => None,
        };
        if let Some(unwritten) = self.finish()? {
            self.report(&format!("{unwritten}\n"))?;
        }
        match output {
            Some(output) => self.results = Results::Output(output),
            None => self.reset_output()?,
        }
        Ok(())
    }

    async fn connect(&mut self, to: Option<(String, Option<String>)>) -> Result<()> {
        let login = match to {
            Some((url, user)) => LoginArgs { url: Some(url), user, ..self.login.clone() },
            None => self.login.clone(),
        };
        let target = match (&self.target, login.url == self.login.url && login.user == self.login.user) {
            (Target::Config(_), true) => {
                return Err(Error::failed("the node runs in this process; `\\c URL` connects to another one"));
            }
            // The password is known.
            (known, true) => known.clone(),
            _ => login.target_after(&self.first_login)?,
        };
        let opened = self.wait(None, Instant::now(), Connection::open(&target)).await??;
        (self.connection, self.target, self.login, self.changed) = (opened, target, login, true);
        self.say(&self.connection_info())
    }

    fn connection_info(&self) -> String {
        match &self.target {
            Target::Url { url, options } => {
                let user = options.credentials.as_ref().map_or("an anonymous client", |(user, _)| user.as_str());
                let tls = if url.starts_with("grpc+tls://") { "with TLS" } else { "without TLS" };
                format!("connected to {} as {}, {tls}\n", printable(url), printable(user))
            }
            Target::Config(file) => {
                let (name, file) = (printable(self.connection.name()), file.display().to_string());
                format!("the node {name} runs in this process, with the config {}\n", printable(&file))
            }
        }
    }

    /// Changes an option.
    fn switch(&mut self, command: &PromptCommand) -> Result<()> {
        if matches!(command, PromptCommand::Rows(Some(_))) && !self.options.is_interactive {
            return self.report("`\\rows` limits what the prompt shows: a script writes all rows\n");
        }
        let options = &mut self.options;
        let done = match *command {
            PromptCommand::Timing(wanted) => {
                options.timing = wanted.unwrap_or(!options.timing);
                format!("times are {}\n", if options.timing { "shown" } else { "not shown" })
            }
            PromptCommand::Expanded(wanted) => {
                let other = if options.expanded == Expanded::Off { Expanded::On } else { Expanded::Off };
                options.expanded = wanted.unwrap_or(other);
                let shown = match options.expanded {
                    Expanded::Off => "a line",
                    Expanded::On => "a block",
                    Expanded::Auto => "a line, or as a block if the lines do not fit the terminal",
                };
                format!("each row is shown as {shown}\n")
            }
            PromptCommand::Rows(wanted) => {
                options.rows = wanted.unwrap_or(options.rows);
                match options.rows {
                    RowLimit::Most(rows) => format!("at most {} rows are shown\n", show_count(rows as u64)),
                    RowLimit::All => "all rows are shown\n".into(),
                }
            }
            PromptCommand::Pager(wanted) => {
                options.pager = wanted.unwrap_or(!options.pager);
                format!("long results are shown {} a pager\n", if options.pager { "with" } else { "without" })
            }
            _ => return Err(Error::failed("the command changes nothing")),
        };
        self.say(&done)
    }
}
