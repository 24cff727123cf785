//! The clients: several principals and anonymous visitors, at the gateway and at the owners, who send one query after
//! another.

use std::sync::Arc;
use std::time::{Duration, Instant};

use portolan_engine::{Error, ErrorKind};
use portolan_node::client::{Client, ConnectOptions};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use tokio_util::sync::CancellationToken;

use super::Field;
use super::checks::{Answer, Judge};
use super::known::{Known, Rows};
use super::mesh::{GATEWAY, NODE_COUNT, Node, USERS};
use crate::server::PASSWORD;

/// The number of clients.
pub const CLIENTS: usize = 20;
/// The longest pause of a client between two queries in a chaos run.
pub const PAUSE: Duration = Duration::from_millis(500);
/// The settings with which clients begin their sessions. Together, they use every kind of edge.
const SETTINGS: [Option<&str>; 5] = [
    None,
    Some("SET portolan.strategy = keys_from_left"),
    Some("SET portolan.strategy = delegate_to_right"),
    Some("SET portolan.strategy = gather"),
    Some("SET portolan.placement = off"),
];

/// A client, who logs in again after the node was restarted.
pub struct Caller {
    /// The user and the node, for errors.
    pub name: String,
    url: String,
    user: Option<&'static str>,
    setting: Option<&'static str>,
    session: Option<Client>,
}

impl Caller {
    /// Returns a client of a node. `None` as the user is an anonymous client.
    pub fn new(node: &Node, user: Option<&'static str>, setting: Option<&'static str>) -> Self {
        let name = format!("{} at {}", user.unwrap_or("anonymous"), node.name);
        Self { name, url: node.url.clone(), user, setting, session: None }
    }

    /// Sends a statement.
    ///
    /// # Errors
    /// The error of the login or of the statement.
    pub async fn send(&mut self, sql: &str) -> Result<Rows, Error> {
        let session = match &self.session {
            Some(session) => session.clone(),
            None => self.log_in().await?,
        };
        self.session = Some(session.clone());
        let outcome = session.query(sql).await;
        // After a restart, the node does not know the session. Other errors leave the session as it is.
        if outcome.as_ref().is_err_and(|e| e.kind() == ErrorKind::Unauthenticated) {
            self.session = None;
        }
        outcome
    }

    async fn log_in(&self) -> Result<Client, Error> {
        let credentials = self.user.map(|user| (user.to_owned(), PASSWORD.to_owned()));
        let session = Client::connect(&self.url, &ConnectOptions { credentials, ca: None }).await?;
        if let Some(setting) = self.setting {
            session.query(setting).await?;
        }
        Ok(session)
    }

    /// Sends a statement, and has the answer judged. Without a known answer, any rows are right, and so is a rejection.
    pub async fn ask(&mut self, judge: &Judge, sql: &str, known: Option<&Known>) {
        let started = Instant::now();
        let outcome = tokio::time::timeout(judge.time_limit(), self.send(sql)).await;
        let answer = match (outcome, known) {
            (Err(_), _) => Answer::Nothing,
            (Ok(Err(error)), None) if error.kind() == ErrorKind::InvalidQuery => Answer::Unchecked,
            (Ok(Err(error)), _) => Answer::Error(error),
            (Ok(Ok(_)), None) => Answer::Unchecked,
            (Ok(Ok(rows)), Some(known)) => match tokio::task::block_in_place(|| known.check(&rows)) {
                Ok(()) => Answer::Right,
                Err(difference) => Answer::Wrong(difference.to_string()),
            },
        };
        judge.answered(&self.name, sql, started, answer);
    }
}

/// Sends random queries until `stop` is cancelled, with pauses of at most `longest`. `seed` and `number` decide the
/// queries, and `number` the node, the user and the settings.
pub async fn run(field: Arc<Field>, number: usize, seed: u64, longest: Duration, stop: CancellationToken) {
    let mut random = StdRng::seed_from_u64(seed.wrapping_add(number as u64));
    // Half of the clients are at the gateway.
    let place = if number.is_multiple_of(2) { GATEWAY } else { 1 + number / 2 % (NODE_COUNT - 1) };
    let user = [None, Some(USERS[0]), Some(USERS[1])][number % 3];
    let mut caller = Caller::new(&field.mesh.nodes[place], user, SETTINGS[number % SETTINGS.len()]);
    while !stop.is_cancelled() {
        if let Some(known) = field.questions.all.choose(&mut random) {
            caller.ask(&field.judge, &known.sql, Some(known)).await;
        }
        let pause = longest.mul_f64(random.random_range(0.0..1.0));
        // A client that waits for an answer gets it, also at the end of the run.
        let _ = stop.run_until_cancelled(tokio::time::sleep(pause)).await;
    }
}
