//! The backslash commands of the prompt and of scripts.

use std::path::PathBuf;
use std::time::Duration;

use portolan_catalog::nearest::nearest;
use portolan_catalog::printable;
use portolan_node::{Error, Result};

use crate::lexer::tokens;
use crate::render::Expanded;

/// Every command and its description.
pub const COMMANDS: &[(&str, &str)] = &[
    ("\\d", "[NAME]  list ports and the session's tables and views, or show a domain, a product, a port or a table"),
    ("\\dt", "[PATTERN]  list the ports and tables whose name fits a pattern, such as `line*` or `sales.*`"),
    ("\\df", "[PATTERN]  list the functions, or those whose name fits a pattern, such as `date*`"),
    ("\\dn", "list the domains and the nodes that serve them"),
    ("\\l", "list the domains and the nodes that serve them"),
    ("\\nodes", "list the nodes and their state"),
    ("\\plan", "[SQL]  show where each operator of a statement runs. Without SQL, of the last statement"),
    ("\\g", "[FILE]  run the statement, or the last one again. With FILE, write the result to the file"),
    ("\\gx", "[FILE]  the same, with each row as a block"),
    ("\\watch", "[SECONDS [TIMES]]  run the statement again and again (default: every 2 seconds) until Ctrl-C"),
    ("\\o", "[FILE]  write results to a file, in the format of its ending. Without FILE, to the screen again"),
    (
        "\\copy",
        "TABLE from 'FILE' | TABLE|(QUERY) to 'FILE'  read a file of this machine into a table, or write rows to one",
    ),
    ("\\i", "FILE  run the statements and commands in a file"),
    ("\\e", "edit the statement, or the last one, with $VISUAL or $EDITOR"),
    ("\\x", "[on|off|auto]  show each row as a block. auto: if the rows do not fit the terminal"),
    ("\\rows", "[N|all]  show at most N rows of a result"),
    ("\\pager", "[on|off]  show long results with $PAGER"),
    ("\\timing", "[on|off]  show how long statements take"),
    ("\\set", "[NAME VALUE]  show the session's settings, or change one"),
    ("\\c", "[URL [USER]]  connect to a node. Without URL, open a new session on the same node"),
    ("\\conninfo", "show the node and the user of the connection"),
    ("\\s", "show the history"),
    ("\\?", "list the commands"),
    ("\\q", "quit"),
];

/// Other names of commands, which people know from other programs.
const ALIASES: &[(&str, &str)] = &[
    ("\\d+", "\\d"),
    ("\\dt+", "\\dt"),
    ("\\connect", "\\c"),
    ("\\edit", "\\e"),
    ("\\help", "\\?"),
    ("\\include", "\\i"),
    ("\\quit", "\\q"),
    ("\\exit", "\\q"),
];

/// The shortest name, without the backslash, for which a similar one is suggested. Every short name is similar to some
/// command.
const SHORTEST_GUESS: usize = 3;

/// The time between two runs of `\watch`, if the command has none.
const WATCH_INTERVAL: Duration = Duration::from_secs(2);

/// True if a line is a command. A command needs no semicolon.
pub fn is_command(line: &str) -> bool {
    let line = line.trim();
    line.starts_with('\\') || matches!(line.trim_end_matches(';'), "quit" | "exit" | "help")
}

/// Returns the last line of a text, if it is a word that people use to leave a prompt or to get help, and the text before
/// it. A word within quotes or a comment is a part of the text.
pub fn last_word(text: &str) -> Option<(&str, &str)> {
    let (before, last) = text.trim_end().rsplit_once('\n')?;
    let word = last.trim().trim_end_matches(';');
    let is_word = matches!(word, "quit" | "exit" | "help");
    (is_word && tokens(before).last().is_none_or(|token| token.closed)).then_some((before, word))
}

/// Returns the answer to such a word within an unfinished statement. The word stays a part of the statement.
pub fn advice(word: &str) -> &'static str {
    match word {
        "help" => "`\\?` lists the commands, Ctrl-C clears the statement\n",
        _ => "`\\q` quits, Ctrl-C clears the statement\n",
    }
}

/// A parsed command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PromptCommand {
    /// Describe the object with a name. Without a name, list the ports and the session's tables.
    Describe(Option<String>),
    /// List the ports and the session's tables whose name fits a pattern.
    Tables(Option<String>),
    /// List the functions whose name fits a pattern.
    Functions(Option<String>),
    /// List the domains.
    Domains,
    /// List the nodes.
    Nodes,
    /// Show a statement's plan as a tree. Without SQL, the plan of the last statement.
    Plan(Option<String>),
    /// Run the statement before the command, or else the last one.
    Go {
        /// True for a block for each row.
        expanded: bool,
        /// The file of the result.
        file: Option<PathBuf>,
    },
    /// Run the statement before the command, or else the last one, again and again.
    Watch {
        /// The time between two runs.
        interval: Duration,
        /// The number of runs. `None` for no end.
        times: Option<u64>,
    },
    /// Write results to a file. Without a file, to where they went at first.
    Output(Option<PathBuf>),
    /// Copy rows between a file of this machine and the node, with these arguments.
    Copy(String),
    /// Run a file.
    Include(PathBuf),
    /// Edit the statement before the command, or else the last one.
    Edit,
    /// Show rows as blocks, or not. Without an argument, toggle.
    Expanded(Option<Expanded>),
    /// Limit the rows that are shown. Without a number, show the limit.
    Rows(Option<RowLimit>),
    /// Use the pager, or not. Without an argument, toggle.
    Pager(Option<bool>),
    /// Show times, or not. Without an argument, toggle.
    Timing(Option<bool>),
    /// Change a setting. Without an argument, show all settings.
    Set(Option<(String, String)>),
    /// Connect to another node, as a user. Without an argument, open a new session.
    Connect(Option<(String, Option<String>)>),
    /// Show the connection.
    ConnectionInfo,
    /// Show the history.
    History,
    /// List the commands.
    Help,
    /// Quit.
    Quit,
}

/// The number of rows of a result that the prompt shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowLimit {
    /// At most so many.
    Most(usize),
    /// All rows, up to a limit of memory.
    All,
}

impl PromptCommand {
    /// Parses a line.
    ///
    /// # Errors
    /// A command that does not exist, or arguments that the command does not accept.
    pub fn parse(line: &str) -> Result<Self> {
        let line = line.trim().trim_end_matches(';').trim_end();
        let (typed, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let (typed, rest) = (printable(typed), rest.trim());
        let name = ALIASES.iter().find(|(alias, _)| *alias == typed).map_or(&*typed, |(_, name)| *name);
        let words: Vec<_> = rest.split_whitespace().collect();
        let one = || (!rest.is_empty()).then(|| rest.to_owned());
        Ok(match (name, words.as_slice()) {
            // A quoted name or pattern may contain spaces.
            ("\\d", _) if words.len() < 2 || rest.contains('"') => Self::Describe(one()),
            ("\\dt", [] | [_]) => Self::Tables(one()),
            ("\\df", [] | [_]) => Self::Functions(one()),
            ("\\dn" | "\\l", []) => Self::Domains,
            ("\\nodes", []) => Self::Nodes,
            ("\\plan", _) => Self::Plan(one()),
            ("\\g" | "\\gx", _) => Self::Go { expanded: name == "\\gx", file: optional_file(name, rest)? },
            ("\\watch", [] | [_] | [_, _]) => watch(&words)?,
            ("\\o", _) => Self::Output(optional_file(name, rest)?),
            ("\\copy", _) => Self::Copy(rest.to_owned()),
            ("\\i", [_, ..]) => match optional_file(name, rest)? {
                Some(file) => Self::Include(file),
                None => return Err(refusal(name)),
            },
            ("\\e", []) => Self::Edit,
            ("\\x", ["auto"]) => Self::Expanded(Some(Expanded::Auto)),
            ("\\x", words) => {
                Self::Expanded(switch(name, words)?.map(|on| if on { Expanded::On } else { Expanded::Off }))
            }
            ("\\rows", []) => Self::Rows(None),
            ("\\rows", ["all"]) => Self::Rows(Some(RowLimit::All)),
            ("\\rows", [n]) => match n.parse::<usize>() {
                Ok(n) if n > 0 => Self::Rows(Some(RowLimit::Most(n))),
                _ => {
                    let n = printable(n);
                    return Err(Error::failed(format!("`\\rows` expects a number above 0, or `all`, got `{n}`")));
                }
            },
            ("\\pager", words) => Self::Pager(switch(name, words)?),
            ("\\pset", ["pager", words @ ..]) => Self::Pager(switch("\\pager", words)?),
            ("\\timing", words) => Self::Timing(switch(name, words)?),
            ("\\set", []) => Self::Set(None),
            ("\\set", [name, value @ ..]) if !value.is_empty() => {
                Self::Set(Some(((*name).into(), value.join(" ").trim_start_matches("= ").into())))
            }
            ("\\c", []) => Self::Connect(None),
            ("\\c", [url]) => Self::Connect(Some(((*url).into(), None))),
            ("\\c", [url, user]) => Self::Connect(Some(((*url).into(), Some((*user).into())))),
            ("\\conninfo", []) => Self::ConnectionInfo,
            ("\\s", []) => Self::History,
            ("\\?" | "help", _) => Self::Help,
            ("\\q" | "quit" | "exit", []) => Self::Quit,
            (name, _) if COMMANDS.iter().any(|(command, _)| *command == name) => return Err(refusal(name)),
            (name, _) => return Err(unknown(name)),
        })
    }
}

/// Returns the arguments that switch something on or off.
fn switch(name: &str, words: &[&str]) -> Result<Option<bool>> {
    match words {
        [] => Ok(None),
        ["on"] => Ok(Some(true)),
        ["off"] => Ok(Some(false)),
        _ => Err(refusal(name)),
    }
}

/// Returns the file of a command, whose name may be in quotes.
fn optional_file(name: &str, rest: &str) -> Result<Option<PathBuf>> {
    let words = shlex::split(rest).ok_or_else(|| Error::failed(format!("a quote after `{name}` is not closed")))?;
    match words.as_slice() {
        [] => Ok(None),
        [file] if !file.is_empty() => Ok(Some(expanded(file))),
        _ => Err(Error::failed(format!("`{name}` expects one file: write a name with spaces in quotes"))),
    }
}

/// Returns a path with the user's folder in the place of `~`.
pub(super) fn expanded(path: &str) -> PathBuf {
    let home = path.strip_prefix("~/").zip(std::env::home_dir());
    home.map_or_else(|| PathBuf::from(path), |(below, home)| home.join(below))
}

/// Parses `\watch 5`, `\watch 5 3`, and psql's `\watch i=5 c=3`.
fn watch(words: &[&str]) -> Result<PromptCommand> {
    let wrong = || Error::failed("`\\watch` expects a number of seconds, and a number of runs, as in `\\watch 5 3`");
    let (mut interval, mut times) = (WATCH_INTERVAL, None);
    for (place, word) in words.iter().copied().enumerate() {
        let (key, value) = word.split_once('=').unwrap_or((if place == 0 { "i" } else { "c" }, word));
        match key {
            "i" | "interval" => {
                let seconds: f64 = value.parse().map_err(|_| wrong())?;
                let parsed = Duration::try_from_secs_f64(seconds).map_err(|_| wrong())?;
                // Not less: a node must not get a statement without a pause.
                interval = parsed.clamp(Duration::from_millis(100), Duration::from_secs(86_400));
            }
            "c" | "count" => times = Some(value.parse::<u64>().ok().filter(|times| *times > 0).ok_or_else(wrong)?),
            _ => return Err(wrong()),
        }
    }
    Ok(PromptCommand::Watch { interval, times })
}

fn refusal(name: &str) -> Error {
    let usage = COMMANDS.iter().find(|(command, _)| *command == name).and_then(|(_, about)| about.split_once("  "));
    match usage {
        Some((usage, _)) => {
            Error::failed(format!("`{name}` does not accept these arguments: expected `{name} {usage}`"))
        }
        None => Error::failed(format!("`{name}` does not accept arguments")),
    }
}

fn unknown(name: &str) -> Error {
    let plain = name.trim_start_matches('\\');
    let commands = COMMANDS.iter().chain(ALIASES).map(|(command, _)| command.trim_start_matches('\\'));
    let near = nearest(plain, commands).filter(|_| plain.chars().count() >= SHORTEST_GUESS);
    let hint = near.map(|near| format!(" did you mean `\\{near}`?")).unwrap_or_default();
    Error::failed(format!("there is no command `{name}`;{hint} `\\?` lists the commands"))
}

/// Returns the text of `\?`.
pub fn help() -> String {
    let width = COMMANDS.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines = COMMANDS.iter().map(|(name, about)| format!("  {name:width$}  {about}\n"));
    let end = "\nStatements end with a semicolon. Tab completes, Ctrl-R searches the history, Ctrl-C cancels.\n";
    lines.collect::<String>() + end
}

#[cfg(test)]
mod tests;
