//! `portolan sql`: runs statements and commands from arguments, a file or standard input, one after the other, or opens
//! the prompt.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::Args;
use portolan_node::{Error, Result};

use crate::connection::{Connection, Target};
use crate::login::LoginArgs;
use crate::output::{Format, Output, print};
use crate::repl::Repl;
use crate::repl::script::{read, read_file};
use crate::repl::shell::{Next, Shell};

/// Arguments of `portolan sql`.
#[derive(Args, Clone, Debug)]
pub struct SqlArgs {
    /// The statements to run, as with `-c`
    #[arg(value_name = "SQL", conflicts_with_all = ["command", "file"])]
    pub statements: Option<String>,
    /// The node and the user.
    #[command(flatten)]
    pub login: LoginArgs,
    /// Run a node with this config in this process, instead of connecting to a node
    #[arg(long, value_name = "FILE", conflicts_with_all = ["url", "user", "ca"])]
    pub config: Option<PathBuf>,
    /// Run these statements and commands, and exit. Several `-c` run one after the other
    #[arg(short, long, value_name = "SQL", conflicts_with = "file", allow_hyphen_values = true)]
    pub command: Vec<String>,
    /// Run the statements and commands in this file, and exit. `-` stands for standard input
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The format of the results [default: that of the ending of `--output`, or else table]. Parquet and Arrow need a
    /// file or a pipe
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// Write the results to this file. The file appears when it is complete. `-` stands for standard output
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Do not run the file with statements and commands that the prompt runs first
    #[arg(long)]
    pub no_rc: bool,
}

/// The text that is printed before the first prompt.
#[derive(Clone, Debug)]
pub struct Introduction(pub String);

/// A text of statements and commands, and its name in errors.
struct Script {
    text: String,
    name: Option<String>,
}

impl SqlArgs {
    fn target(&self) -> Result<Target> {
        match &self.config {
            Some(config) => Ok(Target::Config(config.clone())),
            None => self.login.target(),
        }
    }

    /// Returns the scripts to run, or `None` for the prompt.
    fn scripts(&self) -> Result<Option<Vec<Script>>> {
        let script = |text: String, name: Option<&str>| Script { text, name: name.map(str::to_owned) };
        if let Some(statements) = &self.statements {
            check_statements(statements)?;
            return Ok(Some(vec![script(statements.clone(), None)]));
        }
        if let Some(file) = self.file.as_ref().filter(|file| file.as_os_str() != "-") {
            return Ok(Some(vec![script(read_file(file)?, Some(file.display().to_string().as_str()))]));
        }
        if !self.command.is_empty() {
            return Ok(Some(self.command.iter().map(|command| script(command.clone(), None)).collect()));
        }
        if self.file.is_none() && std::io::stdin().is_terminal() {
            return Ok(None);
        }
        let name = "standard input";
        Ok(Some(vec![script(read(&mut std::io::stdin(), name)?, Some(name))]))
    }

    fn output(&self) -> Result<Output> {
        match self.output.as_ref().filter(|file| file.as_os_str() != "-") {
            Some(file) => Output::file(file, self.format, Format::Table),
            None => Output::stdout(self.format.unwrap_or(Format::Table)),
        }
    }
}

/// Refuses an argument that is the name of a file or a URL, and no statement.
fn check_statements(statements: &str) -> Result<()> {
    let advice = if statements.starts_with("grpc") && statements.contains("://") {
        format!("`--url {statements}` connects to a node")
    } else if !statements.contains(char::is_whitespace) && Path::new(statements).is_file() {
        format!("`-f {statements}` runs a file")
    } else {
        return Ok(());
    };
    Err(Error::config(format!("expected statements, got `{statements}`: {advice}")))
}

/// Runs `portolan sql`.
///
/// # Errors
/// A node that cannot be reached, or the first statement or command that fails.
pub async fn sql(args: SqlArgs) -> Result<()> {
    let scripts = args.scripts()?;
    let Some(scripts) = scripts else {
        if args.output.is_some() {
            return Err(Error::config("`--output` needs statements from `-c`, `-f` or standard input"));
        }
        let target = args.target()?;
        return open_prompt(target, args.login, args.format, Introduction(String::new()), !args.no_rc).await;
    };
    let target = args.target()?;
    let output = args.output()?;
    let connection = Connection::open(&target).await?;
    let mut shell = Shell::script(connection, target, args.login, args.format, output);
    tokio::select! {
        outcome = run_scripts(&mut shell, &scripts) => outcome?,
        _ = tokio::signal::ctrl_c() => return Err(Error::interrupted()),
    }
    shell.finish()?.map_or(Ok(()), |unwritten| Err(Error::failed(unwritten)))
}

/// Runs statements from a prompt until the user quits.
///
/// # Errors
/// A node that cannot be reached, or a terminal that cannot be used.
pub async fn interactive(target: Target, login: LoginArgs, introduction: Introduction) -> Result<()> {
    open_prompt(target, login, None, introduction, true).await
}

async fn open_prompt(
    target: Target,
    login: LoginArgs,
    format: Option<Format>,
    introduction: Introduction,
    runs_rc_file: bool,
) -> Result<()> {
    let connection = Connection::open(&target).await?;
    let shell = Shell::prompt(connection, target, login, format)?;
    print(&introduction.0)?;
    Repl::new(shell).run(runs_rc_file).await
}

async fn run_scripts(shell: &mut Shell, scripts: &[Script]) -> Result<()> {
    for script in scripts {
        if shell.run_script(&script.text, script.name.as_deref()).await? == Next::Leave {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn an_argument_that_is_no_statement_gets_advice() {
        let error = |text: &str| check_statements(text).unwrap_err().to_string();
        assert!(error("grpc://a:1").contains("`--url grpc://a:1`"), "{}", error("grpc://a:1"));
        let file = tempfile::NamedTempFile::new().unwrap();
        let name = file.path().to_str().unwrap();
        assert!(error(name).contains(&format!("`-f {name}`")), "{}", error(name));
        for statements in ["SELECT 1", "\\d", "TABLE x"] {
            assert!(check_statements(statements).is_ok(), "{statements}");
        }
    }
}
