//! The `portolan` binary: it turns arguments into library calls, and errors into exit codes.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use portolan_catalog::printable_lines;
use portolan_cli::audit::{AuditArgs, audit};
use portolan_cli::catalog::{CatalogArgs, catalog};
use portolan_cli::demo::{DemoArgs, demo};
use portolan_cli::exit::exit_code;
use portolan_cli::init::{InitArgs, init};
use portolan_cli::log::{report_panics, start_log};
use portolan_cli::node_key::{NodeKeyArgs, node_key};
use portolan_cli::output::print_error;
use portolan_cli::password::hash_from_stdin;
use portolan_cli::policy::{PolicyArgs, policy};
use portolan_cli::product::{ProductArgs, product};
use portolan_cli::serve::{ServeArgs, serve};
use portolan_cli::sql::{SqlArgs, sql};
use portolan_connectors::install_crypto_provider;
use portolan_node::config::LogFormat;
use portolan_node::{Error, ErrorKind, NodeConfig, Result};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// SQL across the output ports of data products: one query, many owners
#[derive(Parser)]
#[command(name = "portolan", version, arg_required_else_help = true, after_help = ENVIRONMENT)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// The text below the help: where to begin, and the variables of the environment.
const ENVIRONMENT: &str = "\
`portolan demo` is a good start: it needs no config. `portolan init` creates a node with your own data.

Environment:
  PORTOLAN_URL       The URL of the node that `sql` and `catalog` query
  PORTOLAN_PASSWORD  The password of `--user`, and of the user that `init` creates
  PORTOLAN_RC        The file with statements and commands that the prompt runs first
  PAGER, EDITOR      The programs that the prompt shows long results and edits statements with
  NO_COLOR           No colours, if it is not empty
  PORTOLAN_LOG       The filter of the log on standard error, such as `info` or `debug`";

#[derive(Subcommand)]
enum Command {
    /// Create a node in a folder: a config, products from your data, a user
    Init(InitArgs),
    /// Draft data products from files, and test the data of products
    Product(ProductArgs),
    /// Check the policies of a domain, explain what they decide for a principal, and run their test cases
    Policy(PolicyArgs),
    /// Run a node from a config file
    Serve(ServeArgs),
    /// Run SQL on a node: from a prompt, an argument, a file or standard input
    Sql(SqlArgs),
    /// Start three domains with TPC-H data and a gateway on this machine, and open a prompt
    Demo(DemoArgs),
    /// List, show and check data products
    Catalog(CatalogArgs),
    /// Verify and list the audit records of a node
    Audit(AuditArgs),
    /// Read a password from standard input and print its hash for a node's config
    HashPassword,
    /// Create a node's key, and print the `trusted_nodes` entry for the configs of other nodes
    NodeKey(NodeKeyArgs),
}

fn main() -> ExitCode {
    report_panics(LogFormat::Text);
    install_crypto_provider();
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if error.kind() != ErrorKind::BrokenPipe {
                // An interruption is shown over the `^C` of the terminal.
                let is_after_key = error.kind() == ErrorKind::Interrupted && std::io::stderr().is_terminal();
                let start = if is_after_key { "\r" } else { "" };
                print_error(&format!("{start}error: {}\n", printable_lines(&error.owner_chain())));
            }
            ExitCode::from(exit_code(&error))
        }
    }
}

fn run(command: Command) -> Result<()> {
    let config = match &command {
        Command::Serve(args) if args.check => Some(NodeConfig::load_with_descriptors(&args.config)?),
        Command::Serve(args) => Some(NodeConfig::load(&args.config)?),
        _ => None,
    };
    let default = match (&command, &config) {
        // An object store that does not respond would log each attempt, without the port.
        (_, Some(config)) => config.log.clone().unwrap_or_else(|| "info,object_store=warn".into()),
        _ => "warn".into(),
    };
    start_log(&default, config.as_ref().map(|config| config.log_format).unwrap_or_default())?;
    // Connections run on this runtime. The engine drives plans on its own threads.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::failed("cannot start threads").with_source(e))?;
    let outcome = runtime.block_on(async {
        match (command, config) {
            (Command::Serve(args), Some(config)) => serve(config, &args).await,
            (Command::Serve(_), None) => Err(Error::config("there is no config")),
            (Command::Init(args), _) => init(args).await,
            (Command::Product(args), _) => product(args).await,
            (Command::Policy(args), _) => policy(args).await,
            (Command::Sql(args), _) => sql(args).await,
            (Command::Demo(args), _) => demo(args).await,
            (Command::Catalog(args), _) => catalog(args).await,
            (Command::Audit(args), _) => audit(args),
            (Command::HashPassword, _) => hash_from_stdin(),
            (Command::NodeKey(args), _) => node_key(&args),
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(2));
    outcome
}
