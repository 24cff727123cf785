//! Long runs over a mesh, whose clients send queries with known answers.
//!
//! - The chaos run: a seeded schedule of faults hits nodes, connections, disks and catalogs. The run fails if an answer is
//!   wrong, if an error is late or has no expected cause, if a domain is not served soon after a fault, or if a node holds
//!   resources at the end.
//! - The soak: nothing fails. The run fails if an answer is not right, or if memory, open files or threads of the nodes
//!   grow.

mod abuse;
mod checks;
mod clients;
mod faults;
mod known;
mod leftovers;
mod link;
mod mesh;
mod report;
pub mod soak;

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use futures::future::try_join_all;
use portolan_cli::demo::tpch_data;
use portolan_cli::serve::stop_on_signals;
use portolan_node::{Error, Result};
use portolan_testbed::single::single_process;
use portolan_testbed::tpch::cache::cache_folder;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::checks::Judge;
use self::faults::{Fault, FaultKind, Schedule};
use self::known::Questions;
use self::mesh::Mesh;
use crate::options::{Format, this_program};

/// The scale factor of the data.
const SCALE: f64 = 0.01;
/// The time for the nodes to know one another at the start.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// The pause between the recovery from faults and the next ones.
const PAUSE: Duration = Duration::from_millis(500);

/// The options of a chaos run.
#[derive(Args)]
pub struct ChaosArgs {
    /// The time for which faults are injected. Each kind of fault comes at least once
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    minutes: u32,
    /// The seed of the queries and the faults. Default: a random one, which is printed
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,
    /// The factor for the time limits of errors, of recovery and of the end, for a slow machine
    #[arg(long, default_value_t = 1, value_name = "FACTOR", value_parser = clap::value_parser!(u32).range(1..=100))]
    patience: u32,
    /// Inject only these kinds of faults
    #[arg(long, value_enum, value_delimiter = ',', value_name = "KINDS")]
    only: Vec<FaultKind>,
    /// The output format
    #[arg(long, value_enum, default_value_t = Format::Markdown)]
    format: Format,
}

/// The parts of a run that clients, faults and checks share.
pub struct Field {
    mesh: Mesh,
    questions: Questions,
    judge: Judge,
}

/// Runs the mesh, the clients and the faults, and prints a table.
///
/// # Errors
/// Failed checks, with the seed and the folder of the nodes' logs; a node that ends by itself or does not start.
pub async fn run(args: &ChaosArgs) -> Result<()> {
    let seed = args.seed.unwrap_or_else(rand::random);
    on_mesh(seed, args.patience, async |field| {
        let outcome = field.endure(args, seed).await;
        let title = format!("{} min of faults, seed {seed}", args.minutes);
        field.judge.outcome().0.table(title).print(args.format)?;
        outcome
    })
    .await
}

/// Starts a mesh, calls `run`, and removes the mesh if no check has failed.
async fn on_mesh(seed: u64, patience: u32, run: impl AsyncFnOnce(&Arc<Field>) -> Result<()>) -> Result<()> {
    let stop = CancellationToken::new();
    let _signals = stop_on_signals(stop.clone())?;
    eprintln!("seed {seed}");
    let data = tpch_data(&cache_folder()?, SCALE, &stop).await?;
    let checked = async {
        let questions = Questions::of(&single_process(&data).await?, seed).await?;
        let mesh = Mesh::start(&this_program()?, &data, seed).await?;
        let field = Arc::new(Field { mesh, questions, judge: Judge::new(patience) });
        let outcome = run(&field).await;
        let failures = field.judge.outcome().1;
        let found: Vec<_> = failures.into_iter().chain(outcome.err().map(|e| e.owner_chain())).collect();
        if found.is_empty() {
            return field.mesh.remove().await;
        }
        let logs = field.mesh.folder.display();
        Err(Error::failed(format!(
            "{} checks failed with seed {seed}; the logs of the nodes are in {logs}:\n  {}",
            found.len(),
            found.join("\n  ")
        )))
    };
    tokio::select! {
        outcome = checked => outcome,
        () = stop.cancelled() => Err(Error::interrupted()),
    }
}

impl Field {
    /// Runs the clients and the faults, and checks what is left at the end.
    async fn endure(self: &Arc<Self>, args: &ChaosArgs, seed: u64) -> Result<()> {
        self.with_clients(seed, clients::PAUSE, self.inject(args, seed)).await
    }

    /// Runs the clients until `work` ends, and checks what is left.
    async fn with_clients(
        self: &Arc<Self>,
        seed: u64,
        pause: Duration,
        work: impl Future<Output = Result<()>>,
    ) -> Result<()> {
        self.served(Instant::now(), START_TIMEOUT * self.judge.patience).await.map_err(Error::failed)?;
        let before = self.metrics().await.map_err(Error::failed)?;
        let stop = CancellationToken::new();
        let mut clients = JoinSet::new();
        for number in 0..clients::CLIENTS {
            clients.spawn(clients::run(self.clone(), number, seed, pause, stop.clone()));
        }
        let outcome = work.await;
        stop.cancel();
        // The time of each answer is bounded.
        while let Some(ended) = clients.join_next().await {
            ended.map_err(|e| Error::failed("a client ended abnormally").with_source(e))?;
        }
        outcome?;
        self.mesh.check().await?;
        for left in self.leftovers(&before).await {
            self.judge.failed(&format!("not released: {left}"));
        }
        if self.judge.outcome().0.right < clients::CLIENTS as u64 {
            self.judge.failed("the clients got fewer correct results than there are clients");
        }
        Ok(())
    }

    /// Injects faults until the time is over.
    async fn inject(&self, args: &ChaosArgs, seed: u64) -> Result<()> {
        let (started, time) = (Instant::now(), Duration::from_secs(60) * args.minutes);
        let mut schedule = Schedule::new(&args.only, seed);
        let mut injected = 0;
        while (started.elapsed() < time || injected < schedule.kinds()) && !self.judge.has_enough() {
            let faults = schedule.next_round();
            injected += faults.len();
            try_join_all(faults.iter().map(|fault| fault.inject(self))).await?;
            self.recover(&faults, started).await;
            self.mesh.check().await?;
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Waits until every domain is served after faults, and prints a line for each fault.
    async fn recover(&self, faults: &[Fault], started: Instant) {
        let served = self.served(Instant::now(), self.judge.recovery()).await;
        for Fault { kind, node, time } in faults {
            let (at, node, time) = (started.elapsed().as_secs(), self.mesh.nodes[*node].name, time.as_secs_f64());
            match &served {
                Ok(after) => {
                    eprintln!("{at:>5} s  {kind} at {node} ({time:.1} s): served after {:.1} s", after.as_secs_f64());
                    self.judge.recovered(*kind, *after);
                }
                Err(what) => self.judge.failed(&format!("after {kind} at {node}, {what}")),
            }
        }
    }
}
