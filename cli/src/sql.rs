//! `portolan sql`: runs statements from an argument, a file or standard input, one after the other, or opens the
//! prompt.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use futures::StreamExt;
use portolan_connectors::node::is_exposed;
use portolan_node::client::ConnectOptions;
use portolan_node::{Error, Result};

pub use crate::connection::Target;
use crate::connection::{Connection, default_url};
use crate::lexer::statements;
use crate::output::{Format, Output, print, rows_changed};
use crate::place::draw;
use crate::repl::Repl;
use crate::repl::progress::ProgressLine;

/// The size of the longest script that is read, in bytes.
const MAX_SCRIPT_BYTES: u64 = 64 << 20;

/// Arguments of `portolan sql`.
#[derive(Args, Clone, Debug)]
pub struct SqlArgs {
    /// The URL of the node to query [default: PORTOLAN_URL, or grpc://127.0.0.1:50051]
    #[arg(long, value_name = "URL", conflicts_with = "config")]
    pub url: Option<String>,
    /// Log in as this user. The password comes from PORTOLAN_PASSWORD or a prompt
    #[arg(long, value_name = "NAME", conflicts_with = "config")]
    pub user: Option<String>,
    /// For grpc+tls:// URLs: the file with the trusted certificates (PEM)
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    pub ca: Option<PathBuf>,
    /// Allow the password to be sent to another machine without TLS
    #[arg(long, requires = "user")]
    pub allow_plaintext: bool,
    /// Run a node with this config in this process, instead of connecting to a node
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Run these statements, and exit
    #[arg(short, long, value_name = "SQL", conflicts_with = "file")]
    pub command: Option<String>,
    /// Run the statements in this file, and exit
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The format of the results. Parquet and Arrow need a file or a pipe
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Write the results to this file. The file appears when it is complete
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// The text that is printed before the first prompt.
#[derive(Clone, Copy, Debug)]
pub struct Introduction(pub &'static str);

impl SqlArgs {
    /// Returns the node to connect to. Prompts for the password if one is needed.
    ///
    /// # Errors
    /// A password that cannot be read, or that would leave this machine without TLS.
    pub fn target(&self) -> Result<Target> {
        if let Some(config) = &self.config {
            return Ok(Target::Config(config.clone()));
        }
        let url = self.url.clone().map_or_else(default_url, Ok)?;
        let credentials = match &self.user {
            None => None,
            Some(user) => {
                if is_exposed(&url) && !self.allow_plaintext {
                    return Err(Error::config(format!(
                        "refusing to send the password of {user} to {url} without TLS: use a `grpc+tls://` URL with \
                         `--ca`, or allow it with `--allow-plaintext`"
                    )));
                }
                let password = match std::env::var("PORTOLAN_PASSWORD") {
                    Ok(password) => password,
                    Err(_) => crate::password::ask(&format!("password of {user} at {url}: "))?,
                };
                Some((user.clone(), password))
            }
        };
        Ok(Target::Url { url, options: ConnectOptions { credentials, ca: self.ca.clone() } })
    }

    fn script(&self) -> Result<Option<String>> {
        let read = |source: &mut dyn Read, name: &str| {
            let mut text = String::new();
            let taken = source.take(MAX_SCRIPT_BYTES + 1).read_to_string(&mut text);
            match taken.map_err(|e| Error::failed(format!("cannot read {name}")).with_source(e))? as u64 {
                n if n > MAX_SCRIPT_BYTES => Err(Error::failed(format!("{name} is longer than 64 MiB"))),
                _ => Ok(Some(text)),
            }
        };
        match (&self.command, &self.file) {
            (Some(command), _) => Ok(Some(command.clone())),
            (None, Some(file)) => {
                let name = file.display().to_string();
                let mut opened = std::fs::File::open(file)
                    .map_err(|e| Error::config(format!("cannot read {name}")).with_source(e))?;
                read(&mut opened, &name)
            }
            (None, None) if std::io::stdin().is_terminal() => Ok(None),
            (None, None) => read(&mut std::io::stdin(), "standard input"),
        }
    }
}

/// Runs `portolan sql`.
///
/// # Errors
/// A node that cannot be reached, or the first statement that fails.
pub async fn sql(args: SqlArgs) -> Result<()> {
    let target = args.target()?;
    match args.script()? {
        None if args.output.is_some() => {
            Err(Error::config("`--output` needs statements from `-c`, `-f` or standard input"))
        }
        None => interactive(target, Introduction("")).await,
        Some(script) => {
            let connection = Connection::open(&target).await?;
            let mut output = Output::new(args.format, args.output.as_deref())?;
            tokio::select! {
                outcome = run_script(&connection, &script, &mut output) => outcome?,
                _ = tokio::signal::ctrl_c() => return Err(Error::interrupted()),
            }
            output.finish()
        }
    }
}

/// Runs statements from a prompt until the user quits.
///
/// # Errors
/// A node that cannot be reached, or a terminal that cannot be used.
pub async fn interactive(target: Target, introduction: Introduction) -> Result<()> {
    let connection = Connection::open(&target).await?;
    print(introduction.0)?;
    Repl::new(connection)?.run().await
}

async fn run_script(connection: &Connection, script: &str, output: &mut Output) -> Result<()> {
    for statement in statements(script) {
        run_statement(connection, statement.text, output).await?;
    }
    Ok(())
}

async fn run_statement(connection: &Connection, sql: &str, output: &mut Output) -> Result<()> {
    let failed = |e: portolan_engine::Error| Error::failed(draw(&e.owner_chain(), sql));
    let mut running = {
        let uploads = connection.has_uploads(sql).then(|| connection.uploads());
        let _line = uploads.map(|uploads| ProgressLine::start(Some(uploads), Instant::now()));
        connection.start(sql).await.map_err(failed)?
    };
    if running.schema.fields().is_empty() {
        // The statement returns no columns. It is done when its stream has ended.
        while let Some(batch) = running.rows.next().await {
            batch.map_err(failed)?;
        }
        // Not on standard output, where a program may read the rows of other statements.
        if let Some(rows) = running.changed {
            eprintln!("{}", rows_changed(rows));
        }
        return Ok(());
    }
    let mut writer = output.begin(&running.schema)?;
    while let Some(batch) = running.rows.next().await {
        writer.write(&batch.map_err(failed)?)?;
    }
    writer.finish()
}
