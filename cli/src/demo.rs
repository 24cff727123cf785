//! `portolan demo`: TPC-H data in three domains, each served by its own process, and a gateway. It opens a prompt,
//! keeps the mesh running for scripts, or runs the benchmark's queries and checks them against one process. One of the
//! domains can be in a database.

pub mod access;
pub mod governed;
pub mod run;

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use portolan_node::{Error, Result};
use portolan_testbed::mesh::{DomainDatabase, LocalMesh};
use portolan_testbed::postgres::PostgresServer;
use portolan_testbed::tpch::cache::{self, cache_folder};
use portolan_testbed::tpch::{TABLES, generate};
use tokio_util::sync::CancellationToken;

use self::access::{Access, user_name};
use crate::connection::Target;
use crate::login::LoginArgs;
use crate::output::print;
use crate::serve::{Terminate, stop_on_signals};
use crate::sql::{self, Introduction};

/// Arguments of `portolan demo`.
#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    /// The scale factor of the data: 1 is about a gigabyte
    #[arg(long, default_value_t = 0.1, value_name = "FACTOR")]
    pub scale: f64,
    /// Run the 22 queries of TPC-H, check each against one process over the same files, and exit
    #[arg(long, conflicts_with = "serve")]
    pub run: bool,
    /// Keep the mesh running without a prompt, and print its URLs. A pipe gets them as one line of JSON
    #[arg(long)]
    pub serve: bool,
    /// The port of the gateway on 127.0.0.1 [default: a free port]
    #[arg(long, value_name = "PORT", conflicts_with = "run", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
    /// Require a login at the gateway, as this user. The password comes from PORTOLAN_PASSWORD, or is generated and shown
    #[arg(long, value_name = "NAME", requires = "serve", value_parser = user_name)]
    pub user: Option<String>,
    /// Put the tables of the domain `sales` into a PostgreSQL server of the demo's own. Needs PostgreSQL's programs
    #[arg(long)]
    pub postgres: bool,
    /// Let the domain `sales` govern its ports by policies, with the users `ann` (an analyst of Europe) and `bob` (the
    /// owner). With `--run`, send one query as both, and check both answers
    #[arg(long, conflicts_with = "user")]
    pub governed: bool,
}

/// The domain that `--postgres` puts into a database.
const IN_DATABASE: &str = "sales";

const INTRODUCTION: &str = r"Three domains are running: sales, supply and geo. Some commands and queries to start with:

  \dn
  \d sales.orders.lineitem
  -- a join across two domains
  SELECT n_name, count(*) AS customers
    FROM sales.customers.customer JOIN geo.places.nation ON c_nationkey = n_nationkey
    GROUP BY n_name ORDER BY customers DESC, n_name LIMIT 5;
  -- where each operator runs, and why
  EXPLAIN SELECT p_brand, sum(l_extendedprice) AS sold
    FROM sales.orders.lineitem JOIN supply.parts.part ON l_partkey = p_partkey
    WHERE l_shipdate >= DATE '1998-01-01' GROUP BY p_brand ORDER BY sold DESC LIMIT 5;

";

/// The exit code of a process that SIGTERM ended: 128 plus the signal's number.
const TERMINATED: i32 = 143;

/// Runs the demo.
///
/// # Errors
/// A port that is taken, data that cannot be generated, nodes that do not start, or queries whose results differ.
pub async fn demo(args: DemoArgs) -> Result<()> {
    if !args.run && !args.serve && !std::io::stdin().is_terminal() {
        return Err(Error::config(
            "the demo's prompt needs a terminal: use `portolan demo --serve` to keep the mesh running, and \
             `portolan sql --url` to send statements from a pipe",
        ));
    }
    let access = Access::new(args.port, args.user.as_deref(), args.governed)?;
    let stop = CancellationToken::new();
    let signals = stop_on_signals(stop.clone())?;
    let data = tpch_data(&cache_folder()?, args.scale, &stop).await?;
    let program =
        std::env::current_exe().map_err(|e| Error::failed("cannot find the path of this program").with_source(e))?;
    let postgres = match args.postgres {
        true => Some(tokio::select! {
            database = database(&data) => database?,
            () = stop.cancelled() => return Err(Error::interrupted()),
        }),
        false => None,
    };
    let databases: Vec<_> = postgres.iter().map(|(_, database)| database.clone()).collect();
    let spinner = spinner("starting three domain nodes and a gateway");
    let mut mesh = tokio::select! {
        mesh = LocalMesh::start_with_gateway(&program, &data, access.gateway(), &databases) => mesh?,
        () = stop.cancelled() => return Err(Error::interrupted()),
    };
    spinner.finish_and_clear();
    let outcome = if args.serve {
        let is_terminal = std::io::stdout().is_terminal();
        print(&if is_terminal { access.to_text(&mesh) } else { access.to_json(&mesh) })?;
        mesh.watch(&stop).await
    } else if args.run {
        tokio::select! {
            outcome = checked(&args, &mesh, &data, &access) => outcome,
            () = stop.cancelled() => Err(Error::interrupted()),
        }
    } else {
        // From here on Ctrl-C belongs to the prompt.
        drop(signals);
        let mut terminate = Terminate::new()?;
        let (target, login, introduction) = prompt(&mesh, &access);
        tokio::select! {
            outcome = sql::interactive(target, login, introduction) => outcome,
            () = terminate.wait() => {
                // The prompt waits for a key on a thread that cannot be interrupted: exit without waiting for it.
                let _ = crossterm::terminal::disable_raw_mode();
                mesh.stop().await;
                std::process::exit(TERMINATED);
            }
        }
    };
    mesh.stop().await;
    outcome
}

/// Runs the queries of the demo, and checks their rows.
async fn checked(args: &DemoArgs, mesh: &LocalMesh, data: &Path, access: &Access) -> Result<()> {
    match args.governed {
        true => governed::run(mesh, data, &access.gateway().governed).await,
        false => run::run(mesh, data).await,
    }
}

/// Returns the gateway with its login, and the text before the first prompt. The prompt of a governed mesh is that of the
/// analyst.
fn prompt(mesh: &LocalMesh, access: &Access) -> (Target, LoginArgs, Introduction) {
    let url = mesh.gateway().url().to_owned();
    let login = LoginArgs { url: Some(url.clone()), ..LoginArgs::default() };
    match access.gateway().governed.first() {
        None => (Target::url(url), login, Introduction(INTRODUCTION.to_owned())),
        Some(user) => {
            let login = LoginArgs { user: Some(user.user.clone()), ..login };
            (Target::Url { url, options: user.connect() }, login, Introduction(access.introduction(mesh)))
        }
    }
}

/// Starts PostgreSQL with the tables of [`IN_DATABASE`].
///
/// # Errors
/// PostgreSQL is not installed, or does not start.
async fn database(data: &Path) -> Result<(PostgresServer, DomainDatabase)> {
    let programs = PostgresServer::programs().ok_or_else(|| {
        Error::config(
            "`--postgres` needs the programs `initdb` and `postgres`: install PostgreSQL's server, such as the package \
             `postgresql` of Debian, or put the folder of the programs on PATH",
        )
    })?;
    let spinner = spinner("starting PostgreSQL, and copying the tables of sales into it");
    let server = PostgresServer::start(&programs).await?;
    let database = server.load_domain(IN_DATABASE, data).await?;
    spinner.finish_and_clear();
    Ok((server, database))
}

/// Returns the folder of the TPC-H data at this scale. Generates the data if it is missing, and shows the progress on
/// standard error.
///
/// # Errors
/// The same as for [`cache::ensure`].
pub async fn tpch_data(root: &Path, scale: f64, stop: &CancellationToken) -> Result<PathBuf> {
    let cancel = Arc::new(AtomicBool::new(false));
    let (root, cancelled) = (root.to_path_buf(), cancel.clone());
    let mut work = tokio::task::spawn_blocking(move || {
        if cache::is_cached(&root, scale) {
            return cache::ensure(&root, scale, &|_, _| {}, &cancelled);
        }
        let bars = Bars::new(scale);
        let data = cache::ensure(&root, scale, &|table, rows| bars.advance(table, rows), &cancelled);
        bars.clear();
        data
    });
    let outcome = tokio::select! {
        outcome = &mut work => outcome,
        () = stop.cancelled() => {
            // The generator stops between two batches, and removes the files that it has written.
            cancel.store(true, Ordering::Relaxed);
            work.await
        }
    };
    outcome.map_err(|e| Error::failed("generating data ended abnormally").with_source(e))?
}

/// One progress bar for each table.
struct Bars {
    all: MultiProgress,
    bars: BTreeMap<&'static str, ProgressBar>,
}

impl Bars {
    fn new(scale: f64) -> Self {
        let all = MultiProgress::new();
        let style = ProgressStyle::with_template("{prefix:>10} {bar:32} {human_pos:>11} rows {wide_msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let head = all.add(ProgressBar::new_spinner());
        head.set_message(format!("generating TPC-H data at scale {scale}, once"));
        let bars = TABLES.iter().map(|table| {
            let bar = all.add(ProgressBar::new(generate::expected_rows(table.name, scale)));
            bar.set_style(style.clone());
            bar.set_prefix(table.name);
            (table.name, bar)
        });
        let mut bars: BTreeMap<_, _> = bars.collect();
        bars.insert("", head);
        Self { all, bars }
    }

    fn advance(&self, table: &str, rows: usize) {
        if let Some(bar) = self.bars.get(table) {
            bar.inc(rows as u64);
        }
    }

    fn clear(&self) {
        for bar in self.bars.values() {
            bar.finish_and_clear();
        }
        // A bar that cannot be removed from the screen is not an error.
        let _ = self.all.clear();
    }
}

fn spinner(message: &'static str) -> ProgressBar {
    let spinner = ProgressBar::new_spinner();
    spinner.set_message(message);
    spinner.enable_steady_tick(std::time::Duration::from_millis(100));
    spinner
}
