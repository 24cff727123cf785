//! The prompt: reads statements and commands, runs them on a connection, and shows the results. Scripts run by the same
//! [`shell::Shell`].

mod actions;
pub mod commands;
mod complete;
pub mod copy;
pub mod describe;
mod editor;
mod external_editor;
pub mod label;
pub mod lists;
mod names;
mod pager;
mod plan;
mod progress;
pub mod script;
pub mod shell;
mod statements;

use portolan_catalog::{printable, printable_lines};
use portolan_node::{Error, ErrorKind, Result};
use reedline::{EditCommand, Reedline, SearchDirection, SearchQuery, Signal};

use self::commands::{advice, is_command, last_word};
use self::complete::SqlCompleter;
use self::editor::SqlPrompt;
use self::names::NameCache;
use self::shell::{Next, Shell};
use crate::lexer::is_complete;
use crate::output::{print, print_error};
use crate::terminal::{RED, has_colours};

/// The prompt.
pub struct Repl {
    shell: Shell,
    editor: Reedline,
    names: NameCache,
}

impl Repl {
    /// Returns a prompt. Reports a history file that cannot be used on standard error.
    pub fn new(shell: Shell) -> Self {
        let names = NameCache::default();
        let editor = editor::editor(Box::new(SqlCompleter::new(names.reader())));
        Self { shell, editor, names }
    }

    /// Runs the prompt until Ctrl-D or `\q`. First runs the user's file with statements and commands, if `runs_rc_file` is
    /// true and there is one.
    ///
    /// # Errors
    /// A terminal that cannot be used, or an output file that cannot be completed.
    pub async fn run(mut self, runs_rc_file: bool) -> Result<()> {
        survive_interrupts().await;
        if let Some(file) = script::rc_file().filter(|_| runs_rc_file)
            && let Err(error) = self.shell.run_quietly(&file).await
        {
            show_error(&error);
        }
        let name = printable(self.shell.connection().name()).into_owned();
        print(&format!("connected to {name}; \\? lists the commands, Ctrl-D quits\n"))?;
        loop {
            self.names.refresh(self.shell.connection());
            let line = tokio::task::block_in_place(|| self.editor.read_line(&SqlPrompt));
            // Not at the end: a terminal that is closed ends the process at once.
            if let Err(e) = self.editor.sync_history() {
                tracing::debug!("cannot write the history: {e}");
            }
            let outcome = match line {
                Ok(Signal::Success(line)) => self.run_text(&line).await,
                Ok(Signal::CtrlD) => return self.leave(),
                Ok(_) => Ok(Next::Continue),
                Err(e) => return Err(Error::failed("cannot read from the terminal").with_source(e)),
            };
            let outcome = match outcome {
                Ok(next) => self.follow(next),
                Err(error) => Err(error),
            };
            match outcome {
                Ok(true) => {}
                Ok(false) => return self.leave(),
                Err(e) if e.kind() == ErrorKind::BrokenPipe => return Err(e),
                Err(e) => show_error(&e),
            }
            if self.shell.names_changed() {
                self.names.expire();
            }
            if let Some(open) = self.shell.take_open() {
                self.type_in(open + "\n");
            }
        }
    }

    /// Completes the file that results go to.
    fn leave(&mut self) -> Result<()> {
        self.shell.finish()?.map_or(Ok(()), |unwritten| print(&format!("{unwritten}\n")))
    }

    /// Runs a text that the user has entered.
    async fn run_text(&mut self, text: &str) -> Result<Next> {
        let word = text.trim();
        if is_command(word) && !word.starts_with('\\') {
            return self.shell.run(&as_command(word), None).await;
        }
        match last_word(text) {
            Some((before, word)) if is_complete(before) => match self.shell.run(before, None).await? {
                Next::Continue => self.shell.run(&as_command(word), None).await,
                next => Ok(next),
            },
            Some((_, word)) => {
                // The word may be a name in the statement, so it stays.
                self.type_in(format!("{}\n", text.trim_end()));
                print(advice(word))?;
                Ok(Next::Continue)
            }
            None => self.shell.run(text, None).await,
        }
    }

    /// Does what follows a text. Returns false at the end of the prompt.
    fn follow(&mut self, next: Next) -> Result<bool> {
        match next {
            Next::Continue => {}
            Next::Leave => return Ok(false),
            Next::Edit(text) => {
                let edited = tokio::task::block_in_place(|| external_editor::edit(&text));
                // The text stays if the editor fails. Enter runs it.
                self.type_in(edited.as_deref().unwrap_or(&text).trim_end().to_owned());
                edited?;
            }
            Next::History => {
                let everything = SearchQuery::everything(SearchDirection::Forward, None);
                let unreadable = |e| Error::failed("cannot read the history").with_source(e);
                let entries = self.editor.history().search(everything).map_err(unreadable)?;
                let lines = entries.iter().map(|entry| format!("{}\n", printable_lines(&entry.command_line)));
                pager::show(&lines.collect::<String>(), true)?;
            }
        }
        Ok(true)
    }

    /// Puts a text behind the next prompt, as if the user had typed it.
    fn type_in(&mut self, text: String) {
        self.editor.run_edit_commands(&[EditCommand::InsertString(text)]);
    }
}

/// Returns the command for a word such as `quit`.
fn as_command(word: &str) -> String {
    format!("\\{word}")
}

/// Keeps Ctrl-C from ending the process from now on, also while a pager or an editor runs.
async fn survive_interrupts() {
    tokio::select! {
        biased;
        // The first poll installs the handler.
        _ = tokio::signal::ctrl_c() => {}
        () = std::future::ready(()) => {}
    }
}

fn show_error(error: &Error) {
    if error.kind() == ErrorKind::Interrupted {
        // Over the `^C` that the terminal shows.
        return print_error("\rcancelled\n");
    }
    let text = printable_lines(&error.owner_chain()).into_owned();
    if has_colours(&std::io::stderr()) {
        print_error(&format!("{} {text}\n", RED.bold().paint("error:")));
    } else {
        print_error(&format!("error: {text}\n"));
    }
}
