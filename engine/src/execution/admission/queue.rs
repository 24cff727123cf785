//! Slots with a queue, in which each principal has a line of its own.
//!
//! - A free slot goes to the line with the fewest running entrants for its weight. Lines with equally many take turns.
//! - A line runs at most as many entrants as its principal may, so that it cannot take all slots.
//! - If the queue is full, an entrant of a shorter line replaces the newest one of the longest line. So one principal
//!   alone can use the whole queue, but cannot keep others out of it.
//! - While the pressure on the memory of the host is high, one query runs at a time, with some of its fragments, because
//!   they may wait for each other. A query or fragment whose reader pauses keeps nobody out: the reader may wait for a
//!   fragment that has no slot yet.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use portolan_connectors::{AccountKey, lock};
use tokio::sync::oneshot;

use crate::execution::pressure::Pressure;
use crate::{Error, ErrorKind, Result};

/// The assumed time for which a slot is taken, until a slot was released.
const ASSUMED_TIME: Duration = Duration::from_secs(1);
/// The shortest and the longest time after which a refused caller should try again.
const RETRY_AFTER: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));
/// The time after which an entrant is refused that waits because of the pressure on the memory of the host. It is up to
/// twice as long if the pressure begins while the entrant waits. The allocator returns the memory of a query to the
/// system about a second after the query's end.
const PATIENCE: Duration = Duration::from_secs(10);
/// The number of fragments of one query that run at once under pressure. The sender chooses the identifier of the query,
/// so the identifier alone bounds nothing.
const FRAGMENTS_UNDER_PRESSURE: usize = 8;

/// Slots, and the queue for them.
#[derive(Debug)]
pub(super) struct FairQueue {
    /// The name of the entrants, and the settings with the limits, for errors.
    what: &'static str,
    settings: &'static str,
    /// The slots in addition to those of the size that only administrators get.
    reserve: usize,
    /// The pressure under which one query runs at a time.
    pressure: Arc<Pressure>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    slots: usize,
    /// The number of entrants that may wait.
    may_wait: usize,
    running: usize,
    waiting: usize,
    /// The lines with entrants that run or wait.
    lines: HashMap<AccountKey, Line>,
    /// The running entrants that keep others out under pressure: not those of administrators, and not those whose
    /// reader pauses.
    active: usize,
    /// The turn of the line that got the last slot.
    turn: f64,
    /// The number of the newest waiter.
    newest: u64,
    /// The average time for which a slot is taken. Newer times count more.
    average: Duration,
}

/// The entrants of one principal.
#[derive(Debug)]
struct Line {
    /// The newest entrant, which has the newest limits.
    entrant: Entrant,
    /// The query of each running entrant.
    running: Vec<String>,
    /// The query of each of them whose reader pauses.
    paused: Vec<String>,
    waiting: VecDeque<Waiter>,
    /// The next turn of the line. It grows by less for each slot if the weight is larger.
    turn: f64,
}

#[derive(Debug)]
struct Waiter {
    number: u64,
    query: String,
    slot: oneshot::Sender<Result<Slot>>,
}

/// A query or a fragment that wants a slot, with the limits of its principal.
#[derive(Clone, Debug)]
pub(super) struct Entrant {
    pub(super) account: AccountKey,
    /// The identifier of the query. A query has a slot for each of its fragments.
    pub(super) query: String,
    pub(super) weight: u32,
    /// The number of the principal's entrants that run at once.
    pub(super) running: usize,
    /// The number of the principal's entrants that wait.
    pub(super) waiting: usize,
    pub(super) admin: bool,
}

/// The right of one query or fragment to run. Dropping it releases the slot.
#[derive(Debug)]
pub(crate) struct Slot {
    queue: Arc<FairQueue>,
    account: AccountKey,
    query: String,
    admin: bool,
    since: Instant,
}

/// A guard of a slot whose entrant waits for its reader. Under pressure, the slot keeps nobody out meanwhile.
#[derive(Debug)]
pub(crate) struct PausedSlot<'a>(&'a Slot);

/// An entrant in the queue. Dropping it leaves the queue.
struct Waiting {
    queue: Arc<FairQueue>,
    account: AccountKey,
    number: u64,
    slot: oneshot::Receiver<Result<Slot>>,
}

/// What an entrant gets at once: a slot, or a position in the queue.
enum Joined {
    Slot(Slot),
    Queue(Waiting),
}

impl FairQueue {
    /// Returns a queue for `slots`, in which at most `may_wait` wait. `settings` are those with these numbers.
    pub(super) fn new(
        what: &'static str,
        settings: &'static str,
        slots: usize,
        reserve: usize,
        may_wait: usize,
    ) -> Self {
        let (lines, average) = (HashMap::new(), ASSUMED_TIME);
        let slots = slots.max(1);
        let state = State { slots, may_wait, running: 0, waiting: 0, lines, active: 0, turn: 0.0, newest: 0, average };
        Self { what, settings, reserve, pressure: Arc::default(), state: Mutex::new(state) }
    }

    /// Changes the number of slots, and the number of entrants that may wait. Entrants that run or wait stay.
    pub(super) fn resize(self: &Arc<Self>, slots: usize, may_wait: usize) {
        let mut state = lock(&self.state);
        (state.slots, state.may_wait) = (slots.max(1), may_wait);
        self.hand_out(state);
    }

    /// Returns a queue in which one query runs at a time while this pressure is high, except those of administrators.
    pub(super) fn under(self, pressure: Arc<Pressure>) -> Self {
        Self { pressure, ..self }
    }

    /// Waits for a slot, at most until the deadline.
    pub(super) async fn enter(self: &Arc<Self>, entrant: Entrant, deadline: Instant) -> Result<Slot> {
        self.enter_within(PATIENCE, entrant, deadline).await
    }

    /// As [`FairQueue::enter`], for this time if there is pressure on the memory of the host.
    async fn enter_within(self: &Arc<Self>, patience: Duration, entrant: Entrant, deadline: Instant) -> Result<Slot> {
        let mut waiting = match self.join(&entrant)? {
            Joined::Slot(slot) => return Ok(slot),
            Joined::Queue(waiting) => waiting,
        };
        loop {
            let (was_high, until) = (self.pressure.is_high(), deadline.min(Instant::now() + patience));
            match tokio::time::timeout_at(until.into(), &mut waiting.slot).await {
                Ok(Ok(outcome)) => return outcome,
                Ok(Err(_)) => return Err(Error::new(ErrorKind::Cancelled, "the engine is shutting down")),
                Err(_) if until == deadline => {
                    let Self { what, settings, .. } = self.as_ref();
                    let what = format!("no slot for further {what} was free before the timeout{settings}");
                    return Err(Error::new(ErrorKind::DeadlineExceeded, what));
                }
                Err(_) if was_high && self.pressure.is_high() => {
                    let what = format!("{}, so that one query runs at a time", self.pressure);
                    let refusal = self.refusal(&lock(&self.state), &what);
                    return Err(refusal);
                }
                // The pressure has begun or ended, or there is none.
                Err(_) => {}
            }
        }
    }

    /// Takes a slot if more than half of the slots are free.
    pub(super) fn enter_speculatively(self: &Arc<Self>, entrant: &Entrant) -> Result<Slot> {
        let mut state = lock(&self.state);
        let free = state.slots.saturating_sub(state.running);
        let own = state.lines.get(&entrant.account).map_or(0, |line| line.running.len());
        if free > state.slots.div_ceil(2) && own < entrant.running && !self.pressure.is_high() {
            return Ok(self.occupy(&mut state, entrant));
        }
        Err(Error::new(ErrorKind::ResourceExhausted, "too few slots are free for a speculative query"))
    }

    /// Takes a free slot, or joins the queue.
    fn join(self: &Arc<Self>, entrant: &Entrant) -> Result<Joined> {
        let mut state = lock(&self.state);
        let own = state.lines.get(&entrant.account);
        let admitted = self.admits(&state, entrant, own, &entrant.query);
        let (running, waiting) = own.map(|line| (line.running.len(), line.waiting.len())).unwrap_or_default();
        // If a slot is free, the lines that wait run as many entrants as they may.
        if admitted {
            return Ok(Joined::Slot(self.occupy(&mut state, entrant)));
        }
        if entrant.waiting < state.may_wait && waiting >= entrant.waiting {
            let what = format!(
                "{} has {running} {} running and {waiting} waiting (`shares` in the node's config)",
                entrant.account, self.what
            );
            return Err(self.refusal(&state, &what));
        }
        if state.waiting >= state.may_wait {
            let what = format!(
                "{} {} are running and {} are waiting{}",
                state.running, self.what, state.waiting, self.settings
            );
            let refusal = self.refusal(&state, &what);
            let Some(newest) = state.newest_of_the_longest(load(waiting + 1, entrant.weight)) else {
                return Err(refusal);
            };
            // If the waiter is gone, nobody needs the error.
            let _ = newest.slot.send(Err(refusal));
        }
        let (sender, slot) = oneshot::channel();
        state.newest += 1;
        state.waiting += 1;
        let (number, turn) = (state.newest, state.turn);
        let line = state.line(entrant);
        if line.waiting.is_empty() {
            line.turn = line.turn.max(turn);
        }
        line.waiting.push_back(Waiter { number, query: entrant.query.clone(), slot: sender });
        Ok(Joined::Queue(Waiting { queue: self.clone(), account: entrant.account.clone(), number, slot }))
    }

    /// True if a query gets a slot. `line` is that of the entrant, if it has one. Under pressure one query runs, and not
    /// none: the allocator returns memory to the system only while something runs.
    fn admits(&self, state: &State, entrant: &Entrant, line: Option<&Line>, query: &str) -> bool {
        let slots = if entrant.admin { state.slots + self.reserve } else { state.slots };
        let is_free = state.running < slots && line.map_or(0, |line| line.running.len()) < entrant.running;
        let is_alone = entrant.admin || state.active == 0 || !self.pressure.is_high();
        is_free && (is_alone || line.is_some_and(|line| line.runs_another_of(query)))
    }

    fn occupy(self: &Arc<Self>, state: &mut State, entrant: &Entrant) -> Slot {
        let line = state.line(entrant);
        let turn = line.turn;
        let Entrant { account, query, admin, .. } = entrant.clone();
        line.running.push(query.clone());
        line.turn += load(1, entrant.weight);
        state.running += 1;
        state.active += usize::from(!admin);
        state.turn = state.turn.max(turn);
        Slot { queue: self.clone(), account, query, admin, since: Instant::now() }
    }

    /// Releases a slot, and gives free slots to waiters.
    fn release(self: &Arc<Self>, slot: &Slot) {
        let mut state = lock(&self.state);
        state.running -= 1;
        state.active -= usize::from(!slot.admin);
        if let Some(line) = state.lines.get_mut(&slot.account) {
            remove(&mut line.running, &slot.query);
        }
        state.forget_if_empty(&slot.account);
        state.average = (state.average * 7 + slot.since.elapsed()) / 8;
        self.hand_out(state);
    }

    /// Gives free slots to waiters.
    pub(super) fn admit_waiting(self: &Arc<Self>) {
        self.hand_out(lock(&self.state));
    }

    fn hand_out(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        let mut admitted = vec![];
        while let Some((entrant, number)) = self.next(&state)
            && let Some(waiter) = state.remove(&entrant.account, number)
        {
            admitted.push((waiter, self.occupy(&mut state, &entrant)));
        }
        drop(state);
        for (waiter, slot) in admitted {
            // If the waiter is gone, this drops the slot, which goes to the next one. So the state must not be locked here.
            let _ = waiter.slot.send(Ok(slot));
        }
    }

    /// Returns the entrant that gets the next slot, with the newest limits of its line, and its number.
    fn next(&self, state: &State) -> Option<(Entrant, u64)> {
        let ready = state.lines.values().filter_map(|line| {
            let admits = |waiter: &&Waiter| self.admits(state, &line.entrant, Some(line), &waiter.query);
            Some((line, line.waiting.iter().find(admits)?))
        });
        let running = |line: &Line| load(line.running.len(), line.entrant.weight);
        let (line, waiter) = ready.min_by(|(a, first), (b, second)| {
            let by_turn = a.turn.total_cmp(&b.turn).then(first.number.cmp(&second.number));
            running(a).total_cmp(&running(b)).then(by_turn)
        })?;
        Some((Entrant { query: waiter.query.clone(), ..line.entrant.clone() }, waiter.number))
    }

    fn leave(&self, account: &AccountKey, number: u64) {
        let mut state = lock(&self.state);
        // A waiter that was admitted or refused has left already.
        if state.remove(account, number).is_some() {
            state.forget_if_empty(account);
        }
    }

    /// Returns the error of a caller that should try again.
    fn refusal(&self, state: &State, what: &str) -> Error {
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let (least, most) = RETRY_AFTER;
        let turn = state.average.saturating_mul(number(state.waiting + 1)) / number(state.slots);
        let time = turn.clamp(least, most);
        let what = format!("{what}: try again in {:.1} s", time.as_secs_f64());
        Error::new(ErrorKind::ResourceExhausted, what).with_retry_after(time)
    }
}

impl State {
    /// Returns the line of an entrant, with the entrant's limits.
    fn line(&mut self, entrant: &Entrant) -> &mut Line {
        let turn = self.turn;
        let line = self.lines.entry(entrant.account.clone()).or_insert_with(|| Line {
            entrant: entrant.clone(),
            running: vec![],
            paused: vec![],
            waiting: VecDeque::new(),
            turn,
        });
        line.entrant = entrant.clone();
        line
    }

    /// Removes and returns a waiter.
    fn remove(&mut self, account: &AccountKey, number: u64) -> Option<Waiter> {
        let waiting = &mut self.lines.get_mut(account)?.waiting;
        let place = waiting.iter().position(|waiter| waiter.number == number)?;
        self.waiting -= 1;
        waiting.remove(place)
    }

    /// Removes and returns the newest waiter of the longest line for its weight, if that line is longer than `own`.
    fn newest_of_the_longest(&mut self, own: f64) -> Option<Waiter> {
        let length = |line: &Line| load(line.waiting.len(), line.entrant.weight);
        let longest = self.lines.values_mut().max_by(|a, b| length(a).total_cmp(&length(b)))?;
        if length(longest) <= own {
            return None;
        }
        let newest = longest.waiting.pop_back()?;
        let account = longest.entrant.account.clone();
        self.waiting -= 1;
        self.forget_if_empty(&account);
        Some(newest)
    }

    /// Removes a line in which nobody runs or waits.
    fn forget_if_empty(&mut self, account: &AccountKey) {
        if self.lines.get(account).is_some_and(|line| line.running.is_empty() && line.waiting.is_empty()) {
            self.lines.remove(account);
        }
    }
}

impl Line {
    /// True if the query runs, and another fragment of it may run under pressure.
    fn runs_another_of(&self, query: &str) -> bool {
        let of_query = |queries: &[String]| queries.iter().filter(|other| *other == query).count();
        let running = of_query(&self.running);
        running > 0 && running - of_query(&self.paused) < FRAGMENTS_UNDER_PRESSURE
    }
}

/// Removes a query once.
fn remove(queries: &mut Vec<String>, query: &str) {
    if let Some(place) = queries.iter().position(|other| other == query) {
        queries.swap_remove(place);
    }
}

/// Returns a number of entrants in relation to the weight of their principal.
fn load(entrants: usize, weight: u32) -> f64 {
    entrants as f64 / f64::from(weight.max(1))
}

impl Slot {
    /// Lets others run under pressure until the guard is dropped, because the reader of the entrant's rows pauses.
    pub(crate) fn paused(&self) -> PausedSlot<'_> {
        let mut state = lock(&self.queue.state);
        state.active -= usize::from(!self.admin);
        if let Some(line) = state.lines.get_mut(&self.account) {
            line.paused.push(self.query.clone());
        }
        self.queue.hand_out(state);
        PausedSlot(self)
    }
}

impl Drop for PausedSlot<'_> {
    fn drop(&mut self) {
        let PausedSlot(slot) = self;
        let mut state = lock(&slot.queue.state);
        state.active += usize::from(!slot.admin);
        if let Some(line) = state.lines.get_mut(&slot.account) {
            remove(&mut line.paused, &slot.query);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.queue.release(self);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.queue.leave(&self.account, self.number);
    }
}

#[cfg(test)]
mod tests;
