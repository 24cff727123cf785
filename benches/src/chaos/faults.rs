//! The faults, and their seeded schedule.

use std::fmt;
use std::fs;
use std::ops::Range;
use std::time::Duration;

use clap::ValueEnum;
use futures::future::join_all;
use portolan_engine::ErrorKind;
use portolan_node::{Error, Result};
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use tokio::time::sleep;

use super::Field;
use super::abuse::statements;
use super::clients::Caller;
use super::link::Quality;
use super::mesh::{ABUSER, GATEWAY, NODE_COUNT, Node};

/// The time that a node has to end after SIGTERM. Running queries have ten seconds.
const END_TIMEOUT: Duration = Duration::from_secs(30);

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum FaultKind {
    /// A node is killed, and starts again later
    Kill,
    /// The process of a node is stopped, and continues later
    Stop,
    /// A node ends after SIGTERM, and starts again at once
    Restart,
    /// The connections to an owner are cut, and new ones fail
    Cut,
    /// The connections to an owner are slow
    Slow,
    /// Bits change on the connections to an owner
    Corrupt,
    /// Queries spill more than the disk of a node may hold
    FullDisk,
    /// Queries need more memory than a node gives them
    Hog,
    /// Statements work for long, or on much memory, in one piece
    Hostile,
    /// An owner publishes a port under another name
    Rename,
    /// The descriptors of an owner become invalid
    BadDescriptors,
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_possible_value().as_ref().map_or("", |value| value.get_name()))
    }
}

impl FaultKind {
    /// True if queries of others can have errors of this kind because of the fault.
    pub fn explains(self, error: ErrorKind) -> bool {
        match (self, error) {
            // Every fault takes time, and a busy node can be too slow for its peers.
            (_, ErrorKind::DeadlineExceeded | ErrorKind::SiteUnavailable) => true,
            // A node that starts knows neither sessions nor, for a moment, the ports of its peers.
            (Self::Kill | Self::Restart, ErrorKind::Unauthenticated | ErrorKind::NotFound) => true,
            (Self::Restart, ErrorKind::Cancelled) | (Self::Rename, ErrorKind::NotFound) => true,
            // Any part of a request can change, such as its path or a token.
            (Self::Corrupt, error) => error != ErrorKind::Internal,
            (Self::FullDisk | Self::Hog | Self::Hostile, ErrorKind::ResourceExhausted) => true,
            _ => false,
        }
    }

    /// Returns the nodes that can have the fault.
    fn nodes(self) -> Range<usize> {
        match self {
            Self::Cut | Self::Slow | Self::Corrupt | Self::Rename | Self::BadDescriptors => GATEWAY + 1..NODE_COUNT,
            _ => GATEWAY..NODE_COUNT,
        }
    }
}

/// A fault of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The kind.
    pub kind: FaultKind,
    /// The position of the node.
    pub node: usize,
    /// The time from the beginning of the fault to its end. Restarts and statements end by themselves.
    pub time: Duration,
}

impl Fault {
    /// Injects the fault, and ends it.
    ///
    /// # Errors
    /// A process that cannot be controlled, or a file that cannot be written.
    pub async fn inject(&self, field: &Field) -> Result<()> {
        let node = &field.mesh.nodes[self.node];
        field.judge.begins(self.kind);
        match self.kind {
            FaultKind::Kill => {
                node.process.lock().await.kill().await?;
                sleep(self.time).await;
                node.start_again().await?;
            }
            FaultKind::Stop => {
                node.process.lock().await.signal("STOP").await?;
                sleep(self.time).await;
                node.process.lock().await.signal("CONT").await?;
            }
            FaultKind::Restart => {
                node.process.lock().await.end(END_TIMEOUT * field.judge.patience).await?;
                node.start_again().await?;
            }
            FaultKind::Cut => self.with_link(node, Quality::Cut).await,
            FaultKind::Slow => self.with_link(node, Quality::Slow).await,
            FaultKind::Corrupt => self.with_link(node, Quality::Faulty).await,
            FaultKind::FullDisk | FaultKind::Hog | FaultKind::Hostile => {
                let statements = statements(self.kind);
                let asked = statements.iter().map(|sql| async move {
                    Caller::new(node, Some(ABUSER), None).ask(&field.judge, sql, None).await;
                });
                join_all(asked).await;
            }
            // The only list in the descriptor is that of its ports.
            FaultKind::Rename => self.with_descriptor(node, |text| text.replace("\n- name: ", "\n- name: x")).await?,
            FaultKind::BadDescriptors => self.with_descriptor(node, |text| format!("{text}\nx: [")).await?,
        }
        field.judge.ended(self.kind);
        Ok(())
    }

    async fn with_link(&self, node: &Node, quality: Quality) {
        if let Some(link) = &node.link {
            link.set(quality);
            sleep(self.time).await;
            link.set(Quality::Good);
        }
    }

    /// Changes the descriptor of a product, and restores it.
    async fn with_descriptor(&self, node: &Node, change: impl Fn(&str) -> String) -> Result<()> {
        let product = if node.domain == Some("sales") { "customers" } else { "suppliers" };
        let file = node.home.join("products").join(format!("{product}.odps.yaml"));
        let failed = |e| Error::output(file.display(), e);
        let text = fs::read_to_string(&file).map_err(failed)?;
        fs::write(&file, change(&text)).map_err(failed)?;
        node.process.lock().await.signal("HUP").await?;
        sleep(self.time).await;
        fs::write(&file, text).map_err(failed)?;
        node.process.lock().await.signal("HUP").await
    }
}

/// The schedule of faults, which follows from a seed. Each kind comes once before any kind comes again.
#[derive(Debug)]
pub struct Schedule {
    kinds: Vec<FaultKind>,
    left: Vec<FaultKind>,
    random: StdRng,
}

impl Schedule {
    /// Returns the schedule of `kinds`, or of all kinds if there are none.
    pub fn new(kinds: &[FaultKind], seed: u64) -> Self {
        let kinds = if kinds.is_empty() { FaultKind::value_variants() } else { kinds };
        Self { kinds: kinds.to_vec(), left: vec![], random: StdRng::seed_from_u64(seed) }
    }

    /// Returns the number of kinds.
    pub fn kinds(&self) -> usize {
        self.kinds.len()
    }

    /// Returns the next faults, which begin together: one, or two at different nodes.
    pub fn next_round(&mut self) -> Vec<Fault> {
        let mut faults: Vec<Fault> = vec![];
        for _ in 0..self.random.random_range(1..=2) {
            if self.left.is_empty() {
                self.left.clone_from(&self.kinds);
                self.left.shuffle(&mut self.random);
            }
            let Some(kind) = self.left.pop() else { break };
            let free: Vec<_> = kind.nodes().filter(|node| faults.iter().all(|fault| fault.node != *node)).collect();
            // Some faults are long.
            let seconds = if self.random.random_bool(0.2) { 4.0..8.0 } else { 1.0..4.0 };
            let time = Duration::from_secs_f64(self.random.random_range(seconds));
            faults.extend(free.choose(&mut self.random).map(|&node| Fault { kind, node, time }));
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_decides_the_faults_and_every_kind_comes() {
        let all = FaultKind::value_variants();
        let faults = |seed| {
            let mut schedule = Schedule::new(&[], seed);
            let rounds: Vec<_> = (0..all.len()).map(|_| schedule.next_round()).collect();
            for round in &rounds {
                let nodes: BTreeSet<_> = round.iter().map(|fault| fault.node).collect();
                assert!(nodes.len() == round.len() && !round.is_empty(), "{round:?}");
            }
            rounds.concat()
        };
        assert_eq!(faults(7), faults(7));
        assert_ne!(faults(7), faults(8));
        let kinds: BTreeSet<_> = faults(7).iter().map(|fault| fault.kind).collect();
        assert_eq!(kinds.len(), all.len());
    }
}
